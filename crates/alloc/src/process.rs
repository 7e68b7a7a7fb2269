//! The process around the allocator: options, fork handlers, what is printed at exit.

use crate::report::{write_huge_system, write_limits, write_report, write_show};
use crate::thread::{ALLOCATOR, front, heap};
use core::cell::UnsafeCell;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use stratalloc_core::options::{HugePages, Options};
use stratalloc_core::os::Os;
use stratalloc_core::stats::Snapshot;
use stratalloc_os::{fork, process, thread_exit};

/// The name of the environment variable.
pub(crate) const VARIABLE: &[u8] = b"STRATALLOC";

/// The options, written by whoever moves `STATE` from `UNREAD` to `READING`, or by [`configure`].
struct Shared(UnsafeCell<Options>);

// SAFETY: written in state `READING` by one thread, read in state `READ`.
unsafe impl Sync for Shared {}

static OPTIONS: Shared = Shared(UnsafeCell::new(Options::DEFAULT));
const UNREAD: u32 = 0;
const READING: u32 = 1;
const READ: u32 = 2;
static STATE: AtomicU32 = AtomicU32::new(UNREAD);
static HANDLERS: AtomicBool = AtomicBool::new(false);
static AT_EXIT: AtomicBool = AtomicBool::new(false);
/// The process that has written its report.
static REPORTED: AtomicU32 = AtomicU32::new(0);
static NODES: AtomicBool = AtomicBool::new(false);

/// The options in force. A copy; `DEFAULT` until the environment has been read.
pub(crate) fn options() -> Options {
    if STATE.load(Ordering::Acquire) == READ {
        // SAFETY: see `Shared`.
        unsafe { *OPTIONS.0.get() }
    } else {
        Options::DEFAULT
    }
}

/// Before a thread gets its heap: reads the options if the environment is there already (it is in
/// all programs, but not for the dynamic loader's own first allocations); from the second heap on, the
/// number of NUMA nodes counts, so it is asked for: programs of one thread do not pay for that.
pub(crate) fn before_heap() {
    if HANDLERS.load(Ordering::Acquire) && !NODES.swap(true, Ordering::Relaxed) {
        stratalloc_os::detect_nodes();
    }
    if STATE.load(Ordering::Acquire) == UNREAD && process::environ_ready() {
        read_options(process::env_var(VARIABLE));
    }
}

/// After a thread got its heap: registers the handlers of the process, once.
pub(crate) fn after_heap(leave: unsafe extern "C" fn()) {
    // Set first: the registrations may allocate and come back here.
    if HANDLERS.swap(true, Ordering::AcqRel) {
        return;
    }
    thread_exit::init(leave);
    fork::register(prepare, parent, child);
    arm_exit();
}

/// Takes the options from the text of the environment variable. Later calls do nothing.
pub(crate) fn read_options(text: Option<&[u8]>) {
    if STATE.compare_exchange(UNREAD, READING, Ordering::AcqRel, Ordering::Acquire).is_err() {
        return;
    }
    let mut options = Options::DEFAULT;
    if let Some(text) = text {
        options.parse(text, &mut |problem| ALLOCATOR.os.write_err(problem.line().as_bytes()));
    }
    put(options);
    if options.show {
        // Who asks to see the limits pays for reading them now.
        ALLOCATOR.refresh_limits(true);
        show_options(&options);
    }
    if HANDLERS.load(Ordering::Acquire) {
        arm_exit();
    }
}

fn put(options: Options) {
    // SAFETY: the caller moved the state to `READING`: nobody else reads or writes.
    let before = unsafe { OPTIONS.0.get().replace(options) };
    ALLOCATOR.config.apply(&options);
    STATE.store(READ, Ordering::Release);
    let limits = |options: &Options| (options.soft_limit, options.follow_cgroup);
    if limits(&options) != limits(&before) {
        ALLOCATOR.refresh_limits(false);
    }
    let own = heap();
    // SAFETY: the calling thread's own heap, if it has one.
    unsafe {
        if options.count && !own.is_null() {
            ALLOCATOR.start_counting(own);
        }
    }
}

/// Puts `options` in force, whatever the environment says. Best called first thing in `main`.
///
/// Takes effect at once for purging, limits and misuse; heaps made before keep counting, or not.
/// Not to be called by two threads at once: the second call is then ignored and returns false.
///
/// ```
/// assert!(stratalloc::configure(stratalloc::Options::DEFAULT.with_purge_delay(200)));
/// ```
pub fn configure(options: Options) -> bool {
    before_heap();
    let state = STATE.load(Ordering::Acquire);
    if state == READING || STATE.compare_exchange(state, READING, Ordering::AcqRel, Ordering::Acquire).is_err() {
        return false;
    }
    put(options);
    if HANDLERS.load(Ordering::Acquire) {
        arm_exit();
    }
    true
}

/// As [`configure`], for one option by name.
pub(crate) fn set_option(name: &[u8], value: &[u8]) -> bool {
    before_heap();
    let mut options = options();
    match options.set(name, value) {
        Ok(()) => configure(options),
        Err(problem) => {
            ALLOCATOR.os.write_err(problem.line().as_bytes());
            false
        }
    }
}

fn show_options(options: &Options) {
    let mut out = process::RawFile::stderr();
    // A closed stderr is not our problem.
    let _ = out.write_str("stratalloc: options\n");
    let _ = options.write_to(&mut out);
    let _ = out.write_str("\n");
    let _ = write_limits(&mut out, &ALLOCATOR.effective_limits());
    if options.huge_pages != HugePages::Off {
        let _ = write_huge_system(&mut out, &ALLOCATOR.os.huge_system());
    }
    out.flush();
}

fn arm_exit() {
    let options = options();
    if (options.show || !options.report.is_empty()) && !AT_EXIT.swap(true, Ordering::AcqRel) {
        process::on_exit(at_exit);
    }
}

/// As at exit, if anything is asked for.
pub(crate) fn before_quick_exit() {
    if AT_EXIT.load(Ordering::Acquire) {
        at_exit();
    }
}

/// Writes what the options ask for, once a process: in a `vfork`ed child, which shares this memory,
/// the parent's turn is still to come.
pub(crate) extern "C" fn at_exit() {
    if REPORTED.swap(process::id(), Ordering::AcqRel) == process::id() {
        return;
    }
    let options = options();
    let mut snapshot = Snapshot::EMPTY;
    take_snapshot(&mut snapshot);
    let resident = process::resident();
    if options.show {
        let mut out = process::RawFile::stderr();
        let _ = write_show(&mut out, &snapshot, resident);
        out.flush();
    }
    if !options.report.is_empty() {
        let mut path = [0; 512];
        let file = options.report.expand(process::id(), &mut path).and_then(process::RawFile::create);
        let written =
            file.is_some_and(|mut out| write_report(&mut out, &snapshot, resident).is_ok() && out.finish());
        if !written {
            ALLOCATOR.os.write_err(b"stratalloc: the report could not be written: ");
            ALLOCATOR.os.write_err(options.report.as_bytes());
            ALLOCATOR.os.write_err(b"\n");
        }
    }
}

pub(crate) fn take_snapshot(out: &mut Snapshot) {
    // SAFETY: the calling thread's heap, or null.
    unsafe { ALLOCATOR.snapshot(heap(), out) };
}

unsafe extern "C" fn prepare() {
    ALLOCATOR.fork_prepare();
}

unsafe extern "C" fn parent() {
    ALLOCATOR.fork_parent();
}

unsafe extern "C" fn child() {
    // SAFETY: the child has this one thread.
    unsafe { ALLOCATOR.fork_child(front()) };
}

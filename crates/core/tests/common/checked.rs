//! An allocator for one test, over a mock system that looks at the allocator's locks.
//!
//! [`Checked`] passes every call on to a [`Mock`] and asserts first that the calling thread holds no
//! node's lock: the rule "no system call under a lock that another thread's `malloc` may need", checked
//! in every test that uses it.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use stratalloc_core::allocator::Allocator;
use stratalloc_core::heap::Heap;
use stratalloc_core::os::{Advice, HugeSystem, Moved, Os, SystemLimits};
use stratalloc_core::stats::Snapshot;
use stratalloc_os::mock::Mock;

/// The mock, with the rule about locks.
pub struct Checked {
    mock: Mock,
    allocator: AtomicPtr<Allocator<Checked>>,
    hook: Cell<Option<Hook>>,
    has_hook: AtomicBool,
    hesitant: AtomicBool,
}

/// Called once, in the next `map`.
type Hook = Box<dyn FnOnce()>;

// SAFETY: `hook` is used by tests of one thread only.
unsafe impl Sync for Checked {}

impl Checked {
    /// Calls `hook` in the next `map`. For tests of one thread, which keep what it borrows alive.
    pub fn on_map<'a>(&self, hook: impl FnOnce() + 'a) {
        let hook: Box<dyn FnOnce() + 'a> = Box::new(hook);
        // SAFETY: the caller keeps what is borrowed until the hook has run.
        self.hook.set(Some(unsafe { std::mem::transmute::<Box<dyn FnOnce() + 'a>, Hook>(hook) }));
        self.has_hook.store(true, Ordering::Relaxed);
    }

    /// From here on, threads look away for a while where they look at the clock and hold no lock: so the steps on both
    /// sides lie far enough apart for others to come between.
    pub fn hesitate(&self) {
        self.hesitant.store(true, Ordering::Relaxed);
    }

    fn holds_a_lock(&self) -> bool {
        let mut held = false;
        // SAFETY: as in `check`.
        if let Some(allocator) = unsafe { self.allocator.load(Ordering::Relaxed).as_ref() } {
            allocator.for_each_node(|_, node| held |= node.raw_lock().held_by(self.mock.thread()));
        }
        held
    }

    #[track_caller]
    fn check(&self, call: &str) {
        // SAFETY: set once by `Owned::new`, which keeps the allocator alive for as long as anyone calls.
        let Some(allocator) = (unsafe { self.allocator.load(Ordering::Relaxed).as_ref() }) else { return };
        let thread = self.mock.thread();
        allocator.for_each_node(|index, node| {
            assert!(!node.raw_lock().held_by(thread), "{call} while the lock of node {index} is held");
        });
    }
}

// SAFETY: the mock's promises, passed on.
unsafe impl Os for Checked {
    fn page_size(&self) -> usize {
        self.mock.page_size()
    }

    fn map(&self, len: usize, align: usize) -> Option<NonNull<u8>> {
        self.check("map");
        if self.has_hook.swap(false, Ordering::Relaxed)
            && let Some(hook) = self.hook.take()
        {
            hook();
        }
        self.mock.map(len, align)
    }

    unsafe fn unmap(&self, start: NonNull<u8>, len: usize) -> bool {
        self.check("unmap");
        // SAFETY: the caller's contract.
        unsafe { self.mock.unmap(start, len) }
    }

    unsafe fn purge(&self, start: NonNull<u8>, len: usize) -> bool {
        self.check("purge");
        // SAFETY: the caller's contract.
        unsafe { self.mock.purge(start, len) }
    }

    unsafe fn remap(&self, from: NonNull<u8>, to: NonNull<u8>, len: usize) -> Moved {
        self.check("remap");
        // SAFETY: the caller's contract.
        unsafe { self.mock.remap(from, to, len) }
    }

    fn map_reserved(&self, len: usize, align: usize, page: usize) -> Option<NonNull<u8>> {
        self.check("map_reserved");
        self.mock.map_reserved(len, align, page)
    }

    unsafe fn advise(&self, start: NonNull<u8>, len: usize, advice: Advice) -> bool {
        self.check("advise");
        // SAFETY: the caller's contract.
        unsafe { self.mock.advise(start, len, advice) }
    }

    fn huge_system(&self) -> HugeSystem {
        self.check("huge_system");
        self.mock.huge_system()
    }

    fn wait(&self, word: &AtomicU32, expected: u32) {
        self.check("wait");
        self.mock.wait(word, expected);
    }

    fn wake(&self, word: &AtomicU32) {
        self.check("wake");
        self.mock.wake(word);
    }

    fn yield_now(&self) {
        self.check("yield_now");
        self.mock.yield_now();
    }

    fn now_ms(&self) -> u64 {
        if self.hesitant.load(Ordering::Relaxed) && !self.holds_a_lock() {
            std::thread::sleep(std::time::Duration::from_micros(1));
        }
        self.mock.now_ms()
    }

    fn now_ns(&self) -> u64 {
        self.mock.now_ns()
    }

    fn thread(&self) -> usize {
        self.mock.thread()
    }

    fn node(&self) -> usize {
        self.mock.node()
    }

    fn cpu(&self) -> usize {
        self.mock.cpu()
    }

    fn nodes(&self) -> usize {
        self.mock.nodes()
    }

    fn limits(&self) -> SystemLimits {
        self.check("limits");
        self.mock.limits()
    }

    fn is_threaded(&self) -> bool {
        self.mock.is_threaded()
    }

    unsafe fn spawn_purger(&self, tick: unsafe extern "C" fn(*mut u8) -> u32, arg: *mut u8) -> bool {
        self.check("spawn_purger");
        // SAFETY: the caller's contract.
        unsafe { self.mock.spawn_purger(tick, arg) }
    }

    fn write_err(&self, text: &[u8]) {
        self.check("write_err");
        self.mock.write_err(text);
    }

    fn abort(&self) -> ! {
        self.check("abort");
        self.mock.abort()
    }
}

/// An allocator on the heap. Its memory is zero but for the `os` field: what a static would be.
///
/// Keep a handle of the mock for longer, or the memory of blocks goes with the allocator.
pub struct Owned(NonNull<Allocator<Checked>>);

// SAFETY: an allocator may be used by, and handed to, any thread.
unsafe impl Send for Owned {}
// SAFETY: as above.
unsafe impl Sync for Owned {}

impl Owned {
    /// An allocator over `mock`.
    pub fn new(mock: &Mock) -> Self {
        let layout = Layout::new::<Allocator<Checked>>();
        // SAFETY: the size is not 0.
        let memory = unsafe { alloc_zeroed(layout) }.cast::<Allocator<Checked>>();
        let Some(allocator) = NonNull::new(memory) else { handle_alloc_error(layout) };
        let os = Checked {
            mock: mock.clone(),
            allocator: AtomicPtr::new(memory),
            hook: Cell::new(None),
            has_hook: AtomicBool::new(false),
            hesitant: AtomicBool::new(false),
        };
        // SAFETY: our memory. Zero is the initial state of every other field (see `Allocator`).
        unsafe { (&raw mut (*memory).os).write(os) };
        Self(allocator)
    }

    /// The figures of this moment, seen by who has `heap`, or no heap: [`nobody`](super::oracle::nobody).
    pub fn figures(&self, heap: *mut Heap) -> Snapshot {
        let mut snapshot = Snapshot::EMPTY;
        // SAFETY: the caller's heap, or none.
        unsafe { self.snapshot(heap, &mut snapshot) };
        snapshot
    }
}

impl Deref for Owned {
    type Target = Allocator<Checked>;
    fn deref(&self) -> &Allocator<Checked> {
        // SAFETY: alive as long as `self`; only shared references are made.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: ours, and nobody has a reference any more.
        unsafe {
            self.0.drop_in_place();
            dealloc(self.0.as_ptr().cast(), Layout::new::<Allocator<Checked>>());
        }
    }
}

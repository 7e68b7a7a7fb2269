//! The trait's promises, on the running kernel.

use super::*;
use core::sync::atomic::Ordering::SeqCst;
use std::collections::BTreeSet;
use std::string::String;
use std::time::{Duration, Instant};
use std::vec::Vec;

const OS: Linux = Linux;

fn map(len: usize, align: usize) -> NonNull<u8> {
    OS.map(len, align).expect("a small mapping")
}

fn unmap(start: NonNull<u8>, len: usize) {
    // SAFETY: the tests pass what they mapped.
    assert!(unsafe { OS.unmap(start, len) });
}

fn bytes<'a>(start: NonNull<u8>, len: usize) -> &'a mut [u8] {
    // SAFETY: the tests pass what they mapped and hold one slice of it at a time.
    unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), len) }
}

/// Minor page faults of this thread's process.
fn faults() -> u64 {
    crate::process::resident().unwrap().minor_faults
}

#[test]
fn the_page_size_is_the_kernels() {
    // SAFETY: has no preconditions.
    assert_eq!(OS.page_size(), unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize);
}

#[test]
fn mappings_are_aligned_zeroed_and_writable_for_all_alignments() {
    let page = OS.page_size();
    for shift in page.trailing_zeros()..=32 {
        for len in [page, 3 * page, 64 << 10, 1 << 20] {
            let align = 1usize << shift;
            let start = map(len, align);
            assert_eq!(start.as_ptr() as usize % align, 0, "len {len} align {align}");
            let bytes = bytes(start, len);
            assert!(bytes[0] == 0 && bytes[len - 1] == 0);
            (bytes[0], bytes[len - 1]) = (1, 2);
            unmap(start, len);
        }
    }
}

#[test]
fn impossible_mappings_are_refused() {
    let page = OS.page_size();
    assert!(OS.map(1 << 60, page).is_none());
    assert!(OS.map(usize::MAX & !(page - 1), page).is_none());
    assert!(OS.map(page, 1 << 62).is_none());
    unmap(map(page, 1 << 30), page);
}

#[test]
fn purged_memory_reads_as_zero_and_leaves_the_rest() {
    let page = OS.page_size();
    let start = map(16 * page, page);
    bytes(start, 16 * page).fill(7);
    // SAFETY: inside the mapping.
    assert!(unsafe { OS.purge(start.add(4 * page), 8 * page) });
    let bytes = bytes(start, 16 * page);
    assert!(bytes[4 * page..12 * page].iter().all(|&b| b == 0));
    assert!(bytes[..4 * page].iter().chain(&bytes[12 * page..]).all(|&b| b == 7));
    unmap(start, 16 * page);
}

#[test]
fn locked_pages_are_purged_too() {
    let page = OS.page_size();
    let start = map(4 * page, page);
    // SAFETY: our mapping.
    if unsafe { libc::mlock(start.as_ptr().cast(), 4 * page) } == 0 {
        bytes(start, 4 * page).fill(7);
        // SAFETY: our mapping.
        assert!(unsafe { OS.purge(start, 4 * page) });
        assert!(bytes(start, 4 * page).iter().all(|&b| b == 0));
    }
    unmap(start, 4 * page);
}

#[test]
fn remap_moves_pages_without_copying() {
    let len = 16 << 20;
    let (from, to) = (map(len, 1 << 21), map(len, 1 << 21));
    for (i, page) in bytes(from, len).chunks_mut(4096).enumerate() {
        page[..8].copy_from_slice(&i.to_ne_bytes());
    }
    let before = faults();
    // SAFETY: both mapped above, disjoint.
    let moved = unsafe { OS.remap(from, to, len) };
    assert_ne!(moved, Moved::Refused);
    for (i, page) in bytes(to, len).chunks(4096).enumerate() {
        assert_eq!(page[..8], i.to_ne_bytes());
    }
    // Copying would fault each of the target's pages in; other tests fault a little meanwhile.
    assert!(faults() - before < (len / 4096) as u64 / 2, "{}", faults() - before);
    if moved == Moved::SourceZero {
        assert!(bytes(from, len).iter().step_by(512).all(|&b| b == 0));
        unmap(from, len);
    }
    unmap(to, len);
}

#[test]
fn a_source_of_several_mappings_is_refused_and_both_ranges_stay() {
    let page = OS.page_size();
    let (from, to) = (map(8 * page, page), map(8 * page, page));
    bytes(from, 8 * page).fill(3);
    bytes(to, 8 * page).fill(4);
    // A page that a fork's child does not get is a mapping of its own.
    // SAFETY: inside the mapping.
    unsafe { assert_eq!(libc::madvise(from.add(4 * page).as_ptr().cast(), page, libc::MADV_DONTFORK), 0) };
    // SAFETY: both mapped above, disjoint.
    let moved = unsafe { OS.remap(from, to, 8 * page) };
    // Emulators that ignore the advice have one mapping here, and move it.
    let target = if moved == Moved::Refused { 4 } else { 3 };
    assert!(bytes(to, 8 * page).iter().all(|&b| b == target));
    if moved == Moved::Refused {
        assert!(bytes(from, 8 * page).iter().all(|&b| b == 3));
    }
    if moved != Moved::SourceGone {
        unmap(from, 8 * page);
    }
    unmap(to, 8 * page);
}

#[test]
fn waiting_ends_by_wake_by_mismatch_and_by_time() {
    static WORD: AtomicU32 = AtomicU32::new(0);
    OS.wait(&WORD, 1);
    let start = Instant::now();
    OS.wait(&WORD, 0);
    assert!(start.elapsed() < Duration::from_millis(500), "the time limit");
    let waiter = std::thread::spawn(|| {
        while WORD.load(SeqCst) == 0 {
            OS.wait(&WORD, 0);
        }
    });
    WORD.store(1, SeqCst);
    OS.wake(&WORD);
    waiter.join().unwrap();
    OS.yield_now();
}

#[test]
fn the_clock_runs_forward() {
    let start = OS.now_ms();
    std::thread::sleep(Duration::from_millis(60));
    assert!((40..5000).contains(&(OS.now_ms() - start)));
}

#[test]
fn threads_have_names_of_their_own() {
    let here = OS.thread();
    assert_ne!(here, 0);
    assert_eq!(here, OS.thread());
    assert_ne!(std::thread::spawn(|| OS.thread()).join().unwrap(), here);
}

#[test]
fn a_process_with_threads_says_so() {
    std::thread::spawn(|| ()).join().unwrap();
    let has_flag = !sys::single_threaded_flag().is_null();
    assert_eq!(OS.is_threaded(), has_flag);
}

#[test]
fn no_call_changes_errno() {
    let errno = errno_location();
    // SAFETY: this thread's own word.
    unsafe { errno.write(4321) };
    let page = OS.page_size();
    assert!(OS.map(1 << 60, page).is_none());
    let start = map(page, page);
    // SAFETY: our mapping; then an address that no mapping has.
    unsafe {
        assert!(OS.purge(start, page));
        assert!(OS.unmap(start, page));
        assert!(!OS.unmap(NonNull::new_unchecked(core::ptr::without_provenance_mut(1)), page));
    }
    OS.wait(&AtomicU32::new(0), 0);
    assert!(crate::process::RawFile::create(c"/nonexistent/x").is_none());
    // SAFETY: this thread's own word.
    assert_eq!(unsafe { errno.read() }, 4321);
}

/// What the purge thread under test shares with the test.
struct Ticks {
    seen: AtomicU32,
    stop_at: u32,
    thread: AtomicUsize,
    mask: AtomicUsize,
}

unsafe extern "C" fn tick(ticks: *mut u8) -> u32 {
    // SAFETY: the test passes a leaked `Ticks`.
    let ticks = unsafe { &*ticks.cast::<Ticks>() };
    ticks.thread.store(OS.thread(), SeqCst);
    // SAFETY: blocks nothing.
    let mask = unsafe { sys::signal_mask(libc::SIG_BLOCK, 0) };
    ticks.mask.store(mask.unwrap_or(0) as usize, SeqCst);
    let len = 1 << 20;
    let start = map(len, len);
    bytes(start, len)[77] = 1;
    unmap(start, len);
    let seen = ticks.seen.fetch_add(1, SeqCst) + 1;
    if seen == ticks.stop_at { 0 } else { 1 }
}

/// Names of this process' threads.
fn thread_names() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok()).collect()
}

#[test]
fn purge_threads_tick_stop_and_leave_nothing_behind() {
    let tests: Vec<&Ticks> = [1, 5, 50]
        .map(|stop_at| {
            &*std::boxed::Box::leak(std::boxed::Box::new(Ticks {
                seen: AtomicU32::new(0),
                stop_at,
                thread: AtomicUsize::new(0),
                mask: AtomicUsize::new(0),
            }))
        })
        .to_vec();
    let given = tests.clone();
    // The creator leaves at once: its stack and TLS are gone while the purge threads run.
    let creators = std::thread::spawn(move || {
        for test in given {
            let arg = core::ptr::from_ref(test).cast_mut().cast();
            // SAFETY: the argument is leaked.
            assert!(unsafe { OS.spawn_purger(tick, arg) });
        }
        // SAFETY: blocks nothing.
        (OS.thread(), unsafe { sys::signal_mask(libc::SIG_BLOCK, 0) }.unwrap())
    });
    let (creator, mask) = creators.join().unwrap();
    assert_eq!(mask & (1 << (libc::SIGTERM - 1)), 0, "the creator's mask is restored");

    let mut named = false;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let running = thread_names().iter().any(|name| name.trim() == "strat-purge");
        named |= running;
        if tests.iter().all(|t| t.seen.load(SeqCst) == t.stop_at) && !running {
            break;
        }
        assert!(Instant::now() < deadline, "{:?}", thread_names());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(named);
    let threads: BTreeSet<usize> = tests.iter().map(|t| t.thread.load(SeqCst)).collect();
    assert!(!threads.contains(&creator) && !threads.contains(&0) && !threads.contains(&OS.thread()));
    for test in &tests {
        assert_ne!(test.mask.load(SeqCst) & (1 << (libc::SIGTERM - 1)), 0, "signals are blocked");
    }
}

#[test]
fn abort_ends_the_process_with_sigabrt_even_if_handled_ignored_or_blocked() {
    let _alone = crate::fork::tests::FORKS.lock();
    for setting in 0..4 {
        // SAFETY: the child calls nothing but system calls.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            extern "C" fn handler(_: libc::c_int) {}
            // SAFETY: the child's own signal settings.
            unsafe {
                match setting {
                    1 => _ = libc::signal(libc::SIGABRT, handler as *const () as libc::sighandler_t),
                    2 => _ = libc::signal(libc::SIGABRT, libc::SIG_IGN),
                    3 => _ = sys::signal_mask(libc::SIG_SETMASK, u64::MAX),
                    _ => {}
                }
                let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                libc::setrlimit(libc::RLIMIT_CORE, &limit);
            }
            OS.abort();
        }
        let mut status = 0;
        // SAFETY: waits for the child above.
        assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
        assert!(
            libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT,
            "setting {setting}: {status}"
        );
    }
}

mod slot {
    //! The TLS slot, inside an executable.

    static EMPTY: u64 = 5;
    crate::heap_slot!(EMPTY, "stratalloc_os_test_slot");

    #[test]
    fn every_thread_starts_on_the_static_and_keeps_its_own() {
        let empty = (&raw const EMPTY).addr();
        std::thread::scope(|scope| {
            for own in 1..9 {
                scope.spawn(move || check_on(own, empty));
            }
        });
        check_on(99, empty);
    }

    fn check_on(own: usize, empty: usize) {
        assert_eq!(get().addr(), empty);
        set(core::ptr::without_provenance_mut(own));
        std::thread::yield_now();
        assert_eq!(get().addr(), own);
    }
}

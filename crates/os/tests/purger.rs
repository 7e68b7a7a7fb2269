//! Purge threads in a process that does nothing else: they tick, stop and give all memory back.
#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};
use stratalloc_core::os::Os;
use stratalloc_os::NATIVE;

const THREADS: usize = 300;
static TICKS: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn tick(_: *mut u8) -> u32 {
    TICKS.fetch_add(1, SeqCst);
    0
}

/// Address space in use, in pages.
fn mapped_pages() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').next().unwrap().parse().unwrap()
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn hundreds_of_purge_threads_leave_no_thread_and_no_mapping() {
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return;
    }
    let run = |count: usize| {
        let (before, target) = (threads(), TICKS.load(SeqCst) + count);
        for _ in 0..count {
            // SAFETY: the function is static and takes no argument.
            assert!(unsafe { NATIVE.spawn_purger(tick, std::ptr::null_mut()) });
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while TICKS.load(SeqCst) < target || threads() > before {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    run(3);
    let before = mapped_pages();
    run(THREADS);
    // One leaked stack each would be more than 16 pages a thread.
    assert!(mapped_pages() < before + THREADS, "{before} {}", mapped_pages());
}

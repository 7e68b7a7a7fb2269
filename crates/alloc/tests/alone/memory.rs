//! Memory: what growth copies, what threads leave, what goes back and when, and that figures of it are exact.

use crate::common::Random;
use crate::run::Case;
use std::alloc::{GlobalAlloc, Layout};
use std::fs;
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use stratalloc::{Heap, Snapshot, Stratalloc, snapshot, trim, usable_size};
use stratalloc_os::process::resident;

const MIB: usize = 1 << 20;

pub const CASES: &[Case] = &[
    Case::new("a_vector_doubled_to_1_gib_copies_no_pages", doubled),
    Case::new("a_vector_that_grows_past_obstacles_copies_no_pages", obstructed),
    Case::new("a_large_block_that_shrinks_gives_its_tail_back", shrunk),
    Case::new("a_hundred_thousand_short_threads_leave_memory_bounded", short_threads),
    Case::new("short_threads_that_leave_blocks_behind_leave_memory_bounded", leaving_threads),
    Case::new("a_thread_that_only_frees_does_not_hoard", only_frees),
    Case::new("an_owner_that_sleeps_keeps_nothing_that_others_freed", owner_sleeps),
    Case::new("a_single_threaded_process_keeps_dirty_min_at_most", single_small),
    Case::new("a_single_threaded_process_keeps_dirty_min_of_large_blocks_too", single_large),
    Case::new("dirty_min_of_0_keeps_nothing", single_none).options("dirty_min=0,dirty_percent=0"),
    Case::new("churn_of_one_thread_keeps_its_memory_until_it_idles", single_churn),
    Case::new("churn_without_a_purge_thread_keeps_to_its_budget", single_churn_alone).options("purge_thread=0"),
    Case::new("freed_memory_of_a_busy_process_stays_within_its_share", single_share),
    Case::new("the_purge_thread_gives_idle_memory_back_and_ends", purge_thread).options("purge_delay=200"),
    Case::new("the_default_delay_gives_idle_memory_back", purge_thread),
    Case::new("without_purge_thread_the_budget_holds_with_threads_too", no_purge_thread).options("purge_thread=0"),
    Case::new("a_heap_per_request_leaves_nothing", heaps),
    Case::new("the_figures_of_a_class_are_exact_for_the_calling_thread", figures_of_a_class),
];

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a valid layout")
}

fn rss() -> usize {
    resident().expect("figures of the system").current_bytes
}

/// A figure of `/proc/self/status`, in its unit. Of this process's memory alone: `getrusage` also
/// counts what the process that started this one had.
fn status(key: &str) -> usize {
    let text = fs::read_to_string("/proc/self/status").expect("figures of the system");
    let line = text.lines().find(|line| line.starts_with(key)).expect("that figure");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

fn peak() -> usize {
    status("VmHWM:") * 1024
}

fn minor_faults() -> usize {
    // SAFETY: an all-zero `rusage` is one; the call fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
        usage
    };
    usage.ru_minflt as usize
}

/// Waits until `done`, without an allocator call; false after a generous while.
fn within(seconds: u64, done: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds) {
        if done() {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    done()
}

/// Appends to `vector` until it holds `bytes`, as far as possible in one piece.
fn extend(vector: &mut Vec<u8>, bytes: usize, piece: &[u8]) {
    while vector.len() < bytes {
        let room = (vector.capacity() - vector.len()).clamp(1, piece.len()).min(bytes - vector.len());
        vector.extend_from_slice(&piece[..room]);
    }
}

fn doubled() {
    let piece: Vec<u8> = (0..=250).cycle().take(MIB).collect();
    let (faults, size) = (minor_faults(), 1 << 30);
    let mut vector = Vec::with_capacity(1 << 16);
    extend(&mut vector, size, &piece);
    let pages = size / status_page();
    assert!(peak() < size / 10 * 11, "{} MiB at the peak", peak() / MIB);
    // Copying would touch each page twice or more.
    let faults = minor_faults() - faults;
    assert!(faults < pages / 10 * 11 + 2000, "{faults} faults for {pages} pages");
    check_pieces(&vector, &piece);
}

fn status_page() -> usize {
    // SAFETY: no preconditions.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// Every piece of at most 1 MiB was cut from the start of `piece`: the bytes are known at its start.
fn check_pieces(vector: &[u8], piece: &[u8]) {
    for (start, part) in (0..).step_by(MIB).zip(vector.chunks(MIB)) {
        assert!(start == 0 || part[..1000].iter().zip(&part[1..]).filter(|&(a, b)| *b != a + 1).count() < 12);
    }
    assert_eq!(vector[..1000], piece[..1000]);
}

fn obstructed() {
    let piece: Vec<u8> = (0..=250).cycle().take(MIB).collect();
    let mut vector = Vec::with_capacity(1 << 16);
    let mut obstacles: Vec<Vec<u8>> = Vec::new();
    let (size, mut target) = (256 * MIB, 1 << 17);
    let faults = minor_faults();
    while vector.len() < size {
        extend(&mut vector, target, &piece);
        // Likely to lie right behind it.
        obstacles.push(vec![7; 70_000]);
        target += target / 2;
    }
    let touched = vector.len() + obstacles.iter().map(Vec::len).sum::<usize>();
    let pages = touched / status_page();
    assert!(peak() < touched / 10 * 11 + 16 * MIB, "{} MiB at the peak", peak() / MIB);
    let faults = minor_faults() - faults;
    assert!(faults < pages / 10 * 11 + 2000, "{faults} faults for {pages} pages");
    check_pieces(&vector, &piece);
    assert!(obstacles.iter().flatten().all(|&byte| byte == 7));
}

fn shrunk() {
    let before = rss();
    let mut vector = vec![1u8; 256 * MIB];
    let full = rss();
    assert!(full > before + 250 * MIB);
    vector.truncate(MIB);
    let start = vector.as_ptr();
    vector.shrink_to_fit();
    assert_eq!(vector.as_ptr(), start, "a shrink moves nothing");
    let after = rss();
    assert!(after < before + 8 * MIB, "{} MiB stay", (after - before) / MIB);
    assert!(vector.iter().all(|&byte| byte == 1));
}

fn short_threads() {
    let round = |threads: usize| {
        for n in 0..threads / 4 {
            let handles: Vec<_> =
                (0..4).map(|m| thread::spawn(move || vec![m as u8; 1 + (n * 37) % 5000].len())).collect();
            assert!(handles.into_iter().all(|handle| handle.join().expect("no panic") > 0));
        }
    };
    round(2000);
    let (before, figures) = (rss(), snapshot());
    round(100_000);
    let (after, now) = (rss(), snapshot());
    assert!(after < before + 4 * MIB, "{} KiB more", (after - before) / 1024);
    assert!(now.metadata < figures.metadata + MIB, "{} then {}", figures.metadata, now.metadata);
    assert!(now.heaps + now.parked < 64, "{} heaps, {} parked", now.heaps, now.parked);
}

fn leaving_threads() {
    // Each thread's blocks are freed by a later one: most spans outlive their threads.
    let round = |threads: usize, held: &mut Vec<Vec<Vec<u8>>>, random: &mut Random| {
        for _ in 0..threads {
            let (seed, old) =
                (random.next(), if held.len() > 20 { held.swap_remove(random.below(20)) } else { Vec::new() });
            let made = thread::spawn(move || {
                drop(old);
                (0..50).map(|n| vec![1u8; 1 + (seed as usize >> (n % 16)) % 3000]).collect()
            });
            held.push(made.join().expect("no panic"));
        }
    };
    let (mut held, mut random) = (Vec::new(), Random::new("leaving threads", 51));
    round(2000, &mut held, &mut random);
    let before = rss();
    round(20_000, &mut held, &mut random);
    let after = rss();
    assert!(after < before + 8 * MIB, "{} KiB more", (after - before) / 1024);
}

fn only_frees() {
    let (sender, receiver) = mpsc::sync_channel::<Vec<Box<[u8; 400]>>>(2);
    let freeing = thread::spawn(move || receiver.into_iter().map(|blocks| blocks.len()).sum::<usize>());
    let mut after_warm_up = 0;
    for round in 0..500 {
        let blocks: Vec<_> = (0..2000).map(|n| Box::new([n as u8; 400])).collect();
        sender.send(blocks).expect("a receiver");
        if round == 50 {
            after_warm_up = rss();
        }
    }
    drop(sender);
    assert_eq!(freeing.join().expect("no panic"), 500 * 2000);
    // 400 MB went through.
    let now = rss();
    assert!(now < after_warm_up + 8 * MIB, "{} KiB more", (now - after_warm_up) / 1024);
}

fn owner_sleeps() {
    let before = rss();
    let (barrier, held) = (Barrier::new(2), std::sync::Mutex::new(Vec::new()));
    thread::scope(|scope| {
        scope.spawn(|| {
            let blocks: Vec<Vec<u8>> = (0..100_000).map(|n| vec![1; 1 + n % 2000]).collect();
            *held.lock().expect("no panic") = blocks;
            barrier.wait();
            // Asleep until the end, without an allocator call.
            barrier.wait();
        });
        barrier.wait();
        let full = rss();
        assert!(full > before + 90 * MIB, "{} MiB", (full - before) / MIB);
        drop(std::mem::take(&mut *held.lock().expect("no panic")));
        let done = within(30, || rss() < before + 16 * MIB);
        assert!(done, "{} MiB stay", (rss() - before) / MIB);
        barrier.wait();
    });
}

/// 200 MiB of small blocks, freed in another order than allocated.
fn small_blocks() {
    let mut blocks: Vec<Box<[u64; 64]>> = (0..400_000).map(|n| Box::new([n; 64])).collect();
    let mut random = Random::new("small blocks", 52);
    for n in (1..blocks.len()).rev() {
        let other = random.below(n + 1);
        blocks.swap(n, other);
    }
    assert!(rss() > 195 * MIB);
}

fn large_blocks() {
    let blocks: Vec<Vec<u8>> = (0..100).map(|n| vec![1; 40_000 * (1 + n)]).collect();
    assert!(rss() > 190 * MIB);
    drop(blocks);
}

fn stays(before: usize, most: usize) {
    let (after, now) = (rss(), snapshot());
    assert!(after < before + most, "{} KiB stay; {} dirty", (after - before) / 1024, now.dirty);
}

fn single_threaded() {
    assert_eq!(status("Threads:"), 1);
}

fn single_small() {
    let before = rss();
    small_blocks();
    single_threaded();
    // The budget, the spans that the heap allocates from, descriptors.
    stays(before, 2 * MIB + 2 * MIB);
    assert!(snapshot().dirty <= 2 * MIB);
}

fn single_large() {
    let before = rss();
    large_blocks();
    single_threaded();
    stays(before, 2 * MIB + MIB);
    assert!(snapshot().dirty <= 2 * MIB);
}

fn single_none() {
    let before = rss();
    small_blocks();
    large_blocks();
    single_threaded();
    stays(before, 2 * MIB);
    assert_eq!(snapshot().dirty, 0);
}

fn single_share() {
    let kept = vec![1u8; 200 * MIB];
    large_blocks();
    single_threaded();
    // 12 % of what is in use, by default.
    let now = snapshot();
    assert!(now.dirty <= 24 * MIB, "{} dirty", now.dirty);
    assert!(now.dirty >= 16 * MIB, "{} dirty: nothing is kept for reuse", now.dirty);
    drop(kept);
    let now = snapshot();
    assert!(now.dirty <= 2 * MIB, "{} dirty", now.dirty);
}

/// 200 MiB that come and go: the second time proves that keeping them was right.
fn single_churn() {
    let before = rss();
    large_blocks();
    single_threaded();
    stays(before, 2 * MIB + MIB);
    large_blocks();
    large_blocks();
    let now = snapshot();
    assert!(now.dirty >= 150 * MIB, "{} dirty: churn was not seen", now.dirty);
    let faults = minor_faults();
    large_blocks();
    assert!(minor_faults() - faults < 5000, "{} page faults for memory that was there", minor_faults() - faults);
    // From here on no allocator call.
    assert!(within(30, || rss() < before + 3 * MIB), "{} KiB stay", (rss() - before) / 1024);
    assert!(within(30, || status("Threads:") == 1), "{} threads", status("Threads:"));
}

fn single_churn_alone() {
    let before = rss();
    for _ in 0..4 {
        large_blocks();
        single_threaded();
        stays(before, 2 * MIB + MIB);
    }
}

fn purge_thread() {
    thread::spawn(|| ()).join().expect("no panic");
    let before = rss();
    thread::scope(|scope| {
        scope.spawn(small_blocks);
        scope.spawn(large_blocks);
    });
    // From here on no allocator call, and nobody but the purge thread to do it.
    let done = within(30, || rss() < before + 4 * MIB);
    assert!(done, "{} KiB stay", (rss() - before) / 1024);
    // The pages go before the books say so.
    assert!(within(30, || snapshot().dirty == 0), "{} dirty", snapshot().dirty);
    // It has nothing left to do, and ends.
    assert!(within(30, || status("Threads:") == 1), "{} threads", status("Threads:"));
}

fn no_purge_thread() {
    thread::spawn(|| ()).join().expect("no panic");
    let before = rss();
    thread::scope(|scope| {
        scope.spawn(small_blocks);
        scope.spawn(large_blocks);
    });
    // The system takes a moment to end the two, and nobody else is there.
    assert!(within(30, || status("Threads:") == 1), "{} threads", status("Threads:"));
    // Their heaps are parked with a few spans each.
    stays(before, 2 * MIB + 4 * MIB);
}

fn heaps() {
    let request = |n: usize| {
        let heap = Heap::new().expect("memory");
        for m in 0..2000 {
            let size = 1 + (n * 31 + m * 7) % 4000;
            let block = heap.alloc(layout(size)).expect("memory");
            // SAFETY: a fresh block of that size.
            unsafe { block.as_ptr().write_bytes(1, size) };
        }
    };
    (0..20).for_each(request);
    let before = rss();
    (0..500).for_each(request);
    let after = rss();
    assert!(after < before + 4 * MIB, "{} KiB more", (after - before) / 1024);
    // The process's own heap is another.
    // SAFETY: freed once with its layout.
    unsafe {
        let block = Stratalloc.alloc(layout(100));
        assert!(!block.is_null());
        Stratalloc.dealloc(block, layout(100));
    }
}

/// Of other threads' current spans only estimates are known, so no other test runs beside.
fn figures_of_a_class() {
    let wanted = layout(23_000);
    // SAFETY: every block is freed once with its layout.
    unsafe {
        let first = Stratalloc.alloc(wanted);
        let size = usable_size(first);
        let of = |now: &Snapshot| *now.classes.iter().find(|class| class.block_size == size).expect("a class");
        let before = of(&snapshot());
        assert!(before.live >= 1);
        let blocks: Vec<*mut u8> = (0..1000).map(|_| Stratalloc.alloc(wanted)).collect();
        let full = of(&snapshot());
        assert_eq!(full.live, before.live + 1000);
        assert!(full.capacity >= full.live && full.spans >= 1000 * size as u64 / (256 << 10));
        for &block in blocks.iter().step_by(2) {
            Stratalloc.dealloc(block, wanted);
        }
        assert_eq!(of(&snapshot()).live, before.live + 500);
        for &block in blocks.iter().skip(1).step_by(2) {
            Stratalloc.dealloc(block, wanted);
        }
        let empty = of(&snapshot());
        assert_eq!(empty.live, before.live);
        assert!(empty.spans <= before.spans + 2, "{before:?} then {empty:?}");
        Stratalloc.dealloc(first, wanted);
        trim(0);
        let trimmed = of(&snapshot());
        assert_eq!(trimmed.live, before.live - 1);
        assert!(trimmed.spans < before.spans, "{before:?} then {trimmed:?}");
    }
}

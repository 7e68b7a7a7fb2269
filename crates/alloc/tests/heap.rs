//! `Heap`: from any thread, freed by anyone, ended as a whole.

mod common;

use common::{Random, fill, holds, layout};
use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use stratalloc::{Heap, Options, Stratalloc, configure, snapshot, usable_size};

#[global_allocator]
static GLOBAL: Stratalloc = Stratalloc;

const fn send_and_sync<T: Send + Sync>() {}
const _: () = send_and_sync::<Heap>();
const _: () = send_and_sync::<Stratalloc>();

/// The tests below read figures of the whole process: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// What the test harness itself may allocate or free meanwhile, bytes.
const SLACK: usize = 2 << 20;

/// A block on its way to another thread.
struct Sent(NonNull<u8>, Layout, u8);

// SAFETY: a block in use belongs to whoever has the pointer, on any thread.
unsafe impl Send for Sent {}

impl Sent {
    fn new(heap: &Heap, layout: Layout, pattern: u8) -> Sent {
        let block = heap.alloc(layout).expect("memory");
        assert!(block.as_ptr().addr().is_multiple_of(layout.align()));
        // SAFETY: a fresh block of that length.
        unsafe { fill(block.as_ptr(), layout.size(), pattern) };
        Sent(block, layout, pattern)
    }

    fn is_whole(&self) -> bool {
        // SAFETY: a block in use that only we have.
        unsafe { holds(self.0.as_ptr(), self.1.size(), self.2) }
    }
}

#[test]
fn a_heap_serves_every_layout() {
    let _alone = alone();
    let heap = Heap::new().expect("memory");
    for size in [0, 1, 16, 100, 1024, 5000, 32_768, 32_769, 1 << 20] {
        for shift in 0..=20 {
            let layout = layout(size, 1 << shift);
            let block = heap.alloc_zeroed(layout).expect("memory");
            assert!(block.as_ptr().addr().is_multiple_of(1 << shift), "{layout:?}");
            // SAFETY: a block in use, freed once with its layout.
            unsafe {
                assert!(usable_size(block.as_ptr()) >= size);
                assert!(holds(block.as_ptr(), size, 0), "{layout:?}");
                fill(block.as_ptr(), size, 0xff);
                heap.dealloc(block, layout);
            }
        }
    }
    assert!(heap.alloc(layout(isize::MAX as usize, 1)).is_none());
    assert!(heap.alloc(layout(1, 1 << 62)).is_none());
    assert!(heap.alloc_zeroed(layout(1 << 60, 4096)).is_none());
}

#[test]
fn blocks_are_resized_with_their_contents() {
    let _alone = alone();
    let heap = Heap::new().expect("memory");
    let sizes = [1, 16, 17, 100, 1000, 10_000, 32_768, 40_000, 300_000, 4 << 20];
    for old in sizes {
        for new in sizes {
            let block = Sent::new(&heap, layout(old, 8), 0x3c);
            // SAFETY: a block in use with its layout; afterwards only the result is.
            unsafe {
                let moved = heap.realloc(block.0, block.1, new).expect("memory");
                assert!(holds(moved.as_ptr(), old.min(new), 0x3c), "{old} to {new}");
                fill(moved.as_ptr(), new, 0x3d);
                heap.dealloc(moved, layout(new, 8));
            }
        }
    }
    let block = Sent::new(&heap, layout(50, 8), 1);
    // SAFETY: the resize fails, so the block is as before.
    assert!(unsafe { heap.realloc(block.0, block.1, 1 << 60) }.is_none());
    assert!(block.is_whole());
}

#[test]
fn many_threads_use_one_heap_at_once() {
    let _alone = alone();
    let heap = Heap::new().expect("memory");
    let random = Random::new("one heap", 31);
    thread::scope(|scope| {
        for index in 0..4u8 {
            let (heap, mut random) = (&heap, random.split(u64::from(index)));
            scope.spawn(move || {
                let mut blocks: Vec<Sent> = Vec::new();
                for round in 0..20_000 {
                    if blocks.len() > 200 || (random.below(5) < 2 && !blocks.is_empty()) {
                        let block = blocks.swap_remove(random.below(blocks.len()));
                        assert!(block.is_whole());
                        // SAFETY: a block in use, freed once with its layout.
                        unsafe { heap.dealloc(block.0, block.1) };
                    } else {
                        let wanted = layout(random.size(14), 1 << random.below(8));
                        blocks.push(Sent::new(heap, wanted, index.wrapping_mul(64) ^ round as u8));
                    }
                }
                assert!(blocks.iter().all(Sent::is_whole));
            });
        }
    });
    heap.destroy();
}

#[test]
fn the_global_allocator_frees_a_heaps_blocks_on_any_thread() {
    let _alone = alone();
    let heap = Heap::new().expect("memory");
    let before = snapshot().allocated;
    for _ in 0..5 {
        let (sender, receiver) = mpsc::channel::<Sent>();
        thread::scope(|scope| {
            scope.spawn(|| {
                for block in receiver {
                    assert!(block.is_whole());
                    // SAFETY: a block in use, freed once with its layout.
                    unsafe { GLOBAL.dealloc(block.0.as_ptr(), block.1) };
                }
            });
            for n in 0..20_000 {
                let size = if n % 500 == 0 { 100_000 } else { 1 + n % 3000 };
                sender.send(Sent::new(&heap, layout(size, 8), n as u8)).expect("a receiver");
            }
            drop(sender);
        });
        // Everything was freed and came home: the heap serves the next round from it.
        let held = snapshot().allocated.saturating_sub(before);
        assert!(held < SLACK, "{held} bytes held after all blocks were freed");
    }
}

#[test]
fn a_heap_that_ends_gives_everything_back() {
    let _alone = alone();
    let before = snapshot();
    let heap = Heap::new().expect("memory");
    let mut bytes = 0;
    let mut n = 0;
    while bytes < 64 << 20 {
        let size = if n % 1000 == 0 { 1 << 20 } else { 16 + n * 7 % 4000 };
        let block = heap.alloc(layout(size, 8)).expect("memory");
        // SAFETY: a fresh block.
        unsafe { block.as_ptr().write(1) };
        bytes += size;
        n += 1;
    }
    let during = snapshot();
    assert!(during.active >= before.active + (60 << 20), "{} then {}", before.active, during.active);
    assert!(during.allocated >= before.allocated + (60 << 20));
    assert!(during.large_live > before.large_live);
    heap.destroy();
    let after = snapshot();
    assert!(after.active <= before.active + SLACK, "{} then {}", before.active, after.active);
    assert!(after.allocated <= before.allocated + SLACK);
    assert_eq!(after.large_live, before.large_live);
    // In a process with threads it is the purge thread that gives it back to the system, in its time.
    let begun = Instant::now();
    while snapshot().dirty > SLACK && begun.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(50));
    }
    assert!(snapshot().dirty <= SLACK, "{} dirty", snapshot().dirty);
}

#[test]
fn heaps_come_and_go_without_growth() {
    let _alone = alone();
    let round = |rounds: usize| {
        for n in 0..rounds {
            let heap = Heap::new().expect("memory");
            for size in [16, 100, 2000, 50_000] {
                assert!(heap.alloc(layout(size + n % 16, 8)).is_some());
            }
        }
    };
    round(100);
    let before = snapshot();
    round(10_000);
    let after = snapshot();
    assert!(after.metadata <= before.metadata + (1 << 20), "{} then {}", before.metadata, after.metadata);
    assert!(after.mapped <= before.mapped + (8 << 20), "{} then {}", before.mapped, after.mapped);
}

#[test]
fn heaps_live_at_once_and_end_in_any_order() {
    let _alone = alone();
    let mut random = Random::new("orders", 32);
    let mut heaps: Vec<(Heap, Vec<Sent>)> = Vec::new();
    for round in 0..2000 {
        if heaps.len() > 20 {
            let (heap, blocks) = heaps.swap_remove(random.below(heaps.len()));
            assert!(blocks.iter().all(Sent::is_whole), "round {round}");
            drop(heap);
        }
        let heap = Heap::new().expect("memory");
        let blocks =
            (0..random.below(200)).map(|n| Sent::new(&heap, layout(random.size(12), 8), n as u8)).collect();
        heaps.push((heap, blocks));
    }
    assert!(heaps.iter().all(|(_, blocks)| blocks.iter().all(Sent::is_whole)));
}

#[test]
fn a_heap_moves_between_threads_and_may_be_a_static() {
    let _alone = alone();
    static SHARED: OnceLock<Heap> = OnceLock::new();
    let shared = SHARED.get_or_init(|| Heap::new().expect("memory"));
    let own = Heap::new().expect("memory");
    let first = Sent::new(&own, layout(1000, 8), 9);
    let (own, first) = thread::spawn(move || {
        let second = Sent::new(&own, layout(1000, 8), 10);
        let third = Sent::new(shared, layout(1000, 8), 11);
        assert!(first.is_whole() && second.is_whole() && third.is_whole());
        (own, first)
    })
    .join()
    .expect("no panic");
    assert!(first.is_whole());
    drop(own);
    let again = Sent::new(shared, layout(1000, 8), 12);
    assert!(again.is_whole());
}

#[test]
fn a_heap_takes_its_large_blocks_back() {
    let _alone = alone();
    let heap = Heap::new().expect("memory");
    let before = snapshot();
    for n in 0..2000 {
        let block = Sent::new(&heap, layout(100_000 + n, 8), n as u8);
        assert!(block.is_whole());
        // SAFETY: a block in use, freed once with its layout.
        unsafe { heap.dealloc(block.0, block.1) };
    }
    let after = snapshot();
    assert_eq!(after.large_live, before.large_live);
    assert!(after.mapped <= before.mapped + (16 << 20), "{} then {}", before.mapped, after.mapped);
}

#[test]
fn a_heap_that_ends_takes_no_blocks_of_others_along() {
    let _alone = alone();
    assert!(configure(Options::DEFAULT.with_parked_heaps(0)));
    for round in 0..20u8 {
        // Orphans with free blocks and with blocks in use.
        let mut left: Vec<Vec<u8>> = thread::spawn(move || {
            let mut blocks: Vec<Vec<u8>> = (0..2000).map(|n| vec![round; 1 + n % 1000]).collect();
            let mut n = 0;
            blocks.retain(|_| {
                n += 1;
                n % 3 == 0
            });
            blocks
        })
        .join()
        .expect("no panic");
        assert!(snapshot().orphans > 0);
        let heap = Heap::new().expect("memory");
        let own: Vec<Sent> = (0..2000).map(|n| Sent::new(&heap, layout(1 + n % 1000, 8), !round)).collect();
        // Some of the orphans' blocks are freed by way of the heap, the others stay in use.
        for block in left.split_off(left.len() / 2) {
            let mut block = std::mem::ManuallyDrop::new(block);
            let start = NonNull::new(block.as_mut_ptr()).expect("a block");
            // SAFETY: a block in use, freed once with its layout.
            unsafe { heap.dealloc(start, layout(block.capacity(), 1)) };
        }
        assert!(own.iter().all(Sent::is_whole));
        heap.destroy();
        let fresh: Vec<Vec<u8>> = (0..2000).map(|n| vec![0xcc; 1 + n % 1000]).collect();
        assert!(left.iter().flatten().all(|&byte| byte == round), "round {round}");
        drop(fresh);
    }
    assert!(configure(Options::DEFAULT));
}

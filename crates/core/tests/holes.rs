//! Holes: pages of free blocks inside spans go back, and their blocks come back.
#![cfg(not(loom))]

mod common;

use common::oracle::{as_thread, nobody};
use common::random::{Random, seed};
use common::{Owned, Rig, pattern};
use std::collections::BTreeSet;
use std::ptr::null_mut;
use std::sync::{Barrier, Mutex};
use std::thread::scope;
use stratalloc_core::class::{class_of, size_of_class};
use stratalloc_core::heap::Heap;
use stratalloc_core::options::{Misuse, Options};
use stratalloc_os::mock::{Call, Mock};

const PAGE: usize = 4096;

impl Rig {
    /// Blocks of a size, filled, so that none lies in a current span but the last.
    fn filled(&self, size: usize, count: usize) -> Vec<*mut u8> {
        let blocks: Vec<_> = (0..count).map(|_| self.alloc(size)).collect();
        for (id, &block) in blocks.iter().enumerate() {
            // SAFETY: ours.
            unsafe { pattern::fill(block, size, id as u64) };
        }
        blocks
    }

    fn trim(&self) {
        // SAFETY: our front; nothing is under way.
        unsafe { self.allocator.trim_all(self.heap.cast(), 0) };
    }

    fn finish(self) {
        self.trim();
        let now = self.allocator.figures(self.heap);
        assert_eq!((now.allocated, now.active, now.dirty), (0, 0, 0), "{now:?}");
    }
}

/// Sizes with blocks in one page and in many, that fill pages evenly or not.
const SIZES: [usize; 12] = [16, 48, 112, 256, 640, 1024, 1792, 4096, 5120, 6144, 14336, 20480];

#[test]
fn pages_between_survivors_go_back_and_their_blocks_are_handed_out_once_again() {
    for page in [PAGE, 16384] {
        for size in SIZES {
            let rig = Rig::new(page, Options::DEFAULT);
            let count = (4 << 20) / size;
            let blocks = rig.filled(size, count);
            let most = rig.allocator.figures(rig.heap).active;
            // One of each 128 KiB stays.
            let step = (128 << 10) / size + 1;
            for (id, &block) in blocks.iter().enumerate() {
                if id % step != 0 {
                    rig.free(block);
                }
            }
            let before = rig.allocator.figures(rig.heap);
            rig.mock.take_purged();
            rig.trim();
            let after = rig.allocator.figures(rig.heap);
            assert_eq!(after.allocated, before.allocated, "{size}");
            // Each with the pages that it lies in, and a span that is current.
            let least = count.div_ceil(step) * (size + 2 * page) + (256 << 10);
            let resident = after.touched;
            assert!(resident <= least && resident < before.touched, "{size}: {resident} of {}", before.touched);
            // Much less than there was, though the shortest spans had gone as a whole.
            assert!(page > PAGE || 3 * least < 2 * before.touched, "{size}: {least} of {}", before.touched);
            // The survivors are as they were, and in no page that went back.
            let purged = rig.mock.take_purged();
            for (id, &block) in blocks.iter().enumerate().step_by(step) {
                // SAFETY: in use, ours.
                unsafe { pattern::check(block, size, id as u64) };
                let (start, end) = (block.addr(), block.addr() + size);
                let hit = purged.iter().find(|&&(at, len)| at < end && start < at + len);
                assert_eq!(hit, None, "{size}: block {start:#x}");
            }
            // What is free comes back: each block once, and none of the survivors.
            let mut starts: BTreeSet<usize> = blocks.iter().step_by(step).map(|block| block.addr()).collect();
            let survivors = starts.len();
            let again = rig.filled(size, count - survivors);
            starts.extend(again.iter().map(|block| block.addr()));
            assert_eq!(starts.len(), count);
            let class = size_of_class(class_of(size).unwrap());
            assert!(starts.iter().zip(starts.iter().skip(1)).all(|(a, b)| b - a >= class));
            let full = rig.allocator.figures(rig.heap);
            assert!(full.active <= most + (64 << 10), "{size}: {} after {most}", full.active);
            for (id, &block) in again.iter().enumerate() {
                // SAFETY: as above.
                unsafe { pattern::check(block, size, id as u64) };
                rig.free(block);
            }
            for (id, &block) in blocks.iter().enumerate().step_by(step) {
                // SAFETY: as above.
                unsafe { pattern::check(block, size, id as u64) };
                rig.free(block);
            }
            assert_eq!(rig.mock.take_err(), "");
            rig.finish();
        }
    }
}

#[test]
fn zeroed_blocks_out_of_holes_are_zero() {
    let rig = Rig::new(PAGE, Options::DEFAULT);
    let blocks = rig.filled(640, 1000);
    for (id, &block) in blocks.iter().enumerate() {
        if id % 100 != 0 {
            rig.free(block);
        }
    }
    rig.trim();
    for _ in 0..990 {
        // SAFETY: our heap; the block is new.
        unsafe {
            let block = rig.allocator.alloc_zeroed(rig.heap, 640, 16);
            pattern::check_zero(block, 640);
        }
    }
}

#[test]
fn where_the_system_refuses_nothing_is_lost() {
    let rig = Rig::new(PAGE, Options::DEFAULT);
    let blocks = rig.filled(1024, 500);
    for &block in blocks.iter().skip(1).step_by(2).chain(blocks[100..400].iter().step_by(2)) {
        rig.free(block);
    }
    rig.mock.fail_after(Call::Purge, 0);
    rig.trim();
    rig.mock.heal();
    let mut starts: BTreeSet<usize> =
        blocks[..100].iter().chain(&blocks[400..]).step_by(2).map(|b| b.addr()).collect();
    let survivors = starts.len();
    starts.extend(rig.filled(1024, 500 - survivors).iter().map(|block| block.addr()));
    assert_eq!(starts.len(), 500);
}

#[test]
fn a_block_in_a_hole_that_is_freed_again_is_named() {
    let rig = Rig::new(PAGE, Options::DEFAULT.with_misuse(Misuse::Warn));
    let blocks = rig.filled(256, 600);
    // Most are not checked: the heap checks its first 1,024 frees one by one.
    for &block in &blocks[64..500] {
        rig.free(block);
    }
    rig.trim();
    assert_eq!(rig.mock.take_err(), "");
    // Not the only block of its span: that one is checked as a whole when the span is empty.
    let freed = blocks[200];
    for &block in &blocks[..64] {
        rig.free(block);
    }
    rig.free(freed);
    let said = rig.mock.take_err();
    assert!(said.contains(&format!("{:x}", freed.addr())) && said.contains("already freed"), "{said:?}");
}

#[test]
fn a_span_with_holes_becomes_an_orphan_and_is_claimed() {
    let mock = Mock::new(PAGE);
    let allocator = Owned::new(&mock);
    allocator.config.apply(&Options::DEFAULT.with_parked_heaps(0));
    let heap = as_thread(0, || allocator.adopt());
    let mut starts = BTreeSet::new();
    as_thread(0, || {
        // SAFETY: that thread's heap, not used after it left.
        unsafe {
            let blocks: Vec<_> = (0..1000).map(|_| allocator.alloc(heap, 1000, 16)).collect();
            for (id, &block) in blocks.iter().enumerate() {
                // One at least in the shortest spans too, which have 16.
                if id % 12 == 0 {
                    starts.insert(block.addr());
                } else {
                    allocator.dealloc(heap, block);
                }
            }
            allocator.trim_all(heap.cast(), 0);
            allocator.park(heap);
        }
    });
    assert!(allocator.figures(nobody()).orphans > 0);
    let active = allocator.figures(nobody()).active;
    as_thread(1, || {
        let heap = allocator.adopt();
        // SAFETY: that thread's heap.
        let more = (starts.len()..1000).map(|_| unsafe { allocator.alloc(heap, 1000, 16) }.addr());
        starts.extend(more.collect::<Vec<_>>());
    });
    assert_eq!(starts.len(), 1000);
    let now = allocator.figures(nobody());
    assert!(now.orphans == 0 && now.active <= active + (64 << 10), "{now:?}");
}

#[test]
fn a_visit_shows_no_block_of_a_hole() {
    // A first-class heap looks for holes by the clock only.
    let mock = Mock::new(PAGE);
    let allocator = Owned::new(&mock);
    allocator.config.apply(&Options::DEFAULT);
    let heap = allocator.new_user_heap();
    // SAFETY: the first-class heap, which nobody is inside.
    unsafe {
        let mut kept = BTreeSet::new();
        allocator.with_tenure(heap, || {
            let blocks: Vec<_> = (0..4000).map(|_| allocator.alloc(heap, 1000, 16)).collect();
            for (id, &block) in blocks.iter().enumerate() {
                if id % 50 == 0 {
                    kept.insert(block.addr());
                } else {
                    allocator.dealloc(heap, block);
                }
            }
        });
        mock.take_purged();
        let mut passing = Vec::new();
        // Another class takes spans into use, and the clock goes on.
        for _ in 0..20 {
            mock.advance(300);
            allocator.with_tenure(heap, || {
                passing.extend((0..200).map(|_| allocator.alloc(heap, 8000, 16).addr()));
            });
        }
        assert!(!mock.take_purged().is_empty(), "by the clock");
        let mut shown = BTreeSet::new();
        allocator.visit_heap(heap, &mut |block, _| {
            assert!(shown.insert(block.addr()));
            true
        });
        kept.extend(passing);
        assert_eq!(shown, kept);
        allocator.destroy_user_heap(heap);
    }
}

#[test]
fn the_clock_spares_classes_in_use_and_heaps_before_their_time() {
    let rig = Rig::new(PAGE, Options::DEFAULT.with_purge_delay(1000));
    let sparse = |size| {
        let blocks = rig.filled(size, (2 << 20) / size);
        let mut kept = Vec::new();
        for (id, block) in blocks.into_iter().enumerate() {
            if id % 50 == 0 { kept.push(block) } else { rig.free(block) }
        }
        kept
    };
    let (_first, _second) = (sparse(1000), sparse(2000));
    rig.mock.take_purged();
    // A third class takes a hundred spans into use: nothing happens before its time.
    let mut blocks = rig.filled(4000, 1600);
    assert_eq!(rig.mock.take_purged(), []);
    rig.mock.advance(1001);
    // The first is in use, the second rests.
    for _ in 0..60 {
        blocks.extend(rig.filled(4000, 32));
        rig.filled(1000, 40);
    }
    let purged = rig.mock.take_purged();
    assert!(!purged.is_empty());
    for (start, _) in purged {
        // SAFETY: a descriptor is readable for ever.
        let size = unsafe { (*rig.allocator.directory.find(start)).block_size() };
        assert_eq!(size, size_of_class(class_of(2000).unwrap()));
    }
}

#[test]
fn a_heap_that_only_frees_looks_too() {
    let rig = Rig::new(PAGE, Options::DEFAULT.with_purge_delay(1000));
    let (first, second) = (rig.filled(1000, 8000), rig.filled(2000, 8000));
    let shrink = |blocks: &[*mut u8]| {
        for (id, &block) in blocks.iter().enumerate() {
            if id % 50 != 0 {
                rig.free(block);
            }
        }
    };
    shrink(&first);
    rig.mock.take_purged();
    shrink(&second[..2000]);
    rig.mock.advance(1001);
    shrink(&second[2000..]);
    let size = size_of_class(class_of(1000).unwrap());
    let of_first = |&(start, _): &(usize, usize)| {
        // SAFETY: a descriptor is readable for ever.
        unsafe { (*rig.allocator.directory.find(start)).block_size() == size }
    };
    assert!(rig.mock.take_purged().iter().any(of_first));
}

/// A block: its start, its size, its pattern's number.
type Held = (usize, usize, u64);

/// Threads with heaps allocate, free for each other, and make holes again and again.
#[test]
fn holes_come_and_go_under_threads() {
    const THREADS: usize = 4;
    let seed = seed("holes_come_and_go_under_threads");
    let times: usize = std::env::var("STRATALLOC_STRESS").map_or(1, |text| text.parse().expect("a number"));
    let mock = Mock::new(PAGE);
    let allocator = Owned::new(&mock);
    allocator.config.apply(&Options::DEFAULT.with_parked_heaps(1));
    let (allocator, barrier) = (&allocator, &Barrier::new(THREADS));
    let boxes: &Vec<Mutex<Vec<Held>>> = &(0..THREADS).map(|_| Mutex::default()).collect();
    scope(|scope| {
        for index in 0..THREADS {
            scope.spawn(move || {
                let mut random = Random::new(seed + index as u64);
                let mut heap = allocator.adopt();
                let mut blocks: Vec<Held> = Vec::new();
                let free = |heap: *mut Heap, (start, size, id): Held| {
                    let start: *mut u8 = stratalloc_core::addr::ptr(start);
                    // SAFETY: this thread's heap, and a block of its own.
                    unsafe {
                        pattern::check(start, size, id);
                        allocator.dealloc(heap, start);
                    }
                };
                barrier.wait();
                for round in 0..60 * times {
                    // A phase of few sizes, so that spans fill, and then most of it dies.
                    let sizes = [random.size(12) + 1, random.size(10) + 1, random.size(14) + 1];
                    for _ in 0..400 {
                        let size = sizes[random.below(3)];
                        // SAFETY: this thread's heap; the block is new.
                        unsafe {
                            let start = allocator.alloc(heap, size, 16);
                            assert!(!start.is_null());
                            let id = random.next();
                            pattern::fill(start, size, id);
                            blocks.push((start.addr(), size, id));
                        }
                    }
                    let keep = blocks.len() / 8;
                    while blocks.len() > keep {
                        let block = blocks.swap_remove(random.below(blocks.len()));
                        if random.below(4) == 0 {
                            boxes[random.below(THREADS)].lock().unwrap().push(block);
                        } else {
                            free(heap, block);
                        }
                    }
                    std::mem::take(&mut *boxes[index].lock().unwrap())
                        .into_iter()
                        .for_each(|block| free(heap, block));
                    // SAFETY: this thread's heap.
                    unsafe { allocator.trim_all(heap.cast(), 0) };
                    if round % 16 == 15 {
                        // Its spans pass to others, holes and all.
                        // SAFETY: as above; not used after.
                        unsafe { allocator.park(heap) };
                        heap = allocator.adopt();
                    }
                }
                barrier.wait();
                std::mem::take(&mut *boxes[index].lock().unwrap()).into_iter().for_each(|block| free(heap, block));
                blocks.drain(..).for_each(|block| free(heap, block));
                // SAFETY: as above.
                unsafe { allocator.park(heap) };
            });
        }
    });
    assert_eq!(mock.take_err(), "");
    // SAFETY: no front.
    unsafe { allocator.trim_all(null_mut(), 0) };
    let now = allocator.figures(nobody());
    assert_eq!((now.allocated, now.active, now.dirty), (0, 0, 0), "{now:?}");
}

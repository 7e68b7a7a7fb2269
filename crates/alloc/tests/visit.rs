//! `Heap::visit`, `alloc_batch`, `dealloc_batch`, `contains`: against a map of what is in use.

mod common;

use common::{Random, layout};
use std::alloc::{GlobalAlloc, Layout};
use std::collections::{BTreeMap, BTreeSet};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use stratalloc::{Heap, Options, Stratalloc, configure, usable_size};

#[global_allocator]
static GLOBAL: Stratalloc = Stratalloc;

/// One test sets options of the whole process: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// What a visit shows, checked for repetitions.
fn visited(heap: &Heap) -> BTreeMap<usize, usize> {
    let mut all = BTreeMap::new();
    assert!(heap.visit(|block, size| {
        assert_eq!(all.insert(block.as_ptr().addr(), size), None, "shown twice");
        true
    }));
    all
}

/// The naive model: every block in use with its layout and the byte it is filled with.
#[derive(Default)]
struct Model {
    blocks: Vec<(NonNull<u8>, Layout, u8)>,
}

impl Model {
    fn add(&mut self, block: NonNull<u8>, layout: Layout, pattern: u8) {
        assert!(block.as_ptr().addr().is_multiple_of(layout.align()), "{layout:?}");
        // SAFETY: a fresh block of that length.
        unsafe { common::fill(block.as_ptr(), layout.size(), pattern) };
        self.blocks.push((block, layout, pattern));
    }

    fn take(&mut self, index: usize) -> (NonNull<u8>, Layout) {
        let (block, layout, pattern) = self.blocks.swap_remove(index);
        // SAFETY: a block in use that only we have.
        assert!(unsafe { common::holds(block.as_ptr(), layout.size(), pattern) }, "{layout:?}");
        (block, layout)
    }

    fn check(&self, heap: &Heap) {
        let expected: BTreeMap<usize, usize> = (self.blocks.iter())
            // SAFETY: blocks in use.
            .map(|(block, ..)| (block.as_ptr().addr(), unsafe { usable_size(block.as_ptr()) }))
            .collect();
        assert_eq!(visited(heap), expected);
        assert!(self.blocks.iter().all(|(block, ..)| heap.contains(block.as_ptr())));
    }
}

/// A pointer on its way to another thread.
struct Sent(*mut u8, Layout);

// SAFETY: a block in use belongs to whoever has the pointer.
unsafe impl Send for Sent {}

/// Random work on a heap by every way in and out, and a visit now and then.
fn work(seed: u64, rounds: usize) {
    let heap = Heap::new().expect("memory");
    let mut random = Random::new("visit", seed);
    let mut model = Model::default();
    for round in 0..rounds {
        let pattern = round as u8;
        match random.below(9) {
            0..3 => {
                let wanted = layout(random.size(if round % 50 == 0 { 19 } else { 13 }), 1 << random.below(9));
                model.add(heap.alloc(wanted).expect("memory"), wanted, pattern);
            }
            3 => {
                let wanted = layout(random.size(12), 1 << random.below(7));
                let mut out = vec![MaybeUninit::uninit(); random.below(300)];
                assert_eq!(heap.alloc_batch(wanted, &mut out), out.len());
                for block in out {
                    // SAFETY: all were filled.
                    model.add(unsafe { block.assume_init() }, wanted, pattern);
                }
            }
            4 | 5 if !model.blocks.is_empty() => {
                let (block, layout) = model.take(random.below(model.blocks.len()));
                // SAFETY: a block in use, freed once with its layout.
                unsafe {
                    match random.below(3) {
                        0 => GLOBAL.dealloc(block.as_ptr(), layout),
                        1 => heap.dealloc(block, layout),
                        _ => {
                            let sent = Sent(block.as_ptr(), layout);
                            thread::spawn(move || {
                                let sent = sent;
                                GLOBAL.dealloc(sent.0, sent.1);
                            })
                            .join()
                            .expect("no panic");
                        }
                    }
                }
            }
            6 if !model.blocks.is_empty() => {
                let (block, old) = model.take(random.below(model.blocks.len()));
                let size = random.size(15);
                // SAFETY: a block in use with its layout; afterwards only the result is.
                let moved = unsafe { heap.realloc(block, old, size) }.expect("memory");
                model.add(moved, layout(size, old.align()), pattern);
            }
            7 if model.blocks.len() > 500 => {
                let count = random.below(model.blocks.len());
                let mut gone: Vec<*mut u8> =
                    (0..count).map(|_| model.take(random.below(model.blocks.len())).0.as_ptr()).collect();
                gone.push(std::ptr::null_mut());
                // SAFETY: blocks in use, freed once.
                unsafe { heap.dealloc_batch(&gone) };
            }
            _ if round % 7 == 0 => model.check(&heap),
            _ => {}
        }
    }
    model.check(&heap);
    while !model.blocks.is_empty() {
        let (block, layout) = model.take(0);
        // SAFETY: as above.
        unsafe { heap.dealloc(block, layout) };
    }
    model.check(&heap);
}

#[test]
fn a_visit_shows_what_is_in_use_and_nothing_else() {
    let _alone = alone();
    work(51, 4000);
}

#[test]
fn so_it_does_while_every_allocation_is_counted() {
    let _alone = alone();
    assert!(configure(Options::DEFAULT.with_count(true)));
    work(52, 1500);
    assert!(configure(Options::DEFAULT));
}

#[test]
fn spans_of_many_small_blocks_are_shown_whole() {
    let _alone = alone();
    for size in [1, 17, 40, 64] {
        let heap = Heap::new().expect("memory");
        let mut model = Model::default();
        for n in 0..20_000 {
            model.add(heap.alloc(layout(size, 1)).expect("memory"), layout(size, 1), n as u8);
        }
        model.check(&heap);
        // Holes of every pattern: most of a span, some, none.
        let mut random = Random::new("holes", 55);
        for keep in [3, 2, 10] {
            for index in (0..model.blocks.len()).rev() {
                if random.below(keep) == 0 || index % 4096 < 900 {
                    let (block, layout) = model.take(index);
                    // SAFETY: a block in use, freed once with its layout.
                    unsafe { heap.dealloc(block, layout) };
                }
            }
            model.check(&heap);
        }
    }
}

#[test]
fn an_empty_heap_shows_nothing_and_a_visit_may_end_early() {
    let _alone = alone();
    let heap = Heap::new().expect("memory");
    assert!(heap.visit(|_, _| panic!("an empty heap shows nothing")));
    for size in [10, 10, 100, 100_000] {
        assert!(heap.alloc(layout(size, 8)).is_some());
    }
    for limit in 0..=4 {
        let mut seen = 0;
        let all = heap.visit(|_, _| {
            seen += 1;
            seen < limit
        });
        assert!(!all && seen == limit.max(1), "ended after {seen} of {limit}");
    }
    let (mut of_others, mut on_stack) = (Box::new(1), 1);
    assert!(!heap.contains((&raw mut *of_others).cast()) && !heap.contains((&raw mut on_stack).cast()));
    assert!(!heap.contains(std::ptr::null()) && !heap.contains(std::ptr::without_provenance(usize::MAX)));
}

#[test]
fn the_visitor_may_free_what_it_is_shown() {
    let _alone = alone();
    let heap = Heap::new().expect("memory");
    for n in 0..20_000 {
        assert!(heap.alloc(layout(16 + n * 13 % 3000, 8)).is_some());
    }
    for _ in 0..20 {
        assert!(heap.alloc(layout(100_000, 8)).is_some());
    }
    let mut seen = 0;
    assert!(heap.visit(|block, size| {
        seen += 1;
        // SAFETY: a block in use that nobody else has.
        unsafe { GLOBAL.dealloc(block.as_ptr(), layout(size, 8)) };
        true
    }));
    assert_eq!(seen, 20_020);
    assert!(visited(&heap).is_empty());
}

#[test]
fn a_visitor_that_panics_leaves_the_heap_in_order() {
    let _alone = alone();
    let heap = Heap::new().expect("memory");
    let block = heap.alloc(layout(64, 8)).expect("memory");
    assert!(catch_unwind(AssertUnwindSafe(|| heap.visit(|_, _| panic!("on purpose")))).is_err());
    assert_eq!(visited(&heap).keys().copied().collect::<Vec<_>>(), [block.as_ptr().addr()]);
    assert!(heap.alloc(layout(64, 8)).is_some());
}

#[test]
fn visits_go_on_while_other_threads_free() {
    let _alone = alone();
    let heap = Heap::new().expect("memory");
    let mut random = Random::new("visit and free", 53);
    for round in 0..30 {
        let mut stay = BTreeSet::new();
        let mut leave: [Vec<Sent>; 2] = [Vec::new(), Vec::new()];
        let mut all = BTreeSet::new();
        for n in 0..6000 {
            let wanted = layout(if n % 400 == 0 { 70_000 } else { random.size(11) }, 8);
            let block = heap.alloc(wanted).expect("memory").as_ptr();
            all.insert(block.addr());
            // In some rounds whole spans empty, and are retired during a visit.
            if random.below(if round % 3 == 0 { 1000 } else { 3 }) == 0 {
                stay.insert(block.addr());
            } else {
                leave[n % 2].push(Sent(block, wanted));
            }
        }
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let freeing: Vec<_> = leave
                .into_iter()
                .map(|blocks| {
                    scope.spawn(move || {
                        for sent in blocks {
                            // SAFETY: a block in use, freed once with its layout.
                            unsafe { GLOBAL.dealloc(sent.0, sent.1) };
                        }
                    })
                })
                .collect();
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let seen: BTreeSet<usize> = visited(&heap).into_keys().collect();
                    assert!(stay.is_subset(&seen), "a block in use was not shown");
                    assert!(seen.is_subset(&all), "a block was shown that never was");
                }
            });
            for thread in freeing {
                thread.join().expect("no panic");
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(visited(&heap).into_keys().eq(stay.iter().copied()), "round {round}");
        heap.visit(|block, size| {
            // SAFETY: a block in use that nobody else has.
            unsafe { GLOBAL.dealloc(block.as_ptr(), layout(size, 8)) };
            true
        });
    }
}

#[test]
fn a_batch_of_the_thread_heap_is_as_good_as_single_blocks() {
    let _alone = alone();
    let mut random = Random::new("batches", 54);
    let mut live: Vec<(NonNull<u8>, usize)> = Vec::new();
    let mut addresses = BTreeSet::new();
    for round in 0..300 {
        let size = random.size(if round % 20 == 0 { 17 } else { 10 });
        let align = 1 << random.below(8);
        let mut out = vec![MaybeUninit::uninit(); random.below(400)];
        assert_eq!(stratalloc::raw::alloc_batch(size, align, &mut out), out.len());
        for block in out {
            // SAFETY: all were filled.
            let block = unsafe { block.assume_init() };
            assert!(block.as_ptr().addr().is_multiple_of(align));
            assert!(addresses.insert(block.as_ptr().addr()), "handed out twice");
            // SAFETY: a fresh block.
            unsafe {
                assert!(usable_size(block.as_ptr()) >= size);
                common::fill(block.as_ptr(), size, size as u8);
            }
            live.push((block, size));
        }
        while live.len() > 3000 {
            let (block, size) = live.swap_remove(random.below(live.len()));
            addresses.remove(&block.as_ptr().addr());
            // SAFETY: a block in use, freed once.
            unsafe {
                assert!(common::holds(block.as_ptr(), size, size as u8));
                GLOBAL.dealloc(block.as_ptr(), layout(size, 1));
            }
        }
    }
    for (block, size) in live {
        // SAFETY: as above.
        unsafe { GLOBAL.dealloc(block.as_ptr(), layout(size, 1)) };
    }
    // More than there can be: as many as there are, and the rest of `out` is as it was.
    let mut out = [MaybeUninit::uninit(); 3];
    assert_eq!(stratalloc::raw::alloc_batch(isize::MAX as usize, 16, &mut out), 0);
    assert_eq!(stratalloc::raw::alloc_batch(usize::MAX, 16, &mut out), 0);
}

#[test]
fn a_block_expands_where_it_is_or_not_at_all() {
    let _alone = alone();
    let heap = Heap::new().expect("memory");
    for own in [true, false] {
        for size in [1, 100, 32_768, 32_769, 65_536, 100_000, 1 << 20] {
            let wanted = layout(size, 8);
            // SAFETY: blocks in use until freed once below; the layouts are not empty.
            unsafe {
                let block = if own { heap.alloc(wanted) } else { NonNull::new(GLOBAL.alloc(wanted)) };
                let block = block.expect("memory").as_ptr();
                common::fill(block, size, 7);
                let usable = usable_size(block);
                for more in [0, size, usable, usable + 1, usable + 4096, usable * 2, 1 << 46, usize::MAX] {
                    let before = usable_size(block);
                    let grown = stratalloc::raw::expand(block, more);
                    let now = usable_size(block);
                    assert!(if grown { now >= more && now >= before } else { now == before }, "{size} to {more}");
                    assert!(grown || more > before, "{size} to {more} fits already");
                }
                // What was promised can be used.
                let now = usable_size(block);
                assert!(common::holds(block, size, 7));
                common::fill(block, now, 8);
                assert!(common::holds(block, now, 8));
                if own {
                    heap.dealloc(NonNull::new(block).expect("a block"), wanted)
                } else {
                    GLOBAL.dealloc(block, wanted)
                }
            }
        }
    }
    // Where every other of many large blocks was freed, those left have room behind them.
    let wanted = layout(100_000, 8);
    let blocks: Vec<NonNull<u8>> = (0..64).map(|_| heap.alloc(wanted).expect("memory")).collect();
    for block in blocks.iter().skip(1).step_by(2) {
        // SAFETY: a block in use, freed once with its layout.
        unsafe { heap.dealloc(*block, wanted) };
    }
    // SAFETY: blocks in use.
    let grown =
        blocks.iter().step_by(2).filter(|block| unsafe { stratalloc::raw::expand(block.as_ptr(), 180_000) });
    assert!(grown.count() >= 16, "few of 32 blocks grew into the free memory behind them");
}

//! What the process may use: when it is asked for, the soft limit and its callback, smaller caches.
#![cfg(not(loom))]

mod common;

use common::Owned;
use common::random::Random;
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use stratalloc_core::class::SLICE;
use stratalloc_core::heap::Heap;
use stratalloc_core::options::Options;
use stratalloc_core::os::{Bound, Source, SystemLimits};
use stratalloc_core::stats::{Limits, Snapshot};
use stratalloc_os::mock::{Call, Mock};

/// A large block, and whole slices, whatever a slice is.
const PIECE: usize = 64 << 10;
const MIB: usize = 1 << 20;

fn bound(value: usize, source: Source) -> Bound {
    Bound { value: value as u64, source }
}

/// A system with that much memory and that many CPUs, in a cgroup of version 2.
fn system(max: usize, cpus: usize) -> SystemLimits {
    SystemLimits {
        cpus: bound(cpus, Source::CgroupV2),
        memory_max: if max == 0 { Bound::NONE } else { bound(max, Source::CgroupV2) },
        memory_high: Bound::NONE,
    }
}

/// No purge but by budget.
fn patient() -> Options {
    Options::DEFAULT.with_purge_delay(3_600_000).with_purge_thread(false)
}

/// What the callback saw, and what it does.
struct Calls {
    count: AtomicUsize,
    held: AtomicUsize,
    limit: AtomicUsize,
    purges: Cell<u64>,
    inside: AtomicBool,
    work: Cell<Option<Box<dyn Fn()>>>,
    mock: Mock,
}

unsafe extern "C" fn called(held: usize, limit: usize, argument: *mut u8) {
    // SAFETY: `Rig::new` gave it, and outlives the allocator.
    let calls = unsafe { &*argument.cast::<Calls>() };
    assert!(!calls.inside.swap(true, SeqCst), "the callback was entered twice");
    calls.count.fetch_add(1, SeqCst);
    calls.held.store(held, SeqCst);
    calls.limit.store(limit, SeqCst);
    calls.purges.set(calls.mock.count(Call::Purge) + calls.mock.count(Call::Unmap));
    if let Some(work) = calls.work.take() {
        work();
        calls.work.set(Some(work));
    }
    calls.inside.store(false, SeqCst);
}

struct Rig {
    mock: Mock,
    calls: Box<Calls>,
    allocator: Owned,
    heap: *mut Heap,
}

impl Rig {
    fn new(options: Options, limits: SystemLimits) -> Self {
        let mock = Mock::new(4096);
        mock.set_limits(limits);
        let allocator = Owned::new(&mock);
        allocator.config.apply(&options);
        allocator.refresh_limits(false);
        let heap = allocator.adopt();
        assert!(!heap.is_null());
        let calls = Box::new(Calls {
            count: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            limit: AtomicUsize::new(0),
            purges: Cell::new(0),
            inside: AtomicBool::new(false),
            work: Cell::new(None),
            mock: mock.clone(),
        });
        let argument = std::ptr::from_ref::<Calls>(&calls).cast_mut().cast();
        // SAFETY: `calls` lives as long as the allocator is used.
        unsafe { allocator.on_soft_limit(Some(called), argument) };
        Self { mock, calls, allocator, heap }
    }

    /// As a program's call: the soft limit has its turn where it leaves the allocator.
    fn alloc(&self, size: usize) -> *mut u8 {
        // SAFETY: our heap.
        let block = unsafe { self.allocator.alloc(self.heap, size, 16) };
        self.outside();
        assert!(!block.is_null());
        block
    }

    fn outside(&self) {
        if self.allocator.is_soft_limit_due() {
            // SAFETY: our heap, whose work is done.
            unsafe { self.allocator.at_soft_limit(self.heap.cast()) };
        }
    }

    fn free(&self, block: *mut u8) {
        // SAFETY: our heap and block.
        unsafe { self.allocator.dealloc(self.heap, block) };
    }

    fn figures(&self) -> Snapshot {
        self.allocator.figures(self.heap)
    }

    fn limits(&self) -> Limits {
        self.allocator.effective_limits()
    }

    fn count(&self) -> usize {
        self.calls.count.load(SeqCst)
    }
}

#[test]
fn the_system_is_asked_when_sixteen_mebibytes_are_mapped_and_again_when_the_answer_is_old() {
    let rig = Rig::new(Options::DEFAULT, system(100 * MIB, 1));
    let mut blocks = Vec::new();
    while rig.figures().mapped < 16 * MIB {
        assert_eq!(rig.mock.count(Call::Limits), 0);
        assert!(!rig.limits().cpus.is_some());
        blocks.push(rig.alloc(200 << 10));
    }
    assert_eq!(rig.mock.count(Call::Limits), 1);
    assert_eq!(rig.limits().soft_limit, bound(100 * MIB - 100 * MIB / 8, Source::CgroupV2));
    // While it is fresh nothing asks, however much is mapped.
    rig.free(rig.alloc(40 * MIB));
    rig.mock.advance(1999);
    let large = rig.alloc(50 * MIB);
    assert_eq!(rig.mock.count(Call::Limits), 1);
    rig.mock.set_limits(system(200 * MIB, 2));
    rig.mock.advance(3);
    rig.free(large);
    assert_eq!(rig.mock.count(Call::Limits), 2, "a purge finds the reading old");
    assert_eq!(rig.limits().memory_max, bound(200 * MIB, Source::CgroupV2));
    rig.mock.advance(2001);
    let large = rig.alloc(60 * MIB);
    assert_eq!(rig.mock.count(Call::Limits), 3, "so does memory that is mapped");
    rig.free(large);
    blocks.into_iter().for_each(|block| rig.free(block));
}

#[test]
fn a_purge_thread_reads_anew_too() {
    let rig = Rig::new(Options::DEFAULT.with_dirty_min(4 * MIB), system(200 * MIB, 1));
    rig.mock.set_threaded(true);
    let keep = rig.alloc(20 * MIB);
    rig.free(rig.alloc(3 * MIB));
    assert!(rig.mock.has_purger());
    let before = rig.mock.count(Call::Limits);
    rig.mock.set_limits(system(100 * MIB, 4));
    rig.mock.advance(2500);
    Mock::as_thread(4, || rig.mock.run_purger());
    assert_eq!(rig.mock.count(Call::Limits), before + 1);
    assert_eq!(rig.limits().cpus, bound(4, Source::CgroupV2));
    rig.free(keep);
}

#[test]
fn without_follow_cgroup_nobody_asks_and_nothing_shrinks() {
    let rig = Rig::new(Options::DEFAULT.with_follow_cgroup(false), system(MIB, 1));
    let blocks = [(); 40].map(|()| rig.alloc(MIB));
    rig.mock.advance(10_000);
    blocks.into_iter().for_each(|block| rig.free(block));
    assert_eq!(rig.mock.count(Call::Limits), 0);
    assert_eq!((rig.count(), rig.limits().soft_limit, rig.limits().parked_limit), (0, Bound::NONE, 16));
}

#[test]
fn the_soft_limit_is_the_option_or_memory_high_or_seven_eighths_of_memory_max() {
    let high =
        |high: usize, max: usize| SystemLimits { memory_high: bound(high, Source::CgroupV1), ..system(max, 1) };
    for (option, limits, expected) in [
        (0, system(0, 1), Bound::NONE),
        (0, system(800, 1), bound(700, Source::CgroupV2)),
        (0, high(500, 800), bound(500, Source::CgroupV1)),
        (0, high(900, 800), bound(700, Source::CgroupV2)),
        (0, high(900, 0), bound(900, Source::CgroupV1)),
        (12345, high(500, 800), bound(12345, Source::Option)),
    ] {
        let rig = Rig::new(Options::DEFAULT.with_soft_limit(option), limits);
        rig.allocator.refresh_limits(true);
        assert_eq!(rig.limits().soft_limit, expected, "{option} {limits:?}");
    }
}

#[test]
fn the_soft_limit_purges_first_and_calls_only_if_that_was_not_enough() {
    let rig = Rig::new(patient().with_soft_limit(20 * MIB).with_dirty_min(64 * MIB), system(0, 1));
    // Every other of these stays, so what is freed serves no larger block.
    let blocks: Vec<_> = (0..128).map(|_| rig.alloc(PIECE)).collect();
    for pair in blocks.chunks(2) {
        rig.free(pair[0]);
    }
    let Snapshot { active, dirty, .. } = rig.figures();
    assert_eq!((active, dirty), (4 * MIB, 4 * MIB));
    assert_eq!(rig.mock.count(Call::Purge), 0);
    let large = rig.alloc(14 * MIB);
    assert_eq!(rig.figures().dirty, 0, "18 MiB in use, 22 with what was dirty");
    assert!(rig.mock.count(Call::Purge) > 0);
    assert_eq!((rig.count(), rig.limits().soft_crossings), (0, 0), "that was enough");
    let purges = rig.mock.count(Call::Purge);
    let second = rig.alloc(3 * MIB);
    assert_eq!((rig.count(), rig.limits().soft_crossings), (1, 1));
    assert_eq!(rig.calls.limit.load(SeqCst), 20 * MIB);
    assert_eq!(rig.calls.held.load(SeqCst), 21 * MIB);
    assert!(rig.calls.purges.get() >= purges, "what was purged was purged before the call");
    for block in [large, second] {
        rig.free(block);
    }
    for pair in blocks.chunks(2) {
        rig.free(pair[1]);
    }
}

#[test]
fn an_excursion_calls_once_and_the_next_begins_below_seven_eighths() {
    let rig = Rig::new(patient().with_soft_limit(16 * MIB), system(0, 1));
    let base = [(); 12].map(|()| rig.alloc(MIB));
    let mut more = Vec::new();
    for _ in 0..40 {
        more.push(rig.alloc(MIB));
    }
    assert_eq!(rig.count(), 1, "52 MiB: one excursion");
    // Back to 15 MiB: below the limit, not far enough for another call.
    while more.len() > 3 {
        rig.free(more.pop().unwrap());
    }
    let above = [(); 3].map(|()| rig.alloc(MIB));
    assert_eq!(rig.count(), 1);
    above.into_iter().for_each(|block| rig.free(block));
    // Below 14 MiB, with what is dirty: the next excursion is a new one.
    more.into_iter().for_each(|block| rig.free(block));
    rig.allocator.trim(0);
    rig.free(rig.alloc(PIECE));
    let above = [(); 6].map(|()| rig.alloc(MIB));
    assert_eq!((rig.count(), rig.limits().soft_crossings), (2, 2));
    above.into_iter().chain(base).for_each(|block| rig.free(block));
}

#[test]
fn near_the_limit_half_of_what_is_left_may_be_dirty_and_beyond_it_a_little() {
    let rig = Rig::new(patient().with_soft_limit(64 * MIB).with_dirty_min(32 * MIB), system(0, 1));
    let mut blocks: Vec<_> = (0..60).map(|_| rig.alloc(MIB)).collect();
    for block in blocks.drain(..20) {
        rig.free(block);
        let Snapshot { active, dirty, .. } = rig.figures();
        assert!(dirty <= (64 * MIB - active) / 2, "{dirty} of {active}");
    }
    assert_eq!(rig.figures().dirty, 12 * MIB, "40 MiB in use");
    blocks.extend((0..40).map(|_| rig.alloc(MIB)));
    assert_eq!(rig.count(), 1);
    rig.free(blocks.pop().unwrap());
    assert_eq!((rig.figures().active, rig.figures().dirty), (79 * MIB, MIB), "a sixty-fourth of the limit");
    rig.free(blocks.pop().unwrap());
    assert_eq!(rig.figures().dirty, MIB);
    blocks.into_iter().for_each(|block| rig.free(block));
}

#[test]
fn the_callback_may_allocate_free_and_ask_and_is_not_entered_again() {
    let rig = Rig::new(patient().with_soft_limit(8 * MIB), system(0, 1));
    let cache: Vec<_> = (0..6).map(|_| rig.alloc(MIB)).collect();
    let this = std::ptr::from_ref(&rig) as usize;
    let dropped = cache.clone();
    let once = Cell::new(false);
    rig.calls.work.set(Some(Box::new(move || {
        // SAFETY: the rig outlives the test's calls.
        let rig = unsafe { &*(this as *const Rig) };
        // Far beyond the limit, small and large: nothing is called.
        let small: Vec<_> = (0..1000).map(|n| rig.alloc(n)).collect();
        rig.free(rig.alloc(20 * MIB));
        small.into_iter().for_each(|block| rig.free(block));
        assert!(rig.figures().allocated > 0);
        if !once.replace(true) {
            dropped.iter().for_each(|&block| rig.free(block));
        }
    })));
    let block = rig.alloc(4 * MIB);
    assert_eq!(rig.count(), 1);
    rig.calls.work.set(None);
    // What the callback freed ended the excursion: the next one calls again.
    let more = [(); 5].map(|()| rig.alloc(MIB));
    assert_eq!(rig.count(), 2);
    more.into_iter().for_each(|block| rig.free(block));
    rig.free(block);
}

#[test]
fn a_callback_that_is_taken_away_is_not_called() {
    let rig = Rig::new(patient().with_soft_limit(8 * MIB), system(0, 1));
    // SAFETY: nothing is called.
    unsafe { rig.allocator.on_soft_limit(None, null_mut()) };
    rig.free(rig.alloc(20 * MIB));
    assert_eq!((rig.count(), rig.limits().soft_crossings), (0, 1));
}

#[test]
fn blocks_that_grow_in_place_count() {
    let rig = Rig::new(patient().with_soft_limit(8 * MIB), system(0, 1));
    // A region with room behind the block.
    rig.free(rig.alloc(32 * MIB));
    rig.allocator.trim(0);
    let before = rig.count();
    rig.free(rig.alloc(PIECE));
    let block = rig.alloc(4 * MIB);
    assert_eq!(rig.count(), before);
    // SAFETY: our block.
    let grown = unsafe { rig.allocator.realloc(rig.heap, block, 20 * MIB, 16) };
    rig.outside();
    assert_eq!(rig.count(), before + 1);
    rig.free(grown);
}

#[test]
fn parked_heaps_follow_the_cpus_and_the_option() {
    for (cpus, option, expected) in [(1, 16, 8), (2, 16, 16), (64, 16, 16), (1, 3, 3), (1, 0, 0)] {
        let rig = Rig::new(Options::DEFAULT.with_parked_heaps(option), system(0, cpus));
        rig.allocator.refresh_limits(true);
        assert_eq!(rig.limits().parked_limit, expected);
        let heaps: Vec<_> = (0..20).map(|_| rig.allocator.adopt()).collect();
        for &heap in &heaps {
            // SAFETY: our heaps, each parked once.
            unsafe {
                let block = rig.allocator.alloc(heap, 100, 16);
                rig.allocator.dealloc(heap, block);
                rig.allocator.park(heap);
            }
        }
        assert_eq!(rig.figures().parked, expected, "{cpus} CPUs");
    }
}

#[test]
fn empty_spans_that_heaps_keep_are_an_eighth_of_the_soft_limit_in_all() {
    let kept = |soft: usize, heaps: usize| {
        let rig = Rig::new(patient().with_soft_limit(soft), system(0, 1));
        let others: Vec<_> = (1..heaps).map(|_| rig.allocator.adopt()).collect();
        rig.allocator.refresh_limits(false);
        let limit = rig.limits().kept_limit as usize;
        // Classes of few blocks a span, each used and emptied.
        for size in [4 << 10, 5 << 10, 6 << 10, 8 << 10, 10 << 10, 12 << 10, 16 << 10, 20 << 10, 32 << 10] {
            let blocks: Vec<_> = (0..40).map(|_| rig.alloc(size)).collect();
            blocks.into_iter().for_each(|block| rig.free(block));
        }
        let active = rig.figures().active;
        assert!(active <= limit + SLICE, "{active} bytes in empty spans, {limit} allowed");
        for heap in others {
            // SAFETY: our heaps.
            unsafe { rig.allocator.park(heap) };
        }
        limit
    };
    assert_eq!(kept(0, 1), 512 << 10);
    assert_eq!(kept(64 * MIB, 1), 512 << 10);
    assert_eq!(kept(16 * MIB, 8), 256 << 10);
    assert_eq!(kept(2 * MIB, 16), 16 << 10);
}

#[test]
fn a_limit_that_comes_down_below_what_is_held_is_found_by_the_next_span() {
    let rig = Rig::new(patient().with_dirty_min(0).with_dirty_percent(0), system(1 << 30, 1));
    let blocks = [(); 40].map(|()| rig.alloc(MIB));
    let extra = [(); 2].map(|()| rig.alloc(MIB));
    rig.mock.set_limits(system(16 * MIB, 1));
    rig.mock.advance(2500);
    rig.free(extra[0]);
    assert_eq!((rig.count(), rig.limits().soft_limit.value), (0, 14 * MIB as u64));
    let small = rig.alloc(PIECE);
    assert_eq!(rig.count(), 1);
    [small, extra[1]].into_iter().chain(blocks).for_each(|block| rig.free(block));
}

#[test]
fn refused_purges_and_unknown_limits_change_nothing_but_the_figures() {
    let rig = Rig::new(patient().with_soft_limit(16 * MIB).with_dirty_min(8 * MIB), system(0, 1));
    rig.mock.fail_after(Call::Purge, 0);
    rig.mock.fail_after(Call::Unmap, 0);
    let blocks: Vec<_> = (0..256).map(|_| rig.alloc(PIECE)).collect();
    for pair in blocks.chunks(2) {
        rig.free(pair[0]);
    }
    let larges: Vec<_> = (0..30).map(|_| rig.alloc(MIB)).collect();
    assert_eq!(rig.count(), 1);
    for pair in blocks.chunks(2) {
        rig.free(pair[1]);
    }
    rig.mock.heal();
    larges.into_iter().for_each(|block| rig.free(block));
    rig.allocator.trim(0);
    assert_eq!(rig.figures().dirty, 0);

    let rig = Rig::new(Options::DEFAULT, system(32 * MIB, 1));
    rig.mock.fail_after(Call::Limits, 0);
    let block = rig.alloc(64 * MIB);
    assert_eq!((rig.mock.count(Call::Limits), rig.limits().soft_limit), (1, Bound::NONE));
    rig.free(block);
}

#[test]
fn the_option_limit_takes_free_memory_of_all_nodes_before_it_refuses() {
    let mock = Mock::new(4096);
    mock.set_nodes(2);
    let allocator = Owned::new(&mock);
    allocator.config.apply(&patient().with_limit(32 * MIB).with_dirty_min(64 * MIB));
    Mock::enter_node(0);
    let first = allocator.adopt();
    Mock::enter_node(1);
    let second = allocator.adopt();
    // SAFETY: our heaps and blocks.
    unsafe {
        let block = allocator.alloc(first, 20 * MIB, 16);
        assert!(!block.is_null());
        assert!(allocator.alloc(second, 20 * MIB, 16).is_null(), "20 of 32 MiB are in use");
        allocator.dealloc(first, block);
        let block = allocator.alloc(second, 20 * MIB, 16);
        assert!(!block.is_null(), "nothing is");
        assert!(mock.mapped() < 40 * MIB);
        allocator.dealloc(second, block);
    }
    Mock::enter_node(0);
}

#[test]
fn nodes_share_the_soft_limit() {
    let mock = Mock::new(4096);
    mock.set_nodes(3);
    let allocator = Owned::new(&mock);
    allocator.config.apply(&patient().with_soft_limit(48 * MIB).with_dirty_min(64 * MIB));
    allocator.refresh_limits(false);
    let crossings = || allocator.effective_limits().soft_crossings;
    let mut held = 0;
    let mut blocks = Vec::new();
    let heaps = [0, 1, 2].map(|node| {
        Mock::enter_node(node);
        allocator.adopt()
    });
    for round in 0..90 {
        let heap = heaps[if round < 30 { 0 } else { round % 3 }];
        // SAFETY: our heap.
        unsafe {
            let block = allocator.alloc(heap, MIB, 16);
            if allocator.is_soft_limit_due() {
                allocator.at_soft_limit(heap.cast());
            }
            held += MIB;
            blocks.push((heap, block));
        }
        if held <= 48 * MIB {
            assert_eq!(crossings(), 0, "{held}");
        }
        if held > (48 + 3 * 2) * MIB {
            assert_eq!(crossings(), 1, "{held}");
        }
    }
    for (heap, block) in blocks {
        // SAFETY: our blocks.
        unsafe { allocator.dealloc(heap, block) };
    }
    Mock::enter_node(0);
}

/// Models threads that cross the limit over and over at the same time, while another sets the callback: it
/// is never entered by two, nothing hangs, and blocks stay whole.
#[test]
fn many_threads_around_the_limit() {
    static INSIDE: AtomicUsize = AtomicUsize::new(0);
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn one_at_a_time(held: usize, limit: usize, argument: *mut u8) {
        assert_eq!(INSIDE.fetch_add(1, SeqCst), 0, "two threads are in the callback");
        assert!(held > limit && limit == 4 * MIB && argument.addr().is_multiple_of(7));
        COUNT.fetch_add(1, SeqCst);
        std::thread::yield_now();
        INSIDE.fetch_sub(1, SeqCst);
    }
    let rounds = 40 * std::env::var("STRATALLOC_STRESS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let seed = common::random::seed("many_threads_around_the_limit");
    let mock = Mock::new(4096);
    mock.set_threaded(true);
    let allocator = Owned::new(&mock);
    allocator.config.apply(&Options::DEFAULT.with_soft_limit(4 * MIB).with_purge_thread(false));
    allocator.refresh_limits(false);
    let done = AtomicBool::new(false);
    let barrier = Barrier::new(4);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (allocator, barrier) = (&allocator, &barrier);
                scope.spawn(move || {
                    let mut random = Random::new(seed + thread);
                    let heap = allocator.adopt();
                    for round in 0..rounds {
                        if round % 2 == 0 {
                            // Everything is free: the excursion is over.
                            barrier.wait();
                        }
                        let mut blocks = Vec::new();
                        for _ in 0..random.below(200) {
                            let size = random.size(18);
                            // SAFETY: our heap; blocks of at least `size` bytes.
                            unsafe {
                                let block = allocator.alloc(heap, size, 16);
                                if allocator.is_soft_limit_due() {
                                    allocator.at_soft_limit(heap.cast());
                                }
                                block.write_bytes(size as u8, size.min(64));
                                blocks.push((block, size));
                            }
                        }
                        for (block, size) in blocks {
                            // SAFETY: our block, freed once.
                            unsafe {
                                assert!((0..size.min(64)).all(|at| block.add(at).read() == size as u8));
                                allocator.dealloc(heap, block);
                            }
                        }
                    }
                    // SAFETY: our heap, not used after.
                    unsafe { allocator.park(heap) };
                })
            })
            .collect();
        let (allocator, done) = (&allocator, &done);
        let setter = scope.spawn(move || {
            let mut number = 0;
            while !done.load(SeqCst) {
                number += 7;
                let callback = (number % 2 == 1).then_some(one_at_a_time as unsafe extern "C" fn(_, _, _));
                // SAFETY: the argument is a number.
                unsafe { allocator.on_soft_limit(callback, std::ptr::without_provenance_mut(number)) };
                std::thread::yield_now();
            }
        });
        threads.into_iter().for_each(|thread| thread.join().expect("a thread"));
        done.store(true, SeqCst);
        setter.join().expect("the setter");
    });
    assert_eq!(INSIDE.load(SeqCst), 0);
    let crossings = allocator.effective_limits().soft_crossings;
    println!("{crossings} crossings, {} calls", COUNT.load(SeqCst));
    assert!(crossings > 0 && COUNT.load(SeqCst) as u64 <= crossings);
}

#[test]
fn a_forks_child_is_not_stopped_by_what_other_threads_were_at() {
    let rig = Rig::new(patient().with_soft_limit(8 * MIB), system(0, 1));
    let this = std::ptr::from_ref(&rig) as usize;
    // Another thread is in the callback when this one forks.
    rig.calls.work.set(Some(Box::new(move || {
        // SAFETY: the rig outlives the test's calls.
        let rig = unsafe { &*(this as *const Rig) };
        Mock::as_thread(400, || {
            rig.allocator.fork_prepare();
            // SAFETY: the test plays the child; its own heap is none of these.
            unsafe { rig.allocator.fork_child(null_mut()) };
            // Would wait for ever for a thread that is not here.
            // SAFETY: no callback.
            unsafe { rig.allocator.on_soft_limit(None, null_mut()) };
        });
    })));
    let block = Mock::as_thread(200, || {
        // SAFETY: our heap.
        let block = unsafe { rig.allocator.alloc(rig.heap, 20 * MIB, 16) };
        rig.outside();
        block
    });
    assert!(!block.is_null());
    assert_eq!(rig.count(), 1);
}

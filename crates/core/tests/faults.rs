//! Fault injection: each call of the system in turn is refused.
//!
//! A scripted life of a process (many classes, large blocks, growth, threads that come and go, trims) is
//! run again and again, with the first, the second … call of a kind refused, until the script makes no
//! more calls of that kind. Whatever is refused: a request may fail, but the blocks in use are untouched
//! (the oracle looks), the same request succeeds once the system has memory again, and in the end
//! everything can be freed.
#![cfg(not(loom))]

mod common;

use common::Owned;
use common::oracle::{Op, Oracle, THREADS};
use common::random::Random;
use std::sync::Barrier;
use stratalloc_core::class::{CLASSES, SLICE, size_of_class};
use stratalloc_core::options::Options;
use stratalloc_core::os::Moved;
use stratalloc_core::stats::Snapshot;
use stratalloc_os::mock::{Call, Mock};

const MIB: usize = 1 << 20;

/// A request; if it is refused, the blocks are checked, and it is made again. With `healed`, after the
/// system got well; else it may be refused as often as it likes.
fn request(oracle: &mut Oracle, healed: bool, mut ask: impl FnMut(&mut Oracle) -> bool) {
    if !ask(oracle) {
        oracle.check_contents();
        if healed {
            oracle.mock.heal();
            assert!(ask(oracle), "refused with nothing in the way");
        }
    }
}

/// The script. `healed`: as for [`request`].
fn script(oracle: &mut Oracle, healed: bool) {
    let mut random = Random::new(1);
    // Every class, from every thread, so that metadata and regions grow.
    for class in 0..CLASSES {
        for thread in 0..THREADS {
            request(oracle, healed, |o| o.alloc(thread, size_of_class(class), 16, class % 2 == 0));
        }
    }
    oracle.step(&Op::Leave { heap: 1 });
    // First-class heaps and the late heap.
    for heap in THREADS..THREADS + 3 {
        request(oracle, healed, |o| o.alloc(heap, 100, 16, false));
        request(oracle, healed, |o| o.alloc(heap, 100_000, 16, true));
    }
    // Large blocks of many lengths and alignments.
    for log in 15..=22 {
        request(oracle, healed, |o| o.alloc(log % 2, (1 << log) + 1, 16, true));
        request(oracle, healed, |o| o.alloc(0, 70_000, 1 << log.min(20), false));
    }
    // Growth: in place where there is room, moved where a block of another thread is in the way.
    request(oracle, healed, |o| o.alloc(2, 1000, 16, false));
    for size in [40_000, 400_000, 3 * MIB, 10 * MIB, 9 * MIB, 35 * MIB, 2 * MIB, 300_000, 100] {
        if let Some(last) = oracle.live().checked_sub(1) {
            request(oracle, healed, |o| o.realloc(2, last, size));
        }
        request(oracle, healed, |o| o.alloc(0, 40_000, 16, false));
        if let Some(before) = oracle.live().checked_sub(2) {
            oracle.swap(before, before + 1);
        }
    }
    // Frees of every third block, from wherever; what is dirty is purged.
    oracle.step(&Op::DeallocMany { heap: 3, step: 3 });
    oracle.step(&Op::Trim { heap: Some(0), keep: 1 << 16 });
    oracle.step(&Op::Leave { heap: 3 });
    oracle.step(&Op::Pass { ms: 2000 });
    for _ in 0..100 {
        let (heap, size) = (random.below(THREADS), random.size(18));
        request(oracle, healed, |o| o.alloc(heap, size, 16, true));
    }
    oracle.step(&Op::Destroy { heap: 0 });
    oracle.step(&Op::DeallocMany { heap: 0, step: 2 });
    oracle.step(&Op::Trim { heap: None, keep: 0 });
    oracle.check_contents();
}

fn oracle(moved: Moved) -> Oracle {
    // Little may stay dirty, so that there are purges; few heaps are parked, so that spans are orphaned.
    let options = Options::DEFAULT.with_dirty_min(128 << 10).with_dirty_percent(1).with_parked_heaps(1);
    let mut oracle = Oracle::new(4096, &options);
    oracle.mock.set_threaded(true);
    oracle.mock.remap_as(moved);
    oracle.faults = true;
    oracle
}

/// Runs the script with the n-th call of a kind refused, for all n; returns how many there were.
fn each_call_in_turn(call: Call, moved: Moved) -> u64 {
    for n in 1.. {
        let mut oracle = oracle(moved);
        oracle.mock.fail_nth(call, n);
        script(&mut oracle, true);
        let calls = oracle.mock.count(call);
        oracle.finish();
        if calls < n {
            return n - 1;
        }
    }
    unreachable!()
}

/// Runs the script with all calls of a kind refused from the n-th on, for every `step`-th n.
fn from_each_call_on(call: Call, moved: Moved, step: u64) {
    let mut n = 0;
    loop {
        let mut oracle = oracle(moved);
        oracle.mock.fail_after(call, n);
        script(&mut oracle, false);
        let calls = oracle.mock.count(call);
        oracle.finish();
        if calls <= n {
            return;
        }
        n += step;
    }
}

#[test]
fn a_refused_map_fails_one_request_at_most() {
    assert!(each_call_in_turn(Call::Map, Moved::SourceZero) > 10);
}

#[test]
fn a_refused_purge_is_made_up_for() {
    assert!(each_call_in_turn(Call::Purge, Moved::SourceZero) > 20);
}

#[test]
fn a_refused_unmap_leaves_the_memory_in_use() {
    for moved in [Moved::SourceZero, Moved::SourceGone] {
        assert!(each_call_in_turn(Call::Unmap, moved) > 0);
    }
}

#[test]
fn a_refused_remap_is_a_copy() {
    for moved in [Moved::SourceZero, Moved::SourceGone] {
        assert!(each_call_in_turn(Call::Remap, moved) >= 3);
    }
}

#[test]
fn a_refused_purge_thread_changes_nothing() {
    assert!(each_call_in_turn(Call::Spawn, Moved::SourceZero) > 0);
}

#[test]
fn no_more_memory_from_any_point_on() {
    from_each_call_on(Call::Map, Moved::SourceZero, 1);
}

#[test]
fn no_purge_from_any_point_on() {
    from_each_call_on(Call::Purge, Moved::SourceZero, 7);
    from_each_call_on(Call::Unmap, Moved::SourceZero, 1);
}

#[test]
fn no_remap_from_any_point_on() {
    from_each_call_on(Call::Remap, Moved::SourceGone, 1);
    from_each_call_on(Call::Remap, Moved::SourceZero, 1);
}

/// Blocks of a few sizes until the first refusal; at the end half of them are freed, and there is room
/// again. Returns the figures at the refusal.
fn fill_up(oracle: &mut Oracle, size: usize) -> Snapshot {
    oracle.faults = true;
    let mut heap = 0;
    while oracle.alloc(heap % THREADS, size, 16, heap % 3 == 0) {
        heap += 1;
        assert!(heap < 200_000, "no limit");
    }
    let full = oracle.check_figures();
    oracle.check_contents();
    oracle.step(&Op::DeallocMany { heap: 2, step: 2 });
    // What is on its way home arrives.
    for heap in 0..THREADS {
        oracle.step(&Op::Settle { heap });
    }
    assert!(oracle.alloc(0, size, 16, true), "there is room for {size} bytes");
    full
}

#[test]
fn the_systems_limit_fails_requests_and_nothing_else() {
    for size in [200, 1000, 20_000, 100_000, 3 * MIB] {
        let mut oracle = Oracle::new(4096, &Options::DEFAULT);
        oracle.mock.limit(24 * MIB);
        let full = fill_up(&mut oracle, size);
        assert!(oracle.mock.peak() <= 24 * MIB);
        // What is refused at the limit is not much less than the limit.
        assert!(full.active >= 16 * MIB, "{} bytes in use, blocks of {size}", full.active);
        oracle.finish();
    }
}

#[test]
fn the_option_limits_what_is_mapped_for_blocks() {
    for size in [200, 1000, 20_000, 100_000, 3 * MIB] {
        let mut oracle = Oracle::new(4096, &Options::DEFAULT.with_limit(16 * MIB));
        let full = fill_up(&mut oracle, size);
        assert!(full.mapped <= 16 * MIB, "{} bytes mapped", full.mapped);
        assert!(full.active >= 12 * MIB, "{} bytes in use, blocks of {size}", full.active);
        oracle.finish();
    }
}

/// A limit of the process, not of each NUMA node.
#[test]
fn the_option_limits_all_nodes_together() {
    let mut oracle = Oracle::new(4096, &Options::DEFAULT.with_limit(32 * MIB));
    oracle.mock.set_nodes(2);
    oracle.faults = true;
    for thread in 0..2 {
        Mock::enter_node(thread);
        while oracle.alloc(thread, MIB, 16, false) {
            assert!(oracle.check_figures().mapped <= 32 * MIB);
        }
    }
    Mock::enter_node(0);
    assert!(oracle.check_figures().mapped > 16 * MIB);
    oracle.finish();
}

/// Threads that map at the same moment do not get beyond the limit together.
#[test]
fn the_option_limits_threads_that_map_at_once() {
    const THREADS: usize = 4;
    for _ in 0..50 {
        let mock = Mock::new(4096);
        let allocator = Owned::new(&mock);
        allocator.config.apply(&Options::DEFAULT.with_limit(8 * MIB));
        let barrier = Barrier::new(THREADS);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let heap = allocator.adopt();
                    barrier.wait();
                    // SAFETY: our heap.
                    while !unsafe { allocator.alloc(heap, MIB, 16) }.is_null() {}
                });
            }
        });
        let mut snapshot = Snapshot::EMPTY;
        // SAFETY: no heap.
        unsafe { allocator.snapshot(common::oracle::nobody(), &mut snapshot) };
        assert!(snapshot.mapped <= 8 * MIB, "{} bytes mapped", snapshot.mapped);
    }
}

/// Requests that no system can meet.
#[test]
fn impossible_requests_are_refused_without_a_trace() {
    let mut oracle = Oracle::new(4096, &Options::DEFAULT);
    oracle.faults = true;
    assert!(oracle.alloc(0, 3 * SLICE, 16, false) && oracle.alloc(0, 100, 16, false));
    let before = oracle.check_figures();
    for size in [1 << 47, 1 << 62, isize::MAX as usize, isize::MAX as usize + 1, usize::MAX - 4095, usize::MAX] {
        assert!(!oracle.alloc(0, size, 16, false), "{size:#x} bytes");
        assert!(!oracle.alloc(0, size, 1 << 20, true), "{size:#x} bytes");
        assert!(!oracle.realloc(0, 0, size) && !oracle.realloc(0, 1, size));
    }
    for log in [47, 48, 62, 63] {
        assert!(!oracle.alloc(0, 16, 1 << log, false), "alignment 2^{log}");
        assert!(!oracle.alloc(0, MIB, 1 << log, true), "alignment 2^{log}");
    }
    let after = oracle.check_figures();
    // Free runs may have been given back in the attempt.
    assert!(before.active == after.active && before.mapped >= after.mapped);
    oracle.finish();
}

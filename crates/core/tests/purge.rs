//! Giving memory back: budgets, delays, the purge thread, whole runs.
#![cfg(not(loom))]

mod common;

use common::oracle::nobody;
use common::{Owned, Rig};
use std::ptr::null_mut;
use stratalloc_core::class::SLICE;
use stratalloc_core::options::Options;
use stratalloc_core::stats::Snapshot;
use stratalloc_os::mock::{Call, Mock};

const MIB: usize = 1 << 20;

impl Rig {
    fn dirty(&self) -> usize {
        self.figures().dirty
    }
}

/// No purge but by budget.
fn patient() -> Options {
    Options::DEFAULT.with_purge_delay(3_600_000).with_dirty_percent(0).with_dirty_min(0)
}

#[test]
fn dirty_min_may_stay_and_no_more() {
    let rig = Rig::new(4096, patient().with_dirty_min(MIB));
    let blocks = [(); 6].map(|()| rig.alloc(MIB / 2));
    for block in blocks {
        rig.free(block);
        assert!(rig.dirty() <= MIB);
    }
    assert_eq!(rig.dirty(), MIB);
    assert_eq!(rig.figures().purged as usize, 2 * MIB);
    assert_eq!(rig.figures().active, 0);
}

#[test]
fn the_budget_falls_with_the_use() {
    let rig = Rig::new(4096, patient().with_dirty_percent(50));
    let blocks = [(); 8].map(|()| rig.alloc(MIB));
    for (freed, block) in blocks.into_iter().enumerate() {
        rig.free(block);
        let active = (7 - freed) * MIB;
        let Snapshot { active: found, dirty, .. } = rig.figures();
        assert_eq!(found, active);
        assert_eq!(dirty, (active / 2).min((freed + 1) * MIB), "{active} bytes in use");
    }
    assert_eq!(rig.dirty(), 0);
}

#[test]
fn a_purge_takes_no_more_than_the_excess() {
    let rig = Rig::new(4096, patient().with_dirty_min(4 * MIB));
    let blocks = [(); 2].map(|()| rig.alloc(4 * MIB));
    rig.free(blocks[0]);
    assert_eq!((rig.dirty(), rig.mock.count(Call::Purge)), (4 * MIB, 0));
    rig.free(blocks[1]);
    assert_eq!(rig.dirty(), 4 * MIB);
    let purged: usize = rig.mock.take_purged().iter().map(|&(_, len)| len).sum();
    assert_eq!(purged, 4 * MIB);
}

#[test]
fn what_has_been_free_for_the_delay_goes_at_the_next_free() {
    let rig = Rig::new(4096, patient().with_dirty_min(64 * MIB).with_purge_delay(1000).with_purge_thread(false));
    // One region for all.
    rig.free(rig.alloc(8 * MIB));
    rig.allocator.trim(0);
    let [first, second, third] = [(); 3].map(|()| rig.alloc(MIB));
    let apart = rig.alloc(MIB);
    rig.free(first);
    rig.mock.advance(600);
    rig.free(third);
    rig.mock.advance(401);
    assert_eq!(rig.dirty(), 2 * MIB, "nothing happens by itself");
    rig.free(second);
    // It joined the two, and the run is as old as its parts on average: 533 ms.
    assert_eq!(rig.dirty(), 3 * MIB);
    rig.mock.advance(530);
    assert_eq!(rig.allocator.trim(64 * MIB), 0);
    rig.mock.advance(10);
    assert_eq!(rig.allocator.trim(64 * MIB), 3 * MIB);
    rig.free(apart);
    assert_eq!(rig.dirty(), MIB);
    rig.mock.advance(1000);
    assert_eq!(rig.allocator.trim(64 * MIB), 0, "exactly the delay is not beyond it");
    rig.mock.advance(1);
    assert_eq!(rig.allocator.trim(64 * MIB), MIB);
}

#[test]
fn a_purge_thread_runs_in_threaded_processes_and_ends_when_nothing_is_dirty() {
    let options = Options::DEFAULT.with_dirty_min(4 * MIB).with_dirty_percent(1).with_purge_delay(1000);
    let rig = Rig::new(4096, options);
    rig.free(rig.alloc(3 * MIB));
    assert!(!rig.mock.has_purger(), "one thread");
    rig.mock.set_threaded(true);
    let blocks = [(); 12].map(|()| rig.alloc(MIB));
    rig.free(blocks[0]);
    assert!(!rig.mock.has_purger(), "little is dirty");
    blocks[1..3].iter().for_each(|&block| rig.free(block));
    assert!(rig.mock.has_purger());
    assert_eq!(rig.mock.count(Call::Spawn), 1);
    // With it, all of the peak may wait.
    blocks[3..].iter().for_each(|&block| rig.free(block));
    assert_eq!(rig.dirty(), 12 * MIB);
    let turn = || Mock::as_thread(4, || rig.mock.run_purger());
    assert_eq!(turn(), Some(250));
    assert_eq!(rig.dirty(), 12 * MIB, "not yet");
    rig.mock.advance(1001);
    assert_eq!(turn(), Some(0));
    assert_eq!(rig.dirty(), 0);
    assert!(!rig.mock.has_purger());
    // The next one starts when there is something to do.
    rig.free(rig.alloc(3 * MIB));
    assert!(rig.mock.has_purger());
    assert_eq!(rig.mock.count(Call::Spawn), 2);
}

/// Another thread comes, frees the blocks and leaves.
fn free_elsewhere(rig: &Rig, blocks: Vec<*mut u8>) {
    Mock::as_thread(32, || {
        let other = rig.allocator.adopt();
        // SAFETY: that thread's heap; its blocks.
        unsafe {
            blocks.into_iter().for_each(|block| rig.allocator.dealloc(other, block));
            rig.allocator.park(other);
        }
    });
}

/// A thread freed a part of what it had and does nothing any more; others free the rest. Nothing is dirty that would start
/// a purge thread, nor is anything once the spans' lists are complete.
#[test]
fn what_a_sleeping_thread_left_goes_back_when_others_have_freed_the_rest() {
    let rig = Rig::new(4096, Options::DEFAULT.with_purge_delay(1000));
    rig.mock.set_threaded(true);
    let turn = || Mock::as_thread(4, || rig.mock.run_purger());
    let before = rig.figures().active;
    let mut left: Vec<_> = (0..16_000).map(|_| rig.alloc(512)).collect();
    let mut index = 0;
    left.retain(|&block| {
        index += 1;
        if index % 8 == 0 {
            rig.free(block);
        }
        index % 8 != 0
    });
    assert!(!rig.mock.has_purger(), "one block in eight");
    let last = left.pop().expect("a block");
    free_elsewhere(&rig, left);
    let held = rig.figures().active - before;
    assert!(held >= 7 * MIB, "{held} bytes are free, and the owner's");
    assert!(rig.mock.has_purger(), "complete lists are a reason");
    assert_eq!(turn(), Some(250), "the owner may be awake");
    assert_eq!(rig.figures().active - before, held);
    rig.mock.advance(250);
    assert_eq!(turn(), Some(250), "what went back is dirty now");
    let kept = rig.figures().active - before;
    assert!(kept <= MIB / 2, "{kept} bytes stay: the current span, and that of the last block");
    rig.mock.advance(1001);
    assert_eq!(turn(), Some(0));
    assert_eq!(rig.dirty(), 0);
    // The owner wakes up.
    rig.free(last);
    let blocks: Vec<_> = (0..16_000).map(|_| rig.alloc(512)).collect();
    blocks.into_iter().for_each(|block| rig.free(block));
    assert!(rig.figures().active - before <= MIB / 2);
}

#[test]
fn an_owner_that_is_awake_has_its_spans_again() {
    let rig = Rig::new(4096, Options::DEFAULT.with_purge_delay(1000));
    rig.mock.set_threaded(true);
    let turn = || Mock::as_thread(4, || rig.mock.run_purger());
    let mut blocks: Vec<_> = (0..16_000).map(|_| rig.alloc(512)).collect();
    blocks.iter().step_by(8).for_each(|&block| rig.free(block));
    let mut index = 0;
    blocks.retain(|_| {
        index += 1;
        index % 8 != 1
    });
    let mut next = || {
        free_elsewhere(&rig, blocks.drain(..1000).collect());
    };
    next();
    assert_eq!(turn(), Some(250));
    // It takes a span, and its tokens with it.
    let large = rig.alloc(32 << 10);
    next();
    let held = rig.figures().active;
    rig.mock.advance(250);
    assert_eq!(turn(), Some(250));
    assert_eq!(rig.figures().active, held, "nothing was taken from it");
    rig.free(large);
}

#[test]
fn what_a_heap_keeps_goes_back_when_no_thread_comes_for_it() {
    let rig = Rig::new(4096, Options::DEFAULT.with_purge_delay(1000).with_dirty_min(MIB));
    rig.mock.set_threaded(true);
    let turn = || Mock::as_thread(4, || rig.mock.run_purger());
    const LIVE: usize = 64;
    // A heap most of whose memory stays in use does not decline: it keeps spans.
    let leaves = || {
        let heap = rig.allocator.adopt();
        // SAFETY: our heap and blocks, until it is parked.
        unsafe {
            let live = [(); LIVE].map(|()| rig.allocator.alloc(heap, 32 << 10, 16));
            for step in 9..=16 {
                for log in 8..=11 {
                    let blocks = [(); 2].map(|()| rig.allocator.alloc(heap, step << log, 16));
                    blocks.into_iter().for_each(|block| rig.allocator.dealloc(heap, block));
                }
            }
            rig.allocator.park(heap);
            live
        }
    };
    let live = leaves();
    assert!(rig.mock.has_purger(), "it keeps a quarter of dirty_min");
    let in_use = LIVE * (32 << 10);
    let kept = rig.figures().active - in_use;
    assert!(kept >= 256 << 10, "{kept} bytes are kept for the next thread");
    // Not while a thread might come.
    assert_eq!(turn(), Some(250));
    assert_eq!(rig.figures().active, kept + in_use);
    // The next thread finds it all, and its time begins anew.
    rig.mock.advance(200);
    let second = leaves();
    rig.mock.advance(200);
    assert!(turn().is_some_and(|pause| pause > 0));
    let still = rig.figures().active - 2 * in_use;
    assert!(still >= kept / 2, "{still} of {kept} bytes");
    rig.mock.advance(100);
    let _ = turn();
    let left = rig.figures().active - 2 * in_use;
    assert!(left <= 64 << 10, "{left} of {kept} bytes stay");
    assert_eq!(rig.figures().parked, 1);
    rig.mock.advance(1100);
    assert_eq!(turn(), Some(0));
    assert_eq!(rig.dirty(), 0);
    assert!(!rig.mock.has_purger());
    // Blocks in use are as they were, and the heap serves the next thread.
    let heap = rig.allocator.adopt();
    // SAFETY: our heap and blocks.
    unsafe {
        for block in live.into_iter().chain(second) {
            rig.allocator.dealloc(heap, block);
        }
        rig.allocator.park(heap);
    }
}

/// Allocates as many blocks of 1 MiB, and frees all of them.
fn come_and_go(rig: &Rig, blocks: usize) {
    let blocks: Vec<_> = (0..blocks).map(|_| rig.alloc(MIB)).collect();
    blocks.into_iter().for_each(|block| rig.free(block));
}

#[test]
fn churn_of_one_thread_starts_the_purge_thread() {
    let rig = Rig::new(4096, Options::DEFAULT.with_dirty_min(MIB).with_dirty_percent(10));
    let round = || come_and_go(&rig, 10);
    round();
    let left = (rig.dirty(), rig.mock.count(Call::Spawn));
    assert_eq!(left, (MIB / 4 * 3, 0), "who frees once does not churn; all of a peak, and does not need it");
    round();
    assert!(rig.mock.has_purger(), "9 MiB were given back and taken again");
    round();
    let purged = rig.figures().purged;
    for _ in 0..10 {
        round();
        assert_eq!(rig.dirty(), 10 * MIB, "all of the peak may wait for the thread");
    }
    assert_eq!(rig.figures().purged, purged);
    rig.mock.advance(1 + u64::from(Options::DEFAULT.purge_delay));
    assert_eq!(Mock::as_thread(4, || rig.mock.run_purger()), Some(0));
    assert_eq!(rig.dirty(), 0);
}

/// What was in use until a moment ago is the recent peak, however long ago anything was freed.
#[test]
fn the_recent_peak_is_recent_when_frees_are_seldom() {
    let rig = Rig::new(4096, Options::DEFAULT);
    rig.mock.set_threaded(true);
    // The system's clock began long ago.
    rig.mock.advance(3_600_000);
    let block = rig.alloc(40 * MIB);
    rig.mock.advance(60_000);
    rig.free(block);
    assert_eq!((rig.dirty(), rig.mock.count(Call::Spawn)), (40 * MIB, 1));
    rig.mock.advance(1 + u64::from(Options::DEFAULT.purge_delay));
    assert_eq!(Mock::as_thread(4, || rig.mock.run_purger()), Some(0));
    assert_eq!(rig.dirty(), 0);
}

#[test]
fn without_a_share_peaks_do_not_count() {
    let rig = Rig::new(4096, Options::DEFAULT.with_dirty_min(MIB).with_dirty_percent(0));
    rig.mock.set_threaded(true);
    for _ in 0..3 {
        come_and_go(&rig, 10);
        assert!(rig.mock.has_purger());
        assert_eq!(rig.dirty(), MIB);
    }
}

/// Three of the four MiB that would prove churn: a process of one thread stays one.
#[test]
fn little_that_is_needed_again_is_no_churn() {
    let rig = Rig::new(4096, Options::DEFAULT.with_dirty_min(MIB).with_dirty_percent(10));
    for round in 0..2 {
        come_and_go(&rig, 4);
        assert_eq!((rig.dirty(), rig.mock.count(Call::Spawn)), (MIB / 4 * 3, 0), "round {round}");
    }
    come_and_go(&rig, 4);
    assert!(rig.mock.has_purger(), "twice that");
}

#[test]
fn churn_at_long_intervals_is_none() {
    let rig = Rig::new(4096, Options::DEFAULT.with_dirty_min(MIB).with_dirty_percent(10));
    for _ in 0..10 {
        come_and_go(&rig, 10);
        assert_eq!(rig.mock.count(Call::Spawn), 0);
        rig.mock.advance(3000);
    }
}

#[test]
fn a_purge_thread_that_is_refused_is_not_asked_for_again() {
    let rig = Rig::new(4096, Options::DEFAULT.with_dirty_min(MIB).with_dirty_percent(0));
    rig.mock.set_threaded(true);
    rig.mock.fail_after(Call::Spawn, 0);
    for _ in 0..10 {
        rig.free(rig.alloc(2 * MIB));
        assert!(rig.dirty() <= MIB);
    }
    assert_eq!(rig.mock.count(Call::Spawn), 1);
}

#[test]
fn the_option_forbids_the_purge_thread() {
    let rig = Rig::new(4096, Options::DEFAULT.with_purge_thread(false));
    rig.mock.set_threaded(true);
    rig.free(rig.alloc(16 * MIB));
    assert_eq!(rig.mock.count(Call::Spawn), 0);
}

/// The peak that the purge thread's budget counts from survives clocks that disagree by a moment: each
/// thread reads its own.
#[test]
fn a_clock_that_is_a_moment_behind_does_not_end_the_peak() {
    let options = Options::DEFAULT.with_dirty_min(MIB).with_dirty_percent(25).with_purge_delay(100_000);
    let rig = Rig::new(4096, options);
    rig.mock.set_threaded(true);
    rig.mock.set_time(50_000);
    rig.free(rig.alloc(MIB));
    assert!(rig.mock.has_purger());
    let blocks = [(); 32].map(|()| rig.alloc(MIB));
    rig.free(blocks[0]);
    rig.mock.set_time(49_999);
    blocks[1..].iter().for_each(|&block| rig.free(block));
    assert_eq!(rig.dirty(), 32 * MIB, "all of the peak may wait for the thread");
}

#[test]
fn long_free_runs_are_unmapped() {
    let rig = Rig::new(4096, patient());
    const LONG: usize = 32 * MIB;
    let long = rig.alloc(LONG);
    let short = rig.alloc(64 * SLICE);
    let mapped = rig.figures().mapped;
    let unmaps = rig.mock.count(Call::Unmap);
    rig.free(short);
    assert_eq!(rig.figures().mapped, mapped);
    assert_eq!(rig.mock.count(Call::Unmap), unmaps);
    rig.free(long);
    let figures = rig.figures();
    assert!(figures.mapped <= mapped - LONG, "{} of {mapped} bytes stay", figures.mapped);
    assert_eq!((figures.active, figures.dirty, figures.purged as usize), (0, 0, LONG + 64 * SLICE));
    // And what is unmapped is not used again: everything still works.
    let block = rig.alloc(LONG + MIB);
    // SAFETY: ours.
    unsafe { block.write_bytes(1, LONG + MIB) };
    rig.free(block);
}

#[test]
fn trim_keeps_what_it_is_told_to() {
    let rig = Rig::new(4096, patient().with_dirty_min(64 * MIB));
    rig.free(rig.alloc(8 * MIB));
    assert_eq!(rig.allocator.trim(3 * MIB), 5 * MIB);
    assert_eq!(rig.dirty(), 3 * MIB);
    assert_eq!(rig.allocator.trim(3 * MIB), 0);
    assert_eq!(rig.allocator.trim(0), 3 * MIB);
    // `trim_all` empties parked heaps first.
    let small: Vec<_> = (0..100).map(|_| rig.alloc(1024)).collect();
    small.into_iter().for_each(|block| rig.free(block));
    assert!(rig.figures().active > 0);
    // SAFETY: our heap, not used after.
    unsafe { rig.allocator.park(rig.heap) };
    // SAFETY: no heap.
    assert!(unsafe { rig.allocator.trim_all(nobody().cast(), 0) });
    let snapshot = rig.allocator.figures(nobody());
    assert_eq!((snapshot.allocated, snapshot.active, snapshot.dirty), (0, 0, 0));
    assert_eq!((snapshot.parked, snapshot.heaps), (1, 0));
}

#[test]
fn nodes_have_budgets_of_their_own_and_one_snapshot() {
    let mock = Mock::new(4096);
    mock.set_nodes(3);
    let allocator = Owned::new(&mock);
    allocator.config.apply(&patient().with_dirty_min(MIB));
    let mut heaps = [null_mut(); 3];
    for (node, heap) in heaps.iter_mut().enumerate() {
        Mock::enter_node(node);
        *heap = allocator.adopt();
        // SAFETY: our heap.
        unsafe {
            assert_eq!(usize::from((**heap).node), node);
            let block = allocator.alloc(*heap, 2 * MIB, 16);
            let small = allocator.alloc(*heap, 100, 16);
            assert!(!block.is_null() && !small.is_null());
            assert_eq!(usize::from((*allocator.directory.find(block.addr())).node), node);
            allocator.dealloc(*heap, block);
            allocator.dealloc(*heap, small);
        }
    }
    Mock::enter_node(0);
    assert_eq!(allocator.figures(heaps[0]).dirty, 3 * MIB);
    let mut dirty = Vec::new();
    allocator.for_each_node(|index, node| {
        let stores = node.lock(&allocator.os, 4).unwrap();
        dirty.push((index, stores.pages.figures.dirty * SLICE));
    });
    assert_eq!(dirty, [(0, MIB), (1, MIB), (2, MIB)]);
}

//! What a thread left that does nothing any more goes back when others free it: stress with real threads.
//!
//! Each test ends with everything freed: then nothing may be allocated or active, and after a trim nothing dirty.
#![cfg(not(loom))]

mod common;

use common::oracle::nobody;
use common::random::seed;
use common::worker::{Block, Worker, allocator, figures, nothing_is_left, rounds};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::scope;
use stratalloc_core::options::Options;

/// Spans whose owners do not look go back by whoever frees their last block, while their neighbours come and go. (The
/// owner gave the descriptor up while the directory still named it for the span's slices: as that of a free run by then,
/// elsewhere, which a neighbour was joined with.)
#[test]
fn retired_spans_lie_beside_others() {
    let (_mock, allocator) = allocator(Options::DEFAULT.with_dirty_min(1 << 20));
    allocator.os.hesitate();
    let seed = seed("retired spans lie beside others");
    scope(|scope| {
        let allocator = &allocator;
        for index in 0..2 {
            let (to, from) = sync_channel::<Vec<Block>>(4);
            scope.spawn(move || {
                let mut worker = Worker::new(allocator, seed + index);
                for _ in 0..rounds(600) {
                    // In order, so that spans are freed one by one; and a large one beside them.
                    let mut blocks: Vec<Block> = (0..1200).map(|_| worker.alloc(128)).collect();
                    blocks.push(worker.alloc(64 << 10));
                    to.send(blocks).expect("the other lives");
                }
            });
            scope.spawn(move || {
                let mut worker = Worker::new(allocator, seed ^ index);
                from.iter().flatten().for_each(|block| worker.free(block));
            });
        }
    });
    nothing_is_left(&allocator);
}

/// An owner frees `own` of a thousand of its blocks, at random, and does nothing any more, while others free the rest: the
/// memory comes back without it, but for what it has in hand. Then it goes on.
fn sleeping_owner(own: usize, name: &str) {
    let seed = seed(name);
    let (_mock, allocator) = allocator(Options::DEFAULT);
    let allocator = &*allocator;
    let sizes = [16, 64, 200, 1024, 5000, 32 << 10];
    let (blocks, to_free): (Sender<Vec<Block>>, Receiver<_>) = channel();
    let (wake, sleep) = channel::<()>();
    scope(|scope| {
        // Moved in: who sleeps wakes up where this thread panics.
        let wake = wake;
        scope.spawn(move || {
            let mut worker = Worker::new(allocator, seed);
            let each = |size| (8 << 20) / size;
            for size in sizes {
                let all: Vec<Block> = (0..each(size)).map(|_| worker.alloc(size)).collect();
                let (mine, others): (Vec<_>, Vec<_>) = all
                    .into_iter()
                    .map(|block| (worker.random.below(1000) < own, block))
                    .partition(|(mine, _)| *mine);
                mine.into_iter().for_each(|(_, block)| worker.free(block));
                blocks.send(others.into_iter().map(|(_, block)| block).collect()).unwrap();
            }
            drop(blocks);
            // Asleep, its heap in hand.
            assert!(sleep.recv().is_ok());
            for size in sizes {
                let all: Vec<Block> = (0..each(size) / 8).map(|_| worker.alloc(size)).collect();
                all.into_iter().for_each(|block| worker.free(block));
            }
        });
        let all: Vec<Vec<Block>> = to_free.into_iter().collect();
        let before = figures(allocator).active;
        assert!(before >= 24 << 20);
        std::thread::scope(|frees| {
            for (index, blocks) in all.into_iter().enumerate() {
                frees.spawn(move || {
                    let mut worker = Worker::new(allocator, seed + index as u64);
                    blocks.into_iter().for_each(|block| worker.free(block));
                });
            }
        });
        // SAFETY: no heap.
        unsafe { allocator.trim_all(nobody().cast(), 0) };
        let snapshot = figures(allocator);
        // The current span of each of six classes, and what the owner keeps of large ones.
        let most = 6 * (256 << 10) + (512 << 10);
        assert!(snapshot.active <= most, "{} bytes of {before} stay", snapshot.active);
        assert_eq!(snapshot.dirty, 0);
        wake.send(()).unwrap();
    });
    nothing_is_left(allocator);
}

#[test]
fn memory_of_a_sleeping_owner_comes_back() {
    sleeping_owner(0, "memory_of_a_sleeping_owner_comes_back");
}

/// What it has freed of a span itself lies in its own lists.
#[test]
fn memory_that_a_sleeping_owner_freed_a_part_of_comes_back() {
    for own in [1, 300, 900] {
        sleeping_owner(own, "memory_that_a_sleeping_owner_freed_a_part_of_comes_back");
    }
}

/// Owners use again what is left of their spans, free into them and look for pages to give back, while others free the
/// last blocks of them and give back what is complete.
#[test]
fn available_spans_are_retired_or_used() {
    const FREES: u64 = 2;
    let (_mock, allocator) = allocator(Options::DEFAULT);
    allocator.os.hesitate();
    let seed = seed("available spans are retired or used");
    scope(|scope| {
        let allocator = &allocator;
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..FREES).map(|_| sync_channel::<Vec<Block>>(2)).unzip();
        for index in 0..2 {
            let senders = senders.clone();
            scope.spawn(move || {
                let mut worker = Worker::new(allocator, seed + index);
                let mut kept = Vec::new();
                for round in 0..rounds(400) {
                    let size = [128, 500, 4000][round % 3];
                    for to in &senders {
                        // In each span some are freed here now, some there, some here a round later.
                        let count = worker.random.below(400);
                        let blocks: Vec<Block> = (0..count).map(|_| worker.alloc(size)).collect();
                        let mut sent = Vec::new();
                        for block in blocks {
                            match worker.random.below(8) {
                                0 => kept.push(block),
                                1..4 => worker.free(block),
                                _ => sent.push(block),
                            }
                        }
                        to.send(sent).expect("receivers outlive senders");
                    }
                    kept.drain(..).for_each(|block| worker.free(block));
                    if round % 16 == 0 {
                        // SAFETY: our heap.
                        unsafe { allocator.trim_all(worker.heap.cast(), 1 << 20) };
                    }
                }
            });
        }
        drop(senders);
        for (index, from) in receivers.into_iter().enumerate() {
            scope.spawn(move || {
                let mut worker = Worker::new(allocator, seed ^ index as u64);
                for (round, blocks) in from.iter().enumerate() {
                    blocks.into_iter().for_each(|block| worker.free(block));
                    if round % 4 == 0 {
                        // SAFETY: our heap.
                        unsafe { allocator.trim_all(worker.heap.cast(), 1 << 20) };
                    }
                }
            });
        }
    });
    nothing_is_left(&allocator);
}

//! Stress: real threads over one allocator, a pattern in every block.
//!
//! Each test models one way in which blocks travel between threads, prints its seed
//! (`STRATALLOC_SEED=…` repeats it as far as the scheduler lets it), and ends with everything freed:
//! then nothing may be allocated or active, and after a trim nothing dirty.
//! `STRATALLOC_STRESS` multiplies the number of rounds.
#![cfg(not(loom))]

mod common;

use common::oracle::{as_thread, nobody};
use common::random::{Random, seed};
use common::{Checked, Owned, pattern};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Barrier, Mutex};
use std::thread::{scope, yield_now};
use stratalloc_core::allocator::Allocator;
use stratalloc_core::heap::Heap;
use stratalloc_core::options::Options;
use stratalloc_core::stats::Snapshot;
use stratalloc_os::mock::Mock;

type Alloc = Allocator<Checked>;

/// A block in somebody's hands: its pattern's number is its first owner's.
struct Block {
    start: usize,
    usable: usize,
    id: u64,
}

impl Block {
    fn pointer(&self) -> *mut u8 {
        stratalloc_core::addr::ptr(self.start)
    }
}

/// What a thread uses.
struct Worker<'a> {
    allocator: &'a Alloc,
    heap: *mut Heap,
    random: Random,
}

impl<'a> Worker<'a> {
    fn new(allocator: &'a Alloc, seed: u64) -> Self {
        let heap = allocator.adopt();
        assert!(!heap.is_null());
        Self { allocator, heap, random: Random::new(seed) }
    }

    fn admit(&mut self, start: *mut u8, size: usize) -> Block {
        assert!(!start.is_null() && start.addr().is_multiple_of(16));
        // SAFETY: in use.
        let usable = unsafe { self.allocator.usable_size(start) };
        assert!(usable >= size);
        let id = self.random.next();
        // SAFETY: ours.
        unsafe { pattern::fill(start, usable, id) };
        Block { start: start.addr(), usable, id }
    }

    fn alloc(&mut self, size: usize) -> Block {
        let zeroed = self.random.below(4) == 0;
        // SAFETY: our heap.
        let start = unsafe {
            if zeroed {
                let start = self.allocator.alloc_zeroed(self.heap, size, 16);
                pattern::check_zero(start, size);
                start
            } else {
                self.allocator.alloc(self.heap, size, 16)
            }
        };
        self.admit(start, size)
    }

    /// Sizes that make spans of many and of few blocks, and now and then a large block.
    fn some(&mut self) -> Block {
        let size = match self.random.below(64) {
            0 => self.random.size(18),
            1..8 => self.random.size(15),
            _ => self.random.size(9),
        };
        self.alloc(size)
    }

    fn free(&mut self, block: Block) {
        // SAFETY: the block is ours, and our heap.
        unsafe {
            pattern::check(block.pointer(), block.usable, block.id);
            self.allocator.dealloc(self.heap, block.pointer());
        }
    }

    fn realloc(&mut self, block: Block) -> Block {
        let size = self.random.size(17);
        // SAFETY: as above; the result is as long as asked.
        let start = unsafe {
            pattern::check(block.pointer(), block.usable, block.id);
            let start = self.allocator.realloc(self.heap, block.pointer(), size, 16);
            pattern::check(start, block.usable.min(size), block.id);
            start
        };
        self.admit(start, size)
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: our heap, not used after.
            unsafe { self.allocator.park(self.heap) };
        }
    }
}

fn rounds(base: usize) -> usize {
    let times = std::env::var("STRATALLOC_STRESS").map_or(1, |text| text.parse().expect("a number"));
    base * times
}

fn allocator(options: Options) -> (Mock, Owned) {
    let mock = Mock::new(4096);
    let allocator = Owned::new(&mock);
    allocator.config.apply(&options);
    (mock, allocator)
}

fn figures(allocator: &Alloc) -> Snapshot {
    let mut snapshot = Snapshot::EMPTY;
    // SAFETY: no heap.
    unsafe { allocator.snapshot(nobody(), &mut snapshot) };
    assert!(snapshot.allocated <= snapshot.active && snapshot.active <= snapshot.mapped, "{snapshot:?}");
    assert_eq!(snapshot.active + snapshot.dirty + snapshot.clean, snapshot.mapped);
    snapshot
}

/// All threads have left and all blocks are freed.
#[track_caller]
fn nothing_is_left(allocator: &Alloc) {
    // SAFETY: no heap.
    unsafe { allocator.trim_all(nobody().cast(), 0) };
    let snapshot = figures(allocator);
    assert_eq!((snapshot.allocated, snapshot.active, snapshot.dirty), (0, 0, 0), "{snapshot:?}");
    assert_eq!((snapshot.heaps, snapshot.orphans), (0, 0));
}

#[test]
fn producers_and_consumers() {
    let seed = seed("producers_and_consumers");
    let (_mock, allocator) = allocator(Options::DEFAULT.with_dirty_min(1 << 20));
    let allocator = &*allocator;
    scope(|scope| {
        for pair in 0..2 {
            let (sender, receiver) = sync_channel::<Vec<Block>>(4);
            scope.spawn(move || {
                let mut worker = Worker::new(allocator, seed + pair);
                for _ in 0..rounds(300) {
                    let parcel = (0..worker.random.below(200)).map(|_| worker.some()).collect();
                    sender.send(parcel).unwrap();
                }
            });
            scope.spawn(move || {
                let mut worker = Worker::new(allocator, seed + 100 + pair);
                for parcel in receiver {
                    parcel.into_iter().for_each(|block| worker.free(block));
                }
            });
        }
    });
    nothing_is_left(allocator);
}

/// Every thread frees what every other allocated, and resizes some of it.
fn all_to_all(options: Options, name: &str) {
    const THREADS: usize = 4;
    let seed = seed(name);
    let (mock, allocator) = allocator(options);
    mock.set_threaded(true);
    let allocator = &*allocator;
    let done = AtomicBool::new(false);
    let running = Mutex::new(THREADS);
    let mailboxes: [Mutex<Vec<Block>>; THREADS] = Default::default();
    scope(|scope| {
        for index in 0..THREADS {
            let (mailboxes, done, running) = (&mailboxes, &done, &running);
            scope.spawn(move || {
                let mut worker = Worker::new(allocator, seed + index as u64);
                for _ in 0..rounds(15_000) {
                    let block = worker.some();
                    let to = worker.random.below(THREADS);
                    mailboxes[to].lock().unwrap().push(block);
                    let mine = &mailboxes[index];
                    let take = worker.random.below(4);
                    let parcel: Vec<Block> = {
                        let mut mine = mine.lock().unwrap();
                        let keep = mine.len().saturating_sub(take).min(500);
                        mine.drain(keep..).collect()
                    };
                    for block in parcel {
                        if worker.random.below(8) == 0 {
                            let block = worker.realloc(block);
                            worker.free(block);
                        } else {
                            worker.free(block);
                        }
                    }
                }
                let mut left = running.lock().unwrap();
                *left -= 1;
                done.store(*left == 0, Ordering::Relaxed);
            });
        }
        // Figures hold at any time, trimming is safe at any time, and the purge thread has its turns.
        let (mock, done) = (&mock, &done);
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                mock.advance(100);
                Mock::as_thread(4, || mock.run_purger());
                figures(allocator);
                yield_now();
            }
        });
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                // SAFETY: no heap.
                unsafe { allocator.trim_all(nobody().cast(), 256 << 10) };
                yield_now();
            }
        });
    });
    let mut worker = Worker::new(allocator, seed);
    for mailbox in mailboxes {
        mailbox.into_inner().unwrap().into_iter().for_each(|block| worker.free(block));
    }
    drop(worker);
    nothing_is_left(allocator);
}

/// More spans than a heap has batches, of many classes, freed in random order by a thread that owns none, while
/// their owner allocates: batches push each other out, fill up, and go home.
#[test]
fn more_spans_than_batches() {
    let (_mock, allocator) = allocator(Options::DEFAULT);
    let (to, from) = sync_channel::<Vec<Block>>(2);
    let seed = seed("more spans than batches");
    scope(|scope| {
        let allocator = &allocator;
        scope.spawn(move || {
            let mut worker = Worker::new(allocator, seed);
            for _ in 0..rounds(40) {
                let size = |n: usize| 16 + n * 37 % 2500;
                to.send((0..3000).map(|n| worker.alloc(size(n))).collect()).expect("the other lives");
            }
        });
        scope.spawn(move || {
            let mut worker = Worker::new(allocator, seed ^ 1);
            for mut blocks in from {
                while !blocks.is_empty() {
                    let index = worker.random.below(blocks.len());
                    let block = blocks.swap_remove(index);
                    worker.free(block);
                }
            }
        });
    });
    nothing_is_left(&allocator);
}

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

/// Heaps grow to megabytes and decline, over and over, while others free half of what they gave away.
#[test]
fn heaps_decline_while_others_free() {
    const THREADS: u64 = 4;
    let (_mock, allocator) = allocator(Options::DEFAULT);
    let seed = seed("heaps decline while others free");
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| channel::<Vec<Block>>()).unzip();
    scope(|scope| {
        let allocator = &allocator;
        // Moved in: the last clone ends a receiver's wait.
        let mut senders = senders;
        for (index, from) in (0..).zip(receivers) {
            senders.rotate_left(1);
            let to = senders[0].clone();
            scope.spawn(move || {
                let mut worker = Worker::new(allocator, seed + index);
                for round in 0..rounds(30) {
                    let mut own: Vec<Block> = (0..4000).map(|_| worker.some()).collect();
                    let sent = own.split_off(2000);
                    // Each other round all of it is gone at once, else some of each span stays until the next.
                    let kept = own.split_off(if round % 2 == 0 { 2000 } else { 1800 });
                    to.send(sent).expect("receivers outlive senders");
                    own.into_iter().for_each(|block| worker.free(block));
                    from.try_iter().flatten().for_each(|block| worker.free(block));
                    kept.into_iter().for_each(|block| worker.free(block));
                }
                drop(to);
                from.iter().flatten().for_each(|block| worker.free(block));
            });
        }
    });
    nothing_is_left(&allocator);
}

/// What a thread freed for another stays with it up to 128 KiB, however many spans and sizes it is of; to the 16 KiB
/// that it may keep in all where memory is short.
#[test]
fn what_waits_in_batches_has_a_bound() {
    for (soft_limit, heaps, bound) in [(0, 2, 128 << 10), (2 << 20, 16, 16 << 10)] {
        let options = Options::DEFAULT.with_dirty_min(0).with_soft_limit(soft_limit);
        let (_mock, allocator) = allocator(options);
        let idle: Vec<_> = (2..heaps).map(|_| allocator.adopt()).collect();
        allocator.refresh_limits(false);
        let seed = seed("what waits in batches has a bound");
        let mut owner = as_thread(1, || Worker::new(&allocator, seed));
        let mut other = as_thread(2, || Worker::new(&allocator, seed ^ 1));
        let blocks: Vec<Block> = as_thread(1, || (0..3000).map(|n| owner.alloc(40 + n % 12 * 180)).collect());
        let total: usize = blocks.iter().map(|block| block.usable).sum();
        assert!(total > bound * 8, "{total} bytes prove nothing");
        let waiting = |freed: usize| {
            // SAFETY: the owner's heap, and nobody else is here.
            unsafe { allocator.collect_pending(owner.heap) };
            freed - (total - allocator.figures(owner.heap).allocated)
        };
        let (mut freed, mut most) = (0, 0);
        for block in blocks {
            freed += block.usable;
            as_thread(2, || other.free(block));
            most = most.max(waiting(freed));
        }
        // A block that does not fit goes home by itself: it was one more for a moment.
        assert!(most <= bound + 2048, "{most} bytes wait, {bound} may");
        assert!(most >= bound / 4, "{most} bytes wait at most: these are no batches");
        as_thread(2, || drop(other));
        assert_eq!(waiting(total), 0);
        as_thread(1, || drop(owner));
        for heap in idle {
            // SAFETY: our heaps.
            unsafe { allocator.park(heap) };
        }
        nothing_is_left(&allocator);
    }
}

#[test]
fn all_free_for_all() {
    all_to_all(Options::DEFAULT.with_dirty_min(1 << 20).with_purge_delay(500), "all_free_for_all");
}

#[test]
fn all_free_for_all_while_counted() {
    all_to_all(Options::DEFAULT.with_dirty_min(0).with_count(true), "all_free_for_all_while_counted");
}

/// Threads come and go, leave blocks behind, and free what others left.
fn come_and_go(parked: u32, name: &str) {
    let seed = seed(name);
    let (_mock, allocator) = allocator(Options::DEFAULT.with_parked_heaps(parked).with_dirty_min(1 << 20));
    let allocator = &*allocator;
    let shared: Mutex<Vec<Block>> = Mutex::default();
    scope(|scope| {
        for index in 0..4 {
            let shared = &shared;
            scope.spawn(move || {
                for round in 0..rounds(400) {
                    let mut worker = Worker::new(allocator, seed + (round * 4 + index) as u64);
                    let mut own: Vec<Block> = (0..worker.random.below(150)).map(|_| worker.some()).collect();
                    while own.len() > worker.random.below(100) {
                        let block = own.swap_remove(worker.random.below(own.len()));
                        worker.free(block);
                    }
                    let parcel: Vec<Block> = {
                        let mut shared = shared.lock().unwrap();
                        shared.append(&mut own);
                        let keep = shared.len().min(worker.random.below(2000));
                        shared.drain(keep..).collect()
                    };
                    parcel.into_iter().for_each(|block| worker.free(block));
                }
            });
        }
    });
    let mut worker = Worker::new(allocator, seed);
    shared.into_inner().unwrap().into_iter().for_each(|block| worker.free(block));
    drop(worker);
    nothing_is_left(allocator);
}

#[test]
fn leaving_threads_heaps_are_adopted() {
    come_and_go(16, "leaving_threads_heaps_are_adopted");
}

#[test]
fn leaving_threads_spans_are_claimed() {
    come_and_go(0, "leaving_threads_spans_are_claimed");
}

#[test]
fn some_are_adopted_and_some_dissolved() {
    come_and_go(1, "some_are_adopted_and_some_dissolved");
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

/// Threads that find the stores short at the same moment: one's memory is enough for all of them.
#[test]
fn a_crowd_that_arrives_at_once_takes_no_more_memory_than_one_by_one() {
    const CROWD: usize = 48;
    let arrive = |at_once: bool| {
        let (_mock, allocator) = allocator(Options::DEFAULT.with_dirty_min(0));
        let allocator = &*allocator;
        let (start, leave) = (Barrier::new(CROWD), Barrier::new(CROWD));
        let turn = Mutex::new(());
        scope(|scope| {
            for thread in 0..CROWD {
                let (start, leave, turn) = (&start, &leave, &turn);
                scope.spawn(move || {
                    start.wait();
                    let alone = (!at_once).then(|| turn.lock().unwrap());
                    let mut worker = Worker::new(allocator, thread as u64);
                    let blocks = [100, 30_000, 200_000].map(|size| worker.alloc(size));
                    drop(alone);
                    leave.wait();
                    blocks.into_iter().for_each(|block| worker.free(block));
                });
            }
        });
        let snapshot = figures(allocator);
        nothing_is_left(allocator);
        (snapshot.metadata, snapshot.mapped)
    };
    let (metadata, mapped) = arrive(false);
    for _ in 0..rounds(20) {
        let (metadata_at_once, mapped_at_once) = arrive(true);
        // Runs are cut in another order, so some more memory may be needed: a step of each kind.
        assert!(metadata_at_once <= metadata + (256 << 10), "{metadata_at_once} bytes for {metadata}");
        assert!(mapped_at_once <= mapped + mapped / 2, "{mapped_at_once} bytes for {mapped}");
    }
}

/// A thread that only frees, and one that only allocates, for a long time: nothing grows.
#[test]
fn a_thread_that_only_frees_keeps_the_other_small() {
    let seed = seed("a_thread_that_only_frees_keeps_the_other_small");
    let (_mock, allocator) = allocator(Options::DEFAULT);
    let allocator = &*allocator;
    let (sender, receiver) = sync_channel::<Block>(1000);
    scope(|scope| {
        scope.spawn(move || {
            let mut worker = Worker::new(allocator, seed);
            for _ in 0..rounds(100_000) {
                let size = 1 + worker.random.below(1024);
                sender.send(worker.alloc(size)).unwrap();
            }
        });
        scope.spawn(move || {
            let mut worker = Worker::new(allocator, seed + 1);
            receiver.into_iter().for_each(|block| worker.free(block));
        });
    });
    let peak = figures(allocator).peak_active;
    // At most 1000 blocks of at most 1 KiB are on their way, in spans of 32 classes.
    assert!(peak <= (1 << 20) + 32 * 3 * (64 << 10), "{peak} bytes at the peak");
    nothing_is_left(allocator);
}

/// First-class heaps that many threads use at once, and that are destroyed with blocks in them.
#[test]
fn first_class_heaps_serve_many_threads_and_end_whole() {
    const THREADS: usize = 4;
    let seed = seed("first_class_heaps_serve_many_threads_and_end_whole");
    let (_mock, allocator) = allocator(Options::DEFAULT.with_parked_heaps(1));
    let allocator = &*allocator;
    for round in 0..rounds(6) as u64 {
        let users: Vec<usize> = (0..2).map(|_| allocator.new_user_heap().expose_provenance()).collect();
        let (users, barrier) = (&users, &Barrier::new(THREADS));
        let shared: Mutex<Vec<Block>> = Mutex::default();
        let shared = &shared;
        scope(|scope| {
            for index in 0..THREADS as u64 {
                scope.spawn(move || {
                    let mut worker = Worker::new(allocator, seed + round * 10 + index);
                    let mut kept = Vec::new();
                    barrier.wait();
                    for _ in 0..3000 {
                        let user: *mut Heap = stratalloc_core::addr::ptr(users[worker.random.below(2)]);
                        let log = if worker.random.below(50) == 0 { 18 } else { 10 };
                        let size = worker.random.size(log);
                        // SAFETY: a first-class heap that this thread is not inside.
                        let start = unsafe { allocator.with_tenure(user, || allocator.alloc(user, size, 16)) }
                            .expect("not a fork's child");
                        let block = worker.admit(start, size);
                        match worker.random.below(4) {
                            // Stays to the heap's end.
                            0 => kept.push(block),
                            // Another thread frees it, through whatever it has.
                            1 => shared.lock().unwrap().push(block),
                            2 => worker.free(block),
                            // SAFETY: as above.
                            _ => unsafe {
                                pattern::check(block.pointer(), block.usable, block.id);
                                allocator.with_tenure(user, || allocator.dealloc(user, block.pointer()));
                            },
                        }
                        let other = shared.lock().unwrap().pop();
                        if let Some(block) = other {
                            // A thread's own block, freed through a first-class heap.
                            let own = worker.some();
                            // SAFETY: as above.
                            unsafe { allocator.with_tenure(user, || allocator.dealloc(user, own.pointer())) };
                            worker.free(block);
                        }
                    }
                    for block in kept {
                        // SAFETY: in use.
                        unsafe { pattern::check(block.pointer(), block.usable, block.id) };
                    }
                });
            }
        });
        let mut worker = Worker::new(allocator, seed);
        std::mem::take(&mut *shared.lock().unwrap()).into_iter().for_each(|block| worker.free(block));
        drop(worker);
        for &user in users {
            // SAFETY: nobody uses it any more.
            unsafe { allocator.destroy_user_heap(stratalloc_core::addr::ptr(user)) };
        }
        nothing_is_left(allocator);
    }
}

/// Threads whose own heap is parked already (their destructors run after the exit hook) share one heap.
#[test]
fn the_late_heap_serves_many_threads() {
    const THREADS: usize = 4;
    let seed = seed("the_late_heap_serves_many_threads");
    let (_mock, allocator) = allocator(Options::DEFAULT);
    let allocator = &*allocator;
    let barrier = &Barrier::new(THREADS);
    let (to_main, left) = channel::<Vec<Block>>();
    let late: Vec<usize> = scope(|scope| {
        let threads: Vec<_> = (0..THREADS as u64)
            .map(|index| {
                let to_main = to_main.clone();
                scope.spawn(move || {
                    let mut worker = Worker::new(allocator, seed + index);
                    let mut blocks: Vec<Block> = (0..500).map(|_| worker.some()).collect();
                    // SAFETY: this thread's heap; what the worker has from here on is the late heap.
                    unsafe { allocator.park(worker.heap) };
                    barrier.wait();
                    let late = allocator.late_heap();
                    for _ in 0..2000 {
                        let size = worker.random.size(10);
                        // SAFETY: the late heap, which this thread is not inside.
                        let start =
                            unsafe { allocator.with_tenure(late, || allocator.alloc(late, size, 16)) }.unwrap();
                        let block = worker.admit(start, size);
                        blocks.push(block);
                        let block = blocks.swap_remove(worker.random.below(blocks.len()));
                        // SAFETY: as above; the block is ours.
                        unsafe {
                            pattern::check(block.pointer(), block.usable, block.id);
                            allocator.with_tenure(late, || allocator.dealloc(late, block.pointer())).unwrap();
                        }
                    }
                    to_main.send(blocks).unwrap();
                    // Parked above.
                    std::mem::forget(worker);
                    late.expose_provenance()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(late.iter().all(|&heap| heap == late[0]), "one late heap");
    assert_eq!(figures(allocator).heaps, 1);
    drop(to_main);
    let late: *mut Heap = stratalloc_core::addr::ptr(late[0]);
    for block in left.into_iter().flatten() {
        // SAFETY: as above.
        unsafe { allocator.with_tenure(late, || allocator.dealloc(late, block.pointer())) }.unwrap();
    }
    // SAFETY: as above.
    unsafe { allocator.with_tenure(late, || allocator.settle(late, true)) }.unwrap();
    // SAFETY: no heap.
    unsafe { allocator.trim_all(nobody().cast(), 0) };
    let snapshot = figures(allocator);
    assert_eq!((snapshot.allocated, snapshot.active, snapshot.dirty), (0, 0, 0), "{snapshot:?}");
}

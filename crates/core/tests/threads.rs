//! Stress: real threads over one allocator, a pattern in every block.
//!
//! Each test models one way in which blocks travel between threads, prints its seed
//! (`STRATALLOC_SEED=…` repeats it as far as the scheduler lets it), and ends with everything freed:
//! then nothing may be allocated or active, and after a trim nothing dirty.
//! `STRATALLOC_STRESS` multiplies the number of rounds.
#![cfg(not(loom))]

mod common;

use common::oracle::{as_thread, nobody};
use common::pattern;
use common::random::seed;
use common::worker::{Block, Worker, allocator, figures, nothing_is_left, rounds};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Barrier, Mutex};
use std::thread::{scope, yield_now};
use stratalloc_core::class::SLICE;
use stratalloc_core::heap::Heap;
use stratalloc_core::options::Options;
use stratalloc_os::mock::Mock;

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
fn come_and_go(parked: u32, times: usize, alloc: fn(&mut Worker) -> Block, name: &str) {
    let seed = seed(name);
    let (_mock, allocator) = allocator(Options::DEFAULT.with_parked_heaps(parked).with_dirty_min(1 << 20));
    let allocator = &*allocator;
    let shared: Mutex<Vec<Block>> = Mutex::default();
    scope(|scope| {
        for index in 0..4 {
            let shared = &shared;
            scope.spawn(move || {
                for round in 0..rounds(times) {
                    let mut worker = Worker::new(allocator, seed + (round * 4 + index) as u64);
                    let mut own: Vec<Block> = (0..worker.random.below(150)).map(|_| alloc(&mut worker)).collect();
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
    come_and_go(16, 400, |worker| worker.some(), "leaving_threads_heaps_are_adopted");
}

#[test]
fn leaving_threads_spans_are_claimed() {
    come_and_go(0, 400, |worker| worker.some(), "leaving_threads_spans_are_claimed");
}

#[test]
fn some_are_adopted_and_some_dissolved() {
    come_and_go(1, 400, |worker| worker.some(), "some_are_adopted_and_some_dissolved");
}

/// Blocks that have a span to themselves: who frees one for another gives the span back, whoever is awake.
#[test]
fn blocks_of_whole_slices_pass_between_threads_that_leave() {
    for parked in [0, 1, 16] {
        let alloc = |worker: &mut Worker| {
            let slices = 1 + worker.random.below(2);
            worker.alloc(slices * SLICE)
        };
        come_and_go(parked, 60, alloc, "blocks_of_whole_slices_pass_between_threads_that_leave");
    }
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

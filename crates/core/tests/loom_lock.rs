//! Model of the node's lock: one holder at a time, and no sleeper is forgotten.
//!
//! The system's `wait` sleeps without a bound here (the real one does not), so a lost wake-up is a
//! deadlock, which loom reports.
//!
//! Seen to fail with: `Relaxed` for the `Acquire` of either exchange or for the `Release` of the swap
//! (races on the guarded cell), no `fetch_add` of `turn` (a sleeper between its look and its sleep
//! misses the wake-up), `turn` read after the word or by a `Relaxed` load, a sleeper that takes the lock
//! without the flag, no `wake`, a forking thread inside that leaves `FORKING` in the word (another comes
//! in).
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use std::ptr::NonNull;
use stratalloc_core::lock::{InChild, Lock};
use stratalloc_core::os::{Moved, Os};

/// A system that can only wait and wake, like a futex: the look at the word and the falling asleep are
/// one step for who wakes.
struct Futex {
    bucket: Mutex<()>,
    sleepers: Condvar,
    /// Waits end by themselves, as those of a real system do.
    bounded: bool,
}

// SAFETY: hands out no memory.
unsafe impl Os for Futex {
    fn page_size(&self) -> usize {
        4096
    }
    fn map(&self, _: usize, _: usize) -> Option<NonNull<u8>> {
        None
    }
    unsafe fn unmap(&self, _: NonNull<u8>, _: usize) -> bool {
        false
    }
    unsafe fn purge(&self, _: NonNull<u8>, _: usize) -> bool {
        false
    }
    unsafe fn remap(&self, _: NonNull<u8>, _: NonNull<u8>, _: usize) -> Moved {
        Moved::Refused
    }
    fn wait(&self, word: &AtomicU32, expected: u32) {
        if self.bounded {
            return thread::yield_now();
        }
        let bucket = self.bucket.lock().unwrap();
        if word.load(Ordering::Relaxed) == expected {
            drop(self.sleepers.wait(bucket).unwrap());
        }
    }
    fn wake(&self, _: &AtomicU32) {
        let _bucket = self.bucket.lock().unwrap();
        self.sleepers.notify_one();
    }
    fn yield_now(&self) {
        thread::yield_now();
    }
    fn now_ms(&self) -> u64 {
        0
    }
    fn thread(&self) -> usize {
        unreachable!("numbers are given")
    }
    fn is_threaded(&self) -> bool {
        true
    }
    unsafe fn spawn_purger(&self, _: unsafe extern "C" fn(*mut u8) -> u32, _: *mut u8) -> bool {
        false
    }
    fn write_err(&self, _: &[u8]) {}
    fn abort(&self) -> ! {
        panic!("abort")
    }
}

struct Guarded {
    lock: Lock,
    os: Futex,
    count: UnsafeCell<usize>,
}

// SAFETY: `count` is touched under the lock; loom checks it.
unsafe impl Sync for Guarded {}
// SAFETY: as above.
unsafe impl Send for Guarded {}

impl Guarded {
    fn new() -> Arc<Self> {
        Self::over(false)
    }

    fn with_patience() -> Arc<Self> {
        Self::over(true)
    }

    fn over(bounded: bool) -> Arc<Self> {
        let os = Futex { bucket: Mutex::new(()), sleepers: Condvar::new(), bounded };
        Arc::new(Guarded { lock: Lock::new(), os, count: UnsafeCell::new(0) })
    }

    fn add(&self, thread: usize) {
        let guard = self.lock.acquire(&self.os, thread).expect("this thread does not hold it");
        assert!(self.lock.held_by(thread));
        // SAFETY: loom checks that nobody else is at it.
        self.count.with_mut(|count| unsafe { *count += 1 });
        drop(guard);
        assert!(!self.lock.held_by(thread));
    }

    /// As `add`, between a fork's handlers, which may hold the lock for the thread.
    fn add_inside(&self, thread: usize) {
        let guard = self.lock.acquire(&self.os, thread).expect("held for a fork is not held");
        // SAFETY: loom checks that nobody else is at it.
        self.count.with_mut(|count| unsafe { *count += 1 });
        drop(guard);
    }
}

fn run(threads: usize, rounds: usize, bound: usize) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(bound);
    builder.max_branches = 10_000;
    builder.check(move || {
        let guarded = Guarded::new();
        let others: Vec<_> = (1..threads)
            .map(|index| {
                let guarded = guarded.clone();
                thread::spawn(move || (0..rounds).for_each(|_| guarded.add(4 * index + 4)))
            })
            .collect();
        (0..rounds).for_each(|_| guarded.add(4));
        others.into_iter().for_each(|thread| thread.join().unwrap());
        // SAFETY: all others have ended.
        assert_eq!(guarded.count.with(|count| unsafe { *count }), threads * rounds);
    });
}

#[test]
fn two_threads_exclude_each_other_and_wake_each_other() {
    run(2, 2, 4);
}

#[test]
fn three_threads_lose_no_wake_up() {
    run(3, 1, 3);
}

#[test]
fn a_thread_that_holds_the_lock_is_told_so() {
    loom::model(|| {
        let guarded = Guarded::new();
        let guard = guarded.lock.acquire(&guarded.os, 8).unwrap();
        assert!(guarded.lock.acquire(&guarded.os, 8).is_none());
        drop(guard);
        assert!(guarded.lock.acquire(&guarded.os, 4).is_some());
    });
}

/// A lock that is held across a fork may be taken away by who waits too long. The forking thread
/// allocates between its handlers, which it may in either case.
#[test]
fn a_fork_holds_the_lock_as_long_as_nobody_waits_too_long() {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(5);
    builder.max_branches = 10_000;
    builder.check(|| {
        let guarded = Guarded::with_patience();
        let other = guarded.clone();
        let waiter = thread::spawn(move || other.add(8));
        guarded.lock.hold_for_fork(&guarded.os, 4);
        guarded.add_inside(4);
        guarded.lock.end_fork(&guarded.os, 4);
        guarded.add(4);
        waiter.join().unwrap();
        // SAFETY: the other has ended.
        assert_eq!(guarded.count.with(|count| unsafe { *count }), 3);
        assert!(!guarded.lock.held_by(4) && !guarded.lock.held_by(8));
    });
}

#[test]
fn a_child_learns_who_was_inside() {
    loom::model(|| {
        let guarded = Guarded::new();
        assert_eq!(guarded.lock.in_child(4), InChild::Whole);
        guarded.lock.hold_for_fork(&guarded.os, 4);
        assert!(guarded.lock.held_by(4));
        assert_eq!(guarded.lock.in_child(4), InChild::Whole);
        let held = guarded.lock.acquire(&guarded.os, 4).unwrap();
        guarded.lock.hold_for_fork(&guarded.os, 4);
        assert_eq!(guarded.lock.in_child(4), InChild::Mine);
        assert!(guarded.lock.held_by(4));
        assert_eq!(guarded.lock.in_child(8), InChild::Torn);
        std::mem::forget(held);
        assert!(guarded.lock.acquire(&guarded.os, 4).is_some());
    });
}

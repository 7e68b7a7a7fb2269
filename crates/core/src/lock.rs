//! The short lock of a node: spins briefly, then sleeps; knows its holder.
//!
//! The word is the holder's thread number, or 0; bit 0 says that somebody sleeps. One compare and
//! swap both takes the lock and names the holder, so a signal handler that interrupted the holder
//! (and forks, or allocates) can always tell that its own thread holds the lock: [`Lock::acquire`]
//! then returns `None` instead of hanging.
//!
//! No thread holds two of these locks at once, and no thread makes a system call while it holds
//! one: so a waiting thread waits for a bounded piece of work.

use crate::os::Os;
use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use crate::sync::hint::spin_loop;

const ASLEEP: usize = 1;
/// Looks at the word before a waiting thread sleeps.
const SPINS: u32 = if cfg!(loom) { 1 } else { 64 };

/// A lock; see the module.
#[derive(Debug)]
pub struct Lock {
    word: AtomicUsize,
    /// Bumped at each contended release; sleepers wait on it.
    turn: AtomicU32,
}

impl Lock {
    /// An open lock.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { word: AtomicUsize::new(0), turn: AtomicU32::new(0) }
    }

    /// An open lock.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { word: AtomicUsize::new(0), turn: AtomicU32::new(0) }
    }

    /// Takes the lock for `thread` (even, not 0). `None`: that thread holds it already.
    #[inline]
    pub fn acquire<'a, O: Os>(&'a self, os: &'a O, thread: usize) -> Option<Guard<'a, O>> {
        // Acquire pairs with the Release in `release`.
        if self.word.compare_exchange(0, thread, Ordering::Acquire, Ordering::Relaxed).is_err()
            && !self.acquire_slow(os, thread)
        {
            return None;
        }
        Some(Guard { lock: self, os })
    }

    #[cold]
    fn acquire_slow<O: Os>(&self, os: &O, thread: usize) -> bool {
        let mut spins = 0;
        let mut slept = 0;
        loop {
            let turn = self.turn.load(Ordering::Acquire);
            let word = self.word.load(Ordering::Relaxed);
            if word & !ASLEEP == thread {
                return false;
            }
            if word == 0 {
                // One who slept cannot know whether others still do: it keeps the flag.
                if self.word.compare_exchange(0, thread | slept, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    return true;
                }
            } else if spins < SPINS {
                spins += 1;
                spin_loop();
            } else if word & ASLEEP != 0
                || self.word.compare_exchange(word, word | ASLEEP, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            {
                // `turn` was read before the flag was seen or set, so a release after that changes
                // it and the wait returns at once; the wait is bounded in any case.
                os.wait(&self.turn, turn);
                slept = ASLEEP;
            }
        }
    }

    fn release<O: Os>(&self, os: &O) {
        if self.word.swap(0, Ordering::Release) & ASLEEP != 0 {
            self.turn.fetch_add(1, Ordering::Release);
            os.wake(&self.turn);
        }
    }

    /// True while `thread` holds the lock.
    pub fn held_by(&self, thread: usize) -> bool {
        self.word.load(Ordering::Relaxed) & !ASLEEP == thread
    }

    /// Opens a lock that was kept closed beyond its guard.
    pub fn open<O: Os>(&self, os: &O) {
        self.release(os);
    }

    /// Opens the lock whoever holds it: for the child of a fork, where other threads are gone.
    pub fn reset(&self) {
        self.word.store(0, Ordering::Release);
    }
}

impl Default for Lock {
    fn default() -> Self {
        Self::new()
    }
}

/// Holds a [`Lock`] until dropped.
#[derive(Debug)]
#[must_use]
pub struct Guard<'a, O: Os> {
    lock: &'a Lock,
    os: &'a O,
}

impl<O: Os> Guard<'_, O> {
    /// Keeps the lock beyond the guard's life; `Lock::reset` or a fork handler opens it.
    pub fn keep(self) {
        core::mem::forget(self);
    }
}

impl<O: Os> Drop for Guard<'_, O> {
    #[inline]
    fn drop(&mut self) {
        self.lock.release(self.os);
    }
}

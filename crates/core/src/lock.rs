//! The short lock of a node: spins briefly, then sleeps; knows its holder.
//!
//! The word is the holder's thread number, or 0; bit 0 says that somebody sleeps, bit 1 that the
//! holder is about to fork. One compare and swap both takes the lock and names the holder, so a signal
//! handler that interrupted the holder (and forks, or allocates) can always tell that its own thread
//! holds the lock: [`Lock::acquire`] then returns `None` instead of hanging.
//!
//! No thread holds two of these locks at once (but in a fork's handlers), and no thread makes a system
//! call while it holds one: so a waiting thread waits for a bounded piece of work.
//!
//! # Forks
//! Fork handlers hold the lock across the fork, so that the child finds what it guards whole. But
//! between the handlers and the fork itself libc takes locks of its own (stdio's), which a thread that
//! waits here may hold (glibc's bug 19431). So a lock held for a fork may be taken away after some
//! waits: the fork goes on without it, and its child looks at the word ([`Lock::in_child`]): when a
//! thread was inside, what the lock guards counts as torn. The child sees each thread's stores up to
//! some point in their order (x86 keeps it), and the one that takes the lock comes first.

use crate::os::Os;
use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use crate::sync::hint::spin_loop;
use crate::sync::lock_asked;

const ASLEEP: usize = 1;
const FORKING: usize = 2;
const FLAGS: usize = ASLEEP | FORKING;
/// Waits, of a few milliseconds each, before a lock held for a fork is taken away.
const PATIENCE: u32 = if cfg!(loom) { 1 } else { 3 };

/// What a fork's child finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum InChild {
    /// Nobody was inside; the lock is open now.
    Whole,
    /// The forking thread itself is inside: a signal handler of its own forked. It goes on there.
    Mine,
    /// Another thread was inside, and is not here any more; the lock is open now.
    Torn,
}

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

    /// Takes the lock for `thread` (a multiple of 4, not 0). `None`: that thread holds it already.
    #[inline]
    pub fn acquire<'a, O: Os>(&'a self, os: &'a O, thread: usize) -> Option<Guard<'a, O>> {
        // Acquire pairs with the Release in `release`.
        let taken = self.word.compare_exchange(0, thread, Ordering::Acquire, Ordering::Relaxed);
        lock_asked(taken.is_ok());
        let after = match taken {
            Ok(_) => 0,
            Err(_) => self.acquire_slow(os, thread)?,
        };
        Some(Guard { lock: self, os, after })
    }

    /// What to leave in the word at release; `None`: the thread holds the lock.
    #[cold]
    fn acquire_slow<O: Os>(&self, os: &O, thread: usize) -> Option<usize> {
        let mut spins = 0;
        let mut slept = 0;
        let mut waits = 0;
        loop {
            let turn = self.turn.load(Ordering::Acquire);
            let word = self.word.load(Ordering::Relaxed);
            if word & !ASLEEP == thread {
                return None;
            }
            if word & !ASLEEP == thread | FORKING {
                // Another library's fork handler, or libc itself, allocates between our handlers: it
                // may, but meanwhile nobody may take the lock away.
                if self.word.compare_exchange(word, word & !FORKING, Ordering::Acquire, Ordering::Relaxed).is_ok()
                {
                    return Some(thread | FORKING);
                }
            } else if word == 0 || word & FORKING != 0 && waits >= PATIENCE {
                // One who slept cannot know whether others still do: it keeps the flag.
                if self
                    .word
                    .compare_exchange(word, thread | slept | word & ASLEEP, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
                {
                    return Some(0);
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
                waits += 1;
            }
        }
    }

    fn release<O: Os>(&self, os: &O, after: usize) {
        let word = self.word.swap(after, Ordering::Release);
        self.wake(os, word);
    }

    fn wake<O: Os>(&self, os: &O, word: usize) {
        if word & ASLEEP != 0 {
            self.turn.fetch_add(1, Ordering::Release);
            os.wake(&self.turn);
        }
    }

    /// True while `thread` holds the lock.
    pub fn held_by(&self, thread: usize) -> bool {
        self.word.load(Ordering::Relaxed) & !FLAGS == thread
    }

    /// Before a fork: takes the lock for `thread` and holds it across the fork, unless somebody
    /// waits too long. Does nothing if that thread holds it already.
    pub fn hold_for_fork<O: Os>(&self, os: &O, thread: usize) {
        if let Some(guard) = self.acquire(os, thread) {
            core::mem::forget(guard);
            self.word.fetch_or(FORKING, Ordering::Release);
        }
    }

    /// After a fork, in the parent: opens the lock if it is held for that fork still.
    pub fn end_fork<O: Os>(&self, os: &O, thread: usize) {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & !ASLEEP == thread | FORKING {
            match self.word.compare_exchange_weak(word, 0, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => {
                    self.wake(os, word);
                    return;
                }
                Err(now) => word = now,
            }
        }
    }

    /// After a fork, in the child, where `thread` is alone.
    pub fn in_child(&self, thread: usize) -> InChild {
        let word = self.word.load(Ordering::Relaxed);
        if word & FORKING == 0 && word & !FLAGS == thread {
            return InChild::Mine;
        }
        self.word.store(0, Ordering::Release);
        if word == 0 || word & FORKING != 0 { InChild::Whole } else { InChild::Torn }
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
    after: usize,
}

impl<O: Os> Drop for Guard<'_, O> {
    #[inline]
    fn drop(&mut self) {
        self.lock.release(self.os, self.after);
    }
}

//! Level 1: one thread's free objects of one pool.
//!
//! Only its thread pushes and pops, without lock and without an atomic read-modify-write: the words are atomics so that
//! others may read them for figures, and lower `limit`, but all accesses of the fast paths are plain loads and stores.
//!
//! # Life
//! The cache is known to its thread's table and to its pool's register; whichever ends first takes the objects.
//!
//! ```text
//!           thread ends: LIVE ─► LEAVING ─► GONE      the thread flushes; a pool that ends meanwhile waits
//!           pool ends:   LIVE ───────────► GONE      the pool takes what is there
//! ```
//!
//! A thread touches a pool's cache only while it holds a reference to the pool, or in `LEAVING`. So a pool that ends
//! and has made all its caches `GONE` is alone, and a cache that is `GONE` holds nothing.

use crate::object::stack::Room;
use crate::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use crate::sync::{UnsafeCell, relax};
use core::ptr::NonNull;

const LIVE: u8 = 0;
const LEAVING: u8 = 1;
const GONE: u8 = 2;

/// See the module.
#[derive(Debug)]
pub(super) struct Cache {
    len: AtomicUsize,
    /// Objects it may hold now; 0 when it is asked to return all at the next return of an object.
    limit: AtomicUsize,
    hits: AtomicUsize,
    items: UnsafeCell<Option<Room<u8>>>,
    start: NonNull<NonNull<u8>>,
    /// What `limit` is otherwise.
    most: usize,
    /// The shared stripe of the thread.
    pub(super) stripe: usize,
    state: AtomicU8,
}

// SAFETY: what others than the thread touch is atomic; `items` is for whoever made the cache leave `LIVE`.
unsafe impl Sync for Cache {}
// SAFETY: as above.
unsafe impl Send for Cache {}

impl Cache {
    /// An empty cache in `room`, which has place for `most` pointers.
    pub(super) fn new(room: Room<u8>, most: usize, stripe: usize) -> Self {
        Self {
            len: AtomicUsize::new(0),
            limit: AtomicUsize::new(most),
            hits: AtomicUsize::new(0),
            start: room.start(),
            items: UnsafeCell::new(Some(room)),
            most,
            stripe,
            state: AtomicU8::new(LIVE),
        }
    }

    /// Takes the object put in last. Relaxed throughout: one thread's own words.
    #[inline(always)]
    pub(super) fn pop<T>(&self) -> Option<NonNull<T>> {
        let len = self.len.load(Ordering::Relaxed).checked_sub(1)?;
        // SAFETY: below the length, written by `push`, and only this thread writes.
        let object = unsafe { self.start.add(len).read() };
        self.len.store(len, Ordering::Relaxed);
        self.hits.store(self.hits.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        Some(object.cast())
    }

    /// Puts an object in; false when the limit is reached.
    #[inline(always)]
    pub(super) fn push<T>(&self, object: NonNull<T>) -> bool {
        let len = self.len.load(Ordering::Relaxed);
        if len >= self.limit.load(Ordering::Relaxed) {
            return false;
        }
        // SAFETY: the limit is at most the room's size, and only this thread writes.
        unsafe { self.start.add(len).write(object.cast()) };
        self.len.store(len + 1, Ordering::Relaxed);
        true
    }

    /// Adds objects from below; the limit is not looked at but the room is.
    pub(super) fn fill<T>(&self, objects: &[NonNull<T>]) {
        let len = self.len.load(Ordering::Relaxed);
        debug_assert!(len + objects.len() <= self.most);
        for (at, object) in objects.iter().enumerate() {
            // SAFETY: within the room, and only this thread writes.
            unsafe { self.start.add(len + at).write(object.cast()) };
        }
        self.len.store(len + objects.len(), Ordering::Relaxed);
    }

    /// Takes the `out.len()` objects that lie longest; returns how many there were. For the thread, or for whoever
    /// made the cache leave `LIVE`.
    pub(super) fn take_oldest<T>(&self, out: &mut [NonNull<T>]) -> usize {
        let len = self.len.load(Ordering::Relaxed);
        let count = len.min(out.len());
        for (at, place) in out[..count].iter_mut().enumerate() {
            // SAFETY: below the length.
            *place = unsafe { self.start.add(at).read() }.cast();
        }
        // SAFETY: within the room.
        let rest = unsafe { self.start.add(count) };
        // SAFETY: both within the room.
        unsafe { self.start.copy_from(rest, len - count) };
        self.len.store(len - count, Ordering::Relaxed);
        count
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(super) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed) as u64
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Asks the thread to return everything when it next returns an object.
    pub(super) fn ask(&self) {
        // Relaxed: a hint; the thread reads it at some later return.
        self.limit.store(0, Ordering::Relaxed);
    }

    /// True when the thread was asked.
    pub(super) fn asked(&self) -> bool {
        self.limit.load(Ordering::Relaxed) == 0
    }

    /// The thread did what it was asked.
    pub(super) fn answer(&self) {
        self.limit.store(self.most, Ordering::Relaxed);
    }

    /// The thread begins to leave. False: the pool has ended, and the cache holds nothing.
    #[must_use]
    pub(super) fn leave(&self) -> bool {
        // Acquire: with a pool that ended, its doings come before what the thread does next.
        self.state.compare_exchange(LIVE, LEAVING, Ordering::Acquire, Ordering::Acquire).is_ok()
    }

    /// The thread has left: from here on it does not touch the pool.
    pub(super) fn left(&self) {
        // Release pairs with the Acquire in `end`.
        self.state.store(GONE, Ordering::Release);
    }

    /// The pool ends. True: the cache's objects are the pool's to take; false: the thread has left, and flushed them.
    #[must_use]
    pub(super) fn end(&self) -> bool {
        let mut turn = 0;
        loop {
            // Acquire pairs with the Release in `left`. The thread's earlier doings the pool's end comes after anyway.
            match self.state.compare_exchange(LIVE, GONE, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(LEAVING) => relax(turn),
                Err(_) => return false,
            }
            turn += 1;
        }
    }

    /// True when the thread has left or the pool has ended.
    pub(super) fn is_gone(&self) -> bool {
        // Acquire pairs with the Release in `left`: the hits are the last.
        self.state.load(Ordering::Acquire) == GONE
    }

    /// The memory, for deallocation. For whoever made the cache leave `LIVE`, once it is empty.
    pub(super) fn take_room(&self) -> Option<Room<u8>> {
        debug_assert_eq!(self.len(), 0);
        // SAFETY: the state gives one side the right, once.
        self.items.with_mut(|items| unsafe { (*items).take() })
    }
}

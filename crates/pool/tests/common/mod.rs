//! What the tests share: a source that counts and refuses, objects that are counted and may panic.
#![allow(dead_code)]

use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};
use stratalloc_pool::{Global, Source};

/// A source on the global allocator that knows what is out, and refuses on demand.
#[derive(Debug, Default)]
pub struct Flaky {
    /// Bytes out.
    pub bytes: AtomicIsize,
    /// Chunks out.
    pub chunks: AtomicIsize,
    /// Requests served before one is refused, plus 1; 0: none is.
    pub refuse_after: AtomicUsize,
    /// Requests refused.
    pub refused: AtomicUsize,
}

impl Flaky {
    pub const fn new() -> Self {
        Self {
            bytes: AtomicIsize::new(0),
            chunks: AtomicIsize::new(0),
            refuse_after: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        }
    }

    /// Refuses everything after `served` more requests, until called with `usize::MAX`.
    pub fn refuse_after(&self, served: usize) {
        self.refuse_after.store(served.wrapping_add(1), Relaxed);
    }

    pub fn assert_empty(&self) {
        assert_eq!((self.bytes.load(Relaxed), self.chunks.load(Relaxed)), (0, 0), "memory leaked");
    }
}

// SAFETY: all chunks are `Global`'s.
unsafe impl Source for Flaky {
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        match self.refuse_after.load(Relaxed) {
            0 => {}
            1 => {
                self.refused.fetch_add(1, Relaxed);
                return None;
            }
            left => self.refuse_after.store(left - 1, Relaxed),
        }
        self.bytes.fetch_add(layout.size() as isize, Relaxed);
        self.chunks.fetch_add(1, Relaxed);
        Global.allocate(layout)
    }

    unsafe fn deallocate(&self, chunk: NonNull<u8>, layout: Layout) {
        self.bytes.fetch_sub(layout.size() as isize, Relaxed);
        self.chunks.fetch_sub(1, Relaxed);
        // SAFETY: the caller's chunk.
        unsafe { Global.deallocate(chunk, layout) }
    }
}

/// Counts objects made and dropped.
#[derive(Debug, Default)]
pub struct Tally {
    pub made: AtomicUsize,
    pub dropped: AtomicUsize,
}

impl Tally {
    pub const fn new() -> Self {
        Self { made: AtomicUsize::new(0), dropped: AtomicUsize::new(0) }
    }

    pub fn alive(&self) -> isize {
        self.made.load(Relaxed) as isize - self.dropped.load(Relaxed) as isize
    }
}

/// An object that notes that it is made and dropped, once.
#[derive(Debug)]
pub struct Counted<'a> {
    tally: &'a Tally,
    alive: Cell<bool>,
    /// Its drop panics.
    pub bomb: bool,
    pub value: u64,
}

impl<'a> Counted<'a> {
    pub fn new(tally: &'a Tally) -> Self {
        let value = tally.made.fetch_add(1, Relaxed) as u64;
        Self { tally, alive: Cell::new(true), bomb: false, value }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        assert!(self.alive.replace(false), "dropped twice");
        self.tally.dropped.fetch_add(1, Relaxed);
        if self.bomb {
            panic!("bomb");
        }
    }
}

/// Calls `f`, which must panic with a text that contains `text`.
pub fn panics(text: &str, f: impl FnOnce()) {
    let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).expect_err("no panic");
    let said = payload.downcast_ref::<String>().map(String::as_str);
    let said = said.or(payload.downcast_ref::<&str>().copied()).unwrap_or("?");
    assert!(said.contains(text), "panicked with {said:?}");
}

//! Objects that are counted: each must be dropped exactly once. And a source that can refuse.
#![allow(dead_code)] // Not each test needs all of it.

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::ptr::NonNull;
use std::rc::Rc;
use stratalloc_pool::{Global, Source};

/// Who lives.
#[derive(Debug, Default)]
pub struct Ledger {
    live: RefCell<HashSet<u64>>,
    next: Cell<u64>,
    /// The object whose drop panics.
    bomb: Cell<u64>,
}

impl Ledger {
    pub fn new() -> Rc<Self> {
        Rc::default()
    }

    /// How many objects live.
    pub fn live(&self) -> usize {
        self.live.borrow().len()
    }

    /// The drop of this object panics, once.
    pub fn arm(&self, object: &Counted) {
        self.bomb.set(object.number);
    }
}

/// An object with a value, that is in the ledger while it lives.
#[derive(Debug)]
pub struct Counted {
    pub value: u32,
    number: u64,
    ledger: Rc<Ledger>,
}

impl Counted {
    pub fn new(value: u32, ledger: &Rc<Ledger>) -> Self {
        ledger.next.set(ledger.next.get() + 1);
        let number = ledger.next.get();
        ledger.live.borrow_mut().insert(number);
        Self { value, number, ledger: ledger.clone() }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert!(self.ledger.live.borrow_mut().remove(&self.number), "object {} was dropped twice", self.number);
        if self.ledger.bomb.get() == self.number {
            self.ledger.bomb.set(0);
            panic!("object {} would not be dropped", self.number);
        }
    }
}

/// A source that knows what it gave, and refuses when told to.
#[derive(Debug, Default)]
pub struct Watched {
    given: RefCell<HashMap<usize, Layout>>,
    refusals: Cell<usize>,
}

impl Watched {
    /// Refuses the next so many requests.
    pub fn refuse(&self, count: usize) {
        self.refusals.set(count);
    }

    /// Bytes given and not taken back.
    pub fn bytes(&self) -> usize {
        self.given.borrow().values().map(Layout::size).sum()
    }
}

// SAFETY: all chunks are `Global`'s.
unsafe impl Source for Watched {
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        assert_ne!(layout.size(), 0);
        if self.refusals.get() > 0 {
            self.refusals.set(self.refusals.get() - 1);
            return None;
        }
        let chunk = Global.allocate(layout)?;
        self.given.borrow_mut().insert(chunk.as_ptr().addr(), layout);
        Some(chunk)
    }

    unsafe fn deallocate(&self, chunk: NonNull<u8>, layout: Layout) {
        assert_eq!(self.given.borrow_mut().remove(&chunk.as_ptr().addr()), Some(layout));
        // SAFETY: the caller's chunk.
        unsafe { Global.deallocate(chunk, layout) }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        assert!(std::thread::panicking() || self.given.get_mut().is_empty(), "chunks were lost");
    }
}

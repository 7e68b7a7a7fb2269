//! A NUMA node: its pool (S1) and its page heap (S2) behind one short lock.
//!
//! One lock for both, so that no thread ever holds one and waits for another: a signal handler that
//! interrupts the holder and forks can then never close a circle (see [`crate::lock`]).

use crate::lock::{Guard, Lock};
use crate::node_pool::NodePool;
use crate::os::Os;
use crate::page_heap::PageHeap;
use core::cell::UnsafeCell;

/// What the lock guards.
#[derive(Debug)]
pub struct Stores {
    /// S1.
    pub pool: NodePool,
    /// S2.
    pub pages: PageHeap,
}

/// A node; all zero when empty.
#[derive(Debug)]
#[repr(align(128))]
pub struct Node {
    lock: Lock,
    stores: UnsafeCell<Stores>,
}

// SAFETY: `stores` is reached through `Locked` (or `alone`, whose contract says so) only.
unsafe impl Sync for Node {}

impl Node {
    /// A node without memory: all zero.
    pub const fn new() -> Self {
        Self {
            lock: Lock::new(),
            stores: UnsafeCell::new(Stores { pool: NodePool::new(), pages: PageHeap::new() }),
        }
    }

    /// Locks the node for `thread`; `None` when that thread holds it already (a signal handler that
    /// interrupted it, which must not touch the stores).
    #[inline]
    pub fn lock<'a, O: Os>(&'a self, os: &'a O, thread: usize) -> Option<Locked<'a, O>> {
        let guard = self.lock.acquire(os, thread)?;
        Some(Locked { stores: self.stores.get(), _guard: guard })
    }

    /// The bare lock, for the fork handlers.
    pub fn raw_lock(&self) -> &Lock {
        &self.lock
    }

    /// The stores without the lock.
    ///
    /// # Safety
    /// The calling thread holds the lock, or is the only one in the process.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn alone(&self) -> &mut Stores {
        // SAFETY: the contract.
        unsafe { &mut *self.stores.get() }
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

/// A locked node.
#[derive(Debug)]
pub struct Locked<'a, O: Os> {
    stores: *mut Stores,
    _guard: Guard<'a, O>,
}

impl<O: Os> core::ops::Deref for Locked<'_, O> {
    type Target = Stores;
    fn deref(&self) -> &Stores {
        // SAFETY: the lock is held as long as the guard lives.
        unsafe { &*self.stores }
    }
}

impl<O: Os> core::ops::DerefMut for Locked<'_, O> {
    fn deref_mut(&mut self) -> &mut Stores {
        // SAFETY: the lock is held as long as the guard lives.
        unsafe { &mut *self.stores }
    }
}

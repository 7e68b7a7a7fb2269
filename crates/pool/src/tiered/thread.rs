//! Which cache a thread has for a pool, and what happens when the thread ends.
//!
//! Each thread has a table, indexed by the pool's number. Numbers of pools that are gone are used again, so an
//! entry also says the pool's serial, which never is. The table needs no destructor of its own, so that reading it is one
//! access to thread-local memory; a second thread-local, touched when the first cache is made, has one.

use super::cache::Cache;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Cell, UnsafeCell};
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// A thread's cache of one pool.
pub(super) struct Entry {
    /// The pool's; 0 for none.
    serial: u64,
    cache: Option<Arc<Cache>>,
    /// The pool's inside, and what flushes a cache into it. Used only while the cache's state allows.
    pool: *const (),
    flush: unsafe fn(*const (), &Arc<Cache>),
}

const NONE: Entry = Entry { serial: 0, cache: None, pool: core::ptr::null(), flush: |_, _| {} };

struct Table {
    entries: UnsafeCell<ManuallyDrop<Vec<Entry>>>,
    /// The thread's number plus 1, once it has one.
    ordinal: Cell<usize>,
    /// The exit hook has run: caches are not made any more.
    ended: Cell<bool>,
}

struct Exit;

std::thread_local! {
    static TABLE: Table = const {
        Table {
            entries: UnsafeCell::new(ManuallyDrop::new(Vec::new())),
            ordinal: Cell::new(0),
            ended: Cell::new(false),
        }
    };
    static EXIT: Exit = const { Exit };
}

impl Drop for Exit {
    fn drop(&mut self) {
        let entries = TABLE.with(|table| {
            table.ended.set(true);
            // SAFETY: no reference into the table is kept by this thread's frames, which are in destructors.
            core::mem::take(unsafe { &mut **table.entries.get() })
        });
        for entry in entries {
            retire(entry);
        }
    }
}

/// Flushes a cache that its thread gives up, if its pool is there.
fn retire(entry: Entry) {
    if let Some(cache) = entry.cache
        && cache.leave()
    {
        // SAFETY: the pool waits for `left`, so it is there.
        unsafe { (entry.flush)(entry.pool, &cache) };
        cache.left();
    }
}

/// The calling thread's cache of pool `number`, if it is that of `serial`.
///
/// # Safety
/// The result is used only until this thread next calls into this module or runs user code.
#[inline(always)]
pub(super) unsafe fn cache<'a>(number: usize, serial: u64) -> Option<&'a Cache> {
    TABLE.with(|table| {
        // SAFETY: nobody changes the table while this looks: it is the thread's, and `insert` and `Exit` call nothing
        // that comes here while they hold it.
        let entry = unsafe { &*table.entries.get() }.get(number)?;
        if entry.serial != serial {
            return None;
        }
        let cache: *const Cache = &**entry.cache.as_ref()?;
        // SAFETY: the table keeps the cache alive, and the caller does not keep the reference for long.
        Some(unsafe { &*cache })
    })
}

/// Puts a cache into the calling thread's table. False: the thread is ending, so nothing is kept.
pub(super) fn insert(
    number: usize,
    serial: u64,
    cache: Arc<Cache>,
    pool: *const (),
    flush: unsafe fn(*const (), &Arc<Cache>),
) -> bool {
    if EXIT.try_with(|_| ()).is_err() || TABLE.with(|table| table.ended.get()) {
        return false;
    }
    let entry = Entry { serial, cache: Some(cache), pool, flush };
    let old = TABLE.with(|table| {
        // SAFETY: as in `cache`; nothing called here comes back.
        let entries = unsafe { &mut *table.entries.get() };
        if entries.len() <= number {
            entries.resize_with(number + 1, || NONE);
        }
        core::mem::replace(&mut entries[number], entry)
    });
    // That of an earlier pool of this number, which is gone.
    retire(old);
    true
}

/// A number for the calling thread, to spread threads over stripes.
pub(super) fn ordinal() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    TABLE.with(|table| {
        if table.ordinal.get() == 0 {
            // Relaxed: only distinctness matters.
            table.ordinal.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        table.ordinal.get()
    })
}

/// Numbers in use and free ones.
struct Numbers {
    next: usize,
    serial: u64,
    free: Vec<usize>,
}

static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { next: 0, serial: 0, free: Vec::new() });

/// A number and a serial for a new pool.
pub(super) fn number() -> (usize, u64) {
    let mut numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
    numbers.serial += 1;
    let number = numbers.free.pop().unwrap_or_else(|| {
        numbers.next += 1;
        numbers.next - 1
    });
    (number, numbers.serial)
}

/// Gives a number back.
pub(super) fn free_number(number: usize) {
    NUMBERS.lock().unwrap_or_else(PoisonError::into_inner).free.push(number);
}

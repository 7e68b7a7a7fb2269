//! Which cache a thread has for a pool, and what happens when the thread ends.
//!
//! Each thread has a table, indexed by the pool's number. Numbers of pools that are gone are used again, so an
//! entry also says the pool's serial, which never is. Where the table lies and who says that the thread ends is a
//! [`Threads`]: std's thread-locals, or what a program without std has.

use super::cache::Cache;
use super::levels::Levels;
use super::shared::Shared;
use crate::Source;
use alloc::vec::Vec;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::mem::{ManuallyDrop, replace, take};
use core::sync::atomic::{AtomicUsize, Ordering};

/// Where threads keep which caches they have.
///
/// # Safety
/// What `caches` returns is valid until the thread's end, and the calling thread's own or one that nobody ever
/// changes ([`ThreadCaches::new`], never passed to [`end`](ThreadCaches::end)). What `own` returns is valid and the
/// calling thread's alone; `caches` returns the same from then on, and `end` is called for it on its thread before it goes.
/// Neither comes back into a pool.
pub unsafe trait Threads: 'static {
    /// The calling thread's caches; empty ones of nobody's where it has none. Cheap: called by every acquisition.
    fn caches() -> *const ThreadCaches;

    /// The calling thread's own caches, made if it has none yet. `None`: the thread is ending, or there is no
    /// memory; it then does without a cache.
    fn own() -> Option<*const ThreadCaches>;
}

/// Which caches a thread has, one for each pool that it used; see [`Threads`].
pub struct ThreadCaches {
    entries: UnsafeCell<ManuallyDrop<Vec<Entry>>>,
    /// The thread's number plus 1, once it has one.
    ordinal: Cell<usize>,
    /// `end` has run: caches are not made any more.
    ended: Cell<bool>,
}

// SAFETY: changed by its one thread; those of nobody's are never changed (`Threads`).
unsafe impl Sync for ThreadCaches {}

impl fmt::Debug for ThreadCaches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadCaches").finish_non_exhaustive()
    }
}

/// A thread's cache of one pool.
struct Entry {
    /// The pool's; 0 for none.
    serial: u64,
    cache: Option<Shared<Cache>>,
    /// The pool's inside, and what flushes a cache into it. Used only while the cache's state allows.
    pool: *const (),
    flush: unsafe fn(*const (), &Cache),
}

const NONE: Entry = Entry { serial: 0, cache: None, pool: core::ptr::null(), flush: |_, _| {} };

impl Default for ThreadCaches {
    fn default() -> Self {
        Self::new()
    }
}

impl ThreadCaches {
    /// No caches.
    pub const fn new() -> Self {
        Self {
            entries: UnsafeCell::new(ManuallyDrop::new(Vec::new())),
            ordinal: Cell::new(0),
            ended: Cell::new(false),
        }
    }

    /// Returns what all caches hold to their pools; none is made afterwards.
    ///
    /// # Safety
    /// Called by the thread that these caches are of.
    pub unsafe fn end(&self) {
        self.ended.set(true);
        // SAFETY: no reference into the table is kept by this thread's frames: it is in its exit hook.
        let entries = take(unsafe { &mut **self.entries.get() });
        for entry in entries {
            retire(entry);
        }
    }

    /// Makes room for pool `number`. False: the thread is ending, or there is no memory.
    fn make_room(&self, number: usize) -> bool {
        // SAFETY: as in `cache`; nothing called here comes back.
        let entries = unsafe { &mut **self.entries.get() };
        let more = (number + 1).saturating_sub(entries.len());
        if self.ended.get() || entries.try_reserve(more).is_err() {
            return false;
        }
        entries.resize_with(entries.len() + more, || NONE);
        true
    }

    /// The entry of pool `number`, for which there is room, replaced.
    fn put(&self, number: usize, entry: Entry) -> Entry {
        // SAFETY: as in `cache`; nothing called here comes back.
        replace(unsafe { &mut (**self.entries.get())[number] }, entry)
    }

    /// A number for the thread, to spread threads over stripes.
    fn ordinal(&self) -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        if self.ordinal.get() == 0 {
            // Relaxed: only distinctness matters.
            self.ordinal.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        self.ordinal.get()
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
pub(super) unsafe fn cache<'a, H: Threads>(number: usize, serial: u64) -> Option<&'a Cache> {
    // SAFETY: valid for this thread (`Threads`).
    let table = unsafe { &*H::caches() };
    // SAFETY: nobody changes the table while this looks: it is the thread's, and `put` and `end` call nothing that
    // comes here while they hold it.
    let entry = unsafe { &*table.entries.get() }.get(number)?;
    if entry.serial != serial {
        return None;
    }
    let cache: *const Cache = &**entry.cache.as_ref()?;
    // SAFETY: the table keeps the cache alive, and the caller does not keep the reference for long.
    Some(unsafe { &*cache })
}

/// Sees to it that the calling thread has a cache of the pool, if it can have one.
pub(super) fn introduce<H: Threads, T, A: Source + 'static>(number: usize, serial: u64, levels: &Levels<T, A>) {
    // SAFETY: not used.
    if unsafe { cache::<H>(number, serial) }.is_some() {
        return;
    }
    let Some(table) = H::own() else { return };
    // SAFETY: valid and this thread's own (`Threads`).
    let table = unsafe { &*table };
    if !table.make_room(number) {
        return;
    }
    let Some(cache) = levels.new_cache(table.ordinal()) else { return };
    let pool = core::ptr::from_ref(levels).cast();
    let old = table.put(number, Entry { serial, cache: Some(cache), pool, flush: flush::<T, A> });
    // That of an earlier pool of this number, which is gone.
    retire(old);
}

/// Flushes a thread's cache into the levels it belongs to.
///
/// # Safety
/// `pool` is a `Levels<T, A>` that waits for the cache to be left.
unsafe fn flush<T, A: Source + 'static>(pool: *const (), cache: &Cache) {
    // SAFETY: the caller's promise; others use it by shared reference too.
    let levels = unsafe { &*pool.cast::<Levels<T, A>>() };
    levels.retire(cache);
}

/// Numbers in use and free ones.
struct Numbers {
    next: usize,
    serial: u64,
    /// With room for all numbers, so that giving one back cannot fail.
    free: Vec<usize>,
}

const NUMBERS: Numbers = Numbers { next: 0, serial: 0, free: Vec::new() };

#[cfg(not(any(loom, shuttle)))]
static REGISTER: crate::lock::Lock<Numbers> = crate::lock::Lock::new(NUMBERS);

#[cfg(not(any(loom, shuttle)))]
fn with_numbers<R>(f: impl FnOnce(&mut Numbers) -> R) -> R {
    REGISTER.with(f)
}

/// A checker's lock cannot be a static; the register is not what its models are about.
#[cfg(any(loom, shuttle))]
fn with_numbers<R>(f: impl FnOnce(&mut Numbers) -> R) -> R {
    static REGISTER: std::sync::Mutex<Numbers> = std::sync::Mutex::new(NUMBERS);
    f(&mut REGISTER.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// A number and a serial for a new pool; `None`: no memory.
pub(super) fn number() -> Option<(usize, u64)> {
    with_numbers(|numbers| {
        numbers.serial += 1;
        let number = match numbers.free.pop() {
            Some(number) => number,
            None => {
                numbers.free.try_reserve(numbers.next + 1).ok()?;
                numbers.next += 1;
                numbers.next - 1
            }
        };
        Some((number, numbers.serial))
    })
}

/// Gives a number back.
pub(super) fn free_number(number: usize) {
    with_numbers(|numbers| numbers.free.push(number));
}

/// Closes what all pools share, before a fork: the child of a process whose other thread is making or ending a pool
/// would find it half done. [`after_fork`] opens it, in parent and child. For programs without std, which know that a fork is
/// coming; a pool that another thread is inside of at that moment stays closed in the child, as a mutex would.
#[cfg(not(any(loom, shuttle)))]
pub fn before_fork() {
    REGISTER.close();
}

/// See [`before_fork`].
///
/// # Safety
/// Follows `before_fork` on the same thread, or in the child of its fork.
#[cfg(not(any(loom, shuttle)))]
pub unsafe fn after_fork() {
    // SAFETY: closed by `before_fork`.
    unsafe { REGISTER.open() };
}

#[cfg(feature = "std")]
mod local {
    use super::{ThreadCaches, Threads};

    /// std's threads.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct StdThreads;

    struct Exit;

    std::thread_local! {
        // Without a destructor of its own, so that reading it is one access to thread-local memory; `EXIT`, touched
        // when the first cache is made, has one.
        static TABLE: ThreadCaches = const { ThreadCaches::new() };
        static EXIT: Exit = const { Exit };
    }

    impl Drop for Exit {
        fn drop(&mut self) {
            // SAFETY: this thread's.
            TABLE.with(|table| unsafe { table.end() });
        }
    }

    // SAFETY: the table is a thread-local without destructor; `EXIT` ends it on its thread.
    unsafe impl Threads for StdThreads {
        #[inline(always)]
        fn caches() -> *const ThreadCaches {
            TABLE.with(core::ptr::from_ref)
        }

        fn own() -> Option<*const ThreadCaches> {
            EXIT.try_with(|_| ()).ok()?;
            Some(Self::caches())
        }
    }
}
#[cfg(feature = "std")]
pub use local::StdThreads;

//! The light lock of the shared pools: one atomic read-modify-write to take it, a plain store to open it.
//!
//! What it guards is a few instructions long: no user code, no allocator and no wake-up runs inside, so a waiting
//! thread waits for a bounded piece of work. It therefore spins a little, then yields, then sleeps for moments; it never
//! queues on a futex, whose price is a second read-modify-write at each release. No thread holds two of
//! these locks at once.

use crate::sync::atomic::{AtomicU8, Ordering};
use crate::sync::{UnsafeCell, relax};

/// A value that one thread at a time may touch.
#[derive(Debug)]
pub(crate) struct Lock<D> {
    /// 1 while somebody is inside.
    word: AtomicU8,
    data: UnsafeCell<D>,
}

// SAFETY: the lock hands the value to one thread at a time.
unsafe impl<D: Send> Sync for Lock<D> {}
// SAFETY: as for the value.
unsafe impl<D: Send> Send for Lock<D> {}

/// Opens the lock, also when what runs inside panics.
struct Open<'a>(&'a AtomicU8);

impl Drop for Open<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // Release pairs with the Acquire of the next holder.
        self.0.store(0, Ordering::Release);
    }
}

impl<D> Lock<D> {
    /// A lock around a value.
    #[cfg(not(any(loom, shuttle)))]
    pub(crate) const fn new(data: D) -> Self {
        Self { word: AtomicU8::new(0), data: UnsafeCell::new(data) }
    }

    /// A lock around a value.
    #[cfg(any(loom, shuttle))]
    pub(crate) fn new(data: D) -> Self {
        Self { word: AtomicU8::new(0), data: UnsafeCell::new(data) }
    }

    /// Takes the lock for longer than a call; [`open`](Self::open) follows.
    #[cfg(all(not(any(loom, shuttle)), any(target_has_atomic = "64", feature = "std")))]
    pub(crate) fn close(&self) {
        // Acquire pairs with the Release in `Open`.
        if self.word.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.wait();
        }
    }

    /// Opens the lock.
    ///
    /// # Safety
    /// The caller closed it, or is the child of a fork whose parent did.
    #[cfg(all(not(any(loom, shuttle)), any(target_has_atomic = "64", feature = "std")))]
    pub(crate) unsafe fn open(&self) {
        drop(Open(&self.word));
    }

    /// Calls `f` alone with the value. `f` must not come back to this lock.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut D) -> R) -> R {
        // Acquire pairs with the Release in `Open`.
        if self.word.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.wait();
        }
        self.inside(f)
    }

    #[inline(always)]
    fn inside<R>(&self, f: impl FnOnce(&mut D) -> R) -> R {
        let _open = Open(&self.word);
        // SAFETY: whoever made the word 1 is alone until it is 0 again.
        self.data.with_mut(|data| f(unsafe { &mut *data }))
    }

    /// The value, without the lock: the caller has it alone.
    pub(crate) fn get_mut(&mut self) -> &mut D {
        // SAFETY: exclusive access to the lock is exclusive access to the value.
        self.data.with_mut(|data| unsafe { &mut *data })
    }

    #[cold]
    #[inline(never)]
    fn wait(&self) {
        let mut turn = 0;
        loop {
            relax(turn);
            turn += 1;
            // Acquire pairs with the Release in `Open`.
            if self.word.load(Ordering::Relaxed) == 0
                && self.word.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return;
            }
        }
    }
}

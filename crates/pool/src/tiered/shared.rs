//! A counted reference whose making can fail: `Arc` ends the process when memory is out, and a cache is made on the
//! way of an acquisition, which answers with an error instead.

use alloc::boxed::Box;
use core::alloc::Layout;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering, fence};

struct Inner<T> {
    count: AtomicUsize,
    value: T,
}

/// One of several owners of a value.
#[derive(Debug)]
pub(super) struct Shared<T>(NonNull<Inner<T>>);

// SAFETY: as `Arc`: hands out shared references, and the last owner drops the value.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Puts a value on the global allocator; gives it back when there is no memory.
    pub(super) fn new(value: T) -> Result<Self, T> {
        boxed(Inner { count: AtomicUsize::new(1), value }).map(Self).map_err(|inner| inner.value)
    }
}

/// A value on the global allocator, to be freed by `Box::from_raw`; given back when there is no memory.
pub(super) fn boxed<T>(value: T) -> Result<NonNull<T>, T> {
    let layout = Layout::new::<T>();
    debug_assert_ne!(layout.size(), 0);
    // SAFETY: the size is not 0.
    match NonNull::new(unsafe { alloc::alloc::alloc(layout) }.cast::<T>()) {
        Some(place) => {
            // SAFETY: fresh memory of this layout.
            unsafe { place.write(value) };
            Ok(place)
        }
        None => Err(value),
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: alive as long as an owner is.
        unsafe { &self.0.as_ref().value }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        // SAFETY: as in `deref`. Relaxed: who has one may make another, and hands it on by means of its own.
        unsafe { self.0.as_ref() }.count.fetch_add(1, Ordering::Relaxed);
        Self(self.0)
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: as in `deref`. Release: what this owner did comes before the drop, whose Acquire it pairs with.
        if unsafe { self.0.as_ref() }.count.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: allocated like a box, and the last owner is going.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}

//! What a contender must do, and raw blocks as objects.

use std::alloc::Layout;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::objects::Object;

/// Room for so many objects in pools that have to know.
pub const ROOM: usize = 1024;

/// A pool of `O`, as the loops use it.
pub trait Pool<O: Object>: Sized + 'static {
    /// Releases when dropped.
    type Held<'a>: DerefMut<Target = O>
    where
        Self: 'a;

    fn new() -> Self;

    fn take(&self) -> Self::Held<'_>;
}

/// Blocks without objects in them.
pub trait Raw: Sized + 'static {
    fn new(layout: Layout) -> Self;

    fn get(&self, layout: Layout) -> NonNull<u8>;

    /// # Safety
    /// A block that `get` gave for this layout; not used any more.
    unsafe fn put(&self, block: NonNull<u8>, layout: Layout);
}

/// A pool of raw blocks in which objects are constructed and dropped.
pub struct Of<R, O> {
    raw: R,
    object: PhantomData<fn() -> O>,
}

impl<R: Raw, O: Object> Pool<O> for Of<R, O> {
    type Held<'a> = Block<'a, R, O>;

    fn new() -> Self {
        Self { raw: R::new(Layout::new::<O>()), object: PhantomData }
    }

    #[inline(always)]
    fn take(&self) -> Block<'_, R, O> {
        let at = self.raw.get(Layout::new::<O>()).cast();
        // SAFETY: a block of the object's layout, nobody else's.
        unsafe { O::construct(at.as_ptr()) };
        Block { raw: &self.raw, at }
    }
}

/// A constructed object in a raw block.
pub struct Block<'a, R: Raw, O: Object> {
    raw: &'a R,
    at: NonNull<O>,
}

// SAFETY: the only reference to its object, and a handle to what threads may share.
unsafe impl<R: Raw + Sync, O: Object> Send for Block<'_, R, O> {}

impl<R: Raw, O: Object> Deref for Block<'_, R, O> {
    type Target = O;

    #[inline(always)]
    fn deref(&self) -> &O {
        // SAFETY: constructed, and ours.
        unsafe { self.at.as_ref() }
    }
}

impl<R: Raw, O: Object> DerefMut for Block<'_, R, O> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut O {
        // SAFETY: constructed, and ours.
        unsafe { self.at.as_mut() }
    }
}

impl<R: Raw, O: Object> Drop for Block<'_, R, O> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: constructed, ours, and not used after.
        unsafe {
            self.at.drop_in_place();
            self.raw.put(self.at.cast(), Layout::new::<O>());
        }
    }
}

/// A guard of a box, or of another wrapper, as one of what is inside.
pub struct Inside<G>(pub G);

impl<G: Deref<Target: Deref>> Deref for Inside<G> {
    type Target = <G::Target as Deref>::Target;

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<G: DerefMut<Target: DerefMut>> DerefMut for Inside<G> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

//! [`Pooled`]: an object that goes back to its pool by itself.
//!
//! One guard for all pools: the pool says, as its [`Home`], what a guard must remember. A borrowed guard holds a
//! reference to the pool and costs nothing to make; an owned one holds an `Arc` and pays for it.

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

/// A pool as its guards see it. An implementation detail.
///
/// # Safety
/// `object` gives the object's address, the same for as long as the key is good. A key belongs to one guard.
#[doc(hidden)]
pub unsafe trait Home {
    /// What the pool hands out.
    type Object;
    /// What finds the object again.
    type Key: Copy;

    /// The object of a key.
    fn object(key: Self::Key) -> NonNull<Self::Object>;

    /// Takes the object back.
    ///
    /// # Safety
    /// A good key of this pool, which ends with this.
    unsafe fn put_back(&self, key: Self::Key);

    /// Takes the place back from which the object was moved out.
    ///
    /// # Safety
    /// A good key of this pool, which ends with this; its object is moved out or dropped.
    unsafe fn put_back_empty(&self, key: Self::Key);
}

/// A pooled object in use; goes back to its pool when dropped.
///
/// `P` is how it holds the pool: by reference, or by `Arc`. It derefs to the object.
///
/// Returning the object resets it first. Forgetting the guard (`mem::forget`) leaks the object: it is not dropped,
/// its block stays live, and the pool's leak report counts it.
///
/// ```
/// use stratalloc_pool::{LocalPool, Pooled};
///
/// let pool = LocalPool::new(String::new, String::clear);
/// let mut name = pool.try_acquire()?;
/// name.push_str("Ada");
/// let taken: String = Pooled::into_inner(name); // the pool makes another when needed
/// assert_eq!(taken, "Ada");
/// assert_eq!((pool.stats().live, pool.stats().free), (0, 0));
/// # Ok::<(), stratalloc_pool::AcquireError>(())
/// ```
///
/// A borrowed guard does not outlive its pool, nor a reference its guard:
///
/// ```compile_fail,E0505
/// let pool = stratalloc_pool::LocalPool::new(String::new, String::clear);
/// let name = pool.try_acquire();
/// drop(pool);
/// drop(name);
/// ```
///
/// ```compile_fail,E0505
/// let pool = stratalloc_pool::LocalPool::new(String::new, String::clear);
/// let name = pool.try_acquire().unwrap();
/// let inside: &str = &name;
/// drop(name);
/// println!("{inside}");
/// ```
#[must_use = "dropping it returns the object at once"]
pub struct Pooled<P: Deref<Target: Home>> {
    home: P,
    key: <P::Target as Home>::Key,
}

type Object<P> = <<P as Deref>::Target as Home>::Object;

// SAFETY: it is an exclusive reference to the object and a handle to the pool.
unsafe impl<P: Deref<Target: Home> + Send> Send for Pooled<P> where Object<P>: Send {}
// SAFETY: a shared guard gives shared access to the object only.
unsafe impl<P: Deref<Target: Home> + Sync> Sync for Pooled<P> where Object<P>: Sync {}

impl<P: Deref<Target: Home>> Pooled<P> {
    /// # Safety
    /// The key is good, belongs to this pool and to nobody else.
    #[inline(always)]
    pub(crate) unsafe fn new(home: P, key: <P::Target as Home>::Key) -> Self {
        Self { home, key }
    }

    /// Moves the object out; it will not be reset or returned. The pool keeps the block.
    #[inline]
    pub fn into_inner(this: Self) -> Object<P> {
        let (home, key) = Self::dismantle(this);
        // SAFETY: the guard was the only user of the object, and is gone.
        let object = unsafe { P::Target::object(key).read() };
        // SAFETY: the guard's key; the object is moved out.
        unsafe { home.put_back_empty(key) };
        object
    }

    /// Drops the object instead of returning it: a connection that broke. If the drop panics, the block is still
    /// returned.
    ///
    /// ```
    /// use stratalloc_pool::{LocalPool, Pooled};
    ///
    /// let pool = LocalPool::new(String::new, String::clear);
    /// Pooled::discard(pool.try_acquire()?);
    /// assert_eq!((pool.stats().live, pool.stats().free), (0, 0));
    /// # Ok::<(), stratalloc_pool::AcquireError>(())
    /// ```
    pub fn discard(this: Self) {
        drop(Self::into_inner(this));
    }

    /// The pool.
    #[inline]
    pub fn pool(this: &Self) -> &P::Target {
        &this.home
    }

    /// Handle and key, without returning the object.
    #[inline]
    pub(crate) fn dismantle(this: Self) -> (P, <P::Target as Home>::Key) {
        let this = ManuallyDrop::new(this);
        // SAFETY: read once; the original is never dropped.
        (unsafe { core::ptr::read(&raw const this.home) }, this.key)
    }
}

impl<P: Deref<Target: Home>> Deref for Pooled<P> {
    type Target = Object<P>;

    #[inline(always)]
    fn deref(&self) -> &Object<P> {
        // SAFETY: the guard is the object's only user.
        unsafe { P::Target::object(self.key).as_ref() }
    }
}

impl<P: Deref<Target: Home>> DerefMut for Pooled<P> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Object<P> {
        // SAFETY: the guard is the object's only user, and borrowed exclusively.
        unsafe { P::Target::object(self.key).as_mut() }
    }
}

impl<P: Deref<Target: Home>> Drop for Pooled<P> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard's key, which nobody uses after.
        unsafe { self.home.put_back(self.key) };
    }
}

impl<P: Deref<Target: Home>> fmt::Debug for Pooled<P>
where
    Object<P>: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<P: Deref<Target: Home>> fmt::Display for Pooled<P>
where
    Object<P>: fmt::Display,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl<P: Deref<Target: Home>, U: ?Sized> AsRef<U> for Pooled<P>
where
    Object<P>: AsRef<U>,
{
    fn as_ref(&self) -> &U {
        (**self).as_ref()
    }
}

impl<P: Deref<Target: Home>, U: ?Sized> AsMut<U> for Pooled<P>
where
    Object<P>: AsMut<U>,
{
    fn as_mut(&mut self) -> &mut U {
        (**self).as_mut()
    }
}

//! How a pool makes objects and makes them fit to be used again.

use alloc::boxed::Box;
use core::fmt;

/// Constructor and reset of a pool's objects.
///
/// A pair of closures is one; [`Boxed`] is one whose type can be written down; a type of your own can be one
/// too. Both functions are called without any lock of the pool held and may use the pool.
///
/// ```
/// use stratalloc_pool::{Manage, ObjectPool, Options};
///
/// struct Buffers { size: usize }
///
/// impl Manage<Vec<u8>> for Buffers {
///     fn make(&self) -> Vec<u8> { Vec::with_capacity(self.size) }
///     fn reset(&self, buffer: &mut Vec<u8>) { buffer.clear() }
/// }
///
/// let pool = ObjectPool::managed(Buffers { size: 4096 }, Options::new())?;
/// assert!(pool.try_acquire().unwrap().capacity() >= 4096);
/// # Ok::<(), stratalloc_pool::PoolError>(())
/// ```
pub trait Manage<T> {
    /// A new object. If it panics, the acquisition panics and the pool is as before.
    fn make(&self) -> T;

    /// Makes a returned object ready for its next user. If it panics, the object is dropped and the panic goes on.
    #[inline]
    fn reset(&self, object: &mut T) {
        let _ = object;
    }
}

impl<T, F: Fn() -> T, R: Fn(&mut T)> Manage<T> for (F, R) {
    #[inline]
    fn make(&self) -> T {
        (self.0)()
    }

    #[inline]
    fn reset(&self, object: &mut T) {
        (self.1)(object)
    }
}

type Make<T> = Box<dyn Fn() -> T + Send + Sync>;
type Reset<T> = Box<dyn Fn(&mut T) + Send + Sync>;

/// A constructor and a reset behind pointers, so that a pool's type can be written down: in a struct, in a static.
/// One indirect call at each construction and return.
///
/// ```
/// use stratalloc_pool::{Boxed, ObjectPool, Options};
///
/// struct Server { buffers: ObjectPool<Vec<u8>> }
///
/// let manage = Boxed::new(|| Vec::with_capacity(512), Vec::clear);
/// let server = Server { buffers: ObjectPool::managed(manage, Options::new())? };
/// assert_eq!(server.buffers.stats().live, 0);
/// # Ok::<(), stratalloc_pool::PoolError>(())
/// ```
pub struct Boxed<T> {
    make: Make<T>,
    reset: Reset<T>,
}

impl<T> Boxed<T> {
    /// Puts both on the global allocator's heap.
    pub fn new(
        make: impl Fn() -> T + Send + Sync + 'static,
        reset: impl Fn(&mut T) + Send + Sync + 'static,
    ) -> Self {
        Self { make: Box::new(make), reset: Box::new(reset) }
    }
}

impl<T> Manage<T> for Boxed<T> {
    #[inline]
    fn make(&self) -> T {
        (self.make)()
    }

    #[inline]
    fn reset(&self, object: &mut T) {
        (self.reset)(object)
    }
}

impl<T> fmt::Debug for Boxed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Boxed").finish_non_exhaustive()
    }
}

//! Where pools get their chunks from.
//!
//! [`Source`] is the least that a pool needs of an allocator. It is not `core::alloc::Allocator`, which is
//! unstable; allocators with the trait of `allocator-api2` come in through [`Api02`] and [`Api04`].

use core::alloc::Layout;
use core::ptr::NonNull;

/// An allocator of chunks.
///
/// # Safety
/// A chunk is valid for reads and writes of its layout, disjoint from all others, and stays so until it is
/// deallocated or the source and all its clones are gone. Moving the source does not move chunks.
///
/// ```
/// use core::{alloc::Layout, cell::Cell, ptr::NonNull};
/// use stratalloc_pool::{FixedPool, Global, Options, Source};
///
/// /// Counts the bytes in use.
/// struct Counting(Cell<usize>);
///
/// // SAFETY: all chunks are `Global`'s.
/// unsafe impl Source for Counting {
///     fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
///         self.0.set(self.0.get() + layout.size());
///         Global.allocate(layout)
///     }
///     unsafe fn deallocate(&self, chunk: NonNull<u8>, layout: Layout) {
///         self.0.set(self.0.get() - layout.size());
///         // SAFETY: the caller's chunk.
///         unsafe { Global.deallocate(chunk, layout) }
///     }
/// }
///
/// let source = Counting(Cell::new(0));
/// let pool = FixedPool::with_options_in(Layout::new::<u64>(), Options::new(), &source)?;
/// let block = pool.try_acquire().unwrap();
/// assert!(source.0.get() >= 8);
/// # unsafe { pool.release(block) }.unwrap();
/// drop(pool);
/// assert_eq!(source.0.get(), 0);
/// # Ok::<(), stratalloc_pool::PoolError>(())
/// ```
pub unsafe trait Source {
    /// A chunk of `layout`, whose size is not 0, or `None`. Does not unwind.
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// Takes a chunk back. Does not unwind.
    ///
    /// # Safety
    /// The chunk came from this source (or a clone) with this layout and is not used any more.
    unsafe fn deallocate(&self, chunk: NonNull<u8>, layout: Layout);
}

// SAFETY: the same source.
unsafe impl<S: Source + ?Sized> Source for &S {
    #[inline]
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        (**self).allocate(layout)
    }

    #[inline]
    unsafe fn deallocate(&self, chunk: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's chunk.
        unsafe { (**self).deallocate(chunk, layout) }
    }
}

/// The program's global allocator. The default of all pools.
#[derive(Clone, Copy, Debug, Default)]
pub struct Global;

// SAFETY: blocks of the global allocator are as promised, and `Global` has no state.
unsafe impl Source for Global {
    #[inline]
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        debug_assert_ne!(layout.size(), 0);
        // SAFETY: the size is not 0.
        NonNull::new(unsafe { alloc::alloc::alloc(layout) })
    }

    #[inline]
    unsafe fn deallocate(&self, chunk: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's chunk.
        unsafe { alloc::alloc::dealloc(chunk.as_ptr(), layout) }
    }
}

#[cfg(any(feature = "allocator-api2-02", feature = "allocator-api2-04"))]
/// Makes an `Allocator` of one version of `allocator-api2` a [`Source`].
macro_rules! adapter {
    ($(#[$doc:meta])* $name:ident, $version:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name<A>(pub A);

        // SAFETY: an `Allocator` promises the same and more.
        unsafe impl<A: $version::alloc::Allocator> Source for $name<A> {
            #[inline]
            fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
                self.0.allocate(layout).ok().map(NonNull::cast)
            }

            #[inline]
            unsafe fn deallocate(&self, chunk: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller's chunk.
                unsafe { self.0.deallocate(chunk, layout) }
            }
        }
    };
}

#[cfg(feature = "allocator-api2-02")]
adapter! {
    /// An `Allocator` of `allocator-api2` 0.2 as a [`Source`].
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use stratalloc_pool::{Api02, FixedPool, Options};
    ///
    /// let arena = bumpalo::Bump::new();
    /// let pool = FixedPool::with_options_in(Layout::new::<[u64; 4]>(), Options::new(), Api02(&arena))?;
    /// let block = pool.try_acquire().unwrap();
    /// assert!(arena.allocated_bytes() > 0);
    /// # unsafe { pool.release(block) }.unwrap();
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    Api02, allocator_api2_02
}

#[cfg(feature = "allocator-api2-04")]
adapter! {
    /// An `Allocator` of `allocator-api2` 0.4 as a [`Source`].
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use stratalloc_pool::{Api04, FixedPool, Options};
    ///
    /// let global = allocator_api2_04::alloc::Global;
    /// let pool = FixedPool::with_options_in(Layout::new::<[u64; 4]>(), Options::new(), Api04(global))?;
    /// let block = pool.try_acquire().unwrap();
    /// # unsafe { pool.release(block) }.unwrap();
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    Api04, allocator_api2_04
}

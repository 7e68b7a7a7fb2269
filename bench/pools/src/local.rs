//! Contenders for one thread at a time.

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::time::Duration;

use opool::{PoolAllocator, RefLocalGuard};
use stratalloc_pool::{
    Coalescing, Fit, FixedPool, Global, LocalPool, Manage, Options, Pooled, VarOptions, VarPool,
};

use crate::measure::{HELD, Outcome, repeat, touch_all};
use crate::objects::Object;
use crate::pool::{Inside, Of, Pool, ROOM, Raw};

/// Constructor and reset, as our pools and opool want them.
pub struct Make;

impl<O: Object> Manage<O> for Make {
    #[inline]
    fn make(&self) -> O {
        O::make()
    }

    #[inline]
    fn reset(&self, object: &mut O) {
        object.reset();
    }
}

impl<O: Object> PoolAllocator<Box<O>> for Make {
    #[inline]
    fn allocate(&self) -> Box<O> {
        Box::new(O::make())
    }

    #[inline]
    fn reset(&self, object: &mut Box<O>) {
        (**object).reset();
    }
}

/// [`LocalPool`].
pub struct Ours<O: Object>(LocalPool<O, Make>);

impl<O: Object> Pool<O> for Ours<O> {
    type Held<'a> = Pooled<&'a LocalPool<O, Make>>;

    fn new() -> Self {
        Self(LocalPool::managed_in(Make, Options::new(), Global).expect("a pool"))
    }

    #[inline(always)]
    fn take(&self) -> Self::Held<'_> {
        self.0.try_acquire().expect("an object")
    }
}

/// opool's pool of one thread. It keeps a queue, so the coldest object is next.
pub struct Opool<O: Object>(opool::LocalPool<Make, Box<O>>);

impl<O: Object> Pool<O> for Opool<O> {
    type Held<'a> = Inside<RefLocalGuard<'a, Make, Box<O>>>;

    fn new() -> Self {
        Self(opool::LocalPool::new(ROOM, Make))
    }

    #[inline(always)]
    fn take(&self) -> Self::Held<'_> {
        Inside(self.0.get())
    }
}

/// What one writes without a crate: a vector of boxes.
pub struct Stack<O>(RefCell<Vec<Box<O>>>);

/// A box that goes back to its [`Stack`].
pub struct Stacked<'a, O> {
    stack: &'a Stack<O>,
    object: Option<Box<O>>,
}

impl<O> Deref for Stacked<'_, O> {
    type Target = O;

    #[inline(always)]
    fn deref(&self) -> &O {
        self.object.as_ref().expect("present until dropped")
    }
}

impl<O> DerefMut for Stacked<'_, O> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut O {
        self.object.as_mut().expect("present until dropped")
    }
}

impl<O> Drop for Stacked<'_, O> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            self.stack.0.borrow_mut().push(object);
        }
    }
}

impl<O: Object> Pool<O> for Stack<O> {
    type Held<'a> = Stacked<'a, O>;

    fn new() -> Self {
        Self(RefCell::new(Vec::with_capacity(ROOM)))
    }

    #[inline(always)]
    fn take(&self) -> Stacked<'_, O> {
        let found = self.0.borrow_mut().pop();
        let mut object = found.unwrap_or_else(|| Box::new(O::make()));
        object.reset();
        Stacked { stack: self, object: Some(object) }
    }
}

impl Raw for FixedPool {
    fn new(layout: Layout) -> Self {
        FixedPool::new(layout).expect("a pool")
    }

    #[inline(always)]
    fn get(&self, _layout: Layout) -> NonNull<u8> {
        self.try_acquire().expect("a block")
    }

    #[inline(always)]
    unsafe fn put(&self, block: NonNull<u8>, _layout: Layout) {
        // SAFETY: the caller's block, of this pool.
        unsafe { self.release_unchecked(block) };
    }
}

/// [`FixedPool`].
pub type Fixed<O> = Of<FixedPool, O>;

impl Raw for VarPool {
    fn new(_layout: Layout) -> Self {
        VarPool::new()
    }

    #[inline(always)]
    fn get(&self, layout: Layout) -> NonNull<u8> {
        self.allocate(layout).expect("a block").cast()
    }

    #[inline(always)]
    unsafe fn put(&self, block: NonNull<u8>, _layout: Layout) {
        // SAFETY: the caller's block, of this pool.
        unsafe { self.release(block) }.expect("its own block");
    }
}

/// [`VarPool`] as it is by default: best fit, immediate coalescing.
pub type Var<O> = Of<VarPool, O>;

/// [`VarPool`] for sizes that come again: segregated fit, deferred coalescing.
pub struct Deferred(VarPool);

impl Raw for Deferred {
    fn new(_layout: Layout) -> Self {
        let options = VarOptions::new().fit(Fit::Segregated).coalescing(Coalescing::Deferred);
        Self(VarPool::with_options(options).expect("a pool"))
    }

    #[inline(always)]
    fn get(&self, layout: Layout) -> NonNull<u8> {
        self.0.get(layout)
    }

    #[inline(always)]
    unsafe fn put(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's block.
        unsafe { self.0.put(block, layout) };
    }
}

/// The same, holding objects.
pub type VarDeferred<O> = Of<Deferred, O>;

/// A free list as Boost's `simple_segregated_storage` is: the link lies in the free block, chunks double, nothing is
/// counted or checked.
pub struct FreeList {
    head: Cell<*mut u8>,
    chunk: Cell<usize>,
    chunks: RefCell<Vec<(NonNull<u8>, Layout)>>,
}

impl FreeList {
    #[cold]
    #[inline(never)]
    fn grow(&self, layout: Layout) -> NonNull<u8> {
        let count = self.chunk.replace(self.chunk.get() * 2);
        let whole = Layout::from_size_align(layout.size() * count, layout.align()).expect("a small chunk");
        // SAFETY: not empty.
        let chunk = NonNull::new(unsafe { std::alloc::alloc(whole) }).expect("out of memory");
        self.chunks.borrow_mut().push((chunk, whole));
        for index in (1..count).rev() {
            // SAFETY: a block of the new chunk, with room for a pointer.
            unsafe { self.put(chunk.add(index * layout.size()), layout) };
        }
        chunk
    }
}

impl Raw for FreeList {
    fn new(layout: Layout) -> Self {
        assert!(layout.size() >= size_of::<*mut u8>() && layout.align() >= align_of::<*mut u8>());
        Self { head: Cell::new(std::ptr::null_mut()), chunk: Cell::new(32), chunks: RefCell::default() }
    }

    #[inline(always)]
    fn get(&self, layout: Layout) -> NonNull<u8> {
        let Some(block) = NonNull::new(self.head.get()) else { return self.grow(layout) };
        // SAFETY: a free block holds the next one's address.
        self.head.set(unsafe { block.cast::<*mut u8>().read() });
        block
    }

    #[inline(always)]
    unsafe fn put(&self, block: NonNull<u8>, _layout: Layout) {
        // SAFETY: the caller's block, which has room for a pointer.
        unsafe { block.cast::<*mut u8>().write(self.head.get()) };
        self.head.set(block.as_ptr());
    }
}

impl Drop for FreeList {
    fn drop(&mut self) {
        for (chunk, layout) in self.chunks.get_mut().drain(..) {
            // SAFETY: allocated with this layout; no block of it is in use.
            unsafe { std::alloc::dealloc(chunk.as_ptr(), layout) };
        }
    }
}

/// The free list, holding objects.
pub type Boost<O> = Of<FreeList, O>;

/// `hold` by the batch calls of [`FixedPool`].
pub fn fixed_batch<O: Object>(time: Duration) -> Outcome {
    let layout = Layout::new::<O>();
    let pool = FixedPool::new(layout).expect("a pool");
    let mut blocks = [NonNull::dangling(); HELD as usize];
    repeat(time, HELD, |first| {
        assert_eq!(pool.acquire_batch(&mut blocks), blocks.len());
        // SAFETY: blocks of the object's layout, ours until released; those objects need no drop.
        unsafe {
            let mut objects: [&mut O; HELD as usize] = blocks.map(|block| {
                O::construct(block.cast().as_ptr());
                block.cast().as_mut()
            });
            let total = touch_all(&mut objects, first);
            pool.release_batch(&blocks);
            total
        }
    })
}

//! Contenders for threads.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use heapless::pool::object::{Object as HeaplessObject, ObjectBlock, ObjectPool as HeaplessPool};
use lockfree_object_pool::{
    LinearObjectPool, LinearReusable, MutexObjectPool, MutexReusable, SpinLockObjectPool, SpinLockReusable,
};
use opool::RefGuard;
use sharded_slab::Clear;
use sharded_slab::pool::{OwnedRefMut, RefMut};
use stratalloc_pool::{Global, LockFreePool, ObjectPool, Options, Pooled, TierOptions, TieredPool, Tiers};

use crate::local::Make;
use crate::measure::{HELD, Outcome, repeat, touch_all};
use crate::objects::{self, Large, Object, Small};
use crate::pool::{Inside, Pool, ROOM};

/// [`ObjectPool`].
pub struct Locked<O: Object>(ObjectPool<O, Make>);

impl<O: Object> Pool<O> for Locked<O> {
    type Held<'a> = Pooled<&'a ObjectPool<O, Make>>;

    fn new() -> Self {
        Self(ObjectPool::managed(Make, Options::new()).expect("a pool"))
    }

    #[inline(always)]
    fn take(&self) -> Self::Held<'_> {
        self.0.try_acquire().expect("an object")
    }
}

/// `hold` by the batch calls of [`ObjectPool`].
pub fn locked_batch<O: Object>(time: Duration) -> Outcome {
    let Locked(pool) = &Locked::<O>::new();
    let mut held = Vec::with_capacity(HELD as usize);
    repeat(time, HELD, |first| {
        pool.acquire_batch(HELD as usize, &mut held);
        let total = touch_all(&mut held, first);
        pool.release_batch(held.drain(..));
        total
    })
}

/// [`TieredPool`].
pub struct Tiered<O: Object>(TieredPool<O, Make>);

impl<O: Object> Pool<O> for Tiered<O> {
    type Held<'a> = Pooled<&'a Tiers<O, Make>>;

    fn new() -> Self {
        Self(TieredPool::managed_in(Make, Options::new(), TierOptions::new(), Global).expect("a pool"))
    }

    #[inline(always)]
    fn take(&self) -> Self::Held<'_> {
        self.0.try_acquire().expect("an object")
    }
}

/// [`LockFreePool`].
pub struct LockFree<O: Object>(LockFreePool<O, Make>);

impl<O: Object> Pool<O> for LockFree<O> {
    type Held<'a> = Pooled<&'a LockFreePool<O, Make>>;

    fn new() -> Self {
        Self(LockFreePool::managed_in(Make, Options::new(), Global).expect("a pool"))
    }

    #[inline(always)]
    fn take(&self) -> Self::Held<'_> {
        self.0.try_acquire().expect("an object")
    }
}

/// opool's shared pool.
pub struct Opool<O: Object>(opool::Pool<Make, Box<O>>);

impl<O: Object> Pool<O> for Opool<O> {
    type Held<'a> = Inside<RefGuard<'a, Make, Box<O>>>;

    fn new() -> Self {
        Self(opool::Pool::new(ROOM, Make))
    }

    #[inline(always)]
    fn take(&self) -> Self::Held<'_> {
        Inside(self.0.get())
    }
}

/// object-pool. It resets nothing, so that is done at each acquisition.
pub struct Pulled<O>(object_pool::Pool<Box<O>>);

impl<O: Object> Pool<O> for Pulled<O> {
    type Held<'a> = Inside<object_pool::Reusable<'a, Box<O>>>;

    fn new() -> Self {
        Self(object_pool::Pool::new(0, || Box::new(O::make())))
    }

    #[inline(always)]
    fn take(&self) -> Self::Held<'_> {
        let mut object = self.0.pull(|| Box::new(O::make()));
        object.reset();
        Inside(object)
    }
}

/// lockfree-object-pool's pool without a lock: pages of 32 objects, searched from the first.
pub struct Linear<O>(LinearObjectPool<O>);

impl<O: Object> Pool<O> for Linear<O> {
    type Held<'a> = LinearReusable<'a, O>;

    fn new() -> Self {
        Self(LinearObjectPool::new(O::make, O::reset))
    }

    #[inline(always)]
    fn take(&self) -> Self::Held<'_> {
        self.0.pull()
    }
}

/// lockfree-object-pool's pool with a mutex.
pub struct Mutex<O>(MutexObjectPool<Box<O>>);

impl<O: Object> Pool<O> for Mutex<O> {
    type Held<'a> = Inside<MutexReusable<'a, Box<O>>>;

    fn new() -> Self {
        Self(MutexObjectPool::new(|| Box::new(O::make()), |object: &mut Box<O>| object.reset()))
    }

    #[inline(always)]
    fn take(&self) -> Self::Held<'_> {
        Inside(self.0.pull())
    }
}

/// lockfree-object-pool's pool with a spin lock.
pub struct Spin<O>(SpinLockObjectPool<Box<O>>);

impl<O: Object> Pool<O> for Spin<O> {
    type Held<'a> = Inside<SpinLockReusable<'a, Box<O>>>;

    fn new() -> Self {
        Self(SpinLockObjectPool::new(|| Box::new(O::make()), |object: &mut Box<O>| object.reset()))
    }

    #[inline(always)]
    fn take(&self) -> Self::Held<'_> {
        Inside(self.0.pull())
    }
}

/// As sharded-slab wants its objects.
pub struct Shelf<O>(O);

impl<O: Object> Default for Shelf<O> {
    fn default() -> Self {
        Self(O::make())
    }
}

impl<O: Object> Clear for Shelf<O> {
    #[inline]
    fn clear(&mut self) {
        self.0.reset();
    }
}

impl<O> Deref for Shelf<O> {
    type Target = O;

    #[inline(always)]
    fn deref(&self) -> &O {
        &self.0
    }
}

impl<O> DerefMut for Shelf<O> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut O {
        &mut self.0
    }
}

/// sharded-slab's pool. An object goes back when its key is cleared.
pub struct Sharded<O: Object>(sharded_slab::Pool<Shelf<O>>);

/// Guard of an object of [`Sharded`].
pub struct Placed<'a, O: Object> {
    pool: &'a Sharded<O>,
    object: ManuallyDrop<Inside<RefMut<'a, Shelf<O>>>>,
}

impl<O: Object> Deref for Placed<'_, O> {
    type Target = O;

    #[inline(always)]
    fn deref(&self) -> &O {
        &self.object
    }
}

impl<O: Object> DerefMut for Placed<'_, O> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut O {
        &mut self.object
    }
}

impl<O: Object> Drop for Placed<'_, O> {
    #[inline(always)]
    fn drop(&mut self) {
        let key = self.object.0.key();
        // SAFETY: dropped once, and not used after.
        unsafe { ManuallyDrop::drop(&mut self.object) };
        // Only an object without a guard is cleared and used again.
        self.pool.0.clear(key);
    }
}

impl<O: Object + Sync> Pool<O> for Sharded<O> {
    type Held<'a> = Placed<'a, O>;

    fn new() -> Self {
        Self(sharded_slab::Pool::new())
    }

    #[inline(always)]
    fn take(&self) -> Self::Held<'_> {
        Placed { pool: self, object: ManuallyDrop::new(Inside(self.0.create().expect("an object"))) }
    }
}

/// The same with the guards that may go to other threads.
pub struct ShardedOwned<O: Object>(Arc<sharded_slab::Pool<Shelf<O>>>);

/// Guard of an object of [`ShardedOwned`].
pub struct PlacedOwned<'a, O: Object> {
    pool: &'a ShardedOwned<O>,
    object: ManuallyDrop<Inside<OwnedRefMut<Shelf<O>>>>,
}

impl<O: Object> Deref for PlacedOwned<'_, O> {
    type Target = O;

    #[inline(always)]
    fn deref(&self) -> &O {
        &self.object
    }
}

impl<O: Object> DerefMut for PlacedOwned<'_, O> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut O {
        &mut self.object
    }
}

impl<O: Object> Drop for PlacedOwned<'_, O> {
    #[inline(always)]
    fn drop(&mut self) {
        let key = self.object.0.key();
        // SAFETY: dropped once, and not used after.
        unsafe { ManuallyDrop::drop(&mut self.object) };
        self.pool.0.clear(key);
    }
}

impl<O: Object + Sync> Pool<O> for ShardedOwned<O> {
    type Held<'a> = PlacedOwned<'a, O>;

    fn new() -> Self {
        Self(Arc::new(sharded_slab::Pool::new()))
    }

    #[inline(always)]
    fn take(&self) -> Self::Held<'_> {
        PlacedOwned {
            pool: self,
            object: ManuallyDrop::new(Inside(self.0.clone().create_owned().expect("an object"))),
        }
    }
}

/// crossbeam's queue of boxes as a pool.
pub struct Queue<O>(ArrayQueue<Box<O>>);

/// A box that goes back to its [`Queue`].
pub struct Queued<'a, O> {
    queue: &'a Queue<O>,
    object: Option<Box<O>>,
}

impl<O> Deref for Queued<'_, O> {
    type Target = O;

    #[inline(always)]
    fn deref(&self) -> &O {
        self.object.as_ref().expect("present until dropped")
    }
}

impl<O> DerefMut for Queued<'_, O> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut O {
        self.object.as_mut().expect("present until dropped")
    }
}

impl<O> Drop for Queued<'_, O> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            // Full: the object is dropped.
            let _ = self.queue.0.push(object);
        }
    }
}

impl<O: Object> Pool<O> for Queue<O> {
    type Held<'a> = Queued<'a, O>;

    fn new() -> Self {
        Self(ArrayQueue::new(ROOM))
    }

    #[inline(always)]
    fn take(&self) -> Queued<'_, O> {
        let mut object = self.0.pop().unwrap_or_else(|| Box::new(O::make()));
        object.reset();
        Queued { queue: self, object: Some(object) }
    }
}

/// Objects that have one of heapless's pools, which are statics.
pub trait Static: Object + Sized {
    type Home: HeaplessPool<Data = Self>;
}

heapless::object_pool!(Smalls: Small);
heapless::object_pool!(Larges: Large);
heapless::object_pool!(Connections: objects::Pooled);

impl Static for Small {
    type Home = Smalls;
}

impl Static for Large {
    type Home = Larges;
}

impl Static for objects::Pooled {
    type Home = Connections;
}

/// heapless's `ObjectPool`, with as many objects as it will ever have. It resets nothing.
pub struct Heapless<O>(PhantomData<fn() -> O>);

impl<O: Static> Pool<O> for Heapless<O> {
    type Held<'a> = HeaplessObject<O::Home>;

    fn new() -> Self {
        for _ in 0..ROOM {
            O::Home::manage(Box::leak(Box::new(ObjectBlock::new(O::make()))));
        }
        Self(PhantomData)
    }

    #[inline(always)]
    fn take(&self) -> Self::Held<'_> {
        let mut object = O::Home::request().expect("there are more than are ever held");
        object.reset();
        object
    }
}

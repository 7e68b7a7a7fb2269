//! Models of the levels: caches of threads that work, that leave, and a pool that ends meanwhile.
//!
//! Thread-locals are not modelled: each thread of a model is given its cache. Objects are the checker's cells, so one in two
//! hands, or one not seen as its last holder left it, is reported; so is one lost, by the count at the end.
//!
//! Seen to fail under loom with: `left` or `end` with `Relaxed`, `end` that does not wait for a thread that is leaving,
//! a register that forgets a cache before its thread has left.

use super::cache::Cache;
use super::levels::Levels;
use super::shared;
use crate::object::store::Store;
use crate::{Global, Options};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[cfg(loom)]
use loom::{cell::UnsafeCell, thread};
#[cfg(shuttle)]
use shuttle::thread;

#[cfg(shuttle)]
use crate::sync::UnsafeCell;

struct Object {
    cell: UnsafeCell<u32>,
    dropped: Arc<AtomicUsize>,
}

impl Object {
    fn touch(&self) {
        // SAFETY: the checker sees whether anybody else is at it.
        self.cell.with_mut(|value| unsafe { *value += 1 });
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.touch();
        self.dropped.fetch_add(1, Relaxed);
    }
}

/// Levels that threads of a model reach by address, as those of a program do.
struct Shared {
    levels: NonNull<Levels<Object, Global>>,
    dropped: Arc<AtomicUsize>,
}

#[derive(Clone, Copy)]
struct Reference(NonNull<Levels<Object, Global>>);

// SAFETY: as for the pool: shared use is what the levels are for.
unsafe impl Send for Reference {}

impl Reference {
    fn levels(&self) -> &Levels<Object, Global> {
        // SAFETY: freed by `end`, after all that may look.
        unsafe { self.0.as_ref() }
    }

    fn acquire(&self, cache: &Cache, dropped: &Arc<AtomicUsize>) -> NonNull<Object> {
        let levels = self.levels();
        if let Some(object) = cache.pop().or_else(|| levels.refill(Some(cache))) {
            return object;
        }
        let block = levels.block().expect("no limit");
        // SAFETY: a block for an object.
        unsafe { block.write(Object { cell: UnsafeCell::new(0), dropped: dropped.clone() }) };
        block
    }

    fn release(&self, cache: &Cache, object: NonNull<Object>) {
        if !cache.push(object) {
            // SAFETY: an object of the levels, in nobody's hands.
            unsafe { self.levels().spill(Some(cache), object) };
        }
    }

    /// What a thread does when it ends.
    fn leave(&self, cache: &Cache) {
        if cache.leave() {
            self.levels().retire(cache);
            cache.left();
        }
    }
}

impl Shared {
    fn new(cache: usize, stripe: usize) -> Self {
        let store = Store::new(&Options::new()).expect("options");
        let levels = Levels::new(store, cache, stripe, 1, Global).expect("memory");
        Self { levels: NonNull::from(Box::leak(Box::new(levels))), dropped: Arc::default() }
    }

    fn reference(&self) -> (Reference, Arc<AtomicUsize>) {
        (Reference(self.levels), self.dropped.clone())
    }

    fn cache(&self) -> shared::Shared<Cache> {
        self.reference().0.levels().new_cache(0).expect("memory")
    }

    /// As the pool's drop does. All objects that were made must be found.
    fn end(self, made: usize) {
        self.reference().0.levels().close();
        // SAFETY: from `Box::leak`; closed, so nobody else looks.
        let mut levels = unsafe { Box::from_raw(self.levels.as_ptr()) };
        assert_eq!(levels.end(), 0, "objects were lost");
        assert_eq!(self.dropped.load(Relaxed), made, "objects were lost or dropped twice");
    }
}

fn check(f: impl Fn() + Send + Sync + 'static) {
    #[cfg(loom)]
    {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(f);
    }
    #[cfg(shuttle)]
    shuttle::check_pct(f, 5000, 3);
}

#[test]
fn a_thread_leaves_while_the_pool_ends() {
    check(|| {
        let shared = Shared::new(2, 2);
        let ((reference, dropped), cache) = (shared.reference(), shared.cache());
        let object = reference.acquire(&cache, &dropped);
        // SAFETY: in our hands.
        unsafe { object.as_ref() }.touch();
        reference.release(&cache, object);
        let thread = {
            let reference = reference;
            thread::spawn(move || reference.leave(&cache))
        };
        // Forgets the cache if the thread has left, and must not if it is leaving.
        reference.levels().figures();
        // Not joined: only the protocol keeps the levels for the thread.
        shared.end(1);
        thread.join().expect("thread");
    });
}

#[test]
fn objects_pass_between_threads_through_the_shared_levels() {
    check(|| {
        let shared = Shared::new(1, 1);
        let work = |reference: Reference, dropped: Arc<AtomicUsize>, cache: shared::Shared<Cache>| {
            let held = [reference.acquire(&cache, &dropped), reference.acquire(&cache, &dropped)];
            for object in held {
                // SAFETY: in our hands.
                unsafe { object.as_ref() }.touch();
                reference.release(&cache, object);
            }
        };
        let (reference, dropped) = shared.reference();
        let (mine, others) = (shared.cache(), shared.cache());
        let thread = {
            let (reference, dropped) = (reference, dropped.clone());
            thread::spawn(move || {
                work(reference, dropped, others.clone());
                reference.leave(&others);
            })
        };
        work(reference, dropped, mine);
        thread.join().expect("thread");
        let figures = reference.levels().figures();
        assert_eq!(figures.live(), 0);
        shared.end(figures.existing);
    });
}

#[test]
fn a_trim_meets_a_thread_at_work() {
    check(|| {
        let shared = Shared::new(2, 1);
        let (reference, dropped) = shared.reference();
        let cache = shared.cache();
        let thread = {
            let dropped = dropped.clone();
            thread::spawn(move || {
                let object = reference.acquire(&cache, &dropped);
                // SAFETY: in our hands.
                unsafe { object.as_ref() }.touch();
                reference.release(&cache, object);
            })
        };
        reference.levels().ask_all();
        let gone = reference.levels().shrink_to(0);
        thread.join().expect("thread");
        assert_eq!(gone, dropped.load(Relaxed));
        shared.end(1);
    });
}

//! Models of `LockFreePool`: no object in two hands, none lost, whatever the order, while it grows too.
//!
//! Objects are loom's cells: two threads at one object, or one that does not see what the last holder did, is
//! reported.
//!
//! Seen to fail with: one look at stack and cells in place of two equal ones, `Acquire` alone in the exchange that
//! takes from a cell or the stack (a search finds nothing although an object waits), `Relaxed` for the Release of a
//! cell's `put`, no tag in `pop` (ABA: `a_top_that_comes_back_is_noticed`), `Relaxed` for the Release of `push`,
//! for the Acquire of `pop`'s load or for those of its exchange, segments published and read with `Relaxed`.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use std::sync::Arc;
use stratalloc_pool::{AcquireError, Growth, LockFreePool, Options, Pooled};

struct Object(UnsafeCell<u32>);

impl Object {
    fn touch(&self) -> u32 {
        // SAFETY: loom checks that nobody else is at it.
        self.0.with_mut(|value| unsafe {
            *value += 1;
            *value
        })
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.touch();
    }
}

type Model = LockFreePool<Object, (fn() -> Object, fn(&mut Object))>;

fn make() -> Object {
    Object(UnsafeCell::new(0))
}

fn reset(object: &mut Object) {
    object.touch();
}

fn pool(options: Options) -> Arc<Model> {
    Arc::new(LockFreePool::with_options(make as _, reset as _, options).unwrap())
}

fn bounded(capacity: usize) -> Options {
    Options::new().capacity(capacity).growth(Growth::None)
}

fn check(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(f);
}

#[test]
fn two_threads_never_have_one_object() {
    check(3, || {
        let pool = pool(bounded(2));
        pool.prefill(2).unwrap();
        let other = pool.clone();
        let thread = thread::spawn(move || {
            for _ in 0..2 {
                other.try_acquire().unwrap().touch();
            }
        });
        for _ in 0..2 {
            pool.try_acquire().unwrap().touch();
        }
        thread.join().unwrap();
        assert_eq!((pool.stats().free, pool.stats().hits), (2, 4));
    });
}

#[test]
fn a_top_that_comes_back_is_noticed() {
    check(3, || {
        let pool = pool(bounded(2));
        pool.prefill(2).unwrap();
        let other = pool.clone();
        let thread = thread::spawn(move || {
            // Takes both, returns the one that was on top, keeps the other, which a late popper has seen as its next.
            let top = other.try_acquire();
            let next = other.try_acquire();
            drop(top);
            if let Ok(next) = next {
                next.touch();
            }
        });
        let one = pool.try_acquire();
        let two = pool.try_acquire();
        for object in [one, two].into_iter().flatten() {
            object.touch();
        }
        thread.join().unwrap();
        assert_eq!(pool.stats().free, 2);
    });
}

#[test]
fn threads_grow_the_pool_at_once() {
    check(3, || {
        let pool = pool(Options::new().limit(3));
        let other = pool.clone();
        let thread = thread::spawn(move || {
            let held = other.try_acquire().unwrap();
            held.touch();
        });
        let one = pool.try_acquire().unwrap();
        let two = pool.try_acquire().unwrap();
        one.touch();
        two.touch();
        assert!(!std::ptr::eq(&*one, &*two));
        drop((one, two));
        thread.join().unwrap();
        let stats = pool.stats();
        assert!(stats.live == 0 && stats.free as u64 == stats.misses && stats.free <= 3);
    });
}

#[test]
fn the_bound_holds() {
    check(3, || {
        let pool = pool(bounded(1));
        let other = pool.clone();
        let thread = thread::spawn(move || match other.try_acquire() {
            Ok(object) => _ = object.touch(),
            Err(error) => assert_eq!(error, AcquireError::Exhausted),
        });
        if let Ok(object) = pool.try_acquire() {
            object.touch();
        }
        thread.join().unwrap();
        assert_eq!((pool.stats().free, pool.stats().live), (1, 0));
    });
}

#[test]
fn slots_of_discarded_objects_are_used_again() {
    check(3, || {
        let pool = pool(bounded(2));
        let other = pool.clone();
        let thread = thread::spawn(move || Pooled::discard(other.try_acquire().unwrap()));
        Pooled::discard(pool.try_acquire().unwrap());
        pool.try_acquire().unwrap().touch();
        thread.join().unwrap();
        let both = (pool.try_acquire().unwrap(), pool.try_acquire().unwrap());
        assert!(pool.try_acquire().is_err());
        drop(both);
    });
}

#[test]
fn an_object_that_waits_is_found_wherever_it_goes() {
    check(3, || {
        let pool = pool(bounded(2));
        pool.prefill(2).unwrap();
        let ready = Arc::new(AtomicBool::new(false));
        let (other, waits) = (pool.clone(), ready.clone());
        let thread = thread::spawn(move || {
            let (one, two) = (other.try_acquire().unwrap(), other.try_acquire().unwrap());
            // Into this thread's cell; from now on there is an object for the other thread at any time.
            drop(two);
            waits.store(true, Ordering::Release);
            // To the stack, since the cell is full; and the cell is emptied.
            drop(one);
            other.try_acquire().unwrap().touch();
        });
        if ready.load(Ordering::Acquire) {
            pool.try_acquire().unwrap().touch();
        }
        thread.join().unwrap();
        assert_eq!((pool.stats().free, pool.stats().live), (2, 0));
    });
}

#[test]
fn two_threads_that_share_a_cell_never_have_one_object() {
    check(3, || {
        // In models there are two cells, of which the thread after the next has the first's.
        thread::spawn(|| {}).join().unwrap();
        let pool = pool(bounded(2));
        pool.prefill(2).unwrap();
        let other = pool.clone();
        let thread = thread::spawn(move || {
            for _ in 0..2 {
                other.try_acquire().unwrap().touch();
            }
        });
        for _ in 0..2 {
            pool.try_acquire().unwrap().touch();
        }
        thread.join().unwrap();
        assert_eq!((pool.stats().free, pool.stats().hits), (2, 4));
    });
}

//! Models of `ObjectPool`: its lock, its growth outside of the lock, its waiters.
//!
//! Waiters block until woken, so a lost wake-up is a deadlock, which loom reports. Objects are loom's cells, so an object in
//! two hands is reported too.
//!
//! Seen to fail with: a lock opened with `Relaxed` or taken with `Relaxed`, a queue joined without the second look
//! under the lock, a cancelled waiter that keeps its grant, growth that does not serve who came meanwhile.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::model::Builder;
use loom::thread;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use stratalloc_pool::{Growth, ObjectPool, Options, Pooled};

struct Object(UnsafeCell<u32>);

impl Object {
    fn touch(&self) {
        // SAFETY: loom checks that nobody else is at it.
        self.0.with_mut(|value| unsafe { *value += 1 });
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.touch();
    }
}

type Model = ObjectPool<Object, (fn() -> Object, fn(&mut Object))>;

fn make() -> Object {
    Object(UnsafeCell::new(0))
}

fn reset(object: &mut Object) {
    object.touch();
}

fn pool(limit: usize) -> Arc<Model> {
    let options = Options::new().limit(limit).growth(Growth::Fixed(1));
    Arc::new(ObjectPool::with_options(make as _, reset as _, options).unwrap())
}

fn check(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(f);
}

#[test]
fn a_waiter_gets_what_another_thread_releases() {
    check(2, || {
        let pool = pool(1);
        let other = pool.clone();
        let thread = thread::spawn(move || block_on(other.acquire()).unwrap().touch());
        block_on(pool.acquire()).unwrap().touch();
        thread.join().unwrap();
        assert_eq!((pool.stats().live, pool.stats().free), (0, 1));
    });
}

#[test]
fn a_waiter_may_construct_in_place_of_what_left() {
    check(2, || {
        let pool = pool(1);
        let held = pool.try_acquire_owned().unwrap();
        let other = pool.clone();
        let thread = thread::spawn(move || block_on(other.acquire()).unwrap().touch());
        Pooled::discard(held);
        thread.join().unwrap();
        assert_eq!((pool.stats().live, pool.stats().free), (0, 1));
    });
}

#[test]
fn a_cancelled_waiter_passes_on_what_it_was_granted() {
    check(2, || {
        let pool = pool(1);
        let held = pool.try_acquire_owned().unwrap();
        let other = pool.clone();
        // Both waiters in one thread: three threads at one spinning lock are more than loom can follow. Shuttle has
        // them.
        let thread = thread::spawn(move || {
            let mut context = Context::from_waker(Waker::noop());
            let mut first = Box::pin(other.acquire());
            let mut second = Box::pin(other.acquire());
            let early = first.as_mut().poll(&mut context);
            let late = second.as_mut().poll(&mut context);
            drop(early);
            drop(first);
            match late {
                Poll::Ready(object) => object.unwrap().touch(),
                Poll::Pending => block_on(second).unwrap().touch(),
            }
        });
        drop(held);
        thread.join().unwrap();
        assert_eq!((pool.stats().live, pool.stats().free), (0, 1));
    });
}

#[test]
fn threads_grow_the_pool_at_once() {
    check(2, || {
        let pool = pool(2);
        let other = pool.clone();
        let thread = thread::spawn(move || other.try_acquire().unwrap().touch());
        let one = pool.try_acquire().unwrap();
        one.touch();
        drop(one);
        thread.join().unwrap();
        assert_eq!(pool.stats().live, 0);
    });
}

#[test]
fn growth_serves_who_came_meanwhile() {
    check(2, || {
        // The first thread's growth brings both; the second may find it planned and wait, while the first keeps its own.
        let options = Options::new().limit(2).growth(Growth::Fixed(2));
        let pool = Arc::new(Model::with_options(make as _, reset as _, options).unwrap());
        let other = pool.clone();
        let held = pool.clone();
        let thread = thread::spawn(move || block_on(other.acquire()).unwrap().touch());
        let held = held.try_acquire_owned();
        thread.join().unwrap();
        if let Ok(held) = held {
            held.touch();
        }
        assert_eq!(pool.stats().live, 0);
    });
}

#[test]
fn a_shrink_meets_a_release() {
    check(2, || {
        let pool = pool(2);
        let other = pool.clone();
        let thread = thread::spawn(move || other.try_acquire().unwrap().touch());
        pool.shrink_to(0);
        thread.join().unwrap();
        let stats = pool.stats();
        assert!(stats.live == 0 && stats.free <= 1);
    });
}

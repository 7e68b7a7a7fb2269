//! Larger schedules than loom can enumerate, tried at random: more threads, more rounds, all pools mixed with
//! cancellation, shrinking and discarding. Sequentially consistent only; what weak memory can do is loom's part.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test --package stratalloc-pool --release --lib --test shuttle`
#![cfg(shuttle)]

use shuttle::future::block_on;
use shuttle::{check_random, thread};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Waker};
use stratalloc_pool::{LockFreePool, ObjectPool, Options, Pooled};

/// In how many hands an object is; and how many there are.
struct Object {
    hands: AtomicUsize,
    alive: Arc<AtomicUsize>,
}

impl Object {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Relaxed);
        Self { hands: AtomicUsize::new(0), alive: alive.clone() }
    }

    /// Holds it across a switch of threads.
    fn hold(&self) {
        assert_eq!(self.hands.fetch_add(1, Relaxed), 0, "in two hands");
        thread::yield_now();
        self.hands.fetch_sub(1, Relaxed);
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        assert_eq!(self.hands.load(Relaxed), 0, "dropped in use");
        self.alive.fetch_sub(1, Relaxed);
    }
}

#[test]
fn waiters_cancelled_and_not_are_all_served() {
    check_random(
        || {
            let alive = Arc::<AtomicUsize>::default();
            let count = alive.clone();
            let make = move || Object::new(&count);
            let pool = Arc::new(ObjectPool::with_options(make, |_| {}, Options::new().limit(2)).unwrap());
            let threads: Vec<_> = (0..5)
                .map(|number| {
                    let pool = pool.clone();
                    thread::spawn(move || {
                        for round in 0..4 {
                            match (number + round) % 5 {
                                0 => {
                                    let mut acquire = pin!(pool.acquire());
                                    drop(acquire.as_mut().poll(&mut Context::from_waker(Waker::noop())));
                                }
                                1 => Pooled::discard(block_on(pool.acquire()).unwrap()),
                                2 => _ = pool.shrink_to(0),
                                _ => block_on(pool.acquire()).unwrap().hold(),
                            }
                        }
                    })
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            let stats = pool.stats();
            assert!(stats.live == 0 && stats.free == alive.load(Relaxed) && stats.free <= 2);
            drop(pool);
            assert_eq!(alive.load(Relaxed), 0);
        },
        3000,
    );
}

#[test]
fn the_lock_free_pool_mixes_all_operations() {
    check_random(
        || {
            let alive = Arc::<AtomicUsize>::default();
            let count = alive.clone();
            let make = move || Object::new(&count);
            let pool = Arc::new(LockFreePool::with_options(make, |_| {}, Options::new().limit(6)).unwrap());
            let threads: Vec<_> = (0..4)
                .map(|number| {
                    let pool = pool.clone();
                    thread::spawn(move || {
                        for round in 0..6 {
                            let Ok(one) = pool.try_acquire() else { continue };
                            one.hold();
                            match (number + round) % 4 {
                                0 => Pooled::discard(one),
                                1 => {
                                    let two = pool.try_acquire();
                                    drop(one);
                                    two.iter().for_each(|two| two.hold());
                                }
                                2 => _ = pool.shrink_to(1),
                                _ => drop(one),
                            }
                        }
                    })
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            let stats = pool.stats();
            assert!(stats.live == 0 && stats.free == alive.load(Relaxed) && stats.capacity <= 6);
            drop(pool);
            assert_eq!(alive.load(Relaxed), 0);
        },
        3000,
    );
}

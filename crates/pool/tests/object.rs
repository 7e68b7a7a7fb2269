//! `LocalPool` and `ObjectPool`: each object dropped once, limits, waiting, panics, memory.
#![cfg(not(any(loom, shuttle)))]

mod common;

use common::{Counted, Flaky, Tally, panics};
use proptest::prelude::*;
use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};
use stratalloc_pool::{
    AcquireError, Boxed, CACHE_LINE, Growth, LocalPool, ObjectPool, Options, Pool, PoolError, Pooled,
};

const LONG: Duration = Duration::from_secs(60);

/// Counts its calls.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// Both pools behave alike where no thread waits.
macro_rules! common_tests {
    ($module:ident, $pool:ident) => {
        mod $module {
            use super::*;

            #[test]
            fn objects_are_reused_and_dropped_once() {
                let tally = Tally::default();
                let source = Flaky::new();
                let pool = $pool::managed_in(
                    (|| Counted::new(&tally), |counted: &mut Counted| counted.value += 1000),
                    Options::new(),
                    &source,
                )
                .unwrap();
                let first = pool.try_acquire().unwrap();
                let place = std::ptr::from_ref(&*first).addr();
                drop(first);
                let again = pool.try_acquire().unwrap();
                assert_eq!((again.value, std::ptr::from_ref(&*again).addr()), (1000, place));
                let other = pool.try_acquire().unwrap();
                let taken = Pooled::into_inner(other);
                assert_eq!((pool.stats().live, tally.alive()), (1, 2));
                drop(taken);
                Pooled::discard(again);
                assert_eq!((pool.stats().live, pool.stats().free, tally.alive()), (0, 0, 0));
                drop(pool.try_acquire().unwrap());
                drop(pool);
                assert_eq!(tally.alive(), 0);
                source.assert_empty();
            }

            #[test]
            fn a_constructor_that_panics_costs_nothing() {
                let fuse = Cell::new(true);
                let tally = Tally::default();
                let make = || if fuse.get() { panic!("make") } else { Counted::new(&tally) };
                let pool = $pool::with_options(make, |_| {}, Options::new().limit(1)).unwrap();
                panics("make", || drop(pool.try_acquire()));
                panics("make", || pool.prefill(1).unwrap());
                assert_eq!((pool.stats().live, tally.alive()), (0, 0));
                fuse.set(false);
                drop(pool.try_acquire().unwrap());
                assert_eq!((pool.stats().free, tally.alive()), (1, 1));
                drop(pool);
                assert_eq!(tally.alive(), 0);
            }

            #[test]
            fn a_reset_that_panics_drops_the_object() {
                let fuse = Cell::new(true);
                let tally = Tally::default();
                let reset = |_: &mut Counted| assert!(!fuse.get(), "reset");
                let pool = $pool::with_options(|| Counted::new(&tally), reset, Options::new().limit(2)).unwrap();
                let guard = pool.try_acquire().unwrap();
                panics("reset", || drop(guard));
                assert_eq!((pool.stats().live, pool.stats().free, tally.alive()), (0, 0, 0));
                fuse.set(false);
                let both = (pool.try_acquire().unwrap(), pool.try_acquire().unwrap());
                assert_eq!(pool.try_acquire().unwrap_err(), AcquireError::Exhausted);
                drop(both);
                drop(pool);
                assert_eq!(tally.alive(), 0);
            }

            #[test]
            fn drops_that_panic_leave_the_others_to_be_dropped_once() {
                let tally = Tally::default();
                let source = Flaky::new();
                let pool =
                    $pool::managed_in((|| Counted::new(&tally), |_: &mut Counted| {}), Options::new(), &source);
                let pool = pool.unwrap();
                let mut guards: Vec<_> = (0..10).map(|_| pool.try_acquire().unwrap()).collect();
                guards[4].bomb = true;
                guards[7].bomb = true;
                let bomb = guards.swap_remove(7);
                panics("bomb", || Pooled::discard(bomb));
                drop(guards);
                assert_eq!((pool.stats().live, pool.stats().free), (0, 9));
                panics("bomb", || drop(pool));
                assert_eq!(tally.alive(), 0);
                source.assert_empty();
            }

            #[test]
            fn a_drop_that_panics_in_a_shrink_leaves_the_pool_good() {
                let tally = Tally::default();
                let pool = $pool::new(|| Counted::new(&tally), |_| {});
                let mut guards: Vec<_> = (0..10).map(|_| pool.try_acquire().unwrap()).collect();
                guards[5].bomb = true;
                drop(guards);
                panics("bomb", || _ = pool.shrink_to(0));
                let left = pool.stats();
                assert_eq!((left.live, left.free as isize), (0, tally.alive()));
                pool.shrink_to(0);
                assert_eq!((pool.stats().capacity, tally.alive()), (0, 0));
            }

            #[test]
            fn refusals_leave_the_pool_as_it_was() {
                let tally = Tally::default();
                let source = Flaky::new();
                // Each growth asks for a stack and a chunk: each of the two is refused once.
                for served in 0..2 {
                    let options = Options::new().growth(Growth::Fixed(1));
                    let pool =
                        $pool::managed_in((|| Counted::new(&tally), |_: &mut Counted| {}), options, &source)
                            .unwrap();
                    let one = pool.try_acquire().unwrap();
                    source.refuse_after(served);
                    assert_eq!(pool.try_acquire().unwrap_err(), AcquireError::OutOfMemory);
                    assert!(matches!(pool.reserve(5), Err(PoolError::OutOfMemory { .. })));
                    assert_eq!((pool.stats().live, pool.stats().capacity), (1, 1));
                    source.refuse_after(usize::MAX);
                    let two = pool.try_acquire().unwrap();
                    drop((one, two));
                    assert_eq!(pool.stats().free, 2);
                }
                source.assert_empty();
                assert_eq!(tally.alive(), 0);
            }

            #[test]
            fn a_forgotten_guard_is_reported_and_not_dropped() {
                static LEAKED: AtomicUsize = AtomicUsize::new(0);
                let tally = Tally::default();
                let pool = $pool::new(|| Counted::new(&tally), |_| {})
                    .on_leak(|leak| _ = LEAKED.fetch_add(leak.live, Relaxed));
                std::mem::forget(pool.try_acquire().unwrap());
                drop(pool.try_acquire().unwrap());
                drop(pool);
                assert_eq!((LEAKED.load(Relaxed), tally.alive()), (1, 1));
            }

            #[test]
            fn user_code_may_use_the_pool() {
                let outer: $pool<String, _> = $pool::new(String::new, String::clear);
                let inner =
                    $pool::new(|| outer.try_acquire().unwrap().clone(), |_| drop(outer.try_acquire().unwrap()));
                drop(inner.try_acquire().unwrap());
                assert_eq!(outer.stats().live, 0);
            }

            #[test]
            fn objects_without_size_and_with_large_alignment() {
                #[repr(align(8192))]
                struct Page([u8; 10]);
                let units = $pool::new(|| (), |()| {});
                let held: Vec<_> = (0..1000).map(|_| units.try_acquire().unwrap()).collect();
                assert_eq!(units.stats().live, 1000);
                drop(held);
                let pages = $pool::new(|| Page([7; 10]), |_| {});
                let held: Vec<_> = (0..5).map(|_| pages.try_acquire().unwrap()).collect();
                assert!(
                    held.iter().all(|page| std::ptr::from_ref(&**page).addr() % 8192 == 0 && page.0 == [7; 10])
                );
                let options = Options::new().padded();
                let padded = $pool::with_options(|| 0u8, |_| {}, options).unwrap();
                let held = [padded.try_acquire().unwrap(), padded.try_acquire().unwrap()];
                assert!(
                    std::ptr::from_ref(&*held[0]).addr().abs_diff(std::ptr::from_ref(&*held[1]).addr())
                        >= CACHE_LINE
                );
            }

            #[test]
            fn shrinking_gives_chunks_back() {
                let source = Flaky::new();
                let options = Options::new().growth(Growth::Fixed(10));
                let pool = $pool::managed_in((|| [0u64; 16], |_: &mut [u64; 16]| {}), options, &source).unwrap();
                let mut guards: Vec<_> = (0..100).map(|_| pool.try_acquire().unwrap()).collect();
                // One stays live in the last chunk.
                let last = guards.pop();
                drop(guards);
                assert_eq!(pool.shrink_to(20), 79);
                let stats = pool.stats();
                assert!(stats.capacity <= 40 && stats.free == 20 && stats.live == 1, "{stats}");
                drop(last);
                assert_eq!(pool.shrink_to(0), 21);
                assert_eq!(pool.stats().capacity, 0);
            }
        }
    };
}

common_tests!(local, LocalPool);
common_tests!(shared, ObjectPool);

#[derive(Clone, Debug)]
enum Op {
    Acquire,
    Release(usize),
    Take(usize),
    Shrink(usize),
    Reserve(usize),
    Prefill(usize),
    Batch(usize),
    ReleaseBatch(usize),
    Refuse(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => Just(Op::Acquire),
        5 => any::<usize>().prop_map(Op::Release),
        1 => any::<usize>().prop_map(Op::Take),
        1 => (0usize..20).prop_map(Op::Shrink),
        1 => (0usize..20).prop_map(Op::Reserve),
        1 => (0usize..20).prop_map(Op::Prefill),
        1 => (0usize..70).prop_map(Op::Batch),
        1 => (0usize..70).prop_map(Op::ReleaseBatch),
        1 => (0usize..4).prop_map(Op::Refuse),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_shared_pool_follows_the_model(
        ops in proptest::collection::vec(op(), 1..120),
        growth in prop_oneof![Just(Growth::Doubling), (1usize..9).prop_map(Growth::Fixed)],
        limit in prop_oneof![Just(usize::MAX), 1usize..60],
    ) {
        let (tally, source) = (Tally::default(), Flaky::new());
        let options = Options::new().growth(growth).limit(limit);
        let pool = ObjectPool::managed_in((|| Counted::new(&tally), |_: &mut Counted| {}), options, &source).unwrap();
        let mut held = Vec::new();
        let (mut free, mut hits, mut peak) = (0usize, 0u64, 0usize);
        for op in ops {
            let refusing = source.refuse_after.load(Relaxed) != 0;
            match op {
                Op::Acquire => match pool.try_acquire() {
                    Ok(guard) => {
                        hits += u64::from(free > 0);
                        free = free.saturating_sub(1);
                        held.push(guard);
                    }
                    Err(AcquireError::Exhausted) => assert!(free == 0 && held.len() == limit),
                    Err(error) => assert!(error == AcquireError::OutOfMemory && refusing && free == 0),
                },
                Op::Release(which) if !held.is_empty() => {
                    drop(held.swap_remove(which % held.len()));
                    free += 1;
                }
                Op::Take(which) if !held.is_empty() => {
                    drop(Pooled::into_inner(held.swap_remove(which % held.len())));
                }
                Op::Shrink(keep) => {
                    assert_eq!(pool.shrink_to(keep), free.saturating_sub(keep));
                    free = free.min(keep);
                }
                Op::Reserve(more) => match pool.reserve(more) {
                    Ok(()) => assert!(pool.stats().capacity >= held.len() + more),
                    Err(_) => assert!(refusing || held.len() + more > limit),
                },
                Op::Prefill(want) => match pool.prefill(want) {
                    Ok(()) => free = free.max(want),
                    Err(_) => assert!(refusing || held.len() + want > limit),
                },
                Op::Batch(count) => {
                    let before = held.len();
                    let got = pool.acquire_batch(count, &mut held);
                    assert_eq!(held.len() - before, got);
                    assert!(got == count || refusing || held.len() == limit);
                    hits += got.min(free) as u64;
                    free = free.saturating_sub(got);
                }
                Op::ReleaseBatch(count) => {
                    let count = count.min(held.len());
                    assert_eq!(pool.release_batch(held.drain(..count)), count);
                    free += count;
                }
                Op::Refuse(after) => source.refuse_after(if refusing { usize::MAX } else { after }),
                _ => {}
            }
            peak = peak.max(held.len());
            let stats = pool.stats();
            assert_eq!((stats.live, stats.free), (held.len(), free));
            assert_eq!(tally.alive() as usize, held.len() + free);
            assert_eq!((stats.hits, stats.peak), (hits, peak));
            assert!(stats.capacity >= stats.live + stats.free && stats.capacity <= limit);
            assert_eq!(stats.bytes as isize, source.bytes.load(Relaxed));
            let mut values: Vec<_> = held.iter().map(|guard| guard.value).collect();
            values.sort_unstable();
            values.dedup();
            assert_eq!(values.len(), held.len(), "an object was handed out twice");
        }
        drop(held);
        drop(pool);
        assert_eq!(tally.alive(), 0);
        source.assert_empty();
    }
}

#[test]
fn a_timeout_passes_and_leaves_no_trace() {
    let pool = ObjectPool::with_options(|| 1, |_| {}, Options::new().limit(1)).unwrap();
    let held = pool.try_acquire().unwrap();
    let start = Instant::now();
    assert_eq!(pool.acquire_timeout(Duration::from_millis(20)).unwrap_err(), AcquireError::TimedOut);
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_eq!(pool.acquire_timeout(Duration::ZERO).unwrap_err(), AcquireError::TimedOut);
    drop(held);
    assert_eq!((pool.stats().free, pool.stats().waits), (1, 2));
    assert_eq!(*pool.acquire_timeout(Duration::MAX).unwrap(), 1);
}

#[test]
fn a_release_wakes_a_waiting_thread() {
    let pool = ObjectPool::with_options(|| 1, |_| {}, Options::new().limit(1)).unwrap();
    std::thread::scope(|scope| {
        let held = pool.try_acquire().unwrap();
        let waiter = scope.spawn(|| *pool.acquire_timeout(LONG).unwrap());
        while pool.stats().waits == 0 {
            std::thread::yield_now();
        }
        drop(held);
        assert_eq!(waiter.join().unwrap(), 1);
    });
}

#[test]
fn an_object_that_leaves_the_pool_lets_a_waiter_construct_one() {
    let tally = Tally::default();
    let pool = ObjectPool::with_options(|| Counted::new(&tally), |_| {}, Options::new().limit(1)).unwrap();
    std::thread::scope(|scope| {
        let held = pool.try_acquire().unwrap();
        let waiter = scope.spawn(|| pool.acquire_blocking().unwrap().value);
        while pool.stats().waits == 0 {
            std::thread::yield_now();
        }
        Pooled::discard(held);
        assert_eq!(waiter.join().unwrap(), 1);
    });
}

#[test]
fn waiters_are_served_in_turn() {
    let pool = ObjectPool::with_options(|| 1, |_| {}, Options::new().limit(1)).unwrap();
    let bells = [Arc::new(Bell::default()), Arc::new(Bell::default())];
    let wakers = bells.clone().map(Waker::from);
    let held = pool.try_acquire().unwrap();
    let (mut first, mut second) = (pin!(pool.acquire()), pin!(pool.acquire()));
    assert!(first.as_mut().poll(&mut Context::from_waker(&wakers[0])).is_pending());
    assert!(second.as_mut().poll(&mut Context::from_waker(&wakers[1])).is_pending());
    drop(held);
    assert_eq!((bells[0].0.load(Relaxed), bells[1].0.load(Relaxed)), (1, 0));
    // Granted to the first: neither the second nor anyone new can have it.
    assert!(second.as_mut().poll(&mut Context::from_waker(&wakers[1])).is_pending());
    assert_eq!(pool.try_acquire().unwrap_err(), AcquireError::Exhausted);
    let Poll::Ready(Ok(guard)) = first.as_mut().poll(&mut Context::from_waker(&wakers[0])) else {
        panic!("granted but not ready")
    };
    drop(guard);
    assert_eq!(bells[1].0.load(Relaxed), 1);
    assert!(second.as_mut().poll(&mut Context::from_waker(&wakers[1])).is_ready());
}

#[test]
fn a_cancelled_waiter_passes_its_object_on() {
    let pool = ObjectPool::with_options(|| 1, |_| {}, Options::new().limit(1)).unwrap();
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(bell.clone());
    let mut context = Context::from_waker(&waker);
    for granted in [false, true] {
        let held = pool.try_acquire().unwrap();
        let mut first = Box::pin(pool.acquire());
        let mut second = Box::pin(pool.acquire());
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        if granted {
            drop(held);
            drop(first);
        } else {
            drop(first);
            drop(held);
        }
        assert!(second.as_mut().poll(&mut context).is_ready());
    }
    assert_eq!(bell.0.load(Relaxed), 3);
    // The last of the queue: back to the free ones.
    let held = pool.try_acquire().unwrap();
    let mut only = Box::pin(pool.acquire());
    assert!(only.as_mut().poll(&mut context).is_pending());
    drop(held);
    drop(only);
    assert_eq!((pool.stats().free, pool.stats().live), (1, 0));
}

#[test]
fn the_newest_waker_is_called() {
    let pool = ObjectPool::with_options(|| 1, |_| {}, Options::new().limit(1)).unwrap();
    let bells = [Arc::new(Bell::default()), Arc::new(Bell::default())];
    let held = pool.try_acquire().unwrap();
    let mut acquire = pin!(pool.acquire());
    for bell in &bells {
        let waker = Waker::from(bell.clone());
        assert!(acquire.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    drop(held);
    assert_eq!((bells[0].0.load(Relaxed), bells[1].0.load(Relaxed)), (0, 1));
    // The pool keeps no waker of a waiter that is served.
    assert_eq!(Arc::strong_count(&bells[0]), 1);
}

#[test]
fn shrinking_makes_room_for_a_waiter_and_a_failed_growth_lets_it_try() {
    let source = Flaky::new();
    let fuse = Cell::new(false);
    let make = || assert!(!fuse.get(), "make");
    let pool = ObjectPool::managed_in((make, |_: &mut ()| {}), Options::new().limit(1), &source).unwrap();
    let held = pool.try_acquire().unwrap();
    let mut acquire = pin!(pool.acquire());
    let mut context = Context::from_waker(Waker::noop());
    assert!(acquire.as_mut().poll(&mut context).is_pending());
    fuse.set(true);
    Pooled::discard(held);
    // The waiter's own construction panics: the block is free again, for the next.
    panics("make", || drop(acquire.as_mut().poll(&mut context)));
    fuse.set(false);
    drop(pool.try_acquire().unwrap());
    assert_eq!(pool.stats().free, 1);
}

#[test]
fn threads_share_a_bounded_pool() {
    const THREADS: usize = 4;
    const ROUNDS: usize = if cfg!(miri) { 20 } else { 5000 };
    let tally = Tally::default();
    let pool = ObjectPool::with_options(|| Counted::new(&tally), |_| {}, Options::new().limit(2)).unwrap();
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (pool, start) = (&pool, &start);
            scope.spawn(move || {
                start.wait();
                for round in 0..ROUNDS {
                    match round % 8 {
                        7 if thread == 0 => _ = pool.shrink_to(0),
                        6 => drop(pool.acquire_timeout(Duration::from_micros(50))),
                        5 => Pooled::discard(pool.acquire_blocking().unwrap()),
                        _ => pool.acquire_blocking().unwrap().value += 1,
                    }
                }
            });
        }
    });
    let stats = pool.stats();
    assert!(stats.live == 0 && stats.free <= 2 && stats.peak <= 2, "{stats}");
    assert_eq!(tally.alive() as usize, stats.free);
}

#[test]
fn owned_guards_keep_the_pool() {
    static TALLY: Tally = Tally::new();
    let tally = &TALLY;
    let pool = Arc::new(ObjectPool::managed(Boxed::new(|| Counted::new(tally), |_| {}), Options::new()).unwrap());
    let guard = pool.try_acquire_owned().unwrap();
    drop(pool);
    assert_eq!(tally.alive(), 1);
    std::thread::spawn(move || drop(guard)).join().unwrap();
    assert_eq!(tally.alive(), 0);
}

#[test]
fn a_batch_of_another_pool_is_refused_and_nothing_is_lost() {
    let pool = |name: &'static str| ObjectPool::new(move || name, |_| {});
    let pools = [pool("a"), pool("b")];
    let guards =
        vec![pools[0].try_acquire().unwrap(), pools[1].try_acquire().unwrap(), pools[0].try_acquire().unwrap()];
    panics("released to pool", || _ = pools[0].release_batch(guards));
    for (pool, free) in pools.iter().zip([2, 1]) {
        assert_eq!((pool.stats().live, pool.stats().free), (0, free));
    }
}

#[test]
fn the_common_face_works_for_shared_pools() {
    let pool = ObjectPool::with_capacity(10, || 0u8, |_| {}).unwrap();
    pool.prefill(10).unwrap();
    let mut by_reference = &pool;
    assert_eq!(by_reference.trim(4), 6);
    assert_eq!((by_reference.live(), Pool::capacity(&pool)), (0, 10));
    assert!(pool.stats().to_string().starts_with("0 live (peak 0), 4 free of 10"));
}

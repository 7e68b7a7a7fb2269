//! `LockFreePool`: each object dropped once, bounds, growth, threads.
#![cfg(not(any(loom, shuttle)))]

mod common;

use common::{Counted, Flaky, Tally, panics};
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use stratalloc_pool::{AcquireError, CACHE_LINE, Growth, LockFreePool, Options, Pool, PoolError, Pooled};

#[test]
fn a_bounded_pool_holds_exactly_so_many() {
    for size in [1, 2, 3, 7, 32, 100] {
        let tally = Tally::default();
        let source = Flaky::new();
        let options = Options::new().capacity(size).growth(Growth::None);
        let pool =
            LockFreePool::managed_in((|| Counted::new(&tally), |_: &mut Counted| {}), options, &source).unwrap();
        let bytes = source.bytes.load(Relaxed);
        let held: Vec<_> = (0..size).map(|_| pool.try_acquire().unwrap()).collect();
        let places: HashSet<_> = held.iter().map(|one| std::ptr::from_ref(&**one).addr()).collect();
        assert_eq!(places.len(), size);
        assert_eq!(pool.try_acquire().unwrap_err(), AcquireError::Exhausted);
        assert_eq!(source.bytes.load(Relaxed), bytes, "a bounded pool grew");
        drop(held);
        let stats = pool.stats();
        assert_eq!((stats.capacity, stats.free, stats.peak, stats.live), (size, size, size, 0));
        drop(pool);
        assert_eq!(tally.alive(), 0);
        source.assert_empty();
    }
}

#[test]
fn growth_keeps_objects_where_they_are_up_to_the_limit() {
    let source = Flaky::new();
    let options = Options::new().capacity(3).limit(1001);
    let pool = LockFreePool::managed_in((|| 0u64, |_: &mut u64| {}), options, &source).unwrap();
    let mut held = Vec::new();
    for value in 0..1001 {
        let mut one = pool.try_acquire().unwrap();
        *one = value;
        held.push((std::ptr::from_ref(&*one).addr(), one));
    }
    assert_eq!(pool.try_acquire().unwrap_err(), AcquireError::Exhausted);
    for (value, (place, one)) in held.iter().enumerate() {
        assert_eq!((**one, std::ptr::from_ref(&**one).addr()), (value as u64, *place));
    }
    assert_eq!(pool.stats().capacity, 1001);
    drop(held);
    drop(pool);
    source.assert_empty();
}

#[test]
fn panics_in_constructor_reset_and_drop_lose_nothing() {
    let (fuse, tally, source) = (Cell::new(0), Tally::default(), Flaky::new());
    let make = || if fuse.get() == 1 { panic!("make") } else { Counted::new(&tally) };
    let reset = |_: &mut Counted| assert_ne!(fuse.get(), 2, "reset");
    let options = Options::new().capacity(2).growth(Growth::None);
    let pool = LockFreePool::managed_in((make, reset), options, &source).unwrap();
    fuse.set(1);
    panics("make", || drop(pool.try_acquire()));
    panics("make", || pool.prefill(1).unwrap());
    fuse.set(2);
    let guard = pool.try_acquire().unwrap();
    panics("reset", || drop(guard));
    assert_eq!((pool.stats().live, pool.stats().free, tally.alive()), (0, 0, 0));
    fuse.set(0);
    let mut both = [pool.try_acquire().unwrap(), pool.try_acquire().unwrap()];
    assert_eq!(pool.try_acquire().unwrap_err(), AcquireError::Exhausted);
    both[1].bomb = true;
    drop(both);
    panics("bomb", || _ = pool.shrink_to(0));
    assert_eq!(pool.stats().free as isize, tally.alive());
    let mut both = [pool.try_acquire().unwrap(), pool.try_acquire().unwrap()];
    both[0].bomb = true;
    drop(both);
    panics("bomb", || drop(pool));
    assert_eq!(tally.alive(), 0);
    source.assert_empty();
}

#[test]
fn bad_options_get_errors() {
    let with = |options| LockFreePool::with_options(|| 0u8, |_| {}, options).map(drop);
    assert!(matches!(with(Options::new().growth(Growth::Fixed(5))), Err(PoolError::Unsupported(_))));
    assert_eq!(with(Options::new().growth(Growth::None)), Err(PoolError::ZeroCapacity));
    assert_eq!(with(Options::new().limit(0)), Err(PoolError::ZeroCapacity));
    assert_eq!(LockFreePool::bounded(0, || 0u8, |_| {}).map(drop), Err(PoolError::ZeroCapacity));
    assert!(matches!(with(Options::new().capacity(1 << 40)), Err(PoolError::TooMany { .. })));
    assert!(matches!(with(Options::new().limit(1 << 40)), Err(PoolError::TooMany { .. })));
}

#[test]
fn a_refused_segment_leaves_the_pool_as_it_was() {
    let source = Flaky::new();
    let pool = LockFreePool::managed_in((|| 1, |_: &mut i32| {}), Options::new().capacity(1), &source).unwrap();
    let one = pool.try_acquire().unwrap();
    source.refuse_after(0);
    assert_eq!(pool.try_acquire().unwrap_err(), AcquireError::OutOfMemory);
    assert_eq!((pool.stats().live, pool.stats().capacity), (1, 1));
    source.refuse_after(usize::MAX);
    drop((one, pool.try_acquire().unwrap()));
    assert_eq!(pool.stats().free, 2);
}

#[test]
fn alignment_padding_and_objects_without_size() {
    let pool = LockFreePool::with_options(|| 0u8, |_| {}, Options::new().padded()).unwrap();
    let held = [pool.try_acquire().unwrap(), pool.try_acquire().unwrap()];
    assert!(held.iter().all(|one| std::ptr::from_ref(&**one).addr() % CACHE_LINE == 0));
    let pages = LockFreePool::with_options(|| [0u8; 100], |_| {}, Options::new().align(16384)).unwrap();
    let held: Vec<_> = (0..100).map(|_| pages.try_acquire().unwrap()).collect();
    assert!(held.iter().all(|one| std::ptr::from_ref(&**one).addr() % 16384 == 0));
    let units = LockFreePool::new(|| (), |()| {});
    let held: Vec<_> = (0..100).map(|_| units.try_acquire().unwrap()).collect();
    assert_eq!(units.stats().live, 100);
    drop(held);
}

#[test]
fn a_forgotten_guard_is_reported() {
    static LEAKED: AtomicUsize = AtomicUsize::new(0);
    let pool = LockFreePool::new(|| 0u8, |_| {}).on_leak(|leak| _ = LEAKED.fetch_add(leak.live, Relaxed));
    std::mem::forget(pool.try_acquire().unwrap());
    drop(pool.try_acquire().unwrap());
    drop(pool);
    assert_eq!(LEAKED.load(Relaxed), 1);
}

#[derive(Clone, Debug)]
enum Op {
    Acquire,
    Release(usize),
    Take(usize),
    Shrink(usize),
    Prefill(usize),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_pool_follows_the_model(
        ops in proptest::collection::vec(prop_oneof![
            5 => Just(Op::Acquire),
            4 => any::<usize>().prop_map(Op::Release),
            1 => any::<usize>().prop_map(Op::Take),
            1 => (0usize..10).prop_map(Op::Shrink),
            1 => (0usize..10).prop_map(Op::Prefill),
        ], 1..150),
        capacity in 0usize..40,
        limit in prop_oneof![Just(usize::MAX), 40usize..60],
    ) {
        let (tally, source) = (Tally::default(), Flaky::new());
        let options = Options::new().capacity(capacity).limit(limit);
        let pool = LockFreePool::managed_in((|| Counted::new(&tally), |_: &mut Counted| {}), options, &source).unwrap();
        let mut held = Vec::new();
        let (mut free, mut hits) = (0usize, 0u64);
        for op in ops {
            match op {
                Op::Acquire => match pool.try_acquire() {
                    Ok(guard) => {
                        hits += u64::from(free > 0);
                        free = free.saturating_sub(1);
                        held.push(guard);
                    }
                    Err(error) => assert!(error == AcquireError::Exhausted && held.len() == limit && free == 0),
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
                Op::Prefill(want) => match pool.prefill(want) {
                    Ok(()) => free = free.max(want),
                    Err(_) => {
                        assert!(held.len() + want > limit);
                        free = limit - held.len();
                    }
                },
                _ => {}
            }
            let stats = pool.stats();
            assert_eq!((stats.live, stats.free, stats.hits), (held.len(), free, hits));
            assert_eq!(tally.alive() as usize, held.len() + free);
            assert!(stats.capacity <= limit && stats.peak >= stats.live && stats.waste <= stats.bytes);
            assert_eq!(stats.bytes as isize, source.bytes.load(Relaxed));
        }
        drop(held);
        drop(pool);
        assert_eq!(tally.alive(), 0);
        source.assert_empty();
    }
}

/// Each thread holds up to eight objects and passes some to the next thread; an object in two hands at once would
/// be seen by its mark.
#[test]
fn threads_never_share_an_object() {
    const THREADS: usize = 4;
    const ROUNDS: usize = if cfg!(miri) { 50 } else { 20_000 };
    let tally = Tally::default();
    let pool =
        Arc::new(LockFreePool::with_options(|| AtomicUsize::new(0), |_| {}, Options::new().capacity(1)).unwrap());
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        let (pool, start, tally) = (&pool, &start, &tally);
        for thread in 1..=THREADS {
            let mut held = Vec::new();
            scope.spawn(move || {
                start.wait();
                for round in 0..ROUNDS {
                    if (round / 8 + thread) % 2 == 0 {
                        let one = pool.try_acquire().unwrap();
                        assert_eq!(one.swap(thread, Relaxed), 0, "in two hands");
                        held.push(one);
                        tally.made.fetch_add(1, Relaxed);
                    } else if let Some(one) = held.pop() {
                        assert_eq!(one.swap(0, Relaxed), thread, "in two hands");
                    }
                    if round % 1000 == 0 {
                        let stats = pool.stats();
                        assert!(stats.live <= THREADS * 8 && stats.capacity >= stats.free);
                    }
                }
                for one in held {
                    one.store(0, Relaxed);
                }
            });
        }
    });
    let stats = pool.stats();
    assert_eq!((stats.live, stats.hits + stats.misses), (0, tally.made.load(Relaxed) as u64));
    assert_eq!(stats.free, stats.misses as usize);
}

#[test]
fn owned_guards_return_on_other_threads() {
    let pool = Arc::new(LockFreePool::new(|| 5, |_| {}));
    let guard = pool.try_acquire_owned().unwrap();
    let mut face = &*pool;
    std::thread::spawn(move || drop(guard)).join().unwrap();
    assert_eq!((face.stats().free, face.trim(0)), (1, 1));
}

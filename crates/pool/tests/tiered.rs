//! `TieredPool`: nothing lost between levels, threads that come and go, pools that go first.
#![cfg(not(any(loom, shuttle)))]

mod common;

use common::{Counted, Flaky, Tally, panics};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Barrier, OnceLock, mpsc};
use std::thread;
use stratalloc_pool::{
    AcquireError, Boxed, CACHE_LINE, Global, Options, Pool, PoolError, Pooled, TierOptions, TieredPool,
};

fn small() -> TierOptions {
    TierOptions::new().cache(4).stripe(6).stripes(2)
}

#[test]
fn levels_fill_and_empty_in_order() {
    static SOURCE: Flaky = Flaky::new();
    let (tally, source) = (Tally::default(), &SOURCE);
    let make = || Counted::new(&tally);
    let pool = TieredPool::managed_in((make, |_: &mut Counted| {}), Options::new(), small(), source).unwrap();
    let held: Vec<_> = (0..30).map(|_| pool.try_acquire().unwrap()).collect();
    let stats = pool.stats();
    assert_eq!((stats.live, stats.free, stats.misses, stats.peak), (30, 0, 30, 30));
    drop(held);
    let tiers = pool.tier_stats();
    assert_eq!(tiers.levels.map(|level| level.free).iter().sum::<usize>(), 30);
    assert!(tiers.levels[0].free <= 4 && tiers.levels[1].free <= 6 && tiers.levels[2].free >= 20, "{tiers:?}");
    let held: Vec<_> = (0..30).map(|_| pool.try_acquire().unwrap()).collect();
    let stats = pool.stats();
    assert_eq!((stats.live, stats.misses, stats.hits), (30, 30, 30));
    let tiers = pool.tier_stats();
    assert!(tiers.levels.iter().all(|level| level.hits > 0 && level.hit_rate > 0.0), "{tiers:?}");
    drop(held);
    assert_eq!(pool.trim(5), 25);
    assert_eq!((pool.stats().free, tally.alive()), (5, 5));
    drop(pool);
    assert_eq!(tally.alive(), 0);
    source.assert_empty();
}

#[test]
fn a_leaving_thread_gives_its_objects_to_others() {
    let tally = Tally::default();
    let pool = TieredPool::with_options(|| Counted::new(&tally), |_| {}, Options::new(), small()).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| drop([pool.try_acquire().unwrap(), pool.try_acquire().unwrap()])).join().unwrap();
    });
    // `scope` waits for closures, not for thread-locals: the flush may still be on its way.
    while pool.tier_stats().threads > 0 {
        thread::yield_now();
    }
    let tiers = pool.tier_stats();
    assert_eq!((tiers.levels[0].free, tiers.levels[1].free, tiers.misses), (0, 2, 2));
    let held = [pool.try_acquire().unwrap(), pool.try_acquire().unwrap()];
    assert_eq!(pool.stats().misses, 2);
    drop(held);
    drop(pool);
    assert_eq!(tally.alive(), 0);
}

#[test]
fn the_pool_may_go_before_threads_that_used_it() {
    let tally = Tally::default();
    for _ in 0..if cfg!(miri) { 5 } else { 200 } {
        let pool = TieredPool::with_options(|| Counted::new(&tally), |_| {}, Options::new(), small()).unwrap();
        let (used, go) = (Barrier::new(3), Barrier::new(3));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    drop([pool.try_acquire().unwrap(), pool.try_acquire().unwrap()]);
                    used.wait();
                    go.wait();
                    // The thread ends about when the pool does.
                });
            }
            used.wait();
            go.wait();
        });
        drop(pool);
        assert_eq!(tally.alive(), 0);
    }
}

#[test]
fn an_owned_guard_may_outlive_the_pool_on_another_thread() {
    static TALLY: Tally = Tally::new();
    let tally = &TALLY;
    static SOURCE: Flaky = Flaky::new();
    let source = &SOURCE;
    let make = move || Counted::new(tally);
    let pool = TieredPool::managed_in((make, |_: &mut Counted| {}), Options::new(), small(), source).unwrap();
    let guards: Vec<_> = (0..10).map(|_| pool.try_acquire_owned().unwrap()).collect();
    drop(pool.try_acquire().unwrap());
    drop(pool);
    assert_eq!(tally.alive(), 10);
    let threads: Vec<_> = guards.into_iter().map(|guard| thread::spawn(move || drop(guard))).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(tally.alive(), 0);
    source.assert_empty();
}

#[test]
fn objects_flow_from_producer_to_consumer_and_back() {
    const ROUNDS: usize = if cfg!(miri) { 100 } else { 50_000 };
    let tally = Tally::default();
    let pool = TieredPool::with_options(|| Counted::new(&tally), |_| {}, Options::new(), small()).unwrap();
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(16);
        let pool = &pool;
        scope.spawn(move || {
            for _ in 0..ROUNDS {
                sender.send(pool.try_acquire().unwrap()).unwrap();
            }
        });
        scope.spawn(move || receiver.into_iter().for_each(drop));
    });
    let stats = pool.stats();
    assert_eq!((stats.live, stats.hits + stats.misses), (0, ROUNDS as u64));
    // All that exist at once: in the channel, in two hands, in caches and stripes.
    assert!(stats.misses <= 16 + 3 + 4 + 12 + 4, "{stats}");
    drop(pool);
    assert_eq!(tally.alive(), 0);
}

#[test]
fn panics_in_constructor_reset_and_drop_lose_nothing() {
    static SOURCE: Flaky = Flaky::new();
    let (fuse, tally, source) = (Cell::new(0), Tally::default(), &SOURCE);
    let make = || if fuse.get() == 1 { panic!("make") } else { Counted::new(&tally) };
    let reset = |_: &mut Counted| assert_ne!(fuse.get(), 2, "reset");
    let pool = TieredPool::managed_in((make, reset), Options::new().limit(2), small(), source).unwrap();
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
    panics("bomb", || _ = pool.trim(0));
    assert_eq!(pool.stats().free as isize, tally.alive());
    let mut both = [pool.try_acquire().unwrap(), pool.try_acquire().unwrap()];
    both[0].bomb = true;
    drop(both);
    panics("bomb", || drop(pool));
    assert_eq!(tally.alive(), 0);
    source.assert_empty();
}

#[test]
fn trim_makes_other_threads_return_theirs() {
    let pool = TieredPool::with_options(|| 0u8, |_| {}, Options::new(), TierOptions::new().cache(32)).unwrap();
    let (step, done) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            drop([0; 20].map(|_| pool.try_acquire().unwrap()));
            step.wait();
            done.wait();
            drop(pool.try_acquire().unwrap());
            step.wait();
            done.wait();
        });
        step.wait();
        assert_eq!((pool.trim(0), pool.stats().free), (0, 20));
        done.wait();
        step.wait();
        assert_eq!((pool.trim(0), pool.stats().free), (20, 0));
        done.wait();
    });
}

#[test]
fn refusals_are_errors() {
    static SOURCE: Flaky = Flaky::new();
    let source = &SOURCE;
    for served in 0..6 {
        source.refuse_after(served);
        let options = Options::new().capacity(1);
        match TieredPool::managed_in((|| 1, |_: &mut i32| {}), options, small(), source) {
            Err(error) => assert!(matches!(error, PoolError::OutOfMemory { .. })),
            // Its thread gets no cache, or the store no second chunk: both are survived.
            Ok(pool) => {
                let one = pool.try_acquire().unwrap();
                assert_eq!(pool.try_acquire().map(drop), Err(AcquireError::OutOfMemory));
                drop(one);
                assert_eq!(pool.stats().free, 1);
            }
        }
        source.refuse_after(usize::MAX);
        source.assert_empty();
    }
}

#[test]
fn bad_options_are_errors() {
    let with = |tiers| TieredPool::with_options(|| 0u8, |_| {}, Options::new(), tiers).map(drop);
    assert_eq!(with(TierOptions::new().cache(0)), Err(PoolError::ZeroCapacity));
    assert!(matches!(with(TierOptions::new().stripe(usize::MAX)), Err(PoolError::TooMany { .. })));
    assert!(matches!(with(TierOptions::new().stripes(1 << 30)), Err(PoolError::TooMany { .. })));
    assert!(with(TierOptions::new().stripe(0)).is_ok());
}

#[test]
fn a_pool_without_stripes_or_with_tiny_caches_works() {
    for tiers in [TierOptions::new().cache(1).stripe(0).stripes(1), TierOptions::new().cache(1).stripe(1)] {
        let tally = Tally::default();
        let pool =
            TieredPool::with_options(|| Counted::new(&tally), |_| {}, Options::new().limit(10), tiers).unwrap();
        for count in (0..10).chain((0..10).rev()) {
            let held: Vec<_> = (0..count).map(|_| pool.try_acquire().unwrap()).collect();
            assert_eq!(pool.stats().live, count);
            drop(held);
        }
        drop(pool);
        assert_eq!(tally.alive(), 0);
    }
}

#[test]
fn many_pools_come_and_go_on_one_thread() {
    let tally = Tally::default();
    let mut pools = Vec::new();
    for round in 0..100 {
        let pool = TieredPool::with_options(|| Counted::new(&tally), |_| {}, Options::new(), small()).unwrap();
        drop([pool.try_acquire().unwrap(), pool.try_acquire().unwrap()]);
        pools.push(pool);
        if round % 3 == 0 {
            drop(pools.swap_remove(round % pools.len()));
        }
        for pool in &pools {
            drop(pool.try_acquire().unwrap());
        }
        assert!(pools.iter().all(|pool| pool.stats().misses == 2));
    }
    drop(pools);
    assert_eq!(tally.alive(), 0);
}

#[test]
fn guards_in_thread_locals_come_back_while_the_thread_ends() {
    type Shared = TieredPool<Counted<'static>>;
    thread_local!(static KEPT: Cell<Option<Box<dyn std::any::Any>>> = const { Cell::new(None) });
    static TALLY: Tally = Tally::new();
    let tally = &TALLY;
    static POOL: OnceLock<Shared> = OnceLock::new();
    let manage = Boxed::new(|| Counted::new(tally), |_| {});
    let pool = TieredPool::managed_in(manage, Options::new(), small(), Global).unwrap();
    let pool = POOL.get_or_init(|| pool);
    for cached_first in [false, true] {
        thread::spawn(move || {
            if cached_first {
                drop(pool.try_acquire().unwrap());
            }
            KEPT.set(Some(Box::new(pool.try_acquire_owned().unwrap())));
            drop(pool.try_acquire().unwrap());
        })
        .join()
        .unwrap();
        let stats = pool.stats();
        assert_eq!((stats.live, stats.free as isize), (0, tally.alive()));
    }
}

#[test]
fn a_forgotten_guard_is_reported_once_all_is_gone() {
    static LEAKED: AtomicUsize = AtomicUsize::new(0);
    let pool = TieredPool::new(|| 0u8, |_| {}).on_leak(|leak| _ = LEAKED.fetch_add(leak.live, Relaxed));
    std::mem::forget(pool.try_acquire().unwrap());
    let taken = Pooled::into_inner(pool.try_acquire().unwrap());
    drop(pool);
    assert_eq!((LEAKED.load(Relaxed), taken), (1, 0));
}

#[test]
fn padding_prefill_and_the_common_face() {
    let options = Options::new().padded().capacity(10);
    let mut pool = TieredPool::with_options(|| 0u8, |_| {}, options, small()).unwrap();
    pool.prefill(10).unwrap();
    let held = [pool.try_acquire().unwrap(), pool.try_acquire().unwrap()];
    assert!(held.iter().all(|one| std::ptr::from_ref(&**one).addr() % CACHE_LINE == 0));
    drop(held);
    assert_eq!((pool.stats().misses, pool.stats().free, pool.stats().capacity), (0, 10, 10));
    assert_eq!(Pool::trim(&mut pool, 3), 7);
    assert_eq!(Pool::live(&&pool), 0);
}

//! `TieredBlocks`: no block in two hands, none lost, threads that come and go, limits, memory that runs out; on std's
//! threads and on a program's own.
#![cfg(not(any(loom, shuttle)))]

mod common;

use common::Flaky;
use std::alloc::Layout;
use std::cell::Cell;
use std::collections::HashSet;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use stratalloc_pool::{
    AcquireError, Global, Options, PoolError, StdThreads, ThreadCaches, Threads, TierOptions, TieredBlocks,
};

fn small() -> TierOptions {
    TierOptions::new().cache(4).stripe(6).stripes(2)
}

fn pool<H: Threads>(options: Options) -> TieredBlocks<Global, H> {
    TieredBlocks::new_in(Layout::new::<[u64; 5]>(), options, small(), Global).unwrap()
}

/// Threads as a program without std has them: a word, and a destructor that is called at the end.
struct OwnThreads;

static NOBODYS: ThreadCaches = ThreadCaches::new();
static ENDED: AtomicUsize = AtomicUsize::new(0);

struct Word(Cell<*const ThreadCaches>);

thread_local! {
    static WORD: Word = const { Word(Cell::new(&raw const NOBODYS)) };
    static EXIT: Exit = const { Exit };
}

struct Exit;

impl Drop for Exit {
    fn drop(&mut self) {
        let own = WORD.with(|word| word.0.replace(&raw const NOBODYS)).cast_mut();
        // SAFETY: made by `own`, of this thread.
        let own = unsafe { Box::from_raw(own) };
        // SAFETY: this thread's.
        unsafe { own.end() };
        ENDED.fetch_add(1, Relaxed);
    }
}

// SAFETY: the word is the thread's; `Exit` ends what it names on its thread.
unsafe impl Threads for OwnThreads {
    fn caches() -> *const ThreadCaches {
        WORD.with(|word| word.0.get())
    }

    fn own() -> Option<*const ThreadCaches> {
        EXIT.try_with(|_| ()).ok()?;
        WORD.with(|word| {
            if std::ptr::eq(word.0.get(), &raw const NOBODYS) {
                word.0.set(Box::into_raw(Box::new(ThreadCaches::new())));
            }
            Some(word.0.get())
        })
    }
}

#[test]
fn blocks_have_their_layout_and_their_figures() {
    for (size, align) in [(0, 1), (1, 1), (40, 8), (100, 64), (5000, 4096)] {
        let layout = Layout::from_size_align(size, align).unwrap();
        let pool: TieredBlocks = TieredBlocks::new_in(layout, Options::new(), small(), Global).unwrap();
        assert_eq!(pool.layout(), layout);
        let blocks: Vec<_> = (0..100).map(|_| pool.try_acquire().unwrap()).collect();
        for (n, block) in blocks.iter().enumerate() {
            assert!(block.as_ptr().addr().is_multiple_of(align));
            // SAFETY: a block of this size in our hands.
            unsafe { block.as_ptr().write_bytes(n as u8, size) };
        }
        for (n, block) in blocks.iter().enumerate() {
            // SAFETY: as above.
            assert!((0..size).all(|at| unsafe { block.as_ptr().add(at).read() } == n as u8));
        }
        let stats = pool.stats();
        assert_eq!((stats.live, stats.misses, stats.hits, stats.peak), (100, 100, 0, 100));
        assert_eq!(stats.free, stats.capacity - 100);
        for block in blocks {
            // SAFETY: a live block, not used any more.
            unsafe { pool.release(block) };
        }
        assert_eq!((pool.stats().live, pool.stats().free), (0, pool.stats().capacity));
        let again: HashSet<_> = (0..100).map(|_| pool.try_acquire().unwrap().addr()).collect();
        assert_eq!((again.len(), pool.stats().misses, pool.stats().hits), (100, 100, 100));
    }
    let layout = Layout::from_size_align(8, 1 << 20).unwrap();
    let refused = TieredBlocks::<Global, StdThreads>::new_in(layout, Options::new(), small(), Global);
    assert!(matches!(refused.unwrap_err(), PoolError::Alignment { .. }));
    let layout = Layout::new::<u8>();
    let refused = TieredBlocks::<Global, StdThreads>::new_in(layout, Options::new(), small().cache(0), Global);
    assert_eq!(refused.unwrap_err(), PoolError::ZeroCapacity);
}

#[test]
fn what_is_present_is_taken_without_growing() {
    let pool = pool::<StdThreads>(Options::new());
    assert_eq!(pool.try_acquire_present(), None);
    pool.reserve(10).unwrap();
    let capacity = pool.stats().capacity;
    let blocks: Vec<_> = std::iter::from_fn(|| pool.try_acquire_present()).collect();
    assert_eq!((blocks.len(), pool.stats().capacity), (capacity, capacity));
    // SAFETY: a live block, not used any more.
    unsafe { pool.release(blocks[0]) };
    assert_eq!(pool.try_acquire_present(), Some(blocks[0]));
}

#[test]
fn at_the_limit_other_threads_are_asked_for_theirs() {
    let pool = pool::<StdThreads>(Options::new().limit(6));
    let (to, from) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let pool = &pool;
        let (ready, wait) = mpsc::channel();
        scope.spawn(move || {
            let blocks: Vec<_> = (0..6).map(|_| pool.try_acquire().unwrap()).collect();
            for &block in &blocks[..4] {
                // SAFETY: a live block, not used any more.
                unsafe { pool.release(block) };
            }
            ready.send(()).unwrap();
            from.recv().unwrap();
            // Asked: this one brings the others along.
            // SAFETY: as above.
            unsafe { pool.release(blocks[4]) };
            ready.send(()).unwrap();
        });
        wait.recv().unwrap();
        assert_eq!(pool.try_acquire(), Err(AcquireError::Exhausted));
        assert_eq!(pool.stats().live, 2);
        to.send(()).unwrap();
        wait.recv().unwrap();
        for _ in 0..4 {
            pool.try_acquire().unwrap();
        }
    });
}

/// Threads that pass blocks around, mark them while they have them, and end.
fn churn<H: Threads>() {
    let pool = pool::<H>(Options::new());
    let bag: Mutex<Vec<NonNull<u8>>> = Mutex::default();
    struct Bag<'a>(&'a Mutex<Vec<NonNull<u8>>>);
    // SAFETY: blocks belong to whoever takes them out.
    unsafe impl Sync for Bag<'_> {}
    let bag = Bag(&bag);
    for round in 0..20 {
        thread::scope(|scope| {
            for index in 0..3u64 {
                let (bag, pool) = (&bag, &pool);
                scope.spawn(move || {
                    let mark = round * 10 + index + 1;
                    for step in 0..2000u64 {
                        let block = pool.try_acquire().unwrap().cast::<[u64; 5]>();
                        // SAFETY: a block in our hands.
                        unsafe { block.write([mark * 10_000 + step; 5]) };
                        // SAFETY: as above.
                        assert_eq!(unsafe { block.read() }, [mark * 10_000 + step; 5], "in two hands");
                        let mut bag = bag.0.lock().unwrap();
                        bag.push(block.cast());
                        if bag.len() > 50 {
                            let at = step as usize % bag.len();
                            let other = bag.swap_remove(at);
                            drop(bag);
                            // SAFETY: a live block, not used any more.
                            unsafe { pool.release(other) };
                        }
                    }
                });
            }
        });
    }
    let left = bag.0.lock().unwrap();
    assert_eq!(left.iter().collect::<HashSet<_>>().len(), left.len());
    while pool.tier_stats().threads > 0 {
        thread::yield_now();
    }
    let stats = pool.stats();
    assert_eq!((stats.live, stats.misses + stats.hits), (left.len(), 20 * 3 * 2000));
    for &block in left.iter() {
        // SAFETY: a live block, not used any more.
        unsafe { pool.release(block) };
    }
    assert_eq!(pool.stats().live, 0);
    let before = pool.stats().capacity;
    assert_eq!(pool.shrink_to(0), before);
    assert_eq!((pool.stats().capacity, pool.stats().bytes > 0), (0, true));
}

#[test]
fn threads_come_and_go_and_nothing_is_lost() {
    churn::<StdThreads>();
}

#[test]
fn so_it_is_on_a_programs_own_threads() {
    let before = ENDED.load(Relaxed);
    churn::<OwnThreads>();
    assert_eq!(ENDED.load(Relaxed) - before, 60, "each thread that used the pool ended its caches");
}

#[test]
fn pools_share_a_thread_and_go_before_it() {
    for round in 0..50 {
        let pools: Vec<_> = (0..10).map(|_| pool::<StdThreads>(Options::new())).collect();
        for (n, pool) in pools.iter().enumerate() {
            let blocks: Vec<_> = (0..=n).map(|_| pool.try_acquire().unwrap()).collect();
            for block in blocks {
                // SAFETY: a live block, not used any more.
                unsafe { pool.release(block) };
            }
            assert_eq!((pool.stats().misses, pool.tier_stats().threads), (n as u64 + 1, 1), "round {round}");
        }
    }
}

#[test]
fn a_source_that_refuses_leaves_the_pool_good() {
    static SOURCE: Flaky = Flaky::new();
    for allowed in 0..12 {
        SOURCE.refuse_after(allowed);
        match TieredBlocks::<&Flaky, StdThreads>::new_in(Layout::new::<u64>(), Options::new(), small(), &SOURCE) {
            Err(error) => assert!(matches!(error, PoolError::OutOfMemory { .. })),
            Ok(pool) => {
                let mut blocks = Vec::new();
                loop {
                    match pool.try_acquire() {
                        Ok(block) => blocks.push(block),
                        Err(error) => break assert_eq!(error, AcquireError::OutOfMemory),
                    }
                    assert!(blocks.len() < 1_000_000);
                }
                assert_eq!(pool.stats().live, blocks.len());
                SOURCE.refuse_after(usize::MAX);
                blocks.push(pool.try_acquire().unwrap());
                for block in blocks {
                    // SAFETY: a live block, not used any more.
                    unsafe { pool.release(block) };
                }
                assert_eq!(pool.stats().live, 0);
            }
        }
        SOURCE.refuse_after(usize::MAX);
        SOURCE.assert_empty();
    }
}

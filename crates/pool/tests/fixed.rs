//! `FixedPool` against a model, and what it refuses.
#![cfg(not(any(loom, shuttle)))]

mod common;

use common::Flaky;
use proptest::prelude::*;
use std::alloc::Layout;
use std::collections::HashSet;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use stratalloc_pool::{
    AcquireError, CACHE_LINE, FixedPool, Global, Growth, MAX_ALIGN, Options, Pool, PoolError, ReleaseError,
};

#[derive(Clone, Debug)]
enum Op {
    Acquire,
    Release(usize),
    ReleaseChecked(usize),
    Shrink(usize),
    Reserve(usize),
    Batch(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => Just(Op::Acquire),
        3 => any::<usize>().prop_map(Op::Release),
        2 => any::<usize>().prop_map(Op::ReleaseChecked),
        1 => (0usize..40).prop_map(Op::Shrink),
        1 => (0usize..40).prop_map(Op::Reserve),
        1 => (0usize..20).prop_map(Op::Batch),
    ]
}

fn growth() -> impl Strategy<Value = Growth> {
    prop_oneof![Just(Growth::Doubling), (1usize..9).prop_map(Growth::Fixed)]
}

/// A live block: filled with its mark.
struct Live {
    block: NonNull<u8>,
    mark: u8,
}

fn check(live: &Live, size: usize) {
    // SAFETY: the block is live and has so many bytes.
    let bytes = unsafe { std::slice::from_raw_parts(live.block.as_ptr(), size) };
    assert!(bytes.iter().all(|&byte| byte == live.mark), "a live block was written to");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn blocks_never_overlap_and_keep_their_contents(
        ops in proptest::collection::vec(op(), 1..200),
        size in 0usize..200,
        align in 0u32..8,
        growth in growth(),
        limit in prop_oneof![Just(usize::MAX), 1usize..100],
        checked in any::<bool>(),
    ) {
        let source = Flaky::new();
        let layout = Layout::from_size_align(size, 1 << align).unwrap();
        let options = Options::new().growth(growth).limit(limit);
        let pool = if checked {
            FixedPool::checked_in(layout, options, &source)
        } else {
            FixedPool::with_options_in(layout, options, &source)
        }.unwrap();
        let stride = pool.block_layout().size();
        let mut live: Vec<Live> = Vec::new();
        let mut starts = HashSet::new();
        let (mut mark, mut acquired, mut peak) = (0u8, 0u64, 0);
        let mut added = |block: NonNull<u8>, live: &mut Vec<Live>, starts: &mut HashSet<usize>| {
            let address = block.as_ptr().addr();
            assert_eq!(address % layout.align(), 0);
            assert!(starts.insert(address), "handed out twice");
            mark = mark.wrapping_add(1);
            // SAFETY: the whole block is ours.
            unsafe { block.write_bytes(mark, stride) };
            live.push(Live { block, mark });
        };
        for op in ops {
            match op {
                Op::Acquire => match pool.try_acquire() {
                    Ok(block) => {
                        acquired += 1;
                        added(block, &mut live, &mut starts);
                    }
                    Err(error) => {
                        assert_eq!(error, AcquireError::Exhausted);
                        assert_eq!(live.len(), limit);
                    }
                },
                Op::Batch(count) => {
                    let mut out = vec![NonNull::dangling(); count];
                    let got = pool.acquire_batch(&mut out);
                    acquired += got as u64;
                    assert!(got == count || live.len() + got == limit);
                    out[..got].iter().for_each(|&block| added(block, &mut live, &mut starts));
                }
                Op::Release(which) | Op::ReleaseChecked(which) if !live.is_empty() => {
                    let gone = live.swap_remove(which % live.len());
                    check(&gone, stride);
                    starts.remove(&gone.block.as_ptr().addr());
                    if let Op::ReleaseChecked(_) = op {
                        // SAFETY: inside of a block: refused.
                        let inside = unsafe { pool.release(gone.block.add(1)) };
                        assert!(matches!(inside, Err(ReleaseError::Inside { .. })));
                        // SAFETY: live, not used after.
                        unsafe { pool.release(gone.block) }.unwrap();
                        if checked {
                            // SAFETY: a checked pool refuses it.
                            let again = unsafe { pool.release(gone.block) };
                            assert!(matches!(again, Err(ReleaseError::NotLive { .. })));
                        }
                    } else {
                        // SAFETY: live, not used after.
                        unsafe { pool.release_unchecked(gone.block) };
                    }
                }
                Op::Shrink(keep) => {
                    let before = pool.stats();
                    let gone = pool.shrink_to(keep);
                    let after = pool.stats();
                    assert_eq!(after.capacity, before.capacity - gone);
                    assert!(gone == 0 || after.free >= keep);
                }
                Op::Reserve(more) => match pool.reserve(more) {
                    Ok(()) => assert!(pool.stats().free >= more),
                    Err(_) => assert!(live.len() + more > limit),
                },
                _ => {}
            }
            peak = peak.max(live.len());
            live.iter().for_each(|live| check(live, stride));
            let stats = pool.stats();
            assert_eq!((stats.live, stats.live + stats.free), (live.len(), stats.capacity));
            assert_eq!(stats.hits + stats.misses, acquired);
            assert!(stats.peak >= peak && stats.capacity <= limit && stats.waste <= stats.bytes);
            assert_eq!(stats.bytes as isize, source.bytes.load(Ordering::Relaxed));
        }
        for live in live {
            // SAFETY: live, not used after.
            unsafe { pool.release(live.block) }.unwrap();
        }
        pool.shrink_to(0);
        source.assert_empty();
    }
}

#[test]
fn foreign_blocks_are_refused_and_change_nothing() {
    let (one, two) =
        (FixedPool::new(Layout::new::<u64>()).unwrap(), FixedPool::new(Layout::new::<u64>()).unwrap());
    let block = one.try_acquire().unwrap();
    let mut local = 0u64;
    for foreign in [block, NonNull::from(&mut local).cast(), NonNull::dangling()] {
        // SAFETY: not a block of that pool: refused.
        assert!(matches!(unsafe { two.release(foreign) }, Err(ReleaseError::Foreign { .. })));
    }
    assert_eq!((one.live(), two.live()), (1, 0));
    // SAFETY: live in this pool.
    unsafe { one.release(block) }.unwrap();
}

#[test]
fn a_block_never_handed_out_is_not_live() {
    let pool = FixedPool::with_capacity(Layout::new::<u64>(), 8).unwrap();
    let first = pool.try_acquire().unwrap();
    // SAFETY: the second block of the chunk is in it.
    let second = unsafe { first.add(8) };
    // SAFETY: never handed out: refused.
    assert!(matches!(unsafe { pool.release(second) }, Err(ReleaseError::NotLive { .. })));
    assert!(pool.owns(first) && !pool.owns(second));
    // SAFETY: live.
    unsafe { pool.release(first) }.unwrap();
}

#[test]
fn impossible_options_get_errors() {
    let layout = Layout::new::<[u8; 24]>();
    let with = |options: Options| FixedPool::with_options(layout, options).map(drop);
    assert_eq!(with(Options::new().limit(0)), Err(PoolError::ZeroCapacity));
    assert_eq!(with(Options::new().growth(Growth::None)), Err(PoolError::ZeroCapacity));
    assert_eq!(with(Options::new().growth(Growth::Fixed(0))), Err(PoolError::ZeroCapacity));
    for align in [0, 3, MAX_ALIGN * 2, usize::MAX] {
        assert_eq!(with(Options::new().align(align)), Err(PoolError::Alignment { align, most: MAX_ALIGN }));
    }
    assert_eq!(with(Options::new().capacity(5).limit(4)), Err(PoolError::TooMany { asked: 5, most: 4 }));
    assert!(matches!(with(Options::new().capacity(usize::MAX)), Err(PoolError::TooMany { .. })));
    assert!(matches!(
        with(Options::new().capacity(usize::MAX / 64)),
        Err(PoolError::OutOfMemory { .. } | PoolError::TooMany { .. })
    ));
    let huge = Layout::from_size_align(isize::MAX as usize, 1).unwrap();
    assert!(FixedPool::with_options(huge, Options::new().align(4096)).is_err());
}

#[test]
fn every_alignment_to_the_page_is_kept() {
    for log in 0..=16 {
        let options = Options::new().align(1 << log).growth(Growth::Fixed(3));
        let pool = FixedPool::with_options(Layout::new::<[u8; 5]>(), options).unwrap();
        let blocks: Vec<_> = (0..7).map(|_| pool.try_acquire().unwrap()).collect();
        assert!(blocks.iter().all(|block| block.as_ptr().addr() % (1 << log) == 0));
        // SAFETY: live, each once.
        unsafe { pool.release_batch(&blocks) };
    }
    let pool = FixedPool::with_options(Layout::new::<u8>(), Options::new().padded()).unwrap();
    assert_eq!(pool.block_layout().size(), CACHE_LINE);
    assert_eq!(pool.layout(), Layout::new::<u8>());
}

#[test]
fn a_refused_chunk_leaves_the_pool_as_it_was() {
    let source = Flaky::new();
    let pool = FixedPool::with_options_in(Layout::new::<u64>(), Options::new().growth(Growth::Fixed(2)), &source)
        .unwrap();
    let mut blocks = vec![pool.try_acquire().unwrap(), pool.try_acquire().unwrap()];
    source.refuse_after(0);
    assert_eq!(pool.try_acquire(), Err(AcquireError::OutOfMemory));
    assert!(matches!(pool.reserve(10), Err(PoolError::OutOfMemory { .. })));
    assert_eq!((pool.live(), pool.capacity()), (2, 2));
    source.refuse_after(usize::MAX);
    blocks.push(pool.try_acquire().unwrap());
    // SAFETY: live, each once.
    unsafe { pool.release_batch(&blocks) };
    drop(pool);
    source.refuse_after(0);
    assert!(FixedPool::with_options_in(Layout::new::<u64>(), Options::new().capacity(1), &source).is_err());
    source.assert_empty();
}

#[test]
fn leaks_are_reported_on_drop() {
    static LEAKED: AtomicUsize = AtomicUsize::new(0);
    let pool = FixedPool::new(Layout::new::<[u8; 40]>()).unwrap().on_leak(|leak| {
        assert_eq!(leak.to_string(), "pool dropped with 2 live of type block, 40 bytes each");
        LEAKED.fetch_add(leak.live, Ordering::Relaxed);
    });
    let blocks = [pool.try_acquire().unwrap(), pool.try_acquire().unwrap(), pool.try_acquire().unwrap()];
    // SAFETY: live.
    unsafe { pool.release(blocks[0]) }.unwrap();
    drop(pool);
    assert_eq!(LEAKED.load(Ordering::Relaxed), 2);
}

#[test]
fn hashbrown_and_vec_like_users_live_in_blocks() {
    let pool = FixedPool::new(Layout::from_size_align(4096, 16).unwrap()).unwrap();
    let mut map = hashbrown::HashMap::new_in(&pool);
    for key in 0..100u32 {
        map.insert(key, key * 2);
    }
    assert!((0..100).all(|key| map[&key] == key * 2));
    assert_eq!(pool.live(), 1);
    // What does not fit gets an error, not a wrong block.
    assert!(map.try_reserve(100_000).is_err());
    assert_eq!(map.len(), 100);
    drop(map);
    assert_eq!(pool.live(), 0);
}

#[test]
fn the_common_face_trims() {
    let mut pool = FixedPool::with_options_in(Layout::new::<u32>(), Options::new().capacity(100), Global).unwrap();
    assert_eq!(Pool::capacity(&pool), 100);
    assert_eq!(Pool::trim(&mut pool, 0), 100);
    assert_eq!(Pool::stats(&pool).bytes, 0);
}

#[test]
fn a_reset_pool_gives_the_same_memory_again_without_the_source() {
    for checked in [false, true] {
        let source = Flaky::new();
        let layout = Layout::new::<[u64; 4]>();
        let mut pool = match checked {
            true => FixedPool::checked_in(layout, Options::new(), &source).unwrap(),
            false => FixedPool::with_options_in(layout, Options::new(), &source).unwrap(),
        };
        let all = |pool: &FixedPool<&Flaky>| {
            let blocks: Vec<_> = (0..1000).map(|_| pool.try_acquire().unwrap()).collect();
            // SAFETY: ours, of that layout.
            blocks.iter().for_each(|block| unsafe { block.write_bytes(0xA5, layout.size()) });
            let mut addresses: Vec<_> = blocks.iter().map(|block| block.addr().get()).collect();
            addresses.sort_unstable();
            assert!(addresses.windows(2).all(|pair| pair[1] - pair[0] >= layout.size()), "blocks overlap");
            blocks
        };
        let first = all(&pool);
        let before = pool.stats();
        source.refuse_after(0);
        pool.reset();
        let empty = pool.stats();
        assert_eq!((empty.live, empty.free, empty.capacity), (0, before.capacity, before.capacity));
        assert_eq!((empty.peak, empty.misses, empty.bytes), (1000, 1000, before.bytes));
        // SAFETY: a pool that is checked refuses what is not live, any pool what was not handed out since.
        assert!(unsafe { pool.release(first[0]) }.is_err());
        let mut second = all(&pool);
        assert_eq!((pool.live(), pool.stats().hits, pool.stats().misses), (1000, 0, 2000));
        // SAFETY: live, and not used any more.
        second.drain(..).for_each(|block| unsafe { pool.release(block) }.unwrap());
        assert_eq!(pool.shrink_to(0), before.capacity);
        source.assert_empty();
    }
}

//! `VarPool` as programs use it: bad input, alignment, fragmentation, growth and limits, collections.

mod ledger;

use allocator_api2_02 as api02;
use allocator_api2_04 as api04;
use ledger::Watched;
use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use stratalloc_pool::{
    AcquireError, Api02, Coalescing, Fit, Growth, MAX_ALIGN, Pool, PoolError, ReleaseError, ResizeError,
    VarOptions, VarPool,
};

fn bytes(size: usize) -> Layout {
    Layout::from_size_align(size, 1).unwrap()
}

fn aligned(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

#[test]
fn bad_options_are_refused_by_value() {
    let refused = |options| VarPool::with_options(options).unwrap_err();
    let new = VarOptions::new;
    assert_eq!(refused(new().limit(0)), PoolError::ZeroCapacity);
    assert_eq!(refused(new().growth(Growth::None)), PoolError::ZeroCapacity);
    assert_eq!(refused(new().growth(Growth::Fixed(0))), PoolError::ZeroCapacity);
    assert_eq!(refused(new().coalescing(Coalescing::DeferredUntil(0))), PoolError::ZeroCapacity);
    for granule in [0, 4, 24, 2 * MAX_ALIGN] {
        assert_eq!(refused(new().granule(granule)), PoolError::Alignment { align: granule, most: MAX_ALIGN });
    }
    assert_eq!(refused(new().capacity(100).limit(64)), PoolError::TooMany { asked: 100, most: 64 });
    assert!(matches!(refused(new().limit(15)), PoolError::TooMany { asked: 16, most: 15 }));
    assert!(matches!(refused(new().capacity(usize::MAX)), PoolError::TooMany { .. }));
    assert!(matches!(refused(new().blocks(usize::MAX)), PoolError::TooMany { .. }));
    assert!(matches!(refused(new().capacity(1 << 50).granule(MAX_ALIGN)), PoolError::TooMany { .. }));
}

#[test]
fn slices_that_are_too_short_are_refused_by_value() {
    let refused = |options, length| {
        let mut memory = vec![MaybeUninit::uninit(); length];
        VarPool::in_slice(options, &mut memory).unwrap_err()
    };
    let new = VarOptions::new;
    assert_eq!(refused(new(), 0), PoolError::ZeroCapacity);
    assert!(matches!(refused(new().blocks(100), 1000), PoolError::TooMany { .. }));
    assert!(matches!(refused(new().capacity(5000), 5000), PoolError::TooMany { asked: 5000, .. }));
    assert!(matches!(refused(new().growth(Growth::Fixed(64)), 5000), PoolError::Unsupported(_)));
    for length in 1..300 {
        let mut memory = vec![MaybeUninit::uninit(); length];
        if let Ok(pool) = VarPool::in_slice(new(), &mut memory) {
            let block = pool.allocate(bytes(1)).unwrap().cast::<u8>();
            // SAFETY: a block of the pool.
            unsafe { block.write(1) };
        }
    }
}

#[test]
fn a_slice_has_as_many_blocks_as_were_asked_for_and_then_refuses() {
    let mut memory = vec![MaybeUninit::uninit(); 4096];
    let pool = VarPool::in_slice(VarOptions::new().blocks(10), &mut memory).unwrap();
    // The last tag is the free rest's.
    let blocks: Vec<NonNull<u8>> = (0..9).map(|_| pool.allocate(bytes(16)).unwrap().cast()).collect();
    assert_eq!(pool.allocate(bytes(16)), Err(AcquireError::Exhausted));
    // The rest as a whole needs no further tag.
    let rest = pool.figures().largest_free;
    pool.allocate(bytes(rest)).unwrap();
    // SAFETY: not used after.
    unsafe { pool.release(blocks[3]) }.unwrap();
    pool.allocate(bytes(10)).unwrap();
    assert_eq!(pool.figures().free, 0);
}

#[test]
fn releases_that_make_no_sense_are_refused_and_change_nothing() {
    let (pool, other) = (VarPool::new(), VarPool::new());
    let block = pool.allocate(bytes(100)).unwrap().cast::<u8>();
    let elsewhere = other.allocate(bytes(100)).unwrap().cast::<u8>();
    let address = block.as_ptr().addr();
    let before = pool.figures();
    let at = |offset: usize| block.map_addr(|address| address.checked_add(offset).unwrap());
    // SAFETY: addresses that are no live block's are only refused.
    unsafe {
        assert_eq!(pool.release(elsewhere), Err(ReleaseError::Foreign { address: elsewhere.as_ptr().addr() }));
        assert_eq!(pool.release(at(16)), Err(ReleaseError::Inside { address: address + 16 }));
        assert_eq!(pool.release(at(1)), Err(ReleaseError::Inside { address: address + 1 }));
        assert_eq!(pool.release(at(112)), Err(ReleaseError::NotLive { address: address + 112 }));
        assert!(matches!(pool.reallocate(elsewhere, bytes(1)), Err(ResizeError::Block(_))));
        assert!(matches!(pool.resize_in_place(at(16), bytes(1)), Err(ReleaseError::Inside { .. })));
    }
    assert_eq!(pool.figures(), before);
    // SAFETY: not used after; the second time it is only refused.
    unsafe {
        pool.release(block).unwrap();
        assert_eq!(pool.release(block), Err(ReleaseError::NotLive { address }));
    }
    assert_eq!(pool.figures().free, pool.figures().capacity);
}

#[test]
fn a_block_that_is_written_beyond_does_not_harm_the_pool() {
    let pool = VarPool::with_options(VarOptions::new().capacity(4096).growth(Growth::None)).unwrap();
    let blocks: Vec<NonNull<u8>> = (0..8).map(|_| pool.allocate(bytes(64)).unwrap().cast()).collect();
    // SAFETY: all of the pool's segment is written, which lies behind the first block.
    unsafe { pool.allocate(bytes(4096 - 8 * 64)).unwrap().cast::<u8>().write_bytes(0xFF, 4096 - 8 * 64) };
    for block in &blocks {
        // SAFETY: as above, the block and what is behind it.
        unsafe { block.write_bytes(0xFF, 64) };
    }
    for block in blocks {
        // SAFETY: not used after.
        unsafe { pool.release(block) }.unwrap();
    }
    assert_eq!(pool.figures().free_blocks, 1);
}

#[test]
fn any_alignment_to_the_largest_page_and_beyond_is_kept() {
    for fit in [Fit::Best, Fit::First, Fit::Segregated] {
        let pool = VarPool::with_options(VarOptions::new().fit(fit)).unwrap();
        for log in 0..22 {
            for size in [1, 100, 5000] {
                let block = pool.allocate(aligned(size, 1 << log)).unwrap().cast::<u8>();
                assert_eq!(block.as_ptr().addr() % (1 << log), 0);
            }
        }
    }
}

#[test]
fn padded_blocks_share_no_cache_line() {
    let pool = VarPool::with_options(VarOptions::new().padded()).unwrap();
    let blocks: Vec<_> = (0..20).map(|_| pool.allocate(bytes(8)).unwrap().cast::<u8>().as_ptr().addr()).collect();
    assert!(blocks.windows(2).all(|pair| pair[0].abs_diff(pair[1]) >= stratalloc_pool::CACHE_LINE));
    assert!(blocks.iter().all(|block| block % stratalloc_pool::CACHE_LINE == 0));
}

#[test]
fn external_fragmentation_shows_and_coalescing_ends_it() {
    for coalescing in [Coalescing::Immediate, Coalescing::Deferred, Coalescing::DeferredUntil(1000)] {
        let options = VarOptions::new().coalescing(coalescing).capacity(64 * 1024).growth(Growth::None);
        let pool = VarPool::with_options(options).unwrap();
        let blocks: Vec<NonNull<u8>> = (0..1024).map(|_| pool.allocate(bytes(64)).unwrap().cast()).collect();
        for block in blocks.iter().step_by(2) {
            // SAFETY: not used after.
            unsafe { pool.release(*block) }.unwrap();
        }
        assert!(pool.figures().external_fragmentation() > 0.99);
        assert_eq!(pool.allocate(bytes(65)), Err(AcquireError::Exhausted));
        for block in blocks.iter().skip(1).step_by(2) {
            // SAFETY: as above.
            unsafe { pool.release(*block) }.unwrap();
        }
        // The pass that was deferred is made before the request is refused.
        pool.allocate(bytes(64 * 1024)).unwrap();
        assert_eq!(pool.figures().external_fragmentation(), 0.0);
    }
}

#[test]
fn what_never_coalesces_stays_as_it_was_cut() {
    let options = VarOptions::new().coalescing(Coalescing::Never).capacity(1024).growth(Growth::None);
    let mut pool = VarPool::with_options(options).unwrap();
    let blocks: Vec<NonNull<u8>> = (0..16).map(|_| pool.allocate(bytes(64)).unwrap().cast()).collect();
    for block in blocks {
        // SAFETY: not used after.
        unsafe { pool.release(block) }.unwrap();
    }
    assert_eq!((pool.coalesce(), pool.figures().free_blocks), (0, 16));
    assert_eq!(pool.allocate(bytes(65)), Err(AcquireError::Exhausted));
    pool.reset();
    pool.allocate(bytes(1024)).unwrap();
}

#[test]
fn segments_grow_as_told_to_the_limit_and_go_back() {
    let source = Watched::default();
    let options = VarOptions::new().growth(Growth::Fixed(1000)).limit(2500);
    let mut pool = VarPool::with_options_in(options, &source).unwrap();
    let mut blocks: Vec<NonNull<u8>> = Vec::new();
    while let Ok(block) = pool.allocate(bytes(100)) {
        blocks.push(block.cast());
    }
    let figures = pool.figures();
    // Steps of 1000 bytes in granules, and a last one of what the limit leaves.
    assert_eq!((figures.capacity, figures.segments), (2496, 3));
    assert!(figures.free < 3 * 112);
    for block in blocks {
        // SAFETY: not used after.
        unsafe { pool.release(block) }.unwrap();
    }
    assert_eq!(pool.trim(1500), 480);
    assert_eq!((pool.trim(0), source.bytes()), (2016, 0));
    pool.allocate(bytes(2400)).unwrap();
    assert_eq!(pool.allocate(bytes(97)), Err(AcquireError::Exhausted));
}

#[test]
fn a_source_that_refuses_leaves_the_pool_as_it_was() {
    for refusals in 1..8 {
        let source = Watched::default();
        source.refuse(refusals);
        let mut pool = VarPool::with_options_in(VarOptions::new().growth(Growth::Fixed(512)), &source).unwrap();
        let mut refused = 0;
        let mut blocks: Vec<NonNull<u8>> = Vec::new();
        for round in 0..200 {
            match pool.allocate(bytes(32)) {
                Ok(block) => blocks.push(block.cast()),
                Err(error) => {
                    assert_eq!(error, AcquireError::OutOfMemory);
                    refused += 1;
                }
            }
            if round % 50 == 49 {
                source.refuse(refusals);
            }
            assert_eq!(pool.figures().used, blocks.len() * 32);
        }
        assert!(refused > 0);
        source.refuse(0);
        for block in blocks {
            // SAFETY: not used after.
            unsafe { pool.release(block) }.unwrap();
        }
        pool.trim(0);
        assert_eq!(source.bytes(), 0);
    }
}

#[test]
fn collections_live_in_a_pool_of_both_versions() {
    let pool = VarPool::new();
    let mut map = hashbrown::HashMap::new_in(&pool);
    let mut list = api02::vec::Vec::new_in(&pool);
    let mut other = api04::vec::Vec::new_in(&pool);
    for number in 0..10_000u32 {
        map.insert(number, number.to_string());
        list.push(u64::from(number));
        other.push(number);
    }
    assert_eq!(map[&777], "777");
    assert_eq!(list.iter().sum::<u64>(), 49_995_000);
    list.truncate(10);
    list.shrink_to_fit();
    assert_eq!((&list[..3], other[9999]), (&[0, 1, 2][..], 9999));
    assert_eq!(pool.figures().used_blocks, 3);
    drop((map, list, other));
    assert_eq!((pool.figures().used, pool.figures().free_blocks), (0, pool.figures().segments));
}

#[test]
fn a_collection_lives_in_a_slice() {
    let mut memory = [MaybeUninit::uninit(); 8192];
    let pool = VarPool::in_slice(VarOptions::new(), &mut memory).unwrap();
    let mut list = api02::vec::Vec::new_in(&pool);
    while list.try_reserve(1).is_ok() {
        list.push(list.len());
    }
    assert!(list.len() >= 256 && list.iter().enumerate().all(|(at, &number)| at == number));
    let empty: api02::boxed::Box<(), _> = api02::boxed::Box::new_in((), &pool);
    drop((list, empty));
    assert_eq!(pool.figures().used_blocks, 0);
}

#[test]
fn a_pool_lives_in_an_arena() {
    let arena = bumpalo::Bump::new();
    let pool = VarPool::with_options_in(VarOptions::new(), Api02(&arena)).unwrap();
    let block = pool.allocate(bytes(1000)).unwrap();
    assert!(arena.allocated_bytes() >= 64 << 10 && block.len() >= 1000);
}

#[test]
fn a_vector_grows_in_place_while_it_can() {
    let pool = VarPool::with_options(VarOptions::new().capacity(1 << 16)).unwrap();
    let mut list: api02::vec::Vec<u8, _> = api02::vec::Vec::with_capacity_in(16, &pool);
    let start = list.as_ptr();
    list.resize(60_000, 7);
    assert_eq!(list.as_ptr(), start);
}

/// Not a measurement: no operation may walk over all blocks. With a walk this would take minutes.
#[test]
fn a_hundred_thousand_blocks_do_not_make_an_operation_slower() {
    let count = if cfg!(miri) { 300 } else { 100_000 };
    for fit in [Fit::Best, Fit::First, Fit::Segregated] {
        let pool = VarPool::with_options(VarOptions::new().fit(fit)).unwrap();
        let blocks: Vec<NonNull<u8>> =
            (0..count).map(|n| pool.allocate(bytes(16 + n % 64)).unwrap().cast()).collect();
        for block in blocks.iter().step_by(2) {
            // SAFETY: not used after.
            unsafe { pool.release(*block) }.unwrap();
        }
        for _ in 0..count {
            let block = pool.allocate(bytes(200)).unwrap().cast();
            // SAFETY: not used after.
            unsafe { pool.release(block) }.unwrap();
        }
    }
}

#[test]
fn a_block_that_just_fits_is_taken_whole() {
    for fit in [Fit::Best, Fit::First, Fit::Segregated] {
        for size in [16, 64, 1008, 1024, 4096, 65_536] {
            let options = VarOptions::new().fit(fit).capacity(size).growth(Growth::None);
            let pool = VarPool::with_options(options).unwrap();
            let block = pool.allocate(bytes(size)).unwrap();
            assert_eq!((block.len(), pool.figures().free_blocks), (size, 0));
            assert_eq!(pool.allocate(bytes(1)), Err(AcquireError::Exhausted));
            // SAFETY: not used after.
            unsafe { pool.release(block.cast()) }.unwrap();
            assert_eq!(pool.figures().largest_free, size);
        }
    }
}

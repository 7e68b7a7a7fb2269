//! What a heap keeps when it gives back most of what it had.
#![cfg(not(loom))]

mod common;

use common::oracle::as_thread;
use common::random::{Random, seed};
use common::{Owned, Rig};
use stratalloc_core::class::SLICE;
use stratalloc_core::heap::Heap;
use stratalloc_core::options::Options;
use stratalloc_os::mock::Mock;

const MIB: usize = 1 << 20;
/// Most that a heap may hold that declined: a span in a few classes.
const LITTLE: usize = 256 << 10;

/// Bytes of the spans of a rig without large blocks, which are its heap's.
fn held(rig: &Rig) -> usize {
    let active = rig.figures().active;
    // SAFETY: heaps are never unmapped.
    assert_eq!(unsafe { (*rig.heap).slices() } as usize * SLICE, active, "the heap knows what it has");
    active
}

/// Blocks of all classes, `bytes` in all.
fn blocks(rig: &Rig, random: &mut Random, bytes: usize) -> Vec<*mut u8> {
    let mut left = bytes;
    let mut blocks = Vec::new();
    while left > 0 {
        let size = random.size(15).max(1);
        blocks.push(rig.alloc(size));
        left = left.saturating_sub(size);
    }
    blocks
}

fn shuffle(blocks: &mut [*mut u8], random: &mut Random) {
    for last in (1..blocks.len()).rev() {
        blocks.swap(last, random.below(last + 1));
    }
}

#[test]
fn who_frees_all_keeps_little_in_whatever_order() {
    type Order = fn(&mut [*mut u8], &mut Random);
    let orders: [Order; 3] = [|_, _| {}, |blocks, _| blocks.reverse(), shuffle];
    for order in orders {
        let rig = Rig::new(4096, Options::DEFAULT);
        let mut random = Random::new(seed("decline"));
        // Each time it grows as before.
        for _ in 0..3 {
            let mut blocks = blocks(&rig, &mut random, 8 * MIB);
            assert!(held(&rig) >= 8 * MIB);
            order(&mut blocks, &mut random);
            blocks.into_iter().for_each(|block| rig.free(block));
            let left = held(&rig);
            assert!(left <= LITTLE, "{left} bytes");
        }
    }
}

#[test]
fn who_frees_half_declines_by_steps() {
    let rig = Rig::new(4096, Options::DEFAULT);
    let mut random = Random::new(seed("decline"));
    let mut blocks = blocks(&rig, &mut random, 16 * MIB);
    // Newest first: whole spans become free.
    while blocks.len() > 1 {
        let half = blocks.len() / 2;
        blocks.split_off(half).into_iter().for_each(|block| rig.free(block));
        held(&rig);
    }
    rig.free(blocks[0]);
    assert!(held(&rig) <= LITTLE);
}

/// Pages of a program that holds many: what it frees here and there is not stuck beside what it keeps, but for the two
/// in each of the first spans.
#[test]
fn free_blocks_of_whole_slices_do_not_wait_for_their_neighbours() {
    const FIRST: usize = 32;
    for size in [SLICE, 32 << 10] {
        let rig = Rig::new(4096, Options::DEFAULT);
        let mut random = Random::new(seed("blocks of whole slices"));
        let mut blocks: Vec<*mut u8> = (0..1000).map(|_| rig.alloc(size)).collect();
        shuffle(&mut blocks, &mut random);
        blocks.split_off(500).into_iter().for_each(|block| rig.free(block));
        let held = held(&rig);
        let in_use = blocks.len() * size;
        assert!((in_use..=in_use + (FIRST + 1) * size).contains(&held), "{held} bytes for {in_use} in use");
        blocks.into_iter().for_each(|block| rig.free(block));
    }
}

#[test]
fn who_takes_a_span_again_keeps_it() {
    let rig = Rig::new(4096, Options::DEFAULT);
    let mut random = Random::new(seed("decline"));
    blocks(&rig, &mut random, 8 * MIB).into_iter().for_each(|block| rig.free(block));
    for size in [100, 1000, 5000, 20_000] {
        rig.free(rig.alloc(size));
        let kept = held(&rig);
        assert!(kept > 0, "the span of {size} bytes stays");
        for _ in 0..100 {
            rig.free(rig.alloc(size));
            assert_eq!(held(&rig), kept);
        }
    }
}

#[test]
fn small_heaps_do_not_decline() {
    let rig = Rig::new(4096, Options::DEFAULT);
    let round = || {
        let blocks: Vec<_> = (1..20).map(|size| rig.alloc(size * 100)).collect();
        blocks.into_iter().for_each(|block| rig.free(block));
        held(&rig)
    };
    // Each class has a span of its own after a while.
    (0..200).for_each(|_| _ = round());
    let kept = round();
    assert!(kept > LITTLE / 2 && (0..100).all(|_| round() == kept), "{kept} bytes");
}

#[test]
fn blocks_that_others_free_count() {
    let rig = Rig::new(4096, Options::DEFAULT);
    let mut random = Random::new(seed("decline"));
    let blocks = blocks(&rig, &mut random, 8 * MIB);
    as_thread(1, || {
        let other = rig.allocator.adopt();
        // SAFETY: that thread's heap; its blocks.
        unsafe {
            blocks.into_iter().for_each(|block| rig.allocator.dealloc(other, block));
            rig.allocator.flush_batches(other);
            rig.allocator.park(other);
        }
    });
    // The owner hears of it when it needs a span.
    let blocks: Vec<_> = (0..100).map(|_| rig.alloc(32 << 10)).collect();
    blocks.into_iter().for_each(|block| rig.free(block));
    let left = held(&rig);
    assert!(left <= LITTLE, "{left} bytes");
}

#[test]
fn a_parked_heap_declines_as_others_free() {
    let rig = Rig::new(4096, Options::DEFAULT);
    let mut random = Random::new(seed("decline"));
    let (parked, blocks) = as_thread(1, || {
        let heap = rig.allocator.adopt();
        let blocks: Vec<_> = (0..20_000)
            // SAFETY: that thread's heap.
            .map(|_| unsafe { rig.allocator.alloc(heap, 1 + random.below(1000), 16) })
            .collect();
        // SAFETY: not used any more.
        unsafe { rig.allocator.park(heap) };
        (heap, blocks)
    });
    blocks.into_iter().for_each(|block| rig.free(block));
    // SAFETY: our heap; the other is never unmapped.
    let left = unsafe {
        rig.allocator.flush_batches(rig.heap);
        (*parked).slices() as usize * SLICE
    };
    assert!(left <= LITTLE, "{left} bytes");
}

#[test]
fn orphans_count_for_who_claims_them() {
    let mock = Mock::new(4096);
    let allocator = Owned::new(&mock);
    allocator.config.apply(&Options::DEFAULT.with_parked_heaps(0));
    // SAFETY: heaps of this thread and of another, which are never unmapped; their blocks.
    unsafe {
        let slices = |heap: *mut Heap| (*heap).slices() as usize * SLICE;
        let blocks: Vec<_> = as_thread(1, || {
            let heap = allocator.adopt();
            let blocks = (0..1000).map(|_| allocator.alloc(heap, 2000, 16)).collect();
            allocator.park(heap);
            assert_eq!(slices(heap), 0);
            blocks
        });
        let heap = allocator.adopt();
        let before = allocator.figures(heap).active;
        for block in blocks {
            allocator.dealloc(heap, block);
        }
        allocator.flush_batches(heap);
        let now = allocator.figures(heap);
        assert_eq!(slices(heap), now.active);
        assert!(before >= 2 * MIB - MIB / 8 && now.active <= LITTLE && now.orphans == 0, "{now:?}");
        allocator.park(heap);
    }
}

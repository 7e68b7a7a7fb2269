//! `GlobalAlloc`'s contract, method by method: every layout gets a block that is its own, long and
//! aligned enough, zeroed where promised, its contents kept when it is resized; or null.

mod common;

use common::{fill, holds, layout};
use std::alloc::{GlobalAlloc, Layout};
use stratalloc::{Stratalloc, trim, usable_size};
use stratalloc_core::class::{CLASSES, SMALL_MAX, class, class_of, size_of_class};

#[global_allocator]
static GLOBAL: Stratalloc = Stratalloc;

/// Sizes on both sides of every boundary that the allocator knows.
fn boundaries() -> Vec<usize> {
    let mut sizes: Vec<usize> = (0..CLASSES).map(size_of_class).collect();
    sizes.extend([1 << 16, 1 << 17, 3 << 16, 1 << 20, 5 << 20]);
    sizes.iter().flat_map(|&size| [size - 1, size, size + 1]).filter(|&size| size > 0).collect()
}

#[test]
fn every_size_at_every_alignment_gets_a_block_of_its_own() {
    for shift in 0..=12 {
        let align = 1 << shift;
        // SAFETY: no layout is empty; every block is freed once with its layout.
        unsafe {
            let blocks: Vec<*mut u8> = (1..5000usize)
                .map(|size| {
                    let block = GLOBAL.alloc(layout(size, align));
                    assert!(!block.is_null());
                    assert_eq!(block.addr() % align, 0, "{size} at {align}");
                    assert!(usable_size(block) >= size);
                    fill(block, size, size as u8);
                    block
                })
                .collect();
            for (size, block) in (1..).zip(blocks) {
                assert!(holds(block, size, size as u8), "{size} at {align} was written by another");
                GLOBAL.dealloc(block, layout(size, align));
            }
        }
    }
}

#[test]
fn the_whole_usable_size_may_be_used() {
    // SAFETY: as above.
    unsafe {
        let blocks: Vec<(usize, *mut u8)> =
            boundaries().into_iter().map(|size| (size, GLOBAL.alloc(layout(size, 1)))).collect();
        for &(size, block) in &blocks {
            assert!(usable_size(block) >= size);
            fill(block, usable_size(block), size as u8);
        }
        for (size, block) in blocks {
            assert!(holds(block, usable_size(block), size as u8), "{size}");
            GLOBAL.dealloc(block, layout(size, 1));
        }
    }
}

#[test]
fn alignments_to_2_to_the_40_are_kept_or_refused() {
    for shift in 0..=40 {
        let align = 1 << shift;
        for size in [1, 100, 5000, SMALL_MAX + 1, 1 << 20] {
            // SAFETY: no layout is empty; a block is freed once with its layout.
            unsafe {
                let block = GLOBAL.alloc(layout(size, align));
                assert!(!block.is_null() || shift > 24, "{size} at {align}: no memory");
                if !block.is_null() {
                    assert_eq!(block.addr() % align, 0, "{size} at {align}");
                    fill(block, size, 0xa5);
                    let longer = GLOBAL.realloc(block, layout(size, align), 3 * size);
                    assert!(!longer.is_null() || shift > 24);
                    let (block, now) = if longer.is_null() { (block, size) } else { (longer, 3 * size) };
                    assert_eq!(block.addr() % align, 0, "{size} at {align} after a move");
                    assert!(holds(block, size, 0xa5));
                    GLOBAL.dealloc(block, layout(now, align));
                }
            }
        }
    }
}

#[test]
fn the_extremes_of_layout_are_null_and_overflow_nothing() {
    let mut extremes = vec![(1, 1 << 62), (1 << 62, 1 << 62), (isize::MAX as usize, 1), (1 << 50, 16)];
    for shift in 0..63 {
        // The largest size that `Layout` accepts at this alignment.
        extremes.push((isize::MAX as usize - ((1 << shift) - 1), 1 << shift));
    }
    for shift in 48..63 {
        extremes.push((1, 1 << shift));
        extremes.push((100_000, 1 << shift));
    }
    for (size, align) in extremes.into_iter().filter(|&(size, _)| size > 0) {
        // SAFETY: no layout is empty.
        unsafe {
            assert!(GLOBAL.alloc(layout(size, align)).is_null(), "{size} at {align}");
            assert!(GLOBAL.alloc_zeroed(layout(size, align)).is_null(), "{size} at {align}");
        }
    }
    // SAFETY: size 0 is beyond what `GlobalAlloc` promises, but ours answers it.
    assert!(unsafe { GLOBAL.alloc(layout(0, 1 << 63)) }.is_null());
}

#[test]
fn a_resize_that_cannot_be_met_leaves_the_block_as_it_was() {
    for size in [24, 1000, 30_000, 200_000] {
        // SAFETY: the block is freed once with its layout: no resize succeeds.
        unsafe {
            let block = GLOBAL.alloc(layout(size, 8));
            fill(block, size, 7);
            for wish in [1 << 48, 1 << 62, isize::MAX as usize - 7] {
                assert!(GLOBAL.realloc(block, layout(size, 8), wish).is_null());
                assert!(holds(block, size, 7));
            }
            GLOBAL.dealloc(block, layout(size, 8));
        }
    }
}

#[test]
fn zeroed_blocks_are_zero_after_dirty_reuse() {
    for round in 0..3 {
        for size in boundaries() {
            let count = (1 << 20) / size.max(1 << 12) + 2;
            // SAFETY: every block is freed once with its layout.
            unsafe {
                let dirty: Vec<*mut u8> = (0..count).map(|_| GLOBAL.alloc(layout(size, 16))).collect();
                for &block in &dirty {
                    fill(block, usable_size(block), 0xff);
                }
                for block in dirty {
                    GLOBAL.dealloc(block, layout(size, 16));
                }
                if round == 1 && size.is_multiple_of(4096) {
                    trim(0);
                }
                let zeroed: Vec<*mut u8> = (0..count).map(|_| GLOBAL.alloc_zeroed(layout(size, 16))).collect();
                for block in zeroed {
                    assert!(holds(block, size, 0), "{size} in round {round}");
                    fill(block, usable_size(block), 0xee);
                    GLOBAL.dealloc(block, layout(size, 16));
                }
            }
        }
    }
}

#[test]
fn zeroed_blocks_in_a_fresh_span_are_zero_though_their_neighbours_are_linked() {
    // A class that nothing else in this binary uses, so that its span is fresh.
    let size = 26_000;
    // SAFETY: every block is freed once with its layout.
    unsafe {
        let blocks: Vec<*mut u8> = (0..64).map(|_| GLOBAL.alloc_zeroed(layout(size, 8))).collect();
        assert!(blocks.iter().all(|&block| holds(block, size, 0)));
        for block in blocks {
            GLOBAL.dealloc(block, layout(size, 8));
        }
    }
}

#[test]
fn zeroed_blocks_are_zero_at_large_alignments() {
    for shift in 5..=22 {
        for _ in 0..3 {
            let wanted = layout(3000, 1 << shift);
            // SAFETY: the block is freed once with its layout.
            unsafe {
                let block = GLOBAL.alloc_zeroed(wanted);
                assert_eq!(block.addr() % (1 << shift), 0);
                assert!(holds(block, 3000, 0));
                fill(block, 3000, 0xff);
                GLOBAL.dealloc(block, wanted);
            }
        }
    }
}

#[test]
fn a_resize_within_the_class_stays_and_one_across_moves_with_the_contents() {
    for align in [1, 16, 64, 512, 4096] {
        for old in boundaries().into_iter().filter(|&size| size <= SMALL_MAX) {
            for new in [old / 2 + 1, old - old / 20, old + old / 20 + 1, old * 2] {
                // SAFETY: the block is freed once with the layout it has then.
                unsafe {
                    let block = GLOBAL.alloc(layout(old, align));
                    fill(block, old, 0x5a);
                    // A heap's first blocks of a class have a larger one.
                    let has = class_of(usable_size(block));
                    let now = GLOBAL.realloc(block, layout(old, align), new);
                    assert!(!now.is_null() && now.addr().is_multiple_of(align));
                    assert!(holds(now, old.min(new), 0x5a), "{old} to {new} at {align}");
                    let (was, is) = (class(old, align), class(new, align));
                    let same = was.is_some() && (was == is || has == is);
                    assert_eq!(now == block, same, "{old} to {new} at {align}");
                    GLOBAL.dealloc(now, layout(new, align));
                }
            }
        }
    }
}

#[test]
fn blocks_shrink_and_grow_between_all_pairs_of_boundaries() {
    let sizes: Vec<usize> = boundaries().into_iter().step_by(7).chain([1 << 16, (1 << 20) + 5]).collect();
    for &old in &sizes {
        for &new in &sizes {
            // SAFETY: the block is freed once with the layout it has then.
            unsafe {
                let block = GLOBAL.alloc(layout(old, 8));
                fill(block, old, 0x77);
                let block = GLOBAL.realloc(block, layout(old, 8), new);
                assert!(holds(block, old.min(new), 0x77), "{old} to {new}");
                fill(block, new, 0x78);
                let block = GLOBAL.realloc(block, layout(new, 8), old);
                assert!(holds(block, old.min(new), 0x78), "{new} to {old}");
                GLOBAL.dealloc(block, layout(old, 8));
            }
        }
    }
}

#[test]
fn a_large_block_shrinks_in_place_and_its_tail_serves_again() {
    let (long, short) = (8 << 20, 1 << 20);
    // SAFETY: the block is freed once with the layout it has then.
    unsafe {
        let block = GLOBAL.alloc(layout(long, 8));
        fill(block, long, 3);
        let now = GLOBAL.realloc(block, layout(long, 8), short);
        assert_eq!(now, block, "a shrink moves nothing");
        assert!(holds(now, short, 3));
        assert_eq!(usable_size(now), short);
        // The tail is free: growing back takes it again, unless another thread has it by now.
        let back = GLOBAL.realloc(now, layout(short, 8), long);
        assert!(holds(back, short, 3));
        fill(back, long, 4);
        assert!(holds(back, long, 4));
        GLOBAL.dealloc(back, layout(long, 8));
    }
}

#[test]
fn large_blocks_keep_their_contents_and_alignment_through_growth_to_64_mib() {
    for align in [8usize, 1 << 16, 1 << 20] {
        // SAFETY: the block is freed once with the layout it has then.
        unsafe {
            let mut size = 40_000;
            let mut block = GLOBAL.alloc(layout(size, align));
            // In the way of growing in place, now and then.
            let mut others: Vec<Vec<u8>> = Vec::new();
            block.cast::<[u8; 2]>().write([0xaa, 0xbb]);
            while size < 64 << 20 {
                let longer = size * 3 / 2;
                block.add(size - 1).write(size as u8);
                block = GLOBAL.realloc(block, layout(size, align), longer);
                assert!(!block.is_null() && block.addr().is_multiple_of(align), "{longer} at {align}");
                assert_eq!(block.cast::<[u8; 2]>().read(), [0xaa, 0xbb]);
                assert_eq!(block.add(size - 1).read(), size as u8);
                others.push(vec![1; 100_000]);
                size = longer;
            }
            assert!(others.iter().all(|other| other.iter().step_by(4096).all(|&byte| byte == 1)));
            GLOBAL.dealloc(block, layout(size, align));
        }
    }
}

#[test]
fn empty_layouts_get_blocks_like_any_other() {
    let empty = Layout::from_size_align(0, 64).unwrap();
    // SAFETY: `Stratalloc` serves size 0; the blocks are freed once.
    unsafe {
        let (one, two) = (GLOBAL.alloc(empty), GLOBAL.alloc_zeroed(empty));
        assert!(!one.is_null() && !two.is_null() && one != two);
        assert!(one.addr().is_multiple_of(64) && two.addr().is_multiple_of(64));
        GLOBAL.dealloc(one, empty);
        GLOBAL.dealloc(two, empty);
    }
}

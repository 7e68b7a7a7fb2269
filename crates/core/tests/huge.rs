//! Huge pages: what is asked of the system and when, what stands in for what it lacks, and what the purge gives back.
#![cfg(not(loom))]

mod common;

use common::Owned;
use common::pattern;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use stratalloc_core::class::SLICE;
use stratalloc_core::frames::{DENSE, FRAME};
use stratalloc_core::heap::Heap;
use stratalloc_core::huge::Reason;
use stratalloc_core::options::{HugePages, Options};
use stratalloc_core::os::{Advice, HugeSystem, Reserve, Transparent};
use stratalloc_core::stats::Snapshot;
use stratalloc_os::mock::{Call, Mock};

const MIB: usize = 1 << 20;
const HUGE: usize = FRAME * SLICE;
const GIB: usize = 1 << 30;
/// A large block that fills its slices and of which some fill a frame.
const BLOCK: usize = 64 << 10;
/// A small block of which some fill a frame.
const SMALL: usize = 32 << 10;
/// What is mapped before `auto` offers frames.
const AUTO_FROM: usize = 8 * MIB;
/// Longer than the first touch of a frame may take.
const SLOW: u64 = 1_000_000;
/// Blocks in a frame.
const BLOCKS: usize = HUGE / BLOCK;
/// Blocks of a dense frame that may be free.
const LEEWAY: usize = (FRAME - DENSE) * SLICE / BLOCK;

struct Rig {
    mock: Mock,
    allocator: Owned,
    heap: *mut Heap,
    /// Number of the frame that was opened last.
    opened: Cell<usize>,
}

/// A system with transparent huge pages and so many reserved ones.
fn system(two_mib: usize, one_gib: usize) -> HugeSystem {
    HugeSystem {
        transparent: Transparent::Madvise,
        bytes: HUGE,
        two_mib: Reserve { total: two_mib, free: two_mib },
        one_gib: Reserve { total: one_gib, free: one_gib },
        ..HugeSystem::default()
    }
}

/// No purge but by `trim`.
fn patient(pages: HugePages) -> Options {
    Options::DEFAULT
        .with_purge_delay(3_600_000)
        .with_dirty_min(GIB)
        .with_purge_thread(false)
        .with_huge_pages(pages)
}

impl Rig {
    fn new(system: HugeSystem, options: Options) -> Self {
        let mock = Mock::new(4096);
        mock.set_huge(system);
        let allocator = Owned::new(&mock);
        allocator.config.apply(&options);
        let heap = allocator.adopt();
        assert!(!heap.is_null());
        Self { mock, allocator, heap, opened: Cell::new(0) }
    }

    fn try_alloc(&self, size: usize) -> *mut u8 {
        // SAFETY: our heap.
        unsafe { self.allocator.alloc(self.heap, size, 16) }
    }

    fn alloc(&self, size: usize) -> *mut u8 {
        let block = self.try_alloc(size);
        assert!(!block.is_null());
        block
    }

    fn free(&self, block: *mut u8) {
        // SAFETY: our heap and block.
        unsafe { self.allocator.dealloc(self.heap, block) };
    }

    fn figures(&self) -> Snapshot {
        self.allocator.figures(self.heap)
    }

    /// Blocks of [`SMALL`] until a frame is opened. They; the frame; in how many frames they lie beside it and the
    /// one opened before.
    fn until_opened(&self, most: usize) -> (Vec<*mut u8>, Option<usize>, usize) {
        let (mut blocks, mut frames) = (Vec::new(), BTreeSet::new());
        while blocks.len() < most {
            let block = self.alloc(SMALL);
            blocks.push(block);
            let advised = self.mock.take_advised();
            if let [(start, len, advice)] = advised[..] {
                assert!(
                    start.is_multiple_of(HUGE) && (len, advice) == (HUGE, Advice::Huge),
                    "{start:#x}+{len:#x}"
                );
                frames.remove(&(start / HUGE));
                frames.remove(&self.opened.replace(start / HUGE));
                return (blocks, Some(start), frames.len());
            }
            assert!(advised.is_empty(), "one at a time: {advised:x?}");
            frames.insert(block.addr() / HUGE);
        }
        (blocks, None, frames.len())
    }

    /// Blocks of [`BLOCK`] in frames that lie in transparent pages: by frame, in address order.
    fn fill_frames(&self, frames: usize) -> BTreeMap<usize, Vec<*mut u8>> {
        // Past what stays in ordinary pages.
        self.free(self.alloc(64 * MIB));
        self.allocator.trim(0);
        self.mock.take_purged();
        self.mock.take_advised();
        let mut by_frame: BTreeMap<usize, Vec<*mut u8>> = BTreeMap::new();
        for _ in 0..(frames + 6) * BLOCKS {
            let block = self.alloc(BLOCK);
            by_frame.entry(block.addr() / HUGE).or_default().push(block);
        }
        let advised = self.mock.take_advised();
        by_frame.retain(|frame, blocks| {
            let huge = |&(start, len, _): &(usize, usize, Advice)| (start..start + len).contains(&(frame * HUGE));
            blocks.len() == BLOCKS && advised.iter().any(huge)
        });
        while by_frame.len() > frames {
            by_frame.pop_first();
        }
        assert_eq!(by_frame.len(), frames);
        by_frame.values_mut().for_each(|blocks| blocks.sort());
        by_frame
    }
}

#[test]
fn without_the_option_nothing_is_asked_and_nothing_advised() {
    let rig = Rig::new(system(100, 2), Options::DEFAULT.with_huge_pages(HugePages::Off));
    for size in [100, MIB, 5 * MIB, 300 * MIB] {
        rig.free(rig.alloc(size));
    }
    for call in [Call::HugeSystem, Call::Advise, Call::MapReserved] {
        assert_eq!(rig.mock.count(call), 0, "{call:?}");
    }
    let figures = rig.figures();
    assert_eq!((figures.huge, figures.reserved, figures.huge_fallback), (0, 0, 0));
}

#[test]
fn never_advises_each_region_against_huge_pages_and_asks_nothing() {
    let rig = Rig::new(system(100, 2), patient(HugePages::Never));
    rig.alloc(100);
    rig.alloc(5 * MIB);
    let advised = rig.mock.take_advised();
    let bytes: usize = advised.iter().map(|&(_, len, _)| len).sum();
    assert_eq!(bytes, rig.figures().mapped);
    assert!(advised.iter().all(|&(_, _, advice)| advice == Advice::Small));
    assert_eq!(rig.mock.count(Call::HugeSystem), 0);
}

#[test]
fn madvise_leaves_small_programs_alone_and_asks_for_whole_aligned_regions_beyond() {
    let rig = Rig::new(system(0, 0), patient(HugePages::Madvise));
    let _small: Vec<_> = (0..20).map(|_| rig.alloc(BLOCK)).collect();
    assert_eq!((rig.mock.count(Call::HugeSystem), rig.mock.count(Call::Advise)), (0, 0));
    let _more: Vec<_> = (0..200).map(|_| rig.alloc(BLOCK)).collect();
    let advised = rig.mock.take_advised();
    assert!(!advised.is_empty());
    for &(start, len, advice) in &advised {
        assert!((start | len).is_multiple_of(HUGE), "{start:#x}+{len:#x}");
        assert_eq!(advice, Advice::Huge);
    }
    let bytes: usize = advised.iter().map(|&(_, len, _)| len).sum();
    assert_eq!((rig.figures().huge, rig.figures().huge_fallback), (bytes, 0));
    assert_eq!(rig.mock.count(Call::HugeSystem), 1, "asked once");
}

#[test]
fn always_asks_from_the_first_region_on() {
    let rig = Rig::new(system(0, 0), patient(HugePages::Always));
    rig.alloc(100);
    let figures = rig.figures();
    assert!(figures.huge > 0 && figures.huge == figures.mapped, "{figures:?}");
}

#[test]
fn large_blocks_start_at_a_frame() {
    let rig = Rig::new(system(0, 0), patient(HugePages::Madvise));
    for size in [2 * MIB, 2 * MIB + 1, 3 * MIB, 7 * MIB, 40 * MIB] {
        assert!(rig.alloc(size).addr().is_multiple_of(HUGE), "{size} bytes");
    }
}

#[test]
fn what_the_system_lacks_is_replaced_and_the_reason_kept() {
    let lacking = [
        (HugeSystem::default(), Reason::Absent),
        (HugeSystem { transparent: Transparent::Never, ..system(0, 0) }, Reason::Off),
        (HugeSystem { forbidden: true, ..system(0, 0) }, Reason::Forbidden),
        (HugeSystem { bytes: 512 * MIB, ..system(0, 0) }, Reason::Bytes),
    ];
    for (system, reason) in lacking {
        for mode in [HugePages::Madvise, HugePages::Always] {
            let rig = Rig::new(system, patient(mode));
            rig.alloc(10 * MIB);
            let figures = rig.figures();
            assert_eq!((figures.huge, figures.huge_fallback), (0, reason as u32), "{mode:?}");
            assert_eq!(rig.mock.count(Call::Advise), 0);
        }
    }
    let rig = Rig::new(system(0, 0), patient(HugePages::Madvise));
    rig.mock.fail_after(Call::Advise, 0);
    rig.alloc(10 * MIB);
    assert_eq!((rig.figures().huge, rig.figures().huge_fallback), (0, Reason::Refused as u32));
}

#[test]
fn reserved_pages_serve_until_they_are_used_up_then_transparent_ones_do() {
    let rig = Rig::new(system(20, 0), patient(HugePages::Hugetlb));
    rig.alloc(10 * MIB);
    let figures = rig.figures();
    assert!((10 * MIB..=40 * MIB).contains(&figures.reserved), "{figures:?}");
    assert_eq!((figures.huge, figures.huge_fallback), (0, 0));
    rig.alloc(100 * MIB);
    let figures = rig.figures();
    assert_eq!(figures.huge_fallback, Reason::TwoMib as u32);
    assert!(figures.huge >= 100 * MIB && figures.reserved <= 40 * MIB, "{figures:?}");
}

#[test]
fn reserved_pages_go_back_as_a_whole_and_serve_again() {
    let rig = Rig::new(system(60, 0), patient(HugePages::Hugetlb));
    let first = rig.alloc(20 * MIB);
    let blocks: Vec<_> = (0..BLOCKS * 4).map(|_| rig.alloc(BLOCK)).collect();
    let before: usize = rig.mock.reserved_ranges().iter().map(|range| range.1).sum();
    rig.free(first);
    // Every second block: no page is free as a whole.
    blocks.iter().step_by(2).for_each(|&block| rig.free(block));
    rig.allocator.trim(0);
    let after: usize = rig.mock.reserved_ranges().iter().map(|range| range.1).sum();
    assert!(before - after >= 20 * MIB, "{before} {after}");
    let figures = rig.figures();
    assert_eq!(figures.reserved, after);
    assert!(figures.held > 0 && figures.held == figures.dirty, "{figures:?}");
    blocks.iter().skip(1).step_by(2).for_each(|&block| rig.free(block));
    rig.allocator.trim(0);
    let figures = rig.figures();
    assert_eq!((figures.active, figures.dirty, figures.held, figures.reserved), (0, 0, 0, 0));
    assert!(rig.mock.reserved_ranges().is_empty());
    rig.alloc(20 * MIB);
    assert!(rig.figures().reserved >= 20 * MIB);
}

#[test]
fn pages_of_1_gib_serve_large_heaps_and_go_back_as_a_whole() {
    let rig = Rig::new(system(200, 2), patient(HugePages::Hugetlb1g));
    rig.alloc(10 * MIB);
    assert!(rig.figures().reserved < 100 * MIB, "pages of 2 MiB first");
    let blocks = [300 * MIB, 300 * MIB, 300 * MIB].map(|size| rig.alloc(size));
    let giant = |rig: &Rig| {
        let ranges = rig.mock.reserved_ranges();
        ranges.iter().filter(|&&(start, len)| start.is_multiple_of(GIB) && len >= GIB).count()
    };
    assert_eq!((giant(&rig), rig.figures().huge_fallback), (1, 0));
    rig.free(blocks[0]);
    rig.free(blocks[1]);
    rig.allocator.trim(0);
    assert_eq!(giant(&rig), 1, "in use by a third");
    rig.free(blocks[2]);
    rig.allocator.trim(0);
    assert_eq!(giant(&rig), 0);
    // More than there are: smaller ones do.
    let big = rig.alloc(3 * GIB);
    assert_eq!(rig.figures().huge_fallback, Reason::OneGib as u32 | Reason::TwoMib as u32);
    rig.free(big);
}

#[test]
fn blocks_in_reserved_pages_move_by_copying() {
    let rig = Rig::new(system(200, 0), patient(HugePages::Hugetlb));
    let block = rig.alloc(20 * MIB);
    let behind = rig.alloc(MIB);
    // SAFETY: our block.
    unsafe {
        block.write(7);
        block.add(20 * MIB - 1).write(8);
        let moved = rig.allocator.realloc(rig.heap, block, 60 * MIB, 16);
        assert!(!moved.is_null() && moved != block);
        assert_eq!((moved.read(), moved.add(20 * MIB - 1).read()), (7, 8));
        rig.free(moved);
    }
    assert_eq!(rig.mock.count(Call::Remap), 0);
    rig.free(behind);
}

#[test]
fn a_frame_in_use_counts_as_resident_as_a_whole() {
    let rig = Rig::new(system(0, 0), patient(HugePages::Always));
    rig.alloc(BLOCK);
    let figures = rig.figures();
    assert_eq!((figures.active + figures.dirty) % HUGE, 0, "{figures:?}");
    assert!(figures.active + figures.dirty > 0);
}

#[test]
fn new_spans_fill_frames_in_use_before_they_open_others() {
    let rig = Rig::new(system(0, 0), patient(HugePages::Madvise));
    let frames = rig.fill_frames(8);
    for blocks in frames.values() {
        // A hole in each of the frames, and one frame free as a whole.
        rig.free(blocks[5]);
    }
    let last = frames.values().next_back().unwrap();
    last.iter().enumerate().filter(|&(i, _)| i != 5).for_each(|(_, &block)| rig.free(block));
    rig.allocator.trim(0);
    for _ in 0..7 {
        let block = rig.alloc(BLOCK);
        assert!(frames.contains_key(&(block.addr() / HUGE)), "{block:p} opens a frame");
        assert_ne!(block.addr() / HUGE, last[0].addr() / HUGE, "{block:p} opens the free frame");
    }
}

#[test]
fn dense_frames_are_held_sparse_ones_split_and_free_ones_purged_as_a_whole() {
    let rig = Rig::new(system(0, 0), patient(HugePages::Madvise));
    let frames: Vec<_> = rig.fill_frames(3).into_values().collect();
    let base = rig.figures();
    // As many as a dense frame may have free, apart.
    frames[0].iter().step_by(7).take(LEEWAY).for_each(|&block| rig.free(block));
    // One more.
    frames[1].iter().step_by(5).take(LEEWAY + 1).for_each(|&block| rig.free(block));
    frames[2].iter().for_each(|&block| rig.free(block));
    rig.allocator.trim(0);
    let figures = rig.figures();
    assert_eq!(figures.held - base.held, LEEWAY * BLOCK, "{figures:?}");
    assert_eq!((figures.dirty, figures.splits), (figures.held, 1));
    let purged = rig.mock.take_purged();
    let in_frame = |blocks: &[*mut u8]| {
        let frame = blocks[0].addr();
        purged
            .iter()
            .filter(move |range| (frame..frame + HUGE).contains(&range.0))
            .map(|range| range.1)
            .sum::<usize>()
    };
    assert_eq!(in_frame(&frames[0]), 0);
    assert_eq!(in_frame(&frames[1]), (LEEWAY + 1) * BLOCK);
    assert!(purged.iter().any(|&(start, len)| {
        (start..start + len).contains(&frames[2][0].addr()) && (start | len).is_multiple_of(HUGE)
    }));
    let frame = frames[1][0].addr();
    assert_eq!(rig.mock.take_advised(), [(frame, HUGE, Advice::Small)]);

    // What was held goes when its frame becomes sparse.
    let gone = rig.figures().purged;
    rig.free(frames[0][1]);
    rig.allocator.trim(0);
    assert_eq!(rig.figures().held, base.held);
    assert_eq!((rig.figures().purged - gone) as usize, (LEEWAY + 1) * BLOCK);
    assert_eq!(rig.mock.take_advised(), [(frames[0][0].addr(), HUGE, Advice::Small)]);

    // And a split frame is one again when it is free as a whole.
    let free = |i: usize| i.is_multiple_of(5) && i < 5 * (LEEWAY + 1);
    frames[1].iter().enumerate().filter(|&(i, _)| !free(i)).for_each(|(_, &block)| rig.free(block));
    let huge = rig.figures().huge;
    rig.allocator.trim(0);
    assert_eq!(rig.figures().huge, huge + HUGE);
    assert_eq!(rig.mock.take_advised(), [(frame, HUGE, Advice::Huge)]);
}

#[test]
fn what_is_resident_stays_within_its_bound_however_blocks_are_freed() {
    for step in [2, 3, 5, 8, 9, 20, 31, 33, 100] {
        let rig = Rig::new(system(0, 0), patient(HugePages::Madvise));
        let blocks: Vec<_> = (0..64 * BLOCKS).map(|_| rig.alloc(BLOCK)).collect();
        blocks.iter().enumerate().filter(|(i, _)| i % step != 0).for_each(|(_, &block)| rig.free(block));
        rig.allocator.trim(0);
        let figures = rig.figures();
        assert!(figures.dirty <= figures.active / 7, "1 in {step} kept: {figures:?}");
        blocks.iter().step_by(step).for_each(|&block| rig.free(block));
        rig.allocator.trim(0);
        assert_eq!((rig.figures().active, rig.figures().dirty), (0, 0), "1 in {step} kept");
    }
}

#[test]
fn the_purge_thread_ends_although_something_is_held() {
    let options = Options::DEFAULT.with_dirty_min(0).with_purge_delay(100).with_huge_pages(HugePages::Madvise);
    let rig = Rig::new(system(0, 0), options);
    rig.mock.set_threaded(true);
    let blocks: Vec<_> = (0..20 * BLOCKS).map(|_| rig.alloc(BLOCK)).collect();
    blocks.iter().step_by(16).for_each(|&block| rig.free(block));
    let mut turns = 0;
    while rig.mock.has_purger() {
        rig.mock.advance(200);
        rig.mock.run_purger();
        turns += 1;
        assert!(turns < 100, "{:?}", rig.figures());
    }
    assert!(turns > 0 && rig.figures().held > 0, "{:?}", rig.figures());
}

#[test]
fn the_soft_limit_splits_frames_and_counts_what_is_held() {
    let limit = 48 * MIB;
    let rig = Rig::new(system(0, 0), patient(HugePages::Madvise).with_soft_limit(limit));
    rig.allocator.refresh_limits(false);
    let blocks: Vec<_> = (0..40 * MIB / BLOCK).map(|_| rig.alloc(BLOCK)).collect();
    // The first half stays dense, one block in 16 free; of the second, every second block is.
    let (dense, sparse) = blocks.split_at(blocks.len() / 2);
    dense.iter().step_by(16).for_each(|&block| rig.free(block));
    sparse.iter().step_by(2).for_each(|&block| rig.free(block));
    for _ in 0..15 {
        rig.alloc(MIB);
        let figures = rig.figures();
        assert!(figures.active + figures.dirty <= limit, "{figures:?}");
    }
    let figures = rig.figures();
    assert!(figures.splits > 0 && figures.held > 0 && figures.held <= figures.dirty, "{figures:?}");
    assert_eq!(figures.limits.soft_crossings, 0, "what was free sufficed");
}

#[test]
fn a_refused_purge_and_refused_advice_leave_everything_usable() {
    let rig = Rig::new(system(0, 0), patient(HugePages::Madvise));
    let frames: Vec<_> = rig.fill_frames(2).into_values().collect();
    rig.mock.fail_after(Call::Purge, 0);
    rig.mock.fail_after(Call::Advise, 0);
    for blocks in &frames {
        blocks.iter().step_by(2).for_each(|&block| rig.free(block));
    }
    rig.allocator.trim(0);
    rig.mock.heal();
    for blocks in &frames {
        blocks.iter().skip(1).step_by(2).for_each(|&block| rig.free(block));
    }
    rig.allocator.trim(0);
    let fresh: Vec<_> = (0..2 * BLOCKS).map(|_| rig.alloc(BLOCK)).collect();
    fresh.into_iter().for_each(|block| rig.free(block));
    rig.allocator.trim(0);
}

#[test]
fn the_limit_counts_whole_frames_and_leaves_room_for_less() {
    let rig = Rig::new(system(100, 0), patient(HugePages::Hugetlb).with_limit(9 * MIB));
    let mut blocks = Vec::new();
    loop {
        let block = rig.try_alloc(BLOCK);
        if block.is_null() {
            break;
        }
        blocks.push(block);
    }
    assert_eq!(rig.figures().mapped, 9 * MIB);
    assert_eq!(rig.figures().active, 9 * MIB);
}

#[test]
fn auto_opens_frames_one_at_a_time_for_small_blocks_beyond_8_mib() {
    let rig = Rig::new(system(100, 2), patient(HugePages::Auto));
    let mut blocks = Vec::new();
    while rig.figures().mapped + MIB < AUTO_FROM {
        assert_eq!((rig.mock.count(Call::HugeSystem), rig.mock.count(Call::Advise)), (0, 0));
        blocks.extend((0..MIB / SMALL).map(|_| rig.alloc(SMALL)));
    }
    let mut opened = BTreeSet::new();
    for frames in 1..=20 {
        let (more, frame, left) = rig.until_opened(2 * AUTO_FROM / SMALL);
        blocks.extend(more);
        assert!(opened.insert(frame.expect("a frame is opened")));
        // The first one comes when what was there before is full.
        assert!(frames == 1 || left == 0, "{left} frames stay in ordinary pages");
        assert_eq!(rig.figures().huge, frames * HUGE);
    }
    assert_eq!((rig.mock.count(Call::HugeSystem), rig.mock.count(Call::MapReserved)), (1, 0));
    assert_eq!(rig.figures().huge_fallback, 0);
    // What is resident of the last one is dirty until it is used.
    let figures = rig.figures();
    assert!(figures.dirty > 0 && figures.dirty < HUGE, "{figures:?}");
    blocks.into_iter().for_each(|block| rig.free(block));
    // SAFETY: our heap.
    unsafe { rig.allocator.trim_all(rig.heap.cast(), 0) };
    let figures = rig.figures();
    assert_eq!((figures.active, figures.dirty, figures.held), (0, 0, 0));
    assert_eq!(figures.mapped, figures.clean);
}

/// Below 32 MiB frames are for heaps that grow by one in a few milliseconds.
#[test]
fn at_leisure_auto_opens_frames_beyond_32_mib_only() {
    let rig = Rig::new(system(0, 0), patient(HugePages::Auto));
    let grow = |ms| {
        rig.mock.advance(ms);
        (0..HUGE / SMALL).for_each(|_| assert!(!rig.alloc(SMALL).is_null()));
        rig.mock.take_advised().len()
    };
    while rig.figures().mapped <= 32 * MIB - 8 * MIB {
        assert_eq!(grow(9), 0);
    }
    // Whoever begins to hurry has one from the second frame on.
    assert!((0..3).map(|_| grow(1)).sum::<usize>() >= 1);
    while rig.figures().mapped <= 32 * MIB {
        assert_eq!(grow(9), 0);
    }
    let opened: usize = (0..20).map(|_| grow(1000)).sum();
    assert!(opened >= 18, "{opened} frames of 20");
}

#[test]
fn auto_opens_no_frame_for_large_blocks() {
    let rig = Rig::new(system(0, 0), patient(HugePages::Auto));
    let blocks: Vec<_> =
        [300 << 10, 20 * MIB, MIB, 2 * MIB, 300 << 10, 7 * MIB, 64 * MIB].map(|size| rig.alloc(size)).into();
    assert_eq!((rig.mock.count(Call::HugeSystem), rig.mock.count(Call::Advise), rig.figures().huge), (1, 0, 0));
    // Nor later for small ones in what was theirs.
    blocks.iter().for_each(|&block| rig.free(block));
    for _ in 0..HUGE / SMALL {
        let small = rig.alloc(SMALL);
        assert!(blocks.iter().any(|block| block.addr() / HUGE <= small.addr() / HUGE));
    }
    assert_eq!((rig.mock.count(Call::Advise), rig.figures().huge), (0, 0));
}

#[test]
fn auto_advises_nothing_and_misses_nothing_where_the_system_decides() {
    let systems = [
        HugeSystem::default(),
        HugeSystem { transparent: Transparent::Always, ..system(0, 0) },
        HugeSystem { transparent: Transparent::Never, ..system(0, 0) },
        HugeSystem { forbidden: true, ..system(0, 0) },
        HugeSystem { bytes: 512 * MIB, ..system(0, 0) },
    ];
    for system in systems {
        let rig = Rig::new(system, patient(HugePages::Auto));
        let blocks: Vec<_> = (0..2 * AUTO_FROM / SMALL).map(|_| rig.alloc(SMALL)).collect();
        let figures = rig.figures();
        assert_eq!((figures.huge, figures.huge_fallback), (0, 0), "{system:?}");
        assert_eq!((rig.mock.count(Call::HugeSystem), rig.mock.count(Call::Advise)), (1, 0), "{system:?}");
        blocks.into_iter().for_each(|block| rig.free(block));
    }
}

#[test]
fn after_a_slow_frame_the_next_ones_stay_in_ordinary_pages() {
    let rig = Rig::new(system(0, 0), patient(HugePages::Auto));
    let mut opened = 0;
    let mut next = |rig: &Rig, ns: u64| {
        rig.mock.touch_takes(ns);
        let (_, frame, left) = rig.until_opened(400 * HUGE / SMALL);
        assert!(frame.is_some(), "none in {left} frames");
        opened += HUGE;
        assert_eq!(rig.figures().huge, opened);
        left
    };
    next(&rig, SLOW);
    assert_eq!(next(&rig, SLOW), 64);
    assert_eq!(next(&rig, 0), 128, "twice as many after the second");
    // A fast one halves it.
    assert_eq!(next(&rig, SLOW), 0);
    assert_eq!(next(&rig, 0), 128);
    for _ in 0..10 {
        assert_eq!(next(&rig, 0), 0, "as long as they are fast");
    }
    next(&rig, SLOW);
    assert_eq!(next(&rig, 0), 64);
    assert_eq!(rig.figures().huge_fallback, 0);
}

#[test]
fn after_refused_advice_auto_opens_no_frame_for_a_while() {
    let rig = Rig::new(system(0, 0), patient(HugePages::Auto));
    rig.mock.fail_nth(Call::Advise, 1);
    let (blocks, frame, _) = rig.until_opened(3 * AUTO_FROM / SMALL);
    assert_eq!((frame, rig.mock.count(Call::Advise)), (None, 1));
    assert_eq!((rig.figures().huge, rig.figures().huge_fallback), (0, 0));
    for (id, &block) in blocks.iter().enumerate() {
        // SAFETY: ours.
        unsafe { pattern::fill(block, SMALL, id as u64) };
    }
    for (id, &block) in blocks.iter().enumerate() {
        // SAFETY: ours.
        unsafe { pattern::check(block, SMALL, id as u64) };
        rig.free(block);
    }
    // SAFETY: our heap.
    unsafe { rig.allocator.trim_all(rig.heap.cast(), 0) };
    let figures = rig.figures();
    assert_eq!((figures.active, figures.dirty, figures.huge), (0, 0, 0));
}

/// Pages are never moved into or out of an opened frame.
#[test]
fn recycling_leaves_opened_frames_whole() {
    let rig = Rig::new(system(0, 0), patient(HugePages::Auto));
    let (mut small, mut frames) = (Vec::new(), BTreeSet::new());
    for _ in 0..8 {
        let (blocks, frame, _) = rig.until_opened(2 * AUTO_FROM / SMALL);
        small.extend(blocks);
        frames.insert(frame.expect("a frame is opened") / HUGE);
    }
    let larges: Vec<_> = (0..16).map(|_| rig.alloc(MIB)).collect();
    // What is dirty then is in frames, and in ordinary pages.
    small.into_iter().for_each(|block| rig.free(block));
    larges.iter().step_by(2).for_each(|&block| rig.free(block));
    // SAFETY: our heap.
    unsafe { rig.allocator.settle(rig.heap, false) };
    let blocks: Vec<_> = (0..8).map(|i| rig.alloc(3 * MIB + i * MIB)).collect();
    let moved = rig.mock.take_moved();
    assert!(!moved.is_empty());
    for (from, to, len) in moved {
        for start in [from, to] {
            let touched = start / HUGE..=(start + len - 1) / HUGE;
            assert!(touched.clone().all(|frame| !frames.contains(&frame)), "{start:#x}+{len:#x}");
        }
    }
    blocks.into_iter().chain(larges.into_iter().skip(1).step_by(2)).for_each(|block| rig.free(block));
    rig.allocator.trim(0);
    assert_eq!((rig.figures().active, rig.figures().dirty), (0, 0));
}

#[test]
fn auto_opens_no_frame_for_the_shortest_large_blocks() {
    let rig = Rig::new(system(0, 0), patient(HugePages::Auto));
    (0..2 * AUTO_FROM / BLOCK).for_each(|_| _ = rig.alloc(BLOCK));
    assert_eq!((rig.mock.count(Call::Advise), rig.figures().huge), (0, 0));
}

#[test]
fn no_pages_are_moved_into_a_frame_that_is_just_opened() {
    let rig = Rig::new(system(0, 0), patient(HugePages::Auto));
    let donors = [(); 2].map(|()| (rig.alloc(MIB), rig.alloc(SMALL + 1)).0);
    rig.until_opened(2 * AUTO_FROM / SMALL);
    // What is left of the frame is less than a donor has.
    while rig.figures().dirty >= MIB / 2 {
        rig.alloc(SMALL);
    }
    donors.into_iter().for_each(|block| rig.free(block));
    // SAFETY: our heap.
    let block = unsafe { rig.allocator.alloc(rig.heap, 256 << 10, HUGE) };
    assert!(!block.is_null());
    let frames = rig.mock.take_advised();
    for (_, to, len) in rig.mock.take_moved() {
        assert!(
            frames.iter().all(|&(start, whole, _)| to + len <= start || start + whole <= to),
            "{to:#x}+{len:#x}"
        );
    }
}

#[test]
fn the_rest_of_an_opened_frame_keeps_no_pages_from_being_moved() {
    let rig = Rig::new(system(0, 0), patient(HugePages::Auto));
    let donors = [(); 2].map(|()| (rig.alloc(MIB), rig.alloc(SMALL + 1)).0);
    rig.until_opened(2 * AUTO_FROM / SMALL);
    assert!(rig.figures().dirty > MIB, "more than a donor has");
    donors.into_iter().for_each(|block| rig.free(block));
    rig.alloc(4 * MIB);
    assert_eq!(rig.mock.take_moved().iter().map(|&(.., len)| len).sum::<usize>(), 2 * MIB);
}

/// The frame that a block grew into was opened later, by a touch for another span: it wrote into the block.
#[test]
fn a_large_block_that_grows_into_an_offered_frame_keeps_what_is_in_it() {
    let rig = Rig::new(system(0, 0), patient(HugePages::Auto));
    // Enough for regions of many frames.
    (0..64 * MIB / SMALL).for_each(|_| assert!(!rig.alloc(SMALL).is_null()));
    // Blocks in address order, up to the end of a frame.
    let mut blocks = vec![rig.alloc(BLOCK)];
    let last = loop {
        let block = rig.alloc(BLOCK);
        let follows = blocks.last().is_some_and(|before| before.addr() + BLOCK == block.addr());
        if follows && (block.addr() + BLOCK).is_multiple_of(HUGE) {
            break block;
        }
        blocks.push(block);
        assert!(blocks.len() < 40 * BLOCKS);
    };
    rig.mock.take_advised();
    // SAFETY: our blocks.
    unsafe {
        assert_eq!(rig.allocator.realloc(rig.heap, last, 2 * BLOCK, 16), last);
        last.write_bytes(0xAA, 2 * BLOCK);
        rig.free(blocks.pop().unwrap());
        rig.alloc(BLOCK);
        assert!((0..2 * BLOCK).all(|at| last.add(at).read() == 0xAA));
    }
}

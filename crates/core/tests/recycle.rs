//! Recycling: large blocks take the dirty pages of free runs that are too short for them.
#![cfg(not(loom))]

mod common;

use common::Owned;
use common::oracle::{HEAPS, Op, Oracle, THREADS};
use common::pattern;
use common::random::{Random, seed};
use stratalloc_core::class::SLICE;
use stratalloc_core::heap::Heap;
use stratalloc_core::options::Options;
use stratalloc_core::os::Moved;
use stratalloc_core::page_heap::PIECE;
use stratalloc_core::stats::Snapshot;
use stratalloc_os::mock::{Call, Mock};

const MIB: usize = 1 << 20;
/// Bytes of the shortest piece that is moved.
const SHORT: usize = PIECE * SLICE;
/// Bytes of a large block that keeps two free runs apart.
const WALL: usize = 64 << 10;
/// Refusals in a row after which the system is not asked any more.
const PATIENCE: u64 = 64;

struct Rig {
    mock: Mock,
    allocator: Owned,
    heap: *mut Heap,
}

/// A block with its pattern.
type Live = (*mut u8, usize, u64);

/// No purge but by `trim`.
fn patient() -> Options {
    Options::DEFAULT.with_purge_delay(3_600_000).with_dirty_min(1 << 30).with_purge_thread(false)
}

impl Rig {
    /// With one clean run of 30 MiB: what is longer would be unmapped.
    fn new(options: Options) -> Self {
        let mock = Mock::new(4096);
        let allocator = Owned::new(&mock);
        allocator.config.apply(&options);
        let heap = allocator.adopt();
        assert!(!heap.is_null());
        let rig = Self { mock, allocator, heap };
        rig.free(rig.alloc(30 * MIB));
        rig.allocator.trim(0);
        rig.mock.take_purged();
        assert_eq!((rig.dirty(), rig.figures().mapped), (0, 30 * MIB));
        rig
    }

    fn alloc(&self, size: usize) -> *mut u8 {
        // SAFETY: our heap.
        let block = unsafe { self.allocator.alloc(self.heap, size, 16) };
        assert!(!block.is_null());
        block
    }

    fn zeroed(&self, size: usize) -> *mut u8 {
        // SAFETY: our heap; the block is ours.
        unsafe {
            let block = self.allocator.alloc_zeroed(self.heap, size, 16);
            assert!(!block.is_null());
            pattern::check_zero(block, size);
            block
        }
    }

    fn free(&self, block: *mut u8) {
        // SAFETY: our heap and block.
        unsafe { self.allocator.dealloc(self.heap, block) };
    }

    fn filled(&self, size: usize, id: u64) -> Live {
        let block = self.alloc(size);
        // SAFETY: ours.
        unsafe { pattern::fill(block, size, id) };
        (block, size, id)
    }

    /// Free runs of so many bytes, all dirty and in address order, and the blocks that keep them apart.
    fn apart(&self, sizes: &[usize]) -> (Vec<usize>, Vec<Live>) {
        let (runs, walls): (Vec<_>, Vec<_>) = sizes
            .iter()
            .enumerate()
            .map(|(i, &size)| (self.filled(size, 1000 + i as u64).0, self.filled(WALL, i as u64)))
            .unzip();
        let dirty = self.dirty();
        runs.iter().for_each(|&block| self.free(block));
        assert_eq!(self.dirty(), dirty + sizes.iter().sum::<usize>());
        (runs.iter().map(|block| block.addr()).collect(), walls)
    }

    /// Checks contents, frees everything and gives it back.
    fn finish(&self, blocks: impl IntoIterator<Item = Live>) {
        for (block, size, id) in blocks {
            // SAFETY: ours.
            unsafe { pattern::check(block, size, id) };
            self.free(block);
        }
        self.allocator.trim(0);
        let figures = self.figures();
        assert_eq!((figures.active, figures.dirty, figures.large_live), (0, 0, 0));
        assert_eq!(figures.mapped, figures.clean);
        assert!(figures.mapped <= self.mock.mapped());
    }

    fn figures(&self) -> Snapshot {
        self.allocator.figures(self.heap)
    }

    fn dirty(&self) -> usize {
        self.figures().dirty
    }

    fn seams(&self) -> usize {
        let mut seams = 0;
        self.allocator.for_each_node(|_, node| {
            seams += node.lock(&self.allocator.os, 4).unwrap().pages.figures.seams;
        });
        seams
    }

    fn remaps(&self) -> u64 {
        self.mock.count(Call::Remap)
    }

    /// Bytes moved since the last call of this.
    fn moved(&self) -> usize {
        self.mock.take_moved().iter().map(|&(_, _, len)| len).sum()
    }
}

/// Blocks that nobody looks into.
fn unread(blocks: &[*mut u8]) -> impl Iterator<Item = Live> {
    blocks.iter().map(|&block| (block, 0, 0))
}

#[test]
fn a_large_block_takes_the_dirty_pages_of_runs_that_are_too_short_for_it() {
    let rig = Rig::new(patient());
    let (runs, walls) = rig.apart(&[MIB, MIB, MIB, MIB]);
    let before = rig.figures();
    let block = rig.alloc(3 * MIB);
    let after = rig.figures();
    assert_eq!((after.active - before.active, before.dirty - after.dirty), (3 * MIB, 3 * MIB));
    let moved = rig.mock.take_moved();
    for (i, &(from, to, len)) in moved.iter().enumerate() {
        assert_eq!((to, len), (block.addr() + i * MIB, MIB), "lowest first");
        assert!(runs.contains(&from));
    }
    assert_eq!(moved.len(), 3);
    assert_eq!((after.mapped, after.peak_dirty), (before.mapped, before.peak_dirty));
    assert_eq!((after.purged, rig.mock.take_purged().len()), (before.purged, 0));
    assert!(rig.seams() >= 3);
    // SAFETY: ours.
    unsafe { pattern::fill(block, 3 * MIB, 50) };
    rig.finish(walls.into_iter().chain([(block, 3 * MIB, 50)]));
}

#[test]
fn what_is_dirty_in_the_block_s_own_run_is_used_where_it_lies() {
    let rig = Rig::new(patient());
    let (_, walls) = rig.apart(&[MIB, MIB]);
    // A run with dirty pages, and clean ones behind.
    let own = rig.zeroed(MIB + WALL);
    rig.free(own);
    let block = rig.alloc(3 * MIB);
    assert_eq!(block, own);
    assert_eq!(rig.mock.take_moved().first().map(|&(_, to, _)| to), Some(own.addr() + MIB + WALL));
    assert_eq!(rig.dirty(), WALL);
    rig.finish(walls.into_iter().chain(unread(&[block])));
}

#[test]
fn no_pages_move_where_too_few_are_needed_or_to_be_had() {
    let rig = Rig::new(patient());
    let (_, walls) = rig.apart(&[MIB, SHORT - SLICE, SHORT - SLICE, SHORT - SLICE]);
    let fits = rig.alloc(MIB);
    let large = rig.alloc(2 * MIB);
    assert_eq!((rig.remaps(), rig.dirty()), (0, 3 * (SHORT - SLICE)), "all runs are shorter than a piece");
    rig.finish(walls.into_iter().chain(unread(&[fits, large])));
}

#[test]
fn what_is_left_of_a_run_is_dirty_and_as_old_as_it_was() {
    let rig = Rig::new(patient().with_purge_delay(1000));
    let (_, walls) = rig.apart(&[MIB, MIB, MIB]);
    rig.mock.advance(600);
    let block = rig.alloc(MIB + MIB / 2);
    assert_eq!((rig.dirty(), rig.moved()), (MIB + MIB / 2, MIB + MIB / 2));
    rig.mock.advance(400);
    assert_eq!(rig.allocator.trim(1 << 30), 0, "exactly the delay is not beyond it");
    rig.mock.advance(1);
    assert_eq!(rig.allocator.trim(1 << 30), MIB + MIB / 2);
    rig.finish(walls.into_iter().chain(unread(&[block])));
}

#[test]
fn zeroed_blocks_take_no_pages() {
    let rig = Rig::new(patient());
    let (_, walls) = rig.apart(&[MIB, MIB]);
    let block = rig.zeroed(3 * MIB);
    assert_eq!((rig.remaps(), rig.dirty()), (0, 2 * MIB));
    rig.finish(walls.into_iter().chain(unread(&[block])));
}

#[test]
fn slices_that_pages_were_moved_to_or_from_read_as_zero_in_zeroed_blocks() {
    for outcome in [Moved::SourceZero, Moved::SourceGone] {
        let rig = Rig::new(patient());
        rig.mock.remap_as(outcome);
        let (runs, walls) = rig.apart(&[MIB, MIB]);
        let block = rig.alloc(MIB + MIB / 2);
        assert_eq!(rig.moved(), MIB + MIB / 2);
        // As the pages came, with old contents.
        rig.free(block);
        let again = rig.zeroed(MIB + MIB / 2);
        assert_eq!(again, block);
        // The sources: wholly, and in part, with what is dirty still.
        let sources = [rig.zeroed(MIB), rig.zeroed(MIB)];
        if outcome == Moved::SourceZero {
            assert!(sources.iter().all(|source| runs.contains(&source.addr())));
        }
        rig.finish(walls.into_iter().chain(unread(&[again, sources[0], sources[1]])));
    }
}

#[test]
fn addresses_that_went_with_the_pages_are_forgotten() {
    let rig = Rig::new(patient());
    rig.mock.remap_as(Moved::SourceGone);
    let (_, walls) = rig.apart(&[MIB, MIB, MIB, MIB]);
    let (before, system) = (rig.figures(), rig.mock.mapped());
    let block = rig.filled(2 * MIB + MIB / 2, 50);
    let after = rig.figures();
    assert_eq!(rig.moved(), block.1);
    assert_eq!((before.mapped - after.mapped, before.dirty - after.dirty), (block.1, block.1));
    assert_eq!(system - rig.mock.mapped(), block.1);
    // All goes on: the rest of the third run, the fourth, and regions anew.
    let more: Vec<_> = (60..80).map(|id| rig.filled(MIB / 2 + (id as usize % 7) * MIB / 2, id)).collect();
    rig.finish(walls.into_iter().chain([block]).chain(more));
}

#[test]
fn addresses_that_went_from_the_middle_of_a_run_leave_what_lies_beside_them() {
    let rig = Rig::new(patient());
    // One run: dirty, a clean slice, a short piece that is dirty.
    let low = rig.alloc(MIB);
    let hole = rig.alloc(WALL);
    let high = rig.alloc(SHORT);
    let wall = rig.filled(WALL, 1);
    // Its pages move on, and nothing else is dirty.
    // SAFETY: our block.
    let elsewhere = unsafe { rig.allocator.realloc(rig.heap, hole, 2 * MIB, 16) };
    assert_eq!((rig.moved(), rig.dirty()), (WALL, 0));
    rig.free(low);
    rig.free(high);
    rig.mock.remap_as(Moved::SourceGone);
    rig.mock.fail_nth(Call::Remap, 1);
    let before = rig.figures();
    let (to, size) = (rig.filled(2 * MIB, 3), MIB + SHORT);
    // The short piece was refused, the other one went, and what was left is a run of its own.
    let expected = [(low.addr(), to.0.addr(), MIB), (high.addr(), to.0.addr() + MIB, SHORT)];
    assert_eq!(rig.mock.take_moved(), expected);
    let after = rig.figures();
    assert_eq!((before.mapped - after.mapped, after.dirty), (size, 0));
    let again = rig.zeroed(WALL);
    assert_eq!(again, hole);
    rig.finish([wall, to, (again, 0, 0), (elsewhere, 0, 0)]);
}

#[test]
fn a_refusal_costs_nothing_but_the_call() {
    let rig = Rig::new(patient());
    rig.mock.remap_as(Moved::Refused);
    let (runs, walls) = rig.apart(&[MIB, MIB]);
    let before = rig.figures();
    let block = rig.filled(3 * MIB, 50);
    let after = rig.figures();
    assert!(rig.remaps() > 0);
    assert_eq!((after.dirty, after.mapped, rig.moved()), (before.dirty, before.mapped, 0));
    assert_eq!(rig.seams(), 0);
    // The runs are whole.
    let again = [rig.alloc(MIB), rig.alloc(MIB)];
    assert!(again.iter().all(|block| runs.contains(&block.addr())));
    rig.finish(walls.into_iter().chain([block]).chain(unread(&again)));
}

#[test]
fn a_system_that_always_refuses_is_not_asked_any_more() {
    let rig = Rig::new(patient());
    // Pieces that are refused in one call.
    let (_, walls) = rig.apart(&[SHORT; 8]);
    let mut blocks = Vec::new();
    let mut ask = |times: u64| {
        let before = rig.remaps();
        blocks.extend((0..times).map(|_| rig.alloc(2 * SHORT)));
        rig.remaps() - before
    };
    rig.mock.fail_after(Call::Remap, 0);
    assert_eq!(ask(PATIENCE - 1), PATIENCE - 1);
    // One that is not refused starts the count again.
    rig.mock.heal();
    assert_eq!((ask(1), rig.moved()), (2, 2 * SHORT));
    rig.mock.fail_after(Call::Remap, 0);
    assert_eq!(ask(PATIENCE), PATIENCE);
    rig.mock.heal();
    assert_eq!((ask(10), rig.moved()), (0, 0), "it is not known that it would move them now");
    assert_eq!(rig.dirty(), 6 * SHORT);
    rig.finish(walls.into_iter().chain(unread(&blocks)));
}

#[test]
fn what_is_refused_as_a_whole_moves_in_halves() {
    let rig = Rig::new(patient());
    let (runs, walls) = rig.apart(&[MIB]);
    rig.mock.fail_nth(Call::Remap, 1);
    let block = rig.alloc(2 * MIB);
    let (from, to, half) = (runs[0], block.addr(), MIB / 2);
    assert_eq!(rig.mock.take_moved(), [(from + half, to, half), (from, to + half, half)]);
    assert_eq!((rig.remaps(), rig.dirty()), (3, 0));
    rig.finish(walls.into_iter().chain(unread(&[block])));
}

#[test]
fn a_block_that_grows_in_place_takes_pages_for_what_it_grew_by() {
    type Grow = fn(&Rig, *mut u8, usize) -> bool;
    // SAFETY: the tests' own blocks.
    let expand: Grow = |rig, block, size| unsafe { rig.allocator.expand(block, size) };
    // SAFETY: as above.
    let realloc: Grow = |rig, block, size| unsafe { rig.allocator.realloc(rig.heap, block, size, 16) == block };
    for (grow, outcome) in
        [(expand, Moved::SourceZero), (realloc, Moved::SourceZero), (realloc, Moved::SourceGone)]
    {
        let rig = Rig::new(patient());
        rig.mock.remap_as(outcome);
        let (_, walls) = rig.apart(&[MIB, MIB]);
        let block = rig.zeroed(2 * MIB + WALL);
        // SAFETY: ours.
        unsafe { pattern::fill(block, 2 * MIB + WALL, 50) };
        assert!(grow(&rig, block, 3 * MIB + WALL));
        assert_eq!(rig.mock.take_moved().iter().map(|&(_, to, _)| to).min(), Some(block.addr() + 2 * MIB + WALL));
        assert_eq!(rig.dirty(), MIB);
        // SAFETY: ours.
        unsafe {
            pattern::check(block, 2 * MIB + WALL, 50);
            pattern::fill(block, 3 * MIB + WALL, 51);
        }
        rig.finish(walls.into_iter().chain([(block, 3 * MIB + WALL, 51)]));
    }
}

#[test]
fn a_block_that_moves_brings_its_pages_and_takes_others_for_what_it_grew_by() {
    for outcome in [Moved::SourceZero, Moved::SourceGone] {
        let rig = Rig::new(patient());
        let block = rig.filled(2 * MIB, 50);
        let (_, walls) = rig.apart(&[MIB, MIB]);
        rig.mock.remap_as(outcome);
        let before = rig.figures();
        // SAFETY: our block.
        let moved = unsafe { rig.allocator.realloc(rig.heap, block.0, 5 * MIB, 16) };
        assert!(!moved.is_null() && moved != block.0);
        let moves = rig.mock.take_moved();
        assert_eq!(moves[0], (block.0.addr(), moved.addr(), 2 * MIB), "first its own");
        for (i, &(_, to, len)) in moves[1..].iter().enumerate() {
            assert_eq!((to, len), (moved.addr() + (2 + i) * MIB, MIB));
        }
        assert_eq!((moves.len(), rig.dirty()), (3, 0));
        let gone = if outcome == Moved::SourceGone { 4 * MIB } else { 0 };
        assert_eq!(before.mapped - rig.figures().mapped, gone);
        // SAFETY: ours.
        unsafe {
            pattern::check(moved, 2 * MIB, 50);
            pattern::fill(moved, 5 * MIB, 52);
        }
        rig.finish(walls.into_iter().chain([(moved, 5 * MIB, 52)]));
    }
}

#[test]
fn a_piece_never_crosses_a_seam_of_an_earlier_move() {
    let rig = Rig::new(patient());
    let (_, walls) = rig.apart(&[MIB, MIB]);
    let first = rig.alloc(2 * MIB);
    let wall = rig.filled(MIB + WALL, 50);
    assert_eq!(rig.moved(), 2 * MIB);
    let seam = first.addr() + MIB;
    rig.free(first);
    let second = rig.alloc(5 * MIB);
    let moves = rig.mock.take_moved();
    assert_eq!(moves.iter().map(|&(.., len)| len).sum::<usize>(), 2 * MIB);
    for &(from, _, len) in &moves {
        assert!(from + len <= seam || seam <= from, "{from:#x}+{len:#x} crosses {seam:#x}");
    }
    rig.finish(walls.into_iter().chain([wall]).chain(unread(&[second])));
}

#[test]
fn what_is_unmapped_has_no_seams() {
    let rig = Rig::new(patient());
    let (_, walls) = rig.apart(&[MIB, MIB]);
    let block = rig.alloc(2 * MIB);
    assert!(rig.seams() > 0);
    // Longer than what a purge leaves mapped.
    let behind = rig.alloc(40 * MIB);
    let wall = rig.alloc(WALL);
    rig.finish(walls.into_iter().chain(unread(&[block, behind, wall])));
    let before = rig.seams();
    // Short of addresses, all that is free goes.
    rig.mock.fail_nth(Call::Map, 1);
    // SAFETY: our heap.
    let big = unsafe { rig.allocator.alloc(rig.heap, 600 * MIB, 16) };
    assert!(before > 0 && rig.seams() == 0, "{before} seams, then {}", rig.seams());
    if !big.is_null() {
        rig.free(big);
    }
}

#[test]
fn pages_of_a_run_that_is_wholly_gone_leave_a_seam() {
    let rig = Rig::new(patient());
    rig.mock.remap_as(Moved::SourceGone);
    let (_, walls) = rig.apart(&[MIB]);
    let block = rig.alloc(2 * MIB);
    assert_eq!(rig.moved(), MIB);
    assert!(rig.seams() > 0);
    rig.finish(walls.into_iter().chain(unread(&[block])));
}

#[test]
fn any_life_of_large_blocks_keeps_its_contents_and_figures() {
    let mut random = Random::new(seed("any_life_of_large_blocks_keeps_its_contents_and_figures"));
    let outcomes = [Moved::SourceZero, Moved::SourceZero, Moved::SourceGone, Moved::Refused];
    let options = Options::DEFAULT.with_dirty_min(32 * MIB).with_purge_delay(2000).with_purge_thread(false);
    let mut moved = 0;
    for page in [4096, SLICE] {
        let mut oracle = Oracle::new(page, &options);
        for _ in 0..300 {
            oracle.mock.remap_as(outcomes[random.below(outcomes.len())]);
            let (heap, block) = (random.below(HEAPS), random.below(64));
            let size = (MIB / 4 + random.below(15 * MIB / 4)) >> (2 * random.below(2));
            let step = match random.below(100) {
                _ if oracle.live() > 30 => Op::Dealloc { heap, block },
                0..45 => Op::Alloc { heap, size, align: 16, zeroed: random.below(4) == 0 },
                45..60 => Op::Realloc { heap, block, size },
                60..94 => Op::Dealloc { heap, block },
                94..97 => Op::Pass { ms: random.below(1500) as u64 },
                97 => Op::Trim { heap: None, keep: random.below(8 * MIB) },
                98 => Op::Leave { heap: heap % THREADS },
                _ => Op::Destroy { heap },
            };
            if random.below(8) == 0 {
                oracle.mock.fail_nth(Call::Remap, 1 + random.below(3) as u64);
            }
            oracle.step(&step);
            moved += oracle.mock.take_moved().len();
        }
        oracle.finish();
    }
    assert!(moved > 0);
}

/// Where threads run, a move holds up others: short runs stay where they are.
#[test]
fn with_threads_only_long_pieces_are_moved() {
    for (threaded, expected) in [(false, 2 * MIB + MIB / 2), (true, 2 * MIB)] {
        let rig = Rig::new(patient());
        rig.mock.set_threaded(threaded);
        let (_, walls) = rig.apart(&[MIB / 2, 2 * MIB]);
        let block = rig.filled(8 * MIB, 77);
        assert_eq!(rig.mock.take_moved().iter().map(|&(.., len)| len).sum::<usize>(), expected);
        rig.finish(walls.into_iter().chain([block]));
    }
}

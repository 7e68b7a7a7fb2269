//! The page heap by itself, over addresses that nobody maps: it never touches a slice.
#![cfg(not(loom))]

mod common;

use common::random::{Random, seed};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ops::Deref;
use stratalloc_core::class::SLICE;
use stratalloc_core::directory::{Bit, Directory, WINDOW_BYTES, Window};
use stratalloc_core::page_heap::{Gaps, PIECE, PageHeap, Purpose, Take};
use stratalloc_core::span::{Kind, Span};

/// In the middle of a window.
const BASE: usize = 0x7_8000_0000;

/// Zeroed memory that is given back at the end.
struct Zeroed<T>(*mut T, Layout);

impl<T> Zeroed<T> {
    fn new(bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes, 4096).unwrap();
        // SAFETY: the size is not 0.
        let memory = unsafe { alloc_zeroed(layout) };
        assert!(!memory.is_null());
        Self(memory.cast(), layout)
    }
}

impl<T> Deref for Zeroed<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the types used here are valid when all zero.
        unsafe { &*self.0 }
    }
}

impl<T> Drop for Zeroed<T> {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.0.cast(), self.1) };
    }
}

struct Rig {
    pages: PageHeap,
    directory: Zeroed<Directory>,
    tables: Vec<Zeroed<Window>>,
    _meta: Zeroed<u8>,
}

impl Rig {
    /// A page heap with metadata and a region of so many slices at [`BASE`].
    fn new(slices: usize) -> Self {
        let meta = Zeroed::new(4 << 20);
        let mut rig = Rig {
            pages: PageHeap::new(),
            directory: Zeroed::new(size_of::<Directory>()),
            tables: Vec::new(),
            _meta: meta,
        };
        // SAFETY: ours, aligned, kept to the end.
        unsafe { rig.pages.add_meta(rig._meta.0.addr(), 4 << 20) };
        rig._meta.0.expose_provenance();
        rig.add_region(BASE, slices);
        rig
    }

    fn add_region(&mut self, start: usize, slices: usize) {
        for address in [start, start + slices * SLICE - 1] {
            if self.directory.window(address).is_null() {
                let table = Zeroed::new(WINDOW_BYTES);
                // SAFETY: ours, zeroed, kept to the end.
                assert!(unsafe { self.directory.install(address, table.0) });
                self.tables.push(table);
            }
        }
        // SAFETY: nobody's; its windows are installed.
        unsafe { self.pages.add_region(&self.directory, start, slices) };
    }

    /// Takes slices as `alloc_span` does; the slice index in the first region, and whether it is zero.
    fn take(&mut self, slices: usize, align: usize) -> Option<(*mut Span, usize, bool)> {
        match self.pages.take(&self.directory, slices, align, Purpose::Many) {
            Take::Run(span, zero) => {
                // SAFETY: ours until `put`.
                unsafe {
                    assert_eq!((*span).slices as usize, slices);
                    (*span).kind = Kind::Small;
                    self.directory.set_range((*span).start, slices, span);
                    Some((span, (*span).start.wrapping_sub(BASE) / SLICE, zero))
                }
            }
            Take::NeedRegion => None,
            Take::NeedMeta => panic!("metadata is short"),
        }
    }

    fn at(&mut self, slices: usize) -> usize {
        self.take(slices, 1).expect("slices").1
    }

    /// Gives slices back, of which the first `touched` are dirty.
    fn put(&mut self, index: usize, touched: usize, now: u32) {
        let start = BASE + index * SLICE;
        let span = self.directory.find(start);
        // SAFETY: taken before, not used after.
        unsafe {
            assert!((*span).kind == Kind::Small && (*span).start == start);
            let slices = (*span).slices as usize;
            self.pages.drop_descriptor(span);
            self.pages.put(&self.directory, start, slices, slices, touched, now);
        }
    }

    /// The free run that begins at a slice: its slices and how many of them are dirty.
    fn run(&self, index: usize) -> Option<(usize, usize)> {
        let start = BASE + index * SLICE;
        // SAFETY: descriptors are readable as long as the metadata.
        let span = unsafe { &*self.directory.find(start) };
        (span.kind == Kind::Free && span.start == start).then_some((span.slices as usize, span.dirty as usize))
    }
}

/// What a fork's child may find where a thread was gone in the middle of a release.
#[test]
fn an_entry_that_names_a_run_elsewhere_joins_nothing() {
    let mut rig = Rig::new(200);
    let spans = [(); 8].map(|()| rig.at(10));
    rig.pages.begin_anew();
    let meta = Zeroed::<u8>::new(1 << 20);
    meta.0.expose_provenance();
    // SAFETY: ours, aligned, kept to the end.
    unsafe { rig.pages.add_meta(meta.0.addr(), 1 << 20) };
    rig.put(spans[6], 10, 0);
    let elsewhere = rig.directory.find(BASE + spans[6] * SLICE);
    for (freed, stale) in [(1, 2), (4, 3)] {
        let (first, last) = (BASE + spans[stale] * SLICE, BASE + (spans[stale] + 9) * SLICE);
        // SAFETY: our directory; the span there is never used again.
        unsafe {
            rig.directory.set(first, elsewhere);
            rig.directory.set(last, elsewhere);
        }
        rig.put(spans[freed], 10, 0);
        assert_eq!(rig.run(spans[freed]), Some((10, 10)));
        assert_eq!(rig.run(spans[6]), Some((10, 10)));
    }
}

#[test]
fn the_shortest_run_that_is_long_enough_is_taken() {
    let mut rig = Rig::new(200);
    let lengths = [8, 1, 4, 1, 16, 1, 70, 1, 90, 1];
    let starts = lengths.map(|slices| rig.at(slices));
    for (start, slices) in starts.into_iter().zip(lengths) {
        if slices > 1 {
            rig.put(start, 0, 0);
        }
    }
    assert_eq!(rig.at(4), starts[2]);
    assert_eq!(rig.at(3), starts[9] + 1, "the rest of the region, 7 slices");
    assert_eq!(rig.at(5), starts[0]);
    assert_eq!(rig.at(12), starts[4]);
    // 70 and 90 are in bins of several lengths.
    assert_eq!(rig.at(80), starts[8]);
    assert_eq!(rig.at(66), starts[6]);
    assert!(rig.take(17, 1).is_none(), "no run is that long any more");
}

#[test]
fn neighbours_are_joined_at_once() {
    let mut rig = Rig::new(30);
    let starts = [10, 5, 15].map(|slices| rig.at(slices));
    assert_eq!(starts, [0, 10, 15]);
    rig.put(0, 0, 1);
    rig.put(15, 0, 2);
    assert_eq!((rig.run(0), rig.run(15)), (Some((10, 0)), Some((15, 0))));
    rig.put(10, 5, 3);
    assert_eq!(rig.run(0), Some((30, 5)));
    assert_eq!((rig.run(10), rig.run(15)), (None, None));
    // Between its ends a run has no entries.
    assert!((1..29).all(|slice| rig.directory.is_foreign(rig.directory.find(BASE + slice * SLICE))));
    assert_eq!(rig.pages.figures.active, 0);
}

#[test]
fn adjacent_regions_make_one_run_and_others_do_not() {
    let mut rig = Rig::new(10);
    rig.add_region(BASE + 10 * SLICE, 6);
    assert_eq!(rig.run(0), Some((16, 0)));
    rig.add_region(BASE + 17 * SLICE, 4);
    assert_eq!((rig.run(0), rig.run(17)), (Some((16, 0)), Some((4, 0))));
    // Over the end of a window.
    let end = (BASE >> 32 << 32) + (1 << 32);
    rig.add_region(end - 3 * SLICE, 3);
    rig.add_region(end, 9);
    assert_eq!(rig.run((end - BASE) / SLICE - 3), Some((12, 0)));
    assert_eq!(rig.pages.figures.mapped, 10 + 6 + 4 + 12);
}

#[test]
fn aligned_requests_leave_the_rest_usable() {
    let mut rig = Rig::new(64);
    let first = rig.at(1);
    let (_, start, _) = rig.take(4, 16).unwrap();
    assert_eq!((first, start), (0, 16));
    assert_eq!((rig.run(1), rig.run(20)), (Some((15, 0)), Some((44, 0))));
    assert_eq!(rig.at(15), 1);
    // A run that is long enough only if it happens to be aligned is not taken.
    assert!(rig.take(40, 16).is_none());
    rig.put(16, 0, 0);
    assert_eq!(rig.run(16), Some((48, 0)));
}

#[test]
fn dirty_slices_are_remembered_one_by_one() {
    let mut rig = Rig::new(8);
    let (_, start, zero) = rig.take(8, 1).unwrap();
    assert!(zero, "fresh memory");
    rig.put(start, 3, 0);
    assert_eq!((rig.run(0), rig.pages.figures.dirty), (Some((8, 3)), 3));
    let (_, _, zero) = rig.take(2, 1).unwrap();
    assert!(!zero);
    assert_eq!((rig.run(2), rig.pages.figures.dirty), (Some((6, 1)), 1), "in a span nothing is dirty");
    let (_, _, zero) = rig.take(2, 1).unwrap();
    assert!(!zero, "one of the two is dirty");
    let (_, _, zero) = rig.take(4, 1).unwrap();
    assert!(zero, "never touched");
    assert_eq!(rig.pages.figures.dirty, 0);
    // SAFETY: the window is installed; one thread.
    assert_eq!(unsafe { rig.directory.count(Bit::Dirty, BASE, 8) }, 0);
    assert_eq!((rig.pages.figures.active, rig.pages.figures.peak_active, rig.pages.figures.peak_dirty), (8, 8, 8));
}

#[test]
fn a_block_grows_into_the_free_run_behind_it_only() {
    let mut rig = Rig::new(20);
    let starts = [4, 4, 4].map(|slices| rig.at(slices));
    rig.put(starts[1], 4, 0);
    let behind = BASE + 4 * SLICE;
    assert!(!rig.pages.take_at(&rig.directory, behind, 5, None), "too short");
    assert!(!rig.pages.take_at(&rig.directory, behind + SLICE, 1, None), "inside a run");
    assert!(!rig.pages.take_at(&rig.directory, BASE + 8 * SLICE, 1, None), "in use");
    assert!(!rig.pages.take_at(&rig.directory, BASE + 20 * SLICE, 1, None), "not ours");
    assert!(rig.pages.take_at(&rig.directory, behind, 3, None));
    assert_eq!((rig.run(7), rig.pages.figures.active, rig.pages.figures.dirty), (Some((1, 1)), 11, 1));
    assert!(rig.pages.take_at(&rig.directory, behind + 3 * SLICE, 1, None));
    assert_eq!(rig.pages.figures.active, 12);
}

#[test]
fn the_oldest_dirty_run_is_purged_first_and_joins_nobody_meanwhile() {
    let mut rig = Rig::new(40);
    let starts = [4, 1, 4, 1, 4, 1].map(|slices| rig.at(slices));
    rig.put(starts[2], 4, 100);
    rig.put(starts[0], 2, 300);
    rig.put(starts[4], 4, 200);
    assert_eq!(rig.pages.oldest_stamp(), Some(100));
    let run = rig.pages.begin_purge(&rig.directory);
    // SAFETY: the run is ours until `end_purge`.
    unsafe {
        assert_eq!(((*run).start, (*run).dirty, (*run).kind), (BASE + starts[2] * SLICE, 4, Kind::Purging));
        assert_eq!(rig.directory.find((*run).start), run);
        // Its neighbour is freed: they do not touch the run in hand.
        rig.put(starts[1], 1, 400);
        assert_eq!(rig.run(starts[0]), Some((5, 3)));
        rig.pages.cleaned(&rig.directory, run, (*run).start + 2 * SLICE, 2);
        assert_eq!(((*run).dirty, rig.pages.figures.dirty), (2, 2 + 3 + 4));
        rig.pages.end_purge(&rig.directory, run, false, 500);
    }
    assert_eq!(rig.run(starts[0]), Some((9, 5)), "now they are one");
    let oldest = rig.pages.begin_purge(&rig.directory);
    // SAFETY: as above.
    unsafe {
        assert_eq!((*oldest).start, BASE + starts[4] * SLICE);
        rig.pages.cleaned(&rig.directory, oldest, (*oldest).start, 4);
        rig.pages.end_purge(&rig.directory, oldest, false, 500);
    }
    // The joined run's age is the mean over its dirty slices: 2 of 300, 1 of 400, 2 of 500.
    assert!(matches!(rig.pages.oldest_stamp(), Some(399..=401)), "{:?}", rig.pages.oldest_stamp());
}

#[test]
fn of_equal_runs_the_dirty_one_is_taken_first() {
    let mut rig = Rig::new(40);
    let starts = [4, 1, 4, 1, 4, 1].map(|slices| rig.at(slices));
    rig.put(starts[0], 0, 0);
    rig.put(starts[2], 4, 0);
    rig.put(starts[4], 0, 0);
    assert_eq!(rig.at(4), starts[2]);
}

#[test]
fn large_blocks_go_where_the_fewest_clean_slices_are_needed() {
    // More than 4 MiB.
    const BLOCK: usize = (6 << 20) / SLICE;
    let mut rig = Rig::new(4 * BLOCK);
    let starts = [BLOCK, 1, BLOCK + 40, 1, BLOCK + 20, 1].map(|slices| rig.at(slices));
    rig.put(starts[0], 0, 0);
    rig.put(starts[2], BLOCK - 10, 0);
    rig.put(starts[4], 20, 0);
    assert_eq!(rig.at(BLOCK), starts[2], "all but ten of its slices are there already");
    assert_eq!(rig.at(BLOCK), starts[4]);
    assert_eq!(rig.at(BLOCK), starts[0]);
}

#[test]
fn a_run_that_is_dirty_at_its_end_is_used_from_there() {
    let mut rig = Rig::new(40);
    let starts = [6, 4, 1].map(|slices| rig.at(slices));
    rig.put(starts[0], 0, 0);
    rig.put(starts[1], 4, 0);
    assert_eq!(rig.run(0), Some((10, 4)));
    assert_eq!(rig.at(3), 7);
    assert_eq!(rig.run(0), Some((7, 1)));
    assert_eq!(rig.at(7), 0);
}

#[test]
fn what_was_given_back_and_is_taken_again_is_regretted() {
    let mut rig = Rig::new(100);
    let start = rig.at(50);
    rig.put(start, 50, 0);
    rig.pages.figures.recent_purged = 20;
    // Dirty slices are no loss.
    let first = rig.at(30);
    assert_eq!((rig.pages.figures.recent_purged, rig.pages.figures.recent_regret), (20, 0));
    // Of these, 20 are still dirty.
    rig.at(35);
    assert_eq!((rig.pages.figures.recent_purged, rig.pages.figures.recent_regret), (5, 15));
    rig.at(30);
    assert_eq!((rig.pages.figures.recent_purged, rig.pages.figures.recent_regret), (0, 20));
    rig.put(first, 0, 0);
    rig.pages.figures.recent_stamp = 0;
    rig.pages.figures.age(2500);
    assert_eq!(rig.pages.figures.recent_regret, 5, "halved for each of two seconds");
}

#[test]
fn stamps_wrap() {
    let mut rig = Rig::new(20);
    let starts = [1; 6].map(|slices| rig.at(slices));
    rig.put(starts[0], 1, u32::MAX - 10);
    rig.put(starts[2], 1, 5);
    rig.put(starts[4], 1, u32::MAX - 5);
    for expected in [u32::MAX - 10, u32::MAX - 5, 5] {
        assert_eq!(rig.pages.oldest_stamp(), Some(expected));
        let run = rig.pages.begin_purge(&rig.directory);
        // SAFETY: the run is ours until `end_purge`.
        unsafe {
            rig.pages.cleaned(&rig.directory, run, (*run).start, 1);
            rig.pages.end_purge(&rig.directory, run, false, 6);
        }
    }
    assert_eq!(rig.pages.oldest_stamp(), None);
    assert!(rig.pages.begin_purge(&rig.directory).is_null());
}

#[test]
fn released_runs_are_nobody_s() {
    let mut rig = Rig::new(20);
    rig.at(6);
    let second = rig.at(4);
    rig.put(0, 6, 0);
    // SAFETY: the run is ours until `end_purge`, and "unmapped" in between.
    unsafe {
        let run = rig.pages.begin_release(&rig.directory, 1);
        assert_eq!(((*run).start, (*run).slices), (BASE + 10 * SLICE, 10), "the longest");
        rig.pages.end_purge(&rig.directory, run, true, 0);
        assert!(rig.pages.begin_release(&rig.directory, 7).is_null());
        let run = rig.pages.begin_release(&rig.directory, 6);
        rig.pages.end_purge(&rig.directory, run, true, 0);
    }
    assert_eq!((rig.pages.figures.mapped, rig.pages.figures.dirty), (4, 0));
    assert_eq!((rig.run(0), rig.run(10)), (None, None));
    rig.put(second, 4, 0);
    assert_eq!(rig.run(second), Some((4, 4)), "there is nobody to join");
    let mut ours = 0;
    rig.directory.for_each_slice(|_, _| {
        ours += 1;
        1
    });
    assert_eq!(ours, 4);
}

#[test]
fn metadata_is_asked_for_before_it_runs_out() {
    let meta = Zeroed::<u8>::new(8192);
    let directory = Zeroed::<Directory>::new(size_of::<Directory>());
    let mut pages = PageHeap::new();
    assert!(pages.needs_meta());
    assert!(matches!(pages.take(&directory, 1, 1, Purpose::Many), Take::NeedMeta));
    assert!(pages.meta(16, 16).is_null() && pages.descriptor().is_null());
    // SAFETY: ours, aligned, kept to the end.
    unsafe { pages.add_meta(meta.0.expose_provenance(), 8192) };
    assert!(!pages.needs_meta());
    assert!(matches!(pages.take(&directory, 1, 1, Purpose::Many), Take::NeedRegion));
    // A page that must be aligned leaves a gap, which becomes descriptors.
    let first = pages.descriptor();
    assert_eq!(first.addr(), meta.0.addr());
    let page = pages.meta(4096, 4096);
    assert_eq!(page.addr(), meta.0.addr() + 4096);
    assert!(pages.meta(16, 16).is_null());
    let mut descriptors = 1;
    while !pages.needs_meta() {
        let span = pages.descriptor();
        assert!((meta.0.addr() + 128..meta.0.addr() + 4096).contains(&span.addr()));
        descriptors += 1;
    }
    assert!((26..=32).contains(&descriptors), "{descriptors} descriptors in a page");
    assert_eq!(pages.figures.metadata, 8192);
}

/// A rig whose first slices are one free run, in stretches that are dirty and clean in turn; and which has `more` dirty
/// slices elsewhere.
fn striped(stretches: &[(usize, bool)], more: usize) -> Rig {
    let length: usize = stretches.iter().map(|stretch| stretch.0).sum();
    let mut rig = Rig::new(length + more + 2);
    let parts: Vec<_> = stretches.iter().map(|&(slices, dirty)| (rig.at(slices), slices, dirty)).collect();
    rig.at(1);
    if more > 0 {
        let elsewhere = rig.at(more);
        rig.at(1);
        rig.put(elsewhere, more, 0);
    }
    for (start, slices, dirty) in parts {
        rig.put(start, if dirty { slices } else { 0 }, 0);
    }
    rig
}

/// Takes the first `slices` slices and says which of them are noted as clean, as (slice, slices).
fn noted(rig: &mut Rig, slices: usize, gaps: &mut Gaps) -> Vec<(usize, usize)> {
    let taken = rig.pages.take(&rig.directory, slices, 1, Purpose::Large(Some(gaps)));
    // SAFETY: ours.
    assert!(matches!(taken, Take::Run(span, _) if unsafe { (*span).start } == BASE));
    gaps.iter().map(|(at, slices)| ((at - BASE) / SLICE, slices)).collect()
}

#[test]
fn clean_stretches_of_a_request_are_noted_lowest_first_but_not_the_short_ones() {
    let stripes = [(PIECE, false), (1, true), (PIECE - 1, false), (PIECE, true), (PIECE + 3, false), (1, true)];
    let mut rig = striped(&stripes, PIECE);
    let length = stripes.iter().map(|stretch| stretch.0).sum();
    let mut gaps = Gaps::new();
    assert_eq!(noted(&mut rig, length, &mut gaps), [(0, PIECE), (3 * PIECE, PIECE + 3)]);
    let left = |gaps: &Gaps| gaps.iter().map(|(at, slices)| ((at - BASE) / SLICE, slices)).collect::<Vec<_>>();
    gaps.cut_below(BASE + SLICE);
    assert_eq!(left(&gaps), [(3 * PIECE, PIECE + 3)], "what is left of the first is too short");
    gaps.cut_below(BASE + (3 * PIECE + 3) * SLICE);
    assert_eq!(left(&gaps), [(3 * PIECE + 3, PIECE)]);
    gaps.cut_below(BASE + 10 * PIECE * SLICE);
    assert_eq!(left(&gaps), []);
}

#[test]
fn eight_clean_stretches_are_noted_at_most() {
    let stripes: Vec<_> = (0..24).map(|i| if i % 2 == 0 { (1, true) } else { (PIECE, false) }).collect();
    let mut rig = striped(&stripes, PIECE);
    let expected: Vec<_> = (0..8).map(|i| (1 + i * (PIECE + 1), PIECE)).collect();
    assert_eq!(noted(&mut rig, 12 * (PIECE + 1), &mut Gaps::new()), expected);
}

#[test]
fn nothing_is_noted_where_nothing_else_is_dirty() {
    for (more, expected) in [(0, vec![]), (PIECE - 1, vec![]), (PIECE, vec![(2, PIECE)])] {
        let mut rig = striped(&[(2, true), (PIECE, false)], more);
        assert_eq!(noted(&mut rig, 2 + PIECE, &mut Gaps::new()), expected, "{more} slices are dirty elsewhere");
    }
    // What is clean is too little.
    let mut rig = striped(&[(8, true), (PIECE - 1, false)], PIECE);
    assert_eq!(noted(&mut rig, 7 + PIECE, &mut Gaps::new()), []);
}

#[test]
fn pages_are_moved_from_the_run_with_most_of_them() {
    let mut rig = Rig::new(20 * PIECE);
    let lengths = [PIECE - 1, 1, 4 * PIECE, 1, 8 * PIECE, 1, 6 * PIECE, 1];
    let starts = lengths.map(|slices| rig.at(slices));
    for (now, i) in [0, 2, 4, 6].into_iter().enumerate() {
        rig.put(starts[i], lengths[i], now as u32);
    }
    for (wanted, i) in [(4 * PIECE, 2), (5 * PIECE, 4), (100 * PIECE, 4)] {
        let run = rig.pages.begin_recycling(&rig.directory, wanted, PIECE);
        // SAFETY: the run is ours until `end_purge`.
        unsafe {
            assert_eq!((*run).start, BASE + starts[i] * SLICE, "{wanted} slices wanted");
            let stamp = (*run).stamp;
            rig.pages.end_purge(&rig.directory, run, false, stamp);
        }
    }
    for i in [2, 4, 6] {
        assert_eq!(rig.at(lengths[i]), starts[i]);
    }
    assert_eq!(rig.pages.figures.dirty, PIECE - 1);
    assert!(rig.pages.begin_recycling(&rig.directory, PIECE, PIECE).is_null(), "less than a piece");
}

#[test]
fn pieces_cross_no_seam() {
    const P: usize = PIECE;
    let mut rig = Rig::new(20 * P);
    rig.at(10 * P);
    rig.at(1);
    rig.put(0, 10 * P, 0);
    let piece = |rig: &Rig, end: usize, wanted: usize| {
        // SAFETY: the run's slices; one thread.
        let found = unsafe { rig.pages.last_piece(&rig.directory, BASE, BASE + end * SLICE, wanted, PIECE) };
        found.map(|(at, slices)| ((at - BASE) / SLICE, slices))
    };
    let sew = |rig: &mut Rig, index: usize, slices: usize| {
        // SAFETY: ours; one thread.
        unsafe { rig.pages.sew(&rig.directory, BASE + index * SLICE, slices) };
        rig.pages.figures.seams
    };
    assert_eq!(
        (piece(&rig, 10 * P, 4 * P), piece(&rig, 10 * P, 99 * P)),
        (Some((6 * P, 4 * P)), Some((0, 10 * P)))
    );
    assert_eq!(sew(&mut rig, 2 * P, 3 * P), 2);
    assert_eq!(sew(&mut rig, 2 * P, 3 * P), 2, "they are there");
    assert_eq!(piece(&rig, 10 * P, 99 * P), Some((5 * P, 5 * P)));
    assert_eq!(piece(&rig, 10 * P, 4 * P), Some((6 * P, 4 * P)));
    assert_eq!(
        (piece(&rig, 5 * P, 99 * P), piece(&rig, 5 * P, 2 * P)),
        (Some((2 * P, 3 * P)), Some((3 * P, 2 * P)))
    );
    assert_eq!((piece(&rig, 2 * P, 99 * P), piece(&rig, P - 1, 99 * P)), (Some((0, 2 * P)), None));
    // Moved over seams: they are gone.
    assert_eq!(sew(&mut rig, P, 6 * P), 2);
    assert_eq!(piece(&rig, 10 * P, 99 * P), Some((7 * P, 3 * P)));
    assert_eq!(piece(&rig, 7 * P, 99 * P), Some((P, 6 * P)));
    // What is too short is passed over.
    assert_eq!(sew(&mut rig, 9 * P + 1, P - 1), 4);
    assert_eq!(piece(&rig, 10 * P, 99 * P), Some((7 * P, 2 * P + 1)));
    // Where our slices end is no seam of ours.
    assert_eq!(sew(&mut rig, 19 * P, P), 5);
    // What is unmapped has none.
    // SAFETY: the runs are ours until `end_purge`, and "unmapped" in between.
    unsafe {
        for _ in 0..2 {
            let run = rig.pages.begin_release(&rig.directory, 1);
            rig.pages.end_purge(&rig.directory, run, true, 0);
        }
        assert_eq!((rig.pages.figures.mapped, rig.pages.figures.seams), (1, 1), "the slice in use");
        assert!(rig.directory.has(Bit::Seam, BASE + 10 * P * SLICE));
    }
}

/// What the page heap should know of each slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Slice {
    Clean,
    Dirty,
    Used,
}

/// The invariants of the module's header, against a naive picture of all slices.
fn check(rig: &Rig, picture: &[Slice]) {
    let mut index = 0;
    while index < picture.len() {
        if picture[index] == Slice::Used {
            index += 1;
            continue;
        }
        let length = picture[index..].iter().take_while(|&&slice| slice != Slice::Used).count();
        let dirty = picture[index..index + length].iter().filter(|&&slice| slice == Slice::Dirty).count();
        assert_eq!(rig.run(index), Some((length, dirty)), "the run at {index}");
        let last = rig.directory.find(BASE + (index + length - 1) * SLICE);
        assert_eq!(last, rig.directory.find(BASE + index * SLICE));
        index += length;
    }
    let count = |kind| picture.iter().filter(|&&slice| slice == kind).count();
    let figures = &rig.pages.figures;
    assert_eq!((figures.active, figures.dirty), (count(Slice::Used), count(Slice::Dirty)));
}

#[test]
fn any_sequence_agrees_with_a_picture_of_all_slices() {
    const SLICES: usize = 400;
    let mut random = Random::new(seed("any_sequence_agrees_with_a_picture_of_all_slices"));
    let mut rig = Rig::new(SLICES);
    let mut picture = [Slice::Clean; SLICES];
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for now in 0..20_000 {
        match random.below(10) {
            0..5 => {
                let (slices, align) = (1 + random.size(6), 1 << random.below(4));
                let longest = picture.split(|&slice| slice == Slice::Used).map(<[Slice]>::len).max();
                match rig.take(slices, align) {
                    Some((_, start, zero)) => {
                        let range = &mut picture[start..start + slices];
                        assert!(start.is_multiple_of(align) && !range.contains(&Slice::Used));
                        assert_eq!(zero, !range.contains(&Slice::Dirty));
                        range.fill(Slice::Used);
                        spans.push((start, slices));
                    }
                    None => {
                        assert!(longest < Some(slices + align - 1), "{longest:?} slices free, {slices} refused")
                    }
                }
            }
            5..9 if !spans.is_empty() => {
                let (start, slices) = spans.swap_remove(random.below(spans.len()));
                let touched = random.below(slices + 1);
                rig.put(start, touched, now);
                picture[start..start + slices].fill(Slice::Clean);
                picture[start..start + touched].fill(Slice::Dirty);
            }
            _ => {
                let run = rig.pages.begin_purge(&rig.directory);
                if !run.is_null() {
                    // SAFETY: the run is ours until `end_purge`.
                    unsafe {
                        let first = ((*run).start - BASE) / SLICE;
                        let (start, slices) = ((*run).start, (*run).slices as usize);
                        let (at, count) = rig.directory.last_stretch(Bit::Dirty, start, slices).unwrap();
                        rig.pages.cleaned(&rig.directory, run, at, count);
                        let index = (at - BASE) / SLICE;
                        assert!(
                            index >= first && picture[index..index + count].iter().all(|&s| s == Slice::Dirty)
                        );
                        picture[index..index + count].fill(Slice::Clean);
                        rig.pages.end_purge(&rig.directory, run, false, now);
                    }
                }
            }
        }
        if now % 16 == 0 {
            check(&rig, &picture);
        }
    }
}

//! Random operations against a naive model: a map of live ranges.
//!
//! `Stratalloc` and two `Heap`s serve in turns; blocks are freed and resized by any of them. The
//! model knows every block's range, its alignment, the byte it was filled with and whose it is: no
//! two ranges overlap, contents stay until freed and across `realloc`, zeroed memory is zero, and a
//! heap that ends takes its own blocks along and no others.

mod common;

use common::{fill, holds, layout};
use proptest::prelude::*;
use proptest::sample::Index;
use std::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use stratalloc::{Heap, Stratalloc, snapshot, trim, usable_size};

#[global_allocator]
static GLOBAL: Stratalloc = Stratalloc;

/// Heaps beside the global allocator.
const HEAPS: usize = 2;

#[derive(Clone, Debug)]
enum Operation {
    /// By allocator 0 (the global one) or a heap.
    Alloc {
        by: usize,
        size: usize,
        align: usize,
        zeroed: bool,
    },
    Free {
        which: Index,
        by: usize,
    },
    Realloc {
        which: Index,
        by: usize,
        size: usize,
    },
    /// Ends a heap and begins another.
    Destroy {
        heap: usize,
    },
    Trim {
        keep: usize,
    },
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0..600usize, 3 => 600..9000usize, 2 => 9000..70_000usize, 1 => 70_000..700_000usize]
}

fn operations() -> impl Strategy<Value = Operation> {
    let by = 0..=HEAPS;
    prop_oneof![
        8 => (by.clone(), sizes(), 0..14u32, any::<bool>()).prop_map(|(by, size, shift, zeroed)| {
            // Half of the alignments are ordinary.
            Operation::Alloc { by, size, align: 1 << shift.saturating_sub(4), zeroed }
        }),
        1 => (by.clone(), sizes(), 12..21u32).prop_map(|(by, size, shift)| {
            Operation::Alloc { by, size, align: 1 << shift, zeroed: false }
        }),
        6 => (any::<Index>(), by.clone()).prop_map(|(which, by)| Operation::Free { which, by }),
        5 => (any::<Index>(), by, sizes()).prop_map(|(which, by, size)| Operation::Realloc { which, by, size }),
        1 => (0..HEAPS).prop_map(|heap| Operation::Destroy { heap }),
        1 => (0..4usize << 20).prop_map(|keep| Operation::Trim { keep }),
    ]
}

/// What the model knows of a block.
#[derive(Clone, Copy, Debug)]
struct Live {
    layout: Layout,
    home: usize,
    pattern: u8,
}

struct World {
    heaps: [Option<Heap>; HEAPS],
    live: BTreeMap<usize, (NonNull<u8>, Live)>,
    made: u8,
}

impl World {
    fn new() -> World {
        World { heaps: [Heap::new(), Heap::new()], live: BTreeMap::new(), made: 0 }
    }

    fn heap(&self, by: usize) -> &Heap {
        self.heaps[by - 1].as_ref().expect("memory for a heap")
    }

    /// Enters a block into the model, and fills it.
    fn enter(&mut self, block: NonNull<u8>, layout: Layout, home: usize) {
        let (start, end) = (block.as_ptr().addr(), block.as_ptr().addr() + layout.size().max(1));
        assert_eq!(start % layout.align().max(16), 0, "misaligned: {layout:?}");
        if let Some((&before, (_, live))) = self.live.range(..end).next_back() {
            let before_end = before + live.layout.size().max(1);
            assert!(before_end <= start, "{layout:?} at {start:#x} overlaps {live:?} at {before:#x}");
        }
        self.made = self.made.wrapping_add(1);
        // SAFETY: a block in use.
        unsafe {
            assert!(usable_size(block.as_ptr()) >= layout.size());
            fill(block.as_ptr(), layout.size(), self.made);
        }
        self.live.insert(start, (block, Live { layout, home, pattern: self.made }));
    }

    /// Takes a block out of the model, its contents checked. `None`: there is none.
    fn leave(&mut self, which: Option<Index>) -> Option<(NonNull<u8>, Live)> {
        let at = which.map_or(0, |which| which.index(self.live.len().max(1)));
        let &start = self.live.keys().nth(at)?;
        let (block, live) = self.live.remove(&start)?;
        // SAFETY: a block in use.
        assert!(unsafe { holds(block.as_ptr(), live.layout.size(), live.pattern) }, "{live:?} at {start:#x}");
        Some((block, live))
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Alloc { by, size, align, zeroed } => {
                let layout = layout(size, align);
                let block = match (by, zeroed) {
                    // SAFETY: `Stratalloc` serves size 0 too.
                    (0, false) => NonNull::new(unsafe { GLOBAL.alloc(layout) }),
                    // SAFETY: as above.
                    (0, true) => NonNull::new(unsafe { GLOBAL.alloc_zeroed(layout) }),
                    (by, false) => self.heap(by).alloc(layout),
                    (by, true) => self.heap(by).alloc_zeroed(layout),
                };
                let block = block.expect("memory");
                // SAFETY: a block in use.
                assert!(!zeroed || unsafe { holds(block.as_ptr(), size, 0) }, "{layout:?} is not zero");
                self.enter(block, layout, by);
            }
            Operation::Free { which, by } => {
                let Some((block, live)) = self.leave(Some(which)) else { return };
                match by {
                    // SAFETY: a block in use, freed once with its layout.
                    0 => unsafe { GLOBAL.dealloc(block.as_ptr(), live.layout) },
                    // SAFETY: as above.
                    by => unsafe { self.heap(by).dealloc(block, live.layout) },
                }
            }
            Operation::Realloc { which, by, size } => {
                let Some((block, live)) = self.leave(Some(which)) else { return };
                let moved = match by {
                    // SAFETY: a block in use, with its layout.
                    0 => NonNull::new(unsafe { GLOBAL.realloc(block.as_ptr(), live.layout, size) }),
                    // SAFETY: as above.
                    by => unsafe { self.heap(by).realloc(block, live.layout, size) },
                };
                let moved = moved.expect("memory");
                // SAFETY: a block in use.
                let kept = unsafe { holds(moved.as_ptr(), size.min(live.layout.size()), live.pattern) };
                assert!(kept, "{live:?} resized to {size} by {by}");
                // A block that stayed is still its old heap's; one that moved is the mover's.
                let home = if moved == block { live.home } else { by };
                self.enter(moved, layout(size, live.layout.align()), home);
            }
            Operation::Destroy { heap } => {
                self.live.retain(|_, (_, live)| live.home != heap + 1);
                self.heaps[heap].take().expect("a heap").destroy();
                self.heaps[heap] = Heap::new();
            }
            Operation::Trim { keep } => {
                trim(keep);
            }
        }
    }

    fn end(mut self) {
        let figures = snapshot();
        let bytes: usize = self.live.values().map(|(_, live)| live.layout.size()).sum();
        assert!(figures.allocated >= bytes, "{} allocated, {bytes} live", figures.allocated);
        assert!(figures.allocated <= figures.active && figures.active <= figures.mapped);
        while let Some((block, live)) = self.leave(None) {
            // SAFETY: a block in use, freed once with its layout.
            unsafe { GLOBAL.dealloc(block.as_ptr(), live.layout) };
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_operations_agrees_with_a_map_of_live_ranges(
        operations in proptest::collection::vec(operations(), 1..250)
    ) {
        let mut world = World::new();
        for operation in &operations {
            world.apply(operation);
        }
        world.end();
    }
}

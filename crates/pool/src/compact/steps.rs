//! Compaction of a [`CompactHeap`], in steps under a budget.
//!
//! A cycle walks over the objects in order and slides each live one to the end of those before it
//! (as Lisp 2's compactor, Knuth 1973; with the forwarding in the slots that are there anyway), from
//! segment to segment. Between two steps the heap is used as ever:
//!
//! ```text
//! | slid together |  gap  | not yet looked at |  free
//!                 ^ to    ^ from              ^ top of the current segment
//! ```
//!
//! Invariants while a cycle is on its way: `to <= from`; what lies between them is not walked by anyone;
//! segments between theirs are empty; new objects go behind `from`, into the current segment or later ones.
//! Objects that die before `to` wait for the next cycle.

use super::heap::CompactHeap;
use super::space::{Prefix, Spot};
use crate::options::Growth;
use crate::source::Source;
use crate::table::NONE;

/// What a step may do at most.
///
/// ```
/// use stratalloc_pool::Budget;
///
/// let budget = Budget::bytes(64 << 10).and_visits(1000);
/// assert_eq!(budget.objects, usize::MAX);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Objects moved.
    pub objects: usize,
    /// Bytes moved, prefixes of 8 bytes among them.
    pub bytes: usize,
    /// Objects looked at, dead ones and those that need not move among them.
    pub visits: usize,
}

impl Budget {
    /// No bound: a step does all there is to do.
    pub const ALL: Self = Self { objects: usize::MAX, bytes: usize::MAX, visits: usize::MAX };

    /// At most so many objects moved.
    pub const fn objects(objects: usize) -> Self {
        Self { objects, ..Self::ALL }
    }

    /// At most so many bytes moved.
    pub const fn bytes(bytes: usize) -> Self {
        Self { bytes, ..Self::ALL }
    }

    /// And at most so many objects looked at.
    pub const fn and_visits(self, visits: usize) -> Self {
        Self { visits, ..self }
    }
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct CompactStep {
    /// Objects moved.
    pub moved: usize,
    /// Bytes moved.
    pub bytes: usize,
    /// Objects looked at.
    pub visited: usize,
    /// The cycle is complete: what was dead when it began is free memory now.
    pub done: bool,
    /// The next object has so many bytes, more than the budget ever allows: the next step needs a larger
    /// one to go on.
    pub too_large: Option<usize>,
    /// Bytes given back to the source.
    pub released: usize,
}

/// How far a cycle is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cycle {
    to: Spot,
    from: Spot,
}

impl<H, E, A: Source> CompactHeap<H, E, A> {
    /// Goes on compacting, or begins to, within `budget`: never more, so that a step's time is bounded.
    /// When the cycle is complete, segments that came free are given back, unless the heap may not grow.
    ///
    /// Without dead objects there is nothing to do. Handles stay valid. Costs what the budget says.
    ///
    /// ```
    /// use stratalloc_pool::{Budget, CompactHeap};
    ///
    /// let mut heap = CompactHeap::<(), u8>::new();
    /// let handles: Vec<_> = (0..100).map(|n| heap.insert((), &[n; 100]).unwrap()).collect();
    /// for handle in handles.iter().step_by(2) {
    ///     heap.remove(*handle).unwrap();
    /// }
    /// let mut steps = 0;
    /// while !heap.compact_step(Budget::objects(10)).done {
    ///     steps += 1;
    /// }
    /// assert_eq!(steps, 4); // and a fifth that found it done
    /// assert_eq!(heap.figures().dead, 0);
    /// assert_eq!(heap.get(handles[99])?.items, &[99; 100]);
    /// # Ok::<(), stratalloc_pool::HandleError>(())
    /// ```
    pub fn compact_step(&mut self, budget: Budget) -> CompactStep {
        let mut step = CompactStep::default();
        let start = Spot { segment: 0, offset: 0 };
        let mut cycle = match self.cycle.take() {
            Some(cycle) => cycle,
            None if self.space.dead == 0 => return CompactStep { done: true, ..step },
            None => Cycle { to: start, from: start },
        };
        loop {
            let current = self.space.current;
            if cycle.from.offset == self.space.segment(cycle.from.segment).top {
                self.close(&cycle);
                if cycle.from.segment == current {
                    self.finish(cycle.to, &mut step);
                    return step;
                }
                cycle.from = Spot { segment: cycle.from.segment + 1, offset: 0 };
                continue;
            }
            if step.visited == budget.visits {
                break;
            }
            let Prefix { slot, units } = self.space.prefix(cycle.from);
            if slot == NONE {
                step.visited += 1;
                self.space.dead -= units as usize;
                cycle.from = cycle.from.after(units);
                continue;
            }
            if cycle.to != cycle.from && !self.slide(&mut cycle, slot, units, &budget, &mut step) {
                break;
            }
            step.visited += 1;
            cycle.from = cycle.from.after(units);
            cycle.to = cycle.to.after(units);
            if cycle.to.segment != cycle.from.segment {
                self.space.segment(cycle.to.segment).top = cycle.to.offset;
            }
        }
        self.cycle = Some(cycle);
        step
    }

    /// Compacts all there is, in a new cycle: a running one is completed first, since objects may have
    /// died behind it. Walks all objects, and moves each twice at most.
    ///
    /// ```
    /// let mut heap = stratalloc_pool::CompactHeap::<(), u8>::new();
    /// let gone = heap.insert((), &[1; 24]).unwrap();
    /// let stays = heap.insert((), &[2; 24]).unwrap();
    /// heap.remove(gone).unwrap();
    /// assert_eq!(heap.compact().moved, 1);
    /// assert_eq!(heap.get(stays).unwrap().items, &[2; 24]);
    /// ```
    pub fn compact(&mut self) -> CompactStep {
        let mut all = CompactStep::default();
        let mut cycles = 1 + usize::from(self.cycle.is_some());
        while cycles > 0 {
            let step = self.compact_step(Budget::ALL);
            all.moved += step.moved;
            all.bytes += step.bytes;
            all.visited += step.visited;
            all.released += step.released;
            cycles -= 1;
        }
        all.done = true;
        all
    }

    /// True while a cycle has begun and is not complete.
    pub fn is_compacting(&self) -> bool {
        self.cycle.is_some()
    }

    /// Moves the object at `from` to where the next one goes. False: the budget does not allow it.
    fn slide(
        &mut self,
        cycle: &mut Cycle,
        slot: u32,
        units: u32,
        budget: &Budget,
        step: &mut CompactStep,
    ) -> bool {
        let bytes = units as usize * self.space.unit();
        while cycle.to.segment != cycle.from.segment {
            let segment = self.space.segment(cycle.to.segment);
            if units <= segment.units - cycle.to.offset {
                break;
            }
            // What is left of this segment is too short; those until `from`'s are empty.
            cycle.to = Spot { segment: cycle.to.segment + 1, offset: 0 };
        }
        if cycle.to == cycle.from {
            return true;
        }
        if step.moved == budget.objects || bytes > budget.bytes - step.bytes {
            step.too_large = (bytes > budget.bytes).then_some(bytes);
            return false;
        }
        self.space.move_object(cycle.from, cycle.to, units);
        let place = self.slots.at(slot);
        place.position = cycle.to.offset;
        place.more.segment = cycle.to.segment;
        step.moved += 1;
        step.bytes += bytes;
        true
    }

    /// All objects of `from`'s segment have been looked at: what is not in use is free.
    fn close(&mut self, cycle: &Cycle) {
        let top = if cycle.to.segment == cycle.from.segment { cycle.to.offset } else { 0 };
        self.space.segment(cycle.from.segment).top = top;
    }

    /// The cycle is complete: objects are put behind `to` again.
    fn finish(&mut self, to: Spot, step: &mut CompactStep) {
        step.done = true;
        self.space.current = to.segment;
        if self.options.growth == Growth::None {
            return;
        }
        while self.space.count() > to.segment + 1 {
            // SAFETY: all segments are from the heap's source, and those after `to`'s are empty.
            step.released += unsafe { self.space.shrink(&self.source) };
        }
    }
}

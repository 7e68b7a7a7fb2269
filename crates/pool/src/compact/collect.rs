//! Reachability: freeing the objects of a [`CompactHeap`] that no root reaches.

use super::heap::CompactHeap;
use super::space::Spot;
use super::steps::CompactStep;
use crate::AcquireError;
use crate::handle::id::Handle;
use crate::handle::trace::{Marks, Trace, Tracer};
use crate::source::Source;

impl<H: Trace, E: Trace, A: Source> CompactHeap<H, E, A> {
    /// Drops all objects that are not reached from `roots` through the handles that objects
    /// [hold](Trace) in heads and items, cycles included; returns how many. Stale and foreign roots are
    /// ignored. The memory is free after the next compaction, which may go in steps.
    ///
    /// `O(slots)` and a visit for each handle that is held. Takes a word for each slot, which is kept for
    /// the next time, and no stack however deep the objects hang together.
    ///
    /// When `trace` panics, nothing was dropped. When a drop panics, the objects not yet looked at stay.
    ///
    /// ```
    /// use stratalloc_pool::{CompactHeap, Handle, Trace, Tracer};
    ///
    /// struct Child(Handle<&'static str>);
    ///
    /// impl Trace for Child {
    ///     fn trace(&self, tracer: &mut Tracer<'_>) {
    ///         tracer.visit(self.0);
    ///     }
    /// }
    ///
    /// let mut tree = CompactHeap::<&str, Child>::new();
    /// let leaf = tree.insert_with("leaf", 0, |_| unreachable!()).unwrap();
    /// let lost = tree.insert_with("lost", 0, |_| unreachable!()).unwrap();
    /// let root = tree.insert_with("root", 1, |_| Child(leaf)).unwrap();
    /// assert_eq!(tree.collect([root])?, 1);
    /// assert!(tree.contains(leaf) && !tree.contains(lost));
    /// # Ok::<(), stratalloc_pool::AcquireError>(())
    /// ```
    ///
    /// # Errors
    /// `OutOfMemory`: the source refused the words; nothing was changed. After
    /// [`reserve_marks`](CompactHeap::reserve_marks) that cannot be.
    pub fn collect(&mut self, roots: impl IntoIterator<Item = Handle<H>>) -> Result<usize, AcquireError> {
        self.reserve_marks()?;
        let mut marks = core::mem::replace(&mut self.marks, Marks::new());
        marks.begin();
        let marking = Marking { heap: self, marks };
        let dropped = marking.run(roots);
        Ok(dropped)
    }

    /// Makes room for the words that a [`collect`](CompactHeap::collect) needs for the slots there are now, so that it
    /// cannot fail when memory is short.
    ///
    /// # Errors
    /// `OutOfMemory`: the source refused.
    pub fn reserve_marks(&mut self) -> Result<(), AcquireError> {
        // SAFETY: all tables are from the heap's source.
        unsafe { self.marks.reserve(&self.source, self.slots.end() as usize) }.ok_or(AcquireError::OutOfMemory)
    }

    /// Collects, then compacts all at once: a mark–compact collection.
    ///
    /// # Errors
    /// As for [`collect`](CompactHeap::collect).
    pub fn collect_and_compact(
        &mut self,
        roots: impl IntoIterator<Item = Handle<H>>,
    ) -> Result<(usize, CompactStep), AcquireError> {
        let dropped = self.collect(roots)?;
        Ok((dropped, self.compact()))
    }

    fn mark(&self, marks: &mut Marks, roots: impl IntoIterator<Item = Handle<H>>) {
        let resolve = |key: crate::handle::id::Key| self.find(key).ok().map(|_| key.index);
        for root in roots {
            Tracer::new(marks, &resolve).visit(root);
        }
        while let Some(index) = marks.pop() {
            let (slot, _) = self.slots.look(index);
            let spot = Spot { segment: slot.more.segment, offset: slot.position };
            let object = self.object(spot, slot.more.len);
            let mut tracer = Tracer::new(marks, &resolve);
            object.head.trace(&mut tracer);
            object.items.trace(&mut tracer);
        }
    }
}

/// A collection on its way: puts the marks back, also when a trace or drop panics.
struct Marking<'a, H, E, A: Source> {
    heap: &'a mut CompactHeap<H, E, A>,
    marks: Marks,
}

impl<H: Trace, E: Trace, A: Source> Marking<'_, H, E, A> {
    fn run(mut self, roots: impl IntoIterator<Item = Handle<H>>) -> usize {
        self.heap.mark(&mut self.marks, roots);
        let mut dropped = 0;
        for index in 0..self.heap.slots.end() {
            if self.heap.slots.look(index).1.is_some() && !self.marks.is_reached(index) {
                dropped += 1;
                self.heap.drop_slot(index);
            }
        }
        dropped
    }
}

impl<H, E, A: Source> Drop for Marking<'_, H, E, A> {
    fn drop(&mut self) {
        self.heap.marks = core::mem::replace(&mut self.marks, Marks::new());
    }
}

//! Reachability: freeing the objects of a [`HandlePool`] that no root reaches.

use super::chunks::Owner;
use super::id::Handle;
use super::moves::Compacted;
use super::pool::HandlePool;
use super::trace::{Marks, Trace, Tracer};
use crate::AcquireError;
use crate::source::Source;

impl<T: Trace, A: Source> HandlePool<T, A> {
    /// Drops all objects that are not reached from `roots` through the handles that objects
    /// [hold](Trace), cycles included; returns how many. Stale and foreign roots are ignored.
    ///
    /// `O(capacity)` and a visit for each handle that is held. Takes a word for each position from the
    /// source meanwhile, and no stack however deep the objects hang together.
    ///
    /// When `trace` panics, nothing was dropped. When a drop panics, the objects not yet looked at stay.
    ///
    /// ```
    /// use stratalloc_pool::{Handle, HandlePool, Trace, Tracer};
    ///
    /// struct Node(Option<Handle<Node>>);
    ///
    /// impl Trace for Node {
    ///     fn trace(&self, tracer: &mut Tracer<'_>) {
    ///         self.0.trace(tracer);
    ///     }
    /// }
    ///
    /// let mut pool = HandlePool::new();
    /// let leaf = pool.insert_with(|_| Node(None))?;
    /// let root = pool.insert_with(|_| Node(Some(leaf)))?;
    /// pool.insert_with(|me| Node(Some(me)))?; // a cycle of one, which nobody reaches
    /// assert_eq!(pool.collect([root])?, 1);
    /// assert!(pool.contains(leaf));
    /// # Ok::<(), stratalloc_pool::AcquireError>(())
    /// ```
    ///
    /// # Errors
    /// `OutOfMemory`: the source refused the words; nothing was changed.
    pub fn collect(&mut self, roots: impl IntoIterator<Item = Handle<T>>) -> Result<usize, AcquireError> {
        let mut marks = Marking { marks: Marks::new(), source: &self.source };
        // SAFETY: the marks' memory is from this source.
        unsafe { marks.marks.reserve(marks.source, self.chunks.end() as usize) }
            .ok_or(AcquireError::OutOfMemory)?;
        self.mark(&mut marks.marks, roots);
        // The marks outlive their borrow of the source: take them over the sweep.
        let taken = core::mem::replace(&mut marks.marks, Marks::new());
        drop(marks);
        Ok(self.sweep(taken))
    }

    /// Collects, then moves what is left together: a mark–compact collection.
    ///
    /// ```
    /// use stratalloc_pool::{Handle, HandlePool, Trace, Tracer};
    ///
    /// struct Node(Option<Handle<Node>>);
    ///
    /// impl Trace for Node {
    ///     fn trace(&self, tracer: &mut Tracer<'_>) {
    ///         self.0.trace(tracer);
    ///     }
    /// }
    ///
    /// let mut pool = HandlePool::new();
    /// let handles: Vec<_> = (0..1000).map(|_| pool.insert_with(|_| Node(None)).unwrap()).collect();
    /// let (dropped, done) = pool.collect_and_compact([handles[999]])?;
    /// assert_eq!((dropped, done.moved), (999, 1));
    /// assert!(pool.contains(handles[999]));
    /// # Ok::<(), stratalloc_pool::AcquireError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`collect`](HandlePool::collect).
    pub fn collect_and_compact(
        &mut self,
        roots: impl IntoIterator<Item = Handle<T>>,
    ) -> Result<(usize, Compacted), AcquireError> {
        let dropped = self.collect(roots)?;
        Ok((dropped, self.compact()))
    }

    fn mark(&self, marks: &mut Marks, roots: impl IntoIterator<Item = Handle<T>>) {
        marks.begin();
        let resolve = |key| self.position(key).ok();
        for root in roots {
            Tracer::new(marks, &resolve).visit(root);
        }
        while let Some(position) = marks.pop() {
            // SAFETY: a live position holds an object, borrowed as the pool is.
            let object = unsafe { self.chunks.pointer(position).as_ref() };
            object.trace(&mut Tracer::new(marks, &resolve));
        }
    }

    fn sweep(&mut self, marks: Marks) -> usize {
        /// Gives the marks' memory back, also when a drop panics.
        struct Sweep<'a, T, A: Source>(&'a mut HandlePool<T, A>, Marks);
        impl<T, A: Source> Drop for Sweep<'_, T, A> {
            fn drop(&mut self) {
                // SAFETY: the marks' memory is from the pool's source.
                unsafe { self.1.release(&self.0.source) };
            }
        }
        let sweep = Sweep(self, marks);
        let mut dropped = 0;
        for position in 0..sweep.0.chunks.end() {
            if !matches!(sweep.0.chunks.owner(position), Owner::Vacant(_)) && !sweep.1.is_reached(position) {
                dropped += 1;
                // SAFETY: it has an owner, so it is live.
                unsafe { sweep.0.drop_at(position) };
            }
        }
        dropped
    }
}

/// Marks that give their memory back, also when a trace panics.
struct Marking<'a, A: Source> {
    marks: Marks,
    source: &'a A,
}

impl<A: Source> Drop for Marking<'_, A> {
    fn drop(&mut self) {
        // SAFETY: the marks' memory is from this source.
        unsafe { self.marks.release(self.source) };
    }
}

//! [`Segments`]: the stretches of memory that a [`VarPool`](crate::VarPool) cuts into blocks.
//!
//! Owns which addresses are the pool's. Segments keep their index while they are there, and vacant
//! indices are used again; a second table orders them by address. The pool has few: doubling makes
//! their number logarithmic.
//!
//! Invariant: `order` holds the indices of all segments that are there, by ascending address.

use crate::addr::addr;
use crate::source::Source;
use crate::table::Table;
use core::alloc::Layout;
use core::ptr::NonNull;

/// A stretch of memory. One without granules is vacant.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    /// Where it begins, aligned to a granule at least.
    pub(crate) base: NonNull<u8>,
    /// How long it is.
    pub(crate) granules: u32,
    /// Tag of its first block.
    pub(crate) head: u32,
    /// Its used blocks.
    pub(crate) used: u32,
    /// What it was allocated with.
    pub(crate) layout: Layout,
}

/// All segments of a pool.
pub(crate) struct Segments {
    all: Table<Segment>,
    order: Table<u32>,
}

impl Segments {
    pub(crate) const fn new() -> Self {
        Self { all: Table::new(), order: Table::new() }
    }

    /// Segments in the two tables.
    pub(crate) const fn with_tables(all: Table<Segment>, order: Table<u32>) -> Self {
        Self { all, order }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.order.len()
    }

    /// Bytes of the tables.
    pub(crate) fn bytes(&self) -> usize {
        self.all.bytes() + self.order.bytes()
    }

    /// One past the highest index.
    pub(crate) fn end(&self) -> u32 {
        self.all.len() as u32
    }

    /// Makes room for one more. `None`: no memory, and nothing changed.
    ///
    /// # Safety
    /// `source` is the one the tables' memory came from.
    pub(crate) unsafe fn reserve<S: Source>(&mut self, source: &S) -> Option<()> {
        // SAFETY: the caller's source.
        unsafe {
            self.all.reserve(source, self.order.len() + 1)?;
            self.order.reserve(source, self.order.len() + 1)
        }
    }

    /// Adds a segment where there is room for one; its index.
    pub(crate) fn add(&mut self, segment: Segment) -> u32 {
        let index = match self.all.iter().position(|segment| segment.granules == 0) {
            Some(vacant) => {
                self.all[vacant] = segment;
                vacant
            }
            None => {
                self.all.push(segment);
                self.all.len() - 1
            }
        };
        let start = addr(segment.base.as_ptr());
        let at = self.order.partition_point(|&other| addr(self.all[other as usize].base.as_ptr()) < start);
        self.order.insert(at, index as u32);
        index as u32
    }

    /// Takes a segment out.
    pub(crate) fn remove(&mut self, index: u32) -> Segment {
        let at = self.order.iter().position(|&other| other == index).expect("a segment of the pool");
        self.order.remove(at);
        let segment = self[index];
        self[index].granules = 0;
        segment
    }

    /// The segment that holds `address`, and how far in it lies. `O(log n)` of n segments.
    #[inline]
    pub(crate) fn find(&self, address: usize, shift: u32) -> Option<(u32, usize)> {
        let after = self.order.partition_point(|&index| addr(self.all[index as usize].base.as_ptr()) <= address);
        let index = *self.order.get(after.checked_sub(1)?)?;
        let segment = &self.all[index as usize];
        let offset = address - addr(segment.base.as_ptr());
        (offset < (segment.granules as usize) << shift).then_some((index, offset))
    }

    /// Gives the tables' memory back; the segments must be gone.
    ///
    /// # Safety
    /// As for [`reserve`](Segments::reserve).
    pub(crate) unsafe fn release<S: Source>(&mut self, source: &S) {
        // SAFETY: the caller's source.
        unsafe {
            self.all.release(source);
            self.order.release(source);
        }
    }
}

impl core::ops::Index<u32> for Segments {
    type Output = Segment;

    #[inline]
    fn index(&self, index: u32) -> &Segment {
        &self.all[index as usize]
    }
}

impl core::ops::IndexMut<u32> for Segments {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut Segment {
        &mut self.all[index as usize]
    }
}

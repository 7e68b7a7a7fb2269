//! [`Space`]: the memory of a [`CompactHeap`](crate::CompactHeap), and how its objects lie in it.
//!
//! Objects are put one after the other into segments, each behind a prefix that says whose it is and
//! how long: from any object one can walk to the next. Only the heap's own code writes there.
//!
//! ```text
//! segment  | prefix head items | prefix head items | … | free until the end
//! prefix   slot: u32, NONE when dead    units: u32, of prefix and object
//! ```
//!
//! Sizes and offsets are in units: the alignment of objects, 8 bytes at least.
//!
//! Invariants: a segment's first `top` units are prefixed objects without gap, except where a compaction
//! is on its way (see [`steps`](super::steps)); segments after `current` are empty; `dead` counts the
//! units of dead objects.

use crate::source::Source;
use crate::table::{NONE, Table};
use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr::NonNull;

/// Where an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) segment: u32,
    /// Units from the segment's beginning.
    pub(super) offset: u32,
}

impl Spot {
    pub(super) fn after(self, units: u32) -> Self {
        Self { offset: self.offset + units, ..self }
    }
}

/// What is before each object.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Prefix {
    /// The object's slot, or `NONE`.
    pub(super) slot: u32,
    /// Units that it takes, prefix and all; at least 1.
    pub(super) units: u32,
}

#[derive(Clone, Copy)]
pub(super) struct Segment {
    base: NonNull<u8>,
    /// How long it is.
    pub(super) units: u32,
    /// How much of it has been filled.
    pub(super) top: u32,
}

/// Segments, and the shape of objects with a head `H` and items `E`.
pub(super) struct Space<H, E> {
    segments: Table<Segment>,
    /// Where objects are put.
    pub(super) current: u32,
    /// Units of dead objects.
    pub(super) dead: usize,
    /// Units of live objects.
    pub(super) live: usize,
    /// Units of all segments.
    pub(super) capacity: usize,
    /// `log2` of a unit's bytes.
    shift: u32,
    marker: PhantomData<(H, E)>,
}

impl<H, E> Space<H, E> {
    /// The least unit that suits the types, in bytes.
    pub(super) const UNIT: usize = {
        let align = if align_of::<H>() > align_of::<E>() { align_of::<H>() } else { align_of::<E>() };
        if align > align_of::<u64>() { align } else { align_of::<u64>() }
    };
    /// Bytes from prefix to head, for a unit of that size.
    const HEAD: usize = size_of::<Prefix>().next_multiple_of(align_of::<H>());

    /// An empty space with units of `1 << shift` bytes.
    pub(super) const fn new(shift: u32) -> Self {
        let segments = Table::new();
        Self { segments, current: 0, dead: 0, live: 0, capacity: 0, shift, marker: PhantomData }
    }

    /// Bytes of a unit.
    pub(super) fn unit(&self) -> usize {
        1 << self.shift
    }

    /// Bytes from the beginning of an object, its prefix, to its items. A unit that is longer than the
    /// types ask for keeps heads aligned to it.
    fn items_offset(&self) -> usize {
        (self.head_offset() + size_of::<H>()).next_multiple_of(align_of::<E>())
    }

    fn head_offset(&self) -> usize {
        if self.unit() > Self::UNIT { self.unit() } else { Self::HEAD }
    }

    /// Units of an object with `len` items. `None`: no segment could hold it.
    pub(super) fn units(&self, len: usize) -> Option<u32> {
        let items = len.checked_mul(size_of::<E>())?;
        let bytes = self.items_offset().checked_add(items).filter(|&bytes| bytes <= isize::MAX as usize / 2)?;
        u32::try_from(bytes.div_ceil(self.unit())).ok().filter(|&units| units < NONE)
    }

    /// How many segments there are.
    pub(super) fn count(&self) -> u32 {
        self.segments.len() as u32
    }

    /// A segment.
    pub(super) fn segment(&mut self, index: u32) -> &mut Segment {
        &mut self.segments[index as usize]
    }

    /// Bytes of the table of segments.
    pub(super) fn metadata(&self) -> usize {
        self.segments.bytes()
    }

    fn at(&self, spot: Spot) -> NonNull<u8> {
        let segment = &self.segments[spot.segment as usize];
        debug_assert!(spot.offset < segment.units);
        // SAFETY: within the segment.
        unsafe { segment.base.add((spot.offset as usize) << self.shift) }
    }

    /// What is before the object at `spot`.
    pub(super) fn prefix(&self, spot: Spot) -> Prefix {
        // SAFETY: an object's spot begins with its prefix; units are aligned for it.
        unsafe { self.at(spot).cast::<Prefix>().read() }
    }

    /// Writes what is before the object at `spot`.
    pub(super) fn set_prefix(&mut self, spot: Spot, prefix: Prefix) {
        // SAFETY: within the segment, which has at least a unit there, aligned for a prefix.
        unsafe { self.at(spot).cast::<Prefix>().write(prefix) };
    }

    /// The head of the object at `spot`.
    pub(super) fn head(&self, spot: Spot) -> NonNull<H> {
        // SAFETY: within the object, which is as long as `units` says.
        unsafe { self.at(spot).add(self.head_offset()) }.cast()
    }

    /// The items of the object at `spot`, which has `len` of them.
    pub(super) fn items(&self, spot: Spot, len: u32) -> NonNull<[E]> {
        // SAFETY: within the object, which is as long as `units` says.
        let first = unsafe { self.at(spot).add(self.items_offset()) };
        NonNull::slice_from_raw_parts(first.cast(), len as usize)
    }

    /// Where the next object of `units` goes, if there is room without growing: the current segment, or
    /// an empty one after it.
    pub(super) fn room(&self, units: u32) -> Option<Spot> {
        (self.current..self.count()).find_map(|index| {
            let segment = &self.segments[index as usize];
            (units <= segment.units - segment.top).then_some(Spot { segment: index, offset: segment.top })
        })
    }

    /// Makes `units` at `spot`, which [`room`](Space::room) gave, an object of `slot`.
    pub(super) fn take(&mut self, spot: Spot, units: u32, slot: u32) {
        self.set_prefix(spot, Prefix { slot, units });
        self.current = spot.segment;
        self.segment(spot.segment).top += units;
        self.live += units as usize;
    }

    /// Makes an object dead. What is in it is the caller's, until the next object is put or moved.
    pub(super) fn kill(&mut self, spot: Spot) {
        let Prefix { units, .. } = self.prefix(spot);
        self.set_prefix(spot, Prefix { slot: NONE, units });
        self.live -= units as usize;
        self.dead += units as usize;
    }

    /// Shortens an object to `units`; the rest becomes a dead one.
    pub(super) fn cut(&mut self, spot: Spot, units: u32) {
        let Prefix { slot, units: all } = self.prefix(spot);
        let rest = all - units;
        if rest > 0 {
            self.set_prefix(spot, Prefix { slot, units });
            self.set_prefix(spot.after(units), Prefix { slot: NONE, units: rest });
            self.live -= rest as usize;
            self.dead += rest as usize;
        }
    }

    /// Copies an object of `units` to a place that is before it, or in another segment.
    pub(super) fn move_object(&mut self, from: Spot, to: Spot, units: u32) {
        // SAFETY: both are within their segments; they may overlap.
        unsafe { self.at(to).copy_from(self.at(from), (units as usize) << self.shift) };
    }

    fn layout(&self, units: u32) -> Option<Layout> {
        Layout::from_size_align((units as usize).checked_mul(self.unit())?, self.unit()).ok()
    }

    /// Adds a segment. `None`: no memory, and nothing changed that shows.
    ///
    /// # Safety
    /// `source` is the one all memory came from.
    pub(super) unsafe fn grow<S: Source>(&mut self, source: &S, units: u32) -> Option<()> {
        // SAFETY: the caller's source.
        unsafe { self.segments.reserve(source, self.segments.len() + 1) }?;
        let base = source.allocate(self.layout(units)?)?;
        self.segments.push(Segment { base, units, top: 0 });
        self.capacity += units as usize;
        Some(())
    }

    /// Gives the last segment, which is empty, back; returns its bytes.
    ///
    /// # Safety
    /// As for [`grow`](Space::grow).
    pub(super) unsafe fn shrink<S: Source>(&mut self, source: &S) -> usize {
        let last = self.segments.remove(self.segments.len() - 1);
        debug_assert_eq!(last.top, 0);
        self.capacity -= last.units as usize;
        let layout = self.layout(last.units).expect("a segment's layout");
        // SAFETY: allocated with this layout; nobody uses it.
        unsafe { source.deallocate(last.base, layout) };
        layout.size()
    }

    /// Forgets all objects.
    pub(super) fn clear(&mut self) {
        (self.current, self.live, self.dead) = (0, 0, 0);
        for segment in self.segments.iter_mut() {
            segment.top = 0;
        }
    }

    /// Gives all memory back. Objects are forgotten.
    ///
    /// # Safety
    /// As for [`grow`](Space::grow).
    pub(super) unsafe fn release<S: Source>(&mut self, source: &S) {
        self.clear();
        // SAFETY: the caller's source; all segments are empty.
        unsafe {
            while self.count() > 0 {
                self.shrink(source);
            }
            self.segments.release(source);
        }
    }
}

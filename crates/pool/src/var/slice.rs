//! Pools in slices of the caller's: no allocator at all.
//!
//! Owns how a slice is divided into the tables that describe blocks and the one segment that blocks
//! are cut from.

use super::engine::Engine;
use super::options::VarOptions;
use super::pool::VarPool;
use super::segments::{Segment, Segments};
use super::tag::{Tag, Tags};
use crate::PoolError;
use crate::addr::addr;
use crate::options::Growth;
use crate::source::Source;
use crate::table::{NONE, Table};
use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// The source of a pool in a slice: it has nothing more to give.
#[derive(Debug)]
pub struct InSlice<'a>(PhantomData<&'a mut [MaybeUninit<u8>]>);

// SAFETY: it gives no chunk.
unsafe impl Source for InSlice<'_> {
    fn allocate(&self, _: Layout) -> Option<NonNull<u8>> {
        None
    }

    unsafe fn deallocate(&self, _: NonNull<u8>, _: Layout) {
        // The memory is the slice's, whose borrow ends with the pool.
    }
}

/// What is left of a slice.
struct Rest {
    start: NonNull<u8>,
    bytes: usize,
}

impl Rest {
    fn of(slice: &mut [MaybeUninit<u8>]) -> Self {
        Self { start: NonNull::from(&mut *slice).cast(), bytes: slice.len() }
    }

    /// Bytes until the next multiple of `align`.
    fn pad(&self, align: usize) -> usize {
        addr(self.start.as_ptr()).wrapping_neg() & (align - 1)
    }

    /// Takes `layout` off the front; `None`: it does not fit.
    fn take(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let pad = self.pad(layout.align());
        let end = pad.checked_add(layout.size()).filter(|&end| end <= self.bytes)?;
        // SAFETY: within the slice.
        let (taken, start) = unsafe { (self.start.add(pad), self.start.add(end)) };
        self.start = start;
        self.bytes -= end;
        Some(taken)
    }

    /// Takes a table of `count` records off the front.
    fn table<T: Copy>(&mut self, count: usize) -> Option<Table<T>> {
        let items = self.take(Layout::array::<T>(count).ok()?)?;
        // SAFETY: aligned, and taken from the slice, which the pool has alone.
        Some(unsafe { Table::at(items.cast(), count) })
    }
}

impl<'a> VarPool<InSlice<'a>> {
    /// A pool in `memory`: what describes blocks lies at the front, the blocks after it. Makes no use
    /// of any allocator and never grows.
    ///
    /// The options' `blocks` says how many blocks there can be, used and free, at 44 bytes each; by
    /// default one for each 128 bytes of the slice, 2 at least. A `limit` leaves the rest of the slice unused.
    ///
    /// # Errors
    /// `TooMany` when the slice is too short for what the options ask; `ZeroCapacity` for an empty
    /// slice; `Unsupported` for [`Growth::Fixed`]; else as for [`VarPool::with_options`].
    ///
    /// ```
    /// use core::{alloc::Layout, mem::MaybeUninit};
    /// use stratalloc_pool::{VarOptions, VarPool};
    ///
    /// let mut memory = [MaybeUninit::uninit(); 4096];
    /// let pool = VarPool::in_slice(VarOptions::new().blocks(16), &mut memory)?;
    /// let block = pool.allocate(Layout::new::<[u8; 1000]>()).unwrap();
    /// assert_eq!(block.len(), 1008);
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    pub fn in_slice(options: VarOptions, memory: &'a mut [MaybeUninit<u8>]) -> Result<Self, PoolError> {
        let length = memory.len();
        let mut rest = Rest::of(memory);
        let blocks = if options.blocks == 0 { (length / 128).max(2) } else { options.blocks };
        let tables = tables(&mut rest, blocks, length)?;
        Self::in_parts(options, tables, rest)
    }

    /// A pool of the blocks in `memory`, described in `metadata`: two slices, so that the memory may be
    /// of a kind that only the program itself should touch. The pool neither reads nor writes it.
    ///
    /// The options' `blocks` says how many blocks there can be; by default as many as `metadata` holds.
    ///
    /// # Errors
    /// As for [`in_slice`](VarPool::in_slice).
    ///
    /// ```
    /// use core::{alloc::Layout, mem::MaybeUninit};
    /// use stratalloc_pool::{VarOptions, VarPool};
    ///
    /// let mut shared = [MaybeUninit::uninit(); 8192];
    /// let mut own = [MaybeUninit::uninit(); 1024];
    /// let pool = VarPool::in_slices(VarOptions::new().granule(8), &mut shared, &mut own)?;
    /// assert!(pool.allocate(Layout::new::<[u64; 1000]>()).is_ok());
    /// # Ok::<(), stratalloc_pool::PoolError>(())
    /// ```
    pub fn in_slices(
        options: VarOptions,
        memory: &'a mut [MaybeUninit<u8>],
        metadata: &'a mut [MaybeUninit<u8>],
    ) -> Result<Self, PoolError> {
        let length = metadata.len();
        let mut rest = Rest::of(metadata);
        let blocks = match options.blocks {
            // Less what aligning four tables may take.
            0 => (length.saturating_sub(size_of::<Segment>() + 32) / Tags::BYTES).clamp(1, NONE as usize - 1),
            blocks => blocks,
        };
        let tables = tables(&mut rest, blocks, length)?;
        Self::in_parts(options, tables, Rest::of(memory))
    }

    fn in_parts(options: VarOptions, (tags, segments): (Tags, Segments), rest: Rest) -> Result<Self, PoolError> {
        if matches!(options.growth, Growth::Fixed(_)) {
            return Err(PoolError::Unsupported("growth by fixed steps in a slice"));
        }
        options.growth(Growth::Doubling).check()?;
        let granule = options.granule;
        let whole = rest.bytes.saturating_sub(rest.pad(granule)).min(options.limit);
        let mut engine = Engine::new(&options, tags, segments);
        let most = (NONE as usize - 1).saturating_mul(granule);
        let bytes = whole.min(most) & !(granule - 1);
        if bytes == 0 && options.capacity == 0 {
            return Err(PoolError::ZeroCapacity);
        }
        if bytes < options.capacity.max(granule) {
            return Err(PoolError::TooMany { asked: options.capacity.max(granule), most: bytes });
        }
        // SAFETY: no more than the rest of the slice.
        let base = unsafe { rest.start.add(rest.pad(granule)) };
        let layout = Layout::from_size_align(bytes, granule).expect("a part of a slice");
        engine.add_segment(base, (bytes / granule) as u32, layout);
        Ok(Self::of(engine, InSlice(PhantomData), options.growth(Growth::None), true))
    }
}

/// The tables for `blocks` blocks of one segment, off the front of a slice of `length` bytes.
fn tables(rest: &mut Rest, blocks: usize, length: usize) -> Result<(Tags, Segments), PoolError> {
    if length == 0 {
        return Err(PoolError::ZeroCapacity);
    }
    let mut all = || {
        let segments = Segments::with_tables(rest.table(1)?, rest.table(1)?);
        Some((Tags::with_tables(rest.table::<Tag>(blocks)?, rest.table(blocks)?), segments))
    };
    all().ok_or(PoolError::TooMany { asked: blocks.saturating_mul(Tags::BYTES), most: length })
}

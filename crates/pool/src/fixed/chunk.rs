//! One chunk: blocks first, what describes them behind.
//!
//! ```text
//! base                                   chunk
//! │ block 0 │ block 1 │ … │ block n-1 │  Chunk  │ live bits (checked pools) │
//! ```
//!
//! Called by `blocks` only. The description is behind the blocks, so that the first block has the chunk's
//! alignment and nothing is lost before it.

use crate::addr::addr;
use crate::options::chunk_align;
use crate::{PoolError, Source};
use core::alloc::Layout;
use core::ptr::NonNull;

/// A chunk's description.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The next in the list that this chunk is in.
    pub(super) next: Option<NonNull<Chunk>>,
    /// The first block.
    pub(super) base: NonNull<u8>,
    /// The number of blocks.
    pub(crate) count: usize,
    /// How many of them were ever handed out.
    pub(super) carved: usize,
    /// For passes that count free blocks by chunk.
    pub(super) tally: usize,
    /// What the source was asked for.
    layout: Layout,
    /// One bit for each block, in a checked pool: it is live.
    bits: Option<NonNull<usize>>,
}

const WORD: usize = usize::BITS as usize;

impl Chunk {
    /// A chunk of `count` blocks of layout `block`, from `source`.
    pub(crate) fn allocate(
        source: &impl Source,
        block: Layout,
        count: usize,
        checked: bool,
    ) -> Result<NonNull<Chunk>, PoolError> {
        let too_many =
            PoolError::TooMany { asked: count, most: (isize::MAX as usize - block.align()) / block.size() };
        let lay_out = || {
            let blocks = block.size().checked_mul(count)?;
            let blocks = Layout::from_size_align(blocks, chunk_align(block)).ok()?;
            let (layout, header) = blocks.extend(Layout::new::<Chunk>()).ok()?;
            let words = if checked { count.div_ceil(WORD) } else { 0 };
            let (layout, bits) = layout.extend(Layout::array::<usize>(words).ok()?).ok()?;
            Some((layout, header, bits, words))
        };
        let (layout, header, bits, words) = lay_out().ok_or(too_many)?;
        let base = source.allocate(layout).ok_or(PoolError::refused(layout))?;
        // SAFETY: `header` is an offset within `layout`.
        let chunk = unsafe { base.add(header) }.cast::<Chunk>();
        let bits = checked.then(|| {
            // SAFETY: `bits` is an offset within `layout`.
            let bits = unsafe { base.add(bits) }.cast::<usize>();
            // SAFETY: so many words follow it.
            unsafe { bits.write_bytes(0, words) };
            bits
        });
        // SAFETY: the place is in the new chunk, aligned by `extend`.
        unsafe { chunk.write(Chunk { next: None, base, count, carved: 0, tally: 0, layout, bits }) };
        Ok(chunk)
    }

    /// Gives a chunk back.
    ///
    /// # Safety
    /// The chunk came from [`allocate`](Self::allocate) with this source, is in no list, and neither it nor a
    /// block of it is used any more.
    pub(crate) unsafe fn deallocate(chunk: NonNull<Chunk>, source: &impl Source) {
        // SAFETY: the caller's chunk, valid until the next line.
        let (base, layout) = unsafe { (chunk.as_ref().base, chunk.as_ref().layout) };
        // SAFETY: base and layout are those of the allocation.
        unsafe { source.deallocate(base, layout) };
    }

    /// All blocks are as if they were never handed out.
    pub(super) fn reset(&mut self) {
        self.carved = 0;
        if let Some(bits) = self.bits {
            // SAFETY: so many words follow it.
            unsafe { bits.write_bytes(0, self.count.div_ceil(WORD)) };
        }
    }

    /// Bytes from the source.
    pub(super) fn bytes(&self) -> usize {
        self.layout.size()
    }

    /// The number of the block of `size` bytes that `address` is in, and how far inside; `None`: in no block of this chunk.
    pub(super) fn position(&self, address: usize, size: usize) -> Option<(usize, usize)> {
        let offset = address.checked_sub(addr(self.base.as_ptr()))?;
        (offset < self.count * size).then(|| (offset / size, offset % size))
    }

    /// The bit of block `index`, and its word.
    fn bit(&self, index: usize) -> Option<(NonNull<usize>, usize)> {
        debug_assert!(index < self.count);
        // SAFETY: there is a bit for each block.
        self.bits.map(|bits| (unsafe { bits.add(index / WORD) }, 1 << (index % WORD)))
    }

    /// True when block `index` is marked as live.
    pub(super) fn is_live(&self, index: usize) -> bool {
        // SAFETY: the word is in the chunk and only the pool's user, who is alone, touches it.
        self.bit(index).is_some_and(|(word, bit)| unsafe { word.read() } & bit != 0)
    }

    /// Marks block `index`.
    pub(super) fn set_live(&mut self, index: usize, live: bool) {
        if let Some((word, bit)) = self.bit(index) {
            // SAFETY: the word is in the chunk and we are alone with it.
            let old = unsafe { word.read() };
            // SAFETY: as above.
            unsafe { word.write(if live { old | bit } else { old & !bit }) };
        }
    }
}

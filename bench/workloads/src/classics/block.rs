//! Blocks as the classics hold them: a pointer and a size, asked of the global allocator by size alone, as C
//! programs ask.
//!
//! The alignment asked for is 1. The default face then calls plain `malloc`, `calloc` and `free` for every size; a
//! `global-NAME` face learns the size at the free as well.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// What the classics take for a page when they touch blocks page by page.
const PAGE: usize = 4096;

/// A block whose first and last byte are written; freed when dropped.
#[derive(Debug)]
pub struct Block {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: a block is owned by whoever holds it, and the global allocator frees from any thread.
unsafe impl Send for Block {}
// SAFETY: a shared block is only read.
unsafe impl Sync for Block {}

impl Block {
    /// `size` bytes (at least 1), of which the first and the last are `byte`.
    #[inline]
    pub fn touched(size: usize, byte: u8) -> Block {
        let block = Block::uninitialised(size);
        // SAFETY: a block has at least one byte.
        unsafe { block.start.write(byte) };
        // SAFETY: the last byte is inside.
        unsafe { block.start.add(size - 1).write(byte) };
        block
    }

    /// `size` bytes (at least 1), of which one in each 4 KiB and the last are `byte`, so that all memory is really
    /// there.
    #[inline]
    pub fn paged(size: usize, byte: u8) -> Block {
        let block = Block::touched(size, byte);
        for at in (PAGE..size).step_by(PAGE) {
            // SAFETY: `at` is below `size`.
            unsafe { block.start.add(at).write(byte) };
        }
        block
    }

    /// The first byte.
    #[inline]
    pub fn first(&self) -> u8 {
        // SAFETY: all constructors write it.
        unsafe { self.start.read() }
    }

    /// The last byte.
    #[inline]
    pub fn last(&self) -> u8 {
        // SAFETY: all constructors write it, and it is inside.
        unsafe { self.start.add(self.size - 1).read() }
    }

    /// Adds 1 to the first byte `times` times, each by a load and a store of its own.
    #[inline]
    pub fn rewrite(&mut self, times: u64) {
        let first = self.start.as_ptr();
        for _ in 0..times {
            // SAFETY: all constructors write the byte.
            let byte = unsafe { first.read_volatile() };
            // SAFETY: the byte is inside, and nobody else has this block.
            unsafe { first.write_volatile(byte.wrapping_add(1)) };
        }
    }

    /// How many bytes were asked for.
    #[inline]
    pub fn size(&self) -> usize {
        self.size
    }

    /// `size` bytes, at least 1, still to be written.
    #[inline]
    fn uninitialised(size: usize) -> Block {
        let layout = layout(size);
        // SAFETY: the size is not zero: `layout` checks it.
        Block::own(unsafe { alloc(layout) }, layout)
    }

    #[inline]
    fn own(start: *mut u8, layout: Layout) -> Block {
        match NonNull::new(start) {
            Some(start) => Block { start, size: layout.size() },
            None => handle_alloc_error(layout),
        }
    }
}

impl Drop for Block {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the block came from the global allocator with this very layout and is freed once.
        unsafe { dealloc(self.start.as_ptr(), layout(self.size)) };
    }
}

/// A block all of whose bytes are written.
#[derive(Debug)]
pub struct Filled(Block);

impl Filled {
    /// `size` bytes (at least 1), all of them `byte`.
    #[inline]
    pub fn new(size: usize, byte: u8) -> Filled {
        let block = Block::uninitialised(size);
        // SAFETY: the block has `size` bytes.
        unsafe { block.start.write_bytes(byte, size) };
        Filled(block)
    }

    /// `size` bytes (at least 1) of zeroes, by the allocator's own call for that.
    #[inline]
    pub fn zeroed(size: usize) -> Filled {
        let layout = layout(size);
        // SAFETY: the size is not zero: `layout` checks it.
        Filled(Block::own(unsafe { alloc_zeroed(layout) }, layout))
    }

    /// `count` words (at least 1) of eight bytes, each what `word` says of its place.
    #[inline]
    pub fn words(count: usize, word: impl Fn(usize) -> u64) -> Filled {
        let block = Block::uninitialised(count.checked_mul(8).expect("a size that a pointer can span"));
        let words = block.start.cast::<[u8; 8]>();
        for place in 0..count {
            // SAFETY: the block has `count` times eight bytes, and arrays of bytes need no alignment.
            unsafe { words.add(place).write(word(place).to_le_bytes()) };
        }
        Filled(block)
    }

    /// All bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: all `size` bytes are written, and shared with readers only while `self` is.
        unsafe { std::slice::from_raw_parts(self.0.start.as_ptr(), self.0.size) }
    }

    /// All bytes, to write.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: all `size` bytes are written, and this is the only way to them while `self` is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.0.start.as_ptr(), self.0.size) }
    }

    /// The sum of all bytes, eight at a time as far as they go.
    #[inline]
    pub fn sum(&self) -> u64 {
        let (words, rest) = self.bytes().as_chunks::<8>();
        let sum = words.iter().fold(0_u64, |sum, &word| sum.wrapping_add(u64::from_le_bytes(word)));
        rest.iter().fold(sum, |sum, &byte| sum.wrapping_add(u64::from(byte)))
    }
}

/// A block of `size` bytes, at least 1 and at most what a pointer can span.
#[inline]
fn layout(size: usize) -> Layout {
    assert!(size != 0, "a block has at least one byte");
    Layout::from_size_align(size, 1).expect("a size that a pointer can span")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_there() {
        for size in [1, 2, 7, 8, 4096, 4097, 70_000] {
            let block = Block::touched(size, 3);
            assert_eq!((block.first(), block.last(), block.size()), (3, 3, size));
            assert_eq!(Block::paged(size, 4).last(), 4);
            assert!(Filled::new(size, 5).bytes().iter().all(|&byte| byte == 5));
            assert_eq!(Filled::zeroed(size).sum(), 0);
            let mut filled = Filled::new(size, 0);
            filled.bytes_mut()[size - 1] = 9;
            assert_eq!(filled.bytes()[size - 1], 9);
        }
        assert_eq!(Filled::new(17, 1).sum(), 2 * 0x0101_0101_0101_0101 + 1);
        assert_eq!(Filled::words(3, |place| place as u64 + 1).sum(), 6);
        let mut block = Block::touched(1, 250);
        block.rewrite(10);
        assert_eq!(block.first(), 4);
    }
}

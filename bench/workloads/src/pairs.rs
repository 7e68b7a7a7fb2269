//! Allocation and free over and over: what callgrind counts, with N and with 2N pairs, so that the
//! difference is the pairs alone.

use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;

/// Allocates and frees `pairs` blocks of `size` bytes, one at a time.
///
/// The calls go through Rust's global allocator. In the default face that adds libstd's few instructions of
/// choosing malloc by alignment, the same for all contenders.
pub fn run(pairs: u64, size: usize) -> Result<(), String> {
    if size == 0 {
        return Err("--size 0: a block has at least one byte".to_owned());
    }
    let layout =
        Layout::from_size_align(size, 1).map_err(|_| format!("--size {size}: more than any block can have"))?;
    for _ in 0..pairs {
        // SAFETY: the layout's size is not zero.
        let block = unsafe { alloc(black_box(layout)) };
        if block.is_null() {
            return Err(format!("no memory for a block of {size} bytes"));
        }
        // SAFETY: `block` was just allocated with this very layout.
        unsafe { dealloc(black_box(block), black_box(layout)) };
    }
    Ok(())
}

//! Packets for a device or another language: raw blocks of one layout, page-aligned, from chunks.
//! [`FixedPool`].
//!
//! ```console
//! $ cargo run -p stratalloc-pool --example packets
//! ```

use std::alloc::Layout;
use std::ptr::NonNull;
use stratalloc_pool::{FixedPool, Growth, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // 1500 bytes, at pages of their own: what a network card would be given.
    let options = Options::new().capacity(32).growth(Growth::None).align(4096);
    let pool = FixedPool::with_options(Layout::from_size_align(1500, 1)?, options)?;

    let mut ring: Vec<NonNull<u8>> = Vec::new();
    for packet in 0..1000u32 {
        let block = match pool.try_acquire() {
            Ok(block) => block,
            Err(_) => {
                // All in flight: the oldest came back.
                let oldest = ring.remove(0);
                // SAFETY: nobody uses the packet that came back.
                unsafe { pool.release(oldest) }?;
                pool.try_acquire()?
            }
        };
        assert_eq!(block.as_ptr().addr() % 4096, 0);
        // SAFETY: the block is ours and 1500 bytes long.
        unsafe { block.cast::<u32>().write(packet) };
        ring.push(block);
    }
    println!("in flight: {}; {}", ring.len(), pool.stats());
    for block in ring {
        // SAFETY: the packets are not used any more.
        unsafe { pool.release(block) }?;
    }
    assert_eq!(pool.live(), 0);
    Ok(())
}

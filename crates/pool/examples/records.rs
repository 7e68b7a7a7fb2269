//! Records of any size in memory that was set aside, without an allocator: [`VarPool`] in a slice. Then
//! the same on the heap, with a collection in it, and what the fits leave behind.
//!
//! ```console
//! $ cargo run -p stratalloc-pool --example records --features allocator-api2-02
//! ```

use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use stratalloc_pool::{Coalescing, Fit, VarOptions, VarPool};

/// Lengths that look like a program's: many short, some long.
fn length(step: usize) -> usize {
    let mixed = step.wrapping_mul(0x9E37_79B9) >> 7;
    if mixed.is_multiple_of(16) { 200 + mixed % 2000 } else { 16 + mixed % 100 }
}

/// Takes and releases blocks until the pool is worn; what its figures are then.
fn wear(pool: &VarPool<impl stratalloc_pool::Source>) -> Result<String, Box<dyn std::error::Error>> {
    let mut records: Vec<NonNull<u8>> = Vec::new();
    for step in 0..5_000 {
        if records.len() == 200 {
            let record = records.swap_remove(length(step) % 200);
            // SAFETY: the record is not used any more.
            unsafe { pool.release(record) }?;
        }
        let record = pool.allocate(Layout::from_size_align(length(step), 8)?)?;
        records.push(record.cast());
    }
    let text = pool.figures().to_string();
    for record in records {
        // SAFETY: as above.
        unsafe { pool.release(record) }?;
    }
    assert_eq!(pool.figures().used, 0);
    Ok(text)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Could be a static, a mapped file, memory that threads or devices share.
    let mut memory = vec![MaybeUninit::uninit(); 128 << 10];
    for fit in [Fit::Best, Fit::First, Fit::Segregated] {
        for coalescing in [Coalescing::Immediate, Coalescing::Deferred] {
            let options = VarOptions::new().fit(fit).coalescing(coalescing).blocks(1000);
            let pool = VarPool::in_slice(options, &mut memory)?;
            println!("{fit:?}, {coalescing:?}: {}", wear(&pool)?);
        }
    }

    #[cfg(feature = "allocator-api2-02")]
    {
        let pool = VarPool::new();
        let mut names = hashbrown::HashMap::new_in(&pool);
        names.extend([(1, "one"), (2, "two")]);
        println!("{} names in {}", names.len(), pool.figures());
    }
    Ok(())
}

//! A heap for each request: what a request allocates goes in one step when it ends, whatever it
//! left behind, and never mixes with what lives longer.
//!
//! ```console
//! $ cargo run --release --example heap_per_request --features allocator-api2-02
//! ```

use allocator_api2_02::vec::Vec;
use stratalloc::{Heap, Stratalloc, snapshot};

#[global_allocator]
static GLOBAL: Stratalloc = Stratalloc;

/// Answers one request with memory from `heap` only.
fn answer(request: usize, heap: &Heap) -> usize {
    let mut rows = Vec::new_in(heap);
    for row in 0..1000 {
        let mut cells = Vec::with_capacity_in(8, heap);
        cells.extend((0..8).map(|cell| request + row * cell));
        rows.push(cells);
    }
    let sum = rows.iter().flat_map(|cells| cells.iter()).sum();
    // Even what is never freed goes with the heap.
    std::mem::forget(rows);
    sum
}

fn main() {
    let before = snapshot().allocated;
    let mut total: usize = 0;
    for request in 0..200 {
        let Some(heap) = Heap::new() else {
            eprintln!("no memory for request {request}");
            continue;
        };
        total = total.wrapping_add(answer(request, &heap));
        if request == 0 {
            println!("one request holds {} KiB", (snapshot().allocated - before) / 1024);
        }
        heap.destroy();
    }
    let left = snapshot().allocated.saturating_sub(before);
    println!("200 requests, checksum {total}; {} KiB left", left / 1024);
}

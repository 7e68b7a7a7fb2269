//! A loop of `alloc` and `dealloc` of one constant layout, for counting instructions.
//!
//! ```console
//! $ cargo build --release --example gate_pair
//! $ for n in 1000000 2000000; do
//! >     valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/gate_pair $n
//! > done
//! ```
//!
//! The difference of the two "Collected" figures, divided by the difference of the rounds, is what a
//! pair costs with the loop around it. `gate_pair N empty` runs the same loop without the pair:
//! what that costs is the loop's.

use std::alloc::{GlobalAlloc, Layout};
use stratalloc::Stratalloc;

#[global_allocator]
static GLOBAL: Stratalloc = Stratalloc;

/// What is allocated: 64 bytes at 16.
const LAYOUT: Layout = match Layout::from_size_align(64, 16) {
    Ok(layout) => layout,
    Err(_) => panic!("a valid layout"),
};

/// A round without a pair: the loop alone.
#[inline(never)]
fn loop_empty(rounds: u64) {
    for _ in 0..rounds {
        // SAFETY: no instruction; keeps the optimiser from removing the round.
        unsafe { std::arch::asm!("", options(nomem, nostack, preserves_flags)) };
    }
}

/// The pair, inlined.
#[inline(never)]
fn loop_pairs(rounds: u64) {
    for _ in 0..rounds {
        // SAFETY: the layout is not empty; the block is freed once, with its layout.
        unsafe {
            let block = GLOBAL.alloc(LAYOUT);
            GLOBAL.dealloc(escape(block), LAYOUT);
        }
    }
}

/// Passes a pointer through a register, so that the pair is not folded away.
#[inline(always)]
fn escape(mut block: *mut u8) -> *mut u8 {
    // SAFETY: no instruction; the compiler must take the value as changed and its target as used.
    unsafe { std::arch::asm!("/* {block} */", block = inout(reg) block, options(nostack, preserves_flags)) };
    block
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let rounds = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    match arguments.next().as_deref() {
        Some("empty") => loop_empty(rounds),
        _ => loop_pairs(rounds),
    }
    println!("{rounds} rounds");
}

//! Blocks of any size: [`VarPool`].
//!
//! ```text
//! pool      the source, growth, what the program calls     slice  the same without a source
//!  └ engine   cuts and merges blocks
//!     ├ index    free blocks by fit: tree (best, first), bins (segregated)
//!     ├ tag      what describes blocks, out of line
//!     └ segments which addresses are the pool's
//! ```

#[cfg(any(feature = "allocator-api2-02", feature = "allocator-api2-04"))]
mod api2;
mod bins;
mod engine;
mod figures;
mod index;
mod options;
mod pool;
mod segments;
mod slice;
mod tag;
#[cfg(test)]
mod tests;
mod tree;

pub use figures::VarFigures;
pub use options::{Coalescing, Fit, VarOptions};
pub use pool::{ResizeError, VarPool};
pub use slice::InSlice;

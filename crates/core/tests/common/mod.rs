//! What the tests of the strata share: an allocator on the heap over a checking mock system, and the
//! oracle.
#![allow(dead_code, unused_imports, missing_docs)] // Each test uses a part; helpers explain themselves.

// The tests run on the allocator that they test; not under a sanitizer, which brings its own.
#[cfg(all(test, not(stratalloc_system)))]
#[global_allocator]
static GLOBAL: stratalloc::Stratalloc = stratalloc::Stratalloc;

pub mod checked;
pub mod oracle;
pub mod pattern;
pub mod random;
pub mod rig;
pub mod worker;

pub use checked::{Checked, Owned};
pub use rig::Rig;

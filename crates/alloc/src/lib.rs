//! Stratalloc: a fast, lean memory allocator in pure Rust that explains itself.
//!
//! One line makes it the allocator of a Rust program; there is no build script and no C compiler:
//!
//! ```
//! #[global_allocator]
//! static GLOBAL: stratalloc::Stratalloc = stratalloc::Stratalloc;
//!
//! let text = String::from("on Stratalloc");
//! assert!(stratalloc::snapshot().allocated >= text.capacity());
//! ```
//!
//! | item | what it is |
//! |---|---|
//! | [`Stratalloc`] | the process's allocator, for `#[global_allocator]` |
//! | [`Heap`] | a heap of one's own: any thread may use it, and it can be freed as a whole |
//! | [`usable_size`], [`trim`], [`snapshot`] | what the allocator knows, and giving memory back now |
//! | [`on_soft_limit`] | a callback when memory in use crosses the soft limit |
//! | [`Options`], [`configure`] | the options of the environment variable `STRATALLOC`, typed |
//! | features `allocator-api2-02`, `allocator-api2-04` | the `Allocator` trait of that crate for both |
//! | [`raw`] | what the C library `libstratalloc` is made from |
//!
//! The strata themselves, and the words for them, are in `stratalloc-core`.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "allocator-api2-02", feature = "allocator-api2-04"))]
mod api2;
#[cfg(feature = "allocator-api2-02")]
mod api2_02;
#[cfg(feature = "allocator-api2-04")]
mod api2_04;
mod global;
mod heap;
mod process;
pub mod raw;
mod report;
mod thread;

pub use global::{Stratalloc, on_soft_limit, snapshot, trim, usable_size};
pub use heap::Heap;
pub use process::configure;
pub use report::{write_json, write_report, write_show};
pub use stratalloc_core::options::{HugePages, Misuse, Options, Problem, ProblemKind, Profile};
pub use stratalloc_core::os::{Bound, Source};
pub use stratalloc_core::stats::{ClassStats, Limits, Snapshot};
pub use stratalloc_os::process::Resident;

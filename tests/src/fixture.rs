//! Rust fixtures under `tests/fixtures/`: crates of their own, built as their users would build them.

use crate::library::{cargo, exclusive, target_dir};
use std::path::PathBuf;

/// Builds the fixture cdylib that has the crate `stratalloc` as its global allocator.
///
/// # Panics
/// When cargo refuses.
pub fn cdylib() -> PathBuf {
    let _lock = exclusive("fixtures");
    let target = target_dir().join("fixtures");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/cdylib/Cargo.toml");
    cargo(&["build", "--release", "--manifest-path", manifest], &target);
    target.join("release/libstratalloc_fixture.so")
}

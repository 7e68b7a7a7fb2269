//! rpmalloc for preloading, with its own start of threads (`ENABLE_PRELOAD`).
//!
//! The crate does not switch on the file that gives rpmalloc's functions their plain names: the linker gives them, as
//! that file does (so its operators new do not throw either).
//!
//! The crate links std, and with it `libgcc_s.so.1`, which an rpmalloc built from its own sources does not load: that
//! shows in the start of short processes, nowhere else. The crate is old, too; the version note says by how much.

use rpmalloc_sys as _;

peers_shim::page_aligned!();
peers_shim::reallocarray!();

//! Google's tcmalloc for preloading: the functions to which its own `libc_override` header gives the plain names,
//! with 8 KiB pages (its default). The crate leaves that header out, so the linker gives the names.
#![no_std]

use libtcmalloc_sys as _;

peers_shim::without_std!();

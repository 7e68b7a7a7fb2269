//! mimalloc 2 for preloading: nothing but its own `MI_MALLOC_OVERRIDE` symbols, built as its authors build
//! `libmimalloc.so` (release, initial-exec TLS, no padding, no checks).
#![no_std]

use libmimalloc_sys as _;

peers_shim::without_std!();

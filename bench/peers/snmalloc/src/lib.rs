//! snmalloc for preloading: the functions of its `malloc.cc`, without its checks, built by its own CMake file.
//!
//! The crate compiles them under the names `sn_malloc` and so on; they are exported under the plain names. Of
//! snmalloc's `new.cc`, which the crate does not compile, only the throwing operators are missed: those are ours. So is
//! `reallocarray`, which snmalloc leaves to glibc.
#![no_std]

use snmalloc_sys as _;

peers_shim::without_std!();
peers_shim::operators!();
peers_shim::reallocarray!();

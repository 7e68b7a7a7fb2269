//! What the peers' packages share.
//!
//! A peer is measured through the functions that its authors wrote for preloading, not through wrappers of ours:
//!
//! | part | for | what it does |
//! |---|---|---|
//! | `exports` (feature `build`) | build scripts | lets a cdylib export symbols of a static C library, by their own or another name |
//! | [`operators!`], [`page_aligned!`], [`reallocarray!`] | libraries | functions of the family that the peer's own library lacks |
//! | [`without_std!`] | libraries | the panic handler of a library that links no std, so that preloading loads nothing else |
//!
//! A function of ours stands only where a peer has none, and none of them is on the path of malloc and free.
#![cfg_attr(not(feature = "build"), no_std)]

#[cfg(feature = "build")]
mod exports;
mod family;

#[cfg(not(feature = "build"))]
pub mod cpp;
#[cfg(not(feature = "build"))]
pub mod page;

#[cfg(feature = "build")]
pub use exports::{ALIGNED, Exports, MALLOC, NOTHROW_NEW, SIZED_DELETE, THROWING_NEW, UNSIZED_DELETE};

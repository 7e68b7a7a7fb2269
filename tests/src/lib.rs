//! Harness of the whole-system tests: programs that run on `libstratalloc.so` as users run them.
//!
//! The tests under `tests/tests/` each name a behaviour. Most compile one C program of `tests/c/`
//! (its header says what it models and which trap it guards), run it with the library preloaded and
//! ask for exit status 0; the program itself checks first that its `malloc` is the library's.
//!
//! | module | does |
//! |---|---|
//! | [`cgroup`] | cgroups with limits, made for a test |
//! | [`library`] | finds or builds the library under test |
//! | [`compile`] | compiles C and C++ sources, cached in the target directory |
//! | [`fixture`] | builds the Rust crates under `tests/fixtures/` |
//! | [`run`] | runs a program under preload, with a time limit, its output captured |
//! | [`tools`] | finds other people's programs, or says which Debian package has them |
//!
//! # Environment
//! * `STRATALLOC_LIBRARY`: the library to test instead of building one. `none` runs everything on
//!   the C library's own malloc, which tells a fault of a test from one of ours.
//! * `SEED`: repeats the choices of a randomised program; each prints its own.

pub mod cgroup;
pub mod compile;
pub mod fixture;
pub mod library;
pub mod run;
pub mod tools;

/// The harness and all tests run on the allocator themselves.
#[global_allocator]
static GLOBAL: stratalloc::Stratalloc = stratalloc::Stratalloc;

/// The Rust in the README compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

pub use compile::{Source, c, cxx};
pub use run::{Outcome, Run, on_libc, on_library};

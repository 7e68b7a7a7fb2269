//! Tests of the program `stratalloc`: it is run, on a stand-in for the library.

#[cfg(target_os = "linux")]
mod common;
mod passed;
mod readme;
mod refused;
mod reported;

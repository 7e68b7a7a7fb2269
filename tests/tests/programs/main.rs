//! Real programs under preload: results and output identical to the same run on the C library's
//! malloc, on the same machine.

mod compilers;
mod git;
mod python;
mod redis;
mod scripts;

use std::path::Path;
use stratalloc_tests::{Outcome, Run, on_libc, on_library};

/// Runs the same command on the C library's malloc and on the library; both must succeed with the
/// same output. `prepare` is called for each, with a name for files of its own.
fn same(program: &Path, prepare: impl Fn(Run, &str) -> Run) -> [Outcome; 2] {
    let libc = prepare(on_libc(program), "libc").outcome();
    assert!(libc.status.success(), "already fails on the C library's malloc: {libc}");
    assert!(!libc.stdout.is_empty(), "prints nothing to compare: {libc}");
    let ours = prepare(on_library(program), "library").outcome();
    assert!(ours.status.success() && !ours.timed_out, "{ours}");
    assert!(
        ours.stdout == libc.stdout,
        "the outputs differ\non the C library's malloc: {libc}\non the library: {ours}"
    );
    assert_eq!(ours.err(), libc.err(), "the messages differ");
    [libc, ours]
}

//! Memory goes back: a process that idles after a busy phase, without any further allocator call.

use stratalloc_tests::{c, on_library};

/// Bytes that the busy phase allocates, MiB.
const BUSY_MIB: i64 = 200;
/// What may stay resident, KiB over the start and over what the blocks still alive hold (the program reckons that):
/// `dirty_min` and some slack, and for each heap the current spans of the classes that it used.
const LEFT_KIB: i64 = 2048 + 512;
const LEFT_IN_A_HEAP_KIB: i64 = 3072;
/// Seconds after which it must be back.
const BACK_WITHIN_S: i64 = 30;

/// `kind`: small, mixed or large blocks. `threads`: `one`, four that stay `idle`, or four that `exited`.
fn comes_back(kind: &str, threads: &str, kept_percent: i64) {
    let program = c("returns/idle.c").build();
    let heaps = if threads == "one" { 1 } else { 5 };
    let left = LEFT_KIB + heaps * LEFT_IN_A_HEAP_KIB;
    on_library(program).arg(kind).arg(threads).args([BUSY_MIB, kept_percent, left, BACK_WITHIN_S]).passes();
}

#[test]
fn small_blocks_of_a_single_threaded_process() {
    comes_back("small", "one", 0);
}

#[test]
fn mixed_blocks_of_a_single_threaded_process() {
    comes_back("mixed", "one", 0);
}

#[test]
fn large_blocks_of_a_single_threaded_process() {
    comes_back("large", "one", 0);
}

#[test]
fn small_blocks_of_threads_that_idle() {
    comes_back("small", "idle", 0);
}

#[test]
fn mixed_blocks_of_threads_that_idle() {
    comes_back("mixed", "idle", 0);
}

#[test]
fn large_blocks_of_threads_that_idle() {
    comes_back("large", "idle", 0);
}

#[test]
fn small_blocks_of_threads_that_exited() {
    comes_back("small", "exited", 0);
}

#[test]
fn mixed_blocks_of_threads_that_exited() {
    comes_back("mixed", "exited", 0);
}

#[test]
fn nine_tenths_freed_in_runs_by_a_single_threaded_process() {
    comes_back("small", "one", 10);
}

#[test]
fn nine_tenths_freed_in_runs_by_threads_that_idle() {
    comes_back("small", "idle", 10);
}

/// A shrunken cache: one block in 64 survives, and most pages between them are free.
fn pages_between_survivors_go_back(how: &str) {
    on_library(c("returns/survivors.c").build()).arg(how).args([128, 64, BACK_WITHIN_S]).passes();
}

#[test]
fn pages_between_survivors_go_back_when_somebody_trims() {
    pages_between_survivors_go_back("trim");
}

#[test]
fn pages_between_survivors_go_back_in_time() {
    pages_between_survivors_go_back("clock");
}

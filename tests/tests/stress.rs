//! Everything at once: every entry point from many threads, a pattern in every byte of every block.

use stratalloc_tests::{c, on_library};

#[test]
fn patterns_survive_eight_threads() {
    on_library(c("stress/patterns.c").build()).args([8, 20_000]).passes();
}

#[test]
fn patterns_survive_more_threads_than_any_machine_has_cores_for() {
    on_library(c("stress/patterns.c").build()).args([48, 3_000]).passes();
}

#[test]
fn patterns_survive_a_crowd() {
    let program = c("stress/patterns.c").build();
    on_library(&program).args([48, 3_000]).env("STRATALLOC", "own_heaps=1").passes();
    on_library(&program).args([4, 20_000]).env("STRATALLOC", "own_heaps=2").passes();
}

#[test]
fn patterns_survive_a_single_thread() {
    on_library(c("stress/patterns.c").build()).args([1, 60_000]).passes();
}

#[test]
fn moved_pages_are_nobody_elses() {
    on_library(c("stress/moved.c").build()).args([4, 1_500]).passes();
}

#[test]
fn moved_pages_of_a_single_thread_are_nobody_elses() {
    on_library(c("stress/moved.c").build()).args([1, 4_000]).passes();
}

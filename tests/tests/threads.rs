//! Threads: many short ones, those that only free, owners that sleep or left, exit hooks, start-up.

use stratalloc_tests::{c, cxx, on_libc, on_library};

/// Growth that a long run may add to its resident memory, KiB.
const GROWTH_KIB: i64 = 4096;
/// What may stay resident after everything is freed, KiB over the start.
const LEFT_KIB: i64 = 4096;
/// Seconds after which freed memory must have come back without any allocator call.
const BACK_WITHIN_S: i64 = 30;

#[test]
fn hundred_thousand_short_threads_leave_memory_bounded() {
    let program = c("threads/short_threads.c").build();
    on_library(program).args([100_000, GROWTH_KIB]).passes();
}

#[test]
fn a_thread_that_only_frees_does_not_hoard() {
    let program = c("threads/only_frees.c").build();
    on_library(program).args([200, GROWTH_KIB]).passes();
}

fn owner_asleep(kind: &str) {
    let program = c("threads/owner_asleep.c").build();
    on_library(program).args([200, LEFT_KIB, BACK_WITHIN_S]).arg(kind).passes();
}

#[test]
fn small_blocks_of_an_owner_that_sleeps_forever_come_back() {
    owner_asleep("small");
}

#[test]
fn mixed_blocks_of_an_owner_that_sleeps_forever_come_back() {
    owner_asleep("mixed");
}

#[test]
fn large_blocks_of_an_owner_that_sleeps_forever_come_back() {
    owner_asleep("large");
}

#[test]
fn blocks_of_owners_that_exited_are_freed_and_their_spans_reused() {
    let program = c("threads/owner_exited.c").build();
    on_library(program).args([100, 2 * GROWTH_KIB]).passes();
}

#[test]
fn key_destructors_allocate_and_free_in_all_four_rounds() {
    let program = c("threads/key_destructors.c").build();
    on_library(program).args([4000, GROWTH_KIB / 2]).passes();
}

#[test]
fn pthread_keys_beyond_thirty_two_work_from_the_first_allocation() {
    on_library(c("threads/keys_beyond_32.c").build()).passes();
}

#[test]
fn cxx_thread_local_destructors_allocate_and_free() {
    let program = cxx("threads/thread_local_destructors.cpp").build();
    on_library(program).args([4000, GROWTH_KIB / 2]).passes();
}

#[test]
fn threads_started_by_constructors_before_main_allocate() {
    let library = c("threads/before_main_library.c").shared().build();
    on_library(c("threads/before_main.c").link(library).build()).passes();
}

/// A thousand threads with a block each cost at most so many KiB a thread over the C library's malloc.
fn one_block_each(options: &str, most: f64) {
    const THREADS: i64 = 1000;
    let program = c("threads/one_block_each.c").build();
    let libc = on_libc(&program).args([THREADS]).passes().figure("RSS ");
    let ours = on_library(&program).args([THREADS]).env("STRATALLOC", options).passes().figure("RSS ");
    let each = (ours - libc) as f64 / THREADS as f64;
    println!("a thread costs {each:.1} KiB over the C library's malloc");
    assert!(each <= most, "{ours} KiB with {THREADS} threads, {libc} KiB on the C library's malloc");
}

#[test]
fn a_thread_with_one_block_in_a_heap_of_its_own_costs_at_most_64_kib() {
    one_block_each("own_heaps=1000000", 64.0);
}

#[test]
fn a_thread_with_one_block_in_a_crowd_costs_at_most_2_kib() {
    one_block_each("", 2.0);
}

// All threads of a crowd: none has a heap of its own before it is busy.

#[test]
fn short_threads_of_a_crowd_leave_memory_bounded() {
    let program = c("threads/short_threads.c").build();
    on_library(program).args([30_000, GROWTH_KIB]).env("STRATALLOC", "own_heaps=1").passes();
}

#[test]
fn a_thread_of_a_crowd_that_only_frees_does_not_hoard() {
    let program = c("threads/only_frees.c").build();
    on_library(program).args([200, GROWTH_KIB]).env("STRATALLOC", "own_heaps=1").passes();
}

#[test]
fn blocks_of_a_crowd_come_back() {
    let program = c("threads/owner_asleep.c").build();
    let run = || on_library(&program).args([200, LEFT_KIB, BACK_WITHIN_S]).env("STRATALLOC", "own_heaps=1");
    for kind in ["small", "mixed", "large"] {
        run().arg(kind).passes();
    }
}

#[test]
fn key_destructors_of_a_crowd_allocate_and_free_in_all_four_rounds() {
    let program = c("threads/key_destructors.c").build();
    on_library(program).args([4000, GROWTH_KIB / 2]).env("STRATALLOC", "own_heaps=1").passes();
}

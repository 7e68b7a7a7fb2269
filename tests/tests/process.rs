//! Process life: fork, signals, other ways to start a program, loading and unloading, copies, limits.

use std::fs;
use stratalloc_tests::library::{archive, scratch_dir, shared_object};
use stratalloc_tests::{c, fixture, on_libc, on_library};

/// Growth that a long run may add to its resident memory, KiB.
const GROWTH_KIB: i64 = 2048;
/// The address-space limit of issue line 7, MiB, and what of it must be usable.
const LIMIT_MIB: i64 = 64;
const USABLE_MIB: i64 = 24;

#[test]
fn fork_while_threads_allocate() {
    on_library(c("process/fork_threads.c").build()).args([200]).passes();
}

#[test]
fn fork_while_a_crowd_allocates() {
    on_library(c("process/fork_threads.c").build()).args([200]).env("STRATALLOC", "own_heaps=1").passes();
}

#[test]
fn fork_in_signal_handlers_of_a_crowd() {
    let program = c("process/fork_in_signal.c").build();
    for kind in ["one", "threads", "locking"] {
        on_library(&program).args([kind, "1000"]).env("STRATALLOC", "own_heaps=1").passes();
    }
}

#[test]
fn fork_while_threads_read_and_flush_streams() {
    on_library(c("process/fork_streams.c").build()).args([25]).passes();
}

#[test]
fn fork_in_a_signal_handler_that_interrupted_malloc() {
    on_library(c("process/fork_in_signal.c").build()).args(["one", "2000"]).passes();
}

#[test]
fn fork_in_signal_handlers_of_many_threads() {
    on_library(c("process/fork_in_signal.c").build()).args(["threads", "2000"]).passes();
}

#[test]
fn fork_with_handlers_in_signal_handlers_of_many_threads() {
    on_library(c("process/fork_in_signal.c").build()).args(["locking", "1000"]).passes();
}

#[test]
fn vfork_posix_spawn_system_and_popen() {
    on_library(c("process/spawn.c").build()).args([100]).passes();
}

#[test]
fn plugins_in_c_load_and_unload() {
    let plugin = c("process/dlopen_library.c").shared().build();
    on_library(c("process/dlopen_loop.c").build()).arg(plugin).args([200, GROWTH_KIB]).passes();
}

#[test]
fn a_rust_plugin_on_the_crate_loads_into_a_process_on_the_library() {
    let program = c("process/dlopen_loop.c").build();
    on_library(program).arg(fixture::cdylib()).args([20, 4 * GROWTH_KIB]).passes();
}

#[test]
fn a_rust_plugin_on_the_crate_loads_into_a_process_on_libc() {
    let program = c("process/dlopen_loop.c").build();
    on_libc(program).arg(fixture::cdylib()).args([20, 4 * GROWTH_KIB]).passes();
}

#[test]
fn the_library_itself_is_loaded_used_and_unloaded() {
    on_libc(c("process/own_library_loop.c").build()).arg(shared_object()).args([20]).passes();
}

#[test]
fn two_copies_serve_one_process() {
    let copy = scratch_dir().join("libanothercopy.so");
    fs::copy(shared_object(), &copy).expect("a copy of the library");
    let program = c("process/two_copies.c").build();
    on_library(&program).arg(&copy).passes();
    on_library(&program).arg(&copy).env("STRATALLOC", "deepbind=1").passes();
}

#[test]
fn libraries_loaded_for_themselves_use_the_same_malloc() {
    let library = c("process/deepbind_library.c").shared().build();
    let program = c("process/deepbind.c")
        .flag("-Wl,--enable-new-dtags")
        .link(format!("-Wl,-rpath,{}", scratch_dir().display()));
    let name = library.file_name().expect("a file");
    on_library(program.build()).arg(name).arg("shared").passes();
    on_library(program.build()).arg(name).arg("own").env("STRATALLOC", "deepbind=1").passes();
    // Linked into the program, its dlopen stands before the C library's as well.
    on_libc(program.flag("-rdynamic").link(archive()).build()).arg(name).arg("shared").passes();
}

#[test]
fn a_static_executable_runs_on_the_archive() {
    let source = c("process/static_executable.c").flag("-static").link(archive());
    let outcome = on_libc(source.build()).env("STRATALLOC", "show").passes();
    assert!(outcome.err().contains("stratalloc"), "malloc is not the archive's: {outcome}");
}

#[test]
fn an_address_space_limit_is_used_to_its_end_and_survived() {
    on_library(c("process/address_space_limit.c").build()).args([LIMIT_MIB, 0, USABLE_MIB]).passes();
}

#[test]
fn threads_share_an_address_space_limit() {
    on_library(c("process/address_space_limit.c").build()).args([LIMIT_MIB, 6, USABLE_MIB]).passes();
}

#[test]
fn memory_stays_correct_when_madvise_is_denied() {
    on_library(c("process/denied_system_call.c").build()).arg("madvise").passes();
}

#[test]
fn memory_stays_correct_when_mremap_is_denied() {
    on_library(c("process/denied_system_call.c").build()).arg("mremap").passes();
}

#[test]
fn memory_stays_correct_when_munmap_is_denied() {
    on_library(c("process/denied_system_call.c").build()).arg("munmap").passes();
}

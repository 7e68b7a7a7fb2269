//! Limits of containers, in cgroups made for each test: memory stays below them, caches follow them, the soft
//! limit purges and then calls, the hard one refuses.
//!
//! A test that cannot have a cgroup here prints the reason and checks nothing; with root and cgroups of version 1
//! there is none. Version 2 is tested in a virtual machine by `scripts/cgroup2.sh`, with the same programs.

use std::collections::HashMap;
use std::fs;
use stratalloc_tests::cgroup::{Cgroup, Controller};
use stratalloc_tests::tools::Folder;
use stratalloc_tests::{Outcome, Run, c, on_library};

const MIB: u64 = 1 << 20;

/// A cgroup, or the reason why the test checks nothing.
fn cgroup(controller: Controller) -> Option<Cgroup> {
    let cgroup = Cgroup::new(controller);
    if let Err(reason) = &cgroup {
        eprintln!("SKIPPED: no cgroup can be made for this test: {reason}");
    }
    cgroup.ok()
}

/// Runs a program and reads the statistics that it leaves.
fn reported(run: Run, options: &str) -> (Outcome, HashMap<String, u64>) {
    let folder = Folder::new("report");
    let report = folder.join("report");
    let outcome = run.env("STRATALLOC", format!("report={},{options}", report.display())).passes();
    let text = fs::read_to_string(report).expect("the report");
    let figures = text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.parse().ok()?))
    });
    (outcome, figures.collect())
}

/// 80 MiB of records of which half is freed, then 70 MiB of tables, in 128 MiB; `dirty_min` would let all stay.
fn fragments(options: &str) -> Option<(Outcome, u64)> {
    let cgroup = cgroup(Controller::Memory)?;
    cgroup.set_memory_max(128 * MIB);
    let run = on_library(c("container/fragments.c").build()).args([80, 70]).inside(&cgroup);
    let outcome = run.env("STRATALLOC", options).outcome();
    let peak = cgroup.memory_peak().unwrap_or(0);
    println!("peak {} KiB of 131072: {outcome}", peak >> 10);
    Some((outcome, peak))
}

#[test]
fn dirty_memory_goes_before_the_containers_limit_is_reached() {
    if let Some((outcome, peak)) = fragments("dirty_min=1G") {
        assert!(outcome.status.success(), "{outcome}");
        assert!(peak < 122 * MIB, "{peak} bytes: the soft limit is 112 MiB");
    }
}

#[test]
fn without_following_the_same_program_hits_the_limit() {
    if let Some((outcome, peak)) = fragments("dirty_min=1G,follow_cgroup=0") {
        // Killed, or, where there is swap, swapped out.
        assert!(outcome.signal() == libc::SIGKILL || peak == 128 * MIB, "{peak}: {outcome}");
    }
}

#[test]
fn the_soft_limit_is_seven_eighths_of_the_hard_one_and_calls_after_purging() {
    if let Some(cgroup) = cgroup(Controller::Memory) {
        cgroup.set_memory_max(128 * MIB);
        let program = c("container/soft_limit.c").build();
        let (outcome, figures) = reported(on_library(program).args([112 << 10]).inside(&cgroup), "dirty_min=64M");
        assert_eq!(outcome.figure("CALLS "), 2);
        assert_eq!((figures["memory_max"], figures["soft_limit"]), (128 * MIB, 112 * MIB));
        assert_eq!(figures["soft_crossings"], 2);
    }
}

#[test]
fn the_containers_own_soft_limit_counts_where_it_is_tighter() {
    if let Some(cgroup) = cgroup(Controller::Memory) {
        cgroup.set_memory_max(256 * MIB);
        cgroup.set_memory_high(100 * MIB);
        let program = c("container/soft_limit.c").build();
        let (_, figures) = reported(on_library(program).args([100 << 10, 4096]).inside(&cgroup), "dirty_min=64M");
        assert_eq!((figures["memory_high"], figures["soft_limit"]), (100 * MIB, 100 * MIB));
    }
}

#[test]
fn the_option_soft_limit_needs_no_container_and_goes_before_it() {
    let program = || on_library(c("container/soft_limit.c").build()).args([64 << 10]);
    let (_, figures) = reported(program(), "dirty_min=64M,soft_limit=64M");
    assert_eq!(figures["soft_limit"], 64 * MIB);
    let (_, figures) = reported(program(), "dirty_min=64M,soft_limit=64M,follow_cgroup=0");
    assert_eq!((figures["soft_limit"], figures["memory_max"], figures["cpus"]), (64 * MIB, 0, 0));
    if let Some(cgroup) = cgroup(Controller::Memory) {
        cgroup.set_memory_max(1024 * MIB);
        reported(program().inside(&cgroup), "dirty_min=64M,soft_limit=64M");
    }
}

#[test]
fn without_following_no_callback_comes_from_a_container() {
    if let Some(cgroup) = cgroup(Controller::Memory) {
        cgroup.set_memory_high(50 * MIB);
        let run = on_library(c("container/soft_limit.c").build()).args([0]).inside(&cgroup);
        reported(run, "follow_cgroup=0");
    }
}

#[test]
fn the_hard_limit_returns_null_after_all_that_is_free_was_tried() {
    on_library(c("container/hard_limit.c").build()).env("STRATALLOC", "limit=64M").passes();
    let huge = "limit=64M,dirty_min=1G,dirty_percent=100";
    on_library(c("container/hard_limit.c").build()).env("STRATALLOC", huge).passes();
}

#[test]
fn parked_heaps_follow_the_cpu_quota() {
    // Each of the 24 threads has a heap of its own.
    let run = || on_library(c("container/parked_heaps.c").build()).args([24]);
    let (_, free) = reported(run(), "own_heaps=24");
    assert_eq!(free["parked_limit"], 16.min(8 * free["cpus"]), "{free:?}");
    let Some(cgroup) = cgroup(Controller::Cpu) else { return };
    for (hundredths, cpus) in [(30, 1), (100, 1), (101, 2), (400, 4)] {
        cgroup.set_cpus(hundredths);
        let (_, figures) = reported(run().inside(&cgroup), "own_heaps=24");
        let cpus = cpus.min(free["cpus"]);
        assert_eq!(figures["cpus"], cpus, "{hundredths} hundredths of a CPU");
        assert_eq!(figures["parked_limit"], 16.min(8 * cpus));
        let (parked, limit) = (figures["parked"], figures["parked_limit"]);
        // Threads that leave at the same time may be a few more.
        assert!((limit..limit + 4).contains(&parked), "24 heaps were left, {parked} parked of {limit}");
        let (_, figures) = reported(run().inside(&cgroup), "own_heaps=24,follow_cgroup=0");
        assert!((16..20).contains(&figures["parked"]) && figures["cpus"] == 0, "{figures:?}");
    }
}

#[test]
fn show_names_the_limits_and_where_they_come_from() {
    let run = || on_library(c("process/small_program.c").build());
    let text = run().env("STRATALLOC", "show,soft_limit=1G").passes().err();
    assert!(text.contains("soft limit        1.0 GiB  by the option soft_limit"), "{text}");
    assert!(text.contains("by CPU affinity"), "{text}");
    let Some(memory) = cgroup(Controller::Memory) else { return };
    memory.set_memory_max(80 * MIB);
    let text = run().inside(&memory).env("STRATALLOC", "show").passes().err();
    let file = ["memory.limit_in_bytes", "memory.max"][memory.version as usize - 1];
    assert!(text.contains(&format!("memory max       80.0 MiB  by the cgroup's {file}")), "{text}");
    assert!(text.contains(&format!("soft limit       70.0 MiB  7/8 of the cgroup's {file}")), "{text}");
}

#[test]
fn in_a_cgroup_namespace_the_containers_limit_is_found() {
    let Some(cgroup) = cgroup(Controller::Memory) else { return };
    cgroup.set_memory_max(96 * MIB);
    let folder = Folder::new("namespace");
    let small = c("process/small_program.c").build();
    let namespace = c("container/namespace.c").build();
    let run = on_library(namespace).args([cgroup.version]).arg("memory").arg(folder.path()).arg(small);
    let text = run.inside(&cgroup).env("STRATALLOC", "show").passes().err();
    // At the helper's start, outside of the namespace, and at the program's start and end, inside.
    assert_eq!(text.matches("soft limit       84.0 MiB  7/8 of the cgroup's memory").count(), 3, "{text}");
}

//! The binary as the harness calls it: each workload repeats itself, and bad input is answered plainly.

use std::process::{Command, Output};

use stratalloc_bench_protocol::{Description, Group, Outcome};

fn workload(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_workload")).args(arguments).output().expect("the binary starts")
}

fn outcome(arguments: &[&str]) -> Outcome {
    let output = workload(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {}: {errors}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

/// What a call that must fail says.
fn refusal(arguments: &[&str]) -> String {
    let output = workload(arguments);
    assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// All that run in the workload's own process.
fn in_process() -> Vec<Description> {
    let all: Vec<Description> = serde_json::from_slice(&workload(&["list"]).stdout).unwrap();
    all.into_iter().filter(|description| description.group != Group::Program).collect()
}

#[test]
fn every_workload_repeats_itself_and_grows_with_the_scale() {
    for description in in_process() {
        let name = &description.name;
        let small = outcome(&["run", name, "--scale", "0.02", "--seed", "7"]);
        let again = outcome(&["run", name, "--scale", "0.02", "--seed", "7"]);
        let large = outcome(&["run", name, "--scale", "0.15", "--seed", "7"]);
        assert_eq!((small.operations, small.checksum), (again.operations, again.checksum), "{name}");
        assert!(small.operations > 0 && small.operations < large.operations, "{name}: {}", small.operations);
        assert_ne!(small.checksum, large.checksum, "{name}");
        assert_eq!((&small.workload, small.threads), (name, description.threads));
        assert!(small.wall > 0.0 && small.peak_rss >= small.start_rss && small.start_rss > 0, "{name}: {small:?}");
        assert_eq!(small.rest_rss, None);
    }
}

#[test]
fn threads_are_as_many_as_asked_for() {
    for description in in_process().into_iter().filter(|description| description.scales_with_threads) {
        for threads in [1_u32, 3] {
            let name = &description.name;
            let arguments = ["run", name, "--scale", "0.02", "--threads", &threads.to_string()];
            let (one, again) = (outcome(&arguments), outcome(&arguments));
            assert_eq!(one.threads, threads, "{name}");
            assert_eq!((one.operations, one.checksum), (again.operations, again.checksum), "{name} by {threads}");
        }
    }
}

#[test]
fn the_seed_changes_the_work() {
    for name in ["larson", "alloc-test-1", "cfrac", "realloc-mixed", "rptest"] {
        let run = |seed| outcome(&["run", name, "--scale", "0.02", "--seed", seed]).checksum;
        assert_ne!(run("1"), run("2"), "{name}");
    }
}

#[test]
fn memory_is_seen_at_its_peak_and_at_rest() {
    let outcome = outcome(&["run", "malloc-large", "--scale", "0.05", "--rest", "50"]);
    // Thirty buffers of 5 to 25 MiB in twenty places, the first of them all held.
    assert!(outcome.peak_rss > outcome.start_rss + (64 << 10), "{} KiB", outcome.peak_rss);
    let rest = outcome.rest_rss.expect("asked for");
    assert!(rest > 0 && rest <= outcome.peak_rss, "{rest} of {}", outcome.peak_rss);
    assert!(outcome.minor_faults > 16 << 10 && outcome.user + outcome.system > 0.0);
    assert!(!outcome.rss_by_work.is_empty() && outcome.rss_by_work.is_sorted());
    assert!(outcome.latency.is_none() || cfg!(feature = "latency"));
}

#[test]
fn the_allocator_is_the_file_that_malloc_comes_from() {
    let outcome = outcome(&["run", "cfrac", "--scale", "0.02"]);
    let named = outcome.allocator.starts_with("global:");
    assert!(named || std::path::Path::new(&outcome.allocator).is_file(), "{}", outcome.allocator);
}

#[test]
fn an_unknown_name_is_answered_with_near_ones() {
    let message = refusal(&["run", "larsen"]);
    assert!(message.contains("'larsen'") && message.contains("larson"), "{message}");
    let message = refusal(&["program", "no-such-program"]);
    assert!(message.contains("'no-such-program'"), "{message}");
    let message = refusal(&["program", "larson"]);
    assert!(message.contains("workload run larson"), "{message}");
}

#[test]
fn bad_values_are_named() {
    for scale in ["0", "-1", "inf", "NaN", "much"] {
        let message = refusal(&["run", "cfrac", &format!("--scale={scale}")]);
        assert!(message.contains(scale) && message.contains("--scale"), "{message}");
    }
    let message = refusal(&["run", "cfrac", "--threads", "4"]);
    assert!(message.contains("--threads 4") && message.contains("cfrac"), "{message}");
    let message = refusal(&["run", "larson", "--threads", "0"]);
    assert!(message.contains("--threads"), "{message}");
    let message = refusal(&["instructions", "--pairs", "1", "--size", "0"]);
    assert!(message.contains("--size 0"), "{message}");
}

#[test]
fn pairs_leave_nothing_to_say() {
    let output = workload(&["instructions", "--pairs", "1000", "--size", "64"]);
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}

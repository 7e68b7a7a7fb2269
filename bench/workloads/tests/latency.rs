//! The `latency` face counts each call of the measured part, and none of its own.
#![cfg(feature = "latency")]

use std::process::Command;

use stratalloc_bench_protocol::{Latency, Outcome};

fn latency(name: &str) -> (u64, Latency) {
    let output = Command::new(env!("CARGO_BIN_EXE_workload"))
        .args(["run", name, "--scale", "0.02"])
        .output()
        .expect("the binary starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let outcome: Outcome = serde_json::from_slice(&output.stdout).unwrap();
    (outcome.operations, outcome.latency.expect("this is the face for it"))
}

#[test]
fn a_workload_of_nothing_else_counts_exactly_its_blocks() {
    // Buffers in an array, nothing else: each replacement is one allocation and, in time, one free.
    let (operations, latency) = latency("malloc-large");
    assert_eq!((latency.allocate.count(), latency.free.count()), (operations, operations));
}

#[test]
fn calls_of_several_threads_are_all_counted() {
    // Beside the blocks only the vectors of batches and what a started thread needs.
    let (operations, latency) = latency("glibc-simple");
    let beside = latency.allocate.count() - operations;
    assert!((1..30).contains(&beside), "{beside} allocations beside {operations}");
    assert_eq!(latency.allocate.count(), latency.free.count());
}

#[test]
fn times_ascend_and_are_of_a_call_s_length() {
    let (_, latency) = latency("alloc-test-n");
    for buckets in [&latency.allocate, &latency.free] {
        assert!(buckets.0.is_sorted_by(|a, b| a.0 < b.0), "{buckets:?}");
        let median = buckets.quantile(0.5).unwrap();
        assert!((1..100_000).contains(&median), "{median} ns");
    }
}

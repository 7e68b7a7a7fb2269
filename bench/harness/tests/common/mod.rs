//! What several tests need: made-up results.

use stratalloc_bench::store::{ContenderRecord, Face, Kind, Machine, Plan, Results, Sample};
use stratalloc_bench_protocol::{Description, Group, Outcome};

/// An outcome of so many seconds and so much memory.
pub fn outcome(workload: &str, wall: f64, peak_rss: u64) -> Outcome {
    Outcome {
        workload: workload.into(),
        threads: 1,
        operations: 10,
        wall,
        user: wall,
        system: 0.0,
        peak_rss,
        start_rss: 100,
        rest_rss: Some(peak_rss / 2),
        minor_faults: peak_rss / 4,
        major_faults: 0,
        voluntary_switches: 1,
        involuntary_switches: 1,
        allocator: String::new(),
        checksum: 7,
        latency: None,
        extra: Vec::new(),
        rss_by_work: Vec::new(),
    }
}

/// A throughput sample under preload.
pub fn sample(workload: &str, contender: &str, round: u32, wall: f64, peak_rss: u64) -> Sample {
    Sample {
        workload: workload.into(),
        contender: contender.into(),
        face: Face::Preload,
        kind: Kind::Throughput,
        round,
        threads: None,
        scale: 1.0,
        seed: 1,
        outcome: Some(outcome(workload, wall, peak_rss)),
        failure: None,
        disagrees: false,
        foreign_load: 0.0,
        disturbed: false,
        attempts: 1,
        rss_over_time: Vec::new(),
        counters: None,
        instructions_per_pair: None,
    }
}

/// Results without samples.
pub fn results(contenders: &[&str], workloads: &[&str]) -> Results {
    let plan = Plan {
        scale: 1.0,
        seed: 1,
        rest: 1000,
        rest_rounds: 2,
        threads: None,
        rounds: 5,
        latency_rounds: 0,
        scaling: Vec::new(),
        disturbance: 0.1,
    };
    let mut results = Results::new(Machine::default(), plan);
    results.contenders = contenders.iter().map(|name| record(name)).collect();
    results.workloads = workloads.iter().map(|name| description(name)).collect();
    results
}

/// A contender that could be built.
pub fn record(name: &str) -> ContenderRecord {
    ContenderRecord {
        name: name.into(),
        face: Face::Preload,
        version: "1".into(),
        path: None,
        fingerprint: None,
        note: None,
        failure: None,
        lags_behind: None,
    }
}

/// A classic workload.
pub fn description(name: &str) -> Description {
    Description {
        name: name.into(),
        group: Group::Classic,
        models: String::new(),
        source: String::new(),
        sensitive_to: String::new(),
        threads: 1,
        scales_with_threads: false,
        latency: false,
        memory: None,
        program: None,
    }
}

//! Made-up results for the report's tests: shaped like those of a real run, the same each time.

use fastrand::Rng;
use stratalloc_bench_protocol::{Buckets, Description, Group, Latency, Outcome, ProgramState};

use crate::store::{ContenderRecord, Face, Kind, Machine, Plan, Results, Sample};

/// Name, version, factor on time, factor on memory.
const CONTENDERS: [(&str, &str, f64, f64); 11] = [
    ("stratalloc", "0.1.0", 1.02, 1.05),
    ("stratalloc-null", "0.1.0", 1.02, 1.05),
    ("mimalloc3", "3.4.3", 1.12, 1.62),
    ("mimalloc2", "2.2.4", 1.04, 1.50),
    ("snmalloc", "0.7.4", 1.06, 1.24),
    ("jemalloc", "5.3.0", 1.30, 1.25),
    ("tcmalloc", "2026-08", 1.20, 1.63),
    ("rpmalloc", "1.4.4", 1.27, 1.18),
    ("rusty-alloc", "0.3.1", 1.25, 1.20),
    ("gperftools", "2.10", 1.28, 1.50),
    ("glibc", "2.36", 1.60, 1.08),
];

const WORKLOADS: [(&str, Group, f64, f64); 27] = [
    ("larson", Group::Classic, 0.6, 60.0),
    ("mstress", Group::Classic, 0.4, 90.0),
    ("xmalloc", Group::Classic, 0.9, 30.0),
    ("sh6", Group::Classic, 1.1, 40.0),
    ("sh8", Group::Classic, 1.3, 45.0),
    ("cache-scratch", Group::Classic, 0.3, 4.0),
    ("cache-thrash", Group::Classic, 0.3, 4.0),
    ("alloc-test", Group::Classic, 1.8, 29.0),
    ("glibc-simple", Group::Classic, 1.0, 5.0),
    ("glibc-thread", Group::Classic, 1.0, 9.0),
    ("rptest", Group::Classic, 1.4, 120.0),
    ("malloc-large", Group::Classic, 2.5, 390.0),
    ("mleak", Group::Classic, 0.9, 8.0),
    ("cfrac", Group::Classic, 2.1, 4.0),
    ("realloc-doubling", Group::Classic, 0.5, 1100.0),
    ("web-server", Group::Scene, 2.2, 150.0),
    ("database-churn", Group::Scene, 3.0, 420.0),
    ("game", Group::Scene, 2.0, 210.0),
    ("message-broker", Group::Scene, 1.9, 80.0),
    ("live-1m", Group::Scene, 0.4, 3.0),
    ("live-16m", Group::Scene, 0.5, 20.0),
    ("live-256m", Group::Scene, 0.9, 290.0),
    ("live-2g", Group::Scene, 2.9, 2300.0),
    ("redis", Group::Program, 4.0, 60.0),
    ("cpython", Group::Program, 5.0, 30.0),
    ("sqlite3", Group::Program, 3.0, 25.0),
    ("long-churn", Group::Growth, 0.9, 55.0),
];

/// How many of what to make up.
pub struct Extent {
    pub contenders: usize,
    pub workloads: usize,
    pub rounds: u32,
    pub faces: Vec<Face>,
}

impl Extent {
    /// Little, so that a test takes no time; of each group and each kind of plot something.
    pub fn small() -> Extent {
        Extent { contenders: 4, workloads: WORKLOADS.len(), rounds: 3, faces: vec![Face::Preload] }
    }

    /// As much as a real run has.
    pub fn realistic() -> Extent {
        Extent {
            contenders: CONTENDERS.len(),
            workloads: WORKLOADS.len(),
            rounds: 5,
            faces: vec![Face::Preload, Face::Rust],
        }
    }
}

/// A machine that does not exist.
pub fn machine() -> Machine {
    Machine {
        cpu: "Made-up Processor 9000".to_owned(),
        cores: 8,
        memory: 32 << 20,
        kernel: "6.12.0".to_owned(),
        libc: "glibc 2.36".to_owned(),
        rustc: "rustc 1.95.0".to_owned(),
        governor: Some("performance".to_owned()),
        huge_pages: Some("madvise".to_owned()),
        counters: false,
        date: "2026-11-22T15:04:00Z".to_owned(),
    }
}

/// What was asked for.
pub fn plan(rounds: u32) -> Plan {
    Plan {
        scale: 1.0,
        seed: 42,
        rest: 1000,
        rest_rounds: 2,
        threads: None,
        rounds,
        latency_rounds: 3,
        scaling: vec![1, 2, 4, 8],
        disturbance: 0.1,
    }
}

/// A contender that could be built.
pub fn contender(name: &str, face: Face, version: &str) -> ContenderRecord {
    ContenderRecord {
        name: name.to_owned(),
        face,
        version: version.to_owned(),
        path: None,
        fingerprint: None,
        note: (name == "gperftools").then(|| "Debian's build".to_owned()),
        failure: None,
        lags_behind: (name == "rpmalloc").then(|| "2.0.1".to_owned()),
    }
}

/// A workload in words.
pub fn workload(name: &str, group: Group) -> Description {
    Description {
        name: name.to_owned(),
        group,
        models: format!("What {name} models, in a sentence of usual length that says who allocates what."),
        source: "A publication, 1998".to_owned(),
        sensitive_to: format!("What {name} shows: how fast memory of one thread comes back from another."),
        threads: 4,
        scales_with_threads: name == "larson" || name == "mstress",
        latency: name == "game" || name == "web-server",
        memory: None,
        program: (group == Group::Program).then(|| ProgramState { package: name.to_owned(), missing: None }),
    }
}

/// An outcome of given time and memory (KiB), all else in proportion.
pub fn outcome(workload: &str, wall: f64, peak: u64) -> Outcome {
    Outcome {
        workload: workload.to_owned(),
        threads: 4,
        operations: 1_000_000,
        wall,
        user: wall * 1.6,
        system: wall * 0.2,
        peak_rss: peak,
        start_rss: 1800,
        rest_rss: Some(1800 + peak / 5),
        minor_faults: peak / 4,
        major_faults: 0,
        voluntary_switches: 120,
        involuntary_switches: 40,
        allocator: "made up".to_owned(),
        checksum: 1,
        latency: None,
        extra: Vec::new(),
        rss_by_work: Vec::new(),
    }
}

/// A sample that counts.
pub fn sample(contender: &ContenderRecord, kind: Kind, round: u32, outcome: Outcome) -> Sample {
    Sample {
        workload: outcome.workload.clone(),
        contender: contender.name.clone(),
        face: contender.face,
        kind,
        round,
        threads: None,
        scale: 1.0,
        seed: 42,
        outcome: Some(outcome),
        failure: None,
        disagrees: false,
        foreign_load: 0.01,
        disturbed: false,
        attempts: 1,
        rss_over_time: Vec::new(),
        counters: None,
        instructions_per_pair: None,
    }
}

/// A histogram with a long tail around a middle, nanoseconds.
fn tail(random: &mut Rng, middle: f64, calls: u32) -> Buckets {
    let mut buckets = Buckets::default();
    let mut left = f64::from(calls);
    let mut bound = middle;
    while left >= 1.0 {
        let here = (left * (0.45 + 0.3 * random.f64())).ceil();
        buckets.0.push((bound as u64, here as u64));
        left -= here;
        bound = (bound * (1.12 + 0.5 * random.f64())).max(bound + 1.0);
    }
    buckets
}

/// Noise of a share to both sides.
fn jitter(random: &mut Rng, share: f64) -> f64 {
    1.0 + share * (random.f64() + random.f64() - 1.0)
}

/// Results like those of a run without any trouble.
pub fn results(extent: &Extent) -> Results {
    let mut random = Rng::with_seed(7);
    let mut results = Results::new(machine(), plan(extent.rounds));
    for &(name, group, ..) in &WORKLOADS[..extent.workloads] {
        results.workloads.push(workload(name, group));
    }
    for &face in &extent.faces {
        // Of the first half the front, of the second the end: glibc is always among them.
        let ends = (0..extent.contenders).map(|index| match index + 1 == extent.contenders {
            true => CONTENDERS.len() - 1,
            false => index,
        });
        for (name, version, time, memory) in ends.map(|index| CONTENDERS[index]) {
            let name = if face == Face::Rust { format!("global-{name}") } else { name.to_owned() };
            let no_library = ["global-glibc", "global-gperftools", "global-stratalloc-null"];
            if no_library.contains(&&*name) {
                continue;
            }
            let record = contender(&name, face, version);
            for (index, &(workload, group, wall, mib)) in WORKLOADS[..extent.workloads].iter().enumerate() {
                if face == Face::Rust && group == Group::Program {
                    continue;
                }
                // The same for a contender and its copy.
                let mut own = Rng::with_seed((version.len() * 1000 + index) as u64 + (time * 500.0) as u64);
                let (fast, lean) = (time * (0.8 + 0.7 * own.f64().powi(2)), memory * (0.85 + 0.4 * own.f64()));
                let fast = if workload == "malloc-large" { fast * (1.0 + 9.0 * own.f64()) } else { fast };
                one_workload(&mut results, &mut random, &record, extent, (workload, wall * fast, mib * lean));
            }
            for (size, base) in [(16, 29.0), (64, 29.0), (1024, 30.0), (8192, 33.0), (65_536, 160.0)] {
                let mut sample = sample(&record, Kind::Instructions, 0, outcome("", 0.0, 0));
                sample.workload = format!("pair-{size}");
                sample.outcome = None;
                sample.instructions_per_pair = Some(base * time * time);
                results.samples.push(sample);
            }
            results.contenders.push(record);
        }
    }
    results
}

fn one_workload(
    results: &mut Results,
    random: &mut Rng,
    record: &ContenderRecord,
    extent: &Extent,
    (name, wall, mib): (&str, f64, f64),
) {
    for round in 0..extent.rounds {
        let wall = wall * jitter(random, 0.03);
        let peak = (mib * 1024.0 * jitter(random, 0.01)) as u64;
        let mut outcome = outcome(name, wall, peak);
        if name.starts_with("live-") {
            outcome.extra.push(("ns per replacement".to_owned(), 40.0 * wall.sqrt() * 10.0));
            outcome.extra.push(("resident bytes per live byte at end".to_owned(), 1.0 + mib.ln() / 40.0));
        }
        if name == "long-churn" {
            for tenth in 1..=10 {
                let figure = 1.5 + mib / 100.0 + f64::from(tenth) / 100.0;
                outcome.extra.push((format!("resident bytes per live byte, highest in tenth {tenth}"), figure));
            }
        }
        if name == "game" {
            outcome.extra.push(("frames over 16 ms".to_owned(), f64::from(round / 4)));
        }
        if name == "database-churn" {
            let steps = (0..60).map(|step| {
                let grown = 1.0 - (-f64::from(step) / 18.0).exp();
                (u64::from(step as u32) * 1000, (peak as f64 * (0.4 + 0.6 * grown) * jitter(random, 0.02)) as u64)
            });
            outcome.rss_by_work = steps.collect();
        }
        let mut sample = sample(record, Kind::Throughput, round, outcome);
        let points = (wall * 40.0).clamp(4.0, 160.0) as u64;
        sample.rss_over_time = (0..=points)
            .map(|point| {
                let share = point as f64 / points as f64;
                let shape = if share < 0.7 { (share / 0.7).sqrt() * jitter(random, 0.05) } else { 0.25 };
                ((share * (wall * 1000.0 + 1000.0)) as u64, (peak as f64 * shape.max(0.05)) as u64)
            })
            .collect();
        results.samples.push(sample);
    }
    let description = results.workloads.iter().find(|workload| workload.name == name);
    let (latency, scales) = description.map_or((false, false), |w| (w.latency, w.scales_with_threads));
    if latency {
        let mut outcome = outcome(name, wall, 1000);
        let [allocate, free] = [18.0, 12.0].map(|ns| tail(random, ns * wall, 900_000));
        outcome.latency = Some(Latency { allocate, free });
        results.samples.push(sample(record, Kind::Latency, 0, outcome));
    }
    if scales {
        for threads in results.plan.scaling.clone() {
            let mut outcome = outcome(name, wall / f64::from(threads).powf(0.85) * jitter(random, 0.1), 1000);
            outcome.threads = threads;
            let mut sample = sample(record, Kind::Scaling, 0, outcome);
            sample.threads = Some(threads);
            results.samples.push(sample);
        }
    }
}

//! What is not one number a run: latency histograms merged over rounds, scaling with threads, and
//! instructions of a pair. Called by `terminal` and `report`.

use std::collections::BTreeMap;

use stratalloc_bench_protocol::{Buckets, Latency};

use crate::stats::{Spread, median, spread};
use crate::store::{Face, Kind, Results, Sample};

/// The tail of one kind of call, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Calls counted.
    pub count: u64,
    /// Half of the calls took at most so long.
    pub p50: u64,
    /// 99 in 100.
    pub p99: u64,
    /// 999 in 1000.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

impl Tail {
    /// Of no calls, `None`.
    pub fn of(buckets: &Buckets) -> Option<Tail> {
        Some(Tail {
            count: buckets.count(),
            p50: buckets.quantile(0.5)?,
            p99: buckets.quantile(0.99)?,
            p999: buckets.quantile(0.999)?,
            max: buckets.max()?,
        })
    }
}

/// The merged histograms of one contender on one workload.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyOf {
    /// The workload.
    pub workload: String,
    /// The contender.
    pub contender: String,
    /// How many runs.
    pub rounds: usize,
    /// All runs' calls together.
    pub merged: Latency,
}

/// Counted samples of a face and a kind, as (workload, contender) in the document's order.
fn cells(results: &Results, face: Face, kind: Kind) -> Vec<(String, String, Vec<&Sample>)> {
    let mut cells = Vec::new();
    for workload in &results.workloads {
        for record in results.contenders.iter().filter(|record| record.face == face) {
            let matches = |s: &&Sample| {
                s.kind == kind && s.face == face && s.workload == workload.name && s.contender == record.name
            };
            let samples: Vec<&Sample> =
                results.samples.iter().filter(matches).filter(|s| s.counted().is_some()).collect();
            if !samples.is_empty() {
                cells.push((workload.name.clone(), record.name.clone(), samples));
            }
        }
    }
    cells
}

/// All latency histograms of a face, by workload and contender, merged over rounds.
pub fn latencies(results: &Results, face: Face) -> Vec<LatencyOf> {
    let merge = |(workload, contender, samples): (String, String, Vec<&Sample>)| {
        let mut merged = Latency::default();
        let mut rounds = 0;
        for latency in samples.iter().filter_map(|s| s.counted()?.latency.as_ref()) {
            merged.allocate.merge(&latency.allocate);
            merged.free.merge(&latency.free);
            rounds += 1;
        }
        (rounds > 0).then_some(LatencyOf { workload, contender, rounds, merged })
    };
    cells(results, face, Kind::Latency).into_iter().filter_map(merge).collect()
}

/// How one contender scales on one workload.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingOf {
    /// The workload.
    pub workload: String,
    /// The contender.
    pub contender: String,
    /// By thread count, ascending: operations a second.
    pub points: Vec<(u32, Spread)>,
}

/// All scaling runs of a face.
pub fn scaling(results: &Results, face: Face) -> Vec<ScalingOf> {
    let gather = |(workload, contender, samples): (String, String, Vec<&Sample>)| {
        let mut by_threads: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for outcome in samples.iter().filter_map(|s| s.counted()) {
            by_threads
                .entry(outcome.threads)
                .or_default()
                .push(outcome.operations as f64 / outcome.wall.max(1e-6));
        }
        let points = by_threads.into_iter().filter_map(|(threads, rates)| Some((threads, spread(&rates)?)));
        ScalingOf { workload, contender, points: points.collect() }
    };
    cells(results, face, Kind::Scaling).into_iter().map(gather).collect()
}

/// The figures that a workload reports by itself, as (workload, figure, the median of each contender of the face): in
/// the document's order.
pub fn own_figures(results: &Results, face: Face) -> Vec<(String, String, Vec<Option<f64>>)> {
    let names: Vec<&str> =
        results.contenders.iter().filter(|record| record.face == face).map(|record| &*record.name).collect();
    let mut rows: Vec<(String, String, Vec<Vec<f64>>)> = Vec::new();
    for (workload, contender, samples) in cells(results, face, Kind::Throughput) {
        let Some(column) = names.iter().position(|name| *name == contender) else { continue };
        for (figure, value) in samples.iter().filter_map(|s| s.counted()).flat_map(|outcome| &outcome.extra) {
            let known = rows.iter().position(|(of, name, _)| *of == workload && name == figure);
            let place = known.unwrap_or_else(|| {
                rows.push((workload.clone(), figure.clone(), vec![Vec::new(); names.len()]));
                rows.len() - 1
            });
            rows[place].2[column].push(*value);
        }
    }
    let medians = |columns: Vec<Vec<f64>>| columns.iter().map(|values| median(values)).collect();
    rows.into_iter().map(|(workload, figure, columns)| (workload, figure, medians(columns))).collect()
}

/// Instructions of a `malloc` and its `free`: block size, contender, count; sizes ascending, contenders in the
/// document's order.
pub fn instructions(results: &Results, face: Face) -> Vec<(u64, String, f64)> {
    let of_record = |name: &str| {
        let samples = results.samples.iter().filter(|s| {
            s.kind == Kind::Instructions && s.face == face && s.contender == name && s.failure.is_none()
        });
        let mut found: Vec<(u64, String, f64)> = samples
            .filter_map(|s| Some((size_of_pair(&s.workload)?, name.to_owned(), s.instructions_per_pair?)))
            .collect();
        found.dedup_by_key(|(size, ..)| *size);
        found
    };
    let records = results.contenders.iter().filter(|record| record.face == face);
    let mut all: Vec<(u64, String, f64)> = records.flat_map(|record| of_record(&record.name)).collect();
    all.sort_by_key(|&(size, ..)| size);
    all
}

/// The block size in `pair-64`.
pub fn size_of_pair(workload: &str) -> Option<u64> {
    workload.strip_prefix("pair-")?.parse().ok()
}

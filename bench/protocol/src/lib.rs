//! What a measured process tells the harness: one JSON document on its standard output.
//!
//! The binary `workload` (package `stratalloc-bench-workloads`) is every measured process' root:
//!
//! ```text
//! workload list                        Vec<Description>: all workloads
//! workload run NAME [--scale F] [--threads N] [--seed S] [--rest MS]
//!                                      Outcome of one run of a workload in this very process
//! workload program NAME --preload LIB [--scale F]
//!                                      Outcome of a real program, started as a child with LIB preloaded
//! workload instructions --pairs N --size BYTES
//!                                      nothing: allocates and frees, for callgrind to count
//! ```
//!
//! It is built in several faces from the same source. Without features it allocates by libc's malloc,
//! so whatever is preloaded serves it. Feature `global-NAME` makes that allocator its
//! `#[global_allocator]`. Feature `latency` wraps either and times each call; that face's own
//! times are worthless, so throughput is never read from it.

use serde::{Deserialize, Serialize};

/// What a workload is, for lists and reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// The word by which it is asked for: lower case, with hyphens.
    pub name: String,
    /// Where it stands in lists.
    pub group: Group,
    /// What it models, in one sentence.
    pub models: String,
    /// The publication or program that it follows.
    pub source: String,
    /// Which property of an allocator it shows, in one sentence.
    pub sensitive_to: String,
    /// The threads it runs by default, the main thread not counted where that only waits.
    pub threads: u32,
    /// Whether `--threads` changes the number.
    pub scales_with_threads: bool,
    /// Whether the tail of its calls' latency is worth a table.
    pub latency: bool,
    /// Bytes of free memory that it wants at scale 1 and above; `None` where that is no question.
    #[serde(default)]
    pub memory: Option<u64>,
    /// For a real program: what Debian calls the package, and whether the program is here.
    pub program: Option<ProgramState>,
}

/// Kinds of workload, in the order of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Published allocator benchmarks.
    Classic,
    /// Models of a kind of application.
    Scene,
    /// Real programs under preload.
    Program,
    /// How costs change as work grows. Run where asked for: a series is one question and would weigh as many.
    Growth,
}

/// Whether a real program can be measured on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramState {
    /// Debian's package.
    pub package: String,
    /// `None` where it is installed, otherwise what is missing.
    pub missing: Option<String>,
}

/// What one run measured. Memory in KiB, times in seconds where not named otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The workload's name.
    pub workload: String,
    /// The threads that it ran.
    pub threads: u32,
    /// Units of work done; the same for every contender at equal parameters.
    pub operations: u64,
    /// Wall time of the measured part, from before the first to after the last operation.
    pub wall: f64,
    /// User and system time of the process (of a real program: with its children) up to the end of
    /// the measured part.
    pub user: f64,
    /// See `user`.
    pub system: f64,
    /// Highest resident memory up to the end of the measured part.
    pub peak_rss: u64,
    /// Resident memory before the first operation.
    pub start_rss: u64,
    /// Resident memory after everything was freed and `--rest` had passed without a call; `None` without
    /// `--rest`, and for real programs.
    pub rest_rss: Option<u64>,
    /// Minor page faults up to the end of the measured part.
    pub minor_faults: u64,
    /// Major ones.
    pub major_faults: u64,
    /// Context switches that the process asked for, and those that it did not.
    pub voluntary_switches: u64,
    /// See `voluntary_switches`.
    pub involuntary_switches: u64,
    /// The file that the symbol `malloc` resolves to in the measured process (`dladdr`; for a real program: the
    /// executable mappings of the running process hold it), or `global:NAME` in a `global-NAME` face.
    pub allocator: String,
    /// A hash of the work's result: equal for all contenders at equal parameters and seed.
    pub checksum: u64,
    /// Latency of the allocator's calls; in the `latency` face only.
    pub latency: Option<Latency>,
    /// Further figures of this workload (name with unit, value), lower is better: `frames over 16 ms`, …
    pub extra: Vec<(String, f64)>,
    /// Resident memory over time, for workloads that report it by themselves (at even steps of their work).
    pub rss_by_work: Vec<(u64, u64)>,
}

/// Times of single calls, nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Calls that return memory: alloc, alloc_zeroed, realloc that moved or grew.
    pub allocate: Buckets,
    /// Calls that take it back.
    pub free: Buckets,
}

/// A histogram as (highest value of the bucket in nanoseconds, how many), ascending, without empty
/// buckets: two significant digits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Buckets(pub Vec<(u64, u64)>);

impl Buckets {
    /// How many values.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|&(_, count)| count).sum()
    }

    /// The smallest bucket bound that at least `share` of all values (0 to 1) do not exceed; `None` of nothing.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let wanted = (self.count() as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.0.iter().find_map(|&(bound, count)| {
            seen += count;
            (seen >= wanted).then_some(bound)
        })
    }

    /// The highest.
    pub fn max(&self) -> Option<u64> {
        self.0.last().map(|&(bound, _)| bound)
    }

    /// Adds another's values.
    pub fn merge(&mut self, other: &Buckets) {
        let mut sum: std::collections::BTreeMap<u64, u64> = self.0.iter().copied().collect();
        for &(bound, count) in &other.0 {
            *sum.entry(bound).or_default() += count;
        }
        self.0 = sum.into_iter().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_count_from_the_smallest() {
        let buckets = Buckets(vec![(10, 90), (20, 9), (500, 1)]);
        assert_eq!(buckets.quantile(0.5), Some(10));
        assert_eq!(buckets.quantile(0.9), Some(10));
        assert_eq!(buckets.quantile(0.91), Some(20));
        assert_eq!(buckets.quantile(1.0), Some(500));
        assert_eq!(buckets.max(), Some(500));
        assert_eq!(Buckets::default().quantile(0.5), None);
    }

    #[test]
    fn merging_keeps_every_value() {
        let mut buckets = Buckets(vec![(10, 1), (30, 2)]);
        buckets.merge(&Buckets(vec![(10, 4), (20, 8)]));
        assert_eq!(buckets, Buckets(vec![(10, 5), (20, 8), (30, 2)]));
    }
}

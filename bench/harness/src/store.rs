//! The results document: what was asked, on which machine, and every sample, as one JSON file.
//!
//! `running` adds samples, `statistics`, `terminal`, `compare` and `report` read them. The file is only
//! ever replaced as a whole (written beside, then renamed), and a file that cannot be read is never
//! written over: measuring takes hours, and a typing error must not cost them.

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stratalloc_bench_protocol::{Description, Outcome};

/// The version of this document's form; a file of another one is refused.
pub const FORMAT: u32 = 1;

/// The name of the allocator that all this is about. Contenders whose name starts so (after `global-`) are
/// ours: the library itself, its null copy, and other builds given by `--with`. All others are peers.
pub const OURS: &str = "stratalloc";

/// All that a run of the bench measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`FORMAT`].
    pub format: u32,
    /// Where it was measured.
    pub machine: Machine,
    /// What was asked: equal for all samples in a file.
    pub plan: Plan,
    /// In the order of the tables' columns.
    pub contenders: Vec<ContenderRecord>,
    /// In the order of the tables' rows.
    pub workloads: Vec<Description>,
    /// In the order of measuring.
    pub samples: Vec<Sample>,
}

/// The machine and the circumstances that change results.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Cores that the process may use.
    pub cores: u32,
    /// KiB.
    pub memory: u64,
    /// Kernel release.
    pub kernel: String,
    /// The C library's version.
    pub libc: String,
    /// `rustc --version` of the compiler that built the harness' parts.
    pub rustc: String,
    /// Frequency governor, `None` where there is none to read.
    pub governor: Option<String>,
    /// Setting of transparent huge pages: `always`, `madvise` or `never`.
    pub huge_pages: Option<String>,
    /// Whether hardware counters can be read.
    pub counters: bool,
    /// Start of the first run, UTC, `2026-11-22T15:04:00Z`.
    pub date: String,
}

/// What has to be equal for samples to stand in one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Factor on each workload's size.
    pub scale: f64,
    /// Seed of each workload's random numbers; the same in every round.
    pub seed: u64,
    /// Milliseconds between the last free and the measuring of the memory at rest.
    pub rest: u64,
    /// The first rounds, in which it is measured.
    pub rest_rounds: u32,
    /// Threads asked for, `None`: each workload's own number.
    pub threads: Option<u32>,
    /// Rounds of the throughput runs (the highest asked for, if the file was continued).
    pub rounds: u32,
    /// Rounds of the latency runs.
    pub latency_rounds: u32,
    /// Thread counts of the scaling runs.
    pub scaling: Vec<u32>,
    /// Foreign load above which a run is repeated, as share of one core.
    pub disturbance: f64,
}

/// How a contender gets into the measured process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Face {
    /// As a library named in `LD_PRELOAD`.
    Preload,
    /// As the program's `#[global_allocator]`.
    Rust,
}

impl fmt::Display for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Face::Preload => "preload",
            Face::Rust => "rust",
        })
    }
}

/// What a sample is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Times, memory and faults at the workload's own number of threads.
    Throughput,
    /// Histograms of single calls; its own times say nothing.
    Latency,
    /// Throughput at a given number of threads.
    Scaling,
    /// Instructions of a pair of `malloc` and `free`, counted by callgrind.
    Instructions,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Throughput => "throughput",
            Kind::Latency => "latency",
            Kind::Scaling => "scaling",
            Kind::Instructions => "instructions",
        })
    }
}

/// A contender in one of its faces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContenderRecord {
    /// The word by which it is asked for.
    pub name: String,
    /// In which face.
    pub face: Face,
    /// What it calls itself, `3.4.3` for example.
    pub version: String,
    /// The preloaded library, or the workload binary that holds it as global allocator; `None` for libc's own
    /// malloc, and where nothing could be built.
    pub path: Option<PathBuf>,
    /// A hash of that file, so that a continued file does not mix two builds.
    pub fingerprint: Option<String>,
    /// What a reader should know, for example which features it was built with.
    pub note: Option<String>,
    /// Why it could not be built or found.
    pub failure: Option<String>,
    /// Upstream's newest release, where `version` is an older one.
    pub lags_behind: Option<String>,
}

/// One run of one workload with one contender.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The workload's name. Of instructions: `pair-64` for blocks of 64 bytes.
    pub workload: String,
    /// The contender's name.
    pub contender: String,
    /// How it was loaded.
    pub face: Face,
    /// What the sample is for.
    pub kind: Kind,
    /// From 0.
    pub round: u32,
    /// Threads asked for, `None`: the workload's own number.
    pub threads: Option<u32>,
    /// As in [`Plan`].
    pub scale: f64,
    /// As in [`Plan`].
    pub seed: u64,
    /// What the process reported. Present beside `failure` where it ran but cannot be counted.
    pub outcome: Option<Outcome>,
    /// Why the sample must not be counted.
    pub failure: Option<String>,
    /// Whether `failure` is that its result differs from the other contenders' (which more samples may change).
    #[serde(default)]
    pub disagrees: bool,
    /// CPU time of others while it ran, as share of one core.
    pub foreign_load: f64,
    /// Whether that was still above the limit in the best attempt.
    pub disturbed: bool,
    /// How often it was run to get this sample.
    pub attempts: u32,
    /// Resident memory over time: milliseconds since the start, KiB; at most 200 points. For real programs the sum
    /// over the program's processes.
    pub rss_over_time: Vec<(u64, u64)>,
    /// Hardware counters in user space over the whole process, where the machine has them.
    pub counters: Option<Counters>,
    /// Only of kind instructions: those of one `malloc` and `free` together.
    pub instructions_per_pair: Option<f64>,
}

/// Hardware counters, user space only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Instructions retired.
    pub instructions: u64,
    /// Cycles.
    pub cycles: u64,
    /// Last-level cache misses; `None` where the processor does not count them.
    pub cache_misses: Option<u64>,
    /// Data TLB read misses.
    pub tlb_misses: Option<u64>,
    /// Mispredicted branches.
    pub branch_misses: Option<u64>,
}

impl Sample {
    /// The outcome, if it counts.
    pub fn counted(&self) -> Option<&Outcome> {
        if self.failure.is_some() { None } else { self.outcome.as_ref() }
    }
}

impl ContenderRecord {
    /// Whether it is a peer: neither Stratalloc nor its null copy nor another build of it.
    pub fn is_peer(&self) -> bool {
        is_peer(&self.name)
    }
}

/// See [`ContenderRecord::is_peer`].
pub fn is_peer(name: &str) -> bool {
    !name.strip_prefix("global-").unwrap_or(name).starts_with(OURS)
}

/// Why a results file could not be read or written.
#[derive(Debug)]
pub enum StoreError {
    /// The file system's answer.
    Io(PathBuf, std::io::Error),
    /// Not the document it should be; the text names line, column and byte.
    Broken(PathBuf, String),
    /// Of another version of this program.
    Format(PathBuf, u32),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Io(path, error) => write!(f, "{}: {error}", path.display()),
            StoreError::Broken(path, what) => write!(f, "{}: {what}; the file is left as it is", path.display()),
            StoreError::Format(path, format) => write!(
                f,
                "{}: results of format {format}, this program knows {FORMAT}; the file is left as it is",
                path.display()
            ),
        }
    }
}

impl std::error::Error for StoreError {}

/// Only the version, so that a file of another one is recognised before its form is judged.
#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

impl Results {
    /// An empty document.
    pub fn new(machine: Machine, plan: Plan) -> Results {
        Results {
            format: FORMAT,
            machine,
            plan,
            contenders: Vec::new(),
            workloads: Vec::new(),
            samples: Vec::new(),
        }
    }

    /// Reads a document.
    pub fn load(path: &Path) -> Result<Results, StoreError> {
        let text = fs::read_to_string(path).map_err(|error| StoreError::Io(path.into(), error))?;
        let broken = |error: serde_json::Error| StoreError::Broken(path.into(), describe(&text, &error));
        let versioned: Versioned = serde_json::from_str(&text).map_err(broken)?;
        if versioned.format != FORMAT {
            return Err(StoreError::Format(path.into(), versioned.format));
        }
        serde_json::from_str(&text).map_err(broken)
    }

    /// Replaces the file as a whole: a reader, or a crash in between, sees the old or the new document.
    pub fn save(&self, path: &Path) -> Result<(), StoreError> {
        let failed = |error| StoreError::Io(path.into(), error);
        let text = serde_json::to_string(self).map_err(|error| failed(error.into()))?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        readable_for_all(file.path()).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// The record of a contender.
    pub fn contender(&self, name: &str, face: Face) -> Option<&ContenderRecord> {
        self.contenders.iter().find(|record| record.name == name && record.face == face)
    }

    /// The faces that have contenders, preload first.
    pub fn faces(&self) -> Vec<Face> {
        [Face::Preload, Face::Rust]
            .into_iter()
            .filter(|&face| self.contenders.iter().any(|record| record.face == face))
            .collect()
    }

    /// Marks samples whose work came out differently from what most contenders got (at a tie: what glibc got),
    /// and takes the mark from those that agree. Operations and checksum depend on the parameters alone.
    pub fn check_agreement(&mut self) {
        let keys: std::collections::BTreeSet<_> = self.samples.iter().map(agreement_key).collect();
        for key in keys {
            let mut holders: std::collections::BTreeMap<(u64, u64), std::collections::BTreeSet<&str>> =
                Default::default();
            let of_key =
                |sample: &&Sample| agreement_key(sample) == key && (sample.failure.is_none() || sample.disagrees);
            for sample in self.samples.iter().filter(of_key) {
                if let Some(outcome) = &sample.outcome {
                    holders.entry((outcome.checksum, outcome.operations)).or_default().insert(&sample.contender);
                }
            }
            let best = holders.iter().max_by_key(|(_, names)| (names.len(), names.contains("glibc")));
            let Some((&right, holding)) = best else { continue };
            let holding = holding.iter().copied().collect::<Vec<_>>().join(", ");
            for sample in &mut self.samples {
                if agreement_key(sample) != key || (sample.failure.is_some() && !sample.disagrees) {
                    continue;
                }
                let Some(outcome) = &sample.outcome else { continue };
                sample.disagrees = (outcome.checksum, outcome.operations) != right;
                sample.failure = sample.disagrees.then(|| {
                    format!(
                        "its work came out differently: checksum {:016x} after {} operations, but {:016x} after {} with {holding}",
                        outcome.checksum, outcome.operations, right.0, right.1
                    )
                });
            }
        }
    }
}

/// Samples with equal keys have to agree in operations and checksum. Latency runs do the same work but may do
/// less of it, so they are apart.
fn agreement_key(sample: &Sample) -> (String, Option<u32>, bool) {
    (sample.workload.clone(), sample.threads, sample.kind == Kind::Latency)
}

/// What is wrong with a document, with line, column and byte offset.
fn describe(text: &str, error: &serde_json::Error) -> String {
    let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let offset = (before + error.column()).min(text.len());
    let length = text.len();
    if error.is_eof() {
        format!("the document breaks off at line {}, byte {offset} of {length}: {error}", error.line())
    } else {
        format!(
            "no results document, at line {}, column {}, byte {offset} of {length}: {error}",
            error.line(),
            error.column()
        )
    }
}

/// A temporary file is its owner's only; results are for all, as a file made the usual way.
fn readable_for_all(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

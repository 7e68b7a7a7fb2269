//! The command line. `main` reads it; `commands` does what it asks.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::store::Face;

/// Measures allocators side by side: contenders in turn, one process a run.
#[derive(Parser, Debug)]
#[command(name = "bench", bin_name = "cargo xtask bench", version)]
#[command(arg_required_else_help = true, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What changed from the first results to the second (as the command `compare`)
    #[arg(long, num_args = 2, value_names = ["OLD.json", "NEW.json"])]
    pub compare: Option<Vec<PathBuf>>,
    /// What to do
    #[command(subcommand)]
    pub task: Option<Task>,
}

/// What can be asked for.
#[derive(Subcommand, Debug)]
pub enum Task {
    /// Measure, print the tables, keep all samples
    Run(Box<Run>),
    /// Name all workloads and contenders
    List(Where),
    /// Print the tables of a results file
    Show {
        /// The results
        file: PathBuf,
    },
    /// Write a results file as one HTML page
    Report {
        /// The results
        file: PathBuf,
        /// The page [default: the results' name with .html]
        #[arg(long, value_name = "FILE.html")]
        out: Option<PathBuf>,
    },
    /// Say what changed between two results files beyond noise
    Compare {
        /// The earlier results
        old: PathBuf,
        /// The later ones
        new: PathBuf,
    },
    /// Build contenders without measuring
    Build(Build),
    /// Count the instructions of malloc and free under callgrind
    Instructions(Instructions),
}

/// Where things are that the harness does not build by itself.
#[derive(Args, Debug, Clone)]
pub struct Where {
    /// Stratalloc's library for preloading [default: the workspace's release build]
    #[arg(long, value_name = "LIB", env = "STRATALLOC_BENCH_LIBRARY")]
    pub library: Option<PathBuf>,
    /// Folder for what is built [default: target/bench of the repository]
    #[arg(long, value_name = "DIR", env = "STRATALLOC_BENCH_TARGET")]
    pub target: Option<PathBuf>,
    /// Measure with this program in place of the workload binary (for tests of the harness)
    #[arg(long, value_name = "PROGRAM", hide = true)]
    pub workload_binary: Option<PathBuf>,
}

/// Who takes part.
#[derive(Args, Debug, Clone)]
pub struct Who {
    /// Contenders by name, separated by commas [default: all of the face]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub contenders: Vec<String>,
    /// One more contender: a library for preloading
    #[arg(long, value_name = "NAME=PATH")]
    pub with: Vec<String>,
    /// One more contender: Stratalloc under these options, as the variable STRATALLOC takes them
    #[arg(long, value_name = "NAME=OPTIONS")]
    pub tuned: Vec<String>,
    /// How contenders are loaded
    #[arg(long, value_enum, default_value_t = Faces::Preload)]
    pub face: Faces,
}

/// Faces as asked for.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faces {
    /// As preloaded libraries
    Preload,
    /// As global allocators of a Rust program
    Rust,
    /// One after the other
    Both,
}

impl Faces {
    /// Whether this one is among them.
    pub fn has(self, face: Face) -> bool {
        self == Faces::Both || (self == Faces::Preload) == (face == Face::Preload)
    }
}

/// Options of `run`.
#[derive(Args, Debug, Clone)]
pub struct Run {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub places: Where,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub who: Who,
    /// Workloads by name, by how names begin (live-*) or by group (classic, scene, program, growth), separated by
    /// commas [default: all but growth]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub workloads: Vec<String>,
    /// Where all samples go; a file that is there is continued: only what is missing is measured
    #[arg(long, value_name = "FILE.json", conflicts_with = "resume")]
    pub out: Option<PathBuf>,
    /// Continue this file, which must be there
    #[arg(long, value_name = "FILE.json")]
    pub resume: Option<PathBuf>,
    /// Measure again in a continued file: contenders, workloads, or `failed`
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub again: Vec<String>,
    /// Rounds of each workload
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Rounds with each call timed, for workloads whose latency counts
    #[arg(long, value_name = "ROUNDS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub latency_rounds: u32,
    /// Measure also at these thread counts, where a workload takes any
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub scaling: Vec<u32>,
    /// Factor on each workload's size; 1 is about half a second
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    pub scale: f64,
    /// Seed of the workloads' random numbers
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Threads, where a workload takes any number [default: each workload's own]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub threads: Option<u32>,
    /// Milliseconds from the last free to the measuring of the memory at rest
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub rest: u64,
    /// Rounds in which the memory at rest is measured: it hardly varies, and the wait is most of a short run
    #[arg(long, value_name = "ROUNDS", default_value_t = 2)]
    pub rest_rounds: u32,
    /// Seconds after which a run is ended and recorded as failed
    #[arg(long, value_name = "SECONDS", default_value_t = 300.0, value_parser = positive)]
    pub timeout: f64,
    /// Foreign load above which a run is repeated, as share of one core
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = positive)]
    pub disturbance: f64,
    /// Write an HTML page too
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Every workload once with small parameters, on Stratalloc and glibc; any failure is exit status 1
    #[arg(long)]
    pub smoke: bool,
}

/// Options of `build`.
#[derive(Args, Debug, Clone)]
pub struct Build {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub places: Where,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub who: Who,
}

/// Options of `instructions`.
#[derive(Args, Debug, Clone)]
pub struct Instructions {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub places: Where,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub who: Who,
    /// Pairs in the shorter of two runs
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1000..=100_000_000))]
    pub pairs: u64,
    /// Block sizes in bytes
    #[arg(long, value_delimiter = ',', default_values_t = [16, 64, 256, 1024, 8192])]
    pub sizes: Vec<u64>,
    /// Add the counts to this results file (made if it is not there)
    #[arg(long, value_name = "FILE.json")]
    pub out: Option<PathBuf>,
}

/// A finite number above 0.
fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        Ok(_) => Err("it must be above 0 and finite".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

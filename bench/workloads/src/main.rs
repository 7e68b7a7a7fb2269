//! `workload`: the program that every measured process starts as. See the protocol crate for its subcommands
//! and faces.
//!
//! ```text
//! registry    what a workload is, and the table of all
//! measure     the measured part: clock, memory, faults, switches
//! origin      which allocator this process really has
//! probe       the `latency` face: each call timed
//! pairs       allocation and free over and over, for callgrind
//! random, threads    what workloads share
//! classics, scenes, programs    the workloads
//! ```
//!
//! Blocks are asked of Rust's global allocator. Without features that is libc's malloc, so LD_PRELOAD decides who is
//! measured; in a `global-NAME` face it is that allocator, linked in, which then learns the size at each free.

mod classics;
mod global;
mod measure;
mod origin;
mod pairs;
mod probe;
mod programs;
mod random;
mod registry;
mod scenes;
mod threads;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use serde::Serialize;
use stratalloc_bench_protocol::Outcome;

use crate::measure::Run;
use crate::registry::{Parameters, Program, Workload};

#[cfg(not(feature = "latency"))]
#[global_allocator]
static GLOBAL: global::Inner = global::INNER;

#[cfg(feature = "latency")]
#[global_allocator]
static GLOBAL: probe::Timed<global::Inner> = probe::Timed(global::INNER);

/// The measured programs of Stratalloc's bench, one process a run; results are JSON on standard output.
#[derive(Parser)]
#[command(name = "workload", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Describes all workloads
    List,
    /// Runs a workload in this process
    Run {
        /// As `list` names it
        name: String,
        /// How much work: 1 is about half a second, 0.02 a smoke test
        #[arg(long, default_value = "1", value_parser = scale)]
        scale: f64,
        /// Threads, for workloads that scale with them
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        threads: Option<u32>,
        /// Where the random numbers start
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// After everything is freed, sleep so many milliseconds and read the resident memory
        #[arg(long, value_name = "MS")]
        rest: Option<u64>,
    },
    /// Runs a real program with a library preloaded
    Program {
        /// As `list` names it
        name: String,
        /// The library; without it the program runs with what it is linked to
        #[arg(long, value_name = "LIB")]
        preload: Option<PathBuf>,
        /// How much work: 1 is about half a second
        #[arg(long, default_value = "1", value_parser = scale)]
        scale: f64,
    },
    /// Allocates and frees over and over, for callgrind to count
    Instructions {
        /// How often
        #[arg(long)]
        pairs: u64,
        /// Bytes of a block
        #[arg(long)]
        size: usize,
    },
}

/// A finite number above 0.
fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        Ok(_) => Err("it must be above 0 and finite".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::List => print(&registry::descriptions()),
        Command::Run { name, scale, threads, seed, rest } => {
            run(&name, scale, threads, seed, rest.map(Duration::from_millis)).and_then(|outcome| print(&outcome))
        }
        Command::Program { name, preload, scale } => {
            program(&name, preload.as_deref(), scale).and_then(|outcome| print(&outcome))
        }
        Command::Instructions { pairs, size } => pairs::run(pairs, size),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("workload: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a workload here and says what was measured.
fn run(
    name: &str,
    scale: f64,
    threads: Option<u32>,
    seed: u64,
    rest: Option<Duration>,
) -> Result<Outcome, String> {
    let workload: Workload = registry::find_workload(name)?;
    let threads = workload.threads.chosen(name, threads)?;
    let parameters = Parameters { scale, threads, seed };
    let mut run = Run::new();
    (workload.run)(&parameters, &mut run);
    run.finish(workload.name, threads, rest)
}

/// Runs a real program as a child and says what was measured.
fn program(name: &str, preload: Option<&Path>, scale: f64) -> Result<Outcome, String> {
    let program: Program = registry::find_program(name)?;
    if let Some(missing) = (program.missing)() {
        return Err(format!("program {name} cannot run here: {missing}"));
    }
    // The child may run in another directory, where a relative path would name nothing.
    let library = preload
        .map(|path| path.canonicalize().map_err(|error| format!("--preload {}: {error}", path.display())))
        .transpose()?;
    (program.run)(library.as_deref(), scale)
}

/// One JSON document on standard output.
fn print(document: &impl Serialize) -> Result<(), String> {
    let text = serde_json::to_string(document).map_err(|error| format!("the result as JSON: {error}"))?;
    writeln!(std::io::stdout(), "{text}").map_err(|error| format!("standard output: {error}"))
}

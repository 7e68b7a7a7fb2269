//! `pools`: the speed of our object pools against the best crates, on the same work, in one run.
//!
//! ```text
//! objects    what is pooled: 64 bytes, 1 KiB, a connection
//! pool       what a contender must do, and raw blocks as objects
//! mallocs    three general allocators
//! local      contenders for one thread at a time
//! shared     contenders for threads
//! arenas     allocate many, free all at once
//! handles    tables that are looked into by handle
//! measure    the timed loops
//! registry   who takes part in what
//! report     the table, the same in Markdown, and the JSON
//! ```
//!
//! # Method
//! Each measurement is a process of its own: the program starts itself as `pools one CONTENDER CASE`. In a round every
//! contender of every case is measured once, and each round begins with another contender, so that a slow
//! spell of the machine meets all of them. The figure is the median over the rounds (with `--least` the least, for a machine that is busy), in nanoseconds for each
//! operation; the ratio is to the fastest of the same case and group.
//!
//! Two groups, never compared with each other: `local` contenders serve one thread at a time and need no atomics;
//! `shared` ones serve all threads, also where only one is measured.
//!
//! | case | operation |
//! |---|---|
//! | `one-64`, `one-1k` | an object is acquired, touched, released |
//! | `hold-64` | the same, but 64 are acquired and touched before they are released |
//! | `threads-64`, `threads-1k` | as `one`, two threads on one pool; nanoseconds for each thread |
//! | `pass-64` | one thread acquires and touches, another reads and releases; between them the same queue for all |
//! | `connection` | an object of 4 KiB with zeroed buffers and four vectors: from the pool; or by malloc, constructed, used, dropped |
//! | `arena-64` | 4096 objects are allocated and written, then all are freed as cheaply as the contender can |
//! | `handle-get` | a look-up among 10 000 objects, in random order |
//! | `handle-churn` | one of 10 000 objects is removed, another inserted |
//! | `handle-walk` | an object's share of a walk over all of 10 000 |
//!
//! To touch is to write the first and the last word, to show the address to the compiler as something that anyone may
//! read or write, and to read both. The sums of what was read are checked, so no contender can skip the work
//! or hand out one object twice. Before the clock starts there is an eighth of the time of the same work, so pools are
//! measured full and caches warm.
//!
//! Crates that move objects in and out by value (object-pool, lockfree-object-pool's locked ones, `ArrayQueue`,
//! opool) hold boxes, as their users would with large objects. Malloc's 64 B and 1 KiB objects are not constructed, only
//! touched. Where a pool needs a fixed size it has room for 1024 objects. All of them sit on the system's
//! malloc, except the general allocators, which are called directly. sharded-slab's objects are cleared after their
//! guards are gone: one that is cleared under its guard is never used again. heapless's pool uses portable-atomic's
//! compare-and-swap of 128 bits, without which it does not exist on 64-bit systems.
//!
//! Run it with `cargo run --release -p stratalloc-bench-pools`, never as part of `--workspace`: a peer's features would
//! then replace the system's malloc. The program refuses to start if that happened.

mod arenas;
mod handles;
mod local;
mod mallocs;
mod measure;
mod objects;
mod pool;
mod registry;
mod report;
mod shared;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use measure::Outcome;
use registry::Entry;

#[derive(Parser)]
#[command(about = "Object pools against each other, in turn", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    run: Run,
}

#[derive(Subcommand)]
enum Verb {
    /// Name all contenders of all cases
    List,
    /// One measurement, in this process
    One {
        contender: String,
        case: String,
        /// Milliseconds to measure for
        #[arg(long, default_value_t = 150)]
        millis: u64,
    },
}

#[derive(Args)]
struct Run {
    /// Measurements of each contender
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Milliseconds for each measurement
    #[arg(long, default_value_t = 150)]
    millis: u64,
    /// Only cases whose name contains this
    #[arg(long, default_value = "")]
    case: String,
    /// Only contenders whose name contains this
    #[arg(long, default_value = "")]
    contender: String,
    /// Take each contender's least measurement for its figure, not the median: for a machine that is busy
    #[arg(long)]
    least: bool,
    /// Where to write all samples as JSON; a name that ends in .md gets the tables of docs/measurements.md instead
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.verb {
        Some(Verb::List) => {
            list();
            Ok(())
        }
        Some(Verb::One { contender, case, millis }) => one(&contender, &case, millis),
        None => run(&cli.run),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("pools: {message}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    for entry in registry::all() {
        println!("{:14}{:8}{:8}{}", entry.case, entry.group, entry.kind.name(), entry.contender);
    }
}

/// The child's part: the outcome as a line on standard output.
fn one(contender: &str, case: &str, millis: u64) -> Result<(), String> {
    mallocs::check_system()?;
    let entries = registry::all();
    let entry = entries
        .iter()
        .find(|entry| entry.contender == contender && entry.case == case)
        .ok_or_else(|| format!("no contender {contender:?} in case {case:?}; `pools list` names them"))?;
    let Outcome { nanoseconds, operations } = (entry.run)(Duration::from_millis(millis.max(1)));
    println!("{}", serde_json::json!({ "nanoseconds": nanoseconds, "operations": operations }));
    Ok(())
}

fn run(run: &Run) -> Result<(), String> {
    if run.rounds == 0 {
        return Err("--rounds 0 measures nothing".into());
    }
    let entries: Vec<Entry> = registry::all()
        .into_iter()
        .filter(|entry| entry.case.contains(&run.case) && entry.contender.contains(&run.contender))
        .collect();
    if entries.is_empty() {
        return Err("no such case or contender; `pools list` names them".into());
    }
    let mut samples = vec![Vec::with_capacity(run.rounds); entries.len()];
    for round in 0..run.rounds {
        eprintln!("round {} of {}", round + 1, run.rounds);
        for case in report::cases(&entries) {
            let turn: Vec<usize> = (0..entries.len()).filter(|&index| entries[index].case == case).collect();
            // Each round begins elsewhere, all of them together go once around.
            let first = round * turn.len() / run.rounds;
            for place in 0..turn.len() {
                let index = turn[(first + place) % turn.len()];
                samples[index].push(child(&entries[index], run.millis)?);
            }
        }
    }
    let figure = if run.least { report::least } else { report::median };
    let results = report::results(&entries, &samples, figure);
    report::print(&results);
    if let Some(path) = &run.out {
        let text = match path.extension().is_some_and(|extension| extension == "md") {
            true => report::markdown(&results, run.rounds, run.millis, run.least),
            false => report::json(&results, run.rounds, run.millis, run.least),
        };
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Measures in a new process. Nanoseconds for each operation.
fn child(entry: &Entry, millis: u64) -> Result<f64, String> {
    let what = || format!("{} in {}", entry.contender, entry.case);
    let program = std::env::current_exe().map_err(|error| format!("this program's own path: {error}"))?;
    let output = Command::new(program)
        .args(["one", entry.contender, entry.case, "--millis", &millis.to_string()])
        .output()
        .map_err(|error| format!("{}: {error}", what()))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {}: {}", what(), output.status, text.trim()));
    }
    let line: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{}: {error}", what()))?;
    line["nanoseconds"].as_f64().ok_or_else(|| format!("{}: no figure in {line}", what()))
}

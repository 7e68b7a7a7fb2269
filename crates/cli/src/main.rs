//! `stratalloc`: runs programs on Stratalloc and reports what they did with their memory.
//!
//! | module | what it owns |
//! |---|---|
//! | `run` | the verb `run`, from the checks before to the report after |
//! | `library`, `program`, `elf` | which library, which program, and whether the two fit |
//! | `child` | the started process: signals, waiting, whether the library is loaded |
//! | `report`, `outcome` | the statistics as read, and all that is known of one run |
//! | `summary`, `json`, `units` | how that is told |
//! | `options` | the verb `options` |
//!
//! Exit statuses of its own follow `env` and `timeout`: 125 when this program fails, 126 when
//! PROGRAM cannot be run on the allocator, 127 when it is not found; 2 is a usage error.

// The tests run on the allocator; the tool itself does not, or it would obey the options that are meant
// for the program it runs.
#[cfg(test)]
#[global_allocator]
static GLOBAL: stratalloc::Stratalloc = stratalloc::Stratalloc;

mod options;

#[cfg(target_os = "linux")]
mod child;
#[cfg(target_os = "linux")]
mod elf;
#[cfg(target_os = "linux")]
mod json;
#[cfg(target_os = "linux")]
mod library;
#[cfg(target_os = "linux")]
mod outcome;
#[cfg(target_os = "linux")]
mod program;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod summary;
#[cfg(target_os = "linux")]
mod units;

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "stratalloc", version)]
#[command(about = "Runs programs on Stratalloc and reports what they did with their memory")]
#[command(after_help = "Examples:
  stratalloc run -- python3 -c 'print(sum(range(10**6)))'
  stratalloc run -o dirty_percent=5 -o purge_delay=200 -- redis-server --port 7000
  stratalloc run --json report.json -- make -j8
  stratalloc options")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a program on the allocator, then report what it did with its memory
    Run(RunArgs),
    /// Print the options of the allocator: names, values, defaults
    Options,
}

/// What `run` was asked to do.
#[derive(Args)]
#[command(after_help = "\
The report goes to stderr when PROGRAM has ended; stdout is PROGRAM's alone.

Signals sent to this process are passed on to PROGRAM. Signals from the terminal reach both, since
they share a process group, and are not passed on again. (`kill` with a process group reaches
PROGRAM twice.) When PROGRAM stops, so does this process.

Exit status: PROGRAM's. If a signal ended PROGRAM, this process ends itself by the same signal,
which a shell shows as 128+n. 125: failure of this command; 126: PROGRAM cannot be run on the
allocator; 127: PROGRAM was not found.

Examples:
  stratalloc run -- python3 -c 'print(sum(range(10**6)))'
  stratalloc run -o limit=512M --no-count -- ./server --port 8080
  stratalloc run --quiet --json report.json -- sh -c 'sort big | uniq -c'")]
struct RunArgs {
    /// Use this libstratalloc.so [default: $STRATALLOC_LIBRARY, else one near this program]
    #[arg(long, value_name = "PATH")]
    library: Option<PathBuf>,
    /// Set an option of the allocator; may be repeated (see `stratalloc options`)
    #[arg(short = 'o', long = "option", value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// Do not count allocations by size: the program runs at full speed
    #[arg(long)]
    no_count: bool,
    /// Also write everything that is known of the run to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print no report, only errors and warnings
    #[arg(short, long)]
    quiet: bool,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

/// Why this program gives up, and the exit status that says so.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// A failure of this program itself.
    fn own(message: impl Display) -> Failure {
        Failure { code: 125, message: message.to_string() }
    }
}

/// A line on stderr. A stderr that is closed or full is no reason to fail.
fn complain(message: impl Display) {
    let _ = writeln!(std::io::stderr(), "stratalloc: {message}");
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Run(args) => run_verb(&args),
        Verb::Options => options::print(),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            complain(&failure.message);
            ExitCode::from(failure.code)
        }
    }
}

#[cfg(target_os = "linux")]
fn run_verb(args: &RunArgs) -> Result<ExitCode, Failure> {
    run::run(args).map(|ended| ended.imitate())
}

#[cfg(not(target_os = "linux"))]
fn run_verb(args: &RunArgs) -> Result<ExitCode, Failure> {
    let RunArgs { library: _, options: _, no_count: _, json: _, quiet: _, command: _ } = args;
    Err(Failure::own("`run` preloads a library and so far does that on Linux only"))
}

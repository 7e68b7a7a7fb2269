//! `cargo xtask`: the tasks of this repository that cargo alone does not do.
//!
//! | task | what it does | time |
//! |---|---|---|
//! | `build` | builds libstratalloc.so and .a and checks the result | one compilation |
//! | `check` | checks a library that is there: exports, dependencies, flags, TLS | at once |
//! | `run` | builds everything and runs a program on the allocator | one compilation |
//! | `header` | writes `include/stratalloc.h`, or checks that it is what the source says | seconds |
//! | `install` | installs library, headers, pkg-config and CMake files | one compilation |
//! | `deb` | makes Debian packages of the same, by cargo-deb | one compilation |
//! | `gate` | counts the fast paths' instructions and fails above the limits | seconds |
//! | `scaling` | counts what threads share and fails above the limits | a minute |
//! | `bench` | measures against other allocators: see `bench/` | as asked |

// The tests run on the allocator.
#[cfg(test)]
#[global_allocator]
static GLOBAL: stratalloc::Stratalloc = stratalloc::Stratalloc;

mod archive;
mod bench;
mod build;
mod callgrind;
mod check;
mod deb;
mod exports;
mod gate;
mod header;
mod install;
mod order;
mod run;
mod scaling;

use clap::{Parser, Subcommand};
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Builds, checks and measures Stratalloc.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build libstratalloc.so and libstratalloc.a, check them, print their paths
    Build {
        /// Without optimisation, with the allocator's own assertions
        #[arg(long)]
        debug: bool,
    },
    /// Check a built library: exports, dependencies, flags, thread-local memory
    Check {
        /// The library [default: the optimised one of this workspace]
        library: Option<PathBuf>,
    },
    /// Build the library and the command line tool, then run a program on the allocator
    #[command(override_usage = "cargo xtask run [OPTIONS OF `stratalloc run`] -- PROGRAM [ARGUMENTS]")]
    Run {
        /// Options of `stratalloc run`
        options: Vec<OsString>,
        /// The program and its arguments
        #[arg(last = true, required = true, num_args = 1..)]
        program: Vec<OsString>,
    },
    /// Write include/stratalloc.h from the library's source
    Header {
        /// Write nothing; fail where the header is not what the source says
        #[arg(long)]
        check: bool,
    },
    /// Install the library, its headers, and what pkg-config and CMake need
    Install {
        /// Where they will be used
        #[arg(long, default_value = "/usr/local")]
        prefix: PathBuf,
        /// Put before every path while copying, for those who make packages
        #[arg(long)]
        destdir: Option<PathBuf>,
        /// Folder of the libraries: below the prefix, or absolute
        #[arg(long, default_value = "lib")]
        libdir: PathBuf,
    },
    /// Make Debian packages by cargo-deb: libstratalloc0 and libstratalloc-dev
    Deb,
    /// Count the instructions of malloc, free and their kin under callgrind; fail above the limits
    Gate {
        /// Measure this library instead of building one
        #[arg(long)]
        library: Option<PathBuf>,
    },
    /// Count atomics, locks and cache lines that threads share, for 1 to 16 threads; fail above the limits
    Scaling,
    /// Build the library and the measuring bench and run it: workloads, side by side with other allocators
    Bench {
        /// The bench's own: `cargo xtask bench --help`; after `cpp`, those of the bench of C++ containers
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// Why a task ended early, for people.
struct Failure(String);

impl Failure {
    fn new(reason: impl fmt::Display) -> Failure {
        Failure(reason.to_string())
    }
}

type Result<T> = std::result::Result<T, Failure>;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    // The options of `run` and `bench` are not this program's, so they are taken as they are.
    let given = arguments.get(1..).unwrap_or(&[]);
    let task = if let Some((options, program)) = run::split(given) {
        Task::Run { options, program }
    } else if let Some(arguments) = bench::arguments(given) {
        Task::Bench { arguments }
    } else {
        Arguments::parse_from(arguments).task
    };
    let outcome = match task {
        Task::Build { debug } => build::task(debug),
        Task::Check { library } => check::task(library),
        Task::Run { options, program } => run::task(&options, &program),
        Task::Header { check } => header::task(check),
        Task::Install { prefix, destdir, libdir } => install::task(prefix, destdir, libdir),
        Task::Deb => deb::task(),
        Task::Gate { library } => gate::task(library),
        Task::Scaling => scaling::task(),
        Task::Bench { arguments } => bench::task(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(reason)) => {
            eprintln!("xtask: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root: the folder above this package's.
fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Runs a command to its end. Its output is the user's; a failure says what was run.
fn call(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| not_started(&name, &error))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format_args!("`{name}` ended with {status}"))) }
}

/// Why a command could not be started.
fn not_started(name: &str, error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::NotFound => Failure::new(format_args!("`{name}` is needed and not installed")),
        _ => Failure::new(format_args!("`{name}` could not be started: {error}")),
    }
}

//! `bench`: builds libstratalloc.so and the measuring bench, then becomes the bench.
//!
//! The bench is a workspace of its own (`bench/`), so that no other allocator is in the product's
//! lock file. It builds its peers itself, when it needs them. `bench cpp` is the one of C++ containers, a program by
//! itself in the same workspace.

use crate::{Failure, Result, build, call, root};
use std::env;
use std::ffi::OsString;
use std::process::Command;

/// The bench's package and its program.
const BENCH: (&str, &str) = ("stratalloc-bench", "stratalloc-bench");

/// The same of the bench of C++ containers, which the word before its arguments chooses.
const CPP: (&str, &str) = ("stratalloc-bench-cpp", "cpp");

/// A profile of the bench's workspace: as nobody measures the harness, its build is not to take minutes.
const PROFILE: &str = "quick";

/// The arguments after `bench`; `None` if the task is another. They are the bench's, `--help` included.
pub fn arguments(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let (verb, rest) = arguments.split_first()?;
    (verb == "bench").then(|| rest.to_vec())
}

/// Which program the arguments are for, and its arguments.
fn chosen(arguments: &[OsString]) -> ((&'static str, &'static str), &[OsString]) {
    match arguments.split_first() {
        Some((first, rest)) if first == CPP.1 => (CPP, rest),
        _ => (BENCH, arguments),
    }
}

/// `cargo xtask bench [ARGUMENTS]`
pub fn task(arguments: &[OsString]) -> Result<()> {
    let ((package, binary), arguments) = chosen(arguments);
    let built = build::library(false)?;
    let target = build::profile_folder("bench")?;
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--profile", PROFILE, "--package", package, "--manifest-path"]);
    cargo.arg(root().join("bench/Cargo.toml")).arg("--target-dir").arg(&target);
    call(&mut cargo)?;
    let tool = target.join(PROFILE).join(binary);
    let mut command = Command::new(&tool);
    command.args(arguments);
    // What the bench measures and where it builds, unless its options say otherwise.
    command.env("STRATALLOC_BENCH_LIBRARY", &built.shared).env("STRATALLOC_BENCH_TARGET", &target);
    command.env("STRATALLOC_BENCH_ARCHIVE", &built.archive);
    crate::run::become_it(command)
        .map_err(|error| Failure::new(format_args!("{} could not be started: {error}", tool.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(line: &str) -> Option<Vec<OsString>> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        arguments(&words)
    }

    #[test]
    fn everything_after_the_verb_is_the_bench_s() {
        assert_eq!(taken("bench"), Some(Vec::new()));
        assert_eq!(taken("bench run --help"), Some(vec!["run".into(), "--help".into()]));
        assert_eq!(taken("bench show a.json"), Some(vec!["show".into(), "a.json".into()]));
        assert_eq!(taken("run -- bench"), None);
        assert_eq!(taken(""), None);
    }

    #[test]
    fn the_first_word_chooses_the_bench() {
        let words = |line: &str| line.split_whitespace().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(chosen(&words("cpp --rounds 3")), (CPP, &words("--rounds 3")[..]));
        assert_eq!(chosen(&words("run --with cpp")), (BENCH, &words("run --with cpp")[..]));
        assert_eq!(chosen(&[]), (BENCH, &[][..]));
    }
}

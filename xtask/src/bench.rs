//! `bench`: builds libstratalloc.so and the measuring bench, then becomes the bench.
//!
//! The bench is a workspace of its own (`bench/`), so that no other allocator is in the product's
//! lock file. It builds its peers itself, when it needs them.

use crate::{Failure, Result, build, call, root};
use std::env;
use std::ffi::OsString;
use std::process::Command;

/// What the bench calls itself.
const BINARY: &str = "stratalloc-bench";

/// A profile of the bench's workspace: as nobody measures the harness, its build is not to take minutes.
const PROFILE: &str = "quick";

/// The arguments after `bench`; `None` if the task is another. They are the bench's, `--help` included.
pub fn arguments(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let (verb, rest) = arguments.split_first()?;
    (verb == "bench").then(|| rest.to_vec())
}

/// `cargo xtask bench [ARGUMENTS]`
pub fn task(arguments: &[OsString]) -> Result<()> {
    let built = build::library(false)?;
    let target = build::profile_folder("bench")?;
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--profile", PROFILE, "--package", BINARY, "--manifest-path"]);
    cargo.arg(root().join("bench/Cargo.toml")).arg("--target-dir").arg(&target);
    call(&mut cargo)?;
    let tool = target.join(PROFILE).join(BINARY);
    let mut command = Command::new(&tool);
    command.args(arguments);
    // What the bench measures and where it builds, unless its options say otherwise.
    command.env("STRATALLOC_BENCH_LIBRARY", &built.shared).env("STRATALLOC_BENCH_TARGET", &target);
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
}

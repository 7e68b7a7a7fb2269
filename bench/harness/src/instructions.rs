//! Instructions of a pair of `malloc` and `free`, counted by callgrind: the binary does N pairs, then 2N, and the
//! difference is the pairs alone. Counts do not depend on load, so they can be a gate where times cannot.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::choice::Chosen;
use crate::contenders::{Face as Way, Ready};
use crate::process::{self, End, Watch};
use crate::store::{Kind, Plan, Sample};

/// A run under callgrind takes seconds.
const LIMIT: Duration = Duration::from_secs(300);

/// Whether valgrind is here.
pub fn available() -> Result<(), String> {
    match Command::new("valgrind").arg("--version").output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("`valgrind --version` ended with {}", output.status)),
        Err(error) => Err(format!("valgrind cannot be started ({error}): Debian's package valgrind has it")),
    }
}

/// Counts for one contender and one block size. `None`: interrupted.
pub fn sample(chosen: &Chosen, ready: &Ready, size: u64, pairs: u64, plan: &Plan) -> Option<Sample> {
    let counted =
        count(chosen, ready, size, pairs).and_then(|few| Ok((few, count(chosen, ready, size, 2 * pairs)?)));
    let (instructions_per_pair, failure) = match counted {
        Ok((Some(few), Some(many))) if many > few => (Some((many - few) as f64 / pairs as f64), None),
        Ok((Some(few), Some(many))) => (None, Some(format!("{few} instructions, with twice the pairs {many}"))),
        Ok(_) => return None,
        Err(failure) => (None, Some(failure)),
    };
    Some(Sample {
        workload: format!("pair-{size}"),
        contender: chosen.contender.name.clone(),
        face: chosen.face,
        kind: Kind::Instructions,
        round: 0,
        threads: None,
        scale: plan.scale,
        seed: plan.seed,
        outcome: None,
        failure,
        disagrees: false,
        foreign_load: 0.0,
        disturbed: false,
        attempts: 1,
        rss_over_time: Vec::new(),
        counters: None,
        instructions_per_pair,
    })
}

/// Instructions of one whole run; `None` if it was interrupted.
fn count(chosen: &Chosen, ready: &Ready, size: u64, pairs: u64) -> Result<Option<u64>, String> {
    let file = tempfile::NamedTempFile::new().map_err(|error| format!("a temporary file: {error}"))?;
    let mut command = Command::new("valgrind");
    process::clean_environment(&mut command);
    let mut out = std::ffi::OsString::from("--callgrind-out-file=");
    out.push(file.path());
    command.arg("--tool=callgrind").arg("--compress-strings=no").arg(out).arg(&ready.workload);
    command.args(["instructions", "--pairs", &pairs.to_string(), "--size", &size.to_string()]);
    if let Some(library) = &ready.preload {
        command.env("LD_PRELOAD", library);
    }
    let seen = process::run(command, Watch::Own, LIMIT, false).map_err(|error| format!("valgrind: {error}"))?;
    match seen.end {
        End::Exited(status) if status.success() => {}
        End::Exited(status) => {
            let words = seen.stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            return Err(format!("ended under callgrind with {status}: {words}"));
        }
        End::TimedOut => return Err(format!("took longer than {} s under callgrind", LIMIT.as_secs())),
        End::Interrupted => return Ok(None),
    }
    let text = std::fs::read_to_string(file.path()).map_err(|error| format!("callgrind's output: {error}"))?;
    if let (Way::Preload(_), Some(library)) = (&chosen.contender.face, &ready.preload)
        && !ran_code_of(&text, library)
    {
        return Err(format!("no instruction ran in {}: it was not loaded", library.display()));
    }
    total(&text).map(Some).ok_or_else(|| "callgrind's output holds no total".to_owned())
}

/// The total in the text of a callgrind file.
fn total(text: &str) -> Option<u64> {
    let line = |name| text.lines().find_map(|line: &str| line.strip_prefix(name)?.split_whitespace().next());
    line("totals:").or_else(|| line("summary:"))?.parse().ok()
}

/// Whether functions of this file were executed.
fn ran_code_of(text: &str, library: &Path) -> bool {
    text.lines().filter_map(|line| line.strip_prefix("ob=")).any(|object| Path::new(object) == library)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "version: 1\nevents: Ir\nsummary: 1234\n\nob=/lib/a.so\nfl=a.c\nfn=malloc\n10 30\ntotals: 1235\n";

    #[test]
    fn totals_are_read() {
        assert_eq!(total(TEXT), Some(1235));
        assert_eq!(total("summary: 77\n"), Some(77));
        assert_eq!(total("events: Ir\n"), None);
    }

    #[test]
    fn a_library_that_never_ran_is_noticed() {
        assert!(ran_code_of(TEXT, Path::new("/lib/a.so")));
        assert!(!ran_code_of(TEXT, Path::new("/lib/b.so")));
    }
}

//! One sample: the command line of the measured process, its answer checked, disturbed runs repeated.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use stratalloc_bench_protocol::{Description, Group, Outcome};

use crate::choice::Chosen;
use crate::contenders::{Face as Way, Ready};
use crate::plan::Step;
use crate::process::{self, End, Watch, Watched};
use crate::store::{Kind, Plan, Sample};

/// Runs of a sample before the least disturbed is taken.
const ATTEMPTS: u32 = 3;

/// What holds for all samples.
pub struct Measuring<'a> {
    /// What was asked.
    pub plan: &'a Plan,
    /// After which a run is ended.
    pub timeout: Duration,
    /// Whether the machine has hardware counters.
    pub counters: bool,
}

/// One run's result, before it is known whether another attempt is better.
struct Attempt {
    outcome: Option<Outcome>,
    failure: Option<String>,
    seen: Option<Watched>,
}

impl Measuring<'_> {
    /// Takes the sample of a step. `None`: interrupted, nothing to record.
    pub fn sample(&self, step: &Step, workload: &Description, chosen: &Chosen, ready: &Ready) -> Option<Sample> {
        let mut best: Option<Attempt> = None;
        let mut attempts = 0;
        while attempts < ATTEMPTS {
            let attempt = self.attempt(step, workload, chosen, ready);
            if matches!(&attempt.seen, Some(seen) if seen.end == End::Interrupted) {
                return None;
            }
            attempts += 1;
            let load = |attempt: &Attempt| attempt.seen.as_ref().map_or(0.0, |seen| seen.foreign.share);
            let failed = attempt.failure.is_some();
            let better = best.as_ref().is_none_or(|best| failed || load(&attempt) < load(best));
            let disturbed = attempt.seen.as_ref().is_some_and(|seen| seen.foreign.above(self.plan.disturbance));
            if better {
                best = Some(attempt);
            }
            // A failure is none of the load's: it counts at once.
            if failed || !disturbed || crate::interrupt::count() > 0 {
                break;
            }
        }
        let best = best?;
        let foreign = best.seen.as_ref().map(|seen| seen.foreign).unwrap_or_default();
        let (rss_over_time, counters) = best.seen.map(|seen| (seen.rss, seen.counters)).unwrap_or_default();
        Some(Sample {
            workload: workload.name.clone(),
            contender: chosen.contender.name.clone(),
            face: chosen.face,
            kind: step.kind,
            round: step.round,
            threads: step.threads,
            scale: self.plan.scale,
            seed: self.plan.seed,
            outcome: best.outcome,
            failure: best.failure,
            disagrees: false,
            foreign_load: foreign.share,
            disturbed: foreign.above(self.plan.disturbance),
            attempts,
            rss_over_time,
            counters,
            instructions_per_pair: None,
        })
    }

    fn attempt(&self, step: &Step, workload: &Description, chosen: &Chosen, ready: &Ready) -> Attempt {
        let command = self.command(step, workload, ready);
        let program = workload.group == Group::Program;
        let watch = if program { Watch::Children } else { Watch::Own };
        let count = self.counters && step.kind != Kind::Latency;
        let seen = match process::run(command, watch, self.timeout, count) {
            Ok(seen) => seen,
            Err(error) => {
                let failure = Some(format!("{}: could not be run: {error}", binary(step, ready).display()));
                return Attempt { outcome: None, failure, seen: None };
            }
        };
        let (outcome, failure) = match self.judge(&seen, step, workload) {
            Ok(outcome) => {
                let wrong = wrong_allocator(&outcome.allocator, chosen, ready);
                (Some(outcome), wrong)
            }
            Err(failure) => (None, Some(failure)),
        };
        Attempt { outcome, failure, seen: Some(seen) }
    }

    /// The measured process' command line and environment.
    fn command(&self, step: &Step, workload: &Description, ready: &Ready) -> Command {
        let mut command = Command::new(binary(step, ready));
        process::clean_environment(&mut command);
        command.envs(ready.environment.iter().map(|(name, value)| (name, value)));
        if workload.group == Group::Program {
            command.args(["program", &workload.name]);
            if let Some(library) = &ready.preload {
                command.arg("--preload").arg(library);
            }
            command.args(["--scale", &self.plan.scale.to_string()]);
            return command;
        }
        command.args(["run", &workload.name, "--scale", &self.plan.scale.to_string()]);
        command.args(["--seed", &self.plan.seed.to_string()]);
        if let Some(threads) = step.threads {
            command.args(["--threads", &threads.to_string()]);
        }
        if step.kind == Kind::Throughput && step.round < self.plan.rest_rounds {
            command.args(["--rest", &self.plan.rest.to_string()]);
        }
        if let Some(library) = &ready.preload {
            command.env("LD_PRELOAD", library);
        }
        command
    }

    /// The process' answer, or why it has none.
    fn judge(&self, seen: &Watched, step: &Step, workload: &Description) -> Result<Outcome, String> {
        let last_words = || match last_lines(&seen.stderr) {
            text if text.is_empty() => String::new(),
            text => format!("; its last words: {text}"),
        };
        match seen.end {
            End::Exited(status) if status.success() => {}
            End::Exited(status) => return Err(format!("ended with {status}{}", last_words())),
            End::TimedOut => {
                return Err(format!(
                    "took longer than {} s and was ended{}",
                    self.timeout.as_secs_f64(),
                    last_words()
                ));
            }
            End::Interrupted => return Err("interrupted".to_owned()),
        }
        let outcome: Outcome = serde_json::from_slice(&seen.stdout)
            .map_err(|error| format!("its output is no outcome ({error}){}", last_words()))?;
        if outcome.workload != workload.name {
            return Err(format!("it ran '{}' in place of '{}'", outcome.workload, workload.name));
        }
        if let Some(threads) = step.threads.filter(|&threads| threads != outcome.threads) {
            return Err(format!("it ran {} threads in place of {threads}", outcome.threads));
        }
        if step.kind == Kind::Latency && outcome.latency.is_none() {
            return Err("it timed no calls: the binary is not the latency face".to_owned());
        }
        Ok(outcome)
    }
}

/// The program of a step.
fn binary<'a>(step: &Step, ready: &'a Ready) -> &'a Path {
    if step.kind == Kind::Latency { &ready.latency_workload } else { &ready.workload }
}

/// Says what was loaded in place of what should have been; `None` if it is the right one.
pub fn wrong_allocator(loaded: &str, chosen: &Chosen, ready: &Ready) -> Option<String> {
    let (right, wanted) = match (&chosen.contender.face, &ready.preload) {
        (Way::Global { feature }, _) => {
            let wanted = format!("global:{}", feature.strip_prefix("global-").unwrap_or(feature));
            (loaded == wanted, wanted)
        }
        (Way::Preload(_), Some(library)) => {
            let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
            (real(Path::new(loaded)) == real(library), library.display().to_string())
        }
        (_, None) | (Way::Plain, _) => {
            let name = Path::new(loaded).file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
            let libc = ["libc.so", "libc-2", "ld-musl", "libc.musl"].iter().any(|start| name.starts_with(start));
            (libc, "libc's own malloc".to_owned())
        }
    };
    (!right).then(|| format!("the process' allocator was '{loaded}', not {wanted}"))
}

/// The end of a text, on one line.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contenders::{Contender, Origin};
    use crate::store::Face;

    fn chosen(face: Way) -> Chosen {
        Chosen { contender: Contender { name: "x".into(), face, about: "" }, face: Face::Preload }
    }

    fn ready(preload: Option<&Path>) -> Ready {
        Ready {
            name: "x".into(),
            preload: preload.map(Path::to_owned),
            workload: "w".into(),
            latency_workload: "l".into(),
            version: "1".into(),
            note: None,
            environment: Vec::new(),
        }
    }

    #[test]
    fn the_loaded_library_is_told_from_another_by_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let (real, copy, link) =
            (folder.path().join("a.so"), folder.path().join("b.so"), folder.path().join("c.so"));
        std::fs::write(&real, "x").unwrap();
        std::fs::write(&copy, "x").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let chosen = chosen(Way::Preload(Origin::Own));
        let wrong =
            |loaded: &Path, asked: &Path| wrong_allocator(loaded.to_str().unwrap(), &chosen, &ready(Some(asked)));
        assert_eq!(wrong(&real, &real), None);
        assert_eq!(wrong(&real, &link), None);
        let said = wrong(&copy, &real).unwrap();
        assert!(said.contains("b.so") && said.contains("a.so"), "{said}");
        assert!(wrong(Path::new("/lib/x86_64-linux-gnu/libc.so.6"), &real).is_some());
    }

    #[test]
    fn libc_and_global_faces_are_told_by_name() {
        let plain = chosen(Way::Plain);
        assert_eq!(wrong_allocator("/lib/x86_64-linux-gnu/libc.so.6", &plain, &ready(None)), None);
        assert!(wrong_allocator("/tmp/libmimalloc.so", &plain, &ready(None)).is_some());
        let global = chosen(Way::Global { feature: "global-rpmalloc" });
        assert_eq!(wrong_allocator("global:rpmalloc", &global, &ready(None)), None);
        assert!(wrong_allocator("global:snmalloc", &global, &ready(None)).unwrap().contains("global:rpmalloc"));
    }

    #[test]
    fn last_words_are_three_lines_on_one() {
        assert_eq!(last_lines("a\n\n b \nc\nd\n"), "b / c / d");
        assert_eq!(last_lines("\n"), "");
    }
}

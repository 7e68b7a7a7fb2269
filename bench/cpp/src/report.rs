//! The document with all samples, and the tables in Markdown that are made from it.

use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use stratalloc_bench::stats::{geometric_mean, median};
use stratalloc_bench::store::Machine;

use crate::Clock;
use crate::programs::{Entry, Group, Sample};

/// All that a run measured.
#[derive(Serialize, Deserialize)]
pub struct Document {
    machine: Machine,
    /// Of the libraries.
    versions: Vec<String>,
    scale: f64,
    rounds: usize,
    results: Vec<Measured>,
}

/// A contender in a case.
#[derive(Serialize, Deserialize)]
struct Measured {
    case: String,
    contender: String,
    group: Group,
    ours: bool,
    samples: Vec<Sample>,
    /// Why there are fewer samples than rounds.
    failures: Vec<String>,
}

/// A contender's name and what it is.
#[derive(Clone, PartialEq)]
struct Column<'a> {
    name: &'a str,
    group: Group,
    ours: bool,
}

impl Document {
    /// `samples` has a list for each entry.
    pub fn new(
        machine: Machine,
        versions: Vec<String>,
        scale: f64,
        rounds: usize,
        entries: &[Entry],
        samples: Vec<Vec<Result<Sample, String>>>,
    ) -> Document {
        let results = entries.iter().zip(samples).map(|(entry, samples)| {
            let mut measured = Measured {
                case: entry.case.clone(),
                contender: entry.contender.clone(),
                group: entry.group,
                ours: entry.ours,
                samples: Vec::new(),
                failures: Vec::new(),
            };
            for sample in samples {
                match sample {
                    Ok(sample) => measured.samples.push(sample),
                    Err(reason) => measured.failures.push(reason),
                }
            }
            measured
        });
        Document { machine, versions, scale, rounds, results: results.collect() }
    }

    pub fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        std::fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))
    }

    pub fn read(path: &Path) -> Result<Document, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// What did not end well, and contenders that computed something else than the case's first one.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for measured in &self.results {
            let Measured { contender, case, .. } = measured;
            let reasons = unique(measured.failures.iter());
            failures.extend(reasons.iter().map(|reason| format!("{contender} in {case}: {reason}")));
            let Some(first) =
                self.results.iter().filter(|other| other.case == *case).find_map(|other| other.samples.first())
            else {
                continue;
            };
            let other =
                |sample: &&Sample| (&sample.checksum, sample.operations) != (&first.checksum, first.operations);
            if let Some(sample) = measured.samples.iter().find(other) {
                failures.push(format!(
                    "{contender} in {case}: checksum {} after {} operations, where another has {} after {}",
                    sample.checksum, sample.operations, first.checksum, first.operations
                ));
            }
        }
        failures
    }

    fn cases(&self) -> Vec<&str> {
        unique(self.results.iter().map(|measured| measured.case.as_str()))
    }

    /// Others first in each group.
    fn columns(&self) -> Vec<Column<'_>> {
        let mut columns = unique(self.results.iter().map(|measured| Column {
            name: &measured.contender,
            group: measured.group,
            ours: measured.ours,
        }));
        columns.sort_by_key(|column| (column.group, column.ours));
        columns
    }

    fn median(&self, case: &str, name: &str, value: &dyn Fn(&Sample) -> f64) -> Option<f64> {
        let measured = self.results.iter().find(|measured| measured.case == case && measured.contender == name)?;
        let values: Vec<f64> = measured.samples.iter().map(value).collect();
        median(&values)
    }

    /// The lowest of a case among these, with its name.
    fn best(
        &self,
        case: &str,
        value: &dyn Fn(&Sample) -> f64,
        among: impl Fn(&Column) -> bool,
    ) -> Option<(&str, f64)> {
        let columns = self.columns().into_iter().filter(among);
        let medians = columns.filter_map(|column| Some((column.name, self.median(case, column.name, value)?)));
        medians.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Everything, as it goes into a document.
    pub fn markdown(&self, clock: Clock) -> String {
        let time = move |sample: &Sample| clock.of(sample);
        let peak = |sample: &Sample| sample.peak_kib as f64;
        let Machine { cpu, cores, kernel, libc, date, .. } = &self.machine;
        let what = match clock {
            Clock::Wall => "wall time",
            Clock::Cpu => "CPU time of the measured threads",
        };
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{date}: {cores} cores of {cpu}, Linux {kernel}, {libc}; {} rounds, scale {}.",
            self.rounds, self.scale
        );
        let _ = writeln!(text, "{}.", self.versions.join("; "));
        let _ =
            writeln!(text, "\n**Ours against the others**, {what}, lowest of each group; above 1.00 we lose.\n");
        self.verdicts(&mut text, &time);
        let _ = writeln!(text, "\n**Time**: {what}, ratio to the lowest of the row (arenas apart).\n");
        self.table(&mut text, &time, "ns");
        let _ = writeln!(
            text,
            "\n**Peak resident memory** of the process, ratio to the lowest of the row (arenas apart).\n"
        );
        self.table(&mut text, &peak, "KiB");
        text
    }

    fn table(&self, text: &mut String, value: &dyn Fn(&Sample) -> f64, unit: &str) {
        let columns = self.columns();
        let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        let _ = writeln!(text, "| case | lowest, {unit} | {} |", names.join(" | "));
        let _ = writeln!(text, "|---|---|{}", "---|".repeat(columns.len()));
        let mut ratios = vec![Vec::new(); columns.len()];
        for case in self.cases() {
            let Some((_, best)) = self.best(case, value, |column| column.group != Group::Arena) else { continue };
            let _ = write!(text, "| {case} | {} |", figure(best));
            for (column, ratios) in columns.iter().zip(&mut ratios) {
                match self.median(case, column.name, value) {
                    Some(median) => {
                        ratios.push(median / best);
                        let _ = write!(text, " {} |", ratio(median / best));
                    }
                    None => text.push_str(" |"),
                }
            }
            text.push('\n');
        }
        let _ = write!(text, "| geometric mean | |");
        for ratios in &ratios {
            let mean = geometric_mean(ratios).map(|mean| format!("{mean:.2}")).unwrap_or_default();
            let _ = write!(text, " {mean} |");
        }
        text.push('\n');
    }

    fn verdicts(&self, text: &mut String, value: &dyn Fn(&Sample) -> f64) {
        let parts: [(&str, &[Group]); 4] = [
            ("any thread", &[Group::Threads]),
            ("own heap or pool", &[Group::Own]),
            ("either", &[Group::Threads, Group::Own]),
            ("arena", &[Group::Arena]),
        ];
        let _ = writeln!(text, "| case |{}", parts.map(|(name, _)| format!(" {name} |")).concat());
        let _ = writeln!(text, "|---|{}", "---|".repeat(parts.len()));
        let mut ratios = [const { Vec::new() }; 4];
        for case in self.cases() {
            let _ = write!(text, "| {case} |");
            for ((_, groups), ratios) in parts.iter().zip(&mut ratios) {
                let of =
                    |ours| self.best(case, value, |column| column.ours == ours && groups.contains(&column.group));
                match of(true).zip(of(false)) {
                    Some(((name, median), (other, best))) => {
                        ratios.push(median / best);
                        let _ = write!(text, " {:.2} {name} / {other} |", median / best);
                    }
                    None => text.push_str(" |"),
                }
            }
            text.push('\n');
        }
        let _ = write!(text, "| geometric mean; cases lost |");
        for ratios in &ratios {
            let lost = ratios.iter().filter(|ratio| **ratio > 1.0).count();
            match geometric_mean(ratios) {
                Some(mean) => {
                    let _ = write!(text, " {mean:.2}; {lost} of {} |", ratios.len());
                }
                None => text.push_str(" |"),
            }
        }
        text.push('\n');
    }
}

/// Each once, in the order in which they first come.
fn unique<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for one in all {
        if !seen.contains(&one) {
            seen.push(one);
        }
    }
    seen
}

/// Three digits that count, or all before the point.
fn figure(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

fn ratio(ratio: f64) -> String {
    match ratio {
        1.0 => "**1.00**".into(),
        ratio if ratio < 10.0 => format!("{ratio:.2}"),
        ratio => format!("{ratio:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(nanoseconds: f64) -> Sample {
        let checksum = "1".to_owned();
        Sample { wall_ns: nanoseconds, cpu_ns: nanoseconds / 2.0, operations: 5, peak_kib: 100, checksum }
    }

    fn entry(contender: &str, group: Group, ours: bool) -> Entry {
        Entry { program: 0, contender: contender.into(), group, ours, case: "case".into() }
    }

    fn document(samples: Vec<(Entry, Vec<Result<Sample, String>>)>) -> Document {
        let (entries, samples): (Vec<_>, Vec<_>) = samples.into_iter().unzip();
        Document::new(stratalloc_bench::machine::here(), vec!["some 1.0".into()], 1.0, 3, &entries, samples)
    }

    #[test]
    fn ratios_are_of_medians_to_the_lowest_that_is_no_arena() {
        let document = document(vec![
            (entry("std", Group::Threads, false), vec![Ok(sample(30.0)), Ok(sample(10.0)), Ok(sample(20.0))]),
            (entry("ours", Group::Own, true), vec![Ok(sample(40.0))]),
            (entry("mono", Group::Arena, false), vec![Ok(sample(5.0))]),
        ]);
        let text = document.markdown(Clock::Wall);
        assert!(text.contains("| case | lowest, ns | std | ours | mono |"), "{text}");
        assert!(text.contains("| case | 20.0 | **1.00** | 2.00 | 0.25 |"), "{text}");
        assert!(text.contains("| case | 100 | **1.00** | **1.00** | **1.00** |"), "{text}");
        assert!(text.contains("| case | | | 2.00 ours / std | |"), "{text}");
        assert!(text.contains("| geometric mean; cases lost | | | 2.00; 1 of 1 | |"), "{text}");
        assert!(document.markdown(Clock::Cpu).contains("| case | 10.0 | **1.00** | 2.00 | 0.25 |"));
    }

    #[test]
    fn other_work_and_failed_runs_are_told() {
        let other = Sample { checksum: "2".into(), ..sample(1.0) };
        let document = document(vec![
            (entry("std", Group::Threads, false), vec![Ok(sample(1.0))]),
            (entry("wrong", Group::Threads, false), vec![Ok(sample(1.0)), Ok(other)]),
            (entry("dead", Group::Threads, false), vec![Err("signal: 11".into())]),
        ]);
        let failures = document.failures();
        assert_eq!(failures.len(), 2, "{failures:?}");
        assert!(failures[0].contains("wrong") && failures[0].contains("checksum 2"), "{failures:?}");
        assert!(failures[1].contains("dead") && failures[1].contains("signal: 11"), "{failures:?}");
        assert!(document.markdown(Clock::Wall).contains("| case | 1.00 | **1.00** | **1.00** | |"));
    }

    #[test]
    fn a_document_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.json");
        let written = document(vec![(entry("std", Group::Threads, false), vec![Ok(sample(1.5))])]);
        written.write(&path).unwrap();
        assert_eq!(Document::read(&path).unwrap().markdown(Clock::Wall), written.markdown(Clock::Wall));
    }
}

//! What a workload is to the frame, and the table of all of them.
//!
//! Each family lists its own: [`classics::all`](crate::classics::all), [`scenes::all`](crate::scenes::all)
//! and [`programs::all`](crate::programs::all). The frame (`main`, [`crate::measure`]) knows nothing of
//! a workload but what stands here.

use std::path::Path;
use stratalloc_bench_protocol::{Description, Group, Outcome, ProgramState};

use crate::measure::Run;
use crate::{classics, programs, scenes};

/// A workload that runs in this process.
#[derive(Clone, Copy)]
pub struct Workload {
    /// The word by which it is asked for: lower case, with hyphens.
    pub name: &'static str,
    /// Where it stands in lists.
    pub group: Group,
    /// What it models, in one sentence.
    pub models: &'static str,
    /// The publication or program that it follows.
    pub source: &'static str,
    /// Which property of an allocator it shows, in one sentence.
    pub sensitive_to: &'static str,
    /// How many threads.
    pub threads: Threads,
    /// Whether the tail of its calls' latency is worth a table.
    pub latency: bool,
    /// Does the work. It calls [`Run::start`] and [`Run::stop`] once each around what counts, and
    /// [`Run::operations`] and [`Run::checksum`] at any time (they add up). All that it allocated is freed when it
    /// returns; the frame measures what then still rests in memory.
    ///
    /// Work, operations and checksum depend on the parameters alone, never on addresses, time or the
    /// order in which threads happened to run.
    pub run: fn(&Parameters, &mut Run),
}

/// How many threads a workload runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// Always so many.
    Fixed(u32),
    /// As many as CPUs, at least 2, or what `--threads` says.
    Cpus,
    /// Twice that, for pairs of threads, or what `--threads` says.
    TwiceCpus,
    /// So many, or what `--threads` says.
    Scaling(u32),
}

impl Threads {
    /// The number where nobody asks for another.
    pub fn default_number(self) -> u32 {
        match self {
            Threads::Fixed(number) | Threads::Scaling(number) => number,
            Threads::Cpus => cpus(),
            Threads::TwiceCpus => 2 * cpus(),
        }
    }

    /// Whether `--threads` changes it.
    pub fn scales(self) -> bool {
        !matches!(self, Threads::Fixed(_))
    }
}

/// How many CPUs this process may use, at least 2.
fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(2, |cpus| cpus.get().max(2) as u32)
}

/// What a run is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters {
    /// How much work: 1.0 is about half a second with glibc's malloc on two CPUs, 0.02 a few
    /// milliseconds. Always finite and above 0.
    pub scale: f64,
    /// The threads to run; already the workload's default where the user said nothing, at least 1.
    pub threads: u32,
    /// Where all random numbers start.
    pub seed: u64,
}

impl Parameters {
    /// `full` at scale 1.0, in proportion otherwise, and at least 1.
    pub fn scaled(&self, full: u64) -> u64 {
        ((full as f64 * self.scale).round() as u64).max(1)
    }
}

impl Workload {
    /// As the harness and `workload list` see it.
    pub fn description(&self) -> Description {
        Description {
            name: self.name.to_owned(),
            group: self.group,
            models: self.models.to_owned(),
            source: self.source.to_owned(),
            sensitive_to: self.sensitive_to.to_owned(),
            threads: self.threads.default_number(),
            scales_with_threads: self.threads.scales(),
            latency: self.latency,
            memory: scenes::memory(self.name),
            program: None,
        }
    }
}

/// A real program, run as a child of this process with a library preloaded.
#[derive(Clone, Copy)]
pub struct Program {
    /// The word by which it is asked for: lower case, with hyphens.
    pub name: &'static str,
    /// What it models, in one sentence.
    pub models: &'static str,
    /// The program and what it is given to do.
    pub source: &'static str,
    /// Which property of an allocator it shows, in one sentence.
    pub sensitive_to: &'static str,
    /// The threads it runs.
    pub threads: u32,
    /// What Debian calls the package.
    pub package: &'static str,
    /// What is missing on this machine to run it; `None` where it can run.
    pub missing: fn() -> Option<String>,
    /// Runs it, with `preload` (an absolute path that exists) in LD_PRELOAD, or without any. An error is a
    /// sentence for the user.
    pub run: fn(preload: Option<&Path>, scale: f64) -> Result<Outcome, String>,
}

impl Program {
    /// As the harness and `workload list` see it.
    pub fn description(&self) -> Description {
        Description {
            name: self.name.to_owned(),
            group: Group::Program,
            models: self.models.to_owned(),
            source: self.source.to_owned(),
            sensitive_to: self.sensitive_to.to_owned(),
            threads: self.threads,
            scales_with_threads: false,
            latency: false,
            memory: None,
            program: Some(ProgramState { package: self.package.to_owned(), missing: (self.missing)() }),
        }
    }
}

/// All workloads that run in this process: classics, then scenes.
pub fn workloads() -> Vec<Workload> {
    let mut all = classics::all();
    all.extend(scenes::all());
    all
}

/// Descriptions of everything, in the order of lists.
pub fn descriptions() -> Vec<Description> {
    let programs = programs::all();
    workloads().iter().map(Workload::description).chain(programs.iter().map(Program::description)).collect()
}

impl Threads {
    /// The number for a run of `workload`, with `asked` from `--threads`.
    pub fn chosen(self, workload: &str, asked: Option<u32>) -> Result<u32, String> {
        match (self, asked) {
            (Threads::Fixed(number), Some(asked)) if asked != number => Err(format!(
                "--threads {asked}: workload {workload} always runs {number}; see `workload list` for those that scale"
            )),
            (_, Some(asked)) => Ok(asked),
            (_, None) => Ok(self.default_number()),
        }
    }
}

/// The workload of a name; the error tells similar names.
pub fn find_workload(name: &str) -> Result<Workload, String> {
    let all = workloads();
    if let Some(&found) = all.iter().find(|workload| workload.name == name) {
        return Ok(found);
    }
    if programs::all().iter().any(|program| program.name == name) {
        return Err(format!("{name} is a real program: `workload program {name}` runs it"));
    }
    Err(unknown("workload", name, all.iter().map(|workload| workload.name)))
}

/// The real program of a name; the error tells similar names.
pub fn find_program(name: &str) -> Result<Program, String> {
    let all = programs::all();
    if let Some(&found) = all.iter().find(|program| program.name == name) {
        return Ok(found);
    }
    if workloads().iter().any(|workload| workload.name == name) {
        return Err(format!("{name} is no real program: `workload run {name}` runs it"));
    }
    Err(unknown("program", name, all.iter().map(|program| program.name)))
}

/// What to say of a name that nothing has: the nearest that something has.
fn unknown<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut near: Vec<(usize, &str)> = known
        .filter_map(|known| {
            let related = name.len() > 2 && (known.contains(name) || name.contains(known));
            let distance = if related { 1 } else { distance(name, known) };
            (distance <= 1 + name.len() / 3).then_some((distance, known))
        })
        .collect();
    near.sort_unstable();
    let near: Vec<&str> = near.into_iter().take(4).map(|(_, name)| name).collect();
    if near.is_empty() {
        format!("unknown {kind} '{name}'; `workload list` names all")
    } else {
        format!("unknown {kind} '{name}'; is it {}? `workload list` names all", near.join(" or "))
    }
}

/// Letters to insert, delete or replace to make one word of the other (Levenshtein's).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_with_hyphens_and_unique() {
        let mut names: Vec<String> = descriptions().into_iter().map(|description| description.name).collect();
        let well_formed =
            |name: &String| name.bytes().all(|b| b == b'-' || b.is_ascii_lowercase() || b.is_ascii_digit());
        assert!(names.iter().all(well_formed), "{names:?}");
        names.sort_unstable();
        let number = names.len();
        names.dedup();
        assert_eq!(names.len(), number, "{names:?}");
    }

    #[test]
    fn an_unknown_name_is_answered_with_near_ones() {
        let names = ["larson", "larson-unsized", "xmalloc", "mstress"];
        let near = |name| unknown("workload", name, names.into_iter());
        assert_eq!(near("larsen"), "unknown workload 'larsen'; is it larson? `workload list` names all");
        assert!(near("malloc").contains("is it xmalloc?"), "{}", near("malloc"));
        assert_eq!(near("qqqqqqqq"), "unknown workload 'qqqqqqqq'; `workload list` names all");
    }

    #[test]
    fn the_distance_of_words_counts_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn a_fixed_number_of_threads_refuses_another() {
        assert_eq!(Threads::Fixed(1).chosen("x", Some(1)), Ok(1));
        assert!(Threads::Fixed(1).chosen("cfrac", Some(4)).unwrap_err().contains("cfrac"));
        assert_eq!(Threads::Scaling(8).chosen("x", None), Ok(8));
        assert_eq!(Threads::Cpus.chosen("x", Some(64)), Ok(64));
        assert!(Threads::Cpus.default_number() >= 2);
    }
}

//! `scaling`: what threads share, counted, against its limits.
//!
//! No machine with many cores is needed to see what would not scale to one. The example `scaling` of the crate
//! `stratalloc` runs loads of 1 to 16 threads, and a thousand, twice: on a library whose atomics count (feature
//! `count-shared`, see `stratalloc_core::sync::count`), which gives exchanges, fences, locks and the cache lines that go from
//! thread to thread; and on the library as it is, which gives CPU time and memory. Counts and memory have limits;
//! times have none.

use crate::{Failure, Result, build, call, not_started, root};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs of a load with so many threads.
struct Load {
    name: &'static str,
    about: &'static str,
    threads: &'static [u32],
    /// For whose sake the counts are divided.
    per: Per,
    limits: &'static [(&'static str, f64)],
}

/// What figures are given for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Per {
    /// A thousand operations (allocations and frees).
    Operations,
    /// A thread that starts, works and ends.
    Thread,
    /// A thread that is there: memory only.
    Memory,
}

const SERIES: &[u32] = &[1, 2, 4, 8, 16];

/// Runs of a load until all figures are within their limits. How a busy system schedules its threads puts one above now
/// and then (a crowd of 1000 threads took 38 KiB each instead of 4 once: a thread that waits for its turn inside a CPU's heap
/// lets others have heaps of their own); what the allocator does is above each time.
const ATTEMPTS: u32 = 3;

/// The limits are a half above what was measured (docs/measurements.md, Scaling), more where the kernel's
/// scheduling decides. They hold for each number of threads alike: that is the point.
const LOADS: &[Load] = &[
    Load {
        name: "small",
        about: "each thread replaces 1024 blocks of its own, 8 to 1000 bytes",
        threads: SERIES,
        per: Per::Operations,
        limits: &[
            ("exchanges", 11.0),
            ("fences", 0.1),
            ("locks", 1.05),
            // 1 to 2; 6.6 once, with a scheduler that had others to serve. A line in use by two would be hundreds.
            ("transfers", 20.0),
            ("overhead KiB", 800.0),
        ],
    },
    Load {
        name: "mixed",
        about: "the same, one block in sixteen up to 32 KiB",
        threads: SERIES,
        per: Per::Operations,
        limits: &[
            ("exchanges", 44.0),
            ("fences", 0.1),
            ("locks", 22.0),
            ("transfers", 50.0),
            ("overhead KiB", 4300.0),
        ],
    },
    Load {
        name: "pairs",
        about: "half of the threads allocate 16 to 512 bytes, the other half free them",
        threads: &[2, 4, 8, 16],
        per: Per::Operations,
        // By how the two take turns: 90 to 290 exchanges, 50 to 340 transfers in thirty tables.
        limits: &[("exchanges", 450.0), ("fences", 1.0), ("locks", 4.0), ("transfers", 520.0)],
    },
    Load {
        name: "starts",
        about: "a thousand threads in waves: 100 allocations and frees each",
        threads: SERIES,
        per: Per::Thread,
        limits: &[("exchanges", 16.0), ("fences", 2.0), ("locks", 5.0), ("transfers", 76.0), ("grown KiB", 1.0)],
    },
    Load {
        name: "idle",
        about: "threads that replaced 48 blocks of 8 to 512 bytes and sleep; then free them and sleep",
        threads: SERIES,
        per: Per::Memory,
        limits: &[("overhead KiB", 176.0), ("drained KiB", 192.0)],
    },
    Load {
        name: "idle",
        about: "a crowd of them, of which two for each CPU have heaps of their own",
        threads: &[1000],
        per: Per::Memory,
        // Of 128 CPUs; 3.8 and 16 on two.
        limits: &[("overhead KiB", 24.0), ("drained KiB", 36.0)],
    },
];

/// `cargo xtask scaling`
pub fn task() -> Result<()> {
    let folder = build::profile_folder("scaling")?;
    let plain = example(&folder, false)?;
    let counting = example(&folder, true)?;
    let mut broken = Vec::new();
    for load in LOADS {
        report(load, &plain, &counting, &mut broken)?;
    }
    if broken.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format_args!("above the limit:\n  {}", broken.join("\n  "))))
}

/// Builds the loads, in a folder of their own: the feature must reach no other target.
fn example(folder: &Path, counting: bool) -> Result<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--release", "--package", "stratalloc", "--example", "scaling"]);
    cargo.arg("--manifest-path").arg(root().join("Cargo.toml")).arg("--target-dir").arg(folder);
    if counting {
        cargo.args(["--features", "count-shared"]);
    }
    call(&mut cargo)?;
    let built = folder.join("release/examples/scaling");
    let kept = folder.join(if counting { "counting" } else { "plain" });
    // A copy: the other build takes its place.
    fs::copy(&built, &kept).map_err(|error| Failure::new(format_args!("{}: {error}", built.display())))?;
    Ok(kept)
}

/// What a run printed: words and numbers.
struct Figures(Vec<(String, f64)>);

impl Figures {
    fn read(text: &str) -> Option<Figures> {
        let line = |line: &str| {
            let (word, number) = line.split_once(' ')?;
            Some((word.to_owned(), number.parse().ok()?))
        };
        text.lines().map(line).collect::<Option<Vec<_>>>().map(Figures)
    }

    fn get(&self, word: &str) -> Option<f64> {
        self.0.iter().find(|(known, _)| known == word).map(|&(_, number)| number)
    }
}

fn run(program: &Path, load: &Load, threads: u32) -> Result<Figures> {
    let mut command = Command::new(program);
    command.arg(load.name).arg(threads.to_string()).env_remove("STRATALLOC").stdin(Stdio::null());
    let output = command.output().map_err(|error| not_started(&program.display().to_string(), &error))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let failed = || Failure::new(format_args!("{} with {threads}: {}\n{said}{errors}", load.name, output.status));
    if !output.status.success() {
        return Err(failed());
    }
    Figures::read(&said).ok_or_else(failed)
}

/// The columns of a load: what is printed, in which run, and what it is divided by.
fn columns(counting: &Figures, plain: &Figures, per: Per) -> Option<Vec<(&'static str, f64)>> {
    const COUNTS: [&str; 5] = ["exchanges", "fences", "locks", "waits", "transfers"];
    let kib = |word| Some(plain.get(word)? / 1024.0);
    if per == Per::Memory {
        return Some(vec![
            ("live KiB", kib("live")?),
            ("overhead KiB", kib("overhead")?),
            ("drained KiB", kib("drained")?),
        ]);
    }
    let base = match per {
        Per::Operations => counting.get("operations")? / 1000.0,
        _ => counting.get("threads")?,
    };
    let mut columns = Vec::new();
    for word in COUNTS {
        columns.push((word, counting.get(word)? / base));
    }
    columns.push(("ns/op", plain.get("nanoseconds")? / plain.get("operations")?));
    for (word, title) in [("live", "live KiB"), ("overhead", "overhead KiB")] {
        columns.extend(plain.get(word).map(|bytes| (title, bytes / 1024.0)));
    }
    if let Some(grown) = plain.get("grown") {
        columns.push(("grown KiB", grown / 1024.0 / base));
    }
    Some(columns)
}

/// What is above its limit.
fn above(load: &Load, columns: &[(&str, f64)]) -> Vec<String> {
    let value = |title| columns.iter().find(|(known, _)| *known == title).map(|&(_, value)| value);
    let text = |title, limit| match value(title) {
        Some(value) if value <= limit => None,
        Some(value) => Some(format!("{title} {value:.2}, at most {limit}")),
        None => Some(format!("{title} not measured, at most {limit}")),
    };
    load.limits.iter().filter_map(|&(title, limit)| text(title, limit)).collect()
}

/// Runs a load with each number of threads, prints its table, notes what is above a limit.
fn report(load: &Load, plain: &Path, counting: &Path, broken: &mut Vec<String>) -> Result<()> {
    let per = match load.per {
        Per::Operations => "per 1000 operations; memory per thread",
        Per::Thread => "per thread",
        Per::Memory => "per thread",
    };
    println!("{}: {} ({per})", load.name, load.about);
    for (at, &threads) in load.threads.iter().enumerate() {
        for attempt in 1..=ATTEMPTS {
            let plain = run(plain, load, threads)?;
            // Memory is that of the library as it is: nothing to count.
            let counted =
                if load.per == Per::Memory { Figures(Vec::new()) } else { run(counting, load, threads)? };
            let columns = columns(&counted, &plain, load.per)
                .ok_or_else(|| Failure::new(format_args!("{} with {threads}: a figure is missing", load.name)))?;
            if at == 0 && attempt == 1 {
                print!("{:>8}", "threads");
                columns.iter().for_each(|(title, _)| print!("{title:>14}"));
                println!();
            }
            print!("{threads:>8}");
            columns.iter().for_each(|&(_, value)| print!("{:>14}", format!("{value:.*}", decimals(value))));
            println!();
            let above = above(load, &columns);
            if above.is_empty() {
                break;
            }
            if attempt == ATTEMPTS {
                broken.extend(above.iter().map(|what| format!("{} with {threads}: {what}", load.name)));
            }
        }
    }
    let limits: Vec<String> = load.limits.iter().map(|(title, limit)| format!("{title} {limit}")).collect();
    println!("   limit: {}\n", limits.join(", "));
    Ok(())
}

/// Digits after the point that a reader wants.
fn decimals(value: f64) -> usize {
    match value {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_words_and_numbers() {
        let figures = Figures::read("exchanges 12\noperations 4000\n").unwrap();
        assert_eq!((figures.get("exchanges"), figures.get("locks")), (Some(12.0), None));
        assert!(Figures::read("exchanges twelve\n").is_none());
        assert!(Figures::read("exchanges\n").is_none());
    }

    #[test]
    fn columns_are_divided_by_what_they_are_given_for() {
        let counted = "exchanges 12\nfences 0\nlocks 4\nwaits 2\ntransfers 8\noperations 4000\nthreads 2\n";
        let counted = Figures::read(counted).unwrap();
        let plain = Figures::read("operations 4000\nnanoseconds 40000\nlive 2048\noverhead 1024\n").unwrap();
        let by_operation = columns(&counted, &plain, Per::Operations).unwrap();
        let of = |columns: &[(&str, f64)], title| columns.iter().find(|(known, _)| *known == title).unwrap().1;
        assert_eq!((of(&by_operation, "exchanges"), of(&by_operation, "locks")), (3.0, 1.0));
        assert_eq!((of(&by_operation, "ns/op"), of(&by_operation, "overhead KiB")), (10.0, 1.0));
        assert_eq!(of(&columns(&counted, &plain, Per::Thread).unwrap(), "transfers"), 4.0);
        assert!(columns(&Figures(Vec::new()), &plain, Per::Operations).is_none());
    }

    #[test]
    fn what_is_above_its_limit_or_missing_is_said() {
        let load = LOADS.iter().find(|load| load.per == Per::Memory).unwrap();
        let (title, limit) = load.limits[0];
        let others = load.limits[1..].iter().map(|&(title, limit)| (title, limit));
        let columns = |value: f64| [(title, value)].into_iter().chain(others.clone()).collect::<Vec<_>>();
        assert!(above(load, &columns(limit)).is_empty());
        assert_eq!(above(load, &columns(limit + 1.0)).len(), 1);
        assert_eq!(above(load, &[]).len(), load.limits.len());
    }

    #[test]
    fn every_limit_names_a_column() {
        let words = "exchanges 1\nfences 1\nlocks 1\nwaits 1\ntransfers 1\noperations 1\nthreads 1\nnanoseconds 1\n\
                     live 1\noverhead 1\ndrained 1\ngrown 1\n";
        let figures = Figures::read(words).unwrap();
        for load in LOADS {
            let columns = columns(&figures, &figures, load.per).unwrap();
            assert!(load.limits.iter().all(|(title, _)| columns.iter().any(|(known, _)| known == title)));
            assert!(!load.limits.is_empty() && !load.threads.is_empty());
        }
    }
}

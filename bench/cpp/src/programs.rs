//! The C++ programs: how they are compiled, what they say of themselves, one measurement.
//!
//! One program a library, since two versions of mimalloc share their names and ours takes malloc's place. All
//! libraries are linked statically, all programs compiled by the same compiler with the same flags.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use stratalloc_bench::process::{self, End, Watch};

/// For every program. No `-march`: what a distribution would ship.
const FLAGS: &[&str] = &["-std=c++20", "-O2", "-DNDEBUG", "-Wall", "-Wextra"];

/// A measurement that takes longer than this has hung.
const LIMIT: Duration = Duration::from_secs(300);

/// Where ours is.
pub struct Ours {
    /// The folder of `stratalloc.h` and `stratalloc/`.
    pub include: PathBuf,
    /// `libstratalloc.a`.
    pub archive: PathBuf,
}

/// A program to compile.
struct Source {
    /// Its name, and that of its file in `cc` where `file` says nothing else.
    name: &'static str,
    file: &'static str,
    define: &'static [&'static str],
    /// Folders of headers.
    include: Vec<PathBuf>,
    /// What is linked in.
    archive: Option<PathBuf>,
}

fn sources(ours: &Ours) -> Vec<Source> {
    let peers = Path::new(env!("PEERS_ARCHIVES"));
    vec![
        Source { name: "glibc", file: "glibc.cpp", define: &[], include: vec![], archive: None },
        Source {
            name: "mimalloc3",
            file: "mimalloc.cpp",
            define: &["-DNAME=\"mi3\"", "-DNAME_HEAP=\"mi3-heap\""],
            include: vec![env!("MIMALLOC_V3_INCLUDE").into()],
            archive: Some(peers.join("v3/libmimalloc.a")),
        },
        Source {
            name: "mimalloc2",
            file: "mimalloc.cpp",
            define: &["-DNAME=\"mi2\"", "-DNAME_HEAP=\"mi2-heap\""],
            include: vec![env!("MIMALLOC_V2_INCLUDE").into()],
            archive: Some(peers.join("v2/libmimalloc.a")),
        },
        Source {
            name: "jemalloc",
            file: "jemalloc.cpp",
            define: &[],
            include: vec![env!("JEMALLOC_INCLUDE").into()],
            archive: Some(env!("JEMALLOC_ARCHIVE").into()),
        },
        Source {
            name: "stratalloc",
            file: "stratalloc.cpp",
            define: &[],
            include: vec![ours.include.clone()],
            archive: Some(ours.archive.clone()),
        },
    ]
}

/// A compiled program.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    /// Of what it measures.
    pub version: String,
}

/// What a program says of a contender in a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which of the programs.
    pub program: usize,
    /// What is measured.
    pub contender: String,
    /// Who is comparable with whom.
    pub group: Group,
    /// One of ours.
    pub ours: bool,
    /// The container, what is done with it, its size, and `t2` for two threads.
    pub case: String,
}

/// What an allocator can and cannot do. A program that needs no more may take the best of several groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Serves any thread, and any thread may free.
    Threads,
    /// A heap or pool of the container's own: one thread at a time, or none may free but its user.
    Own,
    /// Frees all at once and nothing alone.
    Arena,
}

impl Group {
    /// All of them.
    pub const ALL: [Group; 3] = [Group::Threads, Group::Own, Group::Arena];

    /// As the programs write it.
    pub fn word(self) -> &'static str {
        match self {
            Group::Threads => "threads",
            Group::Own => "own",
            Group::Arena => "arena",
        }
    }
}

/// What one process measured.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Sample {
    /// For each operation: the clock's time in each thread, on average.
    pub wall_ns: f64,
    /// For each operation: the CPU time of the measured threads, user and system.
    pub cpu_ns: f64,
    /// Operations of all threads.
    pub operations: u64,
    /// Highest resident memory of the process, KiB.
    pub peak_kib: u64,
    /// Of all that the containers held.
    pub checksum: String,
}

/// Compiles what is not up to date into `folder`.
///
/// # Errors
/// A sentence with the compiler's words.
pub fn compile(ours: &Ours, folder: &Path) -> Result<Vec<Program>, String> {
    let cc = Path::new(env!("CARGO_MANIFEST_DIR")).join("cc");
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "g++".into());
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut programs = Vec::new();
    for source in sources(ours) {
        let path = folder.join(source.name);
        let inputs = source.include.iter().chain(&source.archive).chain([&cc]);
        if !is_newer(&path, inputs)? {
            eprintln!("compiling {}", source.name);
            let mut command = Command::new(&compiler);
            command.args(FLAGS).args(source.define).arg("-o").arg(&path).arg(cc.join(source.file));
            command.args(source.include.iter().map(|folder| format!("-I{}", folder.display())));
            command.args(&source.archive).args(["-pthread", "-ldl"]);
            process::clean_environment(&mut command);
            let output = command
                .output()
                .map_err(|error| format!("{}: {error}; g++ is needed, or another in CXX", compiler.display()))?;
            if !output.status.success() {
                let words = String::from_utf8_lossy(&output.stderr);
                let words: Vec<&str> = words.lines().take(30).collect();
                return Err(format!("{} can't be compiled:\n{}", source.file, words.join("\n")));
            }
        }
        let version = said(&path, "version")?.trim().to_owned();
        programs.push(Program { path, version });
    }
    Ok(programs)
}

/// Whether the file is there and newer than all inputs, of folders what is directly or one folder deep in them.
fn is_newer<'a>(path: &Path, inputs: impl Iterator<Item = &'a PathBuf>) -> Result<bool, String> {
    let Ok(made) = fs::metadata(path).and_then(|data| data.modified()) else { return Ok(false) };
    for input in inputs {
        let newest = newest(input, 2).map_err(|error| format!("{}: {error}", input.display()))?;
        if newest >= made {
            return Ok(false);
        }
    }
    Ok(true)
}

fn newest(path: &Path, depth: usize) -> std::io::Result<SystemTime> {
    let data = fs::metadata(path)?;
    let mut newest_of = data.modified()?;
    if data.is_dir() && depth > 0 {
        for entry in fs::read_dir(path)? {
            newest_of = newest_of.max(newest(&entry?.path(), depth - 1)?);
        }
    }
    Ok(newest_of)
}

/// All contenders in all cases, case by case; a case's come in the order of the programs.
///
/// # Errors
/// A sentence that names the program.
pub fn entries(programs: &[Program]) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for (program, Program { path, .. }) in programs.iter().enumerate() {
        for line in said(path, "list")?.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [contender, group, party, case] = words[..] else {
                return Err(format!("{} listed {line:?}", path.display()));
            };
            let group = Group::ALL
                .into_iter()
                .find(|candidate| candidate.word() == group)
                .ok_or_else(|| format!("{} listed a group {group:?}", path.display()))?;
            let (contender, case) = (contender.to_owned(), case.to_owned());
            entries.push(Entry { program, contender, group, ours: party == "ours", case });
        }
    }
    // The first program has every case.
    let order: Vec<String> =
        entries.iter().filter(|entry| entry.contender == "std").map(|entry| entry.case.clone()).collect();
    let place = |case: &str| order.iter().position(|known| known == case);
    entries.sort_by_key(|entry| (place(&entry.case), entry.group));
    Ok(entries)
}

/// What a program prints when asked this. It checks first which malloc it got.
fn said(path: &Path, verb: &str) -> Result<String, String> {
    let mut command = Command::new(path);
    command.arg(verb);
    process::clean_environment(&mut command);
    let output = command.output().map_err(|error| format!("{}: {error}", path.display()))?;
    if !output.status.success() {
        return Err(format!("{}: {}", path.display(), String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Measures in a new process.
///
/// # Errors
/// A sentence: it could not be started, failed, hung, or was interrupted.
pub fn measure(programs: &[Program], entry: &Entry, scale: f64) -> Result<Sample, String> {
    let mut command = Command::new(&programs[entry.program].path);
    command.args(["one", &entry.contender, &entry.case, &scale.to_string()]);
    process::clean_environment(&mut command);
    let seen = process::run(command, Watch::Own, LIMIT, false).map_err(|error| error.to_string())?;
    match seen.end {
        End::Exited(status) if status.success() => {
            serde_json::from_slice(&seen.stdout).map_err(|error| format!("what it printed: {error}"))
        }
        End::Exited(status) => Err(format!("{status}: {}", seen.stderr.trim())),
        End::TimedOut => Err(format!("not done after {} s", LIMIT.as_secs())),
        End::Interrupted => Err("interrupted".into()),
    }
}

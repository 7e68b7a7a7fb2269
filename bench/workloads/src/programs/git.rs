//! `git`: history, differences, packing and clean-up of a generated repository.
//!
//! The repository is made by `git fast-import` before anything is measured, with fixed authors and dates, so that all names of
//! objects are the same each time. Measured are `log -p`, `diff`, `blame`, `repack -adf` with one thread and `gc`; the result is what
//! they print, and the list of all objects at the end.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use stratalloc_bench_protocol::Outcome;

use super::session::{self, Session};
use crate::random::Random;
use crate::registry::Program;

pub const PROGRAM: Program = Program {
    name: "git",
    models: "short and long commands of a version control system on a generated repository",
    source: "Debian's git: log -p, diff, blame, repack and gc",
    sensitive_to: "process start, buffers of all sizes by realloc, tables of objects that are never freed",
    threads: 1,
    package: "git",
    missing: || session::missing("git"),
    run,
};

/// Commits at scale 1.
const COMMITS: u64 = 650;
const FILES: usize = 60;

/// Settings of each command.
const SETTINGS: [&str; 10] = [
    "-c",
    "gc.auto=0",
    "-c",
    "pack.threads=1",
    "-c",
    "core.fsync=none",
    "-c",
    "core.preloadIndex=false",
    "-c",
    "gc.autoDetach=false",
];

fn run(preload: Option<&Path>, scale: f64) -> Result<Outcome, String> {
    let mut session = Session::new(PROGRAM.name, preload)?;
    let program = session::found("git")?;
    session.bind(&program, &["--version"])?;
    let commits = ((COMMITS as f64 * scale).round() as u64).max(4);
    prepare(&session, &program, commits)?;

    let steps: [&[&str]; 5] = [
        &["log", "-p", "--stat", "main"],
        &["diff", "first", "main"],
        &["blame", "main", "--", "folder-0/file-0.txt"],
        &["repack", "-a", "-d", "-f", "-q", "--window=12"],
        &["gc", "--quiet", "--prune=now"],
    ];
    for arguments in steps {
        let mut command = git(session.preloaded(&program));
        command.args(arguments);
        session.measure(command)?;
    }

    let mut objects = git(session.plain(&program));
    objects.args(["cat-file", "--batch-all-objects", "--batch-check"]);
    let objects = session.prepare(objects)?;
    session.check(&objects);
    Ok(session.finish(1, commits))
}

/// A command with the settings, on the repository, without those of the machine and its user.
fn git(mut command: Command) -> Command {
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_DIR", "repository");
    command.args(SETTINGS);
    command
}

/// Makes the repository.
fn prepare(session: &Session, program: &Path, commits: u64) -> Result<(), String> {
    let mut init = git(session.plain(program));
    init.args(["init", "--quiet", "--bare", "--initial-branch=main"]);
    session.prepare(init)?;
    let stream = session.folder().join("stream");
    fs::write(&stream, history(commits)).map_err(|error| format!("{}: {error}", stream.display()))?;
    let mut import = git(session.plain(program));
    import.args(["fast-import", "--quiet"]);
    import.stdin(File::open(&stream).map_err(|error| format!("{}: {error}", stream.display()))?);
    session.prepare(import)?;
    fs::remove_file(&stream).map_err(|error| format!("{}: {error}", stream.display()))
}

/// A history as fast-import reads it: text files, some of which change in each commit.
fn history(commits: u64) -> String {
    let mut random = Random::new(4);
    let mut files: Vec<Vec<String>> = (0..FILES).map(|_| (0..120).map(|_| line(&mut random)).collect()).collect();
    let mut stream = String::new();
    for commit in 0..commits {
        let message = format!("Change {commit}: {}", line(&mut random));
        let author = format!("Author {} <author@example.org> {} +0000", commit % 7, 1_600_000_000 + commit * 3600);
        put(&mut stream, format_args!("commit refs/heads/main\nauthor {author}\ncommitter {author}\n"));
        put(&mut stream, format_args!("data {}\n{message}\n", message.len()));
        let changed = if commit == 0 { FILES } else { random.between(1, 5) };
        for change in 0..changed {
            let number = if commit == 0 { change } else { random.index(FILES) };
            let lines = &mut files[number];
            for _ in 0..random.between(1, 8) {
                let place = random.index(lines.len());
                match random.below(3) {
                    0 if lines.len() > 60 => drop(lines.remove(place)),
                    1 => lines.insert(place, line(&mut random)),
                    _ => lines[place] = line(&mut random),
                }
            }
            let content = lines.concat();
            put(&mut stream, format_args!("M 100644 inline folder-{}/file-{number}.txt\n", number % 8));
            put(&mut stream, format_args!("data {}\n{content}\n", content.len()));
        }
        if commit == 0 {
            stream.push_str("reset refs/heads/first\nfrom refs/heads/main\n\n");
        }
    }
    stream
}

fn put(stream: &mut String, text: std::fmt::Arguments<'_>) {
    stream.write_fmt(text).expect("a string takes all");
}

/// A line of a few words.
fn line(random: &mut Random) -> String {
    const WORDS: [&str; 12] =
        ["span", "slice", "region", "heap", "block", "class", "the", "of", "is", "returns", "page", "pool"];
    let mut line = String::new();
    for _ in 0..random.between(2, 10) {
        line.push_str(WORDS[random.index(WORDS.len())]);
        line.push(' ');
    }
    put(&mut line, format_args!("{:x}\n", random.below(1 << 16)));
    line
}

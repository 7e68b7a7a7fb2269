//! The verb `run`: checks, start, report.

use crate::library::{self, Library};
use crate::outcome::{Ended, Loaded, Outcome};
use crate::report::Report;
use crate::{Failure, RunArgs, child, complain, json, program, summary};
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use stratalloc_core::options::{Options, ReportPath};

const PRELOAD: &str = "LD_PRELOAD";
const OPTIONS: &str = "STRATALLOC";
/// Reports are files of this name in the run's folder, followed by the process id.
const REPORT: &str = "report.";

/// Runs the program, tells about it, and gives how it ended.
pub fn run(args: &RunArgs) -> Result<Ended, Failure> {
    let library = library::find(args.library.as_deref())?;
    let name = args.command.first().map(OsString::as_os_str).unwrap_or_default();
    let path = program::find(name)?;
    program::check(&path, library.machine)?;
    check_options(&args.options)?;
    let mut json_file = args.json.as_deref().map(create).transpose()?;
    let folder = Folder::new()?;

    let mut command = Command::new(&path);
    command.arg0(name).args(&args.command[1..]);
    command.env(PRELOAD, preload(&library, &folder)?);
    command.env(OPTIONS, options(args, &folder)?);
    let not_loaded = |pid| {
        complain(format_args!(
            "{} (process {pid}) runs without the library: it, or a script that started it, cleared {PRELOAD}, or its \
             loader could not load the library",
            name.display()
        ));
    };
    let finished = child::run(command, &library.path, &not_loaded).map_err(|error| {
        let code = if error.kind() == ErrorKind::NotFound { 127 } else { 126 };
        Failure { code, message: format!("{}: {error}", path.display()) }
    })?;

    keep_reports(args, &folder);
    let (mut own, mut others) = (None, Vec::new());
    for (pid, report) in folder.reports() {
        match report {
            report if pid == finished.pid => own = Some(report),
            Ok(report) => others.push((pid, report)),
            Err(reason) => complain(format_args!("process {pid}: {reason}")),
        }
    }
    let missing = || Err(why_missing(finished.ended, finished.loaded));
    let outcome = Outcome {
        command: args.command.clone(),
        library: library.path,
        pid: finished.pid,
        ended: finished.ended,
        wall: finished.wall,
        usage: finished.usage,
        loaded: finished.loaded,
        report: own.unwrap_or_else(missing),
        others,
    };
    drop(folder);
    if !args.quiet {
        let _ = std::io::stderr().write_all(summary::text(&outcome).as_bytes());
    }
    if let (Some(file), Some(path)) = (&mut json_file, &args.json) {
        let written = writeln!(file, "{:#}", json::value(&outcome));
        if let Err(error) = written {
            complain(format_args!("{}: {error}", path.display()));
        }
    }
    Ok(outcome.ended)
}

/// The allocator would report a problem and go on; here the program has not started yet.
fn check_options(options: &[String]) -> Result<(), Failure> {
    let mut first = None;
    for option in options {
        Options::default().parse(option.as_bytes(), &mut |problem| {
            first.get_or_insert_with(|| problem.line().as_str().trim_end().to_owned());
        });
    }
    match first {
        None => Ok(()),
        Some(line) => {
            let line = line.strip_prefix("stratalloc: ").unwrap_or(&line);
            Err(Failure::own(format_args!("{line} (see `stratalloc options`)")))
        }
    }
}

fn create(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(|error| Failure::own(format_args!("{}: {error}", path.display())))
}

/// `LD_PRELOAD` with the library before what the user preloads.
fn preload(library: &Library, folder: &Folder) -> Result<OsString, Failure> {
    let mut list = library.path.as_os_str().as_bytes();
    let link = folder.path.join("libstratalloc.so");
    // The loader splits the list at spaces and colons and expands `$`; such a path gets a link.
    if list.iter().any(|byte| matches!(byte, b' ' | b':' | b'$')) {
        symlink(&library.path, &link)
            .map_err(|error| Failure::own(format_args!("{}: {error}", link.display())))?;
        list = link.as_os_str().as_bytes();
    }
    let mut list = list.to_vec();
    if let Some(present) = env::var_os(PRELOAD).filter(|present| !present.is_empty()) {
        list.push(b':');
        list.extend_from_slice(present.as_bytes());
    }
    Ok(OsString::from_vec(list))
}

/// `STRATALLOC`: the user's own value, then what this program needs, then the options given here.
fn options(args: &RunArgs, folder: &Folder) -> Result<OsString, Failure> {
    let mut list = env::var_os(OPTIONS).unwrap_or_default();
    let mut add = |item: &OsStr| {
        if !list.is_empty() {
            list.push(",");
        }
        list.push(item);
    };
    if !args.no_count {
        add(OsStr::new("count=1"));
    }
    for option in &args.options {
        add(OsStr::new(option));
    }
    let mut report = OsString::from("report=");
    report.push(folder.path.join(REPORT));
    report.push("%p");
    add(&report);
    Ok(list)
}

/// If the user asked the allocator for a report of their own, ours took its place: copies them.
fn keep_reports(args: &RunArgs, folder: &Folder) {
    let mut options = Options::default();
    let variable = env::var_os(OPTIONS).unwrap_or_default();
    // The allocator itself tells about problems in the variable.
    options.parse(variable.as_bytes(), &mut |_| ());
    for option in &args.options {
        options.parse(option.as_bytes(), &mut |_| ());
    }
    if options.report.is_empty() {
        return;
    }
    for (pid, from) in folder.files() {
        let mut buffer = [0; 4096];
        let Some(to) = options.report.expand(pid, &mut buffer) else {
            continue;
        };
        let to = Path::new(OsStr::from_bytes(to.to_bytes()));
        if let Err(error) = fs::copy(from, to) {
            complain(format_args!("{}: {error}", to.display()));
        }
    }
}

fn why_missing(ended: Ended, loaded: Loaded) -> String {
    match (ended, loaded) {
        (_, Loaded::No) => "the library was not loaded into the program".to_owned(),
        (Ended::Signal(_), _) => format!("the program {} before it could write them", summary::ended(ended)),
        (Ended::Code(_), Loaded::Yes) => {
            "the library was loaded, but the program left without running exit handlers, became another program \
             without the library, or may not write to the temporary folder"
                .to_owned()
        }
        (Ended::Code(_), Loaded::Unknown) => {
            "the library was not loaded, or the program left without running exit handlers".to_owned()
        }
    }
}

/// A folder of this run's own for the reports, removed at the end.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new() -> Result<Folder, Failure> {
        let mut parent = env::temp_dir();
        // A list of options cannot express every path.
        let sample = parent.join("stratalloc-0000000000-00/report.0000000000");
        let bytes = sample.as_os_str().as_bytes();
        if ReportPath::new(bytes).is_none() || bytes.contains(&b'%') || !parent.is_absolute() {
            parent = PathBuf::from("/tmp");
        }
        for attempt in 0..100 {
            let path = parent.join(format!("stratalloc-{}-{attempt}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Folder { path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Failure::own(format_args!("{}: {error}", path.display()))),
            }
        }
        Err(Failure::own(format_args!("{}: no room for a temporary folder", parent.display())))
    }

    /// The report files by process id.
    fn files(&self) -> Vec<(u32, PathBuf)> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries
            .filter_map(|entry| {
                Some((entry.file_name().to_str()?.strip_prefix(REPORT)?.parse().ok()?, entry.path()))
            })
            .collect();
        files.sort();
        files
    }

    fn reports(&self) -> Vec<(u32, Result<Report, String>)> {
        let read = |path: PathBuf| match fs::read(&path) {
            Ok(bytes) => Report::parse(&String::from_utf8_lossy(&bytes)),
            Err(error) => Err(format!("its report cannot be read: {error}")),
        };
        self.files().into_iter().map(|(pid, path)| (pid, read(path))).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

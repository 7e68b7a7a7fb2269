//! Which library a child's `malloc` is bound to: by the dynamic loader's own word, and by the running child's mappings.
//!
//! A library that does not load leaves a warning behind, and the program runs on. And one that is loaded need not be the one
//! that is called: Debian's redis-server brings libjemalloc along. So before anything is measured the program is
//! started once with `LD_DEBUG=bindings` to say its version, and each object of the process must have got its `malloc` from
//! the library in question; then, while the measured program runs, `/proc/PID/maps` must hold that library.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The C library's name for the loader.
const LIBC: &str = "libc.so.6";

/// What serves a program: the library that `malloc` is bound to, and what LD_PRELOAD must hold for that.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// The library's file, without links.
    pub library: PathBuf,
    /// What to preload.
    pub preload: Option<PathBuf>,
}

/// Finds out how `program` gets its memory from `preload`, or from the C library without one. `command` makes a
/// command in the environment of the measured one, but without LD_PRELOAD; `version` are arguments with which
/// the program ends at once; `folder` is for notes.
pub fn bind(
    command: impl Fn(&Path) -> Command,
    program: &Path,
    version: &[&str],
    preload: Option<&Path>,
    folder: &Path,
) -> Result<Binding, String> {
    let name = program.display();
    let targets = |preload: Option<&Path>| targets(command(program), program, version, preload, folder);
    if let Some(library) = preload {
        let found = targets(Some(library))?;
        let wanted = library.canonicalize().map_err(|error| format!("{}: {error}", library.display()))?;
        return match &found.iter().collect::<Vec<_>>()[..] {
            [one] if **one == wanted => Ok(Binding { library: wanted, preload: Some(library.to_owned()) }),
            _ => Err(format!("{name} with {} preloaded gets malloc from {}", library.display(), list(&found))),
        };
    }
    let libc = |found: &BTreeSet<PathBuf>| match &found.iter().collect::<Vec<_>>()[..] {
        [one] if one.file_name().is_some_and(|file| file.to_string_lossy().starts_with("libc.so")) => {
            Some(one.to_path_buf())
        }
        _ => None,
    };
    let found = targets(None)?;
    if let Some(library) = libc(&found) {
        return Ok(Binding { library, preload: None });
    }
    // Linked to another allocator: the C library has to come first.
    let forced = targets(Some(Path::new(LIBC)))?;
    match libc(&forced) {
        Some(library) => Ok(Binding { library, preload: Some(LIBC.into()) }),
        None => Err(format!(
            "{name} gets malloc from {}, and with {LIBC} preloaded from {}",
            list(&found),
            list(&forced)
        )),
    }
}

fn list(files: &BTreeSet<PathBuf>) -> String {
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    if files.is_empty() { "nowhere (is it linked statically?)".to_owned() } else { files.join(", ") }
}

/// The files, without links, that the objects of a process of `program` get `malloc` from.
fn targets(
    mut command: Command,
    program: &Path,
    version: &[&str],
    preload: Option<&Path>,
    folder: &Path,
) -> Result<BTreeSet<PathBuf>, String> {
    let notes = folder.join("bindings");
    command.args(version).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.env("LD_DEBUG", "bindings").env("LD_BIND_NOW", "1").env("LD_DEBUG_OUTPUT", &notes);
    if let Some(preload) = preload {
        command.env("LD_PRELOAD", preload);
    }
    let child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
    let notes = folder.join(format!("bindings.{}", child.id()));
    let output = child.wait_with_output().map_err(|error| format!("{}: {error}", program.display()))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        let with = preload.map_or(String::new(), |preload| format!(" with {} preloaded", preload.display()));
        return Err(format!(
            "{} {}{with}: {}; {}",
            program.display(),
            version.join(" "),
            output.status,
            message.trim()
        ));
    }
    let text = fs::read(&notes).map_err(|error| format!("the loader's notes {}: {error}", notes.display()))?;
    let bindings = parse(&String::from_utf8_lossy(&text));
    fs::remove_file(&notes).map_err(|error| format!("{}: {error}", notes.display()))?;
    // A program that takes malloc's address has an entry of its own for it, which then leads to the real one.
    let program = program.to_string_lossy();
    let files = bindings.into_iter().filter(|file| *file != program);
    files.map(|file| Path::new(&file).canonicalize().map_err(|error| format!("{file}: {error}"))).collect()
}

/// The files that `malloc` is found in, from the loader's notes.
fn parse(notes: &str) -> BTreeSet<String> {
    let lines = notes.lines().filter(|line| line.contains("symbol `malloc'"));
    let target = |line: &str| Some(line.split_once("] to ")?.1.split_once(" [")?.0.to_owned());
    lines.filter_map(target).collect()
}

/// Whether the process has `library` mapped for execution; waits until it has, or until it has ended.
pub fn is_mapped(process: u32, library: &Path) -> Result<bool, String> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        // Empty for a process that has ended and waits to be asked for.
        let Ok(maps) = fs::read_to_string(format!("/proc/{process}/maps")) else { return Ok(false) };
        if maps.is_empty() {
            return Ok(false);
        }
        if executable(&maps).any(|file| file == library) {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_micros(if start.elapsed().as_millis() < 20 { 100 } else { 2000 }));
    }
    Err(format!("process {process} runs without {} mapped", library.display()))
}

/// The files of executable mappings.
pub fn executable(maps: &str) -> impl Iterator<Item = &Path> {
    maps.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let executable = fields.nth(1)?.contains('x');
        let path = &line[line.find('/')?..];
        executable.then_some(Path::new(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_the_loader_name_the_files() {
        let notes = "  12:\tbinding file /bin/x [0] to /lib/a b.so [0]: normal symbol `malloc' [GLIBC_2.2.5]\n\
                     \x20 12:\tbinding file /lib/y.so [0] to /lib/z.so [0]: normal symbol `malloc'\n\
                     \x20 12:\tbinding file /lib/y.so [0] to /lib/q.so [0]: normal symbol `malloc_trim'\n";
        assert_eq!(parse(notes), ["/lib/a b.so", "/lib/z.so"].map(str::to_owned).into());
        assert!(parse("").is_empty());
    }

    #[test]
    fn only_executable_mappings_count() {
        let maps = "1-2 r--p 0 fe:00 12 /lib/a.so\n2-3 r-xp 1 fe:00 12 /lib/b c.so\n3-4 rwxp 0 00:00 0 \n";
        assert_eq!(executable(maps).collect::<Vec<_>>(), [Path::new("/lib/b c.so")]);
    }

    #[test]
    fn a_process_that_has_ended_maps_nothing() {
        let mut child = Command::new("/bin/true").spawn().unwrap();
        // Not asked for yet: it stays until then.
        let mapped = is_mapped(child.id(), Path::new("/no/library.so"));
        assert_eq!(mapped, Ok(false));
        child.wait().unwrap();
    }
}

//! Finds PROGRAM as a shell would, and tells before the start whether preloading can work.

use crate::Failure;
use crate::elf::{self, Machine};
use std::env;
use std::ffi::{CString, OsStr};
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Scripts whose interpreters are scripts: as deep as Linux goes.
const SCRIPT_DEPTH: usize = 5;
/// Bytes of a `#!` line that Linux reads.
const SCRIPT_LINE: u64 = 255;

fn not_found(message: String) -> Failure {
    Failure { code: 127, message }
}

fn cannot_run(message: String) -> Failure {
    Failure { code: 126, message }
}

/// The file that `name` stands for: itself if it has a slash, else the first in `PATH` that can
/// be executed.
pub fn find(name: &OsStr) -> Result<PathBuf, Failure> {
    if name.as_bytes().contains(&b'/') {
        let path = PathBuf::from(name);
        return check_file(&path).map(|()| path);
    }
    let path = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut refused = None;
    for folder in env::split_paths(&path).filter(|_| !name.is_empty()) {
        // An empty folder in PATH is the current one.
        let file = if folder.as_os_str().is_empty() { Path::new(".").join(name) } else { folder.join(name) };
        match check_file(&file) {
            Ok(()) => return Ok(file),
            Err(failure) if failure.code == 126 => refused = refused.or(Some(failure)),
            Err(_) => {}
        }
    }
    Err(refused.unwrap_or_else(|| not_found(format!("{}: no such program in PATH", name.display()))))
}

/// It exists, is a file, and this user may execute it.
fn check_file(path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(not_found(format!("{shown}: no such program")));
        }
        Err(error) => return Err(cannot_run(format!("{shown}: {error}"))),
    };
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "a directory" } else { "not a regular file" };
        return Err(cannot_run(format!("{shown} is {what}")));
    }
    let executable = CString::new(path.as_os_str().as_bytes()).is_ok_and(|path| {
        // SAFETY: `path` is a C string that lives through the call.
        unsafe { libc::access(path.as_ptr(), libc::X_OK) == 0 }
    });
    if executable { Ok(()) } else { Err(cannot_run(format!("{shown} is not executable"))) }
}

/// Fails if a library for `machine` would not be preloaded into `path`.
pub fn check(path: &Path, machine: Machine) -> Result<(), Failure> {
    let mut path = path.to_owned();
    for _ in 0..SCRIPT_DEPTH {
        match inspect(&path, machine)? {
            None => return Ok(()),
            Some(interpreter) => {
                check_file(&interpreter).map_err(|failure| {
                    cannot_run(format!("{} names its interpreter: {}", path.display(), failure.message))
                })?;
                path = interpreter;
            }
        }
    }
    Err(cannot_run(format!("{}: too many scripts interpret each other", path.display())))
}

/// Checks one file; of a script, gives the interpreter.
fn inspect(path: &Path, machine: Machine) -> Result<Option<PathBuf>, Failure> {
    let shown = path.display();
    let mut file = match File::open(path) {
        Ok(file) => file,
        // Executable but not readable: the check after the start has to do.
        Err(_) => return Ok(None),
    };
    let mut head = Vec::new();
    let read = (&mut file).take(SCRIPT_LINE).read_to_end(&mut head);
    read.map_err(|error| cannot_run(format!("{shown}: {error}")))?;
    if let Some(line) = head.strip_prefix(b"#!") {
        return match interpreter(line) {
            Some(interpreter) => Ok(Some(interpreter)),
            None => Err(cannot_run(format!("{shown}: the `#!` line names no interpreter"))),
        };
    }
    let metadata = file.metadata().map_err(|error| cannot_run(format!("{shown}: {error}")))?;
    let Some(elf) = elf::read(file) else {
        return Err(cannot_run(format!(
            "{shown} is neither an ELF program nor a script with a `#!` line; name its interpreter as PROGRAM"
        )));
    };
    if elf.machine != machine {
        return Err(cannot_run(format!(
            "{shown} is a program for {}, but the library is for {machine}: it would not be loaded",
            elf.machine
        )));
    }
    if !elf.has_interpreter {
        return Err(cannot_run(format!(
            "{shown} is statically linked: nothing can be preloaded into it; link it with libstratalloc.a instead"
        )));
    }
    if let Some(privilege) = privilege(path, &metadata) {
        return Err(cannot_run(format!(
            "{shown} is {privilege}: for such programs the system ignores preloaded libraries"
        )));
    }
    Ok(None)
}

/// The interpreter in a `#!` line, after the two characters.
fn interpreter(line: &[u8]) -> Option<PathBuf> {
    let line = line.split(|&byte| byte == b'\n').next()?;
    let word = line.split(|byte| matches!(byte, b' ' | b'\t' | b'\r')).find(|word| !word.is_empty())?;
    Some(PathBuf::from(OsStr::from_bytes(word)))
}

/// What makes the loader distrust its environment, if anything.
fn privilege(path: &Path, metadata: &Metadata) -> Option<&'static str> {
    // SAFETY: takes no arguments and cannot fail.
    let user = unsafe { libc::getuid() };
    // SAFETY: as above.
    let group = unsafe { libc::getgid() };
    let has = |bits: u32| metadata.mode() & bits == bits;
    if has(libc::S_ISUID) && metadata.uid() != user {
        Some("setuid")
    } else if has(libc::S_ISGID | libc::S_IXGRP) && metadata.gid() != group {
        Some("setgid")
    } else if user != 0 && has_capabilities(path) {
        Some("marked with file capabilities")
    } else {
        None
    }
}

fn has_capabilities(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: both strings live through the call; with a length of 0 nothing is written and the
    // size of the attribute comes back.
    unsafe { libc::getxattr(path.as_ptr(), c"security.capability".as_ptr(), std::ptr::null_mut(), 0) > 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_is_the_first_word_after_the_mark() {
        for (line, expected) in [
            (&b"/bin/sh\necho"[..], Some("/bin/sh")),
            (b" \t/usr/bin/env -S python3 -u\n", Some("/usr/bin/env")),
            (b"/bin/sh", Some("/bin/sh")),
            (b"/bin/sh\r\n", Some("/bin/sh")),
            (b"  \n/bin/sh", None),
            (b"", None),
        ] {
            assert_eq!(interpreter(line), expected.map(PathBuf::from));
        }
    }

    #[test]
    fn programs_are_found_in_the_path_and_missing_ones_are_missing() {
        assert!(find(OsStr::new("sh")).is_ok_and(|path| path.is_absolute()));
        assert_eq!(find(OsStr::new("no-such-program-anywhere")).unwrap_err().code, 127);
        assert_eq!(find(OsStr::new("")).unwrap_err().code, 127);
        assert_eq!(find(OsStr::new("/")).unwrap_err().code, 126);
        assert_eq!(find(OsStr::new("/dev/null")).unwrap_err().code, 126);
    }
}

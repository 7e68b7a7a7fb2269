//! Where `libstratalloc.so` is.

use crate::Failure;
use crate::elf::{self, Machine};
use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};

const NAME: &str = "libstratalloc.so";
const VARIABLE: &str = "STRATALLOC_LIBRARY";

/// The library to preload.
pub struct Library {
    /// Where it is, without symbolic links: as `/proc/PID/maps` names it.
    pub path: PathBuf,
    /// For which machine it is.
    pub machine: Machine,
}

/// Finds the library: `asked` for by option, named by the environment, or near this program.
pub fn find(asked: Option<&Path>) -> Result<Library, Failure> {
    if let Some(path) = asked {
        return open(path, "--library");
    }
    if let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        return open(Path::new(&path), VARIABLE);
    }
    let places = places();
    match places.iter().find(|path| path.is_file()) {
        Some(path) => open(path, "the library near this program"),
        None => {
            let tried: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
            Err(Failure::own(format_args!(
                "{NAME} was not found (tried {}); build it with `cargo xtask build`, or say where it is with \
                 --library or {VARIABLE}",
                tried.join(", ")
            )))
        }
    }
}

fn places() -> Vec<PathBuf> {
    let Some(folder) = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned())) else {
        return Vec::new();
    };
    ["", "../lib", "deps"].iter().map(|place| folder.join(place).join(NAME)).collect()
}

fn open(path: &Path, origin: &str) -> Result<Library, Failure> {
    let failure =
        |what: &dyn std::fmt::Display| Failure::own(format_args!("{origin}: {}: {what}", path.display()));
    let path = path.canonicalize().map_err(|error| failure(&error))?;
    let file = File::open(&path).map_err(|error| failure(&error))?;
    match elf::read(file) {
        Some(elf) if elf.is_shared => Ok(Library { path, machine: elf.machine }),
        _ => Err(failure(&"not a shared library")),
    }
}

//! Other people's programs that tests run, and fresh folders for them.

use crate::library::{Library, library, scratch_dir};
use crate::run::on_library;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The program of this name, on the path or in the system's own folders.
///
/// # Panics
/// When it is missing; the message names the Debian package that has it.
pub fn program(name: &str, package: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/bin", "/usr/sbin", "/bin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| {
            panic!("`{name}` is not installed; this test runs it (Debian: apt-get install {package})")
        })
}

/// The same, of a program that the library can be preloaded into: the dynamic linker is asked what
/// it would load, and must name the library.
///
/// # Panics
/// When the program is missing or is static, a script, or otherwise out of the preload's reach.
pub fn preloadable(name: &str, package: &str) -> PathBuf {
    let program = program(name, package);
    assert_preloads(&program);
    program
}

/// Asserts that the dynamic linker would load the library into `program`.
///
/// # Panics
/// When it would not.
pub fn assert_preloads(program: &Path) {
    if let Library::At(path) = library() {
        let listed = on_library(program).env("LD_TRACE_LOADED_OBJECTS", "1").outcome();
        let named = listed.out().contains(&path.display().to_string());
        assert!(named, "{} does not load the library: {listed}", program.display());
    }
}

/// A folder of a test's own, removed with all its contents when dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A fresh, empty folder below the target directory.
    ///
    /// # Panics
    /// When it cannot be created.
    pub fn new(name: &str) -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Relaxed); // only has to be unique
        let path = scratch_dir().join(format!("{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Folder { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or folder in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays in the target directory: no reason to fail a test.
        let _ = fs::remove_dir_all(&self.path);
    }
}

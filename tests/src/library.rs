//! The library under test: given by the environment, or built once by a nested cargo.

use std::env;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What the programs of a run are preloaded with.
#[derive(Clone, Debug)]
pub enum Library {
    /// This shared object.
    At(PathBuf),
    /// Nothing: the C library's own malloc serves (`STRATALLOC_LIBRARY=none`).
    None,
}

/// The library under test, built on the first call of the process if the environment names none.
///
/// # Panics
/// When the build fails or a named library does not exist.
pub fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| match env::var_os("STRATALLOC_LIBRARY") {
        Some(none) if none == "none" => Library::None,
        Some(path) => Library::At(existing(PathBuf::from(path))),
        None => {
            build();
            Library::At(existing(target_dir().join("release/libstratalloc.so")))
        }
    })
}

/// The shared object under test, for tests that make no sense without one.
///
/// # Panics
/// When the run is on the C library's malloc.
pub fn shared_object() -> &'static Path {
    match library() {
        Library::At(path) => path,
        Library::None => panic!("this test needs the library; STRATALLOC_LIBRARY is `none`"),
    }
}

/// The static archive beside the shared object.
///
/// # Panics
/// When there is none.
pub fn archive() -> PathBuf {
    existing(shared_object().with_extension("a"))
}

/// A folder where `-lstratalloc` finds the shared object under test, and the dynamic linker by its soname.
///
/// # Panics
/// When the run is on the C library's malloc, or the folder cannot be written.
pub fn link_dir() -> PathBuf {
    let _lock = exclusive("link");
    let dir = scratch_dir().join("link");
    fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    for name in ["libstratalloc.so", "libstratalloc.so.0"] {
        let link = dir.join(name);
        if fs::read_link(&link).is_ok_and(|target| target == shared_object()) {
            continue;
        }
        // It may be there, and point elsewhere.
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(shared_object(), &link)
            .unwrap_or_else(|error| panic!("{}: {error}", link.display()));
    }
    dir
}

/// Root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// Cargo's target directory: the one this very executable was built into.
///
/// # Panics
/// When the executable does not lie in one.
pub fn target_dir() -> &'static Path {
    static TARGET: OnceLock<PathBuf> = OnceLock::new();
    TARGET.get_or_init(|| {
        let exe = env::current_exe().expect("the path of this executable");
        exe.ancestors()
            .find(|dir| dir.join("CACHEDIR.TAG").exists())
            .unwrap_or_else(|| panic!("{} lies in no cargo target directory", exe.display()))
            .to_path_buf()
    })
}

/// Where the tests keep what they compile.
///
/// # Panics
/// When it cannot be created.
pub fn scratch_dir() -> PathBuf {
    let dir = target_dir().join("stratalloc-tests");
    fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    dir
}

/// A lock between processes, held until dropped; `name` says over what.
///
/// # Panics
/// When the lock file cannot be used.
pub fn exclusive(name: &str) -> impl Drop {
    struct Held {
        _file: File,
    }
    impl Drop for Held {
        fn drop(&mut self) {} // closing the file ends the lock
    }
    let path = scratch_dir().join(format!("{name}.lock"));
    let file = File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // SAFETY: flock takes an open descriptor, which `file` holds for the call.
    let result = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) };
    assert_eq!(result, 0, "flock of {}", path.display());
    Held { _file: file }
}

/// Runs the cargo that runs these tests, from the workspace's root, with the same target directory.
///
/// # Panics
/// When it cannot be started or fails; its output is in the message.
pub fn cargo(args: &[&str], target: &Path) {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace()).args(args).env("CARGO_TARGET_DIR", target);
    // What the outer cargo set for this package must not leak into the inner one's fingerprints.
    for (key, _) in env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "LD_LIBRARY_PATH" {
            command.env_remove(&key);
        }
    }
    let output = command.output().unwrap_or_else(|error| panic!("cargo {}: {error}", args.join(" ")));
    assert!(
        output.status.success(),
        "cargo {} failed ({}):\n{}{}",
        args.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn build() {
    let _lock = exclusive("library");
    cargo(&["xtask", "build"], target_dir());
}

fn existing(path: PathBuf) -> PathBuf {
    path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

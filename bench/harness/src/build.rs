//! Builds on demand what contenders need: peers' libraries and the faces of the workload binary.
//!
//! Called by [`Contender::ready`] only. Everything lies under one folder, [`Folders::target`]:
//!
//! ```text
//! peers/           cargo's target folder for the peers' libraries
//! faces/build/     cargo's target folder for the workload binary: the faces share their dependencies
//! faces/NAME/      the binary `workload` of one face
//! faces/quick/NAME/  the same for smoke runs, so that one never takes the place of what is being measured
//! own/NAME/        copies of Stratalloc's library, so that a rebuild during a run changes nothing
//! ```
//!
//! Compilers' flags: a peer's crate takes most of what its authors build with from its own build script; the rest is
//! the table `FLAGS`. That release builds of peers carry no debug information is in the workspace's Cargo.toml, and
//! matters: some build scripts take that for a wish for a debug build.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cargo::{self, Order};
use crate::contenders::{Contender, Face, Origin};
use crate::versions::{self, Version};

/// Where things are and go.
#[derive(Clone, Debug)]
pub struct Folders {
    /// The bench's workspace (the folder of its Cargo.toml).
    pub bench: PathBuf,
    /// Where all that is built goes: `<root>/target/bench`. Created on demand.
    pub target: PathBuf,
    /// `--library`: Stratalloc for preloading, where one was built.
    pub library: Option<PathBuf>,
    /// Cargo's profile for the workload binary: [`RELEASE`] where anything is measured. Peers are always built in it.
    pub profile: &'static str,
}

/// The profile of all that is measured.
pub const RELEASE: &str = "release";
/// The profile of smoke runs: the same without link-time optimisation.
pub const QUICK: &str = "quick";

/// What a run of a contender needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The contender's name.
    pub name: String,
    /// What `LD_PRELOAD` must name: an absolute path; `None` for `glibc` and the global faces.
    pub preload: Option<PathBuf>,
    /// The binary `workload` for times and memory.
    pub workload: PathBuf,
    /// The same with feature `latency`.
    pub latency_workload: PathBuf,
    /// The version of what is measured, as its publisher calls it.
    pub version: String,
    /// What a reader of results must know: the publisher has a newer version, Debian's build, …
    pub note: Option<String>,
    /// Variables that each measured process (and what it starts) must have, beside `LD_PRELOAD`: (name, value).
    pub environment: Vec<(&'static str, String)>,
}

/// Why a contender can't take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildFailure {
    /// The contender's name.
    pub name: String,
    /// One sentence.
    pub reason: String,
    /// The last lines of the compiler's output, if a compiler ran.
    pub output: Vec<String>,
}

impl std::fmt::Display for BuildFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)?;
        self.output.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

impl std::error::Error for BuildFailure {}

/// The package of the measured binary.
const WORKLOADS: &str = "stratalloc-bench-workloads";

/// What a peer's authors compile with and its crate does not: the peer, the variable, the flags.
const FLAGS: &[(&str, &[(&str, &str)])] = &[
    // Its configure script's own choice, which the crate's CFLAGS replace.
    ("jemalloc", &[("CFLAGS", "-funroll-loops")]),
    // The release flags of its ninja generator; the crate has -O2.
    ("rpmalloc", &[("CFLAGS", "-O3 -funroll-loops")]),
    // Its own library needs no C++ runtime; nothing in it throws.
    ("snmalloc", &[("CXXFLAGS", "-fno-exceptions")]),
    // A library for preloading is loaded at start.
    ("tcmalloc", &[("CXXFLAGS", "-ftls-model=initial-exec")]),
];

/// The variable from which Stratalloc takes its options.
const OPTIONS: &str = "STRATALLOC";

/// See [`Contender::ready`].
pub(crate) fn ready(contender: &Contender, folders: &Folders) -> Result<Ready, BuildFailure> {
    let attempt = Attempt { contender, folders };
    let (preload, version) = match &contender.face {
        Face::Plain => (None, c_library()),
        Face::Preload(origin) => attempt.library(origin).map(|(path, version)| (Some(path), version))?,
        Face::Global { feature } => (None, attempt.global_version(feature)?),
    };
    Ok(Ready {
        name: contender.name.clone(),
        preload,
        workload: attempt.workload(false)?,
        latency_workload: attempt.workload(true)?,
        version: version.text,
        note: version.note,
        environment: environment(contender),
    })
}

/// What an allocator's documentation asks of a process' environment; the note of module `versions` tells the reader.
///
/// Google's tcmalloc keeps its caches per CPU by restartable sequences, which glibc 2.35 and later claims first. That
/// goes for a newer one, too, that is given as `tcmalloc-…`.
fn environment(contender: &Contender) -> Vec<(&'static str, String)> {
    let name = contender.name.strip_prefix("global-").unwrap_or(&contender.name);
    match &contender.face {
        Face::Preload(Origin::Tuned(options)) => vec![(OPTIONS, options.clone())],
        _ if name.starts_with("tcmalloc") => vec![("GLIBC_TUNABLES", "glibc.pthread.rseq=0".to_owned())],
        _ => Vec::new(),
    }
}

/// One contender being made ready.
struct Attempt<'a> {
    contender: &'a Contender,
    folders: &'a Folders,
}

impl Attempt<'_> {
    fn library(&self, origin: &Origin) -> Result<(PathBuf, Version), BuildFailure> {
        match origin {
            Origin::Own | Origin::Null | Origin::Tuned(_) => {
                let library = self.folders.library.as_deref().ok_or_else(|| {
                    self.failure("no library of Stratalloc is given: --library names it".to_owned(), Vec::new())
                })?;
                let copy = self.folders.target.join("own").join(&self.contender.name);
                let path = self.copied(library, &copy.join(format!("lib{}.so", self.contender.name)))?;
                let mut version = versions::of_product(&self.folders.bench)
                    .map_err(|reason| self.failure(reason, Vec::new()))?;
                if let Origin::Tuned(options) = origin {
                    self.try_options(&path, options)?;
                    version.note = Some(format!("{OPTIONS}={options}"));
                }
                Ok((path, version))
            }
            Origin::Peer { package } => {
                let name = package.strip_prefix("peer-").unwrap_or(package);
                let target = self.folders.target.join("peers");
                let path = self.cargo(&target, package, RELEASE, &[], flags(name))?;
                Ok((path, self.peer_version(name)?))
            }
            Origin::Debian { package, file } => {
                let path = library_folders()
                    .iter()
                    .map(|folder| folder.join(file))
                    .find(|path| path.is_file())
                    .ok_or_else(|| {
                        self.failure(
                            format!("{file} is not installed: it is in Debian's package {package}"),
                            Vec::new(),
                        )
                    })?;
                let version = debian_version(package).map(|version| versions::of_gperftools(&version));
                Ok((path, version.unwrap_or_else(|| Version::plain("unknown"))))
            }
            Origin::Given(path) => {
                let note = Some(format!("given: {}", path.display()));
                Ok((path.clone(), Version { text: "unknown".to_owned(), note }))
            }
        }
    }

    /// Runs a program that does nothing under these options. A library that refuses one of them says so and goes on
    /// without it: then it is not measured.
    fn try_options(&self, library: &Path, options: &str) -> Result<(), BuildFailure> {
        let output = Command::new("true").env("LD_PRELOAD", library).env(OPTIONS, options).output();
        let output = output.map_err(|error| self.failure(format!("true: {error}"), Vec::new()))?;
        let words = String::from_utf8_lossy(&output.stderr);
        if output.status.success() && words.is_empty() {
            return Ok(());
        }
        let lines = words.lines().map(str::to_owned).collect();
        Err(self.failure(format!("the library does not take {OPTIONS}={options}"), lines))
    }

    /// The binary of this contender's face.
    fn workload(&self, latency: bool) -> Result<PathBuf, BuildFailure> {
        let (face, allocator) = match &self.contender.face {
            Face::Global { feature } => (*feature, Some(*feature)),
            Face::Plain | Face::Preload(_) => ("plain", None),
        };
        let features: Vec<&str> = allocator.into_iter().chain(latency.then_some("latency")).collect();
        let compilers = flags(allocator.and_then(|feature| feature.strip_prefix("global-")).unwrap_or_default());
        let mut flags = compilers.to_vec();
        let faces = self.folders.target.join("faces");
        // Each has a binary of its own, in which the workload's loops would lie elsewhere.
        let build = faces.join(if allocator.is_some() { "build-aligned" } else { "build" });
        flags.extend(allocator.map(|_| ALIGNED));
        let profile = self.folders.profile;
        let built = self.cargo(&build, WORKLOADS, profile, &features, &flags)?;
        let faces = if profile == RELEASE { faces } else { faces.join(profile) };
        let folder = faces.join(if latency { format!("{face}-latency") } else { face.to_owned() });
        self.copied(&built, &folder.join("workload"))
    }

    fn cargo(
        &self,
        target: &Path,
        package: &str,
        profile: &str,
        features: &[&str],
        flags: &[(&str, &str)],
    ) -> Result<PathBuf, BuildFailure> {
        let order = Order { workspace: &self.folders.bench, target, package, profile, features, flags };
        cargo::build(&order).map_err(|failure| self.failure(failure.reason, failure.output))
    }

    fn global_version(&self, feature: &str) -> Result<Version, BuildFailure> {
        match feature.strip_prefix("global-") {
            Some("stratalloc") => {
                versions::of_product(&self.folders.bench).map_err(|reason| self.failure(reason, Vec::new()))
            }
            name => self.peer_version(name.unwrap_or(feature)),
        }
    }

    fn peer_version(&self, name: &str) -> Result<Version, BuildFailure> {
        let path = self.folders.bench.join("Cargo.lock");
        let lock = fs::read_to_string(&path)
            .map_err(|error| self.failure(format!("{}: {error}", path.display()), Vec::new()))?;
        versions::of_peer(name, &lock).map_err(|reason| self.failure(reason, Vec::new()))
    }

    fn copied(&self, from: &Path, to: &Path) -> Result<PathBuf, BuildFailure> {
        match copy_if_changed(from, to) {
            Ok(()) => Ok(to.to_owned()),
            Err(error) => {
                let reason = format!("{} can't be copied to {}: {error}", from.display(), to.display());
                Err(self.failure(reason, Vec::new()))
            }
        }
    }

    fn failure(&self, reason: String, output: Vec<String>) -> BuildFailure {
        BuildFailure { name: self.contender.name.clone(), reason, output }
    }
}

/// For programs that have the allocator inside: functions at multiples of 64 bytes, so that a loop does not gain or lose
/// some ten percent (once 70) by where the allocator's code moved it. (Mytkowicz et al., "Producing wrong data without
/// doing anything obviously wrong", ASPLOS 2009.)
const ALIGNED: (&str, &str) = ("RUSTFLAGS", "-C llvm-args=--align-all-functions=6");

/// Compilers' flags for a peer; none for most.
fn flags(peer: &str) -> &'static [(&'static str, &'static str)] {
    FLAGS.iter().find(|(name, _)| *name == peer).map_or(&[], |(_, flags)| flags)
}

/// Puts a new file in place of the old one, so that a process that runs the old one keeps it; leaves an equal one alone.
/// Of a file that was just written, the kernel has larger pieces in memory than of one that was read, and maps more of it
/// into each process; so it is written to the disk and read anew.
fn copy_if_changed(from: &Path, to: &Path) -> io::Result<()> {
    let bytes = fs::read(from)?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::create_dir_all(to.parent().unwrap_or(Path::new(".")))?;
    let fresh = to.with_extension(format!("{}.new", std::process::id()));
    fs::copy(from, &fresh)?;
    let file = fs::File::open(&fresh)?;
    file.sync_all()?;
    // SAFETY: advice about a file of ours; what comes of it does not matter to anything but memory.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    fs::rename(&fresh, to)
}

/// Where Debian and others put shared libraries, the machine's own folder first.
fn library_folders() -> Vec<PathBuf> {
    let own = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    [own.as_str(), "/usr/lib64", "/usr/lib", "/usr/local/lib"].iter().map(PathBuf::from).collect()
}

/// What the C library calls itself.
fn c_library() -> Version {
    let words = output_of("getconf", &["GNU_LIBC_VERSION"]);
    Version::plain(words.map_or("unknown".to_owned(), |words| words.replacen("glibc ", "", 1)))
}

/// The version of an installed package of Debian's.
fn debian_version(package: &str) -> Option<String> {
    output_of("dpkg-query", &["--show", "--showformat=${Version}", package])
}

/// The first line that a program prints, if it ends well.
fn output_of(program: impl AsRef<OsStr>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).env_remove("LD_PRELOAD").output().ok()?;
    let line = String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned();
    (output.status.success() && !line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contenders::{self, NULL, OWN};

    fn folders(library: Option<PathBuf>) -> (tempfile::TempDir, Folders) {
        let target = tempfile::tempdir().unwrap();
        let bench = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
        let folders = Folders { bench, target: target.path().to_owned(), library, profile: RELEASE };
        (target, folders)
    }

    fn attempt<'a>(contender: &'a Contender, folders: &'a Folders) -> Attempt<'a> {
        Attempt { contender, folders }
    }

    #[test]
    fn the_null_contender_is_the_same_file_under_another_path() {
        let library = tempfile::NamedTempFile::new().unwrap();
        fs::write(library.path(), b"not really a library").unwrap();
        let (_keep, folders) = folders(Some(library.path().to_owned()));
        let all = contenders::all();
        let path = |name: &str| {
            let contender = all.iter().find(|contender| contender.name == name).unwrap();
            let Face::Preload(origin) = &contender.face else { panic!("{name} is not preloaded") };
            attempt(contender, &folders).library(origin).unwrap().0
        };
        let (own, null) = (path(OWN), path(NULL));
        assert_ne!(own, null);
        assert_eq!(fs::read(&own).unwrap(), fs::read(&null).unwrap());

        fs::write(library.path(), b"built again").unwrap();
        assert_eq!(fs::read(path(OWN)).unwrap(), b"built again");
        assert_eq!(fs::read(&null).unwrap(), b"not really a library");
    }

    #[test]
    fn options_are_refused_where_the_library_complains_at_start() {
        let library = tempfile::NamedTempFile::new().unwrap();
        fs::write(library.path(), b"not really a library").unwrap();
        let (_keep, folders) = folders(Some(library.path().to_owned()));
        let contender = Contender::tuned("stratalloc-fast=profile=fast").unwrap();
        // Here it is the loader that complains, and the program runs on.
        let refused =
            attempt(&contender, &folders).library(&Origin::Tuned("profile=fast".to_owned())).unwrap_err();
        assert!(refused.to_string().contains("STRATALLOC=profile=fast"), "{refused}");
        let variables = environment(&contender);
        assert_eq!(variables, [("STRATALLOC", "profile=fast".to_owned())]);
    }

    #[test]
    fn a_library_that_is_missing_is_named_with_its_package() {
        let (_keep, folders) = folders(None);
        let contender = &contenders::all()[0];
        let missing = attempt(contender, &folders)
            .library(&Origin::Debian { package: "libnone1", file: "libnone.so.1" })
            .unwrap_err();
        assert!(
            missing.to_string().contains("libnone.so.1") && missing.to_string().contains("libnone1"),
            "{missing}"
        );
        let own = attempt(contender, &folders).library(&Origin::Own).unwrap_err();
        assert!(own.to_string().contains("--library"), "{own}");
    }

    #[test]
    fn every_contender_has_a_version_before_anything_is_built() {
        let (_keep, folders) = folders(None);
        for contender in contenders::all() {
            let attempt = attempt(&contender, &folders);
            let version = match &contender.face {
                Face::Plain => c_library(),
                Face::Preload(Origin::Peer { package }) => {
                    attempt.peer_version(package.strip_prefix("peer-").unwrap()).unwrap()
                }
                Face::Preload(_) => versions::of_product(&folders.bench).unwrap(),
                Face::Global { feature } => attempt.global_version(feature).unwrap(),
            };
            assert!(version.text.chars().any(|c| c.is_ascii_digit()), "{}: {version:?}", contender.name);
        }
    }
}

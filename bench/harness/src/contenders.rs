//! What a contender is: an allocator under one name, by one of three ways into the measured process.
//!
//! The plan (who takes part, in what order) asks [`all`] and [`Contender::given`]; before the first run each
//! contender is made [`Contender::ready`], which is where compilers run (module `build`). Which version of each
//! peer the workspace holds and whether its publisher has a newer one is module `versions`.
//!
//! Invariant: a name stands for one way of being built. Two contenders that share a file (Stratalloc and the
//! null contender) have copies of it, so that each process can prove by path which of them it loaded.

use std::path::{Path, PathBuf};

pub use crate::build::{BuildFailure, Folders, Ready};

/// One allocator that takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contender {
    /// The word by which it is asked for, and its name in tables: lower case.
    pub name: String,
    /// How it gets into the measured process.
    pub face: Face,
    /// What it is, for lists.
    pub about: &'static str,
}

/// The way into the measured process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Face {
    /// Nothing is preloaded: the C library's own allocator.
    Plain,
    /// A library that `LD_PRELOAD` names.
    Preload(Origin),
    /// A `#[global_allocator]`, chosen by this cargo feature of the workload: sized deallocation, inlined.
    Global {
        /// `global-NAME`.
        feature: &'static str,
    },
}

/// Where a library for preloading comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `--library`: Stratalloc as it was built for this run.
    Own,
    /// A copy of the same file under another name: what it differs by is noise.
    Null,
    /// A package of this workspace, built from crates.io on demand.
    Peer {
        /// The cargo package.
        package: &'static str,
    },
    /// A file that a Debian package installs.
    Debian {
        /// The package to install where the file is missing.
        package: &'static str,
        /// The file's name, looked for where Debian puts libraries.
        file: &'static str,
    },
    /// `--with NAME=PATH`.
    Given(PathBuf),
    /// `--tuned NAME=OPTIONS`: the same file as [`Origin::Own`] under another name, with these options.
    Tuned(String),
}

/// Stratalloc under preload.
pub const OWN: &str = "stratalloc";
/// The same library under another name.
pub const NULL: &str = "stratalloc-null";

const PRELOADED: [(&str, Origin, &str); 10] = [
    (OWN, Origin::Own, "the library given by --library"),
    (NULL, Origin::Null, "a copy of the same library: shows the noise floor"),
    ("mimalloc3", Origin::Peer { package: "peer-mimalloc3" }, "Microsoft's mimalloc, version 3"),
    ("mimalloc2", Origin::Peer { package: "peer-mimalloc2" }, "Microsoft's mimalloc, version 2"),
    ("snmalloc", Origin::Peer { package: "peer-snmalloc" }, "Microsoft's snmalloc, without its checks"),
    ("jemalloc", Origin::Peer { package: "peer-jemalloc" }, "jemalloc as TiKV packages it"),
    ("tcmalloc", Origin::Peer { package: "peer-tcmalloc" }, "Google's tcmalloc (not gperftools)"),
    ("rpmalloc", Origin::Peer { package: "peer-rpmalloc" }, "Mattias Jansson's rpmalloc"),
    ("rusty_alloc", Origin::Peer { package: "peer-rusty_alloc" }, "a mimalloc in Rust"),
    (
        "gperftools",
        Origin::Debian { package: "libtcmalloc-minimal4", file: "libtcmalloc_minimal.so.4" },
        "gperftools' tcmalloc_minimal, Debian's build",
    ),
];

const GLOBALS: [(&str, &str); 8] = [
    ("global-stratalloc", "Stratalloc as the workload's global allocator"),
    ("global-mimalloc3", "mimalloc 3 as the workload's global allocator"),
    ("global-mimalloc2", "mimalloc 2 as the workload's global allocator"),
    ("global-snmalloc", "snmalloc as the workload's global allocator"),
    ("global-jemalloc", "jemalloc as the workload's global allocator"),
    ("global-tcmalloc", "Google's tcmalloc as the workload's global allocator"),
    ("global-rpmalloc", "rpmalloc as the workload's global allocator"),
    ("global-rusty_alloc", "rusty_alloc as the workload's global allocator"),
];

/// Every contender that the bench knows by itself, in the order of lists. Builds nothing and looks at no file.
pub fn all() -> Vec<Contender> {
    let preloaded = PRELOADED.iter().map(|(name, origin, about)| Contender {
        name: (*name).to_owned(),
        face: Face::Preload(origin.clone()),
        about,
    });
    let plain = Contender { name: "glibc".to_owned(), face: Face::Plain, about: "nothing preloaded" };
    let globals = GLOBALS.iter().map(|&(name, about)| Contender {
        name: name.to_owned(),
        face: Face::Global { feature: name },
        about,
    });
    preloaded.chain([plain]).chain(globals).collect()
}

/// Whether a word can be a contender's name.
fn is_name(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    !word.is_empty() && word.chars().all(plain)
}

/// The two halves of `NAME=…`, of which the first can be a new contender's name; `what` is called the second in errors.
fn named<'a>(argument: &'a str, what: &str) -> Result<(&'a str, &'a str), String> {
    let Some((name, rest)) = argument.split_once('=') else {
        return Err(format!("'{argument}' is not of the form NAME={what}"));
    };
    if !is_name(name) {
        return Err(format!("'{name}' in '{argument}': a name is lower-case letters, digits, '-', '_' and '.'"));
    }
    if all().iter().any(|known| known.name == name) {
        return Err(format!("'{name}' in '{argument}' is the name of a contender of the bench: choose another"));
    }
    Ok((name, rest))
}

impl Contender {
    /// A contender that the user brings: `NAME=PATH`, a library for preloading.
    ///
    /// # Errors
    /// A sentence that names the argument: without `=`, with a name that is empty, taken or not made of lower-case
    /// letters, digits, `-`, `_` and `.`, or with a path at which no file is.
    pub fn given(argument: &str) -> Result<Contender, String> {
        let (name, path) = named(argument, "PATH")?;
        if !Path::new(path).is_file() {
            return Err(format!("'{path}' in '{argument}': there is no such file"));
        }
        let path = Path::new(path).canonicalize().map_err(|error| format!("'{path}' in '{argument}': {error}"))?;
        Ok(Contender {
            name: name.to_owned(),
            face: Face::Preload(Origin::Given(path)),
            about: "a library given on the command line",
        })
    }

    /// Stratalloc under options that the user chose: `NAME=OPTIONS`, the latter as the variable `STRATALLOC` takes
    /// them. Where the name begins with `stratalloc` it counts as ours, not as a peer.
    ///
    /// # Errors
    /// As [`Contender::given`] of the name; the options are tried when the contender is made ready.
    pub fn tuned(argument: &str) -> Result<Contender, String> {
        let (name, options) = named(argument, "OPTIONS")?;
        Ok(Contender {
            name: name.to_owned(),
            face: Face::Preload(Origin::Tuned(options.to_owned())),
            about: "Stratalloc under options given on the command line",
        })
    }

    /// Whether real programs can run under it: they take no other face than preload.
    pub fn serves_programs(&self) -> bool {
        !matches!(self.face, Face::Global { .. })
    }

    /// Builds or finds what a run needs. The first call may run compilers for minutes, a later one takes about a
    /// second.
    ///
    /// # Errors
    /// Why this contender can't take part; the others still can.
    pub fn ready(&self, folders: &Folders) -> Result<Ready, BuildFailure> {
        crate::build::ready(self, folders)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_can_be_given_on_a_command_line() {
        let all = all();
        for (index, contender) in all.iter().enumerate() {
            assert!(is_name(&contender.name), "{}", contender.name);
            assert!(all[..index].iter().all(|other| other.name != contender.name), "{} twice", contender.name);
        }
    }

    #[test]
    fn a_given_contender_is_checked_before_anything_runs() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display();
        let given = Contender::given(&format!("mine-2.0={path}")).unwrap();
        assert_eq!(given.name, "mine-2.0");
        assert_eq!(given.face, Face::Preload(Origin::Given(file.path().canonicalize().unwrap())));
        for (argument, complaint) in [
            ("mine".to_owned(), "'mine'"),
            (format!("={path}"), "''"),
            (format!("My Own={path}"), "'My Own'"),
            (format!("jemalloc={path}"), "'jemalloc'"),
            ("mine=/no/such/file.so".to_owned(), "'/no/such/file.so'"),
        ] {
            let words = Contender::given(&argument).unwrap_err();
            assert!(words.contains(complaint), "{argument}: {words}");
        }
    }

    #[test]
    fn a_tuned_contender_is_the_own_library_under_another_name() {
        let tuned = Contender::tuned("stratalloc-small=profile=memory,parked_heaps=2").unwrap();
        assert_eq!(tuned.name, "stratalloc-small");
        assert_eq!(tuned.face, Face::Preload(Origin::Tuned("profile=memory,parked_heaps=2".to_owned())));
        assert!(Contender::tuned("stratalloc=profile=memory").unwrap_err().contains("'stratalloc'"));
        assert!(Contender::tuned("small").unwrap_err().contains("NAME=OPTIONS"));
    }

    #[test]
    fn only_preloaded_contenders_serve_programs() {
        let of = |name: &str| all().into_iter().find(|contender| contender.name == name).unwrap();
        assert!(of("glibc").serves_programs() && of("rpmalloc").serves_programs());
        assert!(!of("global-rpmalloc").serves_programs());
    }
}

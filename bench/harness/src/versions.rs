//! Which version of each peer is measured, and whether its publisher has a newer one.
//!
//! A crate has its own version; the version of the allocator inside is known only for the crates listed here. What
//! the workspace holds is read from its `Cargo.lock` at run time, so an update shows itself at once; what is newest
//! is a table, with the day on which it was looked up. Called by module `build`.

use serde::Deserialize;
use std::path::Path;

/// The day of the look-ups below.
const LOOKED_UP: &str = "2026-11-22";

/// A peer's crate and its publisher.
struct Source {
    /// The contender under preload; its global face is `global-` and this, or `alias`.
    contender: &'static str,
    /// The crate that holds the allocator.
    package: &'static str,
    /// Versions of the crate, and the allocator's version inside.
    holds: &'static [(&'static str, &'static str)],
    /// The publisher's newest.
    newest: &'static str,
    /// What else a reader must know of the version that is measured.
    remark: Option<&'static str>,
}

const SOURCES: &[Source] = &[
    Source {
        contender: "mimalloc3",
        package: "libmimalloc-sys",
        holds: &[("0.1.49", "3.3.2")],
        newest: "3.7.0",
        remark: Some("3.3.0 to 3.3.2 are known to crash now and then where threads start (mimalloc issue 1287)"),
    },
    Source {
        contender: "mimalloc2",
        package: "libmimalloc-sys",
        holds: &[("0.1.49", "2.3.2")],
        newest: "2.4.5",
        remark: None,
    },
    Source {
        contender: "snmalloc",
        package: "snmalloc-sys",
        holds: &[("0.7.6", "0.7.6")],
        newest: "0.7.6",
        remark: None,
    },
    Source {
        contender: "jemalloc",
        package: "tikv-jemalloc-sys",
        holds: &[("0.7.1+5.3.1-0-g81034ce1f1373e37dc865038e1bc8eeecf559ce8", "5.3.1")],
        newest: "5.3.1",
        remark: None,
    },
    Source {
        contender: "tcmalloc",
        package: "libtcmalloc-sys",
        holds: &[("0.1.14", "of June 2025")],
        newest: "of August 2026",
        remark: Some("runs with GLIBC_TUNABLES=glibc.pthread.rseq=0, without which it has no caches per CPU"),
    },
    Source {
        contender: "rpmalloc",
        package: "rpmalloc-sys",
        holds: &[("0.2.3+b097fd0", "1.4.3")],
        newest: "2.0.1",
        remark: None,
    },
    Source {
        contender: "rusty_alloc",
        package: "rusty_alloc",
        holds: &[("2.4.0", "2.4.0")],
        newest: "2.4.0",
        remark: None,
    },
];

/// gperftools' newest release, to compare Debian's with.
const GPERFTOOLS: &str = "2.19.2";

/// A version to print, and what a reader must know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) text: String,
    pub(crate) note: Option<String>,
}

impl Version {
    pub(crate) fn plain(text: impl Into<String>) -> Version {
        Version { text: text.into(), note: None }
    }
}

/// The version of a peer (its name under preload) that `lock`, the text of a `Cargo.lock`, holds.
///
/// # Errors
/// A sentence: the name has no crate here, the text is no lock file or lacks the crate.
pub(crate) fn of_peer(contender: &str, lock: &str) -> Result<Version, String> {
    let source = SOURCES
        .iter()
        .find(|source| source.contender == contender)
        .ok_or_else(|| format!("no crate is known for '{contender}'"))?;
    let lock: Lock = toml::from_str(lock).map_err(|error| format!("Cargo.lock: {error}"))?;
    let locked = lock
        .package
        .iter()
        .find(|package| package.name == source.package)
        .ok_or_else(|| format!("Cargo.lock has no package {}", source.package))?;
    Ok(describe(source, &locked.version))
}

fn describe(source: &Source, crate_version: &str) -> Version {
    let built_from = format!("from crate {} {crate_version}", source.package);
    let Some((_, inside)) = source.holds.iter().find(|(version, _)| *version == crate_version) else {
        return Version {
            text: format!("{} {crate_version}", source.package),
            note: Some(format!(
                "{built_from}; which version of the allocator that holds is not in the table of {LOOKED_UP}, when \
                 {} was the newest",
                source.newest
            )),
        };
    };
    let mut note = vec![built_from];
    if *inside != source.newest {
        note.push(format!("its publisher's newest is {} (looked up {LOOKED_UP})", source.newest));
    }
    note.extend(source.remark.map(str::to_owned));
    Version { text: (*inside).to_owned(), note: Some(note.join("; ")) }
}

/// Debian's gperftools: the package's version.
pub(crate) fn of_gperftools(package_version: &str) -> Version {
    let ours = package_version.split('-').next().unwrap_or(package_version);
    let newer = if ours == GPERFTOOLS {
        ""
    } else {
        &format!("; its publisher's newest is {GPERFTOOLS} (looked up {LOOKED_UP})")
    };
    Version { text: package_version.to_owned(), note: Some(format!("Debian's build{newer}")) }
}

/// The publisher's newest release of a contender (of either face) where the measured version is an older one.
pub(crate) fn newer(contender: &str, measured: &str) -> Option<&'static str> {
    let name = contender.strip_prefix("global-").unwrap_or(contender);
    if name == "gperftools" {
        return (measured != "unknown" && measured.split('-').next() != Some(GPERFTOOLS)).then_some(GPERFTOOLS);
    }
    let source = SOURCES.iter().find(|source| source.contender == name)?;
    let known = source.holds.iter().any(|(_, inside)| *inside == measured);
    (known && measured != source.newest).then_some(source.newest)
}

/// Stratalloc's version: what the workspace of the product, around the bench, says.
///
/// # Errors
/// A sentence that names the file.
pub(crate) fn of_product(bench: &Path) -> Result<Version, String> {
    let path = bench.join("../Cargo.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let manifest: Manifest = toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Version::plain(manifest.workspace.package.version))
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
}

#[derive(Deserialize)]
struct Manifest {
    workspace: ManifestWorkspace,
}

#[derive(Deserialize)]
struct ManifestWorkspace {
    package: ManifestPackage,
}

#[derive(Deserialize)]
struct ManifestPackage {
    version: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
        version = 4
        [[package]]
        name = "rpmalloc-sys"
        version = "0.2.3+b097fd0"
        [[package]]
        name = "rusty_alloc"
        version = "2.4.0"
        [[package]]
        name = "snmalloc-sys"
        version = "0.9.9"
    "#;

    #[test]
    fn a_peer_that_lags_says_so() {
        let version = of_peer("rpmalloc", LOCK).unwrap();
        assert_eq!(version.text, "1.4.3");
        let note = version.note.unwrap();
        assert!(note.contains("newest is 2.0.1") && note.contains(LOOKED_UP), "{note}");
    }

    #[test]
    fn the_newest_does_not_claim_to_lag() {
        let version = of_peer("rusty_alloc", LOCK).unwrap();
        assert_eq!(version.text, "2.4.0");
        assert_eq!(version.note.unwrap(), "from crate rusty_alloc 2.4.0");
    }

    #[test]
    fn an_updated_crate_is_not_taken_for_the_old_one() {
        let version = of_peer("snmalloc", LOCK).unwrap();
        assert_eq!(version.text, "snmalloc-sys 0.9.9");
        assert!(version.note.unwrap().contains("not in the table"));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(of_peer("jemalloc", LOCK).unwrap_err().contains("tikv-jemalloc-sys"));
        assert!(of_peer("hoard", LOCK).unwrap_err().contains("hoard"));
        assert!(of_peer("rpmalloc", "package = 3").unwrap_err().starts_with("Cargo.lock"));
    }

    #[test]
    fn the_checked_in_lock_file_holds_versions_of_the_table() {
        let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock")).unwrap();
        for source in SOURCES {
            let note = of_peer(source.contender, &lock).unwrap().note.unwrap();
            assert!(!note.contains("not in the table"), "update the table: {note}");
        }
    }

    #[test]
    fn a_newer_release_is_known_for_both_faces_and_only_of_known_versions() {
        assert_eq!(newer("rpmalloc", "1.4.3"), Some("2.0.1"));
        assert_eq!(newer("global-rpmalloc", "1.4.3"), Some("2.0.1"));
        assert_eq!(newer("rpmalloc", "2.0.1"), None);
        assert_eq!(newer("rpmalloc", "rpmalloc-sys 9"), None);
        assert_eq!(newer("gperftools", "2.10-1"), Some(GPERFTOOLS));
        assert_eq!(newer("gperftools", &format!("{GPERFTOOLS}-1")), None);
        assert_eq!(newer("stratalloc", "0.1.0"), None);
    }

    #[test]
    fn debian_s_revision_is_not_taken_for_a_release() {
        assert_eq!(of_gperftools("2.10-1").text, "2.10-1");
        assert!(of_gperftools("2.10-1").note.unwrap().contains(GPERFTOOLS));
        assert_eq!(of_gperftools(&format!("{GPERFTOOLS}-1")).note.unwrap(), "Debian's build");
    }
}

//! Runs cargo in the bench's workspace and finds what it made. Called by module `build` only.

use serde::Deserialize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why there is no file.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    pub(crate) output: Vec<String>,
}

/// What to build.
pub(crate) struct Order<'a> {
    /// The folder of the workspace's Cargo.toml.
    pub(crate) workspace: &'a Path,
    /// Cargo's target folder.
    pub(crate) target: &'a Path,
    /// One package.
    pub(crate) package: &'a str,
    /// Cargo's profile, by name.
    pub(crate) profile: &'a str,
    /// Its features.
    pub(crate) features: &'a [&'a str],
    /// Variables of compilers, added to what the caller's environment has: (name, flags).
    pub(crate) flags: &'a [(&'a str, &'a str)],
}

/// How many lines of a failed build are kept, and how many characters of each: a linker's command line has thousands.
const LINES: usize = 20;
const WIDTH: usize = 300;

/// Builds the package and returns its program or its dynamic library.
pub(crate) fn build(order: &Order) -> Result<PathBuf, Failure> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "--profile", order.profile, "--message-format=json-render-diagnostics"])
        .args(["--package", order.package])
        .arg("--manifest-path")
        .arg(order.workspace.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(order.target);
    if !order.features.is_empty() {
        command.arg("--features").arg(order.features.join(","));
    }
    // The compilers run on the C library's allocator, whatever the caller runs on.
    command.env_remove("LD_PRELOAD").env_remove("CARGO_TARGET_DIR").current_dir(order.workspace);
    for (variable, flags) in order.flags {
        let mut all = std::env::var_os(variable)
            .map(|own| [own, OsString::from(" ")].into_iter().collect())
            .unwrap_or_default();
        OsString::push(&mut all, flags);
        command.env(variable, all);
    }
    let output = command.output().map_err(|error| Failure {
        reason: format!("{} does not start: {error}", command.get_program().to_string_lossy()),
        output: Vec::new(),
    })?;
    let words = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let Order { profile, package, .. } = order;
        let reason = format!("`cargo build --profile {profile} --package {package}` ended with {}", output.status);
        return Err(Failure { reason, output: last_lines(&words) });
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    messages.lines().rev().find_map(|line| made(line, order.package)).ok_or_else(|| Failure {
        reason: format!("cargo built {} and named no program or library", order.package),
        output: last_lines(&words),
    })
}

/// The file of interest, if this line of cargo's messages is about a target of that package.
fn made(line: &str, package: &str) -> Option<PathBuf> {
    let message: Message = serde_json::from_str(line).ok()?;
    // `path+file:///…/bench/peers/snmalloc#peer-snmalloc@0.1.0`; without the name where the folder has the same.
    let (place, name) = message.package_id.rsplit_once('#')?;
    let named =
        name.split_once('@').map_or_else(|| place.ends_with(&format!("/{package}")), |(name, _)| name == package);
    if message.reason != "compiler-artifact" || !named {
        return None;
    }
    message.executable.or_else(|| {
        message.filenames.into_iter().find(|file| file.extension().is_some_and(|extension| extension == "so"))
    })
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    package_id: String,
    #[serde(default)]
    executable: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

fn last_lines(words: &str) -> Vec<String> {
    let lines: Vec<&str> = words.lines().filter(|line| !line.trim().is_empty()).collect();
    let short = |line: &&str| match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => (*line).to_owned(),
    };
    lines[lines.len().saturating_sub(LINES)..].iter().map(short).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_found_among_the_messages() {
        let line =
            r#"{"reason":"compiler-artifact","package_id":"path+file:///b/peers/snmalloc#peer-snmalloc@0.1.0",
            "filenames":["/t/release/libpeer_snmalloc.so"],"executable":null}"#
                .replace('\n', "");
        assert_eq!(made(&line, "peer-snmalloc"), Some(PathBuf::from("/t/release/libpeer_snmalloc.so")));
        assert_eq!(made(&line, "peer-jemalloc"), None);
        assert_eq!(made(r#"{"reason":"build-finished","success":true}"#, "peer-snmalloc"), None);
        assert_eq!(made("warning", "peer-snmalloc"), None);
    }

    #[test]
    fn a_build_script_is_not_taken_for_the_library() {
        let line =
            r#"{"reason":"compiler-artifact","package_id":"path+file:///b/peers/snmalloc#peer-snmalloc@0.1.0",
            "filenames":["/t/release/build/peer-snmalloc-1/build-script-build"],"executable":null}"#
                .replace('\n', "");
        assert_eq!(made(&line, "peer-snmalloc"), None);
    }

    #[test]
    fn the_end_of_the_output_is_kept_and_cut() {
        let words: String = (0..50).map(|line| format!("line {line}\n\n")).collect::<String>() + &"ü".repeat(1000);
        let kept = last_lines(&words);
        assert_eq!(kept.len(), LINES);
        assert_eq!(kept[LINES - 2], "line 49");
        assert_eq!(kept[LINES - 1].chars().count(), WIDTH + 1);
    }

    #[test]
    fn a_package_that_is_not_there_is_an_error_with_cargo_s_words() {
        let folder = std::env::temp_dir();
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let order = Order {
            workspace,
            target: &folder.join("no-such-package"),
            package: "peer-none",
            profile: "release",
            features: &[],
            flags: &[],
        };
        let failure = build(&order).unwrap_err();
        assert!(failure.reason.contains("peer-none"), "{}", failure.reason);
        assert!(failure.output.iter().any(|line| line.contains("peer-none")), "{:?}", failure.output);
    }
}

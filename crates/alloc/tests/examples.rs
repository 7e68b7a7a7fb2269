//! The examples run and say what they promise.

use std::path::PathBuf;
use std::process::Command;
use std::{env, str};
use stratalloc::Stratalloc;

#[global_allocator]
static GLOBAL: Stratalloc = Stratalloc;

/// Where cargo put an example; built now if it has not been.
fn built(name: &str) -> PathBuf {
    let mut path = env::current_exe().expect("this program");
    path.pop();
    // From `deps` to the profile's folder.
    path.pop();
    path.push("examples");
    path.push(format!("{name}{}", env::consts::EXE_SUFFIX));
    if !path.exists() {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--examples", "--manifest-path"]);
        cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo").success());
    }
    path
}

/// Runs an example that must succeed and say nothing on standard error; its output.
fn run(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(built(name))
        .args(arguments)
        .env_remove("STRATALLOC")
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let said = |bytes: &[u8]| str::from_utf8(bytes).expect("UTF-8").to_owned();
    assert!(output.status.success(), "{name}: {}\n{}", output.status, said(&output.stderr));
    assert_eq!(said(&output.stderr), "", "{name}");
    said(&output.stdout)
}

/// The number behind `word` in `line`.
fn number_after(line: &str, word: &str) -> usize {
    let rest = line.split(word).nth(1).unwrap_or_else(|| panic!("no {word:?} in {line:?}"));
    rest.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no number in {line:?}"))
}

#[test]
fn global() {
    let output = run("global", &[]);
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], "100000 words");
    let (allocated, active, mapped) =
        (number_after(lines[1], "allocated"), number_after(lines[2], "active"), number_after(lines[3], "mapped"));
    // 100,000 strings of 24 bytes in the vector and at least 13 outside.
    assert!(3_700_000 <= allocated && allocated <= active && active <= mapped && mapped < 32 << 20, "{output}");
    assert_eq!(lines.len(), 7);
}

#[test]
fn heap_per_request() {
    let output = run("heap_per_request", &[]);
    let lines: Vec<&str> = output.lines().collect();
    assert!((62..500).contains(&number_after(lines[0], "holds")), "{output}");
    let checksum: usize = (0..200).flat_map(|request| (0..1000).map(move |row| 8 * request + row * 28)).sum();
    assert!(lines[1].starts_with(&format!("200 requests, checksum {checksum}; ")), "{output}");
    assert!(number_after(lines[1], ";") < 64, "{output}");
}

#[cfg(target_os = "linux")]
#[test]
fn trim_after_load() {
    let output = run("trim_after_load", &[]);
    let lines: Vec<&str> = output.lines().collect();
    let resident: Vec<usize> = lines[..4].iter().map(|line| number_after(line, "resident")).collect();
    let dirty: Vec<usize> = lines[..4].iter().map(|line| number_after(line, "free and resident")).collect();
    assert!(resident[1] > resident[0] + 80_000, "{output}");
    assert!(resident[2] < resident[1], "most goes back by itself: {output}");
    assert!(resident[3] <= resident[2], "{output}");
    assert_eq!(dirty[3], 0, "{output}");
    assert!(lines[4].ends_with("; 100 blocks stay"), "{output}");
}

#[test]
fn options() {
    let output = run("options", &[]);
    let mut lines = output.lines();
    let first = lines.next().expect("a first line");
    for option in ["show=0", "dirty_min=1M", "dirty_percent=5", "purge_delay=200", "misuse=warn", "limit=256M"] {
        assert!(first.split(',').any(|item| item == option), "{option} is not in {first}");
    }
    let expected = [
        "512 MiB: refused",
        "64 MiB: granted",
        "stratalloc: option 'dirty_prcent' is unknown; did you mean 'dirty_percent'?",
        "purge_delay is 500",
    ];
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}

#[test]
fn gate_pair() {
    assert_eq!(run("gate_pair", &["1000"]), "1000 rounds\n");
    assert_eq!(run("gate_pair", &["1000", "empty"]), "1000 rounds\n");
}

//! The examples run, succeed, and say something.
#![cfg(not(miri))]

use std::path::PathBuf;
use std::process::Command;
use std::{env, str};

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
fn run(name: &str) -> String {
    let output = Command::new(built(name)).output().unwrap_or_else(|error| panic!("{name}: {error}"));
    let said = |bytes: &[u8]| str::from_utf8(bytes).expect("UTF-8").to_owned();
    assert!(output.status.success(), "{name}: {}\n{}", output.status, said(&output.stderr));
    assert_eq!(said(&output.stderr), "", "{name}");
    said(&output.stdout)
}

#[test]
fn connections_are_shared_by_more_threads_than_there_are() {
    assert!(run("connections").contains("800 requests over connections"));
}

#[test]
fn buffers_come_from_the_thread_cache() {
    assert!(run("buffers").contains("19980000 bytes went through"));
}

#[test]
fn messages_are_bounded() {
    assert!(run("messages").contains("sum 199990000"));
}

#[test]
fn packets_and_scratch_space_come_again() {
    assert!(run("packets").contains("in flight: 32"));
    assert!(run("scratch").contains("54000 words"));
}

#[test]
fn records_live_in_a_slice() {
    assert!(run("records").contains("Segregated, Deferred: "));
}

#[test]
fn entities_notice_what_is_gone() {
    assert!(run("entities").contains("1000 live, 999 lost their targets"));
}

#[test]
fn parser_nodes_are_collected_and_compacted() {
    let output = run("parser_nodes");
    assert!(output.contains("520 nodes were reached no more") && output.contains("compacted in "));
}

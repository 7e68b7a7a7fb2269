//! What `run` tells afterwards, with a stand-in library whose figures are known.
#![cfg(target_os = "linux")]

use crate::common::{run, scratch, stand_in, stderr, stratalloc};
use std::fs;
use std::path::Path;

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_summary_goes_to_stderr_with_every_figure() {
    let output = run(&["--", "sh", "-c", "echo out; exit 3"]).output().unwrap();
    assert_eq!(output.stdout, b"out\n");
    let text = stderr(&output);
    for line in [
        "stratalloc: sh (process ",
        ") ended with status 3\n",
        "  wall; ",
        "  memory             6.0 MiB  peak, resident; 5.0 MiB at exit\n",
        "  in blocks          2.0 MiB  peak, 3.0 MiB with free memory kept; 1.0 MiB at exit\n",
        "  fragmentation       25.0 %  at exit: 768.0 KiB allocated in 1.0 MiB touched\n",
        "  returned           4.0 MiB  to the system in 9 calls; 64.0 KiB kept free at exit\n",
        "  page faults   ",
        "  allocations          1,000  10 of them above 32.0 KiB\n",
        "  up to 16 B                 990    99.0 %  ########################\n",
    ] {
        assert!(text.contains(line), "no {line:?} in:\n{text}");
    }
    assert!(!text.contains("other process"), "{text}");
}

#[test]
fn no_count_leaves_the_fast_path_on() {
    let output = run(&["--no-count", "--", "sh", "-c", "echo $STRATALLOC"]).output().unwrap();
    let options = String::from_utf8_lossy(&output.stdout);
    assert!(options.starts_with("report=") && !options.contains("count"), "{options}");
    assert!(stderr(&output).contains("  allocations             10  above 32.0 KiB; others not counted\n"));
}

#[test]
fn the_environment_of_the_user_is_kept() {
    let output = run(&[
        "-q",
        "-o",
        "limit=1G",
        "-o",
        "misuse=warn",
        "--",
        "sh",
        "-c",
        "echo $STRATALLOC; echo $LD_PRELOAD",
    ])
    .env("STRATALLOC", "purge_delay=7")
    .env("LD_PRELOAD", stand_in())
    .output()
    .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("purge_delay=7,count=1,limit=1G,misuse=warn,report="), "{text}");
    let library = stand_in().display();
    assert_eq!(lines[1], format!("{}:{library}", stand_in().canonicalize().unwrap().display()));
}

#[test]
fn json_tells_everything() {
    let path = scratch("json").join("run.json");
    let output = run(&["-q", "--json"]).arg(&path).args(["--", "sh", "-c", "sleep 0.1; exit 3"]).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", stderr(&output));
    let run = json(&path);
    assert_eq!(run["format"], "stratalloc-run 1");
    assert_eq!(run["command"], serde_json::json!(["sh", "-c", "sleep 0.1; exit 3"]));
    assert_eq!(run["exit"]["code"], 3);
    assert_eq!(run["library_seen"], true);
    assert_eq!(run["report"]["purged"], 4_194_304);
    assert_eq!(
        run["report"]["classes"][0],
        serde_json::json!({
            "size": 16, "live": 1, "capacity": 4096, "spans": 1, "allocs": 990
        })
    );
    assert!(run["report_missing"].is_null());
    assert!(run["wall_seconds"].as_f64().unwrap() >= 0.1);
    assert!(run["minor_faults"].as_u64().unwrap() > 0);
    // `sleep` reported for itself.
    assert_eq!(run["other_processes"].as_array().unwrap().len(), 1);
    assert_eq!(run["other_processes"][0]["report"]["allocated"], 786_432);
}

#[test]
fn other_processes_are_counted() {
    let output = run(&["--", "sh", "-c", "sleep 0; sleep 0; exit 0"]).output().unwrap();
    let text = stderr(&output);
    assert!(text.ends_with("  2 other processes reported; their figures are not in the above\n"), "{text}");
}

#[test]
fn a_program_that_drops_the_library_has_no_statistics_and_the_reason_is_told() {
    let path = scratch("dropped").join("run.json");
    let script = "sleep 0.2; exec env -u LD_PRELOAD sleep 0.1";
    let output = run(&["--json"]).arg(&path).args(["--", "sh", "-c", script]).output().unwrap();
    let text = stderr(&output);
    assert!(text.contains("no statistics of the allocator: the library was loaded, but"), "{text}");
    let run = json(&path);
    assert!(run["report"].is_null());
    assert!(run["report_missing"].as_str().unwrap().contains("became another program"));
}

#[test]
fn a_program_that_runs_without_the_library_is_told_while_it_runs() {
    // For another operating system, says its header: the loader passes over such a library.
    let library = scratch("never").join("libodd.so");
    let mut bytes = fs::read(stand_in()).unwrap();
    bytes[7] = 0xff;
    fs::write(&library, bytes).unwrap();
    let path = scratch("never-json").join("run.json");
    let mut command = stratalloc();
    command.args(["run", "--library"]).arg(&library).arg("--json").arg(&path);
    let output = command.args(["-q", "--", "sh", "-c", "sleep 3; echo later >&2"]).output().unwrap();
    let text = stderr(&output);
    let warned = text.find("runs without the library").expect(&text);
    assert!(warned < text.find("later").expect(&text), "{text}");
    let run = json(&path);
    assert_eq!(run["library_seen"], false);
    assert_eq!(run["report_missing"], "the library was not loaded into the program");
}

#[test]
fn a_library_whose_path_the_loader_would_split_is_preloaded_through_a_link() {
    for name in ["with space.so", "with:colon.so", "with$ORIGIN.so"] {
        let library = scratch("paths").join(name);
        fs::copy(stand_in(), &library).unwrap();
        let output = stratalloc().args(["run", "--library"]).arg(&library).args(["sh", "-c", "exit 0"]).output();
        let text = stderr(&output.unwrap());
        assert!(text.contains("6.0 MiB  peak"), "{name}: {text}");
    }
}

#[test]
fn a_report_the_user_asked_for_is_written_too() {
    let folder = scratch("kept");
    let option = format!("report={}/mine.%p", folder.display());
    for by_variable in [false, true] {
        let mut command = run(&["-q"]);
        if by_variable {
            command.env("STRATALLOC", &option);
        } else {
            command.args(["-o", &option]);
        }
        let output = command.args(["--", "sh", "-c", "echo $$"]).output().unwrap();
        let pid = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let report = fs::read_to_string(folder.join(format!("mine.{pid}"))).unwrap();
        assert!(report.starts_with("stratalloc-report 1\n") && report.ends_with("end\n"));
    }
}

#[test]
fn temporary_files_are_removed() {
    let folder = scratch("temporary");
    let status = run(&["-q", "--", "sh", "-c", "exit 0"]).env("TMPDIR", &folder).status().unwrap();
    assert!(status.success());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    // A folder that a list of options cannot name is not used.
    let odd = folder.join("a,b");
    fs::create_dir(&odd).unwrap();
    let output = run(&["--", "sh", "-c", "exit 0"]).env("TMPDIR", &odd).output().unwrap();
    assert!(stderr(&output).contains("6.0 MiB  peak"), "{}", stderr(&output));
}

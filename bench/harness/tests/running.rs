//! The binary as its users see it: runs, continues, refuses, goes on after failures. A script stands for the
//! measured program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use stratalloc_bench::store::{Kind, Results, Sample};

/// A folder with the script's libraries and results.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let bench = Bench { folder: tempfile::tempdir().unwrap() };
        fs::write(bench.path("libstratalloc.so"), "").unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn out(&self) -> PathBuf {
        self.path("results.json")
    }

    /// `--with NAME=…/NAME.so`, made if it is not there.
    fn with(&self, name: &str) -> String {
        let library = self.path(&format!("{name}.so"));
        fs::write(&library, "").unwrap();
        format!("--with={name}={}", library.display())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stratalloc-bench"));
        command.args(arguments).env("FAKE_LOG", self.path("log"));
        command
    }

    /// `run` with the script, quickly; undisturbed whatever the machine does.
    fn run(&self, arguments: &[&str]) -> Output {
        self.start(arguments).output().unwrap()
    }

    fn start(&self, arguments: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake/workload.sh");
        let mut command = self.command(&["run", "--workload-binary"]);
        command.arg(script).arg("--library").arg(self.path("libstratalloc.so")).arg("--out").arg(self.out());
        if !arguments.iter().any(|argument| argument.starts_with("--disturbance")) {
            command.arg("--disturbance=1000");
        }
        command.args(arguments);
        command
    }

    fn results(&self) -> Results {
        Results::load(&self.out()).unwrap()
    }

    /// How many runs the script saw since the last call.
    fn runs(&self) -> usize {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let _ = fs::remove_file(self.path("log"));
        log.lines().filter(|line| !line.starts_with("list")).count()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn status(output: &Output, wanted: i32) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(wanted), "stdout:\n{out}\nstderr:\n{err}");
}

fn of<'a>(results: &'a Results, contender: &str) -> Vec<&'a Sample> {
    results.samples.iter().filter(|sample| sample.contender == contender).collect()
}

#[test]
fn a_run_keeps_every_sample_and_prints_tables() {
    let bench = Bench::new();
    let fast = bench.with("fast");
    let output = bench.run(&["--contenders=glibc,stratalloc", &fast, "--rounds=2", "--scaling=1,3"]);
    status(&output, 0);
    let results = bench.results();
    // alpha: 2 throughput, 1 latency, 2 × 2 scaling; beta: 2; tool: 2; each with three contenders.
    assert_eq!((results.samples.len(), bench.runs()), (33, 33));
    let count = |kind| results.samples.iter().filter(|sample| sample.kind == kind).count();
    assert_eq!((count(Kind::Throughput), count(Kind::Latency), count(Kind::Scaling)), (18, 3, 12));
    assert!(results.samples.iter().all(|sample| sample.counted().is_some() && sample.attempts == 1));
    let rest = |sample: &&Sample| sample.counted().unwrap().rest_rss.is_some();
    assert_eq!(results.samples.iter().filter(rest).count(), 12, "throughput but for real programs");
    // In turn, one further each round.
    let order: Vec<&str> = results.samples[..6].iter().map(|sample| sample.contender.as_str()).collect();
    assert_eq!(order, ["stratalloc", "glibc", "fast", "glibc", "fast", "stratalloc"]);
    let tables = text(&output.stdout);
    for word in [
        "wall time, s",
        "*1.00",
        "2.00",
        "geometric mean to best",
        "latency of single calls",
        "scaling with threads",
    ] {
        assert!(tables.contains(word), "no '{word}' in\n{tables}");
    }
    assert!(tables.contains("absent: no program absent in PATH (Debian's package absent-tools)"), "{tables}");
    let again = bench.command(&["show"]).arg(bench.out()).output().unwrap();
    status(&again, 0);
    assert_eq!(text(&again.stdout), tables);
}

#[test]
fn a_continued_file_gets_only_what_is_missing() {
    let bench = Bench::new();
    status(&bench.run(&["--contenders=glibc", "--workloads=alpha", "--rounds=2", "--latency-rounds=0"]), 0);
    assert_eq!(bench.runs(), 2);
    let first = bench.results();
    // The same again: nothing.
    status(&bench.run(&["--contenders=glibc", "--workloads=alpha", "--rounds=2", "--latency-rounds=0"]), 0);
    assert_eq!((bench.runs(), bench.results().samples), (0, first.samples.clone()));
    // One contender and one workload more.
    let fast = bench.with("fast");
    status(
        &bench.run(&["--contenders=glibc", &fast, "--workloads=alpha,beta", "--rounds=2", "--latency-rounds=0"]),
        0,
    );
    let second = bench.results();
    assert_eq!((bench.runs(), second.samples.len()), (6, 8));
    assert_eq!(second.samples[..2], first.samples[..]);
    assert_eq!(second.contenders.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["glibc", "fast"]);
    // One round more, and one contender again.
    status(&bench.run(&["--contenders=glibc", "--workloads=beta", "--rounds=3", "--again=glibc"]), 0);
    assert_eq!((bench.runs(), of(&bench.results(), "glibc").len()), (3, 3));
}

#[test]
fn other_parameters_are_refused_with_both_values() {
    let bench = Bench::new();
    status(&bench.run(&["--contenders=glibc", "--workloads=beta", "--rounds=1"]), 0);
    let before = fs::read(bench.out()).unwrap();
    bench.runs();
    for (option, said) in [
        ("--scale=0.5", "--scale 1, not 0.5"),
        ("--seed=9", "--seed 1, not 9"),
        ("--rest=5", "--rest 1000, not 5"),
        ("--threads=3", "--threads each workload's own, not 3"),
    ] {
        let output = bench.run(&["--contenders=glibc", "--workloads=beta", "--rounds=1", option]);
        status(&output, 2);
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
        assert_eq!((bench.runs(), fs::read(bench.out()).unwrap()), (0, before.clone()));
    }
}

#[test]
fn another_build_of_a_library_is_not_mixed_in() {
    let bench = Bench::new();
    let fast = bench.with("fast");
    let arguments = ["--contenders=glibc", &fast, "--workloads=beta", "--rounds=1"];
    status(&bench.run(&arguments), 0);
    let before = fs::read(bench.out()).unwrap();
    fs::write(bench.path("fast.so"), "rebuilt").unwrap();
    let output = bench.run(&arguments);
    status(&output, 2);
    assert!(text(&output.stderr).contains("another build of fast"), "{}", text(&output.stderr));
    assert_eq!(fs::read(bench.out()).unwrap(), before);
    bench.runs();
    status(&bench.run(&[&arguments[..], &["--again=fast"]].concat()), 0);
    assert_eq!(bench.runs(), 1);
}

#[test]
fn a_broken_file_is_named_with_its_place_and_left_alone() {
    let bench = Bench::new();
    status(&bench.run(&["--contenders=glibc", "--workloads=beta", "--rounds=1"]), 0);
    let whole = fs::read_to_string(bench.out()).unwrap();
    let cut = &whole[..whole.len() / 2];
    let wrong = whole.replacen("\"samples\"", "\"simples\"", 1);
    let future = whole.replacen("\"format\":1", "\"format\":99", 1);
    let cases = [
        (cut, format!("breaks off at line 1, byte {} of {}", cut.len(), cut.len())),
        ("{\"format\":1,\n oops}", "line 2, column 2, byte 15 of 19".to_owned()),
        (wrong.as_str(), "samples".to_owned()),
        (future.as_str(), "results of format 99".to_owned()),
        ("", "breaks off".to_owned()),
    ];
    for (content, said) in cases {
        fs::write(bench.out(), content).unwrap();
        let file = bench.out();
        let output = bench.run(&["--contenders=glibc", "--workloads=beta", "--rounds=1"]);
        for output in [output, bench.command(&["show"]).arg(&file).output().unwrap()] {
            status(&output, 2);
            let message = text(&output.stderr);
            assert!(
                message.contains(&said) && message.contains(file.to_str().unwrap()),
                "'{said}' not in {message}"
            );
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), content);
    }
}

#[test]
fn bad_names_and_paths_are_refused_before_anything_runs() {
    let bench = Bench::new();
    let cases: [(&[&str], &str); 8] = [
        (&["--workloads=alpa"], "unknown workload 'alpa'; did you mean alpha?"),
        (&["--contenders=glibcc"], "unknown contender 'glibcc'; did you mean glibc?"),
        (&["--with=mine=/no/such.so"], "/no/such.so"),
        (&["--with=mine"], "NAME=PATH"),
        (&["--scale=0"], "above 0"),
        (&["--rounds=0"], "0"),
        (&["--resume=/no/such/results.json"], "cannot be used with"),
        (&["--contenders=stratalloc", "--library=/no/libstratalloc.so"], "/no/libstratalloc.so"),
    ];
    for (arguments, said) in cases {
        let mut all = vec!["--contenders=glibc"];
        if arguments.iter().any(|argument| argument.starts_with("--contenders")) {
            all.clear();
        }
        all.extend(arguments);
        let output = if arguments[0].starts_with("--contenders=stratalloc") {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake/workload.sh");
            bench.command(&["run", "--workload-binary"]).arg(script).args(arguments).output().unwrap()
        } else {
            bench.run(&all)
        };
        status(&output, 2);
        assert!(text(&output.stderr).contains(said), "'{said}' not in {}", text(&output.stderr));
        assert_eq!(bench.runs(), 0);
    }
    let output =
        bench.command(&["run", "--resume", "/no/such/results.json", "--contenders=glibc"]).output().unwrap();
    status(&output, 2);
    assert!(text(&output.stderr).contains("/no/such"), "{}", text(&output.stderr));
}

#[test]
fn failures_are_recorded_and_the_rest_goes_on() {
    let bench = Bench::new();
    let bad = ["crash", "other", "babbles", "fails"].map(|name| bench.with(name));
    let mut arguments = vec!["--contenders=glibc,stratalloc", "--workloads=beta", "--rounds=4"];
    arguments.extend(bad.iter().map(String::as_str));
    let output = bench.run(&arguments);
    status(&output, 1);
    let results = bench.results();
    let failure = |name| of(&results, name)[0].failure.clone().unwrap();
    assert!(failure("crash").contains("SIGSEGV"), "{}", failure("crash"));
    assert!(failure("other").contains("'/somewhere/else.so'"), "{}", failure("other"));
    assert!(failure("babbles").contains("no outcome"), "{}", failure("babbles"));
    assert!(failure("fails").contains("exit status: 9") && failure("fails").contains("a reason to fail"));
    // Two failures are enough; the others have all rounds.
    for name in ["crash", "other", "babbles", "fails"] {
        assert_eq!(of(&results, name).len(), 2, "{name}");
    }
    for name in ["glibc", "stratalloc"] {
        assert_eq!(of(&results, name).iter().filter(|sample| sample.counted().is_some()).count(), 4, "{name}");
    }
    assert!(text(&output.stdout).contains("beta with crash (preload), 2 times: ended with signal: 11 (SIGSEGV)"));
    // Continued, nothing is tried again, unless asked for.
    bench.runs();
    status(&bench.run(&arguments), 1);
    assert_eq!(bench.runs(), 0);
    arguments.push("--again=failed");
    status(&bench.run(&arguments), 1);
    assert_eq!(bench.runs(), 8);
}

#[test]
fn a_process_that_hangs_is_ended_and_recorded() {
    let bench = Bench::new();
    let hang = bench.with("hang");
    let start = Instant::now();
    let output = bench.run(&["--contenders=glibc", &hang, "--workloads=beta,tool", "--rounds=1", "--timeout=0.5"]);
    status(&output, 1);
    assert!(start.elapsed() < Duration::from_secs(30));
    let results = bench.results();
    assert!(of(&results, "hang").iter().all(|s| s.failure.as_ref().unwrap().contains("longer than 0.5 s")));
    assert_eq!((of(&results, "hang").len(), of(&results, "glibc").len()), (2, 2));
}

#[test]
fn a_result_that_differs_from_the_others_does_not_count() {
    let bench = Bench::new();
    let (differs, fast) = (bench.with("differs"), bench.with("fast"));
    let output = bench.run(&["--contenders=glibc", &differs, &fast, "--workloads=beta", "--rounds=3"]);
    status(&output, 1);
    let results = bench.results();
    assert!(
        of(&results, "differs").iter().all(|s| s.disagrees && s.failure.as_ref().unwrap().contains("differently"))
    );
    assert_eq!(of(&results, "differs").len(), 3);
    assert!(results.samples.iter().filter(|s| s.contender != "differs").all(|s| s.counted().is_some()));
}

#[test]
fn foreign_load_is_seen_and_the_run_repeated() {
    let bench = Bench::new();
    let slow = bench.with("slow");
    let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
    let arguments = ["--contenders=glibc", &slow, "--workloads=beta", "--rounds=1", "--disturbance=0.05"];
    let output = bench.run(&arguments);
    busy.kill().unwrap();
    busy.wait().unwrap();
    status(&output, 0);
    let results = bench.results();
    let sample = of(&results, "slow")[0];
    assert!(sample.disturbed && sample.attempts == 3 && sample.foreign_load > 0.05, "{sample:?}");
    assert!(text(&output.stdout).contains("repeated in vain"));
}

#[test]
fn an_interrupt_ends_the_run_after_the_current_process_and_keeps_its_samples() {
    let bench = Bench::new();
    let slow = bench.with("slow");
    let arguments = ["--contenders=glibc", &slow, "--workloads=beta", "--rounds=50"];
    let child = bench.start(&arguments).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !bench.out().exists() || bench.results().samples.len() < 4 {
        assert!(Instant::now() < deadline, "no samples");
        std::thread::sleep(Duration::from_millis(20));
    }
    let signalled = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let output = child.wait_with_output().unwrap();
    status(&output, 1);
    assert!(text(&output.stderr).contains("--resume"), "{}", text(&output.stderr));
    let kept = bench.results().samples;
    assert!((4..100).contains(&kept.len()) && kept.iter().all(|sample| sample.counted().is_some()));
    assert_eq!(bench.runs(), kept.len(), "the current process ended and its sample was kept");
    status(&bench.run(&["--contenders=glibc", &slow, "--workloads=beta", "--rounds=10"]), 0);
    assert!(bench.results().samples.len() >= 20);
}

#[test]
fn a_smoke_run_says_what_passed_and_fails_with_any_failure() {
    let bench = Bench::new();
    let output = bench.run(&["--smoke"]);
    status(&output, 0);
    assert!(text(&output.stdout).contains("smoke: 6 runs passed, 0 failures"), "{}", text(&output.stdout));
    assert!(
        fs::read_to_string(bench.path("log"))
            .unwrap()
            .contains("run alpha --scale 0.02 --seed 1 --rest 10 with libstratalloc.so")
    );
    fs::remove_file(bench.out()).unwrap();
    let crash = bench.with("crash");
    let output = bench.run(&["--smoke", &crash]);
    status(&output, 1);
    assert!(text(&output.stdout).contains("FAILED: alpha with crash"), "{}", text(&output.stdout));
}

//! CPython's own test suite with PYTHONMALLOC=malloc: the same tests pass as on the C library's malloc.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;
use stratalloc_tests::tools::{Folder, assert_preloads, program};
use stratalloc_tests::{Outcome, Run, on_libc, on_library};

/// The suite starts hundreds of interpreters; the limit only ends a hang.
const LIMIT: Duration = Duration::from_secs(900);

/// An interpreter that has its own test suite, and whether that includes the fork tests of
/// multiprocessing as a module of their own.
fn interpreter() -> &'static (PathBuf, bool) {
    static FOUND: OnceLock<(PathBuf, bool)> = OnceLock::new();
    FOUND.get_or_init(|| {
        let first = program("python3", "python3");
        let candidates = [first, PathBuf::from("/usr/bin/python3"), PathBuf::from("/usr/local/bin/python3")];
        let mut found: Vec<(PathBuf, bool)> = Vec::new();
        for python in candidates.into_iter().filter(|python| python.is_file()) {
            // A launcher script may stand on the path: ask for the real interpreter.
            let script = "import sys, test.test_list, test.test_json, test.test_gc\nprint(sys.executable)";
            let outcome = on_libc(&python).args(["-c", script]).outcome();
            if outcome.status.success() {
                let real = PathBuf::from(outcome.out().trim());
                let fork = on_libc(&real)
                    .args(["-c", "import test.test_multiprocessing_fork"])
                    .outcome()
                    .status
                    .success();
                found.push((real, fork));
            }
        }
        found.sort_by_key(|(_, fork)| !fork);
        let best = found.into_iter().next().unwrap_or_else(|| {
            panic!("no python3 has the package `test` (Debian: apt-get install python3 libpython3.11-testsuite)")
        });
        assert_preloads(&best.0);
        best
    })
}

/// Names of the test modules that failed, as regrtest's summary lists them.
fn failed(outcome: &Outcome) -> Vec<String> {
    let out = outcome.out();
    let mut lines = out.lines().skip_while(|line| !(line.contains("failed:") && line.contains("test")));
    lines.next();
    lines.take_while(|line| line.starts_with("    ")).flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// Runs modules of CPython's suite on both; a module that fails is run again by the suite itself
/// before it counts (some of them measure time).
fn suite(modules: &[&str]) {
    let (python, _) = interpreter();
    let run = |run: Run, folder: &Folder| {
        let run = run.args(["-m", "test", "-w"]).args(modules).env("PYTHONMALLOC", "malloc");
        run.dir(folder.path()).env("TMPDIR", folder.path()).limit(LIMIT).outcome()
    };
    let ours = run(on_library(python), &Folder::new("python"));
    assert!(!ours.timed_out, "{ours}");
    if ours.status.success() {
        assert!(ours.out().contains("OK."), "the suite ran nothing: {ours}");
        println!("all of {} passed", modules.join(" "));
        return;
    }
    // What fails on the C library's malloc too is the machine's or the version's fault.
    let libc = run(on_libc(python), &Folder::new("python"));
    let (ours_failed, libc_failed) = (failed(&ours), failed(&libc));
    assert!(!libc.status.success() && !libc_failed.is_empty(), "passes on the C library's malloc only: {ours}");
    assert_eq!(ours_failed, libc_failed, "on the library: {ours}\non the C library's malloc: {libc}");
    println!("the same modules fail as on the C library's malloc: {}", libc_failed.join(" "));
}

#[test]
fn objects_and_text() {
    suite(&["test_list", "test_dict", "test_json", "test_gc", "test_re", "test_decimal"]);
}

#[test]
fn threads() {
    suite(&["test_threading", "test_threading_local", "test_thread"]);
}

#[test]
fn subprocesses() {
    suite(&["test_subprocess"]);
}

#[test]
fn multiprocessing_by_fork() {
    if interpreter().1 {
        suite(&["test_multiprocessing_fork"]);
        return;
    }
    // Versions (and distributions) without the module: the same work through the public interface.
    let script = "
import multiprocessing as mp
def work(n):
    return sum(len(str(i) * n) for i in range(2000))
def feed(queue, n):
    queue.put({i: 'x' * i for i in range(n)})
if __name__ == '__main__':
    mp.set_start_method('fork')
    with mp.Pool(4) as pool:
        print(pool.map(work, range(200)))
        print(sorted(pool.imap_unordered(work, range(100), chunksize=3)))
    queue = mp.Queue()
    children = [mp.Process(target=feed, args=(queue, 10 * n)) for n in range(30)]
    for child in children: child.start()
    print(sorted(len(queue.get()) for _ in children))
    for child in children: child.join()
    print([child.exitcode for child in children])
";
    let folder = Folder::new("python");
    let file = folder.join("processes.py");
    std::fs::write(&file, script).expect("the script");
    super::same(&interpreter().0, |run, _| run.arg(&file).env("PYTHONMALLOC", "malloc"));
}

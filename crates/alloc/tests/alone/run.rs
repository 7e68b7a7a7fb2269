//! Starts cases in processes of their own and judges them.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

/// The environment variable that names the case to a started process.
const RUN: &str = "STRATALLOC_TEST_CASE";
/// How long a case may take: it hangs, then.
const DEADLINE: Duration = Duration::from_secs(300);

/// One case.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    /// The value of `STRATALLOC`.
    pub options: &'static str,
    /// Runs in the started process.
    pub body: fn(),
    /// Looks at what became of it; panics when that is wrong.
    pub judge: fn(&Ended),
}

impl Case {
    pub const fn new(name: &'static str, body: fn()) -> Case {
        Case { name, options: "", body, judge: Ended::well }
    }

    pub const fn options(self, options: &'static str) -> Case {
        Case { options, ..self }
    }

    pub const fn judge(self, judge: fn(&Ended)) -> Case {
        Case { judge, ..self }
    }
}

/// A process that has ended.
pub struct Ended {
    pub id: u32,
    pub status: ExitStatus,
    pub stderr: String,
    /// The case's folder, `%f` in its options.
    pub folder: PathBuf,
}

impl Ended {
    /// It exited with status 0 and nothing to say.
    pub fn well(&self) {
        assert!(self.status.success(), "{}", self.status);
        assert_eq!(self.stderr, "");
    }

    /// It exited with status 0 and said this, line by line.
    pub fn said(&self, lines: &[&str]) {
        assert!(self.status.success(), "{}", self.status);
        assert_eq!(self.stderr.lines().collect::<Vec<_>>(), lines);
    }

    /// It was aborted after a message with this in it.
    pub fn aborted(&self, message: &str) {
        assert_eq!(self.status.signal(), Some(libc::SIGABRT), "{}", self.status);
        assert!(self.stderr.contains(message), "the message lacks {message:?}");
    }
}

/// Runs the case named in the environment, or else all cases whose names contain the argument.
pub fn main(cases: &[Case]) -> ExitCode {
    if let Ok(name) = env::var(RUN) {
        let case = cases.iter().find(|case| case.name == name).expect("a case of that name");
        (case.body)();
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        cases.iter().for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    // Options of the ordinary test harness that have no meaning here are let pass.
    let filter = arguments.iter().find(|argument| !argument.starts_with('-')).cloned().unwrap_or_default();
    let mut failed = 0;
    for case in cases.iter().filter(|case| case.name.contains(&filter)) {
        let begun = Instant::now();
        let ended = start(case);
        let verdict = std::panic::catch_unwind(|| (case.judge)(&ended));
        let passed = verdict.is_ok();
        println!("case {} ... {} ({:.1?})", case.name, if passed { "ok" } else { "FAILED" }, begun.elapsed());
        if !passed {
            println!("--- {}; standard error:\n{}---", ended.status, ended.stderr);
            failed += 1;
        }
        let _ = fs::remove_dir_all(&ended.folder);
    }
    if failed > 0 {
        println!("{failed} cases failed");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Runs a case to its end, or kills it at the deadline.
fn start(case: &Case) -> Ended {
    let folder = env::temp_dir().join(format!("stratalloc-alone-{}-{}", std::process::id(), case.name));
    fs::create_dir_all(&folder).expect("a folder for the case");
    let errors = folder.join("stderr");
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.env(RUN, case.name).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(fs::File::create(&errors).expect("a file for its messages"));
    match case.options {
        "" => command.env_remove("STRATALLOC"),
        options => command.env("STRATALLOC", options.replace("%f", folder.to_str().expect("a folder in UTF-8"))),
    };
    let mut child = command.process_group(0).spawn().expect("this program starts");
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if begun.elapsed() > DEADLINE {
            // SAFETY: the group of the child and of what it forked.
            unsafe { libc::kill(-(child.id() as libc::pid_t), libc::SIGKILL) };
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let stderr = String::from_utf8_lossy(&fs::read(&errors).expect("its messages")).into_owned();
    Ended { id: child.id(), status, stderr, folder }
}

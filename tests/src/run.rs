//! Runs a program on the library under test, or on the C library's malloc, with a time limit.

use crate::library::{Library, library};
use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Generous: no test is about time, but a hang must end.
const LIMIT: Duration = Duration::from_secs(300);

/// A program about to run.
#[derive(Debug)]
pub struct Run {
    command: Command,
    limit: Duration,
    input: Vec<u8>,
}

/// What a program did.
#[derive(Debug)]
pub struct Outcome {
    /// Exit status or signal.
    pub status: ExitStatus,
    /// All of standard output.
    pub stdout: Vec<u8>,
    /// All of standard error.
    pub stderr: Vec<u8>,
    /// It was killed at its time limit.
    pub timed_out: bool,
    what: String,
}

/// A run with the library preloaded, in the program and in all it starts.
pub fn on_library(program: impl AsRef<Path>) -> Run {
    let mut run = on_libc(program);
    if let Library::At(path) = library() {
        run.command.env("LD_PRELOAD", path).env("STRATALLOC_EXPECT", path);
    }
    run
}

/// A run on the C library's own malloc.
pub fn on_libc(program: impl AsRef<Path>) -> Run {
    let mut command = Command::new(program.as_ref());
    // cargo puts its folders, where other builds of the library may lie, on the loader's path.
    for key in ["LD_PRELOAD", "LD_LIBRARY_PATH", "STRATALLOC", "STRATALLOC_EXPECT", "STRATALLOC_LIBRARY"] {
        command.env_remove(key);
    }
    Run { command, limit: LIMIT, input: Vec::new() }
}

impl Run {
    /// One argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Arguments of any printable kind.
    pub fn args<T: Display>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.command.args(args.into_iter().map(|arg| arg.to_string()));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Working directory.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Calls `work` in the child between fork and exec, where only async-signal-safe calls are allowed.
    pub(crate) fn before_exec(
        mut self,
        work: impl FnMut() -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        // SAFETY: the caller's promise.
        unsafe { self.command.pre_exec(work) };
        self
    }

    /// Time after which the program and its children are killed; five minutes otherwise.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// What the program reads from standard input; nothing otherwise.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Starts the program in its own process group and leaves it running, output discarded.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(mut self) -> Running {
        self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let what = format!("{:?}", self.command);
        Running { child: self.command.spawn().unwrap_or_else(|error| panic!("{what}: {error}")) }
    }

    /// Runs the program to its end and returns what it did, whatever that was.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn outcome(mut self) -> Outcome {
        let what = format!("{:?}", self.command);
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let input = std::mem::take(&mut self.input);
        // A program that does not read its input closes the pipe: not this harness's failure.
        let writer = thread::spawn(move || drop(stdin.write_all(&input)));
        let stdout = collect(child.stdout.take().expect("stdout is piped"));
        let stderr = collect(child.stderr.take().expect("stderr is piped"));
        // Children that outlive the program would keep the pipes open; they are killed with it.
        let (status, timed_out) = wait(&mut child, self.limit);
        writer.join().expect("the writing thread does not panic");
        let [stdout, stderr] =
            [stdout, stderr].map(|thread| thread.join().expect("the reading thread does not panic"));
        Outcome { status, stdout, stderr, timed_out, what }
    }

    /// Runs the program and expects exit status 0.
    ///
    /// # Panics
    /// When it ends otherwise; its output is in the message.
    pub fn passes(self) -> Outcome {
        let outcome = self.outcome();
        assert!(outcome.status.success() && !outcome.timed_out, "{outcome}");
        // Shown by `cargo test -- --nocapture` and when a later assertion fails.
        print!("{}", outcome.out());
        outcome
    }
}

/// A program that runs beside the test; killed, with its children, when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// The program's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        kill_group(&self.child);
        // It was just killed; there is nothing to learn from its status.
        let _ = self.child.wait();
    }
}

impl Outcome {
    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The signal that ended the program, 0 if none did.
    pub fn signal(&self) -> i32 {
        self.status.signal().unwrap_or(0)
    }

    /// The number after `key` in standard output.
    ///
    /// # Panics
    /// When there is none.
    pub fn figure(&self, key: &str) -> i64 {
        let out = self.out();
        out.split_once(key)
            .and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok())
            .unwrap_or_else(|| panic!("no figure after `{key}`: {self}"))
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let late = if self.timed_out { " (killed at its time limit)" } else { "" };
        writeln!(f, "{}: {}{late}", self.what, self.status)?;
        writeln!(f, "--- stdout\n{}--- stderr\n{}", tail(&self.out()), tail(&self.err()))
    }
}

fn tail(text: &str) -> String {
    const LINES: usize = 60;
    let lines: Vec<&str> = text.lines().collect();
    let cut = lines.len().saturating_sub(LINES);
    let head = if cut > 0 { format!("… {cut} lines left out\n") } else { String::new() };
    lines[cut..].iter().fold(head, |all, line| all + line + "\n")
}

fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // An error ends the stream like its end does; what came before it is kept.
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// Waits for the child's end, kills what is left of its group, and only then reaps it: until then
/// nobody else can have its process id.
fn wait(child: &mut Child, limit: Duration) -> (ExitStatus, bool) {
    let start = Instant::now();
    let mut late = false;
    while !has_ended(child) {
        if start.elapsed() > limit {
            late = true;
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    kill_group(child);
    (child.wait().expect("waiting for a child"), late)
}

fn has_ended(child: &Child) -> bool {
    // SAFETY: an all-zero siginfo_t is a valid one.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
    // SAFETY: `info` is valid for the call; the id is that of a child not yet reaped.
    let result = unsafe { libc::waitid(libc::P_PID, child.id(), &mut info, flags) };
    assert_eq!(result, 0, "waitid");
    // SAFETY: waitid filled in the fields of a child's state change, or left them zero.
    unsafe { info.si_pid() != 0 }
}

fn kill_group(child: &Child) {
    let group = i32::try_from(child.id()).expect("a process id");
    // SAFETY: kill takes any numbers. The group is the child's own: it was started with
    // `process_group(0)` and is not reaped yet. Failure means that no member is left.
    unsafe { libc::kill(-group, libc::SIGKILL) };
}

//! Runs one measured process and watches it: memory over time, a time limit, interrupts, foreign load.
//!
//! The process leads a process group of its own, and the whole group is ended with it: a real program that left a
//! server behind would disturb the next run. Its output goes to files, so that a process that outlives the group
//! by a session of its own can block nobody.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::counters::Counting;
use crate::interrupt;
use crate::load::{self, Foreign, Snapshot};
use crate::store::Counters;

/// Between two looks at the process.
const STEP: Duration = Duration::from_millis(20);
/// Points of memory over time that are kept.
const POINTS: usize = 200;
/// Bytes of standard error that are kept, from its end.
const LAST_WORDS: u64 = 4096;

/// Whose memory to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The process itself.
    Own,
    /// What it starts: it only leads.
    Children,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this status (which may be a signal).
    Exited(ExitStatus),
    /// By us, at the time limit.
    TimedOut,
    /// By us, at the second interrupt.
    Interrupted,
}

/// What was seen of a process.
#[derive(Debug)]
pub struct Watched {
    /// How it ended.
    pub end: End,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// The end of its standard error.
    pub stderr: String,
    /// Milliseconds since the start, KiB.
    pub rss: Vec<(u64, u64)>,
    /// What others used of the machine.
    pub foreign: Foreign,
    /// Where the machine has them.
    pub counters: Option<Counters>,
}

/// Takes what changes an allocator's behaviour from a command's environment.
pub fn clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let exact = ["LD_PRELOAD", "LD_AUDIT", "LD_BIND_NOW", "GLIBC_TUNABLES"].contains(&text.as_ref());
        let options = ["STRATALLOC", "SNMALLOC", "FERROC"].iter().any(|prefix| text.starts_with(prefix));
        if exact || options || text.to_uppercase().contains("MALLOC") {
            command.env_remove(&name);
        }
    }
}

/// Runs `command` to its end or to the limit. An error means that it could not be started or watched.
pub fn run(mut command: Command, watch: Watch, limit: Duration, count: bool) -> io::Result<Watched> {
    let mut stdout = tempfile::tempfile()?;
    let mut stderr = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?).process_group(0);
    let counting = if count { Counting::prepare() } else { None };
    let before = Snapshot::take();
    let start = Instant::now();
    let pid = command.spawn()?.id() as libc::pid_t;
    let mut memory = Thinned::new(POINTS);
    let mut forced = None;
    while !ended(pid)? {
        if forced.is_none() {
            forced = match () {
                () if interrupt::count() > 1 => Some(End::Interrupted),
                () if start.elapsed() >= limit => Some(End::TimedOut),
                () => None,
            };
            if forced.is_some() {
                end_group(pid);
            }
        }
        let rss = match watch {
            Watch::Own => resident(pid),
            Watch::Children => descendants(pid).into_iter().filter_map(resident).reduce(|a, b| a + b),
        };
        if let Some(rss) = rss {
            memory.push(start.elapsed().as_millis() as u64, rss);
        }
        std::thread::sleep(STEP);
    }
    end_group(pid);
    let (status, cpu) = reap(pid)?;
    let foreign = before.foreign_since(cpu);
    let length = stderr.metadata()?.len();
    Ok(Watched {
        end: forced.unwrap_or(End::Exited(status)),
        stdout: text_from(&mut stdout, 0)?,
        stderr: String::from_utf8_lossy(&text_from(&mut stderr, length.saturating_sub(LAST_WORDS))?).into_owned(),
        rss: memory.points(),
        foreign,
        counters: counting.and_then(Counting::read),
    })
}

/// Whether the process has ended; it stays to be reaped, and with it its number.
fn ended(pid: libc::pid_t) -> io::Result<bool> {
    // SAFETY: `siginfo_t` is integers and pointers only, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is writable and of the type that the call fills.
    if unsafe { libc::waitid(libc::P_PID, pid as libc::id_t, &raw mut info, options) } != 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) };
    }
    // SAFETY: after success the field is set; zero, as set above, where no process has ended.
    Ok(unsafe { info.si_pid() } == pid)
}

/// Kills the process group.
fn end_group(pid: libc::pid_t) {
    // SAFETY: the call touches no memory. The leader is not reaped yet, so the group's number is still its own.
    unsafe { libc::kill(-pid, libc::SIGKILL) };
}

/// The status of an ended process and its CPU time with that of its reaped children, seconds.
fn reap(pid: libc::pid_t) -> io::Result<(ExitStatus, f64)> {
    let mut status = 0;
    // SAFETY: `rusage` is integers only, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both places are writable and of the types that the call fills.
        if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } == pid {
            let cpu = load::seconds(usage.ru_utime) + load::seconds(usage.ru_stime);
            return Ok((ExitStatus::from_raw(status), cpu));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// What a file holds from a place on.
fn text_from(file: &mut File, place: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(place))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Resident memory, KiB.
fn resident(pid: libc::pid_t) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: `sysconf` takes a number and touches no memory of ours.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
    (pages > 0).then_some(pages * page / 1024)
}

/// All processes below this one.
fn descendants(pid: libc::pid_t) -> Vec<libc::pid_t> {
    let mut found = Vec::new();
    let mut open = vec![pid];
    while let Some(parent) = open.pop() {
        let Ok(tasks) = fs::read_dir(format!("/proc/{parent}/task")) else { continue };
        for task in tasks.flatten() {
            let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let children: Vec<libc::pid_t> =
                text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            open.extend(&children);
            found.extend(children);
        }
    }
    found
}

/// Points at even distances, of which at most a given number is kept however many come.
struct Thinned {
    limit: usize,
    /// Every so manyth point is taken.
    stride: usize,
    seen: usize,
    points: Vec<(u64, u64)>,
}

impl Thinned {
    fn new(limit: usize) -> Thinned {
        Thinned { limit, stride: 1, seen: 0, points: Vec::new() }
    }

    fn push(&mut self, time: u64, value: u64) {
        if self.seen.is_multiple_of(self.stride) {
            if self.points.len() == self.limit {
                let mut place = 0;
                self.points.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
                self.stride *= 2;
            }
            if self.seen.is_multiple_of(self.stride) {
                self.points.push((time, value));
            }
        }
        self.seen += 1;
    }

    fn points(self) -> Vec<(u64, u64)> {
        self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_status_and_memory_of_a_process_are_seen() {
        let limit = Duration::from_secs(20);
        let seen = run(shell("echo out; echo err >&2; sleep 0.2; exit 3"), Watch::Own, limit, false).unwrap();
        let End::Exited(status) = seen.end else { panic!("{:?}", seen.end) };
        assert_eq!(
            (status.code(), seen.stdout.as_slice(), seen.stderr.as_str()),
            (Some(3), &b"out\n"[..], "err\n")
        );
        // The first looks may fall between the start and the program's first pages.
        assert!(seen.rss.len() >= 3 && seen.rss.last().is_some_and(|&(_, kib)| kib > 50), "{:?}", seen.rss);
        assert!(seen.rss.windows(2).all(|pair| pair[0].0 < pair[1].0), "{:?}", seen.rss);
    }

    #[test]
    fn the_memory_of_children_is_summed_without_the_leader() {
        let limit = Duration::from_secs(20);
        let alone = run(shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"), Watch::Children, limit, false);
        assert_eq!(alone.unwrap().rss, []);
        let two = run(shell("sleep 0.3 & sleep 0.3; wait"), Watch::Children, limit, false).unwrap();
        assert!(!two.rss.is_empty());
    }

    #[test]
    fn at_the_limit_the_whole_group_is_ended() {
        let start = Instant::now();
        let file = tempfile::NamedTempFile::new().unwrap();
        let script = format!("sleep 100 & echo $! > {}; sleep 100", file.path().display());
        let seen = run(shell(&script), Watch::Own, Duration::from_millis(300), false).unwrap();
        assert_eq!(seen.end, End::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(10));
        let left: String = fs::read_to_string(file.path()).unwrap();
        let state = fs::read_to_string(format!("/proc/{}/stat", left.trim())).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "the child still runs: {state}");
    }

    #[test]
    fn a_process_left_behind_in_the_group_is_ended() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let script = format!("sleep 100 & echo $! > {}", file.path().display());
        run(shell(&script), Watch::Own, Duration::from_secs(20), false).unwrap();
        let left: String = fs::read_to_string(file.path()).unwrap();
        // Its end is delivered, but who inherited it may not have reaped it yet.
        for _ in 0..100 {
            let state = fs::read_to_string(format!("/proc/{}/stat", left.trim())).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the child still runs");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = run(Command::new("/no/such/program"), Watch::Own, Duration::from_secs(1), false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn thinning_keeps_even_distances_and_the_limit() {
        for count in [0usize, 1, 199, 200, 201, 1000, 12345] {
            let mut thinned = Thinned::new(200);
            (0..count).for_each(|i| thinned.push(i as u64, 7));
            let points = thinned.points();
            assert!(points.len() <= 200 && points.len() >= count.min(100), "{count}: {}", points.len());
            let steps: std::collections::BTreeSet<u64> = points.windows(2).map(|p| p[1].0 - p[0].0).collect();
            assert!(steps.len() <= 1, "{count}: {steps:?}");
        }
    }
}

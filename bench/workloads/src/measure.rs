//! The measured part of a run: its clock, and what the kernel says about the process.
//!
//! A workload holds a [`Run`] and says where the measured part starts and stops; [`finish`](Run::finish) makes the
//! [`Outcome`] after everything was freed. Nothing between start and stop allocates here, so that
//! the measured allocator serves the workload alone: `/proc/self/status` is read into the stack, and the room
//! for [`Run::mark`] is set aside before.
//!
//! The peak is `VmHWM`, not `ru_maxrss`: the latter begins with what the process that started this one had.

use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};

use stratalloc_bench_protocol::Outcome;

use crate::origin;
use crate::probe;

/// Points that [`Run::mark`] keeps; further ones are dropped.
pub const MARKS: usize = 1024;

/// One run of one workload: what it has told so far.
#[derive(Debug)]
pub struct Run {
    start: Option<(Instant, u64)>,
    stop: Option<Counters>,
    operations: u64,
    checksum: u64,
    extra: Vec<(String, f64)>,
    marks: Vec<(u64, u64)>,
}

/// What is known at the end of the measured part.
#[derive(Debug)]
struct Counters {
    wall: Duration,
    usage: libc::rusage,
    peak_rss: u64,
}

impl Run {
    /// Nothing measured yet.
    pub fn new() -> Run {
        Run {
            start: None,
            stop: None,
            operations: 0,
            checksum: 0,
            extra: Vec::new(),
            marks: Vec::with_capacity(MARKS),
        }
    }

    /// The measured part begins. To be called once.
    pub fn start(&mut self) {
        assert!(self.start.is_none(), "the measured part started twice");
        let rss = Memory::now().rss;
        probe::arm();
        self.start = Some((Instant::now(), rss));
    }

    /// The measured part is over. To be called once, after [`start`](Run::start).
    pub fn stop(&mut self) {
        let now = Instant::now();
        probe::disarm();
        let usage = usage();
        let (start, _) = self.start.expect("the measured part stopped before it started");
        assert!(self.stop.is_none(), "the measured part stopped twice");
        self.stop = Some(Counters { wall: now - start, usage, peak_rss: Memory::now().peak });
    }

    /// Counts units of work done.
    pub fn operations(&mut self, more: u64) {
        self.operations += more;
    }

    /// Takes in a part of the result; parts may come in any order.
    pub fn checksum(&mut self, part: u64) {
        self.checksum = self.checksum.wrapping_add(part);
    }

    /// A further figure of this workload: a name with its unit, lower is better. Allocates, so call it after
    /// [`stop`](Run::stop).
    pub fn extra(&mut self, name: &str, value: f64) {
        self.extra.push((name.to_owned(), value));
    }

    /// Notes how much memory is resident now that `work` units are done (some 10 µs; no allocation). At most
    /// [`MARKS`] are kept.
    pub fn mark(&mut self, work: u64) {
        if self.marks.len() < MARKS {
            self.marks.push((work, Memory::now().rss));
        }
    }

    /// The wall time of the measured part so far, for workloads that pace themselves.
    pub fn elapsed(&self) -> Duration {
        self.start.map_or(Duration::ZERO, |(start, _)| start.elapsed())
    }

    /// What was measured. Everything the workload allocated is free by now; with `rest`, the process sleeps so long
    /// without any call before its memory is read once more.
    pub fn finish(self, workload: &str, threads: u32, rest: Option<Duration>) -> Result<Outcome, String> {
        let (Some((_, start_rss)), Some(stop)) = (self.start, self.stop) else {
            return Err(format!("workload {workload} has no measured part: it never called start and stop"));
        };
        let rest_rss = rest.map(|time| {
            std::thread::sleep(time);
            Memory::now().rss
        });
        Ok(Outcome {
            workload: workload.to_owned(),
            threads,
            operations: self.operations,
            wall: stop.wall.as_secs_f64(),
            user: seconds(stop.usage.ru_utime),
            system: seconds(stop.usage.ru_stime),
            peak_rss: stop.peak_rss,
            start_rss,
            rest_rss,
            minor_faults: count(stop.usage.ru_minflt),
            major_faults: count(stop.usage.ru_majflt),
            voluntary_switches: count(stop.usage.ru_nvcsw),
            involuntary_switches: count(stop.usage.ru_nivcsw),
            allocator: origin::allocator()?,
            checksum: self.checksum,
            latency: probe::latency(),
            extra: self.extra,
            rss_by_work: self.marks,
        })
    }
}

/// Resident memory of this process, KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Now.
    pub rss: u64,
    /// At its highest.
    pub peak: u64,
}

impl Memory {
    /// Reads `/proc/self/status`, without allocating.
    pub fn now() -> Memory {
        let mut text = [0_u8; 4096];
        let mut length = 0;
        let mut file = File::open("/proc/self/status").expect("/proc/self/status opens");
        while length < text.len() {
            match file.read(&mut text[length..]).expect("/proc/self/status reads") {
                0 => break,
                more => length += more,
            }
        }
        Memory::parse(&text[..length]).expect("/proc/self/status has VmRSS and VmHWM")
    }

    /// Finds both lines in the text of `/proc/PID/status`.
    fn parse(text: &[u8]) -> Option<Memory> {
        let field = |name: &[u8]| {
            let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(name))?;
            let digits = line.iter().copied().filter(u8::is_ascii_digit);
            Some(digits.fold(0_u64, |value, digit| value * 10 + u64::from(digit - b'0')))
        };
        Some(Memory { rss: field(b"VmRSS:")?, peak: field(b"VmHWM:")? })
    }
}

/// What the kernel counted for all threads of this process.
fn usage() -> libc::rusage {
    // SAFETY: all fields of `rusage` are integers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is writable and of the type that the call fills.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    assert_eq!(failed, 0, "getrusage of the own process");
    usage
}

fn seconds(time: libc::timeval) -> f64 {
    time.tv_sec as f64 + time.tv_usec as f64 / 1e6
}

fn count(value: libc::c_long) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_read_by_name() {
        let text = b"Name:\tx\nVmPeak:\t   99 kB\nVmHWM:\t    2096 kB\nVmRSS:\t    1024 kB\nThreads:\t1\n";
        assert_eq!(Memory::parse(text), Some(Memory { rss: 1024, peak: 2096 }));
        assert_eq!(Memory::parse(b"VmRSS:\t    1024 kB\n"), None);
    }

    #[test]
    fn the_peak_sees_what_was_freed_since() {
        let before = Memory::now();
        let mut run = Run::new();
        run.start();
        drop(std::hint::black_box(vec![1_u8; 64 << 20]));
        run.stop();
        let outcome = run.finish("none", 1, None).unwrap();
        let grown = outcome.peak_rss - before.rss.min(outcome.start_rss);
        // Other tests' memory goes meanwhile, and the kernel sums up its counts by CPU only now and then.
        assert!(grown >= 62 << 10, "{grown} KiB for a block of 64 MiB");
        assert!(outcome.minor_faults > 0 && outcome.wall > 0.0);
    }

    #[test]
    fn a_run_without_a_measured_part_is_an_error() {
        let error = Run::new().finish("idle", 1, None).unwrap_err();
        assert!(error.contains("idle"), "{error}");
    }
}

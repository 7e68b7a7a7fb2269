//! Foreign load: CPU time that neither the measured process nor the harness used. Read from /proc/stat, which
//! counts all cores in clock ticks; time stolen by a hypervisor counts as foreign too.

use std::fs;
use std::time::Instant;

/// What reading in whole ticks can be off by, seconds: below it nothing counts as disturbance.
const SLACK: f64 = 0.04;

/// The machine's busy time at one moment.
pub struct Snapshot {
    at: Instant,
    busy: Option<f64>,
    own: f64,
}

/// Foreign load over a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Foreign {
    /// Seconds of CPU.
    pub seconds: f64,
    /// Share of one core.
    pub share: f64,
}

impl Foreign {
    /// Whether it is above this share of one core, and more than the reading's own inaccuracy.
    pub fn above(self, limit: f64) -> bool {
        self.share > limit && self.seconds > SLACK
    }
}

impl Snapshot {
    /// Now.
    pub fn take() -> Snapshot {
        let busy = fs::read_to_string("/proc/stat").ok().and_then(|text| busy(&text, ticks_per_second()));
        Snapshot { at: Instant::now(), busy, own: own() }
    }

    /// What others used since then, given what the measured process did. Zero where the system does not tell.
    pub fn foreign_since(&self, measured: f64) -> Foreign {
        let now = Snapshot::take();
        let Some((before, after)) = self.busy.zip(now.busy) else { return Foreign::default() };
        let wall = now.at.duration_since(self.at).as_secs_f64().max(1e-3);
        let seconds = (after - before - measured - (now.own - self.own)).max(0.0);
        Foreign { seconds, share: seconds / wall }
    }
}

/// User, nice, system, interrupts and stolen time of all cores, seconds. (Guests' time is in user's already.)
fn busy(stat: &str, ticks: f64) -> Option<f64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let values: Vec<f64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal
    let counted = [0, 1, 2, 5, 6, 7];
    let sum: f64 = counted.iter().filter_map(|&place| values.get(place)).sum();
    (values.len() >= 4).then_some(sum / ticks)
}

fn ticks_per_second() -> f64 {
    // SAFETY: `sysconf` takes a number and touches no memory of ours.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    if ticks > 0 { ticks as f64 } else { 100.0 }
}

/// CPU time of the harness itself, seconds.
fn own() -> f64 {
    // SAFETY: `rusage` is integers only, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is writable and of the type that the call fills.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) } != 0;
    if failed { 0.0 } else { seconds(usage.ru_utime) + seconds(usage.ru_stime) }
}

/// A `timeval` in seconds.
pub fn seconds(time: libc::timeval) -> f64 {
    time.tv_sec as f64 + time.tv_usec as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_time_leaves_out_idling_and_guests() {
        let stat = "cpu  100 10 50 9999 888 5 6 7 1000 1000\ncpu0 1 1 1 1\n";
        assert_eq!(busy(stat, 100.0), Some(1.78));
        assert_eq!(busy("intr 5\n", 100.0), None);
        assert_eq!(busy("cpu  1 2\n", 100.0), None);
    }

    #[test]
    fn work_of_another_process_is_foreign_load_unless_it_is_the_measured_one() {
        let before = Snapshot::take();
        let status = std::process::Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"])
            .status()
            .unwrap();
        assert!(status.success());
        let all = before.foreign_since(0.0);
        assert!(all.seconds > 0.05 && all.share > 0.0, "{all:?}");
        assert_eq!(before.foreign_since(1e6), Foreign { seconds: 0.0, share: 0.0 });
    }

    #[test]
    fn a_short_run_is_not_disturbed_by_a_tick() {
        assert!(!Foreign { seconds: 0.01, share: 0.5 }.above(0.1));
        assert!(Foreign { seconds: 0.2, share: 0.2 }.above(0.1));
        assert!(!Foreign { seconds: 0.2, share: 0.05 }.above(0.1));
    }
}

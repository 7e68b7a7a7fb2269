//! Hardware counters of a measured process, in user space, where machine and kernel allow them.
//!
//! The counters are opened on the thread that starts the process, switched off, inherited by what it starts and
//! switched on by `exec`: so they count the process and all that it starts, and nothing of the harness. What
//! children counted is added to them when these are reaped.

use perf_event::events::{Cache, CacheId, CacheOp, CacheResult, Event, Hardware};
use perf_event::{Builder, Counter};

use crate::store::Counters;

/// Counters around one process.
pub struct Counting {
    instructions: Counter,
    cycles: Counter,
    cache_misses: Option<Counter>,
    tlb_misses: Option<Counter>,
    branch_misses: Option<Counter>,
}

/// Whether this machine has counters for us.
pub fn available() -> bool {
    Counting::prepare().is_some()
}

impl Counting {
    /// Ready for a process that this very thread starts next; `None` where the machine has no counters or the
    /// kernel does not allow them.
    pub fn prepare() -> Option<Counting> {
        let tlb = Cache { which: CacheId::DTLB, operation: CacheOp::READ, result: CacheResult::MISS };
        Some(Counting {
            instructions: counter(Hardware::INSTRUCTIONS)?,
            cycles: counter(Hardware::CPU_CYCLES)?,
            cache_misses: counter(Hardware::CACHE_MISSES),
            tlb_misses: counter(tlb),
            branch_misses: counter(Hardware::BRANCH_MISSES),
        })
    }

    /// After the process was reaped. `None` where the counters never ran.
    pub fn read(mut self) -> Option<Counters> {
        let optional = |counter: &mut Option<Counter>| counter.as_mut().and_then(value);
        Some(Counters {
            instructions: value(&mut self.instructions)?,
            cycles: value(&mut self.cycles)?,
            cache_misses: optional(&mut self.cache_misses),
            tlb_misses: optional(&mut self.tlb_misses),
            branch_misses: optional(&mut self.branch_misses),
        })
    }
}

/// One counter as the module's head describes.
fn counter(event: impl Event) -> Option<Counter> {
    Builder::new(event).inherit(true).enable_on_exec(true).build().ok()
}

/// The count, extrapolated where more counters were wanted than the processor has at once.
fn value(counter: &mut Counter) -> Option<u64> {
    let data = counter.read_full().ok()?;
    let (enabled, running) = (data.time_enabled()?.as_secs_f64(), data.time_running()?.as_secs_f64());
    (running > 0.0).then(|| (data.count() as f64 * enabled / running) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use perf_event::events::Software;

    /// The way of counting, with an event that kernels count without help of the processor.
    #[test]
    fn what_a_child_does_is_counted_and_what_the_harness_does_is_not() {
        let Some(mut faults) = counter(Software::PAGE_FAULTS) else {
            eprintln!("the kernel allows no counting: nothing to test here");
            return;
        };
        let mut own = vec![0u8; 64 << 20];
        own.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
        std::hint::black_box(&own);
        assert_eq!(value(&mut faults), None);
        let status = std::process::Command::new("true").status().unwrap();
        assert!(status.success());
        let counted = value(&mut faults).unwrap();
        assert!((1..10_000).contains(&counted), "{counted}");
    }
}

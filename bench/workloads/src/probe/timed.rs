//! The global allocator of the `latency` face: another one with a clock around each call.

use std::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use stratalloc_bench_protocol::{Buckets, Latency};

use super::clock;
use super::histogram::Histogram;

/// Where the process' calls are counted.
pub static RECORDER: Recorder = Recorder::new();

/// An allocator whose calls are timed while [`RECORDER`] is armed.
pub struct Timed<A>(pub A);

/// Times of calls, in ticks of [`clock`], and what a tick is.
pub struct Recorder {
    armed: AtomicBool,
    allocate: Histogram,
    free: Histogram,
    ticks: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Recorder {
    const fn new() -> Recorder {
        Recorder {
            armed: AtomicBool::new(false),
            allocate: Histogram::new(),
            free: Histogram::new(),
            ticks: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
        }
    }

    /// Calls are timed from here on.
    pub fn arm(&self) {
        clock::choose();
        self.nanoseconds.store(clock::nanoseconds(), Ordering::Relaxed);
        self.ticks.store(clock::ticks(), Ordering::Relaxed);
        // Release, and Acquire where it is read: a thread that times calls has the clock's choice.
        self.armed.store(true, Ordering::Release);
    }

    /// Calls are no longer timed. The time since [`arm`](Recorder::arm) by both clocks tells how long a tick
    /// is.
    pub fn disarm(&self) {
        self.armed.store(false, Ordering::Release);
        let ticks = clock::ticks();
        let nanoseconds = clock::nanoseconds();
        self.ticks.store(ticks.saturating_sub(self.ticks.load(Ordering::Relaxed)), Ordering::Relaxed);
        let start = self.nanoseconds.load(Ordering::Relaxed);
        self.nanoseconds.store(nanoseconds.saturating_sub(start), Ordering::Relaxed);
    }

    /// What was timed, in nanoseconds. To be asked after [`disarm`](Recorder::disarm).
    pub fn latency(&self) -> Latency {
        let ticks = self.ticks.load(Ordering::Relaxed).max(1) as f64;
        let tick = self.nanoseconds.load(Ordering::Relaxed) as f64 / ticks;
        let buckets = |histogram: &Histogram| {
            let mut sum = BTreeMap::<u64, u64>::new();
            for (bound, count) in histogram.buckets() {
                *sum.entry((bound as f64 * tick).round() as u64).or_default() += count;
            }
            Buckets(sum.into_iter().collect())
        };
        Latency { allocate: buckets(&self.allocate), free: buckets(&self.free) }
    }

    /// Does `call` and says how long it took; `None` while not armed.
    #[inline(always)]
    fn time<R>(&self, call: impl FnOnce() -> R) -> (R, Option<u64>) {
        if !self.armed.load(Ordering::Acquire) {
            return (call(), None);
        }
        let start = clock::ticks();
        let result = call();
        let end = clock::ticks();
        // Cores' counters may differ by a few ticks when a thread moves.
        (result, Some(end.saturating_sub(start)))
    }

    fn count_allocate(&self, time: Option<u64>) {
        if let Some(time) = time {
            self.allocate.record(time);
        }
    }

    fn count_free(&self, time: Option<u64>) {
        if let Some(time) = time {
            self.free.record(time);
        }
    }
}

// SAFETY: all calls go to the inner allocator unchanged, and so do its results; counting neither allocates nor
// unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Timed<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the inner allocator's.
        let (block, time) = RECORDER.time(|| unsafe { self.0.alloc(layout) });
        RECORDER.count_allocate(time);
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the inner allocator's.
        let (block, time) = RECORDER.time(|| unsafe { self.0.alloc_zeroed(layout) });
        RECORDER.count_allocate(time);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the inner allocator's.
        let ((), time) = RECORDER.time(|| unsafe { self.0.dealloc(block, layout) });
        RECORDER.count_free(time);
    }

    /// Counts as a free where the block shrank in place, otherwise as an allocation.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let old = block.addr();
        // SAFETY: the caller's promises are the inner allocator's.
        let (new, time) = RECORDER.time(|| unsafe { self.0.realloc(block, layout, size) });
        if new.addr() == old && size <= layout.size() {
            RECORDER.count_free(time);
        } else {
            RECORDER.count_allocate(time);
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::System;

    #[test]
    fn a_tick_is_as_long_as_the_clock_says_and_calls_are_counted_only_when_armed() {
        static OWN: Recorder = Recorder::new();
        assert_eq!(OWN.time(|| 1), (1, None));
        OWN.arm();
        let (_, time) = OWN.time(|| std::thread::sleep(std::time::Duration::from_millis(20)));
        OWN.count_allocate(time);
        for _ in 0..999 {
            let ((), time) = OWN.time(|| ());
            OWN.count_free(time);
        }
        OWN.disarm();
        assert_eq!(OWN.time(|| 2), (2, None));
        let latency = OWN.latency();
        assert_eq!(latency.allocate.count(), 1);
        assert_eq!(latency.free.count(), 999);
        let slept = latency.allocate.max().unwrap();
        assert!((19_900_000..2_000_000_000).contains(&slept), "20 ms read as {slept} ns");
        assert!(latency.free.quantile(0.5).unwrap() < 10_000, "{:?}", latency.free);
    }

    #[test]
    fn blocks_pass_through_unchanged() {
        let timed = Timed(System);
        let layout = Layout::from_size_align(100, 16).unwrap();
        // SAFETY: the layout's size is not zero.
        let block = unsafe { timed.alloc_zeroed(layout) };
        assert!(!block.is_null());
        // SAFETY: the block is of this layout, and the new size is not zero.
        let block = unsafe { timed.realloc(block, layout, 5000) };
        let layout = Layout::from_size_align(5000, 16).unwrap();
        // SAFETY: the first 100 bytes came along.
        assert_eq!(unsafe { block.add(99).read() }, 0);
        // SAFETY: the block has this layout since it was resized.
        unsafe { timed.dealloc(block, layout) };
    }
}

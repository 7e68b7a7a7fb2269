//! A cheap clock for single calls: the processor's own counter where it runs at one rate on all cores, otherwise
//! the system's monotonic clock. Neither allocates.
//!
//! What is read includes the clock's own time, and moves in steps where the processor's counter does: on AMD's Zen
//! of 10 ns. So medians of fast paths are coarse here; instruction counts are for these, the tail is for this.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether [`ticks`] reads the processor's counter. Only set by [`choose`], before calls are timed.
static COUNTER: AtomicBool = AtomicBool::new(false);

/// Decides which clock [`ticks`] reads.
pub fn choose() {
    // Relaxed: threads that time calls are started after, or see the choice with the recorder's own flag.
    COUNTER.store(counter_is_steady(), Ordering::Relaxed);
}

/// Now, in units of the chosen clock. Instructions before it have finished when the counter is read.
#[inline(always)]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    if COUNTER.load(Ordering::Relaxed) {
        // SAFETY: SSE2, which brings LFENCE, is part of x86-64.
        unsafe { std::arch::x86_64::_mm_lfence() };
        // SAFETY: `choose` found the counter by CPUID.
        return unsafe { std::arch::x86_64::_rdtsc() };
    }
    nanoseconds()
}

/// The system's monotonic clock, nanoseconds.
pub fn nanoseconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable and of the type that the call fills.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    debug_assert_eq!(failed, 0, "the monotonic clock exists");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Whether the time-stamp counter runs at a constant rate in all states of power (CPUID 8000_0007h, EDX bit 8).
fn counter_is_steady() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::__cpuid;
        __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & (1 << 8) != 0
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

//! The `latency` face: every call of the allocator timed. In other faces nothing of this is compiled, and the
//! functions here do nothing.
//!
//! [`crate::measure`] arms the probe for the measured part and asks for the result at the end.

#[cfg(feature = "latency")]
mod clock;
#[cfg(feature = "latency")]
mod histogram;
#[cfg(feature = "latency")]
mod timed;

use stratalloc_bench_protocol::Latency;

#[cfg(feature = "latency")]
pub use timed::Timed;

/// Calls are timed from here on.
pub fn arm() {
    #[cfg(feature = "latency")]
    timed::RECORDER.arm();
}

/// Calls are no longer timed.
pub fn disarm() {
    #[cfg(feature = "latency")]
    timed::RECORDER.disarm();
}

/// What was timed between; `None` in faces without `latency`.
pub fn latency() -> Option<Latency> {
    #[cfg(feature = "latency")]
    return Some(timed::RECORDER.latency());
    #[cfg(not(feature = "latency"))]
    None
}

//! All that is known of one run.

use crate::report::Report;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// What the system charged to the program and to those of its children it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Processor time in the program.
    pub user: Duration,
    /// Processor time in the system.
    pub system: Duration,
    /// Most bytes of physical memory of any one of these processes.
    pub peak_resident: u64,
    /// Page faults served without input or output.
    pub minor_faults: u64,
    /// Page faults that waited for input or output.
    pub major_faults: u64,
}

/// Whether the library was seen in the running program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// It was.
    Yes,
    /// It was not, although the program ran long enough.
    No,
    /// The program ended too soon, or does not let itself be looked at.
    Unknown,
}

/// One run.
pub struct Outcome {
    /// The program and its arguments, as given.
    pub command: Vec<OsString>,
    /// The library that was preloaded.
    pub library: PathBuf,
    /// The program's process id.
    pub pid: u32,
    /// How it ended.
    pub ended: Ended,
    /// From its start to its end.
    pub wall: Duration,
    /// What the system charged.
    pub usage: Usage,
    /// Whether the library was seen in it.
    pub loaded: Loaded,
    /// The program's own report, or why there is none.
    pub report: Result<Report, String>,
    /// Reports of other processes it started or became, by process id.
    pub others: Vec<(u32, Report)>,
}

impl Ended {
    /// Ends this process as the program ended: with its status, or by the same signal.
    pub fn imitate(self) -> ExitCode {
        match self {
            Ended::Code(code) => ExitCode::from(code as u8),
            Ended::Signal(signal) => {
                crate::child::end_by(signal);
                ExitCode::from(128u8.wrapping_add(signal as u8))
            }
        }
    }
}

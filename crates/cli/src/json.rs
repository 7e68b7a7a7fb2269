//! The report for programs: everything that is known of a run, in bytes and seconds.

use crate::outcome::{Ended, Loaded, Outcome};
use crate::report::Report;
use serde_json::{Value, json};

/// The run as one JSON object. `format` changes when a field changes its meaning.
pub fn value(outcome: &Outcome) -> Value {
    let usage = &outcome.usage;
    json!({
        "format": "stratalloc-run 1",
        "command": outcome.command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>(),
        "library": outcome.library.to_string_lossy(),
        "pid": outcome.pid,
        "exit": match outcome.ended {
            Ended::Code(code) => json!({ "code": code }),
            Ended::Signal(signal) => json!({ "signal": signal }),
        },
        "wall_seconds": outcome.wall.as_secs_f64(),
        "user_seconds": usage.user.as_secs_f64(),
        "system_seconds": usage.system.as_secs_f64(),
        "peak_resident": usage.peak_resident,
        "minor_faults": usage.minor_faults,
        "major_faults": usage.major_faults,
        "library_seen": match outcome.loaded {
            Loaded::Yes => Some(true),
            Loaded::No => Some(false),
            Loaded::Unknown => None,
        },
        "report": outcome.report.as_ref().ok().map(report),
        "report_missing": outcome.report.as_ref().err(),
        "other_processes": outcome.others.iter().map(|(pid, other)| {
            json!({ "pid": pid, "report": report(other) })
        }).collect::<Vec<_>>(),
    })
}

fn report(report: &Report) -> Value {
    let mut value = json!(report.figures);
    value["classes"] = report
        .classes
        .iter()
        .map(|class| {
            json!({
                "size": class.size,
                "live": class.live,
                "capacity": class.capacity,
                "spans": class.spans,
                "allocs": class.allocs,
            })
        })
        .collect();
    value
}

//! The report for people, on stderr after the program.

use crate::outcome::{Ended, Outcome};
use crate::report::Report;
use crate::units;
use std::ffi::CStr;
use std::fmt::{self, Write};

/// Widest bar in the table of sizes.
const BAR: u64 = 24;
/// Largest block of a size class; the row after it is for larger ones.
const SMALL_MAX: u64 = stratalloc_core::class::SMALL_MAX as u64;

/// The report.
pub fn text(outcome: &Outcome) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, outcome);
    text
}

fn write(out: &mut String, outcome: &Outcome) -> fmt::Result {
    let name = outcome.command.first().map(|name| name.to_string_lossy()).unwrap_or_default();
    writeln!(out, "stratalloc: {name} (process {}) {}", outcome.pid, ended(outcome.ended))?;
    let usage = &outcome.usage;
    let (user, system) = (units::time(usage.user), units::time(usage.system));
    row(out, "time", &units::time(outcome.wall), format_args!("wall; {user} user, {system} system"))?;
    let report = outcome.report.as_ref();
    match report {
        Ok(report) => memory(out, report, usage.peak_resident)?,
        Err(_) => row(out, "memory", &units::bytes(usage.peak_resident), format_args!("peak, resident"))?,
    }
    let major = units::count(usage.major_faults);
    row(out, "page faults", &units::count(usage.minor_faults), format_args!("minor; {major} major"))?;
    match report {
        Ok(report) => allocations(out, report)?,
        Err(reason) => writeln!(out, "  no statistics of the allocator: {reason}")?,
    }
    match outcome.others.len() {
        0 => Ok(()),
        1 => writeln!(out, "  1 other process reported; its figures are not in the above"),
        others => writeln!(out, "  {others} other processes reported; their figures are not in the above"),
    }
}

fn row(out: &mut String, name: &str, value: &str, note: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(out, "  {name:<14}{value:>12}  {note}")
}

/// How a program ended, as the end of a sentence.
pub fn ended(ended: Ended) -> String {
    match ended {
        Ended::Code(code) => format!("ended with status {code}"),
        Ended::Signal(signal) => {
            // SAFETY: takes no memory; gives a static or thread-local C string, which is copied
            // before any other call.
            let name = unsafe { libc::strsignal(signal) };
            if name.is_null() {
                return format!("was ended by signal {signal}");
            }
            // SAFETY: not null, hence a C string, see above.
            let name = unsafe { CStr::from_ptr(name) };
            format!("was ended by signal {signal} ({})", name.to_string_lossy())
        }
    }
}

fn memory(out: &mut String, report: &Report, peak_charged: u64) -> fmt::Result {
    let bytes = |key: &str| units::bytes(report.get(key));
    // The library's own figure if it has one: what the system charges includes this program's
    // memory before the other one replaced it.
    let peak = report.figures.get("rss_peak").map_or(peak_charged, |&peak| peak);
    match report.figures.get("rss_current") {
        Some(&now) => {
            row(
                out,
                "memory",
                &units::bytes(peak),
                format_args!("peak, resident; {} at exit", units::bytes(now)),
            )?;
        }
        None => row(out, "memory", &units::bytes(peak), format_args!("peak, resident"))?,
    }
    let (active, with_dirty) = (bytes("active"), bytes("peak_dirty"));
    row(
        out,
        "in blocks",
        &bytes("peak_active"),
        format_args!("peak, {with_dirty} with free memory kept; {active} at exit"),
    )?;
    let (allocated, touched) = (report.get("allocated"), report.get("touched"));
    let waste = units::percent(touched.saturating_sub(allocated), touched);
    let (allocated, touched) = (units::bytes(allocated), units::bytes(touched));
    row(out, "fragmentation", &waste, format_args!("at exit: {allocated} allocated in {touched} touched"))?;
    let (calls, kept) = (units::count(report.get("purges")), bytes("dirty"));
    row(
        out,
        "returned",
        &bytes("purged"),
        format_args!("to the system in {calls} calls; {kept} kept free at exit"),
    )
}

fn allocations(out: &mut String, report: &Report) -> fmt::Result {
    let (small, large) = (report.small_allocs(), report.get("large_allocs"));
    let above = units::bytes(SMALL_MAX);
    if small == 0 {
        return row(out, "allocations", &units::count(large), format_args!("above {above}; others not counted"));
    }
    let total = small + large;
    row(out, "allocations", &units::count(total), format_args!("{} of them above {above}", units::count(large)))?;
    writeln!(out, "\n  {:<16}{:>14}{:>10}", "block size", "allocations", "share")?;
    let rows = by_doubling(report);
    let most = rows.iter().map(|&(_, allocs)| allocs).max().unwrap_or(0);
    for (label, allocs) in rows {
        let bar = "#".repeat((u128::from(allocs) * u128::from(BAR)).div_ceil(u128::from(most.max(1))) as usize);
        let share = units::percent(allocs, total);
        let line = format!("  {label:<16}{:>14}{share:>10}  {bar}", units::count(allocs));
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Allocations by size, one row for each doubling in which there are any, then the large ones.
fn by_doubling(report: &Report) -> Vec<(String, u64)> {
    let mut rows = Vec::new();
    let mut from = 0;
    let mut to = stratalloc_core::class::MIN_BLOCK as u64;
    while to <= SMALL_MAX {
        let classes = report.classes.iter().filter(|class| class.size > from && class.size <= to);
        let allocs: u64 = classes.map(|class| class.allocs).sum();
        if allocs > 0 {
            rows.push((format!("up to {}", units::bytes(to)), allocs));
        }
        (from, to) = (to, to * 2);
    }
    let large = report.get("large_allocs");
    if large > 0 {
        rows.push((format!("above {}", units::bytes(SMALL_MAX)), large));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Loaded, Usage};
    use std::time::Duration;

    fn outcome(report: Result<Report, String>) -> Outcome {
        Outcome {
            command: vec!["sort".into(), "-n".into()],
            library: "/lib/libstratalloc.so".into(),
            pid: 77,
            ended: Ended::Code(3),
            wall: Duration::from_millis(1500),
            usage: Usage {
                user: Duration::from_millis(900),
                system: Duration::from_millis(90),
                peak_resident: 8 << 20,
                minor_faults: 1234,
                major_faults: 5,
            },
            loaded: Loaded::Yes,
            report,
            others: Vec::new(),
        }
    }

    const REPORT: &str = "stratalloc-report 1\nallocated 786432\nactive 1048576\ntouched 1048576\ndirty 65536\npeak_active 2097152\n\
        peak_dirty 3145728\npurged 4194304\npurges 9\nlarge_allocs 10\nrss_current 5242880\nrss_peak 6291456\n\
        class 16 1 4096 1 600\nclass 112 1 585 1 20\nclass 128 1 512 1 370\nend\n";

    #[test]
    fn the_report_tells_every_figure_in_sensible_units() {
        let text = text(&outcome(Report::parse(REPORT)));
        let expected = "\
stratalloc: sort (process 77) ended with status 3
  time                1.50 s  wall; 900.0 ms user, 90.0 ms system
  memory             6.0 MiB  peak, resident; 5.0 MiB at exit
  in blocks          2.0 MiB  peak, 3.0 MiB with free memory kept; 1.0 MiB at exit
  fragmentation       25.0 %  at exit: 768.0 KiB allocated in 1.0 MiB touched
  returned           4.0 MiB  to the system in 9 calls; 64.0 KiB kept free at exit
  page faults          1,234  minor; 5 major
  allocations          1,000  10 of them above 32.0 KiB

  block size         allocations     share
  up to 16 B                 600    60.0 %  ########################
  up to 128 B                390    39.0 %  ################
  above 32.0 KiB              10     1.0 %  #
";
        assert_eq!(text, expected);
    }

    #[test]
    fn without_counts_only_large_allocations_are_told() {
        let report = REPORT.replace(" 600\n", " 0\n").replace(" 20\n", " 0\n").replace(" 370\n", " 0\n");
        let text = text(&outcome(Report::parse(&report)));
        assert!(text.ends_with("  allocations             10  above 32.0 KiB; others not counted\n"), "{text}");
    }

    #[test]
    fn without_a_report_the_reason_is_told_with_what_the_system_knows() {
        let mut outcome = outcome(Err("it crashed".to_owned()));
        outcome.ended = Ended::Signal(libc::SIGSEGV);
        let text = text(&outcome);
        assert!(
            text.starts_with("stratalloc: sort (process 77) was ended by signal 11 (Segmentation fault)\n"),
            "{text}"
        );
        assert!(text.contains("  memory             8.0 MiB  peak, resident\n"), "{text}");
        assert!(text.ends_with("  no statistics of the allocator: it crashed\n"), "{text}");
    }

    #[test]
    fn other_processes_are_mentioned() {
        let mut outcome = outcome(Report::parse(REPORT));
        outcome.others = vec![(78, Report::default())];
        assert!(text(&outcome).ends_with("  1 other process reported; its figures are not in the above\n"));
        outcome.others.push((79, Report::default()));
        assert!(text(&outcome).ends_with("  2 other processes reported; their figures are not in the above\n"));
    }
}

//! Statistics as text: for programs ([`write_report`]) and for people ([`write_show`]).
//!
//! Both are written at exit, when the process may be in any state, so nothing here allocates and
//! every figure goes straight to the output. The machine-readable form is what `stratalloc run`
//! reads:
//!
//! ```text
//! stratalloc-report 1
//! allocated 10240
//! …                                      one `key value` line for each figure of `Snapshot`
//! rss_peak 3145728                       the figures of `Resident`, if known
//! class 16 12 4096 1 340                 SIZE LIVE CAPACITY SPANS ALLOCS, classes in use only
//! end
//! ```
//!
//! A reader ignores keys it does not know. A file without the `end` line was cut short.

use core::fmt::{self, Write};
use stratalloc_core::huge::Reason;
use stratalloc_core::os::{Bound, HugeSystem, Source, Transparent};
use stratalloc_core::stats::{ClassStats, Limits, Snapshot};
use stratalloc_os::process::Resident;

/// Writes the machine-readable statistics.
///
/// Costs a few calls of `out` a line, about a hundred lines at most. Does not allocate.
///
/// # Errors
/// `out`'s; what was written before it stays without an `end` line.
pub fn write_report(out: &mut dyn Write, snapshot: &Snapshot, rss: Option<Resident>) -> fmt::Result {
    out.write_str("stratalloc-report 1\n")?;
    for (key, value) in figures(snapshot) {
        writeln!(out, "{key} {value}")?;
    }
    if let Some(rss) = rss {
        writeln!(out, "rss_current {}", rss.current_bytes)?;
        writeln!(out, "rss_peak {}", rss.peak_bytes)?;
        writeln!(out, "minor_faults {}", rss.minor_faults)?;
        writeln!(out, "major_faults {}", rss.major_faults)?;
    }
    for class in snapshot.classes.iter().filter(|class| in_use(class)) {
        let ClassStats { block_size, live, capacity, spans, allocs } = class;
        writeln!(out, "class {block_size} {live} {capacity} {spans} {allocs}")?;
    }
    out.write_str("end\n")
}

/// Writes the statistics as one JSON object: every figure of [`Snapshot`] by its field's name, those of [`Resident`] if
/// known, and `classes`, an array of the size classes in use.
///
/// Does not allocate.
///
/// # Errors
/// `out`'s.
///
/// ```
/// let mut text = String::new();
/// stratalloc::write_json(&mut text, &stratalloc::snapshot(), None).unwrap();
/// assert!(text.starts_with("{\"allocated\":") && text.ends_with("]}"));
/// ```
pub fn write_json(out: &mut dyn Write, snapshot: &Snapshot, rss: Option<Resident>) -> fmt::Result {
    out.write_str("{")?;
    for (key, value) in figures(snapshot) {
        write!(out, "\"{key}\":{value},")?;
    }
    if let Some(rss) = rss {
        write!(out, "\"rss_current\":{},\"rss_peak\":{},", rss.current_bytes, rss.peak_bytes)?;
        write!(out, "\"minor_faults\":{},\"major_faults\":{},", rss.minor_faults, rss.major_faults)?;
    }
    out.write_str("\"classes\":[")?;
    for (i, class) in snapshot.classes.iter().filter(|class| in_use(class)).enumerate() {
        let ClassStats { block_size, live, capacity, spans, allocs } = class;
        let comma = if i > 0 { "," } else { "" };
        write!(out, "{comma}{{\"block_size\":{block_size},\"live\":{live},\"capacity\":{capacity},")?;
        write!(out, "\"spans\":{spans},\"allocs\":{allocs}}}")?;
    }
    out.write_str("]}")
}

/// Every figure of a snapshot but the classes, by its field's name.
fn figures(snapshot: &Snapshot) -> [(&'static str, u64); 34] {
    // Destructured, so that a new figure cannot be forgotten here.
    let Snapshot {
        allocated,
        active,
        touched,
        dirty,
        clean,
        mapped,
        metadata,
        peak_active,
        peak_dirty,
        purged,
        purges,
        recycled,
        os_calls,
        huge,
        reserved,
        held,
        splits,
        huge_fallback,
        large_live,
        large_bytes,
        large_allocs,
        large_peak,
        large_peak_bytes,
        heaps,
        pockets,
        parked,
        orphans,
        limits: Limits { cpus, memory_max, memory_high, soft_limit, soft_crossings, parked_limit, kept_limit },
        classes: _,
    } = *snapshot;
    [
        ("allocated", allocated as u64),
        ("active", active as u64),
        ("touched", touched as u64),
        ("dirty", dirty as u64),
        ("clean", clean as u64),
        ("mapped", mapped as u64),
        ("metadata", metadata as u64),
        ("peak_active", peak_active as u64),
        ("peak_dirty", peak_dirty as u64),
        ("purged", purged),
        ("purges", purges),
        ("recycled", recycled),
        ("os_calls", os_calls),
        ("huge", huge as u64),
        ("reserved", reserved as u64),
        ("held", held as u64),
        ("splits", splits),
        ("huge_fallback", u64::from(huge_fallback)),
        ("large_live", large_live),
        ("large_bytes", large_bytes as u64),
        ("large_allocs", large_allocs),
        ("large_peak", large_peak),
        ("large_peak_bytes", large_peak_bytes as u64),
        ("heaps", heaps),
        ("pockets", pockets),
        ("parked", parked),
        ("orphans", orphans),
        ("cpus", known(cpus)),
        ("memory_max", known(memory_max)),
        ("memory_high", known(memory_high)),
        ("soft_limit", known(soft_limit)),
        ("soft_crossings", soft_crossings),
        ("parked_limit", parked_limit),
        ("kept_limit", kept_limit),
    ]
}

/// A bound; 0 for none.
fn known(bound: Bound) -> u64 {
    if bound.is_some() { bound.value } else { 0 }
}

fn in_use(class: &ClassStats) -> bool {
    class.live != 0 || class.capacity != 0 || class.spans != 0 || class.allocs != 0
}

/// Writes the statistics for people: aligned columns, sensible units, size classes in use only.
///
/// Does not allocate.
///
/// # Errors
/// `out`'s.
pub fn write_show(out: &mut dyn Write, snapshot: &Snapshot, rss: Option<Resident>) -> fmt::Result {
    let s = snapshot;
    write_limits(out, &s.limits)?;
    out.write_str("stratalloc: statistics\n")?;
    row(out, "allocated", &Bytes(s.allocated as u64), format_args!("in the program's hands"))?;
    row(out, "active", &Bytes(s.active as u64), format_args!("in spans in use"))?;
    let waste = Percent { part: s.touched.saturating_sub(s.allocated) as u64, whole: s.touched as u64 };
    row(
        out,
        "touched",
        &Bytes(s.touched as u64),
        format_args!("of it handed out at least once, {waste} fragmentation"),
    )?;
    let with_dirty = Bytes(s.peak_dirty as u64);
    row(out, "peak", &Bytes(s.peak_active as u64), format_args!("active; {with_dirty} with dirty"))?;
    row(out, "dirty", &Bytes(s.dirty as u64), format_args!("free and still resident"))?;
    row(out, "clean", &Bytes(s.clean as u64), format_args!("free, given back or never touched"))?;
    row(out, "mapped", &Bytes(s.mapped as u64), format_args!("active, dirty and clean"))?;
    row(out, "metadata", &Bytes(s.metadata as u64), format_args!("mapped for descriptors and heaps"))?;
    let calls = Count(s.purges);
    row(out, "returned", &Bytes(s.purged), format_args!("given back to the system, in calls: {calls}"))?;
    if s.recycled != 0 {
        row(out, "recycled", &Bytes(s.recycled), format_args!("moved from free spans to large blocks"))?;
    }
    let (live, all) = (Count(s.large_live), Count(s.large_allocs));
    row(
        out,
        "large",
        &Bytes(s.large_bytes as u64),
        format_args!("in large blocks; {live} live, {all} allocated since start"),
    )?;
    let (parked, orphans) = (Count(s.parked), Count(s.orphans));
    row(
        out,
        "heaps",
        &Count(s.heaps),
        format_args!("of threads, CPUs, and first-class; {parked} parked, {orphans} orphaned spans"),
    )?;
    if s.pockets != 0 {
        row(out, "pockets", &Count(s.pockets), format_args!("of threads that share the heaps of CPUs"))?;
    }
    row(out, "system calls", &Count(s.os_calls), format_args!("for memory"))?;
    write_huge(out, s)?;
    if let Some(rss) = rss {
        let peak = Bytes(rss.peak_bytes as u64);
        row(out, "resident", &Bytes(rss.current_bytes as u64), format_args!("whole process; peak {peak}"))?;
        let major = Count(rss.major_faults);
        row(out, "page faults", &Count(rss.minor_faults), format_args!("minor; {major} major"))?;
    }
    write_classes(out, &s.classes)
}

/// Writes what the process may use and what follows from it, for people. Does not allocate.
///
/// # Errors
/// `out`'s.
pub fn write_limits(out: &mut dyn Write, limits: &Limits) -> fmt::Result {
    out.write_str("stratalloc: limits\n")?;
    // Named as the files of the cgroup's version are.
    let from = |source, files: [&'static str; 2]| match source {
        Source::Nobody => "none known",
        Source::Affinity => "by CPU affinity",
        Source::CgroupV1 => files[0],
        Source::CgroupV2 => files[1],
        Source::Option => "by the option soft_limit",
    };
    let memory = |out: &mut dyn Write, name: &str, bound: Bound, files: [&'static str; 2]| {
        let note = from(bound.source, files);
        if bound.is_some() {
            row(out, name, &Bytes(bound.value), format_args!("{note}"))
        } else {
            row(out, name, &"-", format_args!("{note}"))
        }
    };
    let cpus = from(limits.cpus.source, ["by the cgroup's cpu.cfs_quota_us", "by the cgroup's cpu.max"]);
    if limits.cpus.is_some() {
        row(out, "CPUs", &Count(limits.cpus.value), format_args!("{cpus}"))?;
    } else {
        row(out, "CPUs", &"-", format_args!("{cpus}"))?;
    }
    let max = ["by the cgroup's memory.limit_in_bytes", "by the cgroup's memory.max"];
    let high = ["by the cgroup's memory.soft_limit_in_bytes", "by the cgroup's memory.high"];
    memory(out, "memory max", limits.memory_max, max)?;
    memory(out, "memory high", limits.memory_high, high)?;
    let of_max = limits.soft_limit.value != limits.memory_high.value;
    let seven = ["7/8 of the cgroup's memory.limit_in_bytes", "7/8 of the cgroup's memory.max"];
    memory(out, "soft limit", limits.soft_limit, if of_max { seven } else { high })?;
    let crossings = Count(limits.soft_crossings);
    row(out, "crossings", &crossings, format_args!("of the soft limit, after all that was free had gone back"))?;
    row(out, "parked heaps", &Count(limits.parked_limit), format_args!("at most"))?;
    row(out, "kept spans", &Bytes(limits.kept_limit), format_args!("empty, for each heap at most"))
}

/// What became of the option `huge_pages`; nothing where nothing was asked.
fn write_huge(out: &mut dyn Write, s: &Snapshot) -> fmt::Result {
    if s.huge != 0 || s.reserved != 0 || s.splits != 0 {
        let (asked, reserved, held) = (Bytes(s.huge as u64), Bytes(s.reserved as u64), Bytes(s.held as u64));
        row(
            out,
            "huge pages",
            &Bytes((s.huge + s.reserved) as u64),
            format_args!("{asked} transparent, {reserved} reserved; {held} held, {} split", Count(s.splits)),
        )?;
    }
    for (reason, text) in Reason::ALL {
        if s.huge_fallback & reason as u32 != 0 {
            row(out, "huge pages", &"less", format_args!("than asked: {text}"))?;
        }
    }
    Ok(())
}

/// Writes what the system says of its huge pages, one line.
///
/// # Errors
/// `out`'s.
pub(crate) fn write_huge_system(out: &mut dyn Write, system: &HugeSystem) -> fmt::Result {
    let transparent = match system.transparent {
        Transparent::Absent => "absent",
        Transparent::Never => "never",
        Transparent::Madvise => "madvise",
        Transparent::Always => "always",
    };
    write!(out, "stratalloc: the system's huge pages: transparent {transparent}")?;
    if system.bytes != 0 {
        write!(out, ", of {}", Bytes(system.bytes as u64))?;
    }
    if !system.defrag.is_empty() {
        write!(out, ", defrag {}", system.defrag)?;
    }
    if system.forbidden {
        out.write_str(", forbidden to this process")?;
    }
    let (small, large) = (system.two_mib, system.one_gib);
    writeln!(
        out,
        "; reserved {} of 2 MiB ({} free), {} of 1 GiB ({} free)",
        small.total, small.free, large.total, large.free
    )
}

fn row(out: &mut dyn Write, name: &str, value: &dyn fmt::Display, note: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(out, "  {name:<13}{value:>12}  {note}")
}

fn write_classes(out: &mut dyn Write, classes: &[ClassStats]) -> fmt::Result {
    if !classes.iter().any(in_use) {
        return Ok(());
    }
    let counted = classes.iter().any(|class| class.allocs != 0);
    let mut line = |cells: [&dyn fmt::Display; 6], allocs: &dyn fmt::Display| {
        let [size, live, capacity, spans, bytes, waste] = cells;
        write!(out, "  {size:>10}{live:>15}{capacity:>15}{spans:>9}{bytes:>13}{waste:>12}")?;
        if counted {
            write!(out, "{allocs:>19}")?;
        }
        out.write_str("\n")
    };
    line([&"class", &"live", &"capacity", &"spans", &"active", &"unused"], &"allocations")?;
    let mut total = ClassStats::default();
    let (mut active, mut used) = (0, 0);
    for class in classes.iter().filter(|class| in_use(class)) {
        let bytes = |blocks: u64| blocks.saturating_mul(class.block_size as u64);
        active += bytes(class.capacity);
        used += bytes(class.live);
        total.live += class.live;
        total.capacity += class.capacity;
        total.spans += class.spans;
        total.allocs += class.allocs;
        let waste = Percent { part: class.capacity.saturating_sub(class.live), whole: class.capacity };
        line(
            [
                &Bytes(class.block_size as u64),
                &Count(class.live),
                &Count(class.capacity),
                &Count(class.spans),
                &Bytes(bytes(class.capacity)),
                &waste,
            ],
            &Count(class.allocs),
        )?;
    }
    let waste = Percent { part: active.saturating_sub(used), whole: active };
    line(
        [&"total", &Count(total.live), &Count(total.capacity), &Count(total.spans), &Bytes(active), &waste],
        &Count(total.allocs),
    )
}

/// Bytes in the largest unit that leaves at least 1, with one decimal.
struct Bytes(u64);
/// A number in groups of three digits.
struct Count(u64);
/// `part` of `whole` with one decimal; `-` of nothing.
struct Percent {
    part: u64,
    whole: u64,
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let mut cell = Cell::new();
        if self.0 < 1024 {
            write!(cell, "{} B", self.0)?;
        } else {
            let unit = (self.0.ilog2() / 10) as usize;
            let tenths = (u128::from(self.0) * 10) >> (10 * unit);
            write!(cell, "{}.{} {}", tenths / 10, tenths % 10, UNITS[unit - 1])?;
        }
        f.pad(cell.as_str())
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cell = Cell::new();
        let mut divisor = 10u64.pow(3 * (self.0.max(1).ilog10() / 3));
        write!(cell, "{}", self.0 / divisor)?;
        while divisor > 1 {
            divisor /= 1000;
            write!(cell, ",{:03}", self.0 / divisor % 1000)?;
        }
        f.pad(cell.as_str())
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cell = Cell::new();
        match (u128::from(self.part) * 1000).checked_div(u128::from(self.whole)) {
            Some(tenths) => write!(cell, "{}.{} %", tenths / 10, tenths % 10)?,
            None => cell.write_str("-")?,
        }
        f.pad(cell.as_str())
    }
}

/// One cell of a column: composed here first so that it can be padded as a whole.
struct Cell {
    bytes: [u8; 32],
    len: usize,
}

impl Cell {
    fn new() -> Cell {
        Cell { bytes: [0; 32], len: 0 }
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl Write for Cell {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let end = self.len + piece.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(piece.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;
    use stratalloc_core::class::{CLASSES, size_of_class};

    fn snapshot() -> Snapshot {
        let mut classes = [ClassStats::default(); CLASSES];
        for (i, class) in classes.iter_mut().enumerate() {
            class.block_size = size_of_class(i);
        }
        classes[0] = ClassStats { block_size: 16, live: 1234, capacity: 4096, spans: 1, allocs: 1_234_567 };
        classes[9] = ClassStats { block_size: 160, live: 0, capacity: 409, spans: 1, allocs: 0 };
        Snapshot {
            allocated: 1 << 20,
            active: 6 << 18,
            touched: 5 << 18,
            dirty: 3 << 10,
            clean: 7 << 30,
            mapped: (5 << 18) + (3 << 10) + (7 << 30),
            metadata: 512,
            peak_active: 2 << 20,
            peak_dirty: 3 << 20,
            purged: 9_999_999_999,
            purges: 12,
            recycled: 3 << 20,
            os_calls: 34,
            huge: 4 << 20,
            reserved: 2 << 20,
            held: 1 << 16,
            splits: 1000,
            huge_fallback: 64,
            large_live: 2,
            large_bytes: 1 << 19,
            large_allocs: 17,
            large_peak: 6,
            large_peak_bytes: 700_000,
            heaps: 3,
            pockets: 7,
            parked: 4,
            orphans: 5,
            limits: Limits {
                cpus: Bound { value: 3, source: Source::Affinity },
                memory_max: Bound { value: 8 << 30, source: Source::CgroupV2 },
                memory_high: Bound::NONE,
                soft_limit: Bound { value: 7 << 30, source: Source::CgroupV2 },
                soft_crossings: 6,
                parked_limit: 16,
                kept_limit: 1 << 19,
            },
            classes,
        }
    }

    const RSS: Resident =
        Resident { current_bytes: 4 << 20, peak_bytes: 5 << 20, minor_faults: 1500, major_faults: 2 };

    #[test]
    fn the_report_has_every_figure_and_only_classes_in_use() {
        let mut out = String::new();
        write_report(&mut out, &snapshot(), Some(RSS)).unwrap();
        let lines: Vec<&str> = out.lines().collect();
        let expected = "stratalloc-report 1|allocated 1048576|active 1572864|touched 1310720|dirty 3072|clean 7516192768|\
             mapped 7517506560|metadata 512|peak_active 2097152|peak_dirty 3145728|purged 9999999999|purges 12|\
             recycled 3145728|os_calls 34|huge 4194304|reserved 2097152|held 65536|splits 1000|huge_fallback 64|\
             large_live 2|large_bytes 524288|large_allocs 17|large_peak 6|large_peak_bytes 700000|heaps 3|pockets 7|parked 4|orphans 5|\
             cpus 3|memory_max 8589934592|memory_high 0|soft_limit 7516192768|soft_crossings 6|parked_limit 16|\
             kept_limit 524288|\
             rss_current 4194304|rss_peak 5242880|minor_faults 1500|major_faults 2|\
             class 16 1234 4096 1 1234567|class 160 0 409 1 0|end";
        assert_eq!(lines, expected.split('|').collect::<Vec<_>>());
    }

    #[test]
    fn the_json_has_every_figure_and_only_classes_in_use() {
        let mut out = String::new();
        write_json(&mut out, &snapshot(), Some(RSS)).unwrap();
        let (figures, classes) = out.split_once(",\"classes\":").unwrap();
        let figures: Vec<&str> = figures.trim_start_matches('{').split(',').collect();
        let mut report = String::new();
        write_report(&mut report, &snapshot(), Some(RSS)).unwrap();
        let expected: Vec<String> = (report.lines().skip(1))
            .take_while(|line| !line.starts_with("class"))
            .map(|line| format!("\"{}\":{}", line.split_once(' ').unwrap().0, line.split_once(' ').unwrap().1))
            .collect();
        assert_eq!(figures, expected);
        let expected = "[{\"block_size\":16,\"live\":1234,\"capacity\":4096,\"spans\":1,\"allocs\":1234567},\
             {\"block_size\":160,\"live\":0,\"capacity\":409,\"spans\":1,\"allocs\":0}]}";
        assert_eq!(classes, expected);
    }

    #[test]
    fn without_figures_of_the_process_the_report_leaves_them_out() {
        let mut out = String::new();
        write_report(&mut out, &snapshot(), None).unwrap();
        assert!(!out.contains("rss_") && !out.contains("_faults"));
        assert!(out.ends_with("end\n"));
    }

    #[test]
    fn a_report_cut_short_has_no_end() {
        struct Full(usize);
        impl Write for Full {
            fn write_str(&mut self, piece: &str) -> fmt::Result {
                self.0 = self.0.checked_sub(piece.len()).ok_or(fmt::Error)?;
                Ok(())
            }
        }
        assert!(write_report(&mut Full(100), &snapshot(), None).is_err());
        assert!(write_show(&mut Full(100), &snapshot(), None).is_err());
    }

    #[test]
    fn what_is_shown_names_every_figure_in_sensible_units() {
        let mut out = String::new();
        write_show(&mut out, &snapshot(), Some(RSS)).unwrap();
        for (name, value, note) in [
            ("allocated", "1.0 MiB", "in the program's hands"),
            ("active", "1.5 MiB", "in spans in use"),
            ("touched", "1.2 MiB", "of it handed out at least once, 20.0 % fragmentation"),
            ("peak", "2.0 MiB", "active; 3.0 MiB with dirty"),
            ("dirty", "3.0 KiB", "free and still resident"),
            ("clean", "7.0 GiB", "free, given back or never touched"),
            ("metadata", "512 B", "mapped for descriptors and heaps"),
            ("returned", "9.3 GiB", "given back to the system, in calls: 12"),
            ("recycled", "3.0 MiB", "moved from free spans to large blocks"),
            ("large", "512.0 KiB", "in large blocks; 2 live, 17 allocated since start"),
            ("heaps", "3", "of threads, CPUs, and first-class; 4 parked, 5 orphaned spans"),
            ("pockets", "7", "of threads that share the heaps of CPUs"),
            ("system calls", "34", "for memory"),
            ("resident", "4.0 MiB", "whole process; peak 5.0 MiB"),
            ("page faults", "1,500", "minor; 2 major"),
            ("CPUs", "3", "by CPU affinity"),
            ("memory max", "8.0 GiB", "by the cgroup's memory.max"),
            ("memory high", "-", "none known"),
            ("soft limit", "7.0 GiB", "7/8 of the cgroup's memory.max"),
            ("crossings", "6", "of the soft limit, after all that was free had gone back"),
            ("parked heaps", "16", "at most"),
            ("kept spans", "512.0 KiB", "empty, for each heap at most"),
        ] {
            let line = format!("  {name:<13}{value:>12}  {note}\n");
            assert!(out.contains(&line), "{line}{out}");
        }
    }

    #[test]
    fn the_table_of_classes_is_aligned_and_has_totals() {
        let mut out = String::new();
        write_show(&mut out, &snapshot(), None).unwrap();
        let table: Vec<&str> = out.lines().skip_while(|line| !line.contains("class  ")).collect();
        assert_eq!(table.len(), 4, "{out}");
        assert!(table.iter().all(|line| line.len() == table[0].len()), "{out}");
        let cells: Vec<Vec<&str>> = table.iter().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(cells[0], ["class", "live", "capacity", "spans", "active", "unused", "allocations"]);
        assert_eq!(cells[1], ["16", "B", "1,234", "4,096", "1", "64.0", "KiB", "69.8", "%", "1,234,567"]);
        assert_eq!(cells[2], ["160", "B", "0", "409", "1", "63.9", "KiB", "100.0", "%", "0"]);
        assert_eq!(cells[3], ["total", "1,234", "4,505", "2", "127.9", "KiB", "84.9", "%", "1,234,567"]);
    }

    #[test]
    fn without_counting_there_is_no_column_of_allocations_and_without_classes_no_table() {
        let mut snapshot = snapshot();
        snapshot.classes[0].allocs = 0;
        let mut out = String::new();
        write_show(&mut out, &snapshot, None).unwrap();
        assert!(out.contains("unused\n") && !out.contains("allocations"), "{out}");
        snapshot.classes = [ClassStats::default(); CLASSES];
        out.clear();
        write_show(&mut out, &snapshot, None).unwrap();
        assert!(!out.contains("capacity"), "{out}");
    }

    #[test]
    fn units_hold_at_their_edges() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1024 * 1024 - 1, "1023.9 KiB"),
            (1 << 20, "1.0 MiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_000_001, "1,000,001"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(Count(count).to_string(), text);
        }
        assert_eq!(Percent { part: 0, whole: 0 }.to_string(), "-");
        assert_eq!(Percent { part: u64::MAX, whole: u64::MAX }.to_string(), "100.0 %");
    }
}

//! What changes with size: time of an operation by number of threads, costs by the amount of live memory, and memory by
//! the length of a run.

use std::collections::BTreeMap;

use maud::{Markup, html};
use stratalloc_bench_protocol::Description;

use super::figures::{count, counted, nanoseconds, ratio, tick};
use super::plot::{Axis, Curve, SMALL, Ticks, WIDE, plot};
use super::scale::{Scale, extent};
use super::view::Field;
use crate::series::{ScalingOf, scaling};
use crate::stats::median;
use crate::store::Kind;

/// Time of an operation by threads; nothing where no scaling was measured.
pub fn threads(field: &Field) -> Markup {
    let all = scaling(field.results, field.face);
    let plots: Vec<Markup> = field
        .workloads()
        .into_iter()
        .filter_map(|workload| {
            let found: Vec<&ScalingOf> =
                all.iter().filter(|of| of.workload == workload.name && !of.points.is_empty()).collect();
            by_threads(field, &workload.name, &found)
        })
        .collect();
    if plots.is_empty() {
        return html! {};
    }
    let cores = field.results.machine.cores;
    html! {
        section id=(format!("{}-threads", field.face)) {
            h2 { "Thread scaling" }
            p.lede {
                "Wall time by the number of operations, all threads together: perfect scaling halves it with "
                "each doubling of the threads, as long as "
                "there are cores; this machine has " (counted(cores as usize, "core")) ". Both scales are "
                "logarithmic, lower is better."
            }
            div.multiples { @for plot in plots { (plot) } }
        }
    }
}

fn by_threads(field: &Field, workload: &str, found: &[&ScalingOf]) -> Option<Markup> {
    // An operation's share of the wall time, nanoseconds.
    let share = |rate: f64| 1e9 / rate.max(1e-3);
    let times = found.iter().flat_map(|of| of.points.iter().map(|(_, rate)| share(rate.median)));
    let (low, high) = extent(times)?;
    let counts = found.iter().flat_map(|of| of.points.iter().map(|&(threads, _)| f64::from(threads.max(1))));
    let counts: std::collections::BTreeSet<u64> = counts.map(|threads| threads as u64).collect();
    let (fewest, most) = (*counts.first()? as f64, *counts.last()? as f64);
    let across = Scale::logarithmic((fewest, most), SMALL.across());
    let upward = Scale::logarithmic((low * 0.9, high * 1.1), SMALL.upward());
    let curves = found.iter().filter_map(|of| {
        let points: Vec<(f64, f64)> =
            of.points.iter().map(|(threads, rate)| (f64::from((*threads).max(1)), share(rate.median))).collect();
        let words = points.iter().map(|&(threads, time)| format!("{threads} threads {}", nanoseconds(time)));
        let title = words.collect::<Vec<_>>().join(", ");
        Some(Curve { entrant: &field.entrants[field.column(&of.contender)?], points, title, marked: true })
    });
    let label = format!("{workload}: time of an operation by threads, {}", counted(found.len(), "contender"));
    let thread_ticks = counts.iter().map(|&threads| (threads as f64, threads.to_string())).collect();
    let time_ticks = upward.ticks(5).into_iter().map(|time| (time, nanoseconds(time))).collect();
    let across = Axis { scale: across, ticks: thread_ticks };
    let upward = Axis { scale: upward, ticks: time_ticks };
    Some(html! {
        figure.card {
            figcaption { (workload) " " small { "wall time by operations" } }
            (plot(SMALL, &label, (&across, "threads"), &upward, curves.collect()))
        }
    })
}

/// Bytes in a name like `live-16m`; `None` of other workloads.
fn live_bytes(workload: &str) -> Option<f64> {
    let size = workload.strip_prefix("live-")?;
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &size[digits.len()..] {
        "k" => 1024.0,
        "m" => 1024.0 * 1024.0,
        "g" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some(digits.parse::<u32>().ok().filter(|&number| number > 0)? as f64 * unit)
}

/// Points by contender.
type ByColumn = BTreeMap<usize, Vec<(f64, f64)>>;

/// What the live-heap workloads report, by the amount of live memory; nothing where fewer than two of them ran.
pub fn live_heap(field: &Field) -> Markup {
    let mut sizes: Vec<(f64, &str)> = field
        .workloads()
        .into_iter()
        .filter_map(|workload| Some((live_bytes(&workload.name)?, workload.name.as_str())))
        .collect();
    sizes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut figures: BTreeMap<&str, ByColumn> = BTreeMap::new();
    for &(bytes, workload) in &sizes {
        for column in 0..field.entrants.len() {
            for (name, value) in extras(field, workload, column) {
                figures.entry(name).or_default().entry(column).or_default().push((bytes, value));
            }
        }
    }
    let plots: Vec<Markup> =
        figures.iter().filter_map(|(name, points)| by_live_memory(field, name, points)).collect();
    if plots.is_empty() {
        return html! {};
    }
    html! {
        section id=(format!("{}-live", field.face)) {
            h2 { "Growth of the live heap" }
            p.lede {
                "The same replacing of random blocks in heaps of different size. What rises to the right is the "
                "price of large heaps: misses in caches and address translation, metadata, fragmentation."
            }
            div.multiples { @for plot in plots { (plot) } }
        }
    }
}

/// What a workload that compares the tenths of a long run calls its figures; the tenth's number follows.
const TENTH: &str = "resident bytes per live byte, highest in tenth ";

/// Memory per live byte over the tenths of a long run; nothing where none was measured.
pub fn long_run(field: &Field) -> Markup {
    let drawn = |workload: &Description| {
        let tenths = |column| {
            let figures = extras(field, &workload.name, column).into_iter();
            let points: Vec<(f64, f64)> = figures
                .filter_map(|(name, value)| Some((name.strip_prefix(TENTH)?.parse().ok()?, value)))
                .collect();
            (points.len() > 1).then_some((column, points))
        };
        let courses: Vec<(usize, Vec<(f64, f64)>)> = (0..field.entrants.len()).filter_map(tenths).collect();
        let (first, last) = extent(courses.iter().flat_map(|(_, points)| points.iter().map(|point| point.0)))?;
        let (_, high) = extent(courses.iter().flat_map(|(_, points)| points.iter().map(|point| point.1)))?;
        let across = Scale::linear((first, last), WIDE.across());
        // From 1, as no allocator needs less; not from the lowest, which would make any slope look steep.
        let upward = Scale::linear((1.0, high.max(1.1) * 1.04), WIDE.upward());
        let ticks = (first as u32..=last as u32).map(|tenth| (f64::from(tenth), tenth.to_string())).collect();
        let across = Axis { scale: across, ticks };
        let ticks = upward.ticks(5).into_iter().map(|value| (value, tick(value))).collect();
        let upward = Axis { scale: upward, ticks };
        let number = counted(courses.len(), "contender");
        let curves = courses.into_iter().map(|(column, points)| {
            let words = points.iter().map(|point| ratio(point.1));
            let title = words.collect::<Vec<_>>().join(", ");
            Curve { entrant: &field.entrants[column], points, title, marked: true }
        });
        let label = format!("{}: highest memory per live byte in each tenth of the run, {number}", workload.name);
        Some(html! {
            figure.card {
                figcaption { (workload.name) " " small { "resident bytes per live byte, highest of each tenth" } }
                (plot(WIDE, &label, (&across, "tenth of the run"), &upward, curves.collect()))
            }
        })
    };
    let plots: Vec<Markup> = field.workloads().into_iter().filter_map(drawn).collect();
    if plots.is_empty() {
        return html! {};
    }
    html! {
        section id=(format!("{}-churn", field.face)) {
            h2 { "Fragmentation in a long run" }
            p.lede {
                "Live bytes stay the same and each tenth goes through the same shifts of sizes, so a curve that "
                "rises is memory that age costs. The first tenth is the one that starts with nothing."
            }
            div.halves { @for plot in plots { (plot) } }
        }
    }
}

/// The medians of a workload's own figures, those above zero (the scale is logarithmic).
pub fn extras<'a>(field: &Field<'a>, workload: &str, column: usize) -> Vec<(&'a str, f64)> {
    let mut values: Vec<(&str, Vec<f64>)> = Vec::new();
    for outcome in field.samples(Kind::Throughput, workload, column).into_iter().filter_map(|s| s.counted()) {
        for (name, value) in outcome.extra.iter().filter(|(_, value)| value.is_finite()) {
            match values.iter_mut().find(|(known, _)| known == name) {
                Some((_, values)) => values.push(*value),
                None => values.push((name, vec![*value])),
            }
        }
    }
    values.into_iter().filter_map(|(name, values)| Some((name, median(&values)?))).collect()
}

fn by_live_memory(field: &Field, name: &str, points: &ByColumn) -> Option<Markup> {
    let all = || points.values().flatten().filter(|point| point.1 > 0.0);
    let (smallest, largest) = extent(all().map(|point| point.0))?;
    let (low, high) = extent(all().map(|point| point.1))?;
    if smallest == largest {
        return None;
    }
    let across = Scale::logarithmic((smallest, largest), SMALL.across());
    let upward = Scale::logarithmic((low * 0.95, high * 1.05), SMALL.upward());
    let mut sizes: Vec<f64> = all().map(|point| point.0).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let word = |bytes: f64| match bytes / 1024.0 {
        kib if kib >= 1024.0 * 1024.0 => format!("{} GiB", tick(kib / 1024.0 / 1024.0)),
        kib if kib >= 1024.0 => format!("{} MiB", tick(kib / 1024.0)),
        kib => format!("{} KiB", tick(kib)),
    };
    let in_words = |value: f64| if value < 100.0 { ratio(value) } else { count(value) };
    let curves = points.iter().map(|(&column, points)| {
        let points: Vec<(f64, f64)> = points.iter().copied().filter(|point| point.1 > 0.0).collect();
        let words = points.iter().map(|&(bytes, value)| format!("{} {}", word(bytes), in_words(value)));
        let title = words.collect::<Vec<_>>().join(", ");
        Curve { entrant: &field.entrants[column], points, title, marked: true }
    });
    let ticks: Ticks = upward.ticks(5).into_iter().map(|value| (value, tick(value))).collect();
    let upward = Axis { scale: upward, ticks };
    let across = Axis { scale: across, ticks: sizes.iter().map(|&bytes| (bytes, word(bytes))).collect() };
    let label = format!("{name} by live memory, {}", counted(points.len(), "contender"));
    Some(html! {
        figure.card {
            figcaption { (name) }
            (plot(SMALL, &label, (&across, "live memory"), &upward, curves.collect()))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_live_heaps_are_read_from_names() {
        assert_eq!(live_bytes("live-16m"), Some(16.0 * 1024.0 * 1024.0));
        assert_eq!(live_bytes("live-2g"), Some(2048.0 * 1024.0 * 1024.0));
        for other in ["larson", "live-", "live-m", "live-0m", "live-16x", "live-m16"] {
            assert_eq!(live_bytes(other), None, "{other}");
        }
    }
}

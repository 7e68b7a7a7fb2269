//! How long single calls take: the curve from the median to the slowest call, and its usual figures, for calls that
//! return memory and for calls that take it back.

use maud::{Markup, html};
use stratalloc_bench_protocol::Buckets;

use super::figures::{count, counted, nanoseconds};
use super::look::named;
use super::plot::{Axis, Curve, Ticks, WIDE, plot};
use super::scale::{Scale, extent};
use super::view::{Field, Role};
use crate::series::{LatencyOf, Tail, latencies};

/// Points of a curve.
const POINTS: usize = 72;

/// Of the merged histograms the one of a kind of call.
type OfSide = fn(&LatencyOf) -> &Buckets;

/// The two kinds of call.
const SIDES: [(&str, &str, OfSide); 2] = [
    ("allocate", "calls that return memory", |of| &of.merged.allocate),
    ("free", "calls that take memory back", |of| &of.merged.free),
];

/// The section; nothing where no latency was measured.
pub fn latency(field: &Field) -> Markup {
    let all = latencies(field.results, field.face);
    let of = |workload: &str| all.iter().filter(|of| of.workload == workload).collect::<Vec<_>>();
    let workloads: Vec<(&str, Vec<&LatencyOf>)> = field
        .workloads()
        .into_iter()
        .map(|workload| (workload.name.as_str(), of(&workload.name)))
        .filter(|(_, found)| found.iter().any(|of| SIDES.iter().any(|side| side.2(of).count() > 0)))
        .collect();
    if workloads.is_empty() {
        return html! {};
    }
    html! {
        section id=(format!("{}-latency", field.face)) {
            h2 { "Latency of single calls" }
            p.lede {
                "All rounds' calls together. To the right come ever rarer calls: at 99 % only one call in a "
                "hundred takes longer than the curve says. Both scales are logarithmic. Each call is timed, so "
                "these runs are apart from those above."
            }
            @for (workload, found) in workloads {
                h3 { (workload) }
                div.halves {
                    @for (side, words, buckets) in SIDES {
                        @let shown: Vec<(usize, &Buckets)> = found.iter()
                            .filter_map(|of| Some((field.column(&of.contender)?, buckets(of))))
                            .filter(|(_, buckets)| buckets.count() > 0)
                            .collect();
                        @if !shown.is_empty() {
                            figure.card {
                                figcaption { (side) " " small { (words) } }
                                (curves(field, workload, side, &shown))
                                (table(field, &shown))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A share of calls as distance to the right: one unit for each further nine of the percentile.
fn nines(share: f64) -> f64 {
    -(1.0 - share).log10()
}

fn curves(field: &Field, workload: &str, side: &str, shown: &[(usize, &Buckets)]) -> Markup {
    let calls = shown.iter().map(|(_, buckets)| buckets.count()).max().unwrap_or(1);
    let furthest = (calls as f64).log10().max(1.0);
    let values = shown.iter().flat_map(|(_, buckets)| [buckets.0.first(), buckets.0.last()]);
    let (low, high) = extent(values.flatten().map(|&(bound, _)| (bound as f64).max(1.0))).unwrap_or((1.0, 10.0));
    let across = Scale::linear((nines(0.5), furthest.max(1.5)), WIDE.across());
    let upward = Scale::logarithmic((low * 0.9, high * 1.1), WIDE.upward());
    // 50 %, then one nine more at each step; from the sixth on as many nines can't be read.
    let nine = |count: u32| match count {
        1 => "90".to_owned(),
        2 => "99".to_owned(),
        3..=5 => format!("99.{}", "9".repeat(count as usize - 2)),
        _ => format!("{count} nines"),
    };
    let ticks: Ticks = (0..=12)
        .map(|count| match count {
            0 => (nines(0.5), "50 %".to_owned()),
            _ => (f64::from(count), nine(count)),
        })
        .filter(|&(place, _)| across.holds(place))
        .collect();
    // Long words at the right end stand too close: every other one is enough.
    let crowded = ticks.len() > 7;
    let ticks =
        ticks.into_iter().enumerate().filter(|(index, _)| !crowded || index % 2 == 0).map(|(_, tick)| tick);
    let curves = shown.iter().map(|&(column, buckets)| Curve {
        entrant: &field.entrants[column],
        points: curve(buckets),
        title: Tail::of(buckets).map_or(String::new(), |tail| {
            let [p50, p99, p999, max] = [tail.p50, tail.p99, tail.p999, tail.max].map(|ns| nanoseconds(ns as f64));
            format!("median {p50}, p99 {p99}, p99.9 {p999}, longest {max}")
        }),
        marked: false,
    });
    let label = format!("{workload}: latency of {side} by percentile, {}", counted(shown.len(), "contender"));
    let upward_ticks = upward.ticks(5).into_iter().map(|ns| (ns, short(ns))).collect();
    plot(
        WIDE,
        &label,
        (&Axis { scale: across, ticks: ticks.collect() }, "percent of calls that take at most so long"),
        &Axis { scale: upward, ticks: upward_ticks },
        curves.collect(),
    )
}

/// A round number of nanoseconds, without needless decimals.
fn short(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns >= 1e9 => (ns / 1e9, "s"),
        ns if ns >= 1e6 => (ns / 1e6, "ms"),
        ns if ns >= 1e3 => (ns / 1e3, "µs"),
        ns => (ns, "ns"),
    };
    format!("{} {unit}", super::figures::tick(value))
}

/// Quantiles at even steps of nines, from the median to the longest call.
fn curve(buckets: &Buckets) -> Vec<(f64, f64)> {
    let (from, to) = (nines(0.5), (buckets.count() as f64).log10().max(nines(0.5)));
    let place = |step: usize| from + (to - from) * step as f64 / POINTS as f64;
    let point = |place: f64| Some((place, buckets.quantile(1.0 - 10f64.powf(-place))?.max(1) as f64));
    let mut points: Vec<(f64, f64)> = (0..POINTS).filter_map(|step| point(place(step))).collect();
    points.extend(buckets.max().map(|max| (to, max.max(1) as f64)));
    points
}

/// A tail's figure of a table's column.
type OfTail = fn(&Tail) -> u64;

fn table(field: &Field, shown: &[(usize, &Buckets)]) -> Markup {
    let columns: [(&str, OfTail); 4] = [
        ("p50", |tail| tail.p50),
        ("p99", |tail| tail.p99),
        ("p99.9", |tail| tail.p999),
        ("longest", |tail| tail.max),
    ];
    let tails: Vec<(usize, Tail)> =
        shown.iter().filter_map(|&(column, buckets)| Some((column, Tail::of(buckets)?))).collect();
    let best = |figure: OfTail| {
        let peers = tails.iter().filter(|(column, _)| field.entrants[*column].role != Role::Copy);
        peers.map(|(_, tail)| figure(tail)).min().unwrap_or(1).max(1) as f64
    };
    html! {
        div.scroll {
            table.heat {
                thead { tr {
                    th { "contender" }
                    @for (words, _) in columns { th scope="col" data-sort="" { (words) } }
                    th scope="col" data-sort="" { "calls" }
                } }
                tbody {
                    @for (column, tail) in &tails {
                        @let entrant = &field.entrants[*column];
                        tr data-c=(entrant.slot) {
                            th scope="row" { (named(entrant)) }
                            @for (_, figure) in columns {
                                @let value = figure(tail);
                                @let class = entrant.cell(value.max(1) as f64 / best(figure));
                                td class=(class) data-value=(value) { (nanoseconds(value as f64)) }
                            }
                            td data-value=(tail.count) { (count(tail.count as f64)) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_climb_from_the_median_to_the_longest() {
        let buckets = Buckets(vec![(10, 600_000), (20, 399_000), (500, 999), (90_000, 1)]);
        let points = curve(&buckets);
        assert_eq!(points.first().map(|point| point.1), Some(10.0));
        assert_eq!(points.last(), Some(&(6.0, 90_000.0)));
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
        let at = |place: f64| points.iter().rfind(|point| point.0 <= place).map(|point| point.1);
        assert_eq!(at(nines(0.99)), Some(20.0));
        assert_eq!(at(nines(0.9995)), Some(500.0));
    }

    #[test]
    fn a_single_call_has_a_curve() {
        let points = curve(&Buckets(vec![(40, 1)]));
        assert!(points.iter().all(|point| point.0.is_finite() && point.1 == 40.0));
    }
}

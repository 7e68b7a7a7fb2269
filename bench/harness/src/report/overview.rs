//! Time against memory: every contender as a point, and the same figures as a table.

use maud::{Markup, html};

use super::figures::{NONE, length, ratio, tick};
use super::headline::interval;
use super::look::{marker, named};
use super::scale::{Scale, extent};
use super::view::{Entrant, Field, Role};
use crate::stats::{Interval, Metric};

/// A contender's place.
struct Point<'a> {
    entrant: &'a Entrant<'a>,
    time: Interval,
    memory: Interval,
}

impl Point<'_> {
    /// What hovering says.
    fn title(&self) -> String {
        let (time, memory) = (interval(&self.time), interval(&self.memory));
        format!("{}: time {time}, peak memory {memory}", self.entrant.label())
    }
}

/// The section.
pub fn overview(field: &Field) -> Markup {
    let time = &field.measure(Metric::Wall).means;
    let memory = &field.measure(Metric::PeakRss).means;
    let mut points: Vec<Point> = field
        .entrants
        .iter()
        .enumerate()
        .filter_map(|(column, entrant)| Some(Point { entrant, time: time[column]?, memory: memory[column]? }))
        .collect();
    // What is drawn last lies on top.
    points.sort_by_key(|point| match point.entrant.role {
        Role::Copy => 0,
        Role::Peer => 1,
        Role::Own => 2,
    });
    html! {
        section id=(format!("{}-overview", field.face)) {
            h2 { "Time against memory" }
            p.lede {
                "Geometric means over all workloads of each contender's ratio to the best of that workload: 1 "
                "would be the best everywhere. The lower left is best. Bars are 95 % bootstrap intervals; the "
                "dotted line joins those that nobody beats in both."
            }
            div.pair {
                figure {
                    @if points.is_empty() { p.note { "Nothing to draw yet." } }
                    @else { (scatter(&points, 660.0, 430.0, "wide")) (scatter(&points, 380.0, 400.0, "narrow")) }
                }
                (ranking(field))
            }
        }
    }
}

/// A rectangle that is taken: left, top, right, bottom.
type Area = (f64, f64, f64, f64);

fn overlap(a: Area, b: Area) -> f64 {
    let across = (a.2.min(b.2) - a.0.max(b.0)).max(0.0);
    across * (a.3.min(b.3) - a.1.max(b.1)).max(0.0)
}

fn scatter(points: &[Point], width: f64, height: f64, class: &str) -> Markup {
    let (left, right, top, floor) = (44.0, width - 16.0, 14.0, height - 40.0);
    let within = |of: fn(&Point) -> Interval| {
        let ends = points.iter().flat_map(|point| {
            let interval = of(point);
            let (low, high) = interval.bounds.unwrap_or((interval.value, interval.value));
            [interval.value, low.max(interval.value * 0.8), high.min(interval.value * 1.25)]
        });
        let (low, high) = extent(ends).unwrap_or((1.0, 2.0));
        // Room around the outermost, in proportion to the range.
        let room = (high / low).powf(0.07).max(1.02);
        (low.min(1.0) / room.sqrt(), high * room)
    };
    let across = Scale::logarithmic(within(|point| point.time), (left, right));
    let upward = Scale::logarithmic(within(|point| point.memory), (floor, top));
    let at = |point: &Point| (across.at(point.time.value), upward.at(point.memory.value));
    let places = label_places(points, &at, (left, top, right, floor));
    let label = format!("time against peak memory of {} contenders", points.len());
    html! {
        @let view = format!("0 0 {width} {height}");
        svg class=(format!("scatter {class}")) viewBox=(view) role="img" aria-label=(label) {
            @for value in across.ticks(if width > 500.0 { 7 } else { 5 }) {
                @let x = length(across.at(value));
                line.grid x1=(x) x2=(x) y1=(top) y2=(floor) {}
                text.axis x=(x) y=(floor + 16.0) text-anchor="middle" { (tick(value)) }
            }
            @for value in upward.ticks(6) {
                @let y = upward.at(value);
                line.grid x1=(left) x2=(right) y1=(length(y)) y2=(length(y)) {}
                text.axis x=(left - 6.0) y=(length(y + 4.0)) text-anchor="end" { (tick(value)) }
            }
            path.frame d=(format!("M{left} {top}V{floor}H{right}")) {}
            text.axis x=(length((left + right) / 2.0)) y=(height - 6.0) text-anchor="middle" {
                "time, ratio to the best →"
            }
            @let turned = format!("translate(11 {}) rotate(-90)", length((top + floor) / 2.0));
            text.axis transform=(turned) text-anchor="middle" { "peak memory, ratio to the best →" }
            text.best-side x=(left + 8.0) y=(floor - 9.0) { "↙ better" }
            path.frontier d=(frontier(points, &at)) {}
            @for (point, place) in points.iter().zip(&places) {
                @let (x, y) = at(point);
                @let class = point.entrant.class();
                g.series data-c=(point.entrant.slot) {
                    @if let Some((low, high)) = point.time.bounds {
                        @let ends = (length(across.at(low)), length(across.at(high)));
                        line class=(format!("bar {class}")) x1=(ends.0) x2=(ends.1) y1=(length(y)) y2=(length(y)) {}
                    }
                    @if let Some((low, high)) = point.memory.bounds {
                        @let ends = (length(upward.at(low)), length(upward.at(high)));
                        line class=(format!("bar {class}")) x1=(length(x)) x2=(length(x)) y1=(ends.0) y2=(ends.1) {}
                    }
                    (marker(point.entrant, &length(x), &length(y), &point.title()))
                    text class=(format!("name {class}")) x=(length(place.0)) y=(length(place.1)) {
                        (point.entrant.label())
                    }
                }
            }
        }
    }
}

/// The line through the contenders that no other one beats in both figures.
fn frontier(points: &[Point], at: &impl Fn(&Point) -> (f64, f64)) -> String {
    let mut best: Vec<&Point> = points.iter().filter(|point| point.entrant.role != Role::Copy).collect();
    best.sort_by(|a, b| a.time.value.total_cmp(&b.time.value));
    let mut lowest = f64::INFINITY;
    best.retain(|point| {
        let lower = point.memory.value < lowest;
        lowest = lowest.min(point.memory.value);
        lower
    });
    let places = best.iter().map(|point| at(point)).map(|(x, y)| format!("{} {}", length(x), length(y)));
    let places: Vec<String> = places.collect();
    if places.len() < 2 { String::new() } else { format!("M{}", places.join("L")) }
}

/// Where each name stands (the left end of its base line): beside its marker, where it covers the least. Those
/// that are placed first choose first, so Stratalloc does.
fn label_places(points: &[Point], at: &impl Fn(&Point) -> (f64, f64), frame: Area) -> Vec<(f64, f64)> {
    const HEIGHT: f64 = 14.0;
    let mut taken: Vec<Area> = points.iter().map(at).map(|(x, y)| (x - 7.0, y - 7.0, x + 7.0, y + 7.0)).collect();
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|&index| points[index].entrant.role != Role::Own);
    let mut places = vec![(0.0, 0.0); points.len()];
    for index in order {
        let (x, y) = at(&points[index]);
        // Twelve-pixel letters of the page's font are seldom wider than seven pixels.
        let width = 6.9 * points[index].entrant.label().chars().count() as f64;
        let beside = [
            (x + 10.0, y + 4.0),
            (x - 10.0 - width, y + 4.0),
            (x - width / 2.0, y - 10.0),
            (x - width / 2.0, y + 20.0),
            (x + 8.0, y - 8.0),
            (x + 8.0, y + 16.0),
            (x - 8.0 - width, y - 8.0),
            (x - 8.0 - width, y + 16.0),
            (x + 14.0, y - 20.0),
            (x + 14.0, y + 28.0),
            (x - 14.0 - width, y - 20.0),
            (x - 14.0 - width, y + 28.0),
        ];
        let area = |(left, base): (f64, f64)| (left, base - HEIGHT + 2.0, left + width, base + 2.0);
        let cost = |candidate: &(f64, f64)| {
            let area = area(*candidate);
            let covered: f64 = taken.iter().map(|&other| overlap(area, other)).sum();
            covered + 4.0 * (width * HEIGHT - overlap(area, frame)).max(0.0)
        };
        let best = beside.into_iter().enumerate().min_by(|(i, a), (j, b)| {
            // Of equally free places the earlier: it is nearer.
            (cost(a) + *i as f64 * 0.5).total_cmp(&(cost(b) + *j as f64 * 0.5))
        });
        let place = best.map_or((x, y), |(_, place)| place);
        taken.push(area(place));
        places[index] = place;
    }
    places
}

/// The means as a table, fastest first.
fn ranking(field: &Field) -> Markup {
    const COLUMNS: [(Metric, &str); 4] =
        [(Metric::Wall, "time"), (Metric::Cpu, "CPU"), (Metric::PeakRss, "peak"), (Metric::RestRss, "at rest")];
    let mean = |metric: Metric, column: usize| field.measure(metric).means[column];
    let all = field.measure(Metric::Wall).matrix.rows.len();
    let mut order: Vec<usize> = (0..field.entrants.len()).collect();
    let key = |column: &usize| mean(Metric::Wall, *column).map_or(f64::INFINITY, |mean| mean.value);
    order.sort_by(|a, b| key(a).total_cmp(&key(b)));
    html! {
        div.scroll {
            table.plain {
                thead { tr {
                    th data-sort[false] { "contender" }
                    @for (_, words) in COLUMNS { th data-sort="" scope="col" { (words) } }
                } }
                tbody {
                    @for column in order {
                        @let entrant = &field.entrants[column];
                        tr.own[entrant.role == Role::Own] data-c=(entrant.slot) {
                            th scope="row" {
                                (named(entrant)) " " small.note.version { (entrant.record.version) }
                                @if let Some(mean) = mean(Metric::Wall, column).filter(|mean| mean.rows < all) {
                                    " " small.note title="it has no counted run on the others" {
                                        "(" (mean.rows) " of " (all) ")"
                                    }
                                }
                            }
                            @for (metric, _) in COLUMNS {
                                @match mean(metric, column) {
                                    Some(mean) => {
                                        td title=(interval(&mean)) data-value=(mean.value) { (ratio(mean.value)) }
                                    }
                                    None => { td title=(missing(entrant)) { (NONE) } }
                                }
                            }
                        }
                    }
                }
            }
            p.note {
                "Geometric means of the ratios to each workload's best: wall and CPU time, memory at its peak "
                "and at rest. Hover for the intervals."
            }
        }
    }
}

/// Why a contender has no figure.
pub fn missing(entrant: &Entrant) -> String {
    match &entrant.record.failure {
        Some(failure) => format!("could not take part: {failure}"),
        None => "no counted run".to_owned(),
    }
}

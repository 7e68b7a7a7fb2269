//! Memory over time, as the harness watched it, and over work, as workloads report it by themselves.

use maud::{Markup, html};
use stratalloc_bench_protocol::Group;

use super::figures::{counted, kib, listed, seconds, tick};
use super::heat::group_words;
use super::plot::{Axis, Curve, SMALL, Ticks, plot};
use super::scale::{Scale, extent};
use super::view::Field;
use crate::store::{Kind, Sample};

/// Points that a curve has at most: the drawing is 300 units wide.
const POINTS: usize = 150;

/// An axis in KiB from zero, with round numbers of MiB.
pub fn kib_axis(highest: f64) -> Axis {
    let mib = Scale::linear((0.0, (highest / 1024.0).max(0.001)), (0.0, 1.0));
    let mut ticks = mib.ticks(4);
    // Above a GiB round numbers are powers of two's.
    if highest >= 1024.0 * 1024.0 {
        let gib = Scale::linear((0.0, highest / 1024.0 / 1024.0), (0.0, 1.0));
        ticks = gib.ticks(4).into_iter().map(|tick| tick * 1024.0).collect();
    }
    let word = |mib: f64| match mib {
        0.0 => "0".to_owned(),
        mib if mib >= 1024.0 => format!("{} GiB", tick(mib / 1024.0)),
        mib => format!("{} MiB", tick(mib)),
    };
    Axis {
        scale: Scale::linear((0.0, highest.max(1.0) * 1.04), SMALL.upward()),
        ticks: ticks.into_iter().map(|mib| (mib * 1024.0, word(mib))).collect(),
    }
}

/// Fewer points of a course: of each stretch the one with the highest value, so that no peak is lost.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= POINTS {
        return points;
    }
    let last = points.last().copied();
    let stretches = points.chunks(points.len().div_ceil(POINTS));
    let highest = stretches.filter_map(|stretch| stretch.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)));
    let mut kept: Vec<(f64, f64)> = highest.collect();
    if kept.last() != last.as_ref() {
        kept.extend(last);
    }
    kept
}

/// Contenders with their course of one workload.
type Courses = Vec<(usize, Vec<(f64, f64)>)>;

fn courses(field: &Field, workload: &str, of: impl Fn(&Sample) -> Vec<(f64, f64)>) -> Courses {
    let course = |column| Some((column, thinned(of(field.typical(workload, column)?))));
    (0..field.entrants.len()).filter_map(course).filter(|(_, points)| points.len() >= 3).collect()
}

fn floats(points: &[(u64, u64)]) -> Vec<(f64, f64)> {
    points.iter().map(|&(x, y)| (x as f64, y as f64)).collect()
}

/// A small plot of courses; `across` words the values laid off to the right.
fn small(field: &Field, workload: &str, courses: &Courses, across: Axis, words: &str) -> Markup {
    let highest = extent(courses.iter().flat_map(|(_, points)| points.iter().map(|point| point.1)));
    let upward = kib_axis(highest.map_or(1.0, |(_, high)| high));
    let curves = courses.iter().map(|(column, points)| {
        let top = extent(points.iter().map(|point| point.1)).map_or(0.0, |(_, high)| high);
        let last = points.last().map_or(0.0, |point| point.1);
        let title = format!("highest {}, last {}", kib(top), kib(last));
        Curve { entrant: &field.entrants[*column], points: points.clone(), title, marked: false }
    });
    let label = format!("{workload}: resident memory over {words} of {}", counted(courses.len(), "contender"));
    html! {
        figure.card {
            figcaption { (workload) " " small { "resident memory" } }
            (plot(SMALL, &label, (&across, words), &upward, curves.collect()))
        }
    }
}

/// Resident memory over time; nothing where nothing was watched.
pub fn over_time(field: &Field) -> Markup {
    let mut groups: Vec<(Group, Vec<Markup>)> = Vec::new();
    let mut short = Vec::new();
    for workload in field.workloads() {
        let courses = courses(field, &workload.name, |sample| floats(&sample.rss_over_time));
        if courses.is_empty() {
            let ran = (0..field.entrants.len())
                .any(|column| !field.samples(Kind::Throughput, &workload.name, column).is_empty());
            short.extend(ran.then_some(workload.name.as_str()));
            continue;
        }
        let longest = extent(courses.iter().flat_map(|(_, points)| points.iter().map(|point| point.0)));
        let longest = longest.map_or(1.0, |(_, high)| high.max(1.0));
        let scale = Scale::linear((0.0, longest), SMALL.across());
        let word = |value: f64| if value == 0.0 { "0".to_owned() } else { short_time(value) };
        let ticks: Ticks = scale.ticks(5).into_iter().map(|value| (value, word(value))).collect();
        let drawn = small(field, &workload.name, &courses, Axis { scale, ticks }, "time since the start");
        match groups.last_mut().filter(|(group, _)| *group == workload.group) {
            Some((_, plots)) => plots.push(drawn),
            None => groups.push((workload.group, vec![drawn])),
        }
    }
    if groups.is_empty() {
        return html! {};
    }
    // The scenes come nearest to what a reader knows.
    let open = groups.iter().position(|(group, _)| *group == Group::Scene).unwrap_or(0);
    html! {
        section id=(format!("{}-time", field.face)) {
            h2 { "Memory over time" }
            p.lede {
                "Resident memory of the process while it ran, of each contender the run whose wall time is its "
                "median. A shorter curve was faster; the tail is the time at rest after everything was freed. "
                "Hover a curve for its name."
            }
            @for (index, (group, plots)) in groups.into_iter().enumerate() {
                details open[index == open] {
                    summary { (group_words(group)) " " small { (counted(plots.len(), "plot")) } }
                    div.multiples { @for drawn in plots { (drawn) } }
                }
            }
            @if !short.is_empty() { p.note { "Too short to be watched: " (listed(&short)) "." } }
        }
    }
}

/// Milliseconds as ticks need them.
fn short_time(milliseconds: f64) -> String {
    let (value, unit) = if milliseconds >= 1000.0 { (milliseconds / 1000.0, "s") } else { (milliseconds, "ms") };
    format!("{} {unit}", tick(value))
}

/// Resident memory over work: fragmentation; nothing where no workload reports it.
pub fn over_work(field: &Field) -> Markup {
    let drawn = |name: &str| {
        let courses = courses(field, name, |sample| {
            sample.counted().map_or(Vec::new(), |outcome| floats(&outcome.rss_by_work))
        });
        let furthest = extent(courses.iter().flat_map(|(_, points)| points.iter().map(|point| point.0)))?;
        let scale = Scale::linear(furthest, SMALL.across());
        let ticks: Ticks = scale.ticks(5).into_iter().map(|value| (value, tick(value))).collect();
        Some(small(field, name, &courses, Axis { scale, ticks }, "steps of work"))
    };
    let plots: Vec<Markup> = field.workloads().into_iter().filter_map(|workload| drawn(&workload.name)).collect();
    if plots.is_empty() {
        return html! {};
    }
    html! {
        section id=(format!("{}-work", field.face)) {
            h2 { "Fragmentation over work" }
            p.lede {
                "Resident memory at even steps of the same work, reported by the workload itself. The live "
                "blocks are the same for all, so what a curve climbs beyond the lowest is fragmentation and "
                "caching."
            }
            div.multiples { @for plot in plots { (plot) } }
        }
    }
}

/// The median wall time of a workload's fastest contender, for words.
pub fn duration(field: &Field, workload: &str) -> Option<String> {
    let matrix = &field.measure(crate::stats::Metric::Wall).matrix;
    let row = matrix.rows.iter().find(|row| row.workload == workload)?;
    let best = row.cells[row.best?].as_ref()?;
    Some(seconds(best.spread.median))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_peaks_and_the_end() {
        let mut points: Vec<(f64, f64)> = (0..1000).map(|index| (f64::from(index), 10.0)).collect();
        points[333].1 = 99.0;
        let kept = thinned(points.clone());
        assert!(kept.len() <= POINTS + 1, "{} points", kept.len());
        assert!(kept.contains(&(333.0, 99.0)));
        assert_eq!(kept.last(), points.last());
        assert_eq!(thinned(points[..5].to_vec()), points[..5]);
    }

    #[test]
    fn memory_has_round_ticks() {
        let words = |highest: f64| kib_axis(highest).ticks.into_iter().map(|(_, word)| word).collect::<Vec<_>>();
        assert_eq!(words(100.0 * 1024.0), ["0", "50 MiB", "100 MiB"]);
        assert_eq!(words(2.2 * 1024.0 * 1024.0), ["0", "1 GiB", "2 GiB"]);
        assert_eq!(words(0.0)[0], "0");
    }
}

//! All workloads against all contenders, one table a metric: each cell's ratio to the best of its row as number and
//! colour.

use maud::{Markup, html};

use super::figures::{NONE, count, kib, percent, ratio, seconds};
use super::headline::interval;
use super::overview::missing;
use super::view::{Field, anchor};
use crate::stats::{Cell, Metric, Row};
use crate::store::Kind;
use stratalloc_bench_protocol::Group;

/// Up to which ratio a colour goes; beyond the last comes one more.
const STEPS: [(f64, &str); 8] = [
    (1.0001, "best"),
    (1.04, "to 1.04"),
    (1.10, "to 1.10"),
    (1.25, "to 1.25"),
    (1.5, "to 1.5"),
    (2.0, "to 2"),
    (3.0, "to 3"),
    (6.0, "to 6"),
];

/// A ratio's colour, as class of the style sheet.
pub fn shade(ratio: f64) -> String {
    format!("h{}", STEPS.iter().position(|&(bound, _)| ratio <= bound).unwrap_or(STEPS.len()))
}

/// A metric's value with its unit.
pub fn written(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Wall | Metric::Cpu => seconds(value),
        Metric::PeakRss | Metric::RestRss => kib(value),
        Metric::Faults | Metric::Switches => count(value),
    }
}

/// A metric's name on a tab.
pub fn tab(metric: Metric) -> &'static str {
    match metric {
        Metric::Wall => "Wall time",
        Metric::Cpu => "CPU time",
        Metric::PeakRss => "Peak memory",
        Metric::RestRss => "Memory at rest",
        Metric::Faults => "Page faults",
        Metric::Switches => "Context switches",
    }
}

/// A group's heading.
pub fn group_words(group: Group) -> &'static str {
    match group {
        Group::Classic => "Classics: published allocator benchmarks",
        Group::Scene => "Scenes: models of a kind of application",
        Group::Program => "Real programs under preload",
        Group::Growth => "Growth: the same work on more memory, or for longer",
    }
}

/// The section.
pub fn heat(field: &Field) -> Markup {
    // What matters most first.
    let order = [Metric::Wall, Metric::PeakRss, Metric::RestRss, Metric::Cpu, Metric::Faults, Metric::Switches];
    let shown: Vec<Metric> =
        order.into_iter().filter(|&metric| !field.measure(metric).matrix.rows.is_empty()).collect();
    html! {
        section id=(format!("{}-table", field.face)) {
            h2 { "Every workload, every contender" }
            p.lede {
                "Medians over the rounds as ratio to the best of the row (the null copy is never that). Hover a "
                "cell for the measured values, press a heading to sort, press a workload to read what it is."
            }
            div.scalekey aria-hidden="true" {
                @for (step, (_, words)) in STEPS.iter().enumerate() { span class=(format!("h{step}")) { (words) } }
                span.h8 { "beyond" }
            }
            @if shown.is_empty() { p.note { "Nothing has been measured yet." } }
            div.tabs {
                @for (index, &metric) in shown.iter().enumerate() {
                    @let id = format!("{}-tab-{index}", field.face);
                    input type="radio" name=(format!("{}-tab", field.face)) id=(id) checked[index == 0];
                    label for=(id) { (tab(metric)) }
                }
                @for &metric in &shown {
                    div.tab { div.scroll { (table(field, metric)) } }
                }
            }
        }
    }
}

fn table(field: &Field, metric: Metric) -> Markup {
    let measure = field.measure(metric);
    let row_of = |name: &str| measure.matrix.rows.iter().find(|row| row.workload == name);
    let mut groups: Vec<(Group, Vec<&Row>)> = Vec::new();
    for workload in field.workloads() {
        let Some(row) = row_of(&workload.name) else { continue };
        match groups.last_mut().filter(|(group, _)| *group == workload.group) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((workload.group, vec![row])),
        }
    }
    html! {
        table.heat {
            caption.note {
                (tab(metric)) ", ratio to the best of the row; noise here: ± " (percent(field.noise(metric)))
            }
            thead { tr {
                th scope="col" { "workload" }
                @for entrant in &field.entrants {
                    th scope="col" data-sort="" data-c=(entrant.slot) class=[entrant.emphasis()]
                        title=(entrant.record.name) { (entrant.label()) }
                }
            } }
            tbody { tr.mean {
                th scope="row" { "geometric mean" }
                @for (entrant, mean) in field.entrants.iter().zip(&measure.means) {
                    @match mean {
                        Some(mean) => {
                            @let title =
                                format!("{}: {}, over {} workloads", entrant.label(), interval(mean), mean.rows);
                            td class=(entrant.cell(mean.value)) data-c=(entrant.slot) title=(title) { (ratio(mean.value)) }
                        }
                        None => { td.none title=(missing(entrant)) { (NONE) } }
                    }
                }
            } }
            @for (group, rows) in groups {
                tbody {
                    tr { th.group colspan=(field.entrants.len() + 1) scope="rowgroup" { (group_words(group)) } }
                    @for row in rows { (row_cells(field, metric, row)) }
                }
            }
        }
    }
}

fn row_cells(field: &Field, metric: Metric, row: &Row) -> Markup {
    let models = field.results.workloads.iter().find(|workload| workload.name == row.workload);
    html! {
        tr {
            th scope="row" title=[models.map(|workload| workload.models.as_str())] {
                a href=(format!("#{}", anchor(field.face, &row.workload))) { (row.workload) }
            }
            @for (column, (entrant, cell)) in field.entrants.iter().zip(&row.cells).enumerate() {
                @match cell {
                    Some(cell) => {
                        @let title = format!("{} on {}: {}", entrant.label(), row.workload, in_full(metric, cell));
                        td class=(entrant.cell(cell.ratio)) data-c=(entrant.slot) title=(title) { (ratio(cell.ratio)) }
                    }
                    None => { td.none title=(why(field, &row.workload, column)) { (NONE) } }
                }
            }
        }
    }
}

/// `median 0.312 s, quartiles 0.310 s to 0.320 s, 5 rounds`.
pub fn in_full(metric: Metric, cell: &Cell) -> String {
    let spread = &cell.spread;
    let value = |value| written(metric, value);
    if spread.count < 2 {
        return format!("{}, one round", value(spread.median));
    }
    format!(
        "median {}, quartiles {} to {}, {} rounds",
        value(spread.median),
        value(spread.low),
        value(spread.high),
        spread.count
    )
}

/// Why a cell is empty.
fn why(field: &Field, workload: &str, column: usize) -> String {
    let entrant = &field.entrants[column];
    let failed = field.results.samples.iter().find_map(|sample| {
        let meant = sample.kind == Kind::Throughput
            && sample.face == field.face
            && sample.workload == workload
            && sample.contender == entrant.record.name;
        sample.failure.as_ref().filter(|_| meant)
    });
    match failed {
        Some(failure) => format!("{} failed on {workload}: {failure}", entrant.label()),
        None => format!("{} on {workload}: {}", entrant.label(), missing(entrant)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_grow_with_the_ratio() {
        let shades: Vec<String> = [1.0, 1.03, 1.1, 1.2, 1.4, 1.7, 2.5, 5.0, 50.0].map(shade).into();
        assert_eq!(shades, ["h0", "h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8"]);
        assert_eq!(shade(f64::NAN), "h8");
    }
}

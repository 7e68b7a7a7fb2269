//! Every workload in words, with all its measured figures.

use maud::{Markup, html};
use stratalloc_bench_protocol::Description;

use super::figures::{NONE, count, counted, ratio};
use super::heat::{group_words, in_full, shade, tab, written};
use super::look::named;
use super::memory::duration;
use super::scaling::extras;
use super::view::{Field, Role, anchor};
use crate::stats::Metric;
use crate::store::Face;

/// The section; nothing where there are no workloads.
pub fn workloads(field: &Field) -> Markup {
    let measured = |workload: &&Description| {
        field.measure(Metric::Wall).matrix.rows.iter().any(|row| row.workload == workload.name)
    };
    // Real programs have no other face than preload: elsewhere they are not missing.
    let mut workloads = field.workloads();
    workloads.retain(|workload| field.face == Face::Preload || measured(workload));
    if workloads.is_empty() {
        return html! {};
    }
    let mut group = None;
    html! {
        section id=(format!("{}-workloads", field.face)) {
            h2 { "The workloads, and all their figures" }
            p.lede { "What each one models, where it comes from, what it is sensitive to; the measured medians "
            "inside." }
            @for workload in workloads {
                @if group.replace(workload.group) != Some(workload.group) { h3 { (group_words(workload.group)) } }
                (details(field, workload))
            }
        }
    }
}

fn details(field: &Field, workload: &Description) -> Markup {
    html! {
        details.workload id=(anchor(field.face, &workload.name)) {
            summary { (workload.name) " " (chips(field, workload)) small { (workload.models) } }
            dl {
                dt { "Models" } dd { (workload.models) }
                dt { "Source" } dd { (workload.source) }
                dt { "Sensitive to" } dd { (workload.sensitive_to) }
                dt { "Threads" }
                dd {
                    (workload.threads)
                    @if !workload.scales_with_threads { " (fixed)" }
                    @if let Some(time) = duration(field, &workload.name) { "; the fastest contender "
                    "takes " (time) }
                }
                @if let Some(program) = &workload.program {
                    dt { "Program" }
                    dd {
                        "Debian's package " (program.package)
                        @if let Some(missing) = &program.missing { "; not measured here: " (missing) }
                    }
                }
            }
            (figures(field, workload))
        }
    }
}

/// How Stratalloc stands in a workload, in two words.
fn chips(field: &Field, workload: &Description) -> Markup {
    html! {
        @for (metric, words) in [(Metric::Wall, "time"), (Metric::PeakRss, "memory")] {
            @let row = field.measure(metric).matrix.rows.iter().find(|row| row.workload == workload.name);
            @if let Some(cell) = row.and_then(|row| row.cells[field.own()?].as_ref()) {
                span class=(format!("chip {}", shade(cell.ratio))) title="Stratalloc's ratio to the best" {
                    (words) " " (ratio(cell.ratio))
                }
                " "
            }
        }
    }
}

/// All metrics' medians of a workload.
fn figures(field: &Field, workload: &Description) -> Markup {
    let rows = Metric::ALL.map(|metric| {
        (metric, field.measure(metric).matrix.rows.iter().find(|row| row.workload == workload.name))
    });
    let rows: Vec<_> = rows.into_iter().filter_map(|(metric, row)| Some((metric, row?))).collect();
    if rows.is_empty() {
        return html! { p.note { "No counted run." } };
    }
    let own_figures: Vec<Vec<(&str, f64)>> =
        (0..field.entrants.len()).map(|column| extras(field, &workload.name, column)).collect();
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in own_figures.iter().flatten() {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let of = |column: usize, name: &str| own_figures[column].iter().find(|(n, _)| *n == name).map(|&(_, v)| v);
    let best = |name: &str| {
        let shown = (0..field.entrants.len()).filter(|&column| field.entrants[column].role != Role::Copy);
        shown.filter_map(|column| of(column, name)).fold(f64::INFINITY, f64::min)
    };
    let rounds = rows[0].1.cells.iter().flatten().map(|cell| cell.spread.count).max().unwrap_or(0);
    html! {
        div.scroll { table.heat {
            thead { tr {
                th scope="col" { "contender" }
                @for (metric, _) in &rows { th scope="col" data-sort="" { (tab(*metric)) } }
                @for name in &names { th scope="col" data-sort="" { (name) } }
            } }
            tbody { @for (column, entrant) in field.entrants.iter().enumerate() {
                tr data-c=(entrant.slot) {
                    th scope="row" { (named(entrant)) }
                    @for (metric, row) in &rows {
                        @match &row.cells[column] {
                            Some(cell) => {
                                @let title = format!("{}; {} of the best", in_full(*metric, cell), ratio(cell.ratio));
                                td class=(entrant.cell(cell.ratio)) data-value=(cell.spread.median) title=(title) {
                                    (written(*metric, cell.spread.median))
                                }
                            }
                            None => { td.none { (NONE) } }
                        }
                    }
                    @for name in &names {
                        @match of(column, name) {
                            Some(value) => {
                                td class=(entrant.cell(to_best(value, best(name)))) data-value=(value) { (number(value)) }
                            }
                            None => { td.none { (NONE) } }
                        }
                    }
                }
            } }
        } }
        p.note {
            "Medians of " (counted(rounds, "round")) "; colours as in the table above. Hover for the quartiles."
        }
    }
}

/// A figure's ratio to the lowest. Of a lowest of zero there is none: who has it too is best, all others are not.
fn to_best(value: f64, lowest: f64) -> f64 {
    match value {
        value if value <= lowest => 1.0,
        value if lowest > 0.0 => value / lowest,
        _ => f64::INFINITY,
    }
}

/// A figure without known unit.
fn number(value: f64) -> String {
    if value.abs() < 100.0 && value.fract() != 0.0 { ratio(value) } else { count(value) }
}

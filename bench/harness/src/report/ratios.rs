//! All contenders' ratios of a workload on one line, for time and for memory: who leads, and by how far.

use maud::{Markup, html};

use super::figures::{length, ratio, tick};
use super::heat::{group_words, in_full};
use super::look::marker;
use super::scale::Scale;
use super::view::{Field, Role, anchor};
use crate::stats::{Cell, Matrix, Metric, Row, quantile};

/// Where the scale may end; what is beyond is drawn at the right end.
const ENDS: [f64; 5] = [1.5, 2.0, 4.0, 8.0, 16.0];
/// The share of cells that the scale has to hold.
const HELD: f64 = 0.97;

/// The section; nothing where nothing was measured.
pub fn ratios(field: &Field) -> Markup {
    if field.measure(Metric::Wall).matrix.rows.is_empty() {
        return html! {};
    }
    html! {
        section id=(format!("{}-ratios", field.face)) {
            h2 { "Ratios of each workload" }
            p.lede {
                "Each contender's median as ratio to the best of the workload, on a logarithmic scale; 1, at the "
                "left, is the best. What is far beyond the rest stands in the column at the right end. The star "
                "is Stratalloc."
            }
            div.halves {
                (side(field, Metric::Wall, "Time"))
                (side(field, Metric::PeakRss, "Peak memory"))
            }
        }
    }
}

fn side(field: &Field, metric: Metric, words: &str) -> Markup {
    let matrix = &field.measure(metric).matrix;
    let end = end(matrix);
    let scale = Scale::logarithmic((1.0, end), (2.5, 90.0));
    let ticks = scale.ticks(6);
    let place = |value: f64| format!("{}%", if value > end { "97".to_owned() } else { length(scale.at(value)) });
    let mut group = None;
    html! {
        div {
            h3 { (words) }
            div.rows.two {
                div {}
                svg.track.ticks aria-hidden="true" {
                    @for &value in &ticks { text x=(place(value)) y="12" text-anchor="middle" { (tick(value)) } }
                    text x="97%" y="12" text-anchor="middle" { ">" (tick(end)) }
                }
                @for workload in field.workloads() {
                    @if let Some(row) = matrix.rows.iter().find(|row| row.workload == workload.name) {
                        @if group.replace(workload.group) != Some(workload.group) {
                            div.group { (group_words(workload.group)) }
                        }
                        div.name { a href=(format!("#{}", anchor(field.face, &row.workload))) { (row.workload) } }
                        svg.track role="img" aria-label=(format!("{}, {}", row.workload, spoken(field, row))) {
                            @for x in ticks.iter().map(|&value| place(value)) { line.grid x1=(x) x2=(x) y1="0" y2="26" {} }
                            line.frame x1=(place(1.0)) x2="99.5%" y1="13" y2="13" {}
                            @for (column, cell) in ordered(field, row) {
                                @let entrant = &field.entrants[column];
                                @let title = format!("{} {}: {}", entrant.label(), ratio(cell.ratio), in_full(metric, cell));
                                (marker(entrant, &place(cell.ratio), "13", &title))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The smallest end of the scale that holds nearly all cells.
fn end(matrix: &Matrix) -> f64 {
    let cells = matrix.rows.iter().flat_map(|row| row.cells.iter().flatten());
    let mut all: Vec<f64> = cells.map(|cell| cell.ratio).collect();
    all.sort_by(f64::total_cmp);
    let most = quantile(&all, HELD).unwrap_or(1.0);
    ENDS.into_iter().find(|&end| most <= end).unwrap_or(ENDS[ENDS.len() - 1])
}

/// The cells in the order of drawing: far before near, Stratalloc over all.
fn ordered<'a>(field: &Field, row: &'a Row) -> Vec<(usize, &'a Cell)> {
    let mut cells: Vec<(usize, &Cell)> =
        row.cells.iter().enumerate().filter_map(|(column, cell)| Some((column, cell.as_ref()?))).collect();
    cells.sort_by(|a, b| {
        let own = |column: usize| field.entrants[column].role == Role::Own;
        own(a.0).cmp(&own(b.0)).then(b.1.ratio.total_cmp(&a.1.ratio))
    });
    cells
}

/// The row for a reader that does not see it.
fn spoken(field: &Field, row: &Row) -> String {
    let mut cells = ordered(field, row);
    cells.sort_by(|a, b| a.1.ratio.total_cmp(&b.1.ratio));
    let label = |column: usize| field.entrants[column].label();
    let words = cells.iter().map(|&(column, cell)| format!("{} {}", label(column), ratio(cell.ratio)));
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_holds_all_but_the_farthest() {
        let matrix = |ratios: &[f64]| {
            let cells = ratios.iter().map(|&ratio| vec![Some(ratio)]).collect();
            let names: Vec<String> = (0..ratios.len()).map(|index| format!("peer{index}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            Matrix::from_values(Metric::Wall, &names, vec![("one", cells)])
        };
        assert_eq!(end(&matrix(&[1.0, 1.2, 1.3])), 1.5);
        assert_eq!(end(&matrix(&[1.0, 1.2, 3.0])), 4.0);
        assert_eq!(end(&matrix(&[1.0, 100.0])), 16.0);
        let mut many = vec![1.0; 99];
        many.push(50.0);
        assert_eq!(end(&matrix(&many)), 1.5);
    }
}

//! The table, the same in Markdown, and the JSON.

use serde_json::{Value, json};

use crate::registry::{Entry, Kind};

/// A contender's figures in a case.
pub struct Figures<'a> {
    entry: &'a Entry,
    samples: &'a [f64],
    /// In nanoseconds for each operation: the median of the samples, or the least.
    figure: f64,
    /// To the fastest of its case and group.
    ratio: f64,
}

/// The cases, each once, in the order of the registry.
pub fn cases(entries: &[Entry]) -> Vec<&'static str> {
    let mut cases: Vec<_> = entries.iter().map(|entry| entry.case).collect();
    cases.dedup();
    cases
}

/// The middle one.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) }
}

/// The least.
pub fn least(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::INFINITY, f64::min)
}

/// By case and group, the fastest first; a contender's figure is `figure` of its samples.
pub fn results<'a>(entries: &'a [Entry], samples: &'a [Vec<f64>], figure: fn(&[f64]) -> f64) -> Vec<Figures<'a>> {
    let mut results: Vec<Figures<'a>> = Vec::new();
    for case in cases(entries) {
        for group in ["local", "shared"] {
            let mut figures: Vec<_> = entries
                .iter()
                .zip(samples)
                .filter(|(entry, _)| entry.case == case && entry.group == group)
                .map(|(entry, samples)| Figures { entry, samples, figure: figure(samples), ratio: 1.0 })
                .collect();
            figures.sort_by(|a, b| a.figure.total_cmp(&b.figure));
            let fastest = figures.first().map_or(1.0, |first| first.figure);
            for figure in &mut figures {
                figure.ratio = figure.figure / fastest;
            }
            results.append(&mut figures);
        }
    }
    results
}

fn fastest<'a>(case: &[&'a Figures<'a>], kind: Kind) -> Option<&'a Figures<'a>> {
    case.iter().copied().filter(|figure| figure.entry.kind == kind).min_by(|a, b| a.figure.total_cmp(&b.figure))
}

/// Our fastest against each other kind's fastest, for each case and group.
fn verdicts(results: &[Figures]) -> Vec<Value> {
    let mut verdicts = Vec::new();
    for part in results.chunk_by(|a, b| (a.entry.case, a.entry.group) == (b.entry.case, b.entry.group)) {
        let part: Vec<_> = part.iter().collect();
        let Some(ours) = fastest(&part, Kind::Ours) else { continue };
        for kind in [Kind::Other, Kind::Malloc] {
            if let Some(other) = fastest(&part, kind) {
                verdicts.push(json!({
                    "case": ours.entry.case,
                    "group": ours.entry.group,
                    "ours": ours.entry.contender,
                    "against": kind.name(),
                    "fastest": other.entry.contender,
                    "ratio": ours.figure / other.figure,
                }));
            }
        }
    }
    verdicts
}

/// How many times as long malloc, construction and drop take as each of our pools, for each malloc.
fn connections(results: &[Figures]) -> Vec<Value> {
    let part: Vec<_> = results.iter().filter(|figure| figure.entry.case == "connection").collect();
    let of = |kind| part.iter().filter(move |figure| figure.entry.kind == kind);
    of(Kind::Ours)
        .flat_map(|ours| {
            of(Kind::Malloc).map(|malloc| {
                json!({
                    "ours": ours.entry.contender,
                    "malloc": malloc.entry.contender,
                    "times": malloc.figure / ours.figure,
                })
            })
        })
        .collect()
}

pub fn print(results: &[Figures]) {
    let mut last = ("", "");
    for figure in results {
        let Entry { case, group, kind, contender, .. } = figure.entry;
        if last.0 != *case {
            println!("\n{case}");
        }
        if last != (case, group) {
            println!(
                "  {:24}{:8}{:>10}{:>10}{:>10}{:>8}",
                format!("{group}:"),
                "",
                "median",
                "min",
                "max",
                "ratio"
            );
            last = (case, group);
        }
        let least = least(figure.samples);
        let most = figure.samples.iter().copied().fold(0.0, f64::max);
        println!(
            "    {contender:22}{:8}{:>10.2}{least:>10.2}{most:>10.2}{:>8.2}",
            kind.name(),
            median(figure.samples),
            figure.ratio
        );
    }
    println!("\nnanoseconds for each operation; ratio to the fastest of the case and group");
    let verdicts = verdicts(results);
    if !verdicts.is_empty() {
        println!("\nour fastest against the others' fastest (at most 1.00 is the aim against crates)");
    }
    for verdict in &verdicts {
        println!(
            "  {:14}{:8}{:18}{:>6.2} × {}",
            text(&verdict["case"]),
            text(&verdict["group"]),
            text(&verdict["ours"]),
            verdict["ratio"].as_f64().unwrap_or(f64::NAN),
            text(&verdict["fastest"]),
        );
    }
    let connections = connections(results);
    if !connections.is_empty() {
        println!(
            "\na connection by malloc takes so many times as long as from our pools (at least 3.0 is the aim)"
        );
    }
    for row in &connections {
        let times = row["times"].as_f64().unwrap_or(f64::NAN);
        println!("  {:18}{:20}{times:>8.1}", text(&row["ours"]), text(&row["malloc"]));
    }
}

/// The results as the tables of docs/measurements.md: for each case and group all contenders, the fastest first.
pub fn markdown(results: &[Figures], rounds: usize, millis: u64, is_least: bool) -> String {
    let what = if is_least { "least" } else { "median" };
    let mut out = format!("{rounds} rounds of {millis} ms; {what} in nanoseconds, in parentheses the ratio.\n\n");
    out += "| case | group | ours | others, the fastest first | general allocators |\n|---|---|---|---|---|\n";
    for part in results.chunk_by(|a, b| (a.entry.case, a.entry.group) == (b.entry.case, b.entry.group)) {
        let column = |kind| {
            let of_kind = part.iter().filter(|figure| figure.entry.kind == kind);
            let cells: Vec<_> = of_kind
                .map(|figure| {
                    let Figures { entry, figure, ratio, .. } = figure;
                    format!("{} {figure:.2} ({ratio:.2})", entry.contender)
                })
                .collect();
            cells.join(", ")
        };
        let Entry { case, group, .. } = part[0].entry;
        let [ours, others, mallocs] = [Kind::Ours, Kind::Other, Kind::Malloc].map(column);
        out += &format!("| `{case}` | {group} | {ours} | {others} | {mallocs} |\n");
    }
    out += "\n| case | group | our fastest | ratio to | |\n|---|---|---|---|---|\n";
    for verdict in &verdicts(results) {
        out += &format!(
            "| `{}` | {} | {} | {} | {:.2} |\n",
            text(&verdict["case"]),
            text(&verdict["group"]),
            text(&verdict["ours"]),
            text(&verdict["fastest"]),
            verdict["ratio"].as_f64().unwrap_or(f64::NAN),
        );
    }
    let connections = connections(results);
    if !connections.is_empty() {
        out += "\n| a connection from | by malloc takes so many times as long |\n|---|---|\n";
    }
    for rows in connections.chunk_by(|a, b| a["ours"] == b["ours"]) {
        let cells: Vec<_> = rows
            .iter()
            .map(|row| format!("{} {:.1}", text(&row["malloc"]), row["times"].as_f64().unwrap_or(f64::NAN)))
            .collect();
        out += &format!("| {} | {} |\n", text(&rows[0]["ours"]), cells.join(", "));
    }
    out
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// All samples.
pub fn json(results: &[Figures], rounds: usize, millis: u64, is_least: bool) -> String {
    let rows: Vec<_> = results
        .iter()
        .map(|figure| {
            json!({
                "case": figure.entry.case,
                "group": figure.entry.group,
                "kind": figure.entry.kind.name(),
                "contender": figure.entry.contender,
                "figure_ns": figure.figure,
                "median_ns": median(figure.samples),
                "ratio": figure.ratio,
                "samples_ns": figure.samples,
            })
        })
        .collect();
    let whole = json!({
        "rounds": rounds,
        "millis": millis,
        "figure": if is_least { "least" } else { "median" },
        "results": rows,
        "verdicts": verdicts(results),
        "connections": connections(results),
    });
    format!("{whole:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(least(&[4.0, 1.0, 2.0]), 1.0);
    }

    #[test]
    fn ratios_are_within_a_case_and_group() {
        let entry = |group, kind, contender| Entry {
            case: "case",
            group,
            kind,
            contender,
            run: |_| unreachable!("nothing is measured here"),
        };
        let entries = [
            entry("shared", Kind::Other, "slow"),
            entry("local", Kind::Other, "alone"),
            entry("shared", Kind::Ours, "fast"),
        ];
        let samples = [vec![6.0], vec![1.0], vec![3.0]];
        let results = results(&entries, &samples, median);
        let row = |figure: &Figures| (figure.entry.contender, figure.ratio);
        assert_eq!(results.iter().map(row).collect::<Vec<_>>(), [("alone", 1.0), ("fast", 1.0), ("slow", 2.0)]);
        let table = markdown(&results, 1, 2, false);
        assert!(table.contains("| `case` | shared | fast 3.00 (1.00) | slow 6.00 (2.00) |  |\n"), "{table}");
        assert!(table.contains("| `case` | local |  | alone 1.00 (1.00) |  |\n"), "{table}");
        assert!(table.contains("| `case` | shared | fast | slow | 0.50 |\n"), "{table}");
        let verdicts = verdicts(&results);
        assert_eq!(verdicts.len(), 1);
        assert_eq!(verdicts[0]["ratio"], 0.5);
    }
}

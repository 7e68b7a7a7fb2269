//! The tables on a terminal. Cells are ratios to the row's best, the best value stands in a column of its own;
//! what was not measured or failed is a dash.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};

use crate::contenders;
use crate::series;
use crate::session;
use crate::stats::{Interval, Matrix, Metric, Pairing};
use crate::store::{Face, Machine, Results, is_peer};

/// Everything, as text.
pub fn tables(results: &Results) -> String {
    let mut text = circumstances(results);
    for face in results.faces() {
        let title = match face {
            Face::Preload => "Preloaded libraries",
            Face::Rust => "Global allocators of a Rust program",
        };
        let matrices: Vec<Matrix> = Metric::ALL.map(|metric| Matrix::of(results, face, metric)).into();
        if matrices.iter().any(|matrix| !matrix.rows.is_empty()) {
            let _ = writeln!(text, "\n== {title} ==");
        }
        for matrix in matrices.iter().filter(|matrix| !matrix.rows.is_empty()) {
            text += &ratios(matrix);
        }
        text += &against_each(&matrices, face);
        text += &own_figures(results, face);
        text += &latencies(results, face);
        text += &scaling(results, face);
        text += &instructions(results, face);
    }
    text += &remarks(results);
    text
}

fn circumstances(results: &Results) -> String {
    let (machine, plan) = (&results.machine, &results.plan);
    let Machine { cpu, cores, kernel, libc, rustc, date, .. } = machine;
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    let governor = known(&machine.governor);
    let pages = known(&machine.huge_pages);
    format!(
        "{cpu}, {cores} cores, {:.1} GiB; Linux {kernel}, {libc}, {rustc}; governor {governor}, huge pages {pages}; {date}\n\
         {} rounds, scale {}, seed {}, memory at rest after {} ms\n",
        machine.memory as f64 / 1024.0 / 1024.0,
        plan.rounds,
        plan.scale,
        plan.seed,
        plan.rest,
    )
}

/// A table with its first column left and all others right.
fn table(head: Vec<String>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(head);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// For a second column of words.
fn second_left(table: &mut Table) {
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Left);
    }
}

fn dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

/// One metric.
fn ratios(matrix: &Matrix) -> String {
    let columns: Vec<usize> =
        (0..matrix.contenders.len()).filter(|&c| matrix.rows.iter().any(|row| row.cells[c].is_some())).collect();
    let mut head = vec!["workload".to_owned(), "best".to_owned()];
    head.extend(columns.iter().map(|&column| matrix.contenders[column].clone()));
    let mut body = table(head);
    for row in &matrix.rows {
        let best = row.best.and_then(|best| row.cells[best].as_ref());
        let mut line =
            vec![row.workload.clone(), dash(best.map(|cell| matrix.metric.display(cell.spread.median)))];
        line.extend(columns.iter().map(|&column| {
            let cell = row.cells[column].as_ref();
            dash(cell.map(|cell| {
                let mark = if row.best == Some(column) { "*" } else { "" };
                let half = (cell.spread.high - cell.spread.low) / 2.0 / cell.spread.median * 100.0;
                let spread = if cell.spread.count > 1 { format!(" ±{half:.0}%") } else { String::new() };
                format!("{mark}{:.2}{spread}", cell.ratio)
            }))
        }));
        body.add_row(line);
    }
    let mut add_means = |title: &str, means: &[Option<Interval>]| {
        let mut line = vec![title.to_owned(), String::new()];
        line.extend(columns.iter().map(|&column| dash(means[column].map(|mean| format!("{:.3}", mean.value)))));
        body.add_row(line);
        let mut bounds = vec!["  95 % interval".to_owned(), String::new()];
        let range = |mean: Interval| mean.bounds.map(|(low, high)| format!("{low:.3}..{high:.3}"));
        bounds.extend(columns.iter().map(|&column| dash(means[column].and_then(range))));
        body.add_row(bounds);
    };
    add_means("geometric mean to best", &matrix.means_to_best());
    add_means("… to best other peer", &matrix.means_to_best_peer());
    let partial: Vec<String> = columns
        .iter()
        .map(|&column| (column, matrix.rows.iter().filter(|row| row.cells[column].is_some()).count()))
        .filter(|&(_, count)| count < matrix.rows.len())
        .map(|(column, count)| format!("{} {count}", matrix.contenders[column]))
        .collect();
    let mut text = format!(
        "\n{} (ratio to the row's best *, ± half the range between quartiles)\n{body}\n",
        matrix.metric.title()
    );
    if !partial.is_empty() {
        let _ = writeln!(text, "of {} rows only: {}", matrix.rows.len(), partial.join(", "));
    }
    if let Some(noise) = matrix.noise() {
        let _ = writeln!(
            text,
            "noise: {} over its copy {}; half of the rows are within {:.1} %, nine in ten within {:.1} %",
            contenders::OWN,
            noise.mean,
            noise.typical * 100.0,
            noise.wide * 100.0
        );
    }
    text
}

/// Stratalloc against each other contender, in times and memory.
fn against_each(matrices: &[Matrix], face: Face) -> String {
    let ours = own_name(face);
    let Some(wall) = matrices.iter().find(|matrix| matrix.metric == Metric::Wall) else { return String::new() };
    if wall.column(ours).is_none() {
        return String::new();
    }
    let mut head = vec![format!("{ours} over")];
    for metric in [Metric::Wall, Metric::Cpu, Metric::PeakRss, Metric::RestRss, Metric::Faults] {
        head.push(metric.word().to_owned());
        head.push("better:worse".to_owned());
    }
    let mut body = table(head);
    let compared: Vec<(&Matrix, f64)> =
        matrices.iter().filter(|m| m.metric != Metric::Switches).map(|m| (m, m.noise_bound())).collect();
    let mut any = false;
    for other in wall.contenders.iter().filter(|name| *name != ours) {
        let pairings: Vec<Option<Pairing>> =
            compared.iter().map(|(matrix, noise)| matrix.pairing(ours, other, *noise)).collect();
        if pairings.iter().all(Option::is_none) {
            continue;
        }
        any = true;
        let mut line = vec![other.clone()];
        for pairing in &pairings {
            line.push(dash(pairing.as_ref().map(|pairing| pairing.mean.to_string())));
            line.push(dash(pairing.as_ref().map(|p| format!("{}:{}", p.wins, p.losses))));
        }
        body.add_row(line);
    }
    if !any {
        return String::new();
    }
    format!(
        "\n{ours} against each: geometric mean of the ratios (below 1 it is better), 95 % interval, and on how many \
         workloads it is better and worse beyond noise\n{body}\n"
    )
}

/// What Stratalloc is called in a face.
pub fn own_name(face: Face) -> &'static str {
    match face {
        Face::Preload => contenders::OWN,
        Face::Rust => "global-stratalloc",
    }
}

fn latencies(results: &Results, face: Face) -> String {
    let all = series::latencies(results, face);
    if all.is_empty() {
        return String::new();
    }
    let head =
        ["workload", "contender", "calls", "p50", "p99", "p99.9", "max", "free: p50", "p99", "p99.9", "max"];
    let mut body = table(head.iter().map(|&word| word.to_owned()).collect());
    second_left(&mut body);
    let mut before = "";
    for of in &all {
        let mut line = vec![if of.workload == before { String::new() } else { of.workload.clone() }];
        before = &of.workload;
        line.push(of.contender.clone());
        let (allocate, free) = (series::Tail::of(&of.merged.allocate), series::Tail::of(&of.merged.free));
        line.push((of.merged.allocate.count() + of.merged.free.count()).to_string());
        for tail in [allocate, free] {
            let figures = tail.map(|tail| [tail.p50, tail.p99, tail.p999, tail.max]);
            line.extend((0..4).map(|place| dash(figures.map(|figures| figures[place].to_string()))));
        }
        body.add_row(line);
    }
    format!("\nlatency of single calls, ns (the clock's own time is in it: compare, don't add)\n{body}\n")
}

fn scaling(results: &Results, face: Face) -> String {
    let all = series::scaling(results, face);
    let mut counts: Vec<u32> = all.iter().flat_map(|of| of.points.iter().map(|&(threads, _)| threads)).collect();
    counts.sort_unstable();
    counts.dedup();
    if counts.is_empty() {
        return String::new();
    }
    let mut head = vec!["workload".to_owned(), "contender".to_owned()];
    head.extend(counts.iter().map(|count| format!("{count} thr.")));
    let mut body = table(head);
    second_left(&mut body);
    let mut before = "";
    for of in &all {
        let mut line = vec![if of.workload == before { String::new() } else { of.workload.clone() }];
        before = &of.workload;
        line.push(of.contender.clone());
        line.extend(counts.iter().map(|count| {
            let point = of.points.iter().find(|(threads, _)| threads == count);
            dash(point.map(|(_, spread)| format!("{:.2}", spread.median / 1e6)))
        }));
        body.add_row(line);
    }
    format!("\nscaling with threads, million operations a second\n{body}\n")
}

/// Counts of one face; empty where there are none.
pub fn instructions(results: &Results, face: Face) -> String {
    let all = series::instructions(results, face);
    let mut sizes: Vec<u64> = all.iter().map(|&(size, ..)| size).collect();
    sizes.dedup();
    if sizes.is_empty() {
        return String::new();
    }
    let mut head = vec!["contender".to_owned()];
    head.extend(sizes.iter().map(|size| format!("{size} B")));
    let mut body = table(head);
    for record in results.contenders.iter().filter(|record| record.face == face) {
        let of = |size: &u64| all.iter().find(|(s, name, _)| s == size && *name == record.name).map(|&(.., n)| n);
        if sizes.iter().all(|size| of(size).is_none()) {
            continue;
        }
        let mut line = vec![record.name.clone()];
        line.extend(sizes.iter().map(|size| dash(of(size).map(|count| format!("{count:.1}")))));
        body.add_row(line);
    }
    format!("\ninstructions of a malloc and its free, with the loop around them\n{body}\n")
}

/// What workloads report by themselves.
fn own_figures(results: &Results, face: Face) -> String {
    let rows = series::own_figures(results, face);
    if rows.is_empty() {
        return String::new();
    }
    let mut head = vec!["workload".to_owned(), "figure, lower is better".to_owned()];
    head.extend(results.contenders.iter().filter(|record| record.face == face).map(|record| record.name.clone()));
    let mut body = table(head);
    second_left(&mut body);
    for (workload, figure, values) in rows {
        let mut line = vec![workload, figure];
        line.extend(values.into_iter().map(|value| dash(value.map(|value| format!("{value:.2}")))));
        body.add_row(line);
    }
    format!("\nfigures of the workloads' own (medians)\n{body}\n")
}

/// Failures, disturbance, lagging versions, notes.
fn remarks(results: &Results) -> String {
    let mut text = String::new();
    let mut list = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{title}");
            lines.iter().for_each(|line| {
                let _ = writeln!(text, "  {line}");
            });
        }
    };
    let records = || results.contenders.iter().filter(|record| is_peer(&record.name) && record.failure.is_none());
    list(
        "Older than upstream's newest release:",
        records().filter_map(|r| Some(format!("{} {}: {}", r.name, r.version, r.lags_behind.as_ref()?))).collect(),
    );
    list(
        "Notes:",
        records().filter_map(|r| Some(format!("{} {}: {}", r.name, r.version, r.note.as_ref()?))).collect(),
    );
    list("Not measured, for want of a program:", session::missing_programs(results));
    let disturbed = results.samples.iter().filter(|sample| sample.disturbed).count();
    if disturbed > 0 {
        let limit = results.plan.disturbance * 100.0;
        let all = results.samples.len();
        let line = format!(
            "{disturbed} of {all} samples, repeated in vain: others used more than {limit:.0} % of a core"
        );
        list("Disturbed:", vec![line]);
    }
    list("FAILED:", session::failures(results));
    text
}

//! What changed from one results file to another, beyond noise.
//!
//! Times of different days are not comparable on most machines. The peers ran in turn with Stratalloc in both
//! files, so what is compared is Stratalloc's time over the geometric mean of the peers that both files have. Memory and
//! page faults do not depend on the machine's mood: they are compared as they are. A change counts where its
//! bootstrap interval excludes 1 and it is above what Stratalloc and its null copy differ by in either file.

use std::fmt::Write as _;

use crate::session;
use crate::stats::{self, Interval, Matrix, Metric, RESAMPLES, Row, geometric_mean};
use crate::store::{Face, Results, is_peer};
use crate::terminal::own_name;

/// What a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Lower beyond noise.
    Better,
    /// Higher beyond noise.
    Worse,
    /// Neither.
    Level,
}

/// A workload's change.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which.
    pub workload: String,
    /// New over old.
    pub ratio: Interval,
    /// Whether that is more than noise.
    pub verdict: Verdict,
}

/// One metric's changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// Which.
    pub metric: Metric,
    /// The bound under which a workload's change is noise.
    pub noise: f64,
    /// Whether it is relative to the peers.
    pub relative: bool,
    /// Geometric mean over the workloads.
    pub mean: Interval,
    /// Of the mean: beyond its interval and a quarter of the bound for single workloads, at least one percent.
    pub verdict: Verdict,
    /// By workload.
    pub rows: Vec<Change>,
}

/// Everything about one face.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Which.
    pub face: Face,
    /// The peers in both files, by whom times are scaled.
    pub peers: Vec<String>,
    /// New over old times of the peers themselves: the machine's drift.
    pub drift: Option<f64>,
    /// By metric.
    pub changes: Vec<Changes>,
}

/// Compares all faces in which both files have Stratalloc. An error if the files' parameters differ, or there is none.
pub fn compare(old: &Results, new: &Results) -> Result<Vec<Comparison>, String> {
    if let Some(difference) = session::plan_differs(&old.plan, &new.plan) {
        return Err(format!("the files cannot be compared: the first was measured with {difference}"));
    }
    let faces = [Face::Preload, Face::Rust];
    let comparisons: Vec<Comparison> = faces.into_iter().filter_map(|face| of_face(old, new, face)).collect();
    if comparisons.is_empty() {
        return Err(format!("the files share no workload that both measured with {}", own_name(Face::Preload)));
    }
    Ok(comparisons)
}

fn of_face(old: &Results, new: &Results, face: Face) -> Option<Comparison> {
    let peers: Vec<String> = old
        .contenders
        .iter()
        .filter(|record| record.face == face && is_peer(&record.name))
        .map(|record| record.name.clone())
        .filter(|name| [old, new].iter().all(|file| has_samples(file, name, face)))
        .collect();
    let mut drift = None;
    let mut changes = Vec::new();
    for metric in Metric::ALL {
        let (before, after) = (Matrix::of(old, face, metric), Matrix::of(new, face, metric));
        if metric == Metric::Wall {
            drift = drift_of(&before, &after, &peers);
        }
        changes.extend(of_metric(&before, &after, own_name(face), &peers));
    }
    (!changes.is_empty()).then_some(Comparison { face, peers, drift, changes })
}

fn has_samples(results: &Results, name: &str, face: Face) -> bool {
    results.samples.iter().any(|s| s.contender == name && s.face == face && s.counted().is_some())
}

/// Columns of the old and the new matrix that are compared.
struct Columns {
    own: (usize, usize),
    peers: Vec<(usize, usize)>,
}

fn of_metric(old: &Matrix, new: &Matrix, own: &str, peers: &[String]) -> Option<Changes> {
    let relative = old.metric.is_time() && !peers.is_empty();
    let both = |name: &str| old.column(name).zip(new.column(name));
    let scaled_by = if relative { peers } else { &[] };
    let columns = Columns { own: both(own)?, peers: scaled_by.iter().filter_map(|name| both(name)).collect() };
    let shared: Vec<(&Row, &Row)> = old
        .rows
        .iter()
        .filter_map(|row| Some((row, new.rows.iter().find(|other| other.workload == row.workload)?)))
        .filter(|(before, after)| change(before, after, &columns, None).is_some())
        .collect();
    if shared.is_empty() {
        return None;
    }
    let noise = old.noise_bound().max(new.noise_bound());
    let (rows, mean) = bootstrap(&shared, &columns);
    let judge = |ratio: &Interval, bound: f64| match ratio.value.ln() {
        _ if !ratio.excludes_one() => Verdict::Level,
        change if change.abs() <= bound.ln_1p() => Verdict::Level,
        change if change < 0.0 => Verdict::Better,
        _ => Verdict::Worse,
    };
    let rows = shared.iter().zip(rows).map(|((row, _), ratio)| {
        let verdict = judge(&ratio, noise);
        Change { workload: row.workload.clone(), ratio, verdict }
    });
    let rows = rows.collect();
    let verdict = judge(&mean, (noise / 4.0).max(0.01));
    Some(Changes { metric: old.metric, noise, relative, mean, verdict, rows })
}

/// New over old of one workload, for given draws of the rounds or all of them.
fn change(old: &Row, new: &Row, columns: &Columns, draws: Option<(&[usize], &[usize])>) -> Option<f64> {
    let (draw_old, draw_new) = (draws.map(|(old, _)| old), draws.map(|(_, new)| new));
    let middle =
        |row: &Row, column: usize, draw: Option<&[usize]>| row.cells[column].as_ref().map(|c| c.median(draw));
    let own = middle(new, columns.own.1, draw_new)? / middle(old, columns.own.0, draw_old)?;
    let peers: Vec<f64> = columns
        .peers
        .iter()
        .filter_map(|&(before, after)| Some(middle(new, after, draw_new)? / middle(old, before, draw_old)?))
        .collect();
    if columns.peers.is_empty() {
        return Some(own);
    }
    // A workload on which no peer ran in both files has no measure.
    geometric_mean(&peers).map(|drift| own / drift)
}

/// Each workload's interval, and that of their geometric mean.
fn bootstrap(shared: &[(&Row, &Row)], columns: &Columns) -> (Vec<Interval>, Interval) {
    let mut random = stats::random();
    let values: Vec<f64> = shared.iter().filter_map(|(old, new)| change(old, new, columns, None)).collect();
    let mut of_rows = vec![Vec::with_capacity(RESAMPLES); shared.len()];
    let mut of_mean = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let mut sum = 0.0;
        for ((old, new), draws) in shared.iter().zip(&mut of_rows) {
            let (before, after) = (stats::draw(&mut random, old.rounds()), stats::draw(&mut random, new.rounds()));
            let ratio = change(old, new, columns, Some((&before, &after))).unwrap_or(1.0);
            draws.push(ratio);
            sum += ratio.ln();
        }
        of_mean.push((sum / shared.len() as f64).exp());
    }
    let varied = |(old, new): &(&Row, &Row)| old.rounds() > 1 && new.rounds() > 1;
    let all_varied = shared.iter().any(varied);
    let mean = stats::interval(geometric_mean(&values).unwrap_or(1.0), &mut of_mean, shared.len(), all_varied);
    let rows = shared.iter().zip(values).zip(&mut of_rows);
    (rows.map(|((pair, value), draws)| stats::interval(value, draws, 1, varied(pair))).collect(), mean)
}

/// How much slower the common peers themselves were in the new file.
fn drift_of(old: &Matrix, new: &Matrix, peers: &[String]) -> Option<f64> {
    let mut ratios = Vec::new();
    for row in &old.rows {
        let Some(other) = new.rows.iter().find(|other| other.workload == row.workload) else { continue };
        for name in peers {
            let (Some(before), Some(after)) = (old.column(name), new.column(name)) else { continue };
            if let (Some(before), Some(after)) = (&row.cells[before], &other.cells[after]) {
                ratios.push(after.spread.median / before.spread.median);
            }
        }
    }
    geometric_mean(&ratios)
}

/// What only one of the files has.
pub fn only_in_one(old: &Results, new: &Results) -> Vec<String> {
    let measured = |results: &Results, pick: fn(&crate::store::Sample) -> String| {
        results
            .samples
            .iter()
            .filter(|s| s.counted().is_some())
            .map(pick)
            .collect::<std::collections::BTreeSet<_>>()
    };
    let mut lines = Vec::new();
    let mut tell = |what: &str, pick: fn(&crate::store::Sample) -> String| {
        let (before, after) = (measured(old, pick), measured(new, pick));
        for (file, own, other) in [("old", &before, &after), ("new", &after, &before)] {
            let only: Vec<&str> = own.difference(other).map(String::as_str).collect();
            if !only.is_empty() {
                lines.push(format!("{what} only in the {file} file: {}", only.join(", ")));
            }
        }
    };
    tell("contenders", |sample| format!("{} ({})", sample.contender, sample.face));
    tell("workloads", |sample| sample.workload.clone());
    lines
}

/// The comparison as text.
pub fn text(old: &Results, new: &Results) -> Result<String, String> {
    let mut text = String::new();
    for comparison in compare(old, new)? {
        let own = own_name(comparison.face);
        let _ = writeln!(text, "== {own}, {}: new over old, below 1 is better ==", comparison.face);
        match comparison.peers.as_slice() {
            [] => {
                let _ = writeln!(
                    text,
                    "no peer is in both files: times are compared as they are, which says nothing if the machine changed"
                );
            }
            peers => {
                let drift = comparison.drift.unwrap_or(1.0);
                let _ = writeln!(
                    text,
                    "times are relative to {} (geometric mean), whose own took {drift:.2} of the old",
                    peers.join(", ")
                );
            }
        }
        for changes in &comparison.changes {
            text += &lines(changes);
        }
    }
    if old.machine.cpu != new.machine.cpu || old.machine.kernel != new.machine.kernel {
        let name = |results: &Results| format!("{}, Linux {}", results.machine.cpu, results.machine.kernel);
        let _ = writeln!(text, "note: measured on different machines: {}; {}", name(old), name(new));
    }
    for line in only_in_one(old, new) {
        let _ = writeln!(text, "{line}");
    }
    Ok(text)
}

fn lines(changes: &Changes) -> String {
    let count = |verdict| changes.rows.iter().filter(|row| row.verdict == verdict).count();
    let word = |verdict: Verdict| match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "WORSE",
        Verdict::Level => "no change beyond noise",
    };
    let relative = if changes.relative { ", relative to peers" } else { "" };
    let mut text = format!(
        "\n{}{relative}: {} over {} workloads: {}; {} better, {} worse, {} within noise (a workload's bound is {:.1} %)\n",
        changes.metric.word(),
        changes.mean,
        changes.mean.rows,
        word(changes.verdict),
        count(Verdict::Better),
        count(Verdict::Worse),
        count(Verdict::Level),
        changes.noise * 100.0
    );
    let mut rows: Vec<&Change> = changes.rows.iter().filter(|row| row.verdict != Verdict::Level).collect();
    rows.sort_by(|a, b| a.ratio.value.total_cmp(&b.ratio.value));
    for row in rows {
        let _ = writeln!(text, "  {:<24} {:<7} {}", row.workload, word(row.verdict), row.ratio);
    }
    text
}

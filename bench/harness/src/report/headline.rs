//! The top of the page: one sentence that says where Stratalloc stands, four figures, and what to be wary of.
//!
//! All of it is generated from the figures; where they are missing (no peer, no Stratalloc, nothing measured) the
//! sentence says that instead.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::figures::{counted, length, listed, percent, ratio};
use super::look::marker;
use super::scale::{Scale, extent};
use super::view::{Field, Role, Standing, Standings, Verdict, anchor, plain_name};
use crate::stats::{Interval, Metric};
use crate::store::{Kind, Results};

/// How sure two contenders' means must differ where no null copy shows the machine's own noise.
const MEAN_NOISE: f64 = 0.01;

/// The verdict in one sentence.
pub fn verdict(field: &Field) -> Markup {
    let rows = &field.measure(Metric::Wall).matrix.rows;
    let workloads = rows.len();
    let single = rows.iter().flat_map(|row| row.cells.iter().flatten()).all(|cell| cell.spread.count < 2);
    let parts: Vec<Markup> = [(Metric::Wall, "time", "fastest"), (Metric::PeakRss, "peak memory", "leanest")]
        .into_iter()
        .filter_map(|(metric, what, title)| against_best(field, metric, what, title))
        .collect();
    html! {
        p.verdict {
            @if workloads == 0 {
                "No workload has been measured yet."
            } @else if let [time, memory] = &parts[..] {
                @if single { "In a single round, over " } @else { "Over " }
                (counted(workloads, "workload")) " Stratalloc needs " (time) ", and " (memory) "."
            } @else if field.own().is_none() {
                "Stratalloc is not among these contenders"
                @if let Some((fastest, _)) = field.best_peer(Metric::Wall) {
                    "; the fastest over " (counted(workloads, "workload")) " is " (field.entrants[fastest].label())
                }
                "."
            } @else {
                "Stratalloc was measured on " (counted(workloads, "workload")) ", but no peer beside it: how it "
                "stands can't be said."
            }
        }
        (against_each(field))
    }
}

/// The same workload by workload: no peer is the best in all of them, so this is the harder measure.
fn against_each(field: &Field) -> Markup {
    let shown: Vec<(&Standings, &Standing)> =
        field.standings.iter().filter_map(|standings| Some((standings, standings.rows.first()?))).collect();
    if shown.is_empty() {
        return html! {};
    }
    html! {
        p.second {
            "Workload by workload, against whichever peer is best there: "
            @for (index, (standings, worst)) in shown.iter().enumerate() {
                @if index > 0 { "; " }
                "in " (noun(standings.metric)) " "
                span.behind { "behind in " (standings.count(Verdict::Behind)) }
                ", level in " (standings.count(Verdict::Level)) ", "
                span.ahead { "ahead in " (standings.count(Verdict::Ahead)) }
                @if worst.ratio.value > 1.0 {
                    @let target = format!("#{}", anchor(field.face, &worst.workload));
                    " (worst: " a href=(target) { (worst.workload) } ", " (ratio(worst.ratio.value)) " of "
                    (field.entrants[worst.peer].label()) ")"
                }
            }
            "."
        }
    }
}

/// A metric within a sentence.
fn noun(metric: Metric) -> &'static str {
    match metric {
        Metric::Wall => "time",
        Metric::PeakRss => "peak memory",
        other => other.word(),
    }
}

/// `6 % less time than mimalloc2, the fastest peer`.
fn against_best(field: &Field, metric: Metric, what: &str, rank: &str) -> Option<Markup> {
    let own = &field.entrants[field.own()?];
    let (best, _) = field.best_peer(metric)?;
    let rival = &field.entrants[best];
    let matrix = &field.measure(metric).matrix;
    let pairing = matrix.pairing(&own.record.name, &rival.record.name, field.noise(metric))?;
    let value = pairing.mean.value;
    let verdict = Verdict::of(&pairing.mean, mean_noise(field, metric));
    let difference = match verdict {
        Verdict::Level => (format!("as much {what}"), "as"),
        Verdict::Ahead => (format!("{} less {what}", percent(1.0 - value)), "than"),
        Verdict::Behind if value >= 2.0 => (format!("{} times the {what}", ratio(value)), "of"),
        Verdict::Behind => (format!("{} more {what}", percent(value - 1.0)), "than"),
    };
    let title = format!("geometric mean of the ratios: {}", interval(&pairing.mean));
    Some(html! {
        span class=(verdict.class()) title=(title) { (difference.0) }
        " " (difference.1) " " (rival.label()) ", the " (rank) " peer"
    })
}

/// What the geometric means of two copies of one library differ by.
fn mean_noise(field: &Field, metric: Metric) -> f64 {
    let noise = field.measure(metric).matrix.noise();
    noise.map_or(MEAN_NOISE, |noise| noise.mean.value.ln().abs().exp_m1())
}

/// `1.06 (1.03 to 1.09)`.
pub fn interval(interval: &Interval) -> String {
    match interval.bounds {
        Some((low, high)) => format!("{} ({} to {})", ratio(interval.value), ratio(low), ratio(high)),
        None => format!("{} (one round: no interval)", ratio(interval.value)),
    }
}

/// Where, when and how much was measured.
pub fn circumstances(results: &Results) -> Markup {
    let machine = &results.machine;
    let rounds = results.plan.rounds as usize;
    let memory = super::figures::kib(machine.memory as f64);
    html! {
        p.circumstances {
            (machine.cpu) ", " (counted(machine.cores as usize, "core")) ", " (memory) " memory"
            " · Linux " (machine.kernel)
            " · " (machine.libc) " · " (machine.rustc)
            @if let Some(governor) = &machine.governor { " · governor " (governor) }
            @if let Some(setting) = &machine.huge_pages { " · huge pages: " (setting) }
            " · " span.whole { (moment(&machine.date)) } " · " (counted(rounds, "round"))
            @if results.plan.scale != 1.0 { " · scale " (super::figures::tick(results.plan.scale)) }
            @if let Some(threads) = results.plan.threads { " · " (counted(threads as usize, "thread")) }
            " · " (counted(results.samples.len(), "sample"))
        }
    }
}

/// `2026-11-22T15:04:00Z` as `2026-11-22 15:04 UTC`; what is of another form stays as it is.
fn moment(date: &str) -> String {
    let parts = date.strip_suffix('Z').and_then(|date| date.split_once('T'));
    match parts.map(|(day, time)| (day, time.get(..5))) {
        Some((day, Some(time))) => format!("{day} {time} UTC"),
        _ => date.to_owned(),
    }
}

/// Four figures, each with all contenders on a line.
pub fn tiles(field: &Field) -> Markup {
    html! {
        div.tiles {
            (tile(field, Metric::Wall, "Time"))
            (tile(field, Metric::PeakRss, "Peak memory"))
            (tile(field, Metric::RestRss, "Memory at rest"))
            (noise(field))
        }
    }
}

fn tile(field: &Field, metric: Metric, name: &str) -> Markup {
    let means = &field.measure(metric).means;
    let own = field.own().and_then(|own| means[own]);
    let ranked = means.iter().zip(&field.entrants).filter(|(_, entrant)| entrant.role != Role::Copy);
    let values: Vec<f64> = ranked.filter_map(|(mean, _)| Some(mean.as_ref()?.value)).collect();
    html! {
        div.tile {
            h3 { (name) " " small { "ratio to the best" } }
            @match own {
                Some(own) => {
                    p.big {
                        (ratio(own.value)) " "
                        @if let Some((low, high)) = own.bounds { small { (ratio(low)) " to " (ratio(high)) } }
                    }
                    p {
                        @let better = values.iter().filter(|&&value| value < own.value).count();
                        "rank " (better + 1) " of " (values.len())
                        @if let Some((peer, mean)) = field.best_peer(metric) {
                            "; best peer: " (field.entrants[peer].label()) " " (ratio(mean.value))
                        }
                    }
                }
                None => { p.big { (super::figures::NONE) } p { "not measured" } }
            }
            (strip(field, metric))
        }
    }
}

/// All contenders on one logarithmic line.
fn strip(field: &Field, metric: Metric) -> Markup {
    let means = &field.measure(metric).means;
    let Some((low, high)) = extent(means.iter().flatten().map(|mean| mean.value)) else { return html! {} };
    let scale = Scale::logarithmic((low.min(1.0), high * 1.02), (4.0, 94.0));
    let mut shown: Vec<_> = field.entrants.iter().zip(means).filter_map(|(e, mean)| Some((e, (*mean)?))).collect();
    shown.sort_by_key(|(entrant, _)| entrant.role == Role::Own);
    let place = |value: f64| format!("{}%", length(scale.at(value)));
    html! {
        svg.strip role="img" aria-label=(format!("{} of all contenders", metric.word())) {
            line.frame x1="2%" x2="98%" y1="16" y2="16" {}
            @for tick in scale.ticks(4) {
                line.frame x1=(place(tick)) x2=(place(tick)) y1="16" y2="28" {}
                text x=(place(tick)) y="41" text-anchor="middle" { (super::figures::tick(tick)) }
            }
            @for (entrant, mean) in shown {
                (marker(entrant, &place(mean.value), "16", &format!("{}: {}", entrant.label(), interval(&mean))))
            }
        }
    }
}

fn noise(field: &Field) -> Markup {
    html! {
        div.tile {
            h3 { "Noise floor of time" }
            @match field.measure(Metric::Wall).matrix.noise() {
                Some(noise) => {
                    p.big { "± " (percent(noise.wide)) }
                    p {
                        "The same library run twice: nine workloads in ten differ by less, half by less than "
                        (percent(noise.typical)) ", the means by " (percent(noise.mean.value.ln().abs().exp_m1()))
                        ". Of peak memory: ± " (percent(field.noise(Metric::PeakRss))) "."
                    }
                }
                None => {
                    p.big { (percent(field.noise(Metric::Wall))) " " small { "assumed" } }
                    p { "No null copy of Stratalloc ran here that would show the machine's own noise." }
                }
            }
        }
    }
}

/// What a reader has to know before believing the figures.
pub fn warnings(results: &Results) -> Markup {
    let lines = gather(results);
    if lines.is_empty() {
        return html! {};
    }
    html! {
        div.warnings {
            h2 { "Before you read on" }
            ul { @for line in lines.iter().take(SHOWN) { li { (line) } } }
            @if lines.len() > SHOWN {
                details {
                    summary { (lines.len() - SHOWN) " more" }
                    ul { @for line in lines.iter().skip(SHOWN) { li { (line) } } }
                }
            }
        }
    }
}

/// Warnings that stand in the open.
const SHOWN: usize = 8;

fn gather(results: &Results) -> Vec<String> {
    let mut lines = Vec::new();
    for record in &results.contenders {
        if let Some(failure) = &record.failure {
            lines.push(format!("{} ({}) could not take part: {failure}", record.name, record.face));
        }
    }
    // Failed runs, each reason once with its workloads.
    let mut failures: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for sample in &results.samples {
        if let Some(failure) = &sample.failure {
            let workloads = failures.entry((&sample.contender, failure)).or_default();
            if !workloads.contains(&sample.workload.as_str()) {
                workloads.push(&sample.workload);
            }
        }
    }
    for ((contender, failure), workloads) in failures {
        lines.push(format!("{contender} failed on {}: {failure}", listed(&workloads)));
    }
    let disturbed: Vec<_> = results.samples.iter().filter(|sample| sample.disturbed).collect();
    if !disturbed.is_empty() {
        let mut workloads: Vec<&str> = disturbed.iter().map(|sample| sample.workload.as_str()).collect();
        workloads.sort_unstable();
        workloads.dedup();
        lines.push(format!(
            "{} of {} runs stayed disturbed by other programs (more than {} of a core) though repeated; on {}",
            disturbed.len(),
            results.samples.len(),
            percent(results.plan.disturbance),
            listed(&workloads)
        ));
    }
    if results.plan.rounds < 2 && results.samples.iter().any(|sample| sample.kind == Kind::Throughput) {
        lines.push("a single round: there are no intervals, and nothing tells a difference from noise".to_owned());
    }
    if results.plan.scale < 1.0 {
        lines.push(format!(
            "the workloads ran at {} of their size: good for a check, not for a judgement",
            percent(results.plan.scale)
        ));
    }
    let lagging: Vec<String> = results
        .contenders
        .iter()
        .filter_map(|record| {
            let newest = record.lags_behind.as_ref()?;
            Some(format!("{} {} (newest: {newest})", plain_name(&record.name), record.version))
        })
        .collect();
    let lagging = lagging.into_iter().fold(Vec::new(), |mut all, one| {
        if !all.contains(&one) {
            all.push(one);
        }
        all
    });
    if !lagging.is_empty() {
        lines.push(format!("older than upstream's newest release: {}", listed(&lagging)));
    }
    let missing: Vec<&str> = results
        .workloads
        .iter()
        .filter(|workload| workload.program.as_ref().is_some_and(|program| program.missing.is_some()))
        .map(|workload| workload.name.as_str())
        .collect();
    if !missing.is_empty() {
        lines.push(format!("not measured, because not installed: {}", listed(&missing)));
    }
    if results.machine.governor.as_ref().is_some_and(|governor| governor != "performance") {
        lines.push(format!(
            "the processor's frequency was governed by `{}`, not `performance`",
            results.machine.governor.as_deref().unwrap_or_default()
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_by_people() {
        assert_eq!(moment("2026-11-22T15:04:00Z"), "2026-11-22 15:04 UTC");
        for other in ["yesterday", "", "2026-11-22TZ", "TZ"] {
            assert_eq!(moment(other), other);
        }
    }
}

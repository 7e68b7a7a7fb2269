//! `compare` on made-up results: what changed is found, noise and the machine's drift are not taken for change.

mod common;

use common::{results, sample};
use stratalloc_bench::compare::{Comparison, Verdict, compare, only_in_one, text};
use stratalloc_bench::stats::Metric;
use stratalloc_bench::store::Results;

const WORKLOADS: [&str; 6] = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"];
const CONTENDERS: [&str; 5] = ["stratalloc", "stratalloc-null", "a", "b", "c"];

/// Seven rounds of everything with noise of ± 1 %; `wall` and `rss` change Stratalloc (and its copy) on a workload,
/// `drift` all times.
fn made_up(seed: u64, drift: f64, wall: impl Fn(&str) -> f64, rss: impl Fn(&str) -> f64) -> Results {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut results = results(&CONTENDERS, &WORKLOADS);
    for (row, workload) in WORKLOADS.iter().enumerate() {
        for round in 0..7 {
            for (column, contender) in CONTENDERS.iter().enumerate() {
                let ours = contender.starts_with("stratalloc");
                let mut noise = || 1.0 + 0.02 * (random.f64() - 0.5);
                let base = 0.1 * (row + 1) as f64 * if ours { 1.0 } else { 1.0 + 0.1 * column as f64 };
                let seconds = base * drift * noise() * if ours { wall(workload) } else { 1.0 };
                let kib = 100_000.0 * noise() * if ours { rss(workload) } else { 1.0 };
                results.samples.push(sample(workload, contender, round, seconds, kib as u64));
            }
        }
    }
    results
}

fn same(_: &str) -> f64 {
    1.0
}

fn only(old: &Results, new: &Results) -> Comparison {
    let mut all = compare(old, new).unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// The workloads with a verdict in a metric.
fn with(comparison: &Comparison, metric: Metric, verdict: Verdict) -> Vec<&str> {
    let changes = comparison.changes.iter().find(|changes| changes.metric == metric).unwrap();
    changes.rows.iter().filter(|row| row.verdict == verdict).map(|row| row.workload.as_str()).collect()
}

#[test]
fn noise_and_drift_are_no_change() {
    let old = made_up(1, 1.0, same, same);
    for (seed, drift) in [(2, 1.0), (3, 1.6), (4, 0.5)] {
        let comparison = only(&old, &made_up(seed, drift, same, same));
        assert_eq!(comparison.peers, ["a", "b", "c"]);
        assert!((comparison.drift.unwrap() / drift - 1.0).abs() < 0.02);
        for changes in &comparison.changes {
            assert_eq!(changes.verdict, Verdict::Level, "{seed}: {changes:?}");
            assert!((changes.mean.value - 1.0).abs() < 0.02, "{changes:?}");
            let moved = changes.rows.iter().filter(|row| row.verdict != Verdict::Level).count();
            assert!(moved <= 1, "{seed}: {changes:?}");
        }
    }
}

#[test]
fn a_change_beyond_noise_is_found_where_it_is_whatever_the_machine_did() {
    let slower = |workload: &str| if workload == "beta" { 1.2 } else { 1.0 };
    let leaner = |workload: &str| if workload == "gamma" { 0.8 } else { 1.0 };
    let old = made_up(11, 1.0, same, same);
    let new = made_up(12, 1.4, slower, leaner);
    let comparison = only(&old, &new);
    assert_eq!(with(&comparison, Metric::Wall, Verdict::Worse), ["beta"]);
    assert_eq!(with(&comparison, Metric::Wall, Verdict::Better), [] as [&str; 0]);
    assert_eq!(with(&comparison, Metric::PeakRss, Verdict::Better), ["gamma"]);
    let back = only(&new, &old);
    assert_eq!(with(&back, Metric::Wall, Verdict::Better), ["beta"]);
    assert_eq!(with(&back, Metric::PeakRss, Verdict::Worse), ["gamma"]);
    let beta = &comparison.changes[0].rows[1];
    let (low, high) = beta.ratio.bounds.unwrap();
    assert!((1.17..1.23).contains(&beta.ratio.value) && low > 1.1 && high < 1.3, "{beta:?}");
}

#[test]
fn a_change_everywhere_is_in_the_mean() {
    let comparison = only(&made_up(21, 1.0, same, same), &made_up(22, 1.0, |_| 0.9, same));
    let wall = &comparison.changes[0];
    assert_eq!((wall.metric, wall.verdict, wall.relative), (Metric::Wall, Verdict::Better, true));
    assert!((0.88..0.92).contains(&wall.mean.value), "{wall:?}");
    let rss = comparison.changes.iter().find(|changes| changes.metric == Metric::PeakRss).unwrap();
    assert_eq!((rss.verdict, rss.relative), (Verdict::Level, false));
}

#[test]
fn one_round_proves_nothing() {
    let mut old = made_up(31, 1.0, same, same);
    let mut new = made_up(32, 1.0, |_| 1.5, same);
    for file in [&mut old, &mut new] {
        file.samples.retain(|sample| sample.round == 0);
    }
    assert!(only(&old, &new).changes.iter().all(|changes| changes.verdict == Verdict::Level));
}

#[test]
fn without_common_peers_times_are_absolute_and_it_says_so() {
    let mut new = made_up(42, 1.0, same, same);
    new.samples.retain(|sample| sample.contender.starts_with("stratalloc"));
    let old = made_up(41, 1.0, same, same);
    let comparison = only(&old, &new);
    assert!(comparison.peers.is_empty() && !comparison.changes[0].relative);
    assert!(text(&old, &new).unwrap().contains("no peer is in both files"));
}

#[test]
fn what_only_one_file_has_is_listed() {
    let old = made_up(51, 1.0, same, same);
    let mut new = made_up(52, 1.0, same, same);
    new.samples.retain(|sample| sample.contender != "c");
    for sample in new.samples.iter_mut().filter(|sample| sample.workload == "zeta") {
        sample.workload = "eta".into();
    }
    assert_eq!(
        only_in_one(&old, &new),
        [
            "contenders only in the old file: c (preload)",
            "workloads only in the old file: zeta",
            "workloads only in the new file: eta",
        ]
    );
    let said = text(&old, &new).unwrap();
    assert!(said.contains("relative to a, b (geometric mean)") && said.contains("over 5 workloads"), "{said}");
}

#[test]
fn other_parameters_or_nothing_in_common_are_refused() {
    let old = made_up(61, 1.0, same, same);
    let mut other = old.clone();
    other.plan.scale = 0.5;
    assert!(compare(&old, &other).unwrap_err().contains("--scale 1, not 0.5"));
    let mut without = old.clone();
    without.samples.retain(|sample| sample.contender != "stratalloc");
    assert!(compare(&old, &without).unwrap_err().contains("stratalloc"));
}

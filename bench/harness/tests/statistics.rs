//! Statistics against values known otherwise.

mod common;

use common::{results, sample};
use stratalloc_bench::stats::{self, Matrix, Metric, geometric_mean, median, quantile, spread};
use stratalloc_bench::store::{Face, Results};

fn near(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-9, "{a} is not {b}");
}

#[test]
fn medians_quartiles_and_means_are_those_of_the_textbook() {
    assert_eq!(median(&[]), None);
    near(median(&[3.0, 1.0, 2.0]).unwrap(), 2.0);
    near(median(&[4.0, 1.0, 2.0, 3.0]).unwrap(), 2.5);
    near(quantile(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.25).unwrap(), 2.0);
    near(quantile(&[1.0, 2.0], 0.9).unwrap(), 1.9);
    let of = spread(&[5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
    assert_eq!((of.median, of.low, of.high, of.count), (3.0, 2.0, 4.0, 5));
    assert_eq!(geometric_mean(&[]), None);
    near(geometric_mean(&[1.0, 4.0, 16.0]).unwrap(), 4.0);
    near(geometric_mean(&[0.5, 2.0]).unwrap(), 1.0);
}

/// Rows of contenders' rounds.
fn matrix(contenders: &[&str], rows: &[(&str, &[&[f64]])]) -> Matrix {
    let rows = rows.iter().map(|(name, columns)| {
        let columns = columns.iter().map(|rounds| rounds.iter().map(|&value| Some(value)).collect()).collect();
        (*name, columns)
    });
    Matrix::from_values(Metric::Wall, contenders, rows.collect())
}

#[test]
fn ratios_are_to_the_best_of_the_row_and_to_the_best_other_peer() {
    let names = ["stratalloc", "stratalloc-null", "a", "b"];
    let of = matrix(&names, &[("w", &[&[2.0], &[1.0], &[4.0], &[3.0]]), ("v", &[&[6.0], &[6.0], &[2.0], &[3.0]])]);
    let ratios = |row: usize| of.rows[row].cells.iter().map(|c| c.as_ref().unwrap().ratio).collect::<Vec<_>>();
    // The null copy is never the best.
    assert_eq!(of.rows[0].best, Some(0));
    assert_eq!(ratios(0), [1.0, 0.5, 2.0, 1.5]);
    assert_eq!(ratios(1), [3.0, 3.0, 1.0, 1.5]);
    let peers =
        |row: usize| of.rows[row].cells.iter().map(|c| c.as_ref().unwrap().to_best_peer).collect::<Vec<_>>();
    assert_eq!(peers(1), [Some(3.0), Some(3.0), Some(2.0 / 3.0), Some(1.5)]);
    let best = of.means_to_best();
    near(best[0].unwrap().value, 3.0_f64.sqrt());
    near(best[2].unwrap().value, 2.0_f64.sqrt());
    near(of.means_to_best_peer()[0].unwrap().value, (2.0 / 3.0 * 3.0_f64).sqrt());
    assert_eq!((best[0].unwrap().bounds, best[0].unwrap().rows), (None, 2), "one round has no interval");
}

/// Values around a middle, with noise of a relative size.
fn noisy(random: &mut fastrand::Rng, middle: f64, noise: f64, rounds: usize) -> Vec<f64> {
    (0..rounds).map(|_| middle * (1.0 + noise * (random.f64() - 0.5))).collect()
}

#[test]
fn intervals_cover_the_truth_about_as_often_as_they_say() {
    let mut random = fastrand::Rng::with_seed(4711);
    let (mut covered, trials) = (0, 60);
    for _ in 0..trials {
        let rows: Vec<(String, Vec<Vec<f64>>)> = (0..6)
            .map(|row| {
                let columns = vec![noisy(&mut random, 1.1, 0.2, 9), noisy(&mut random, 1.0, 0.2, 9)];
                (format!("w{row}"), columns)
            })
            .collect();
        let slices: Vec<(&str, Vec<&[f64]>)> =
            rows.iter().map(|(name, cols)| (name.as_str(), cols.iter().map(Vec::as_slice).collect())).collect();
        let borrowed: Vec<(&str, &[&[f64]])> =
            slices.iter().map(|(name, cols)| (*name, cols.as_slice())).collect();
        let of = matrix(&["stratalloc", "a"], &borrowed);
        let mean = of.pairing("stratalloc", "a", 0.04).unwrap().mean;
        let (low, high) = mean.bounds.unwrap();
        assert!(low <= mean.value && mean.value <= high && high - low < 0.2, "{mean:?}");
        covered += usize::from((low..=high).contains(&1.1));
    }
    // 95 % nominally; the bootstrap of few rounds gives a little less or, with medians, more.
    assert!(covered * 100 >= trials * 85, "{covered} of {trials}");
}

#[test]
fn equal_contenders_are_not_told_apart_and_different_ones_are() {
    let mut random = fastrand::Rng::with_seed(3);
    let columns = |random: &mut fastrand::Rng| {
        vec![
            noisy(random, 1.0, 0.04, 7),
            noisy(random, 1.0, 0.04, 7),
            noisy(random, 1.0, 0.04, 7),
            noisy(random, 1.5, 0.04, 7),
        ]
    };
    let rows: Vec<(String, Vec<Vec<f64>>)> =
        (0..10).map(|row| (format!("w{row}"), columns(&mut random))).collect();
    let slices: Vec<(&str, Vec<&[f64]>)> =
        rows.iter().map(|(name, cols)| (name.as_str(), cols.iter().map(Vec::as_slice).collect())).collect();
    let borrowed: Vec<(&str, &[&[f64]])> = slices.iter().map(|(name, cols)| (*name, cols.as_slice())).collect();
    let of = matrix(&["stratalloc", "stratalloc-null", "equal", "slower"], &borrowed);
    let noise = of.noise().unwrap();
    assert!(
        !noise.mean.excludes_one() && noise.typical < 0.02 && noise.typical <= noise.wide && noise.wide < 0.04
    );
    let equal = of.pairing("stratalloc", "equal", of.noise_bound()).unwrap();
    assert!(equal.wins + equal.losses <= 1 && (0.98..1.02).contains(&equal.mean.value), "{equal:?}");
    let slower = of.pairing("stratalloc", "slower", of.noise_bound()).unwrap();
    assert_eq!((slower.wins, slower.losses), (10, 0));
    assert!(slower.mean.excludes_one() && (0.64..0.70).contains(&slower.mean.value));
    assert!(of.pairing("stratalloc", "nobody", 0.04).is_none());
}

#[test]
fn the_same_values_give_the_same_interval_each_time() {
    let rounds: &[&[f64]] = &[&[1.0, 1.2, 0.9], &[2.0, 2.1, 1.7]];
    let of = || matrix(&["stratalloc", "a"], &[("w", rounds)]).means_to_best();
    assert_eq!(of(), of());
}

fn measured() -> Results {
    let mut results = results(&["stratalloc", "a"], &["w", "v"]);
    for round in 0..3 {
        results.samples.push(sample("w", "stratalloc", round, 1.0, 1000));
        results.samples.push(sample("w", "a", round, 2.0, 500));
        results.samples.push(sample("v", "stratalloc", round, 1.0, 1000));
    }
    results
}

#[test]
fn matrices_take_what_counts_of_a_document() {
    let mut results = measured();
    results.samples[0].failure = Some("it burned".into());
    results.samples[0].outcome.as_mut().unwrap().wall = 99.0;
    let wall = Matrix::of(&results, Face::Preload, Metric::Wall);
    assert_eq!(wall.rows.len(), 2);
    let cell = wall.rows[0].cells[0].as_ref().unwrap();
    assert_eq!(
        (cell.spread.median, cell.spread.count, cell.rounds.clone()),
        (1.0, 2, vec![None, Some(1.0), Some(1.0)])
    );
    assert!(wall.rows[1].cells[1].is_none());
    let rss = Matrix::of(&results, Face::Preload, Metric::PeakRss);
    assert_eq!((rss.rows[0].best, rss.rows[0].cells[0].as_ref().unwrap().ratio), (Some(1), 2.0));
    assert!(Matrix::of(&results, Face::Rust, Metric::Wall).rows.is_empty());
    // A round drawn in which a contender failed falls back on what it has.
    assert_eq!(cell.median(Some(&[0, 0, 0])), 1.0);
}

#[test]
fn most_contenders_decide_which_result_is_right_and_glibc_at_a_tie() {
    let mut results = results(&["a", "b", "glibc"], &["w"]);
    for (name, checksum) in [("a", 1), ("b", 1), ("glibc", 2)] {
        let mut sample = sample("w", name, 0, 1.0, 10);
        sample.outcome.as_mut().unwrap().checksum = checksum;
        results.samples.push(sample);
    }
    results.check_agreement();
    let wrong = |results: &Results| results.samples.iter().map(|s| s.disagrees).collect::<Vec<_>>();
    assert_eq!(wrong(&results), [false, false, true]);
    results.samples.remove(1);
    results.check_agreement();
    assert_eq!(wrong(&results), [true, false]);
    assert!(results.samples[1].failure.is_none() && results.samples[0].failure.is_some());
    // A real failure is not taken back.
    results.samples[0] = common::sample("w", "a", 0, 1.0, 10);
    results.samples[0].failure = Some("crashed".into());
    results.check_agreement();
    assert_eq!(results.samples[0].failure.as_deref(), Some("crashed"));
}

#[test]
fn figures_without_noise_to_show_use_the_default() {
    let of = matrix(&["stratalloc", "a"], &[("w", &[&[1.0], &[1.0]])]);
    assert_eq!((of.noise(), of.noise_bound()), (None, stats::DEFAULT_NOISE));
}

#[test]
fn many_rounds_have_the_same_median_as_few() {
    let rounds: Vec<f64> = (0..40).map(f64::from).collect();
    let of = matrix(&["a"], &[("w", &[&rounds])]);
    let cell = of.rows[0].cells[0].as_ref().unwrap();
    let (few, many): (Vec<usize>, Vec<usize>) = ((0..31).rev().collect(), (0..40).rev().collect());
    assert_eq!((cell.median(Some(&few)), cell.median(Some(&many)), cell.median(None)), (15.0, 19.5, 19.5));
}

#[test]
fn a_contender_that_misses_a_row_is_averaged_over_the_others() {
    let rows = vec![
        ("w", vec![vec![Some(2.0), Some(2.0)], vec![Some(1.0), Some(1.0)]]),
        ("v", vec![vec![None, None], vec![Some(1.0), Some(3.0)]]),
    ];
    let means = Matrix::from_values(Metric::Wall, &["a", "b"], rows).means_to_best();
    assert_eq!(
        (means[0].unwrap().value, means[0].unwrap().rows, means[0].unwrap().bounds),
        (2.0, 1, Some((2.0, 2.0)))
    );
    assert_eq!((means[1].unwrap().value, means[1].unwrap().rows), (1.0, 2));
}

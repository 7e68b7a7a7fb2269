//! Statistics over samples: medians and spreads per cell, ratios per row, geometric means over rows.
//!
//! A [`Matrix`] is one metric of one face: workloads are rows, contenders columns. Who calls it: `terminal`,
//! `compare` and `report`. What the figures mean:
//!
//! - A cell's value is the median over its rounds; its spread is the range between the quartiles.
//! - A cell's ratio is its median over the lowest of the row. The null copy never counts as the row's best: it
//!   would be a second draw for Stratalloc.
//! - The ratio to the best peer leaves out Stratalloc and its copies, and the contender itself.
//! - Intervals are percentiles of [`RESAMPLES`] bootstrap resamples: within each row, rounds are drawn with
//!   replacement, the same for all contenders (who ran in turn in it). Which contender is the row's best is not
//!   drawn anew: the lowest of several equal contenders is below each of them, in every resample again, and the
//!   interval would move away from the value.

use std::collections::BTreeSet;

use stratalloc_bench_protocol::Outcome;

use crate::store::{Face, Kind, Results, Sample, is_peer};

/// Bootstrap resamples.
pub const RESAMPLES: usize = 2000;
/// What the intervals cover.
pub const COVERAGE: f64 = 0.95;
/// Differences below this are taken for noise where no null contender shows the machine's own.
pub const DEFAULT_NOISE: f64 = 0.04;
/// The resamples' random numbers start here, so that a file gives the same intervals each time.
const SEED: u64 = 0x5eed_0f57_8a7a;

/// What is compared; lower is better in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Wall time, seconds.
    Wall,
    /// User and system time, seconds.
    Cpu,
    /// Peak resident memory, KiB.
    PeakRss,
    /// Resident memory at rest, KiB.
    RestRss,
    /// Page faults, minor and major.
    Faults,
    /// Context switches, asked for and not.
    Switches,
}

impl Metric {
    /// In the order of tables.
    pub const ALL: [Metric; 6] =
        [Metric::Wall, Metric::Cpu, Metric::PeakRss, Metric::RestRss, Metric::Faults, Metric::Switches];

    /// Words for a heading.
    pub fn title(self) -> &'static str {
        match self {
            Metric::Wall => "wall time, s",
            Metric::Cpu => "CPU time, s",
            Metric::PeakRss => "peak resident memory, MiB",
            Metric::RestRss => "resident memory at rest, MiB",
            Metric::Faults => "page faults",
            Metric::Switches => "context switches",
        }
    }

    /// A word for a line.
    pub fn word(self) -> &'static str {
        match self {
            Metric::Wall => "wall",
            Metric::Cpu => "cpu",
            Metric::PeakRss => "peak RSS",
            Metric::RestRss => "rest RSS",
            Metric::Faults => "faults",
            Metric::Switches => "switches",
        }
    }

    /// Whether its values depend on how fast the machine was at that moment.
    pub fn is_time(self) -> bool {
        matches!(self, Metric::Wall | Metric::Cpu)
    }

    /// The value of one outcome, never below the smallest that the measuring can tell from zero.
    pub fn value(self, outcome: &Outcome) -> Option<f64> {
        Some(match self {
            Metric::Wall => outcome.wall.max(1e-6),
            Metric::Cpu => (outcome.user + outcome.system).max(1e-3),
            Metric::PeakRss => (outcome.peak_rss as f64).max(1.0),
            Metric::RestRss => (outcome.rest_rss? as f64).max(1.0),
            Metric::Faults => ((outcome.minor_faults + outcome.major_faults) as f64).max(1.0),
            Metric::Switches => ((outcome.voluntary_switches + outcome.involuntary_switches) as f64).max(1.0),
        })
    }

    /// A value in the title's unit.
    pub fn display(self, value: f64) -> String {
        match self {
            Metric::Wall | Metric::Cpu => format!("{value:.3}"),
            Metric::PeakRss | Metric::RestRss => format!("{:.1}", value / 1024.0),
            Metric::Faults | Metric::Switches => format!("{value:.0}"),
        }
    }
}

/// Median and quartiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle.
    pub median: f64,
    /// Lower quartile.
    pub low: f64,
    /// Upper quartile.
    pub high: f64,
    /// Of how many values.
    pub count: usize,
}

/// A value with the bounds of its bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The value of all rounds together.
    pub value: f64,
    /// Bounds; `None` where there was only one round to draw from.
    pub bounds: Option<(f64, f64)>,
    /// Over how many rows.
    pub rows: usize,
}

impl std::fmt::Display for Interval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.bounds {
            Some((low, high)) => write!(f, "{:.2} [{low:.2}, {high:.2}]", self.value),
            None => write!(f, "{:.2}", self.value),
        }
    }
}

impl Interval {
    /// Whether 1 lies outside, so that a ratio is a difference.
    pub fn excludes_one(&self) -> bool {
        self.bounds.is_some_and(|(low, high)| low > 1.0 || high < 1.0)
    }
}

/// Linear interpolation between the sorted values; `share` from 0 to 1.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

/// The middle value, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

/// Median and quartiles.
pub fn spread(values: &[f64]) -> Option<Spread> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share| quantile(&sorted, share);
    Some(Spread { median: at(0.5)?, low: at(0.25)?, high: at(0.75)?, count: sorted.len() })
}

/// The n-th root of the product of n positive values.
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    Some((values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp())
}

/// One contender on one workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The values, one place for each of the row's rounds; `None` where the round has no counted sample.
    pub rounds: Vec<Option<f64>>,
    /// Over the rounds.
    pub spread: Spread,
    /// Median over the row's best.
    pub ratio: f64,
    /// Median over the best peer's, the contender itself left out; `None` where there is none.
    pub to_best_peer: Option<f64>,
}

/// One workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its name.
    pub workload: String,
    /// One place for each column.
    pub cells: Vec<Option<Cell>>,
    /// The column of the lowest median.
    pub best: Option<usize>,
}

/// One metric of one face.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// What is compared.
    pub metric: Metric,
    /// Columns.
    pub contenders: Vec<String>,
    /// Only workloads with at least one counted sample.
    pub rows: Vec<Row>,
}

/// One contender against another, over all rows that both have.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairing {
    /// Geometric mean of the ratios, below 1: the first is better.
    pub mean: Interval,
    /// The ratio of each row with its own interval.
    pub rows: Vec<(String, Interval)>,
    /// Rows better beyond noise.
    pub wins: usize,
    /// Rows worse beyond noise.
    pub losses: usize,
}

/// What two copies of the same library differ by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Geometric mean of original over copy: 1 but for noise.
    pub mean: Interval,
    /// Half of the rows differ by less (0.02: two percent).
    pub typical: f64,
    /// Nine in ten rows differ by less.
    pub wide: f64,
}

impl Matrix {
    /// From the throughput samples of a face.
    pub fn of(results: &Results, face: Face, metric: Metric) -> Matrix {
        let contenders: Vec<String> =
            results.contenders.iter().filter(|record| record.face == face).map(|r| r.name.clone()).collect();
        let rows = results.workloads.iter().filter_map(|workload| {
            let samples: Vec<&Sample> = results
                .samples
                .iter()
                .filter(|s| s.kind == Kind::Throughput && s.face == face && s.workload == workload.name)
                .collect();
            let rounds: Vec<u32> = samples.iter().map(|s| s.round).collect::<BTreeSet<_>>().into_iter().collect();
            let values = contenders.iter().map(|name| {
                let value = |&round: &u32| {
                    let sample = samples.iter().find(|s| s.contender == *name && s.round == round)?;
                    metric.value(sample.counted()?)
                };
                rounds.iter().map(value).collect()
            });
            Row::of(&workload.name, &contenders, values.collect())
        });
        Matrix { metric, rows: rows.collect(), contenders }
    }

    /// A matrix of given values (rows of columns of rounds), for what is not a metric of an outcome.
    pub fn from_values(metric: Metric, contenders: &[&str], rows: Vec<(&str, Vec<Vec<Option<f64>>>)>) -> Matrix {
        let contenders: Vec<String> = contenders.iter().map(|&name| name.to_owned()).collect();
        let rows = rows.into_iter().filter_map(|(name, values)| Row::of(name, &contenders, values)).collect();
        Matrix { metric, contenders, rows }
    }

    /// The column of a contender.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.contenders.iter().position(|contender| contender == name)
    }

    /// Of each contender the geometric mean of its ratios to the rows' best, over the rows that it has.
    pub fn means_to_best(&self) -> Vec<Option<Interval>> {
        let bases: Vec<Vec<Option<usize>>> =
            self.rows.iter().map(|row| vec![row.best; self.contenders.len()]).collect();
        self.means(&bases)
    }

    /// Of each contender the geometric mean of its ratios to the best peer other than itself.
    pub fn means_to_best_peer(&self) -> Vec<Option<Interval>> {
        let bases: Vec<Vec<Option<usize>>> = self
            .rows
            .iter()
            .map(|row| (0..self.contenders.len()).map(|own| row.lowest(&self.contenders, Some(own))).collect())
            .collect();
        self.means(&bases)
    }

    /// The first contender against the second; `None` where they share no row.
    pub fn pairing(&self, first: &str, second: &str, noise: f64) -> Option<Pairing> {
        let (first, second) = (self.column(first)?, self.column(second)?);
        let shared: Vec<&Row> =
            self.rows.iter().filter(|row| row.cells[first].is_some() && row.cells[second].is_some()).collect();
        if shared.is_empty() {
            return None;
        }
        let ratio = |row: &Row, draw: Option<&[usize]>| {
            let middle = |column: usize| row.cells[column].as_ref().map(|cell| cell.median(draw));
            middle(first).zip(middle(second)).map(|(a, b)| a / b)
        };
        let (rows, mean) = bootstrap(&shared, |row, draw| ratio(row, draw).into_iter().collect());
        let rows: Vec<(String, Interval)> =
            shared.iter().zip(rows).map(|(row, interval)| (row.workload.clone(), interval[0])).collect();
        let beyond = |interval: &Interval| interval.excludes_one() && interval.value.ln().abs() > noise.ln_1p();
        let wins = rows.iter().filter(|(_, i)| beyond(i) && i.value < 1.0).count();
        let losses = rows.iter().filter(|(_, i)| beyond(i) && i.value > 1.0).count();
        Some(Pairing { mean: mean[0], rows, wins, losses })
    }

    /// What Stratalloc and its null copy differ by; `None` where not both ran.
    pub fn noise(&self) -> Option<Noise> {
        let pairing = self.pairing(crate::contenders::OWN, crate::contenders::NULL, 0.0)?;
        let mut apart: Vec<f64> = pairing.rows.iter().map(|(_, i)| i.value.ln().abs().exp_m1()).collect();
        apart.sort_by(f64::total_cmp);
        Some(Noise { mean: pairing.mean, typical: quantile(&apart, 0.5)?, wide: quantile(&apart, 0.9)? })
    }

    /// The bound under which a row's difference counts as noise.
    pub fn noise_bound(&self) -> f64 {
        self.noise().map_or(DEFAULT_NOISE, |noise| noise.wide)
    }

    /// Geometric means over the rows of each column's ratio to a base column of its own.
    fn means(&self, bases: &[Vec<Option<usize>>]) -> Vec<Option<Interval>> {
        let columns = self.contenders.len();
        let value = |row: &Row, column: usize| row.cells[column].as_ref().map(|cell| cell.spread.median);
        let mut ratios = vec![Vec::new(); columns];
        for (row, bases) in self.rows.iter().zip(bases) {
            for column in 0..columns {
                let base = bases[column].and_then(|base| value(row, base));
                ratios[column].extend(value(row, column).zip(base).map(|(own, base)| own / base));
            }
        }
        // All columns of a row are looked at under the same draws.
        let mut random = random();
        let mut draws = vec![Vec::with_capacity(RESAMPLES); columns];
        for _ in 0..RESAMPLES {
            let mut sums = vec![0.0; columns];
            for (row, bases) in self.rows.iter().zip(bases) {
                let draw = draw(&mut random, row.rounds());
                let middle = |cell: &Option<Cell>| cell.as_ref().map(|cell| cell.median(Some(&draw)));
                let logs: Vec<Option<f64>> = row.cells.iter().map(|cell| middle(cell).map(f64::ln)).collect();
                for column in 0..columns {
                    let base = bases[column].and_then(|base| logs[base]);
                    sums[column] += logs[column].zip(base).map_or(0.0, |(own, base)| own - base);
                }
            }
            for column in 0..columns {
                draws[column].push((sums[column] / ratios[column].len().max(1) as f64).exp());
            }
        }
        let varied = self.rows.iter().any(|row| row.rounds() > 1);
        let of_column = |(ratios, draws): (&Vec<f64>, &mut Vec<f64>)| {
            Some(interval(geometric_mean(ratios)?, draws, ratios.len(), varied))
        };
        ratios.iter().zip(&mut draws).map(of_column).collect()
    }
}

impl Row {
    /// `None` where no contender has a value.
    fn of(workload: &str, contenders: &[String], values: Vec<Vec<Option<f64>>>) -> Option<Row> {
        let cells = values.into_iter().map(|rounds| {
            let present: Vec<f64> = rounds.iter().flatten().copied().collect();
            let spread = spread(&present)?;
            Some(Cell { rounds, spread, ratio: 1.0, to_best_peer: None })
        });
        let mut row = Row { workload: workload.to_owned(), cells: cells.collect(), best: None };
        let medians: Vec<Option<f64>> = row.cells.iter().map(|cell| Some(cell.as_ref()?.spread.median)).collect();
        let not_null = |column: &usize| contenders[*column] != crate::contenders::NULL || contenders.len() == 1;
        let candidates = (0..medians.len()).filter(not_null).filter_map(|c| medians[c].map(|value| (c, value)));
        let (best, lowest) = candidates.min_by(|a, b| a.1.total_cmp(&b.1))?;
        row.best = Some(best);
        for column in 0..medians.len() {
            let peer = row.lowest(contenders, Some(column)).and_then(|peer| medians[peer]);
            if let Some(cell) = &mut row.cells[column] {
                cell.ratio = cell.spread.median / lowest;
                cell.to_best_peer = peer.map(|peer| cell.spread.median / peer);
            }
        }
        Some(row)
    }

    /// The peer with the lowest median, one column left out.
    pub fn lowest(&self, contenders: &[String], but: Option<usize>) -> Option<usize> {
        (0..self.cells.len())
            .filter(|&column| Some(column) != but && is_peer(&contenders[column]))
            .filter_map(|column| Some((column, self.cells[column].as_ref()?.spread.median)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(column, _)| column)
    }

    /// How many rounds there are to draw from.
    pub fn rounds(&self) -> usize {
        self.cells.iter().flatten().next().map_or(0, |cell| cell.rounds.len())
    }
}

impl Cell {
    /// The median of the rounds drawn; of all where the draw hit none that this contender has, or without draw.
    pub fn median(&self, draw: Option<&[usize]>) -> f64 {
        let Some(draw) = draw else { return self.spread.median };
        let drawn = draw.iter().filter_map(|&round| self.rounds[round]);
        // Called a million times for a table: no memory of its own for the usual few rounds.
        let mut few = [0.0; 32];
        let middle = if draw.len() <= few.len() {
            let count = drawn.zip(&mut few).map(|(value, place)| *place = value).count();
            few[..count].sort_unstable_by(f64::total_cmp);
            quantile(&few[..count], 0.5)
        } else {
            median(&drawn.collect::<Vec<f64>>())
        };
        middle.unwrap_or(self.spread.median)
    }
}

/// The percentile interval of a value's resamples; without bounds where nothing `varied`.
pub fn interval(value: f64, draws: &mut [f64], rows: usize, varied: bool) -> Interval {
    draws.sort_by(f64::total_cmp);
    let tail = (1.0 - COVERAGE) / 2.0;
    let bounds = quantile(draws, tail).zip(quantile(draws, 1.0 - tail)).filter(|_| varied);
    Interval { value, bounds, rows }
}

/// A source of resamples: the same draws each time.
pub fn random() -> fastrand::Rng {
    fastrand::Rng::with_seed(SEED)
}

/// Places of `count` rounds, drawn with replacement.
pub fn draw(random: &mut fastrand::Rng, count: usize) -> Vec<usize> {
    (0..count).map(|_| random.usize(..count)).collect()
}

/// Bootstrap of ratios: `ratios` computes the figures of a row (the same number for each row) for a draw of its
/// rounds or, without one, for all of them. Returns each row's intervals, and those of the geometric means over
/// the rows; of no rows, nothing.
pub fn bootstrap(
    rows: &[&Row],
    ratios: impl Fn(&Row, Option<&[usize]>) -> Vec<f64>,
) -> (Vec<Vec<Interval>>, Vec<Interval>) {
    let values: Vec<Vec<f64>> = rows.iter().map(|row| ratios(row, None)).collect();
    let Some(figures) = values.first().map(Vec::len) else { return (Vec::new(), Vec::new()) };
    let mut random = random();
    let mut of_rows = vec![vec![Vec::with_capacity(RESAMPLES); figures]; rows.len()];
    let mut of_means = vec![Vec::with_capacity(RESAMPLES); figures];
    for _ in 0..RESAMPLES {
        let mut sums = vec![0.0; figures];
        for (row, drawn) in rows.iter().zip(&mut of_rows) {
            let count = row.rounds();
            let draw = draw(&mut random, count);
            for (figure, ratio) in ratios(row, Some(&draw)).into_iter().enumerate() {
                drawn[figure].push(ratio);
                sums[figure] += ratio.ln();
            }
        }
        for (sum, means) in sums.iter().zip(&mut of_means) {
            means.push((sum / rows.len() as f64).exp());
        }
    }
    let varied = rows.iter().any(|row| row.rounds() > 1);
    let means = of_means.iter_mut().enumerate().map(|(figure, draws)| {
        let all: Vec<f64> = values.iter().map(|of_row| of_row[figure]).collect();
        interval(geometric_mean(&all).unwrap_or(f64::NAN), draws, rows.len(), varied)
    });
    let means = means.collect();
    let singles = of_rows.iter_mut().zip(&values).zip(rows).map(|((drawn, values), row)| {
        let of_row = drawn.iter_mut().zip(values);
        of_row.map(|(draws, &value)| interval(value, draws, 1, row.rounds() > 1)).collect()
    });
    (singles.collect(), means)
}

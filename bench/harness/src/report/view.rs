//! What the report looks at: each face's contenders and metrics, computed once and shared by all sections.
//!
//! [`fields`] makes one [`Field`] for each face that has contenders; every section of the report takes a field and
//! draws part of it. Figures come from `stats` and `series` alone: the report computes no statistics of its own.

use stratalloc_bench_protocol::Description;

use super::heat::shade;
use super::look::Slots;
use crate::stats::{Interval, Matrix, Metric, Row, bootstrap};
use crate::store::{ContenderRecord, Face, Kind, OURS, Results, Sample};

/// How much a contender is emphasised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Stratalloc itself.
    Own,
    /// Its null copy or another build of it.
    Copy,
    /// Everyone else.
    Peer,
}

/// A contender as the report shows it.
#[derive(Clone, Debug)]
pub struct Entrant<'a> {
    /// What the document knows of it.
    pub record: &'a ContenderRecord,
    /// How much it is emphasised.
    pub role: Role,
    /// Its colour and marker: the same in all faces and in all reports.
    pub slot: usize,
    /// Whether there is any counted sample of it.
    pub measured: bool,
}

impl<'a> Entrant<'a> {
    /// Its name in tables and legends.
    pub fn label(&self) -> &'a str {
        plain_name(&self.record.name)
    }

    /// The class of its heading.
    pub fn emphasis(&self) -> Option<&'static str> {
        (self.role == Role::Own).then_some("own")
    }

    /// The classes of its cell in a table of ratios.
    pub fn cell(&self, ratio: f64) -> String {
        let own = if self.role == Role::Own { " own" } else { "" };
        format!("{}{own}", shade(ratio))
    }

    /// The classes of whatever is drawn for it.
    pub fn class(&self) -> String {
        let role = match self.role {
            Role::Own => " own",
            Role::Copy => " copy",
            Role::Peer => "",
        };
        format!("of c{}{role}", self.slot)
    }
}

/// A contender's name without what only tells its face.
pub fn plain_name(name: &str) -> &str {
    name.strip_prefix("global-").unwrap_or(name)
}

/// One metric over all workloads.
pub struct Measure {
    /// Cells and ratios.
    pub matrix: Matrix,
    /// For each contender, the geometric mean of its ratios to the best of each row.
    pub means: Vec<Option<Interval>>,
}

/// Stratalloc against the best peer of a row.
pub struct Standing {
    /// The workload.
    pub workload: String,
    /// The column of the best peer in it.
    pub peer: usize,
    /// Stratalloc's median over that peer's: below 1 is better.
    pub ratio: Interval,
}

/// Stratalloc against each row's best peer.
pub struct Standings {
    /// The metric.
    pub metric: Metric,
    /// Worst first.
    pub rows: Vec<Standing>,
    /// The geometric mean over them.
    pub mean: Option<Interval>,
    /// The bound under which a row's difference is noise.
    pub noise: f64,
}

impl Standings {
    /// How many rows have a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| Verdict::of(&row.ratio, self.noise) == verdict).count()
    }
}

/// How a ratio stands to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Better beyond noise.
    Ahead,
    /// No difference that these rounds can show.
    Level,
    /// Worse beyond noise.
    Behind,
}

impl Verdict {
    /// Of a ratio, given the bound below which a difference is noise. Of a single round there is no interval:
    /// then the bound alone decides.
    pub fn of(ratio: &Interval, noise: f64) -> Verdict {
        let shown = ratio.bounds.is_none() || ratio.excludes_one();
        match ratio.value.ln() {
            distance if shown && distance > noise.ln_1p() => Verdict::Behind,
            distance if shown && distance < -noise.ln_1p() => Verdict::Ahead,
            _ => Verdict::Level,
        }
    }

    /// Its class in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Verdict::Ahead => "ahead",
            Verdict::Level => "level",
            Verdict::Behind => "behind",
        }
    }
}

/// One face of the results.
pub struct Field<'a> {
    /// The whole document.
    pub results: &'a Results,
    /// The face.
    pub face: Face,
    /// In the document's order, which is also that of the matrices' columns.
    pub entrants: Vec<Entrant<'a>>,
    /// In time and in peak memory.
    pub standings: [Standings; 2],
    measures: Vec<Measure>,
}

/// All faces that have contenders, preload first.
pub fn fields(results: &Results) -> Vec<Field<'_>> {
    results.faces().into_iter().map(|face| Field::of(results, face)).collect()
}

impl<'a> Field<'a> {
    fn of(results: &'a Results, face: Face) -> Field<'a> {
        let mut slots = Slots::default();
        let records = results.contenders.iter().filter(|record| record.face == face);
        let entrants: Vec<Entrant> = records
            .map(|record| Entrant {
                record,
                role: match plain_name(&record.name) {
                    OURS => Role::Own,
                    _ if !record.is_peer() => Role::Copy,
                    _ => Role::Peer,
                },
                slot: slots.take(plain_name(&record.name)),
                measured: results
                    .samples
                    .iter()
                    .any(|s| s.face == face && s.contender == record.name && s.failure.is_none()),
            })
            .collect();
        let measures = Metric::ALL.map(|metric| {
            let matrix = Matrix::of(results, face, metric);
            let means = matrix.means_to_best();
            Measure { matrix, means }
        });
        let own = entrants.iter().position(|entrant| entrant.role == Role::Own);
        let standings = [Metric::Wall, Metric::PeakRss].map(|metric| {
            let matrix = measures.iter().map(|measure| &measure.matrix).find(|matrix| matrix.metric == metric);
            standings(matrix.expect("all metrics are computed"), own)
        });
        Field { results, face, entrants, standings, measures: measures.into() }
    }

    /// A metric's figures.
    pub fn measure(&self, metric: Metric) -> &Measure {
        self.measures.iter().find(|measure| measure.matrix.metric == metric).expect("all metrics are computed")
    }

    /// Stratalloc's column.
    pub fn own(&self) -> Option<usize> {
        self.entrants.iter().position(|entrant| entrant.role == Role::Own)
    }

    /// The column of a contender.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.entrants.iter().position(|entrant| entrant.record.name == name)
    }

    /// The peer with the lowest geometric mean, and that mean.
    pub fn best_peer(&self, metric: Metric) -> Option<(usize, Interval)> {
        let means = &self.measure(metric).means;
        let peers = means.iter().enumerate().filter(|(column, _)| self.entrants[*column].role == Role::Peer);
        let rows = |mean: &Interval| mean.rows;
        let most = means.iter().flatten().map(rows).max()?;
        // A peer that failed on most rows is not the best by its few others.
        let full = peers.filter_map(|(column, mean)| Some((column, (*mean)?))).filter(|(_, m)| m.rows * 2 > most);
        full.min_by(|a, b| a.1.value.total_cmp(&b.1.value))
    }

    /// The bound under which a difference in a metric is noise.
    pub fn noise(&self, metric: Metric) -> f64 {
        self.measure(metric).matrix.noise_bound()
    }

    /// The workloads of this document in the order of lists: by group, within it as they were measured.
    pub fn workloads(&self) -> Vec<&'a Description> {
        let mut workloads: Vec<&Description> = self.results.workloads.iter().collect();
        workloads.sort_by_key(|workload| workload.group);
        workloads
    }

    /// Counted samples of a kind of a workload and a contender, by round.
    pub fn samples(&self, kind: Kind, workload: &str, column: usize) -> Vec<&'a Sample> {
        let name = &self.entrants[column].record.name;
        let mut samples: Vec<&Sample> = self
            .results
            .samples
            .iter()
            .filter(|s| s.kind == kind && s.face == self.face && s.workload == workload && s.contender == *name)
            .filter(|s| s.counted().is_some())
            .collect();
        samples.sort_by_key(|sample| sample.round);
        samples
    }

    /// The throughput sample whose wall time is in the middle: the one to draw a course from.
    pub fn typical(&self, workload: &str, column: usize) -> Option<&'a Sample> {
        let mut samples = self.samples(Kind::Throughput, workload, column);
        let wall = |sample: &Sample| sample.counted().map_or(0.0, |outcome| outcome.wall);
        samples.sort_by(|a, b| wall(a).total_cmp(&wall(b)));
        samples.get(samples.len().saturating_sub(1) / 2).copied()
    }
}

/// Stratalloc, in its column, against each row's best peer.
fn standings(matrix: &Matrix, own: Option<usize>) -> Standings {
    let rivals: Vec<(&Row, usize)> = matrix
        .rows
        .iter()
        .filter(|row| own.is_some_and(|own| row.cells[own].is_some()))
        .filter_map(|row| Some((row, row.lowest(&matrix.contenders, own)?)))
        .collect();
    let rows: Vec<&Row> = rivals.iter().map(|&(row, _)| row).collect();
    let (ratios, mean) = bootstrap(&rows, |row, draw| {
        let rival = rivals.iter().find(|(other, _)| std::ptr::eq(*other, row)).map(|&(_, rival)| rival);
        let middle = |column: usize| row.cells[column].as_ref().map(|cell| cell.median(draw));
        own.and_then(middle).zip(rival.and_then(middle)).map(|(a, b)| a / b).into_iter().collect()
    });
    let standing = |((row, peer), ratio): (&(&Row, usize), Vec<Interval>)| {
        Some(Standing { workload: row.workload.clone(), peer: *peer, ratio: *ratio.first()? })
    };
    let mut rows: Vec<Standing> = rivals.iter().zip(ratios).filter_map(standing).collect();
    rows.sort_by(|a, b| b.ratio.value.total_cmp(&a.ratio.value));
    Standings { metric: matrix.metric, rows, mean: mean.first().copied(), noise: matrix.noise_bound() }
}

/// An address within the page for a workload in a face.
pub fn anchor(face: Face, workload: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    format!("{face}-{}", workload.chars().map(safe).collect::<String>())
}

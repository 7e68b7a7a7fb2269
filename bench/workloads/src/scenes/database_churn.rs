//! `database-churn`: a store whose rows change size over its life; how much memory it ends up holding.
//!
//! **Models** a store of constant live bytes that runs for long while its data shifts: five regimes of row sizes, each
//! fading into the next. Rows die at random, in order of age, or as a whole stretch (a dropped partition). At each of 60
//! even steps the resident memory is noted; what counts is how far it drifts from the live bytes.
//!
//! **Source**: the question is Robson's ("Bounds for some functions concerning dynamic storage allocation", JACM
//! 1974) and Johnstone and Wilson's ("The memory fragmentation problem: solved?", ISMM 1998), the setting Redis' as
//! Powers et al. measured it ("Mesh", PLDI 2019).
//!
//! **Sensitive to** spans that a few survivors hold, to whether the memory of one class becomes that of another, and to when
//! free memory goes back.

use stratalloc_bench_protocol::Group;

use super::shapes;
use crate::measure::{Memory, Run};
use crate::random::{Random, mix};
use crate::registry::{Parameters, Threads, Workload};

pub const WORKLOAD: Workload = Workload {
    name: "database-churn",
    group: Group::Scene,
    models: "a store of constant live bytes whose row sizes shift over a long run",
    source: "after Johnstone and Wilson (ISMM 1998) and Powers et al. (PLDI 2019)",
    sensitive_to: "fragmentation over time: spans held by few survivors, and memory that no other class may use",
    threads: Threads::Fixed(1),
    latency: false,
    run,
};

/// Points of work at which memory is read.
const STEPS: u64 = 60;
/// Live bytes at scale 1.
const LIVE: u64 = 40 << 20;
/// Bytes written in each step, as a part of the live ones.
const TURNOVER: f64 = 0.3;
/// Sizes of rows in the five regimes.
const REGIMES: [(usize, usize); 5] = [(40, 160), (100, 1200), (500, 6000), (4000, 20_000), (32, 500)];

struct Store {
    rows: Vec<Box<[u8]>>,
    live: u64,
    wanted: u64,
    /// Where the next row by age is taken.
    oldest: usize,
    most: usize,
    sum: u64,
}

fn run(parameters: &Parameters, run: &mut Run) {
    let wanted = parameters.scaled(LIVE).max(1 << 20);
    let mut random = Random::new(parameters.seed);
    let rows = Vec::with_capacity(wanted as usize / 80);
    let mut store = Store { rows, live: 0, wanted, oldest: 0, most: 0, sum: 0 };
    let base = Memory::now().rss;
    let (mut written, mut worst) = (0_u64, 0.0_f64);
    run.start();
    for step in 0..STEPS {
        let before = written;
        let goal = if step == 0 { wanted } else { (wanted as f64 * TURNOVER) as u64 };
        while written - before < goal {
            let size = size_at(step, &mut random);
            written += size as u64;
            store.insert(size, &mut random);
            run.operations(1);
        }
        run.mark(step + 1);
        worst = worst.max(store.overhead(base));
    }
    run.stop();
    run.extra("resident bytes per live byte at end", store.overhead(base));
    run.extra("resident bytes per live byte at worst", worst);
    run.checksum(store.sum);
}

/// A size at this step: of its regime, or already of the next one.
fn size_at(step: u64, random: &mut Random) -> usize {
    let place = step as f64 / STEPS as f64 * REGIMES.len() as f64;
    // The second half of a regime fades into the next.
    let ahead = ((place.fract() - 0.5) * 2.0).max(0.0);
    let regime = place as usize + usize::from(random.unit() < ahead);
    let (low, high) = REGIMES[regime.min(REGIMES.len() - 1)];
    // The smaller of two: small rows are more frequent, without a logarithm a row.
    random.between(low, high).min(random.between(low, high))
}

impl Store {
    fn insert(&mut self, size: usize, random: &mut Random) {
        self.rows.push(shapes::block(size, size as u64));
        self.live += size as u64;
        self.most = self.most.max(self.rows.len());
        while self.live > self.wanted {
            match random.below(1000) {
                0 => self.drop_stretch(random),
                1..=200 => {
                    self.oldest = if self.oldest + 1 < self.rows.len() { self.oldest + 1 } else { 0 };
                    self.take(self.oldest);
                }
                _ => self.take(random.index(self.rows.len())),
            }
        }
    }

    /// Frees one row; the last takes its place.
    fn take(&mut self, place: usize) {
        let row = self.rows.swap_remove(place);
        self.live -= row.len() as u64;
        self.sum = self.sum.wrapping_add(mix(shapes::read(&row)));
    }

    /// Frees neighbours by age, a 256th of the store at most.
    fn drop_stretch(&mut self, random: &mut Random) {
        let number = random.between(1, 1 + self.rows.len() / 256);
        let first = random.index(self.rows.len() - number + 1);
        for row in self.rows.drain(first..first + number) {
            self.live -= row.len() as u64;
            self.sum = self.sum.wrapping_add(mix(shapes::read(&row)));
        }
    }

    /// Resident bytes over `base` (KiB), without the table of rows, per live byte.
    fn overhead(&self, base: u64) -> f64 {
        let table = (self.most * size_of::<Box<[u8]>>()) as u64;
        let resident = (Memory::now().rss * 1024).saturating_sub(base * 1024 + table);
        resident as f64 / self.live as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_shift_from_regime_to_regime() {
        let mut random = Random::new(1);
        let mut mean = |step| (0..1000).map(|_| size_at(step, &mut random)).sum::<usize>() / 1000;
        let means = [mean(0), mean(13), mean(25), mean(37), mean(59)];
        assert!(means[..4].windows(2).all(|pair| pair[0] * 2 < pair[1]), "{means:?}");
        assert!(means[4] < 300, "{means:?}");
    }

    #[test]
    fn live_bytes_stay_at_the_wanted_ones() {
        let mut random = Random::new(2);
        let mut store = Store { rows: Vec::new(), live: 0, wanted: 100_000, oldest: 0, most: 0, sum: 0 };
        for _ in 0..20_000 {
            store.insert(random.between(40, 400), &mut random);
        }
        assert!((90_000..=100_000).contains(&store.live), "{}", store.live);
        assert_eq!(store.live, store.rows.iter().map(|row| row.len() as u64).sum::<u64>());
    }
}

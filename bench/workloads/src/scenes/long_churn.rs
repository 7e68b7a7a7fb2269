//! `long-churn`: whether memory that has served for long costs more than memory that is young.
//!
//! **Models** a process that runs for weeks: live bytes stay the same, while what they are spent on changes all the time.
//! Five regimes of sizes (a server's mix, buffers, strings, large blocks among small ones, nodes of four sizes) fade into
//! each other, over and over. Of ten blocks, some seven die within the next hundred, most others at random, and a few
//! live on until as many bytes of their kind are younger: through several regimes. Each tenth of the run goes through all
//! regimes once, so that tenths compare. At 500 even steps the resident memory is read; a tenth's figure is
//! the highest of its fifty over the bytes live at that moment.
//!
//! Scale 1 is 20 million calls (allocations and frees together) on 4 MiB; scale 50 is 10⁹ on 32 MiB. Below scale 8 the
//! live bytes shrink with the calls, so that all of them are replaced in each regime. Of a block, one word in each
//! page and its ends are written.
//!
//! **Source**: the question is Johnstone and Wilson's ("The memory fragmentation problem: solved?", ISMM 1998): whether
//! fragmentation grows without bound in long runs. That most die young and a few live long is Hunter et al.'s finding
//! in Google's fleet (OSDI 2021).
//!
//! **Sensitive to** spans that a few survivors hold, to whether the memory of one size can become that of another,
//! and to whatever an allocator only ever adds to.

use std::collections::VecDeque;

use stratalloc_bench_protocol::Group;

use super::shapes::FLEET;
use crate::classics::block::Block;
use crate::measure::{Memory, Run};
use crate::random::{Random, mix};
use crate::registry::{Parameters, Threads, Workload};

pub const WORKLOAD: Workload = Workload {
    name: "long-churn",
    group: Group::Growth,
    models: "a long run of constant live bytes whose sizes shift over and over; 10⁹ calls at scale 50",
    source: "after Johnstone and Wilson (ISMM 1998) and Hunter et al. (OSDI 2021)",
    sensitive_to: "fragmentation that grows with the age of a process",
    threads: Threads::Fixed(1),
    latency: false,
    run,
};

/// Allocations and frees at scale 1.
const CALLS: u64 = 20_000_000;
/// Live bytes from [`FULL`] on.
const LIVE: u64 = 32 << 20;
/// The scale from which on the live bytes stay the same.
const FULL: f64 = 8.0;
/// Parts of the run that are compared.
const TENTHS: u64 = 10;
/// Points in each at which memory is read.
const POINTS: u64 = 50;
/// Regimes of sizes that each tenth goes through.
const REGIMES: u64 = 5;
/// Blocks that die in the order in which they came.
const YOUNG: usize = 64;
/// Of the bytes, those that live on through regimes: one in so many.
const OLD: u64 = 8;

/// What lives, by how long it is going to.
struct Heap {
    /// The youngest; a new one takes the place of the one that came [`YOUNG`] before.
    young: VecDeque<Block>,
    /// Those that live on, and die at random.
    settled: Vec<Block>,
    /// The few that outlive all others, first in, first out.
    old: VecDeque<Block>,
    live: u64,
    live_old: u64,
    wanted: u64,
    /// The most blocks that the three tables held, for their own memory.
    most: usize,
    calls: u64,
    sum: u64,
}

fn run(parameters: &Parameters, run: &mut Run) {
    let calls = parameters.scaled(CALLS);
    let wanted = ((LIVE as f64 * (parameters.scale / FULL).min(1.0)) as u64).max(256 << 10);
    let mut random = Random::new(parameters.seed);
    let mut heap = Heap::new(wanted);
    let base = Memory::now().rss;
    let mut highest = [0.0_f64; TENTHS as usize];
    let mut last = 0.0;
    run.start();
    for step in 0..TENTHS * POINTS {
        let goal = calls * (step + 1) / (TENTHS * POINTS);
        while heap.calls < goal {
            heap.step(size_at(heap.calls as f64 / calls as f64, &mut random), &mut random);
        }
        run.mark(step + 1);
        last = heap.ratio(base);
        let tenth = &mut highest[(step / POINTS) as usize];
        *tenth = tenth.max(last);
    }
    let time = run.elapsed();
    run.stop();
    run.operations(heap.calls);
    run.checksum(heap.sum);
    for (tenth, highest) in highest.iter().enumerate() {
        run.extra(&format!("resident bytes per live byte, highest in tenth {}", tenth + 1), *highest);
    }
    run.extra("resident bytes per live byte at end", last);
    run.extra("ns per call", time.as_nanos() as f64 / heap.calls as f64);
}

/// A size at this share of the run: of its regime, or already of the next one.
fn size_at(share: f64, random: &mut Random) -> usize {
    let place = share * (TENTHS * REGIMES) as f64;
    // The second half of a regime fades into the next.
    let ahead = ((place.fract() - 0.5) * 2.0).max(0.0);
    match (place as u64 + u64::from(random.unit() < ahead)) % REGIMES {
        0 => FLEET.pick(random),
        1 => random.between(256, 4096).min(random.between(256, 4096)),
        2 => random.between(8, 128).min(random.between(8, 128)),
        3 if random.one_in(16) => random.log_between(4 << 10, 256 << 10),
        3 => random.between(64, 1024),
        _ => [32, 48, 64, 96][random.index(4)],
    }
}

impl Heap {
    fn new(wanted: u64) -> Heap {
        let young = VecDeque::with_capacity(YOUNG + 1);
        let (settled, old) = (Vec::new(), VecDeque::new());
        Heap { young, settled, old, live: 0, live_old: 0, wanted, most: 0, calls: 0, sum: 0 }
    }

    /// One allocation, and the frees that it brings about.
    fn step(&mut self, size: usize, random: &mut Random) {
        self.calls += 1;
        self.live += size as u64;
        self.young.push_back(Block::paged(size, size as u8));
        if self.young.len() > YOUNG
            && let Some(block) = self.young.pop_front()
        {
            match random.below(1024) {
                0..4 => {
                    self.live_old += block.size() as u64;
                    self.old.push_back(block);
                }
                4..300 => self.settled.push(block),
                _ => self.free(block),
            }
        }
        self.most = self.most.max(self.settled.len() + self.old.len());
        while self.live_old > self.wanted / OLD {
            let Some(block) = self.old.pop_front() else { break };
            self.live_old -= block.size() as u64;
            self.free(block);
        }
        while self.live > self.wanted {
            let victim = match self.settled.len() {
                0 => self.young.pop_front(),
                length => Some(self.settled.swap_remove(random.index(length))),
            };
            let Some(block) = victim else { break };
            self.free(block);
        }
    }

    fn free(&mut self, block: Block) {
        self.calls += 1;
        self.live -= block.size() as u64;
        self.sum = self.sum.wrapping_add(mix(block.size() as u64 ^ u64::from(block.last()) << 32));
    }

    /// Resident bytes over `base` (KiB), without the tables, per live byte.
    fn ratio(&self, base: u64) -> f64 {
        let tables = (self.most * size_of::<Block>()) as u64;
        let resident = (Memory::now().rss * 1024).saturating_sub(base * 1024 + tables);
        resident as f64 / self.live as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenth_goes_through_the_same_regimes() {
        let mut random = Random::new(1);
        let mut mean = |share: f64| (0..4000).map(|_| size_at(share, &mut random)).sum::<usize>() / 4000;
        // In the middle of each regime, where nothing of the next one is seen yet.
        let mut means = |tenth: u64| {
            let middle = |regime: u64| ((tenth * REGIMES + regime) as f64 + 0.25) / (TENTHS * REGIMES) as f64;
            [0, 1, 2, 3, 4].map(|regime| mean(middle(regime)))
        };
        let (first, eighth) = (means(0), means(7));
        for (one, other) in first.into_iter().zip(eighth) {
            assert!(one.abs_diff(other) * 3 < one.max(other), "{first:?} {eighth:?}");
        }
        assert!(first[2] < first[4] && first[4] < first[1] && first[1] < first[3], "{first:?}");
    }

    #[test]
    fn live_bytes_stay_and_some_blocks_outlive_the_rest() {
        let (mut random, mut heap) = (Random::new(2), Heap::new(200_000));
        for _ in 0..100_000 {
            heap.step(random.between(16, 400), &mut random);
        }
        let of = |blocks: &mut dyn Iterator<Item = &Block>| blocks.map(|block| block.size() as u64).sum::<u64>();
        let old = of(&mut heap.old.iter());
        assert_eq!(heap.live, of(&mut heap.young.iter()) + of(&mut heap.settled.iter()) + old);
        assert!((190_000..=200_000).contains(&heap.live), "{}", heap.live);
        assert!(old == heap.live_old && (20_000..=25_000).contains(&old), "{old}");
        // Each block but the live ones was freed once.
        let blocks = (heap.young.len() + heap.settled.len() + heap.old.len()) as u64;
        assert_eq!(heap.calls, 200_000 - blocks);
    }
}

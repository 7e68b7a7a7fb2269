//! alloc-test: random sizes at random places, with the skew of real programs.
//!
//! Models: a table of slots, half of them filled. Again and again a slot is chosen, few of them often and most
//! seldom (80 % of the choices fall on 20 % of the slots, and so within each part); a filled one is read and freed,
//! an empty one gets a block, which is written in full. Half of the blocks have 5 to 8 bytes, a quarter 9 to 16, and so on
//! to 1 KiB. Each thread has its own part of the slots.
//!
//! Source: S. Ignatchenko's alloc-test (node-dcpp/alloc-test, ithare.com, "Testing memory allocators"), with the
//! parameters of mimalloc-bench.
//!
//! Sensitive to: the caches: how densely small blocks lie, and how much of its own the allocator touches.

use stratalloc_bench_protocol::Group;

use super::block::Filled;
use crate::measure::Run;
use crate::random::{Random, fold};
use crate::registry::{Parameters, Threads, Workload};
use crate::threads::crew;

const SOURCE: &str = "alloc-test (S. Ignatchenko, node-dcpp); mimalloc-bench";

pub const ALLOC_TEST_1: Workload = Workload {
    name: "alloc-test-1",
    group: Group::Classic,
    models: "One thread fills and frees random slots with blocks of random size up to 1 KiB, mostly tiny",
    source: SOURCE,
    sensitive_to: "density of small blocks and the cache footprint of the allocator",
    threads: Threads::Fixed(1),
    latency: true,
    run,
};

pub const ALLOC_TEST_N: Workload = Workload {
    name: "alloc-test-n",
    group: Group::Classic,
    models: "As alloc-test-1, by several threads, each with its own slots",
    source: SOURCE,
    sensitive_to: "the same, and anything that threads share in the allocator",
    threads: Threads::Cpus,
    latency: true,
    run,
};

/// Slots of all threads together.
const SLOTS: usize = 1 << 18;

/// Choices of a slot of each thread at scale 1.
const CHOICES: u64 = 11_000_000;

/// The slots' parts by how often they are chosen: share of the choices, share of the slots (Pareto's rule
/// applied six times: 80 % to 20 %).
const PARTS: [(f64, f64); 7] = [
    (0.262_144, 0.000_064),
    (0.393_216, 0.001_536),
    (0.245_760, 0.015_360),
    (0.081_920, 0.081_920),
    (0.015_360, 0.245_760),
    (0.001_536, 0.393_216),
    (0.000_064, 0.262_144),
];

fn run(parameters: &Parameters, run: &mut Run) {
    let threads = parameters.threads;
    let choices = parameters.scaled(CHOICES);
    let slots = (SLOTS / threads as usize).max(1 << 10);
    run.start();
    let sums = crew(threads, |index| work(Random::stream(parameters.seed, u64::from(index)), slots, choices));
    run.stop();
    run.operations(u64::from(threads) * (choices + slots as u64 / 2));
    sums.into_iter().for_each(|sum| run.checksum(sum));
}

fn work(mut random: Random, slots: usize, choices: u64) -> u64 {
    let choice = Choice::new(slots);
    let mut table: Vec<Option<Filled>> = Vec::new();
    table.resize_with(slots, || None);
    for pair in table.chunks_exact_mut(2) {
        let at = random.index(2);
        pair[at] = Some(block(&mut random));
    }
    let mut sum = 0;
    for _ in 0..choices {
        let slot = &mut table[choice.slot(&mut random)];
        *slot = match slot.take() {
            Some(block) => {
                sum = fold(sum, block.sum());
                None
            }
            None => Some(block(&mut random)),
        };
    }
    sum
}

/// A block of random size: each doubling half as likely as the one below.
fn block(random: &mut Random) -> Filled {
    let dice = random.next();
    let doubling = 2 + ((dice as u32 & 0x7f) | 0x80).trailing_zeros();
    let size = (1_usize << doubling) + 1 + ((dice >> 32) as usize & ((1 << doubling) - 1));
    Filled::new(size, size as u8)
}

/// Chooses slots by [`PARTS`].
struct Choice {
    /// Up to which random number (of 32 bits) a part is chosen, its first slot, and its slots.
    parts: [(u64, usize, usize); 7],
}

impl Choice {
    fn new(slots: usize) -> Choice {
        let mut likely = 0.0;
        let mut first = 0;
        let parts = PARTS.map(|(choices, share)| {
            likely += choices;
            let number = ((slots as f64 * share) as usize).clamp(1, slots - first);
            let part = ((likely * 4_294_967_296.0) as u64, first, number);
            first += number;
            part
        });
        Choice { parts }
    }

    fn slot(&self, random: &mut Random) -> usize {
        let dice = random.next();
        let likely = dice >> 32;
        let &(_, first, number) =
            self.parts.iter().find(|&&(up_to, ..)| likely < up_to).unwrap_or(&self.parts[self.parts.len() - 1]);
        first + (((dice & 0xffff_ffff) * number as u64) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_fifths_of_the_choices_fall_on_a_fifth_of_the_slots() {
        let choice = Choice::new(SLOTS);
        let mut random = Random::new(1);
        let few = (0..100_000).filter(|_| choice.slot(&mut random) < SLOTS / 10).count();
        // The first four parts are 9.9 % of the slots and 98.3 % of the choices.
        assert!((97_500..99_000).contains(&few), "{few}");
        assert!((0..100_000).all(|_| choice.slot(&mut random) < SLOTS));
    }

    #[test]
    fn sizes_halve_in_number_with_each_doubling() {
        let mut random = Random::new(1);
        let sizes: Vec<usize> = (0..20_000).map(|_| block(&mut random).bytes().len()).collect();
        assert!(sizes.iter().all(|size| (5..=1024).contains(size)));
        let share = |low, high| sizes.iter().filter(|&&size| (low..=high).contains(&size)).count();
        assert!((9_500..10_500).contains(&share(5, 8)), "{}", share(5, 8));
        assert!((4_500..5_500).contains(&share(9, 16)), "{}", share(9, 16));
        assert!(share(513, 1024) > 0);
    }
}

//! glibc-simple and glibc-thread: glibc's own benchmarks of malloc.
//!
//! Models: glibc-simple allocates 25, 100, 400 or 1600 blocks of 16, 32 or 64 bytes, writes them, and frees half of them in
//! order and the other half in reverse; on the main thread, on another, and on the main thread of a program that has had
//! threads. glibc-thread replaces random slots of a working set of 1024 with blocks of 4 to 32768 bytes whose
//! number falls with the square of the size.
//!
//! Source: glibc's `benchtests/bench-malloc-simple.c` and `bench-malloc-thread.c`, with the writes that
//! mimalloc-bench adds. There glibc-thread runs for a fixed time; here for a fixed number of replacements.
//!
//! Sensitive to: glibc-simple to the layout of fresh blocks in the order of addresses and to the fast paths alone;
//! glibc-thread to what is touched for a thread and each size.

use stratalloc_bench_protocol::Group;

use super::block::Filled;
use crate::measure::Run;
use crate::random::{Random, fold};
use crate::registry::{Parameters, Threads, Workload};
use crate::threads::crew;

pub const GLIBC_SIMPLE: Workload = Workload {
    name: "glibc-simple",
    group: Group::Classic,
    models: "Batches of 25 to 1600 blocks of 16, 32 or 64 bytes, freed half in order and half in reverse",
    source: "glibc's bench-malloc-simple; mimalloc-bench",
    sensitive_to: "the fast paths, and fresh blocks in the order of addresses",
    threads: Threads::Fixed(1),
    latency: true,
    run: simple,
};

pub const GLIBC_THREAD: Workload = Workload {
    name: "glibc-thread",
    group: Group::Classic,
    models: "Threads replace random slots of a working set of 1024 with blocks of 4 to 32768 bytes, mostly tiny",
    source: "glibc's bench-malloc-thread; mimalloc-bench",
    sensitive_to: "what each thread and each size costs, and what threads share",
    threads: Threads::Cpus,
    latency: true,
    run: thread,
};

/// Sizes of glibc-simple, in turn.
const SIZES: [usize; 3] = [16, 32, 64];

/// Blocks of a batch, in turn.
const BATCHES: [u64; 4] = [25, 100, 400, 1600];

/// Blocks of each size and kind of batch at scale 1.
const BLOCKS: u64 = 600_000;

fn simple(parameters: &Parameters, run: &mut Run) {
    let blocks = parameters.scaled(BLOCKS);
    run.start();
    let alone = all_sizes(blocks);
    let on_thread = std::thread::spawn(move || all_sizes(blocks)).join().expect("it does not panic");
    let after_threads = all_sizes(blocks);
    run.stop();
    for (operations, sum) in [alone, on_thread, after_threads] {
        run.operations(operations);
        run.checksum(sum);
    }
}

/// Batches of all sizes, about `blocks` blocks of each kind: how many in all, and their sum.
fn all_sizes(blocks: u64) -> (u64, u64) {
    let mut allocated = 0;
    let mut sum = 0;
    let mut batch: Vec<Option<Filled>> = Vec::with_capacity(1600);
    for size in SIZES {
        for number in BATCHES {
            for _ in 0..(blocks / number).max(1) {
                batch.extend((0..number).map(|place| Some(Filled::new(size, place as u8))));
                let (first, second) = batch.split_at_mut(number as usize / 2);
                for block in first.iter_mut().chain(second.iter_mut().rev()) {
                    let last = block.take().map_or(0, |block| block.bytes()[size - 1]);
                    sum = fold(sum, u64::from(last));
                }
                batch.clear();
                allocated += number;
            }
        }
    }
    (allocated, sum)
}

/// Slots of a thread of glibc-thread.
const WORKING_SET: usize = 1024;

const SMALLEST: usize = 4;
const LARGEST: usize = 32_768;

/// Sizes, drawn before and used in turn.
const DRAWN: usize = 8000;

/// Replacements of each thread at scale 1.
const REPLACEMENTS: u64 = 22_000_000;

fn thread(parameters: &Parameters, run: &mut Run) {
    let replacements = parameters.scaled(REPLACEMENTS);
    run.start();
    let sums = crew(parameters.threads, |index| {
        let mut random = Random::stream(parameters.seed, u64::from(index));
        let sizes: Vec<u32> = (0..DRAWN).map(|_| size(random.unit()) as u32).collect();
        let mut slots: Vec<Option<Filled>> = Vec::new();
        slots.resize_with(WORKING_SET, || None);
        let mut sum = 0;
        for (number, &size) in (0..replacements).zip(sizes.iter().cycle()) {
            let at = random.index(WORKING_SET);
            // The old block goes first, as in the original.
            if let Some(old) = slots[at].take() {
                sum = fold(sum, (old.bytes().len() + usize::from(old.bytes()[0])) as u64);
            }
            slots[at] = Some(Filled::new(size as usize, number as u8));
        }
        sum
    });
    run.stop();
    run.operations(u64::from(parameters.threads) * replacements);
    sums.into_iter().for_each(|sum| run.checksum(sum));
}

/// The size at a point of the distribution whose density falls with the square of the size.
fn size(unit: f64) -> usize {
    let (low, high) = (1.0 / SMALLEST as f64, 1.0 / LARGEST as f64);
    ((1.0 / ((high - low) * unit + low)) as usize).clamp(SMALLEST, LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fall_with_the_square() {
        assert_eq!(size(0.0), 4);
        assert_eq!(size(0.5), 7, "half of all are below 8");
        assert!((395..=405).contains(&size(0.99)), "one in a hundred is above 400: {}", size(0.99));
        assert!(size(0.999_999_9) > 30_000);
    }
}

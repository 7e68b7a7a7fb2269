//! malloc-large: few blocks of 5 to 25 MiB.
//!
//! Models: a program that holds up to 20 large buffers and replaces a random one again and again. The new block is there
//! before the old one goes; one byte of each page is written.
//!
//! Source: L. Stolyarov's program in mimalloc's issue 447, malloc-large in mimalloc-bench. There every byte is written;
//! here one of each page, so that less of the time is the processor's own.
//!
//! Sensitive to: how soon large memory goes back to the system, only to be faulted in again, and what that saves in
//! resident memory.

use stratalloc_bench_protocol::Group;

use super::block::Block;
use crate::measure::Run;
use crate::random::{Random, fold};
use crate::registry::{Parameters, Threads, Workload};

pub const MALLOC_LARGE: Workload = Workload {
    name: "malloc-large",
    group: Group::Classic,
    models: "Up to 20 buffers of 5 to 25 MiB, replaced at random, each page written",
    source: "L. Stolyarov, mimalloc issue 447; mimalloc-bench",
    sensitive_to: "how soon large memory goes back to the system, and page faults when it comes again",
    threads: Threads::Fixed(1),
    latency: true,
    run,
};

const BUFFERS: usize = 20;
const SMALLEST: usize = 5 << 20;
const LARGEST: usize = 25 << 20;

/// Replacements at scale 1.
const REPLACEMENTS: u64 = 600;

fn run(parameters: &Parameters, run: &mut Run) {
    let replacements = parameters.scaled(REPLACEMENTS);
    let every = (replacements / 100).max(1);
    let mut random = Random::new(parameters.seed);
    let mut sum = 0;
    run.start();
    let mut buffers: [Option<Block>; BUFFERS] = [const { None }; BUFFERS];
    for number in 0..replacements {
        let at = random.index(BUFFERS);
        let block = Block::paged(random.between(SMALLEST, LARGEST), number as u8);
        if let Some(old) = buffers[at].replace(block) {
            sum = fold(sum, old.size() as u64 ^ u64::from(old.last()));
        }
        if number % every == 0 {
            run.mark(number);
        }
    }
    for old in buffers.into_iter().flatten() {
        sum = fold(sum, old.size() as u64 ^ u64::from(old.last()));
    }
    run.stop();
    run.operations(replacements);
    run.checksum(sum);
}

//! cache-thrash and cache-scratch: do threads' tiny blocks lie in the same cache line?
//!
//! Models: each thread allocates a block of one byte, writes it very often, frees it, and begins again.
//! cache-thrash shows false sharing that the allocator causes (active): it gives parts of one line to two threads. In
//! cache-scratch each thread first frees a block that the main thread allocated next to the others' ones: an allocator
//! that hands these out again leaves the sharing in place (passive).
//!
//! Source: E. Berger et al., "Hoard: a scalable memory allocator for multithreaded applications", ASPLOS 2000; the
//! parameters after mimalloc-bench (one byte, 1000 rounds).
//!
//! Sensitive to: false sharing alone; the time of the threads' variants beside that of one thread tells.

use std::sync::Mutex;

use stratalloc_bench_protocol::Group;

use super::block::Block;
use crate::measure::Run;
use crate::registry::{Parameters, Threads, Workload};
use crate::threads::crew;

const SOURCE: &str = "Berger et al., Hoard (ASPLOS 2000); mimalloc-bench";

pub const CACHE_THRASH_1: Workload = Workload {
    name: "cache-thrash-1",
    group: Group::Classic,
    models: "One thread allocates a byte, writes it often, frees it, again and again",
    source: SOURCE,
    sensitive_to: "nothing but the processor: what cache-thrash-n is to be compared with",
    threads: Threads::Fixed(1),
    latency: false,
    run: thrash,
};

pub const CACHE_THRASH_N: Workload = Workload {
    name: "cache-thrash-n",
    group: Group::Classic,
    models: "Threads allocate a byte each, write it often, free it, again and again",
    source: SOURCE,
    sensitive_to: "active false sharing: parts of one cache line given to two threads",
    threads: Threads::Cpus,
    latency: false,
    run: thrash,
};

pub const CACHE_SCRATCH_1: Workload = Workload {
    name: "cache-scratch-1",
    group: Group::Classic,
    models: "One thread frees a byte of the main thread's, then does as cache-thrash",
    source: SOURCE,
    sensitive_to: "nothing but the processor: what cache-scratch-n is to be compared with",
    threads: Threads::Fixed(1),
    latency: false,
    run: scratch,
};

pub const CACHE_SCRATCH_N: Workload = Workload {
    name: "cache-scratch-n",
    group: Group::Classic,
    models: "Threads free neighbouring bytes of the main thread's, then do as cache-thrash",
    source: SOURCE,
    sensitive_to: "passive false sharing: a line divided by one thread stays divided after frees by others",
    threads: Threads::Cpus,
    latency: false,
    run: scratch,
};

/// Blocks that each thread allocates in turn, at scale 1.
const ROUNDS: u64 = 1000;

/// Writes to a block, divided among the threads: all together do the same work.
const WRITES: u64 = 250_000;

const SIZE: usize = 1;

fn thrash(parameters: &Parameters, run: &mut Run) {
    work(parameters, run, false);
}

fn scratch(parameters: &Parameters, run: &mut Run) {
    work(parameters, run, true);
}

fn work(parameters: &Parameters, run: &mut Run, passed: bool) {
    let threads = parameters.threads;
    let rounds = parameters.scaled(ROUNDS);
    let writes = (WRITES / u64::from(threads)).max(1);
    run.start();
    // The main thread's blocks lie side by side, one for each thread to free.
    let given: Vec<_> =
        (0..threads).map(|index| Mutex::new(passed.then(|| Block::touched(SIZE, index as u8)))).collect();
    let sums = crew(threads, |index| {
        let block = given[index as usize].lock().expect("only this thread takes it").take();
        let mut sum = block.map_or(0, |block| u64::from(block.first()));
        for round in 0..rounds {
            let mut block = Block::touched(SIZE, round as u8);
            block.rewrite(writes);
            sum += u64::from(block.first());
        }
        sum
    });
    drop(given);
    run.stop();
    run.operations(u64::from(threads) * rounds * writes);
    sums.into_iter().for_each(|sum| run.checksum(sum));
}

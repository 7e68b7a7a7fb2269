//! mleak: very many threads that each allocate one block and end.
//!
//! Models: ten threads at a time start, allocate 128 zeroed bytes, swap them into a random slot of a shared table,
//! free what was there, and end. Blocks outlive their threads by far.
//!
//! Source: mleak in mimalloc-bench (D. Leijen), which found allocators that lose memory with each thread.
//!
//! Sensitive to: what a thread's start and end cost and keep; the peak memory shows a leak.

use std::sync::Mutex;

use stratalloc_bench_protocol::Group;

use super::block::Filled;
use crate::measure::Run;
use crate::random::{Random, mix};
use crate::registry::{Parameters, Threads, Workload};

pub const MLEAK: Workload = Workload {
    name: "mleak",
    group: Group::Classic,
    models: "Ten threads at a time start, swap one block into a shared table, and end",
    source: "mleak (D. Leijen); mimalloc-bench",
    sensitive_to: "the cost of a thread's start and end, memory lost with threads",
    threads: Threads::Fixed(10),
    latency: false,
    run,
};

const SIZE: usize = 128;
const SLOTS: usize = 1000;

/// How often ten threads start, at scale 1.
const ROUNDS: u64 = 400;

fn run(parameters: &Parameters, run: &mut Run) {
    let rounds = parameters.scaled(ROUNDS);
    let threads = parameters.threads;
    let every = (rounds / 100).max(1);
    run.start();
    let table: Vec<Mutex<Option<Filled>>> = (0..SLOTS).map(|_| Mutex::new(None)).collect();
    let mut sum = 0_u64;
    for round in 0..rounds {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads)
                .map(|index| {
                    let table = &table;
                    let number = round * u64::from(threads) + u64::from(index);
                    scope.spawn(move || leave_one(table, number, parameters.seed))
                })
                .collect();
            for thread in threads {
                sum = sum.wrapping_add(thread.join().expect("it does not panic"));
            }
        });
        if round % every == 0 {
            run.mark(round);
        }
    }
    for slot in table {
        sum = sum.wrapping_add(part(slot.into_inner().expect("all threads ended well")));
    }
    run.stop();
    run.operations(rounds * u64::from(threads));
    run.checksum(sum);
}

/// The whole life of the thread of a number: the part of what it freed.
fn leave_one(table: &[Mutex<Option<Filled>>], number: u64, seed: u64) -> u64 {
    let mut random = Random::stream(seed, number);
    let mut block = Filled::zeroed(SIZE);
    block.bytes_mut()[..8].copy_from_slice(&number.to_le_bytes());
    let slot = &table[random.index(SLOTS)];
    let old = slot.lock().expect("no thread panics with a slot").replace(block);
    part(old)
}

/// Frees a block; its part of the checksum.
fn part(block: Option<Filled>) -> u64 {
    block.map_or(0, |block| mix(block.sum()))
}

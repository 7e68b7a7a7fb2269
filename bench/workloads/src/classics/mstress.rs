//! mstress: a server under changing load whose blocks wander between threads that come and go.
//!
//! Models: in each round all threads start anew. Each allocates in random order blocks that it keeps to the end
//! of the round and blocks that it frees at random, and now and then swaps one with a table shared by all. What lies in
//! the table survives the threads. Each block's words tell their place and are checked when it is freed.
//!
//! Source: mimalloc's `test-stress.c` (D. Leijen), as mimalloc-bench's mstress runs it.
//!
//! Sensitive to: starts and ends of threads with memory in use, blocks freed by others, reuse across sizes; its
//! peak memory shows what threads keep for themselves.

use std::sync::Mutex;

use stratalloc_bench_protocol::Group;

use super::block::Filled;
use crate::measure::Run;
use crate::random::{Random, mix};
use crate::registry::{Parameters, Threads, Workload};
use crate::threads::crew;

pub const MSTRESS: Workload = Workload {
    name: "mstress",
    group: Group::Classic,
    models: "Rounds of new threads allocate in random order, keep, free, and swap blocks through a shared table",
    source: "mimalloc's test-stress (D. Leijen); mimalloc-bench",
    sensitive_to: "starts and ends of threads with memory in use, blocks freed by others, memory kept by threads",
    threads: Threads::Cpus,
    latency: true,
    run,
};

/// Rounds at scale 1.
const ROUNDS: u64 = 130;

/// Blocks that the first thread allocates in a round and does not keep; the next twice as many, to eight
/// times.
const ALLOCATIONS: u32 = 10_000;

/// Slots of the shared table.
const TRANSFER: usize = 1000;

/// The shared table.
type Transfer = [Mutex<Option<Filled>>];

fn run(parameters: &Parameters, run: &mut Run) {
    let rounds = parameters.scaled(ROUNDS);
    run.start();
    let transfer: Box<Transfer> = (0..TRANSFER).map(|_| Mutex::new(None)).collect();
    let mut dice = Random::new(parameters.seed);
    for round in 0..rounds {
        let results = crew(parameters.threads, |index| {
            let stream = round * u64::from(parameters.threads) + u64::from(index);
            work(index, Random::stream(parameters.seed, stream), &transfer)
        });
        for (operations, sum) in results {
            run.operations(operations);
            run.checksum(sum);
        }
        run.mark(round);
        // Now and then the survivors go too, about half of them.
        if round % 10 == 9 {
            for slot in &transfer {
                if dice.one_in(2) {
                    run.checksum(checked(swap(slot, None)));
                }
            }
        }
    }
    for slot in &transfer {
        run.checksum(checked(swap(slot, None)));
    }
    drop(transfer);
    run.stop();
}

/// One thread's round: how many blocks it allocated, and the sum over those it freed.
fn work(index: u32, mut random: Random, transfer: &Transfer) -> (u64, u64) {
    let mut to_allocate = ALLOCATIONS * (index % 8 + 1);
    let mut to_keep = to_allocate / 2;
    let operations = u64::from(to_allocate + to_keep);
    let mut kept = Vec::new();
    let mut loose: Vec<Option<Filled>> = Vec::new();
    let mut sum = 0_u64;
    while to_allocate > 0 || to_keep > 0 {
        if to_keep == 0 || (to_allocate > 0 && random.one_in(2)) {
            to_allocate -= 1;
            let words = 1 << random.below(5);
            loose.push(Some(block(words, &mut random)));
        } else {
            to_keep -= 1;
            let words = 1 << random.below(7);
            kept.push(block(words, &mut random));
        }
        if !loose.is_empty() && random.below(3) < 2 {
            let at = random.index(loose.len());
            sum = sum.wrapping_add(checked(loose[at].take()));
        }
        if !loose.is_empty() && random.one_in(4) {
            let at = random.index(loose.len());
            let slot = &transfer[random.index(TRANSFER)];
            loose[at] = swap(slot, loose[at].take());
        }
    }
    for block in kept.into_iter().map(Some).chain(loose) {
        sum = sum.wrapping_add(checked(block));
    }
    (operations, sum)
}

/// A block of so many words, one in a hundred a hundred times as large and one in a thousand a
/// thousand times. Each word is the block's cookie and its place.
fn block(words: usize, random: &mut Random) -> Filled {
    let words = match random.below(1000) {
        0 => words * 1000,
        1..10 => words * 100,
        _ => words,
    };
    let cookie = random.next();
    Filled::words(words, |place| cookie ^ place as u64)
}

/// Frees a block after a look at each word; its part of the checksum.
fn checked(block: Option<Filled>) -> u64 {
    let Some(block) = block else { return 0 };
    let words = block.bytes().as_chunks::<8>().0;
    let cookie = u64::from_le_bytes(words[0]);
    for (place, &word) in words.iter().enumerate() {
        assert_eq!(
            u64::from_le_bytes(word),
            cookie ^ place as u64,
            "word {place} of a block of {} is spoiled",
            words.len()
        );
    }
    mix(cookie ^ words.len() as u64)
}

/// Puts a block into a slot and takes what was there.
fn swap(slot: &Mutex<Option<Filled>>, block: Option<Filled>) -> Option<Filled> {
    std::mem::replace(&mut *slot.lock().expect("no thread panics with a slot"), block)
}

//! rptest: blocks up to 16 KB, some of them freed by the next thread.
//!
//! Models: each thread has 1000 slots. In each turn it frees 30 to 99 of them at a stride, frees what other threads sent
//! it, and fills 30 to 99; each second turn it allocates as many more and sends them to another thread. Sizes from 8
//! to 16000 bytes, larger ones less often (the density falls linearly). One byte of each page is written.
//!
//! Source: M. Jansson's rpmalloc-benchmark, with the parameters of mimalloc-bench (`rptest N 0 1 2 … 8 16000`). The
//! requests for an alignment of 8 and 16 are left out.
//!
//! Sensitive to: sizes beyond what the shortest paths serve, their waste, and frees by other threads.

use std::sync::{Barrier, Mutex};

use stratalloc_bench_protocol::Group;

use super::block::Block;
use crate::measure::Run;
use crate::random::{Random, fold};
use crate::registry::{Parameters, Threads, Workload};
use crate::threads::crew;

pub const RPTEST: Workload = Workload {
    name: "rptest",
    group: Group::Classic,
    models: "Threads replace scattered blocks of 8 to 16000 bytes and send every third to another thread to free",
    source: "rpmalloc-benchmark (M. Jansson); mimalloc-bench",
    sensitive_to: "blocks above 1 KiB: the length of their path, their waste, and frees by other threads",
    threads: Threads::Cpus,
    latency: true,
    run,
};

const SLOTS: usize = 1000;
const SMALLEST: usize = 8;
const LARGEST: usize = 16_000;

/// Turns of each thread at scale 1.
const TURNS: u64 = 13_000;

/// Every how many turns blocks are sent.
const SENDING: u64 = 2;

/// Every how many turns the threads wait for each other. In the original they never do, and what waits to be freed (and
/// with it the peak) depends on which thread ran first.
const ABREAST: u64 = 50;

/// From one slot to the next: primes to the number of slots, so that all are reached.
const ALLOCATION_STRIDE: usize = 37;
const FREE_STRIDE: usize = 61;

/// What each thread shall free for others.
type Inboxes = [Mutex<Vec<Vec<Block>>>];

fn run(parameters: &Parameters, run: &mut Run) {
    let turns = parameters.scaled(TURNS);
    run.start();
    let inboxes: Box<Inboxes> = (0..parameters.threads).map(|_| Mutex::default()).collect();
    let abreast = Barrier::new(parameters.threads as usize);
    let results = crew(parameters.threads, |index| {
        let random = Random::stream(parameters.seed, u64::from(index));
        work(index as usize, random, turns, &inboxes, &abreast)
    });
    // What came after its reader had ended.
    let mut sum = 0_u64;
    for inbox in &inboxes {
        let left = std::mem::take(&mut *inbox.lock().expect("all threads ended well"));
        sum = left.into_iter().flatten().fold(sum, |sum, block| sum.wrapping_add(part(&block)));
    }
    drop(inboxes);
    run.stop();
    run.checksum(sum);
    for (blocks, sum) in results {
        run.operations(blocks);
        run.checksum(sum);
    }
}

/// All turns of a thread: how many blocks it allocated, and the sum over those it freed.
fn work(index: usize, mut random: Random, turns: u64, inboxes: &Inboxes, abreast: &Barrier) -> (u64, u64) {
    let mut slots: Vec<Option<Block>> = Vec::new();
    slots.resize_with(SLOTS, || None);
    let (mut to_free, mut to_fill) = (0, 0);
    let (mut blocks, mut sum) = (0_u64, 0_u64);
    for turn in 0..turns {
        if turn % ABREAST == 0 {
            abreast.wait();
        }
        let frees = random.between(30, 99);
        let fills = random.between(30, 99);
        for _ in 0..frees {
            let old = slots[to_free].take();
            sum = sum.wrapping_add(old.as_ref().map_or(0, part));
            to_free = (to_free + FREE_STRIDE) % SLOTS;
        }
        let received = std::mem::take(&mut *inboxes[index].lock().expect("no thread panics with an inbox"));
        for block in received.into_iter().flatten() {
            sum = sum.wrapping_add(part(&block));
        }
        for _ in 0..fills {
            // The old block goes first, as in the original.
            let old = slots[to_fill].take();
            sum = sum.wrapping_add(old.as_ref().map_or(0, part));
            drop(old);
            slots[to_fill] = Some(block(&mut random));
            to_fill = (to_fill + ALLOCATION_STRIDE) % SLOTS;
        }
        blocks += fills as u64;
        if turn % SENDING == 0 {
            let batch: Vec<Block> = (0..fills).map(|_| block(&mut random)).collect();
            // To each of the others in turn; to itself where it is alone.
            let others = inboxes.len().saturating_sub(1).max(1);
            let receiver = (index + 1 + (turn / SENDING) as usize % others) % inboxes.len();
            inboxes[receiver].lock().expect("as above").push(batch);
            blocks += fills as u64;
        }
    }
    (blocks, slots.iter().flatten().fold(sum, |sum, block| sum.wrapping_add(part(block))))
}

/// A block whose size is the smaller of two even draws: the density falls linearly to zero.
fn block(random: &mut Random) -> Block {
    let size = random.between(SMALLEST, LARGEST).min(random.between(SMALLEST, LARGEST));
    Block::paged(size, size as u8)
}

/// A block's part of the checksum; threads may free in any order, so parts are added.
fn part(block: &Block) -> u64 {
    fold(block.size() as u64, u64::from(block.first()) + u64::from(block.last()))
}

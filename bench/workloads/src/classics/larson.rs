//! larson: a server whose threads come and go while its blocks stay.
//!
//! Models: each thread replaces random blocks of its own table with new ones of random size. After a while it
//! starts a successor, hands it the table and ends, so that the successor frees what threads before it allocated.
//! The first tables are the main thread's.
//!
//! Source: P.-Å. Larson and M. Krishnan, "Memory allocation for long-running server applications", ISMM 1998; sizes
//! and table as mimalloc-bench sets them (8 to 1000 bytes, 5000 blocks a thread). There the time is fixed and the
//! throughput counted; here the work is fixed, as for all contenders.
//!
//! Sensitive to: frees of blocks whose thread has ended, and what a thread's start and end cost. In a `global-NAME`
//! face the frees tell the size ("larson-sized").

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Scope;

use stratalloc_bench_protocol::Group;

use super::block::Block;
use crate::measure::Run;
use crate::random::{Random, fold};
use crate::registry::{Parameters, Threads, Workload};

pub const LARSON: Workload = Workload {
    name: "larson",
    group: Group::Classic,
    models: "Server threads replace random blocks of 8 to 1000 bytes and hand their table to a successor",
    source: "Larson and Krishnan, Memory allocation for long-running server applications (ISMM 1998); mimalloc-bench",
    sensitive_to: "frees of blocks whose thread has ended, starts and ends of threads",
    threads: Threads::Cpus,
    latency: true,
    run,
};

/// Blocks of a thread's table.
const TABLE: usize = 5000;

const SMALLEST: usize = 8;
const LARGEST: usize = 1000;

/// Replacements before a thread hands over.
const TURN: u64 = 50_000;

/// Threads that work on a table one after the other, at scale 1.
const GENERATIONS: u64 = 130;

/// What a thread takes over.
struct Table {
    blocks: Vec<Block>,
    random: Random,
    sum: u64,
    generations_left: u64,
}

fn run(parameters: &Parameters, run: &mut Run) {
    let generations = parameters.scaled(GENERATIONS);
    let sum = AtomicU64::new(0);
    run.start();
    let tables: Vec<Table> = (0..u64::from(parameters.threads))
        .map(|index| {
            let mut random = Random::stream(parameters.seed, index);
            let blocks =
                (0..TABLE).map(|at| Block::touched(random.between(SMALLEST, LARGEST), at as u8)).collect();
            Table { blocks, random, sum: 0, generations_left: generations }
        })
        .collect();
    std::thread::scope(|scope| {
        for table in tables {
            let sum = &sum;
            scope.spawn(move || serve(scope, table, sum));
        }
    });
    run.stop();
    let threads = u64::from(parameters.threads);
    run.operations(threads * (TABLE as u64 + generations * TURN));
    run.checksum(sum.into_inner());
}

/// One thread's turn, and the start of the next one's.
fn serve<'scope>(scope: &'scope Scope<'scope, '_>, mut table: Table, sum: &'scope AtomicU64) {
    for turn in 0..TURN {
        let at = table.random.index(TABLE);
        let block = Block::touched(table.random.between(SMALLEST, LARGEST), turn as u8);
        let old = std::mem::replace(&mut table.blocks[at], block);
        table.sum = fold(table.sum, (old.size() + usize::from(old.last())) as u64);
    }
    table.generations_left -= 1;
    if table.generations_left == 0 {
        sum.fetch_add(table.sum, Ordering::Relaxed);
    } else {
        scope.spawn(move || serve(scope, table, sum));
    }
}

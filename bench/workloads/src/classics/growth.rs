//! realloc and realloc-mixed: buffers that grow.
//!
//! Models: realloc pushes words to one vector until it holds a gibibyte; its capacity doubles 24 times and more.
//! realloc-mixed grows a random one of two thousand buffers by half, writes what is new, and starts over with a small
//! one beyond its limit; limits run from 256 bytes to 1 MiB, small ones more often.
//!
//! Source: the issue of growing vectors that every language's library has; mimalloc-bench has no such test. Factor 2
//! is Rust's and libstdc++'s, 1.5 that of folly and MSVC.
//!
//! Sensitive to: growth in place, moving pages in place of copying (mremap), the memory held while both
//! blocks exist; realloc-mixed also to reuse of what smaller blocks left behind.

use stratalloc_bench_protocol::Group;

use crate::measure::Run;
use crate::random::{Random, fold};
use crate::registry::{Parameters, Threads, Workload};

pub const REALLOC: Workload = Workload {
    name: "realloc",
    group: Group::Classic,
    models: "One vector grows by pushes to 1 GiB, doubling its capacity",
    source: "growing vectors, as in Rust's and C++'s libraries",
    sensitive_to: "how large blocks grow: in place, by moving pages, or by copying",
    threads: Threads::Fixed(1),
    latency: true,
    run: doubling,
};

pub const REALLOC_MIXED: Workload = Workload {
    name: "realloc-mixed",
    group: Group::Classic,
    models: "Two thousand buffers grow by half in random order up to limits from 256 bytes to 1 MiB",
    source: "growing strings and buffers, as in folly's and MSVC's libraries",
    sensitive_to: "growth inside a size class and across it, reuse of what smaller blocks left",
    threads: Threads::Fixed(1),
    latency: true,
    run: mixed,
};

/// Bytes of the vector at scale 1; smaller scales end sooner, larger ones begin again.
const VECTOR: u64 = 1 << 30;

fn doubling(parameters: &Parameters, run: &mut Run) {
    let mut left = parameters.scaled(VECTOR / 8);
    let mut sum = 0;
    run.operations(left);
    run.start();
    while left > 0 {
        let words = left.min(VECTOR / 8);
        let mut vector: Vec<u64> = Vec::new();
        for word in 0..words {
            vector.push(word ^ parameters.seed);
        }
        // One word of each page came through all moves.
        sum = vector.iter().step_by(512).fold(sum, |sum, &word| fold(sum, word));
        left -= words;
    }
    run.stop();
    run.checksum(sum);
}

const BUFFERS: usize = 2000;

/// Where a buffer starts, at least and at most.
const START: (usize, usize) = (16, 128);

/// Where it starts over, at least and at most.
const LIMIT: (usize, usize) = (256, 1 << 20);

/// Growths at scale 1.
const GROWTHS: u64 = 250_000;

fn mixed(parameters: &Parameters, run: &mut Run) {
    let growths = parameters.scaled(GROWTHS);
    let every = (growths / 100).max(1);
    let mut random = Random::new(parameters.seed);
    let mut sum = 0;
    run.start();
    let mut buffers: Vec<(Vec<u8>, usize)> = (0..BUFFERS).map(|_| (Vec::new(), 0)).collect();
    for number in 0..growths {
        let (buffer, limit) = &mut buffers[random.index(BUFFERS)];
        let grown = buffer.len() + buffer.len() / 2;
        if grown >= *limit {
            sum = fold(sum, ends(buffer));
            *buffer = Vec::new();
            *limit = random.log_between(LIMIT.0, LIMIT.1);
            grow(buffer, random.between(START.0, START.1), number as u8);
        } else {
            grow(buffer, grown, number as u8);
        }
        if number % every == 0 {
            run.mark(number);
        }
    }
    sum = buffers.iter().fold(sum, |sum, (buffer, _)| fold(sum, ends(buffer)));
    drop(buffers);
    run.stop();
    run.operations(growths);
    run.checksum(sum);
}

/// To exactly so many bytes, the new ones written.
fn grow(buffer: &mut Vec<u8>, size: usize, byte: u8) {
    buffer.reserve_exact(size - buffer.len());
    buffer.resize(size, byte);
}

/// A buffer's length, and its first and last byte.
fn ends(buffer: &[u8]) -> u64 {
    let end = |byte: Option<&u8>| u64::from(byte.copied().unwrap_or(0));
    (buffer.len() as u64) << 16 | end(buffer.first()) << 8 | end(buffer.last())
}

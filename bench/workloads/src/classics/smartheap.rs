//! sh6 and sh8: batches of blocks freed in order, in reverse, at random, and by another thread.
//!
//! Models: a thread fills a long table with blocks of all sizes below 1000 bytes, small ones far more often. When the
//! table is full a fifth of it stays, another fifth each time; what lies below is freed in the order of
//! allocation and what lies above in reverse, each third time in random order. In sh8 the lower part goes to
//! the next thread, which frees it.
//!
//! Source: MicroQuill's SmartHeap benchmarks sh6bench and sh8bench, which mimalloc-bench runs; the random
//! order is our addition, and sh8's way of handing blocks on is simpler here.
//!
//! Sensitive to: whether frees in any order keep memory together (lists of a page, reuse of the latest block);
//! sh8 to the cost of frees by other threads, in batches.

use std::ops::Range;
use std::sync::{Barrier, Mutex};

use stratalloc_bench_protocol::Group;

use super::block::Block;
use crate::measure::Run;
use crate::random::{Random, fold, mix};
use crate::registry::{Parameters, Threads, Workload};
use crate::threads::crew;

pub const SH6: Workload = Workload {
    name: "sh6",
    group: Group::Classic,
    models: "Each thread fills a table with small blocks and frees parts of it in order, in reverse and at random",
    source: "sh6bench (MicroQuill SmartHeap); mimalloc-bench",
    sensitive_to: "the order of frees: reuse of the latest block, lists that follow the order of frees",
    threads: Threads::Scaling(1),
    latency: true,
    run: sh6,
};

pub const SH8: Workload = Workload {
    name: "sh8",
    group: Group::Classic,
    models: "As sh6, but the part freed in order is freed by another thread",
    source: "sh8bench (MicroQuill SmartHeap); mimalloc-bench",
    sensitive_to: "frees by other threads, mixed with own ones in any order",
    threads: Threads::Cpus,
    latency: true,
    run: sh8,
};

/// Slots of a thread's table.
const TABLE: usize = 20_000;

/// Larger sizes are not asked for.
const LARGEST: usize = 1000;

/// Walks through all sizes of each thread at scale 1.
const SH6_WALKS: u64 = 900;

/// The same of sh8.
const SH8_WALKS: u64 = 500;

/// Every how many walks sh8's threads wait for each other, so that what waits to be freed does not depend on
/// which of them ran first.
const ABREAST: u64 = 4;

/// Where each thread finds what it shall free for another.
type Inboxes = [Mutex<Vec<Vec<Block>>>];

fn sh6(parameters: &Parameters, run: &mut Run) {
    work(parameters, run, SH6_WALKS, None);
}

fn sh8(parameters: &Parameters, run: &mut Run) {
    let inboxes: Box<Inboxes> = (0..parameters.threads).map(|_| Mutex::default()).collect();
    work(parameters, run, SH8_WALKS, Some(&inboxes));
}

fn work(parameters: &Parameters, run: &mut Run, walks: u64, inboxes: Option<&Inboxes>) {
    let threads = parameters.threads;
    let walks = parameters.scaled(walks);
    run.start();
    let abreast = Barrier::new(threads as usize);
    let results = crew(threads, |index| {
        let post = inboxes.map(|inboxes| Post { inboxes, own: index as usize });
        let mut table = Table::new(Random::stream(parameters.seed, u64::from(index)), post);
        let mut blocks = 0;
        for number in 0..walks {
            if inboxes.is_some() && number % ABREAST == 0 {
                abreast.wait();
            }
            blocks += walk(&mut table);
        }
        (blocks, table.finish())
    });
    // What came after its reader had ended.
    let mut left = 0;
    for inbox in inboxes.unwrap_or_default() {
        left = std::mem::take(&mut *inbox.lock().expect("all threads ended well"))
            .into_iter()
            .flatten()
            .fold(left, |sum, block| part(&block).wrapping_add(sum));
    }
    run.stop();
    run.checksum(left);
    for (blocks, sum) in results {
        run.operations(blocks);
        run.checksum(sum);
    }
}

/// Puts blocks of all sizes into the table, smaller ones more often; how many.
fn walk(table: &mut Table) -> u64 {
    let mut blocks = 0;
    let mut base = 1;
    while base < LARGEST {
        let mut size = base;
        while size > 0 {
            let times = if size < 100 { 250 } else { 50 };
            for _ in 0..times {
                table.put(Block::touched(size, blocks as u8));
                blocks += 1;
            }
            size /= 2;
        }
        base = base * 3 / 2 + 1;
    }
    blocks
}

/// One thread's table.
struct Table<'a> {
    slots: Vec<Option<Block>>,
    next: usize,
    /// The slots whose blocks stay until the table is full again.
    kept: Range<usize>,
    fillings: u64,
    random: Random,
    sum: u64,
    post: Option<Post<'a>>,
}

/// How a thread reaches the next one.
struct Post<'a> {
    inboxes: &'a Inboxes,
    own: usize,
}

impl Table<'_> {
    fn new(random: Random, post: Option<Post>) -> Table {
        let mut slots = Vec::new();
        slots.resize_with(TABLE, || None);
        Table { slots, next: 0, kept: 0..0, fillings: 0, random, sum: 0, post }
    }

    fn put(&mut self, block: Block) {
        self.slots[self.next] = Some(block);
        self.next += 1;
        self.step_over_kept();
        if self.next >= TABLE {
            self.empty();
        }
    }

    fn step_over_kept(&mut self) {
        if self.next == self.kept.start {
            self.next = self.kept.end;
        }
    }

    /// Another fifth stays, all other blocks go.
    fn empty(&mut self) {
        let start = if self.kept.end >= TABLE { 0 } else { self.kept.end };
        self.kept = start..(start + TABLE / 5).min(TABLE);
        self.fillings += 1;
        match self.post {
            None => (0..self.kept.start).for_each(|at| self.free(at)),
            Some(_) => self.send(),
        }
        if self.fillings.is_multiple_of(3) {
            let mut order: Vec<usize> = (self.kept.end..TABLE).collect();
            self.random.shuffle(&mut order);
            order.into_iter().for_each(|at| self.free(at));
        } else {
            (self.kept.end..TABLE).rev().for_each(|at| self.free(at));
        }
        self.next = 0;
        self.step_over_kept();
    }

    fn free(&mut self, at: usize) {
        if let Some(block) = self.slots[at].take() {
            self.sum = self.sum.wrapping_add(part(&block));
        }
    }

    /// The lower part to the next thread; what came from others is freed.
    fn send(&mut self) {
        let Some(post) = &self.post else { return };
        let batch: Vec<Block> = self.slots[..self.kept.start].iter_mut().filter_map(Option::take).collect();
        let next = (post.own + 1) % post.inboxes.len();
        post.inboxes[next].lock().expect("no thread panics with an inbox").push(batch);
        let received = std::mem::take(&mut *post.inboxes[post.own].lock().expect("as above"));
        for block in received.into_iter().flatten() {
            self.sum = self.sum.wrapping_add(part(&block));
        }
    }

    /// Frees everything; the sum over all blocks that this thread freed.
    fn finish(mut self) -> u64 {
        (0..TABLE).for_each(|at| self.free(at));
        self.sum
    }
}

/// A block's part of the checksum; threads may free in any order, so parts are added.
fn part(block: &Block) -> u64 {
    mix(fold(block.size() as u64, u64::from(block.last())))
}

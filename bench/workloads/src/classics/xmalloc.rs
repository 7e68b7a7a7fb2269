//! xmalloc: producers allocate, consumers free.
//!
//! Models: half of the threads allocate batches of 4096 blocks of 64 bytes, write them and put the batch on a
//! bounded stack; the other half take batches and free block by block, then the batch itself. No block is ever freed
//! by the thread that allocated it.
//!
//! Source: C. Lever and D. Boreham, "malloc() performance in a multithreaded Linux environment", USENIX 2000, in
//! the form of xmalloc-test in mimalloc-bench (size 64). There the time is fixed; here the number of batches.
//!
//! Sensitive to: the way of a block back from the thread that frees to those that allocate; allocators without
//! such a way grow or meet at a lock.

use std::sync::{Condvar, Mutex};

use stratalloc_bench_protocol::Group;

use super::block::Filled;
use crate::measure::Run;
use crate::random::fold;
use crate::registry::{Parameters, Threads, Workload};
use crate::threads::crew;

pub const XMALLOC: Workload = Workload {
    name: "xmalloc",
    group: Group::Classic,
    models: "Half of the threads allocate blocks of 64 bytes, the other half free them, in batches of 4096",
    source: "Lever and Boreham, malloc() performance in a multithreaded Linux environment (USENIX 2000); mimalloc-bench",
    sensitive_to: "the way of blocks back from the threads that free to the threads that allocate",
    threads: Threads::TwiceCpus,
    latency: true,
    run,
};

const BATCH: usize = 4096;
const SIZE: usize = 64;

/// Batches at scale 1, of all producers together.
const BATCHES: u64 = 1800;

/// Batches that may wait; producers wait for room. The original lets 100 wait: the peak would tell more of which
/// thread ran first than of the allocator.
const WAITING: usize = 16;

/// What goes from producer to consumer in one piece.
type Batch = Box<[Filled]>;

/// Batches between the threads: last in, first out, as in the original.
struct Stack {
    inside: Mutex<Inside>,
    filled: Condvar,
    emptied: Condvar,
}

struct Inside {
    batches: Vec<Batch>,
    producers: u32,
}

impl Stack {
    fn push(&self, batch: Batch) {
        let inside = self.inside.lock().expect("no thread panics with the stack");
        let mut inside =
            self.emptied.wait_while(inside, |inside| inside.batches.len() >= WAITING).expect("as above");
        inside.batches.push(batch);
        drop(inside);
        self.filled.notify_one();
    }

    /// `None` when all producers are done and nothing is left.
    fn pop(&self) -> Option<Batch> {
        let inside = self.inside.lock().expect("no thread panics with the stack");
        let wait = |inside: &mut Inside| inside.batches.is_empty() && inside.producers > 0;
        let mut inside = self.filled.wait_while(inside, wait).expect("as above");
        let batch = inside.batches.pop();
        drop(inside);
        self.emptied.notify_one();
        batch
    }

    /// One producer is done.
    fn leave(&self) {
        self.inside.lock().expect("no thread panics with the stack").producers -= 1;
        self.filled.notify_all();
    }
}

fn run(parameters: &Parameters, run: &mut Run) {
    // A single thread would wait for itself: it has a consumer beside it.
    let producers = parameters.threads.div_ceil(2);
    let consumers = parameters.threads - producers;
    let consumers = consumers.max(1);
    let batches = parameters.scaled(BATCHES);
    run.start();
    let stack = Stack {
        inside: Mutex::new(Inside { batches: Vec::with_capacity(WAITING), producers }),
        filled: Condvar::new(),
        emptied: Condvar::new(),
    };
    let sums = crew(producers + consumers, |index| {
        if index < producers { produce(&stack, index, producers, batches) } else { consume(&stack) }
    });
    drop(stack);
    run.stop();
    run.operations(batches * BATCH as u64);
    sums.into_iter().for_each(|sum| run.checksum(sum));
}

/// Each producer makes its share of the batches.
fn produce(stack: &Stack, index: u32, producers: u32, batches: u64) -> u64 {
    for number in (u64::from(index)..batches).step_by(producers as usize) {
        stack.push((0..BATCH).map(|at| Filled::new(SIZE, (at as u64 + number) as u8)).collect());
    }
    stack.leave();
    0
}

/// The sum over all batches that this thread got.
fn consume(stack: &Stack) -> u64 {
    let mut sum = 0_u64;
    while let Some(batch) = stack.pop() {
        let batch: u64 = batch.into_iter().fold(0, |sum, block| fold(sum, u64::from(block.bytes()[SIZE / 2])));
        sum = sum.wrapping_add(batch);
    }
    sum
}

//! `thousand-threads`: many threads alive, few of them awake.
//!
//! **Models** a server with a thread for each connection: a thousand threads that sleep most of the time, wake for a short
//! burst of allocations, keep a little state of their own, and now and then leave a block in a neighbour's mailbox,
//! who frees it in its next burst. At most eight are awake at once, in an order that changes with each round.
//!
//! **Source**: the per-thread caches' cost that Hunter et al. ("Beyond malloc efficiency to fleet efficiency", OSDI 2021) and
//! Zhou et al. (ASPLOS 2024) describe for servers with far more threads than CPUs.
//!
//! **Sensitive to** memory that idle threads hold (peak RSS over the live bytes), to the cost of a thread's first
//! allocation, and to cold caches at each burst.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, Builder};

use stratalloc_bench_protocol::Group;

use super::shapes::{self, SMALL};
use crate::measure::Run;
use crate::random::{Random, mix};
use crate::registry::{Parameters, Threads, Workload};

pub const WORKLOAD: Workload = Workload {
    name: "thousand-threads",
    group: Group::Scene,
    models: "a thousand threads that sleep, wake for a burst of allocations, and leave blocks to each other",
    source: "after Hunter et al. (OSDI 2021) and Zhou et al. (ASPLOS 2024) on threads that outnumber CPUs",
    sensitive_to: "memory that idle threads hold, the cost of a thread's first allocation, cold caches",
    threads: Threads::Fixed(1000),
    latency: true,
    run,
};

/// Bursts of all threads at scale 1.
const BURSTS: u64 = 15_000;
/// Threads awake at once.
const AWAKE: usize = 8;
/// Blocks of a burst.
const BURST: usize = 100;
/// Blocks that a thread keeps.
const KEPT: usize = 48;
/// Stack of a thread, bytes: the default of 2 MiB is address space only, but a thousand of them hit small limits.
const STACK: usize = 256 << 10;

/// What others see of a thread.
#[derive(Default)]
struct Seat {
    /// Bursts that it may run, all its life; [`END`] sends it home.
    turns: AtomicU64,
    mailbox: Mutex<VecDeque<Box<[u8]>>>,
}

/// A number of turns that is never reached.
const END: u64 = u64::MAX;

fn run(parameters: &Parameters, run: &mut Run) {
    let bursts = parameters.scaled(BURSTS);
    run.start();
    let sum = rouse(parameters, bursts);
    run.stop();
    run.operations(bursts * BURST as u64);
    run.checksum(sum);
}

/// Starts all threads, wakes each once a round until all bursts are done, and sends them home; the sum over all blocks.
fn rouse(parameters: &Parameters, bursts: u64) -> u64 {
    let number = parameters.threads as usize;
    let seats: Vec<Seat> = (0..number).map(|_| Seat::default()).collect();
    let seats = &seats[..];
    let mut order: Vec<usize> = (0..number).collect();
    let mut random = Random::stream(parameters.seed, u64::MAX - 1);
    thread::scope(|scope| {
        let (done, finished) = sync_channel(AWAKE);
        let threads: Vec<_> = (0..number)
            .map(|index| {
                let done = done.clone();
                let random = Random::stream(parameters.seed, index as u64);
                Builder::new()
                    .stack_size(STACK)
                    .spawn_scoped(scope, move || sit(index, seats, random, &done))
                    .unwrap_or_else(|error| panic!("thread {index} of {number} does not start: {error}"))
            })
            .collect();
        let mut awake = 0;
        for burst in 0..bursts as usize {
            if burst % number == 0 {
                random.shuffle(&mut order);
            }
            if awake == AWAKE {
                finished.recv().expect("threads report each burst");
                awake -= 1;
            }
            let index = order[burst % number];
            // Release: pairs with the thread's load; what it does then comes after what was said before.
            seats[index].turns.store((burst / number) as u64 + 1, Ordering::Release);
            threads[index].thread().unpark();
            awake += 1;
        }
        for _ in 0..awake {
            finished.recv().expect("threads report each burst");
        }
        for (seat, thread) in seats.iter().zip(&threads) {
            seat.turns.store(END, Ordering::Release);
            thread.thread().unpark();
        }
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).fold(0, u64::wrapping_add)
    })
    .wrapping_add(seats.iter().map(|seat| empty(&seat.mailbox)).fold(0, u64::wrapping_add))
}

/// A thread's life.
fn sit(index: usize, seats: &[Seat], mut random: Random, done: &SyncSender<()>) -> u64 {
    let mut kept: Vec<Box<[u8]>> = Vec::new();
    let mut sum = 0_u64;
    let mut ran = 0;
    loop {
        let turns = seats[index].turns.load(Ordering::Acquire);
        if turns == END {
            return kept.iter().fold(sum, |sum, block| sum.wrapping_add(mix(shapes::read(block))));
        }
        if ran == turns {
            thread::park();
            continue;
        }
        ran += 1;
        sum = sum.wrapping_add(empty(&seats[index].mailbox));
        sum = sum.wrapping_add(burst(&mut kept, &mut random));
        let neighbour = (index + random.between(1, 7)) % seats.len();
        let gift = shapes::block(SMALL.pick(&mut random), index as u64);
        seats[neighbour].mailbox.lock().expect("no thread panics").push_back(gift);
        done.send(()).expect("the main thread counts bursts");
    }
}

/// Frees what others left; the sum over it.
fn empty(mailbox: &Mutex<VecDeque<Box<[u8]>>>) -> u64 {
    let gifts = std::mem::take(&mut *mailbox.lock().expect("no thread panics"));
    gifts.into_iter().map(|gift| mix(shapes::read(&gift))).fold(0, u64::wrapping_add)
}

/// Some blocks that die at the end of the burst, some that replace kept ones.
fn burst(kept: &mut Vec<Box<[u8]>>, random: &mut Random) -> u64 {
    let mut passing: Vec<Box<[u8]>> = Vec::new();
    let mut sum = 0_u64;
    for number in 0..BURST {
        let block = shapes::block(SMALL.pick(random), number as u64);
        if number % 6 != 0 {
            passing.push(block);
        } else if kept.len() < KEPT {
            kept.push(block);
        } else {
            let old = std::mem::replace(&mut kept[random.index(KEPT)], block);
            sum = sum.wrapping_add(mix(shapes::read(&old)));
        }
    }
    passing.iter().fold(sum, |sum, block| sum.wrapping_add(mix(shapes::read(block))))
}

//! `live-1m`, `live-16m`, `live-256m`, `live-2g`: the same replacements on heaps of growing size.
//!
//! **Models** a program that holds so many bytes in small blocks and replaces one after another at random, as
//! in-memory stores do. All four do the same number of replacements, so their times side by side show what a
//! call costs as the heap grows. The heap is filled before the measured part; below scale 1 the heap shrinks
//! with the number of replacements.
//!
//! **Source**: the sizes have the form published of Google's fleet ([`FLEET`]); replacing at random is the steady state of
//! alloc-test (S. Ignatchenko, "Testing memory allocators", ithare.com).
//!
//! **Sensitive to** cache and TLB misses in the allocator's own records, to searches that grow with the heap, and to bytes
//! lost between blocks.

use stratalloc_bench_protocol::Group;

use super::shapes::{self, FLEET};
use crate::measure::{Memory, Run};
use crate::random::{Random, mix};
use crate::registry::{Parameters, Threads, Workload};

/// Replacements at scale 1.
const REPLACEMENTS: u64 = 1_200_000;

/// One for each size.
pub const WORKLOADS: [Workload; 4] = [
    workload("live-1m", |parameters, run| replace("live-1m", 1 << 20, parameters, run)),
    workload("live-16m", |parameters, run| replace("live-16m", 16 << 20, parameters, run)),
    workload("live-256m", |parameters, run| replace("live-256m", 256 << 20, parameters, run)),
    workload("live-2g", |parameters, run| replace("live-2g", 2 << 30, parameters, run)),
];

const fn workload(name: &'static str, run: fn(&Parameters, &mut Run)) -> Workload {
    Workload {
        name,
        group: Group::Scene,
        models: "random replacement of blocks in a heap of the size in its name",
        source: "sizes after Hunter et al. (OSDI 2021), replacement after alloc-test",
        sensitive_to: "misses in the allocator's records and bytes lost between blocks, as the heap grows",
        threads: Threads::Fixed(1),
        latency: true,
        run,
    }
}

fn replace(name: &str, nominal: u64, parameters: &Parameters, run: &mut Run) {
    let bytes = ((nominal as f64 * parameters.scale.min(1.0)) as u64).max(64 << 10);
    refuse_without_room(name, bytes);
    let base = Memory::now().rss;
    let mut random = Random::new(parameters.seed);
    let mut heap: Vec<Box<[u8]>> = Vec::with_capacity(bytes as usize / 200);
    let mut live = 0;
    while live < bytes {
        let size = FLEET.pick(&mut random);
        live += size as u64;
        heap.push(shapes::block(size, size as u64));
    }

    let replacements = parameters.scaled(REPLACEMENTS);
    let mut sum = 0_u64;
    run.start();
    for _ in 0..replacements {
        let place = random.index(heap.len());
        let size = FLEET.pick(&mut random);
        sum = sum.wrapping_add(mix(place as u64 ^ shapes::read(&heap[place])));
        live = live - heap[place].len() as u64 + size as u64;
        heap[place] = shapes::block(size, size as u64);
    }
    let time = run.elapsed();
    run.stop();
    run.operations(replacements);
    run.checksum(sum);

    let table = (heap.len() * size_of::<Box<[u8]>>()) as u64;
    let resident = (Memory::now().rss * 1024).saturating_sub(base * 1024 + table);
    run.extra("resident bytes per live byte at end", resident as f64 / live as f64);
    run.extra("ns per replacement", time.as_nanos() as f64 / replacements as f64);
}

/// Ends the process where the machine has too little free memory for the heap twice: to swap is to measure the disk.
fn refuse_without_room(name: &str, bytes: u64) {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let Some(available) = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()) else {
        return;
    };
    let wanted = bytes * 2 / 1024;
    if available < wanted {
        eprintln!("workload: {name} wants {wanted} KiB of free memory, and this machine has {available} KiB");
        std::process::exit(1);
    }
}

//! `live-1m` to `live-8g`: the same replacements on heaps of growing size.
//!
//! **Models** a program that holds so many bytes in small blocks and replaces one after another at random, as
//! in-memory stores do. All do the same number of replacements, so their times side by side show what a
//! call costs as the heap grows, and the bytes over the live ones what a block costs. The heap is filled before the
//! measured part; below scale 1 the heap shrinks with the number of replacements.
//!
//! Four of the sizes are scenes; the others only fill the series and are run where they are asked for (group `growth`).
//! A run on a heap of gigabytes wants one and a half times the memory; the harness leaves it out where the
//! machine has less (see [`memory`]).
//!
//! After it is measured, each run does the same once more without an allocator: a random block is read and written over
//! where it is. What that takes per block ("ns per rewrite in place") is what the heap's size costs the program itself.
//!
//! **Source**: the sizes have the form published of Google's fleet ([`FLEET`]); replacing at random is the steady state of
//! alloc-test (S. Ignatchenko, "Testing memory allocators", ithare.com).
//!
//! **Sensitive to** cache and TLB misses in the allocator's own records, to searches that grow with the heap, and to bytes
//! lost between blocks.

use std::time::{Duration, Instant};

use stratalloc_bench_protocol::Group;

use super::shapes::{self, FLEET};
use crate::measure::{Memory, Run};
use crate::random::{Random, mix};
use crate::registry::{Parameters, Threads, Workload};

/// Replacements at scale 1.
const REPLACEMENTS: u64 = 1_200_000;

/// Those that stand for kinds of programs.
pub const WORKLOADS: [Workload; 4] = [
    workload("live-1m", Group::Scene, |parameters, run| replace(1 << 20, parameters, run)),
    workload("live-16m", Group::Scene, |parameters, run| replace(16 << 20, parameters, run)),
    workload("live-256m", Group::Scene, |parameters, run| replace(256 << 20, parameters, run)),
    workload("live-2g", Group::Scene, |parameters, run| replace(2 << 30, parameters, run)),
];

/// The rest of the series.
pub const FURTHER: [Workload; 5] = [
    workload("live-4m", Group::Growth, |parameters, run| replace(4 << 20, parameters, run)),
    workload("live-64m", Group::Growth, |parameters, run| replace(64 << 20, parameters, run)),
    workload("live-1g", Group::Growth, |parameters, run| replace(1 << 30, parameters, run)),
    workload("live-4g", Group::Growth, |parameters, run| replace(4 << 30, parameters, run)),
    workload("live-8g", Group::Growth, |parameters, run| replace(8 << 30, parameters, run)),
];

const fn workload(name: &'static str, group: Group, run: fn(&Parameters, &mut Run)) -> Workload {
    Workload {
        name,
        group,
        models: "random replacement of blocks in a heap of the size in its name",
        source: "sizes after Hunter et al. (OSDI 2021), replacement after alloc-test",
        sensitive_to: "misses in the allocator's records and bytes lost between blocks, as the heap grows",
        threads: Threads::Fixed(1),
        latency: matches!(group, Group::Scene),
        run,
    }
}

/// Bytes of free memory that a workload of this module wants at scale 1: half more than it holds, for what the allocator
/// adds. To swap is to measure the disk. `None` of another workload.
pub fn memory(name: &str) -> Option<u64> {
    let size = name.strip_prefix("live-")?;
    let unit = match size.as_bytes().last()? {
        b'm' => 1 << 20,
        b'g' => 1 << 30,
        _ => return None,
    };
    let number: u64 = size[..size.len() - 1].parse().ok()?;
    Some(room(number * unit))
}

/// For a heap of so many bytes.
fn room(bytes: u64) -> u64 {
    bytes / 2 * 3
}

fn replace(nominal: u64, parameters: &Parameters, run: &mut Run) {
    refuse_without_room(nominal, parameters.scale);
    let bytes = ((nominal as f64 * parameters.scale.min(1.0)) as u64).max(64 << 10);
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
    run.extra("bytes of overhead per block", resident.saturating_sub(live) as f64 / heap.len() as f64);
    run.extra("ns per replacement", time.as_nanos() as f64 / replacements as f64);
    let time = rewrite(&mut heap, replacements, &mut random);
    run.extra("ns per rewrite in place", time.as_nanos() as f64 / replacements as f64);
}

/// What the replacements do beside the calls: as many blocks read and written over as a whole.
fn rewrite(heap: &mut [Box<[u8]>], replacements: u64, random: &mut Random) -> Duration {
    let start = Instant::now();
    for _ in 0..replacements {
        let place = random.index(heap.len());
        let size = FLEET.pick(random);
        let sum = mix(place as u64 ^ shapes::read(&heap[place]));
        heap[place].fill(sum as u8 ^ size as u8);
    }
    std::hint::black_box(heap);
    start.elapsed()
}

/// Ends the process where the machine has too little free memory: somebody else took it since the harness looked.
fn refuse_without_room(nominal: u64, scale: f64) {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let Some(available) = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()) else {
        return;
    };
    let wanted = (room(nominal) as f64 * scale.min(1.0) / 1024.0) as u64;
    if available < wanted {
        let heap = nominal >> 20;
        eprintln!(
            "workload: a heap of {heap} MiB wants {wanted} KiB of free memory, and this machine has {available} KiB"
        );
        std::process::exit(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_the_one_in_its_name() {
        for workload in WORKLOADS.iter().chain(&FURTHER) {
            let wanted = memory(workload.name).unwrap();
            let mut run = Run::new();
            (workload.run)(&Parameters { scale: 0.01, threads: 1, seed: 1 }, &mut run);
            let outcome = run.finish(workload.name, 1, None).unwrap();
            let ratio = outcome.extra.iter().find(|(name, _)| name.starts_with("resident")).unwrap().1;
            let blocks = outcome.extra.iter().find(|(name, _)| name.starts_with("bytes of overhead")).unwrap().1;
            let alone = outcome.extra.iter().find(|(name, _)| name == "ns per rewrite in place").unwrap().1;
            // A hundredth of the heap is there: its peak tells its size, to within what the test's own process holds.
            let held = (wanted as f64 / 1.5 * 0.01).max(65536.0) / 1024.0;
            let peak = outcome.peak_rss as f64;
            assert!(
                peak > held && ratio.is_finite() && blocks.is_finite() && alone > 0.0,
                "{}: {peak} KiB",
                workload.name
            );
        }
        assert_eq!(memory("live-8g"), Some(12 << 30));
        assert_eq!(memory("live-1m"), Some(3 << 19));
        assert_eq!([memory("larson"), memory("live-"), memory("live-g"), memory("live-é")], [None; 4]);
    }
}

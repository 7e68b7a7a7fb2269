//! `database`: tables in B-tree pages, a row cache with eviction, transactions.
//!
//! **Models** a database server: 16 shards under locks, each a B-tree of pages that grow from 4 to 16 KiB, are rewritten when too
//! much in them is dead and split when full, and a cache of rows that evicts the least recently used. Threads run transactions:
//! the statement is cut into words, rows are read by skewed keys and copied into a result, some are updated to
//! another length, some transactions scan and sort. Rows that one thread put in the cache are evicted by another, and
//! pages are copied into write buffers that live on for a while.
//!
//! **Source**: the engine's parts after Graefe, "Modern B-tree techniques" (2011); skew and mix of reads, updates and scans after
//! YCSB (Cooper et al., "Benchmarking cloud serving systems with YCSB", SoCC 2010).
//!
//! **Sensitive to** blocks of 4 to 16 KiB, medium sizes of all kinds, lifetimes that depend on use and not on
//! age, and frees from other threads under locks.

use std::collections::BTreeMap;
use std::sync::Mutex;

use stratalloc_bench_protocol::Group;

use super::pages::Tree;
use super::row_cache::RowCache;
use crate::measure::Run;
use crate::random::{Random, mix};
use crate::registry::{Parameters, Threads, Workload};
use crate::threads::crew;

pub const WORKLOAD: Workload = Workload {
    name: "database",
    group: Group::Scene,
    models: "transactions on B-tree pages of 4 to 16 KiB with a row cache that evicts",
    source: "engine after Graefe (2011), mix of operations after YCSB (SoCC 2010)",
    sensitive_to: "blocks of 4 to 16 KiB, lifetimes by use, frees of other threads' rows",
    threads: Threads::Cpus,
    latency: true,
    run,
};

const SHARDS: u64 = 16;
/// Rows of the table at scale 1.
const ROWS: u64 = 40_000;
/// Transactions of all threads at scale 1.
const TRANSACTIONS: u64 = 200_000;
/// Rows' lengths, bytes.
const ROW: (usize, usize) = (24, 2000);
/// The row caches' bytes for each row of the table: a quarter of the mean row.
const CACHED: u64 = 110;
/// Written pages that wait for the disk, each shard.
const PENDING: usize = 24;

struct Shard {
    tree: Tree,
    cache: RowCache,
    pending: Vec<Box<[u8]>>,
}

fn run(parameters: &Parameters, run: &mut Run) {
    let rows = parameters.scaled(ROWS).max(1000);
    let transactions = parameters.scaled(TRANSACTIONS);
    let threads = parameters.threads;
    run.start();
    let sum = {
        let shards: Vec<Mutex<Shard>> = (0..SHARDS)
            .map(|_| {
                let cache = RowCache::new((rows * CACHED / SHARDS) as usize);
                Mutex::new(Shard { tree: Tree::default(), cache, pending: Vec::new() })
            })
            .collect();
        load(&shards, rows, &mut Random::stream(parameters.seed, 0));
        let sums = crew(threads, |thread| {
            let mine = transactions / u64::from(threads)
                + u64::from(u64::from(thread) < transactions % u64::from(threads));
            let mut random = Random::stream(parameters.seed, 1 + u64::from(thread));
            (0..mine).fold(0_u64, |sum, _| sum.wrapping_add(transact(&shards, rows, &mut random)))
        });
        sums.into_iter().fold(0, u64::wrapping_add)
    };
    run.stop();
    run.operations(transactions + rows);
    run.checksum(sum);
}

/// Fills the table, keys in random order.
fn load(shards: &[Mutex<Shard>], rows: u64, random: &mut Random) {
    let mut keys: Vec<u64> = (0..rows).collect();
    random.shuffle(&mut keys);
    for key in keys {
        let length = random.log_between(ROW.0, ROW.1);
        shard(shards, key).lock().expect("no thread panics").tree.put(key, &row(key, length));
    }
}

fn shard(shards: &[Mutex<Shard>], key: u64) -> &Mutex<Shard> {
    &shards[(mix(key) % SHARDS) as usize]
}

/// What a row of this length holds: its key's byte.
fn row(key: u64, length: usize) -> Box<[u8]> {
    super::shapes::block(length, key)
}

/// The part of the checksum for a row that was read. Its length depends on which thread updated it last, so only
/// the key counts; a row that holds something else stops the run.
fn checked(key: u64, row: &[u8]) -> u64 {
    let byte = (key as u8) | 1;
    let ends = (row.first().copied(), row.last().copied());
    assert!(ends == (Some(byte), Some(byte)), "row {key} holds {ends:?}, not {byte}: its memory was overwritten");
    mix(key)
}

/// One transaction: statement, reads, perhaps an update or a scan.
fn transact(shards: &[Mutex<Shard>], rows: u64, random: &mut Random) -> u64 {
    // The hot keys are spread over the shards, as they are hashed.
    let mut key = || mix(random.log_between(1, rows as usize) as u64) % rows;
    let keys: [u64; 4] = [key(), key(), key(), key()];
    let statement = format!("select a, b, c from t where k in ({}, {}, {})", keys[0], keys[1], keys[2]);
    let words: Vec<String> = statement.split_whitespace().map(str::to_owned).collect();
    let mut plan: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (word, &key) in words.iter().zip(keys.iter().cycle()) {
        plan.entry(word).or_default().push(key);
    }

    let mut sum = plan.values().map(Vec::len).sum::<usize>() as u64;
    let mut result: Vec<Vec<u8>> = Vec::new();
    for &key in &keys[..3] {
        let mut shard = shard(shards, key).lock().expect("no thread panics");
        let Shard { tree, cache, .. } = &mut *shard;
        let row = cache.get(key, || tree.get(key).expect("the table holds every key").into());
        sum = sum.wrapping_add(checked(key, row));
        result.push(row.to_vec());
    }
    match random.below(20) {
        0..=5 => update(shards, keys[3], random),
        6 => sum = sum.wrapping_add(scan(shards, keys[3])),
        _ => {}
    }
    sum
}

/// Gives a row another length; now and then its page is copied for the disk.
fn update(shards: &[Mutex<Shard>], key: u64, random: &mut Random) {
    let new = row(key, random.log_between(ROW.0, ROW.1));
    let mut shard = shard(shards, key).lock().expect("no thread panics");
    shard.tree.put(key, &new);
    shard.cache.forget(key);
    // Drawn in any case: how many numbers a thread draws must not depend on what others did to the shard.
    let written = random.index(PENDING);
    if random.one_in(4) {
        let copy = shard.tree.page_of(key).into();
        if shard.pending.len() < PENDING {
            shard.pending.push(copy);
        } else {
            shard.pending[written] = copy;
        }
    }
}

/// Reads the rows that follow a key in its shard, and sorts them by content.
fn scan(shards: &[Mutex<Shard>], key: u64) -> u64 {
    let shard = shard(shards, key).lock().expect("no thread panics");
    let mut found: Vec<(u64, Vec<u8>)> =
        shard.tree.from(key).take(20).map(|(key, row)| (key, row.to_vec())).collect();
    drop(shard);
    found.sort_unstable_by(|one, other| one.1.cmp(&other.1));
    found.iter().fold(0, |sum, (key, row)| sum.wrapping_add(checked(*key, row)))
}

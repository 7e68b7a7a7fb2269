//! `snapshot`, `trim`, `usable_size`: figures that agree with each other, with what the program
//! holds, and with the system, whatever other threads do.

mod common;

use common::Random;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use stratalloc::{Snapshot, Stratalloc, snapshot, trim, usable_size};
use stratalloc_os::process::resident;

#[global_allocator]
static GLOBAL: Stratalloc = Stratalloc;

/// The tests below read figures of the whole process: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// What holds of every snapshot.
fn check(now: &Snapshot) {
    assert!(now.allocated <= now.active && now.active <= now.mapped, "{now:?}");
    assert_eq!(now.active + now.dirty + now.clean, now.mapped, "{now:?}");
    assert!(now.peak_active >= now.active && now.peak_dirty >= now.active + now.dirty, "{now:?}");
    assert!(now.peak_dirty >= now.peak_active, "{now:?}");
    assert!(now.large_allocs >= now.large_live && now.large_bytes <= now.active, "{now:?}");
    for class in &now.classes {
        assert!(class.live <= class.capacity && class.spans <= class.capacity, "{class:?}");
    }
    assert!(now.classes.is_sorted_by_key(|class| class.block_size));
}

/// What never falls from one snapshot to the next.
fn check_pair(before: &Snapshot, now: &Snapshot) {
    assert!(now.peak_active >= before.peak_active && now.peak_dirty >= before.peak_dirty);
    assert!(now.purged >= before.purged && now.purges >= before.purges && now.recycled >= before.recycled);
    assert!(now.os_calls >= before.os_calls && now.large_allocs >= before.large_allocs);
    assert!(now.metadata >= before.metadata);
}

#[test]
fn every_snapshot_is_consistent_while_threads_allocate_exchange_and_leave() {
    let _alone = alone();
    let stop = AtomicBool::new(false);
    let exchange: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    let random = Random::new("snapshots", 41);
    thread::scope(|scope| {
        for index in 0..3 {
            let (stop, exchange, mut random) = (&stop, &exchange, random.split(index));
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let stream = random.next();
                    // A thread of its own, so that heaps are parked and adopted all the time.
                    let seed = random.split(stream);
                    thread::scope(|inner| {
                        inner.spawn(|| churn(exchange, seed));
                    });
                }
            });
        }
        let mut before = snapshot();
        check(&before);
        for round in 0..400 {
            let now = snapshot();
            check(&now);
            check_pair(&before, &now);
            if round % 50 == 0 {
                trim(1 << 20);
            }
            before = now;
        }
        stop.store(true, Ordering::Relaxed);
    });
    let left: usize = exchange.lock().expect("no panic").iter().map(Vec::capacity).sum();
    assert!(snapshot().allocated >= left);
}

fn churn(exchange: &Mutex<Vec<Vec<u8>>>, mut random: Random) {
    let mut own: Vec<Vec<u8>> = Vec::new();
    for _ in 0..500 {
        own.push(vec![1; random.size(17)]);
        if own.len() > 40 {
            own.swap_remove(random.below(own.len()));
        }
    }
    let mut others = exchange.lock().expect("no panic");
    if others.len() > 200 {
        others.truncate(50);
    }
    others.append(&mut own);
}

#[test]
fn large_blocks_are_counted_to_the_page() {
    let _alone = alone();
    let before = snapshot();
    let block = vec![1u8; 10_000_000];
    let during = snapshot();
    assert_eq!(during.large_live, before.large_live + 1);
    assert_eq!(during.large_allocs, before.large_allocs + 1);
    // SAFETY: a block in use.
    let usable = unsafe { usable_size(block.as_ptr()) };
    assert!((10_000_000..10_000_000 + 65_536).contains(&usable));
    assert_eq!(during.large_bytes, before.large_bytes + usable);
    drop(block);
    let after = snapshot();
    assert_eq!((after.large_live, after.large_bytes), (before.large_live, before.large_bytes));
}

#[test]
fn what_is_allocated_covers_what_the_program_holds() {
    let _alone = alone();
    let before = snapshot().allocated;
    let held: Vec<Vec<u8>> = (0..20_000).map(|n| vec![2; n % 2000]).collect();
    let bytes: usize = held.iter().map(Vec::capacity).sum();
    let now = snapshot();
    assert!(now.allocated >= before + bytes, "{} then {}, {bytes} held", before, now.allocated);
    // Less than a fifth above 1 KiB, an eighth below, 15 bytes to 128; and what other threads do meanwhile.
    let most = before + bytes + bytes / 5 + 16 * held.len() + (4 << 20);
    assert!(now.allocated <= most, "{} allocated, {most} at most", now.allocated);
}

#[test]
fn trim_gives_back_what_is_free_and_says_so() {
    let _alone = alone();
    let held: Vec<Vec<u8>> = (0..64 << 10).map(|n| vec![3; 900 + n % 200]).collect();
    let full = resident().expect("figures of the system").current_bytes;
    drop(held);
    let gone = trim(0);
    let now = snapshot();
    check(&now);
    assert_eq!(now.dirty, 0, "{now:?}");
    let after = resident().expect("figures of the system").current_bytes;
    assert!(after + (48 << 20) < full, "{full} then {after}");
    // Part of it may have gone back before, by the ordinary rules.
    assert!(gone || now.purged > 48 << 20);
    assert!(!trim(0), "nothing is left to give back");
}

#[test]
fn trim_keeps_what_it_is_told_to_keep() {
    let _alone = alone();
    assert!(stratalloc::configure(
        stratalloc::Options::DEFAULT.with_dirty_min(256 << 20).with_purge_delay(3_600_000)
    ));
    drop(vec![1u8; 32 << 20]);
    trim(8 << 20);
    let kept = snapshot().dirty;
    assert!(kept <= 8 << 20, "{kept} kept");
    assert!(kept >= 7 << 20, "{kept} kept");
    trim(0);
    assert_eq!(snapshot().dirty, 0);
    assert!(stratalloc::configure(stratalloc::Options::DEFAULT));
}

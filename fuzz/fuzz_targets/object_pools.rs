//! Any bytes are a sequence of operations on the object pools, with an allocator that refuses and objects that panic when
//! they are made, reset or dropped. After each operation the figures are those of a model; at the end each object was
//! dropped once and no memory is left.
//!
//! `cargo +nightly fuzz run object_pools`
#![no_main]

#[path = "../../crates/pool/tests/common/mod.rs"]
mod common;

use common::{Counted, Flaky, Tally};
use libfuzzer_sys::fuzz_target;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::Ordering::Relaxed;
use stratalloc_pool::{
    AcquireError, Growth, LocalPool, LockFreePool, ObjectPool, Options, PoolStats, Pooled, TierOptions, TieredPool,
};

/// Numbers from the input; 0 when it is used up.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> usize {
        match self.0.split_first() {
            Some((&first, rest)) => {
                self.0 = rest;
                usize::from(first)
            }
            None => 0,
        }
    }
}

/// Which user code panics next.
#[derive(Clone, Copy, PartialEq)]
enum Fuse {
    Nothing,
    Make,
    Reset,
}

/// The operations, for a pool of any kind: what differs is passed in.
macro_rules! drive {
    ($bytes:ident, $limit:expr, $tally:ident, $source:ident, $fuse:ident, $pool:ident, $trim:ident) => {{
        let mut held = Vec::new();
        let mut steps = 0;
        while !$bytes.0.is_empty() && steps < 2000 {
            steps += 1;
            let kind = $bytes.byte();
            let before: PoolStats = $pool.stats();
            match kind % 16 {
                0..6 => {
                    if kind >= 240 {
                        $fuse.set(Fuse::Make);
                    }
                    match catch_unwind(AssertUnwindSafe(|| $pool.try_acquire())) {
                        Ok(Ok(object)) => held.push(object),
                        Ok(Err(AcquireError::Exhausted)) => assert!(before.live + before.free >= $limit),
                        Ok(Err(error)) => {
                            assert!(error == AcquireError::OutOfMemory && $source.refuse_after.load(Relaxed) > 0);
                        }
                        Err(_) => assert!($fuse.get() == Fuse::Make && before.free == 0),
                    }
                    $fuse.set(Fuse::Nothing);
                }
                6..11 if !held.is_empty() => {
                    let object = held.swap_remove($bytes.byte() % held.len());
                    if kind >= 240 {
                        $fuse.set(Fuse::Reset);
                    }
                    let done = catch_unwind(AssertUnwindSafe(|| drop(object)));
                    assert_eq!(done.is_err(), $fuse.replace(Fuse::Nothing) == Fuse::Reset);
                }
                11 if !held.is_empty() => {
                    let object = held.swap_remove($bytes.byte() % held.len());
                    drop(Pooled::into_inner(object));
                }
                12 => _ = $pool.$trim($bytes.byte() % 16),
                13 => _ = $pool.prefill($bytes.byte() % 16),
                14 => $source.refuse_after(if kind >= 128 { usize::MAX } else { $bytes.byte() % 4 }),
                15 if !held.is_empty() => {
                    let mut object = held.swap_remove($bytes.byte() % held.len());
                    object.bomb = true;
                    assert!(catch_unwind(AssertUnwindSafe(|| Pooled::discard(object))).is_err());
                }
                _ => {}
            }
            let stats: PoolStats = $pool.stats();
            assert_eq!((stats.live, (stats.live + stats.free) as isize), (held.len(), $tally.alive()));
            assert!(stats.live + stats.free <= stats.capacity && stats.capacity <= $limit);
            assert!(stats.peak >= stats.live && stats.waste <= stats.bytes);
        }
        drop(held);
        drop($pool);
        assert_eq!($tally.alive(), 0);
        $source.refuse_after(usize::MAX);
        $source.assert_empty();
    }};
}

fuzz_target!(|data: &[u8]| {
    static QUIET: Once = Once::new();
    // Panics of user code are part of the game; those of assertions abort all the same, and say why.
    QUIET.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload().downcast_ref::<&str>().copied().unwrap_or("");
            if !["make", "reset", "bomb"].contains(&text) {
                loud(info);
            }
        }));
    });
    let mut bytes = Bytes(data);
    let (kind, setting) = (bytes.byte(), bytes.byte());
    let limit = [usize::MAX, 1, 7, 40][setting & 3];
    let (tally, fuse) = (Tally::default(), Cell::new(Fuse::Nothing));
    // A tiered pool's source is for ever; so is this one, once.
    static SOURCE: std::sync::OnceLock<Flaky> = std::sync::OnceLock::new();
    let source: &'static Flaky = SOURCE.get_or_init(Flaky::new);
    source.refuse_after(usize::MAX);
    let make = || if fuse.get() == Fuse::Make { panic!("make") } else { Counted::new(&tally) };
    let reset = |_: &mut Counted| {
        if fuse.get() == Fuse::Reset {
            panic!("reset")
        }
    };
    let growth = [Growth::Doubling, Growth::Fixed(1), Growth::Fixed(5)][setting >> 2 & 3 & !(setting >> 3 & 1)];
    let options = Options::new().limit(limit).align([1, 64, 4096, 16][setting >> 4 & 3]);
    match kind % 4 {
        0 => {
            let Ok(pool) = LocalPool::managed_in((make, reset), options.growth(growth), source) else { return };
            drive!(bytes, limit, tally, source, fuse, pool, shrink_to)
        }
        1 => {
            let Ok(pool) = ObjectPool::managed_in((make, reset), options.growth(growth), source) else { return };
            drive!(bytes, limit, tally, source, fuse, pool, shrink_to)
        }
        2 => {
            let Ok(pool) = LockFreePool::managed_in((make, reset), options, source) else { return };
            drive!(bytes, limit, tally, source, fuse, pool, shrink_to)
        }
        _ => {
            let tiers = TierOptions::new().cache(1 + kind / 4 % 8).stripe(kind / 32).stripes(2);
            let options = options.growth(growth);
            let Ok(pool) = TieredPool::managed_in((make, reset), options, tiers, source) else { return };
            drive!(bytes, limit, tally, source, fuse, pool, trim)
        }
    }
});

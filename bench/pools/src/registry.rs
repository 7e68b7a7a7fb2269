//! Who takes part in what.

use std::alloc::System;
use std::time::Duration;

use mimalloc::MiMalloc;
use slab::Slab;
use slotmap::{DefaultKey, DenseSlotMap, SlotMap};
use stratalloc::Stratalloc;
use stratalloc_pool::{FixedPool, HandlePool, VarPool};

use crate::mallocs::{Blocks, Malloc};
use crate::measure::{Outcome, hold, one, pass, threads};
use crate::objects::{Connection, Large, Pooled, Small};
use crate::{arenas, handles, local, shared};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A pool of `stratalloc-pool`.
    Ours,
    /// Another crate, or what one would write without any.
    Other,
    /// A general allocator.
    Malloc,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ours => "ours",
            Kind::Other => "other",
            Kind::Malloc => "malloc",
        }
    }
}

pub struct Entry {
    pub case: &'static str,
    pub group: &'static str,
    pub kind: Kind,
    pub contender: &'static str,
    pub run: fn(Duration) -> Outcome,
}

/// All measurements, case by case.
pub fn all() -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut add = |case, group, kind, contender, run: fn(Duration) -> Outcome| {
        entries.push(Entry { case, group, kind, contender, run });
    };

    /// `pool<object>` for each contender of a group in a case.
    macro_rules! local {
        ($case:literal, $measure:ident, $object:ty) => {
            add($case, "local", Kind::Ours, "FixedPool", $measure::<local::Fixed<_>, $object>);
            local!(objects $case, $measure, $object);
            add($case, "local", Kind::Ours, "VarPool", $measure::<local::Var<_>, $object>);
            add($case, "local", Kind::Ours, "VarPool-deferred", $measure::<local::VarDeferred<_>, $object>);
            add($case, "local", Kind::Other, "boost-free-list", $measure::<local::Boost<_>, $object>);
        };
        (objects $case:literal, $measure:ident, $object:ty) => {
            add($case, "local", Kind::Ours, "LocalPool", $measure::<local::Ours<_>, $object>);
            add($case, "local", Kind::Other, "opool-local", $measure::<local::Opool<_>, $object>);
            add($case, "local", Kind::Other, "vec-of-boxes", $measure::<local::Stack<_>, $object>);
        };
    }
    macro_rules! shared {
        ($case:literal, $measure:ident, $object:ty) => {
            add($case, "shared", Kind::Ours, "ObjectPool", $measure::<shared::Locked<_>, $object>);
            add($case, "shared", Kind::Ours, "TieredPool", $measure::<shared::Tiered<_>, $object>);
            add($case, "shared", Kind::Ours, "LockFreePool", $measure::<shared::LockFree<_>, $object>);
            add($case, "shared", Kind::Other, "opool", $measure::<shared::Opool<_>, $object>);
            add($case, "shared", Kind::Other, "object-pool", $measure::<shared::Pulled<_>, $object>);
            add($case, "shared", Kind::Other, "lockfree-linear", $measure::<shared::Linear<_>, $object>);
            add($case, "shared", Kind::Other, "lockfree-mutex", $measure::<shared::Mutex<_>, $object>);
            add($case, "shared", Kind::Other, "lockfree-spin", $measure::<shared::Spin<_>, $object>);
            add($case, "shared", Kind::Other, "heapless", $measure::<shared::Heapless<_>, $object>);
            add($case, "shared", Kind::Other, "array-queue", $measure::<shared::Queue<_>, $object>);
        };
    }
    macro_rules! mallocs {
        ($case:literal, $measure:ident, $object:ident $(<$heap:ident>)?) => {
            mallocs!(@ $case, $measure, "malloc-system", System, $object $(<$heap>)?);
            mallocs!(@ $case, $measure, "malloc-mimalloc", MiMalloc, $object $(<$heap>)?);
            mallocs!(@ $case, $measure, "malloc-stratalloc", Stratalloc, $object $(<$heap>)?);
        };
        (@ $case:literal, $measure:ident, $name:literal, $allocator:ty, $object:ident) => {
            add($case, "shared", Kind::Malloc, $name, $measure::<Malloc<$allocator, _>, $object>);
        };
        (@ $case:literal, $measure:ident, $name:literal, $allocator:ty, $object:ident <own>) => {
            add($case, "shared", Kind::Malloc, $name, $measure::<Malloc<$allocator, _>, $object<$allocator>>);
        };
    }

    local!("one-64", one, Small);
    shared!("one-64", one, Small);
    add("one-64", "shared", Kind::Other, "sharded-slab", one::<shared::Sharded<_>, Small>);
    mallocs!("one-64", one, Small);

    local!("one-1k", one, Large);
    shared!("one-1k", one, Large);
    add("one-1k", "shared", Kind::Other, "sharded-slab", one::<shared::Sharded<_>, Large>);
    mallocs!("one-1k", one, Large);

    local!("hold-64", hold, Small);
    add("hold-64", "local", Kind::Ours, "FixedPool-batch", local::fixed_batch::<Small>);
    shared!("hold-64", hold, Small);
    add("hold-64", "shared", Kind::Ours, "ObjectPool-batch", shared::locked_batch::<Small>);
    add("hold-64", "shared", Kind::Other, "sharded-slab", hold::<shared::Sharded<_>, Small>);
    mallocs!("hold-64", hold, Small);

    shared!("threads-64", threads, Small);
    add("threads-64", "shared", Kind::Other, "sharded-slab", threads::<shared::Sharded<_>, Small>);
    mallocs!("threads-64", threads, Small);

    shared!("threads-1k", threads, Large);
    add("threads-1k", "shared", Kind::Other, "sharded-slab", threads::<shared::Sharded<_>, Large>);
    mallocs!("threads-1k", threads, Large);

    shared!("pass-64", pass, Small);
    add("pass-64", "shared", Kind::Other, "sharded-slab-owned", pass::<shared::ShardedOwned<_>, Small>);
    mallocs!("pass-64", pass, Small);

    local!(objects "connection", one, Pooled);
    shared!("connection", one, Pooled);
    add("connection", "shared", Kind::Other, "sharded-slab", one::<shared::Sharded<_>, Pooled>);
    mallocs!("connection", one, Connection<own>);

    add("arena-64", "local", Kind::Ours, "FixedPool", arenas::singly::<FixedPool>);
    add("arena-64", "local", Kind::Ours, "FixedPool-reset", arenas::fixed_reset);
    add("arena-64", "local", Kind::Ours, "FixedPool-dropped", arenas::fixed_fresh);
    add("arena-64", "local", Kind::Ours, "VarPool-reset", arenas::var_reset);
    add("arena-64", "local", Kind::Ours, "VarPool", arenas::singly::<VarPool>);
    add("arena-64", "local", Kind::Other, "boost-free-list", arenas::singly::<local::FreeList>);
    add("arena-64", "local", Kind::Other, "bumpalo", arenas::bump);
    add("arena-64", "local", Kind::Other, "typed-arena", arenas::typed);
    add("arena-64", "shared", Kind::Malloc, "malloc-system", arenas::singly::<Blocks<System>>);
    add("arena-64", "shared", Kind::Malloc, "malloc-mimalloc", arenas::singly::<Blocks<MiMalloc>>);
    add("arena-64", "shared", Kind::Malloc, "malloc-stratalloc", arenas::singly::<Blocks<Stratalloc>>);

    macro_rules! tables {
        ($case:literal, $measure:ident) => {
            add($case, "local", Kind::Ours, "HandlePool", handles::$measure::<HandlePool<Small>>);
            add($case, "local", Kind::Other, "slotmap", handles::$measure::<SlotMap<DefaultKey, Small>>);
            add(
                $case,
                "local",
                Kind::Other,
                "slotmap-dense",
                handles::$measure::<DenseSlotMap<DefaultKey, Small>>,
            );
            add($case, "local", Kind::Other, "slab", handles::$measure::<Slab<Small>>);
        };
    }
    tables!("handle-get", get);
    add("handle-get", "shared", Kind::Other, "sharded-slab", handles::get::<sharded_slab::Slab<Small>>);
    tables!("handle-churn", churn);
    add("handle-churn", "shared", Kind::Other, "sharded-slab", handles::churn::<sharded_slab::Slab<Small>>);
    tables!("handle-walk", walk);

    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_contender_is_named_once_in_a_case() {
        let entries = all();
        let names: HashSet<_> = entries.iter().map(|entry| (entry.case, entry.contender)).collect();
        assert_eq!(names.len(), entries.len());
    }

    #[test]
    fn every_contender_does_its_work() {
        for entry in all() {
            let outcome = (entry.run)(Duration::from_millis(1));
            let what = format!("{} in {}", entry.contender, entry.case);
            assert!(outcome.operations > 0 && outcome.nanoseconds > 0.0, "{what}");
        }
    }
}

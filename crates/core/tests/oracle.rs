//! Property tests: sequences of operations against the oracle (see `common/oracle.rs`).
//!
//! `PROPTEST_CASES` sets the number of sequences of each test.
#![cfg(not(loom))]

mod common;

use common::oracle::{HEAPS, Op, Oracle};
use proptest::prelude::*;
use stratalloc_core::class::SLICE;
use stratalloc_core::options::{HugePages, Options};
use stratalloc_core::os::{HugeSystem, Reserve, Transparent};

const MAX_SIZE_LOG: u32 = 22;

/// Sizes of every magnitude: each doubling is equally likely, and its ends more than the rest.
fn size() -> impl Strategy<Value = usize> {
    (0..=MAX_SIZE_LOG, 0..4u8, any::<u32>()).prop_map(|(log, kind, low)| {
        let base = 1usize << log;
        match kind {
            0 => base - 1,
            1 => base,
            2 => base + 1,
            _ => base + low as usize % base,
        }
    })
}

fn small() -> impl Strategy<Value = usize> {
    prop_oneof![0..=1024usize, 0..=33_000usize]
}

fn align() -> impl Strategy<Value = usize> {
    prop_oneof![8 => Just(16usize), 2 => (0..=6u32).prop_map(|log| 1 << log), 1 => (7..=20u32).prop_map(|log| 1 << log)]
}

fn op() -> impl Strategy<Value = Op> {
    let heap = 0..HEAPS;
    prop_oneof![
        20 => (heap.clone(), size(), align(), any::<bool>())
            .prop_map(|(heap, size, align, zeroed)| Op::Alloc { heap, size, align, zeroed }),
        20 => (heap.clone(), small(), Just(16), any::<bool>())
            .prop_map(|(heap, size, align, zeroed)| Op::Alloc { heap, size, align, zeroed }),
        10 => (heap.clone(), any::<usize>(), size())
            .prop_map(|(heap, block, size)| Op::Realloc { heap, block, size }),
        25 => (heap.clone(), any::<usize>()).prop_map(|(heap, block)| Op::Dealloc { heap, block }),
        2 => (heap.clone(), 1..4usize).prop_map(|(heap, step)| Op::DeallocMany { heap, step }),
        4 => heap.clone().prop_map(|heap| Op::Leave { heap }),
        2 => heap.clone().prop_map(|heap| Op::Settle { heap }),
        2 => heap.clone().prop_map(|heap| Op::Destroy { heap }),
        1 => heap.clone().prop_map(|heap| Op::Count { heap }),
        2 => (proptest::option::of(heap), prop_oneof![Just(0usize), 0..4_000_000usize])
            .prop_map(|(heap, keep)| Op::Trim { heap, keep }),
        3 => (0..3000u64).prop_map(|ms| Op::Pass { ms }),
    ]
}

fn options() -> impl Strategy<Value = Options> {
    let parked = prop_oneof![Just(0u32), Just(1), Just(16)];
    let dirty = prop_oneof![Just(0usize), Just(64 << 10), Just(2 << 20)];
    (parked, dirty, 0..=100u32, any::<bool>(), 0..2000u32).prop_map(|(parked, dirty, percent, count, delay)| {
        Options::DEFAULT
            .with_parked_heaps(parked)
            .with_dirty_min(dirty)
            .with_dirty_percent(percent)
            .with_count(count)
            .with_purge_delay(delay)
    })
}

fn huge_pages() -> impl Strategy<Value = HugePages> {
    use HugePages::{Always, Auto, Hugetlb, Hugetlb1g, Madvise, Never, Off};
    prop_oneof![Just(Off), Just(Auto), Just(Never), Just(Madvise), Just(Always), Just(Hugetlb), Just(Hugetlb1g)]
}

fn page() -> impl Strategy<Value = usize> {
    prop_oneof![Just(4usize << 10), Just(SLICE)]
}

fn run(page: usize, options: &Options, threaded: bool, ops: &[Op]) {
    let mut oracle = Oracle::new(page, options);
    oracle.mock.set_threaded(threaded);
    for op in ops {
        oracle.step(op);
    }
    oracle.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_operations_agrees_with_the_model(
        page in page(),
        options in options(),
        threaded: bool,
        ops in proptest::collection::vec(op(), 1..250),
    ) {
        run(page, &options, threaded, &ops);
    }

    #[test]
    fn any_sequence_agrees_with_the_model_on_huge_pages(
        options in options(),
        modes in (huge_pages(), huge_pages()),
        (two_mib, one_gib) in (0..20usize, 0..3usize),
        ops in proptest::collection::vec(op(), 1..400),
    ) {
        let mut oracle = Oracle::new(4096, &options.with_huge_pages(modes.0));
        oracle.mock.set_huge(HugeSystem {
            transparent: Transparent::Madvise,
            bytes: 2 << 20,
            two_mib: Reserve { total: two_mib, free: two_mib },
            one_gib: Reserve { total: one_gib, free: one_gib },
            ..HugeSystem::default()
        });
        let half = ops.len() / 2;
        for (index, op) in ops.iter().enumerate() {
            if index == half {
                // Regions of both kinds, side by side.
                oracle.allocator().config.apply(&options.with_huge_pages(modes.1));
            }
            oracle.step(op);
        }
        oracle.finish();
    }

    #[test]
    fn many_blocks_of_few_classes_agree_with_the_model(
        options in options(),
        sizes in proptest::collection::vec(small(), 1..4),
        ops in proptest::collection::vec((0..HEAPS, any::<usize>(), 0..40u8), 1..1500),
    ) {
        let mut oracle = Oracle::new(4096, &options);
        for (heap, pick, kind) in ops {
            let size = sizes[pick % sizes.len()];
            oracle.step(&match kind {
                0..20 => Op::Alloc { heap, size, align: 16, zeroed: kind == 0 },
                20..37 => Op::Dealloc { heap, block: pick },
                37 => Op::DeallocMany { heap, step: 1 + pick % 3 },
                38 => Op::Leave { heap },
                _ => Op::Settle { heap },
            });
        }
        oracle.finish();
    }
}

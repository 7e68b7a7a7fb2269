//! `VarPool` against the model of live ranges, in all its kinds, on a source and in slices.

mod ledger;
mod var_oracle;

use ledger::Watched;
use proptest::prelude::*;
use std::mem::MaybeUninit;
use stratalloc_pool::VarPool;
use var_oracle::{KINDS, Op, Oracle, options};

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0usize..300, 2 => 0usize..5000, 1 => 0usize..60_000]
}

fn align() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0u32..5, 1 => 5u32..17].prop_map(|log| 1 << log)
}

fn op() -> impl Strategy<Value = Op> {
    let block = 0usize..1000;
    prop_oneof![
        12 => (size(), align()).prop_map(|(size, align)| Op::Allocate { size, align }),
        10 => block.clone().prop_map(|block| Op::Release { block }),
        3 => (block.clone(), size(), align()).prop_map(|(block, size, align)| Op::Reallocate { block, size, align }),
        3 => (block.clone(), size()).prop_map(|(block, size)| Op::ResizeInPlace { block, size }),
        1 => Just(Op::Coalesce),
        1 => (0usize..100_000).prop_map(|keep| Op::Trim { keep }),
        1 => (block, 0usize..100).prop_map(|(block, offset)| Op::Misuse { block, offset }),
        1 => (1usize..4).prop_map(|count| Op::Refuse { count }),
    ]
}

fn cases() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        cases: if cfg!(miri) { 8 } else { 400 },
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn blocks_of_a_source_neither_overlap_nor_change(
        kind in 0..KINDS,
        ops in prop::collection::vec(op(), 1..250),
        reset in any::<bool>(),
    ) {
        let source = Watched::default();
        let options = options(kind);
        let mut oracle =
            Oracle::new(options, VarPool::with_options_in(options, &source).unwrap(), |source, count| source.refuse(count));
        for &op in &ops {
            oracle.step(op);
        }
        if reset {
            oracle.step(Op::Reset);
            for &op in &ops {
                oracle.step(op);
            }
        }
        source.refuse(0);
        drop(oracle.finish());
        assert_eq!(source.bytes(), 0);
    }

    #[test]
    fn blocks_of_a_slice_neither_overlap_nor_change(
        kind in 0..KINDS,
        length in 600usize..40_000,
        blocks in prop_oneof![Just(0usize), 1usize..100],
        apart in any::<bool>(),
        ops in prop::collection::vec(op(), 1..250),
    ) {
        let options = match kind / 48 {
            1 => options(kind),
            _ => options(kind % 48).growth(stratalloc_pool::Growth::Doubling),
        };
        let mut memory = vec![MaybeUninit::uninit(); length];
        let mut metadata = vec![MaybeUninit::uninit(); 4096];
        let pool = if apart {
            VarPool::in_slices(options.blocks(blocks), &mut memory, &mut metadata)
        } else {
            VarPool::in_slice(options.blocks(blocks), &mut memory)
        };
        // Too many blocks for the slice are refused; that is another test's.
        let Ok(pool) = pool else { return Ok(()) };
        assert!(pool.figures().capacity <= length);
        // Short tags refuse what room there would be, so the refusals are not checked: segregated fit.
        let mut oracle = Oracle::new(options.fit(stratalloc_pool::Fit::Segregated), pool, |_, _| {});
        for &op in &ops {
            oracle.step(op);
        }
        oracle.finish();
    }
}

//! The inside of the pool: every invariant after every operation.

use super::{Coalescing, Fit, VarOptions, VarPool};
use crate::Pool;
use core::alloc::Layout;
use core::ptr::NonNull;
use proptest::prelude::*;
use std::vec::Vec;

#[derive(Clone, Copy, Debug)]
enum Op {
    Allocate(usize, u32),
    Release(usize),
    Resize(usize, usize),
    Coalesce,
    Trim(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0usize..2000, 0u32..9).prop_map(|(size, log)| Op::Allocate(size, log)),
        6 => (0usize..1000).prop_map(Op::Release),
        2 => (0usize..1000, 0usize..3000).prop_map(|(block, size)| Op::Resize(block, size)),
        1 => Just(Op::Coalesce),
        1 => (0usize..10_000).prop_map(Op::Trim),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_after_each_operation(kind in 0usize..12, ops in prop::collection::vec(op(), 1..200)) {
        let fit = [Fit::Best, Fit::First, Fit::Segregated][kind % 3];
        let coalescing =
            [Coalescing::Immediate, Coalescing::Deferred, Coalescing::DeferredUntil(7), Coalescing::Never][kind / 3];
        let options = VarOptions::new().fit(fit).coalescing(coalescing).growth(crate::Growth::Fixed(8192));
        let mut pool = VarPool::with_options(options).unwrap();
        let mut live: Vec<NonNull<u8>> = Vec::new();
        for op in ops {
            match op {
                Op::Allocate(size, log) => {
                    live.push(pool.allocate(Layout::from_size_align(size, 1 << log).unwrap()).unwrap().cast());
                }
                Op::Release(block) if !live.is_empty() => {
                    let block = live.swap_remove(block % live.len());
                    // SAFETY: not used after.
                    unsafe { pool.release(block) }.unwrap();
                }
                Op::Resize(block, size) if !live.is_empty() => {
                    let block = live[block % live.len()];
                    // SAFETY: nobody uses its contents.
                    unsafe { pool.resize_in_place(block, Layout::from_size_align(size, 1).unwrap()) }.unwrap();
                }
                Op::Coalesce => drop(pool.coalesce()),
                Op::Trim(keep) => drop(pool.trim(keep)),
                _ => {}
            }
            pool.check();
        }
    }
}

/// Addresses that best and first fit choose, against the choice of a scan over all free blocks.
#[test]
fn best_and_first_fit_choose_what_a_scan_would() {
    for (fit, times) in [(Fit::Best, 1), (Fit::First, 1), (Fit::Best, 40)] {
        let pool = VarPool::with_options(VarOptions::new().fit(fit).capacity(1 << 17)).unwrap();
        let layout = |granules: usize| Layout::from_size_align(granules * times * 16, 16).unwrap();
        // Holes of growing and shrinking sizes, with a block between each two.
        let mut holes = Vec::new();
        for granules in [7, 3, 9, 5, 5, 12, 2, 9] {
            holes.push((pool.allocate(layout(granules)).unwrap().cast::<u8>(), granules));
            pool.allocate(layout(1)).unwrap();
        }
        for &(hole, _) in &holes {
            // SAFETY: not used after.
            unsafe { pool.release(hole) }.unwrap();
        }
        for wanted in [5, 9, 5, 2, 8, 1] {
            let long_enough = holes.iter().enumerate().filter(|(_, hole)| hole.1 >= wanted);
            let at = match fit {
                Fit::Best => long_enough.min_by_key(|(at, hole)| (hole.1, *at)),
                _ => long_enough.min_by_key(|(at, _)| *at),
            };
            let at = at.expect("a hole for each").0;
            let block = pool.allocate(layout(wanted)).unwrap().cast::<u8>();
            // Best fit may choose any of the shortest.
            let at = match fit {
                Fit::Best => {
                    let chosen = holes.iter().position(|hole| hole.0 == block).expect("a hole");
                    assert_eq!(holes[chosen].1, holes[at].1, "{fit:?} for {wanted}");
                    chosen
                }
                _ => at,
            };
            assert_eq!(block, holes[at].0, "{fit:?} for {wanted}");
            // SAFETY: within the pool's segment.
            holes[at] = (unsafe { block.add(wanted * times * 16) }, holes[at].1 - wanted);
        }
        pool.check();
    }
}

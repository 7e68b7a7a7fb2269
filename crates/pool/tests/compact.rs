//! `CompactHeap` against a model, with compaction in steps of all sizes between the other operations.

mod compact_oracle;
mod ledger;

use compact_oracle::{KINDS, Op, Oracle, options};
use ledger::{Counted, Ledger, Watched};
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use stratalloc_pool::{
    AcquireError, Budget, CACHE_LINE, CompactHeap, CompactOptions, Growth, HandleError, PoolError,
};

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![5 => 0usize..6, 2 => 0usize..40, 1 => 0usize..200]
}

fn bound() -> impl Strategy<Value = usize> {
    prop_oneof![1 => Just(0usize), 3 => 1usize..5, 2 => 1usize..2000, 1 => Just(usize::MAX)]
}

fn op() -> impl Strategy<Value = Op> {
    let object = 0usize..10_000;
    prop_oneof![
        20 => len().prop_map(|len| Op::Insert { len }),
        10 => object.clone().prop_map(|object| Op::Remove { object }),
        5 => (object.clone(), len()).prop_map(|(object, len)| Op::Resize { object, len }),
        8 => (object.clone(), object.clone()).prop_map(|(from, to)| Op::Link { from, to }),
        2 => object.clone().prop_map(|object| Op::Stale { object }),
        10 => (bound(), bound(), bound()).prop_map(|(objects, bytes, visits)| Op::Step { objects, bytes, visits }),
        1 => Just(Op::Compact),
        1 => (0usize..5000).prop_map(|keep| Op::Trim { keep }),
        1 => object.prop_map(|roots| Op::Collect { roots }),
        1 => (1usize..3).prop_map(|count| Op::Refuse { count }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: if cfg!(miri) { 8 } else { 150 }, ..ProptestConfig::default() })]

    #[test]
    fn objects_are_kept_while_the_heap_compacts_in_steps(
        kind in 0..KINDS,
        ops in prop::collection::vec(op(), 1..200),
        again in any::<bool>(),
    ) {
        let source = Watched::default();
        let mut oracle = Oracle::new(options(kind), &source);
        for &op in &ops {
            oracle.step(op);
        }
        if again {
            oracle.step(Op::Clear);
            for &op in &ops {
                oracle.step(op);
            }
        }
        oracle.finish();
        assert_eq!(source.bytes(), 0);
    }
}

#[test]
fn a_step_never_does_more_than_its_budget_and_many_small_ones_finish() {
    for budget in [Budget::objects(1), Budget::bytes(64), Budget::ALL.and_visits(3)] {
        let mut heap = CompactHeap::<u32, u8>::new();
        let handles: Vec<_> = (0..1000).map(|n| heap.insert(n, &[n as u8; 24]).unwrap()).collect();
        for handle in handles.iter().step_by(3) {
            heap.remove(*handle).unwrap();
        }
        let mut steps = 0;
        loop {
            let step = heap.compact_step(budget);
            assert!(step.moved <= budget.objects && step.bytes <= budget.bytes && step.visited <= budget.visits);
            steps += 1;
            if step.done {
                break;
            }
        }
        assert!(steps > 300);
        assert_eq!(heap.figures().dead, 0);
        for (n, handle) in handles.iter().enumerate().filter(|(n, _)| n % 3 != 0) {
            assert_eq!(heap.get(*handle).unwrap().items, [n as u8; 24]);
        }
    }
}

#[test]
fn an_object_above_the_budget_is_told_and_left() {
    let mut heap = CompactHeap::<(), u8>::new();
    let gap = heap.insert((), &[0; 8]).unwrap();
    let large = heap.insert((), &[1; 1000]).unwrap();
    heap.remove(gap).unwrap();
    let step = heap.compact_step(Budget::bytes(100));
    assert_eq!((step.moved, step.done, step.too_large), (0, false, Some(1008)));
    assert!(heap.compact_step(Budget::bytes(1008)).done);
    assert_eq!(heap.get(large).unwrap().items, [1; 1000]);
}

#[test]
fn a_full_heap_compacts_itself_before_it_refuses() {
    let options = CompactOptions::new().capacity(4096).growth(Growth::None);
    let mut heap = CompactHeap::<(), u8>::with_options(options).unwrap();
    let handles: Vec<_> = (0..8).map(|n| heap.insert((), &[n; 504]).unwrap()).collect();
    assert_eq!(heap.insert((), &[9; 504]), Err(AcquireError::Exhausted));
    heap.remove(handles[0]).unwrap();
    heap.remove(handles[5]).unwrap();
    // Neither gap is long enough alone.
    let wide = heap.insert((), &[9; 1016]).unwrap();
    assert_eq!(heap.get(wide).unwrap().items, [9; 1016]);
    assert_eq!(heap.get(handles[7]).unwrap().items, [7; 504]);
    assert_eq!(heap.stats().free, 0);
}

#[test]
fn what_panics_while_an_object_is_made_leaves_none() {
    let ledger = Ledger::new();
    let mut heap = CompactHeap::<Counted, Counted>::new();
    let make = |n: usize| {
        assert!(n < 7, "no item");
        Counted::new(n as u32, &ledger)
    };
    let head = Counted::new(0, &ledger);
    assert!(catch_unwind(AssertUnwindSafe(|| heap.insert_with(head, 10, make))).is_err());
    assert_eq!((ledger.live(), heap.len()), (0, 0));
    let handle = heap.insert_with(Counted::new(0, &ledger), 2, make).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| heap.resize_with(handle, 10, make))).is_err());
    assert_eq!((ledger.live(), heap.get(handle).unwrap().items.len()), (3, 2));
    let _ = heap.compact();
    heap.resize_with(handle, 7, make).unwrap();
    assert_eq!(heap.get(handle).unwrap().items.iter().map(|item| item.value).sum::<u32>(), 21);
}

#[test]
fn each_object_is_dropped_once_also_when_a_drop_panics() {
    let source = Watched::default();
    let ledger = Ledger::new();
    let counted = |n: usize| Counted::new(n as u32, &ledger);
    let fill = |heap: &mut CompactHeap<Counted, Counted, _>, of_head: bool| {
        let handles: Vec<_> = (0..50).map(|n| heap.insert_with(counted(n), 3, counted).unwrap()).collect();
        let object = heap.get(handles[20]).unwrap();
        ledger.arm(if of_head { object.head } else { &object.items[1] });
        handles
    };
    for of_head in [true, false] {
        let mut heap = CompactHeap::with_options_in(CompactOptions::new(), &source).unwrap();
        let handles = fill(&mut heap, of_head);
        let removed = catch_unwind(AssertUnwindSafe(|| drop(heap.remove(handles[20]))));
        assert!(removed.is_err());
        assert_eq!((ledger.live(), heap.len()), (49 * 4, 49));
        fill(&mut heap, of_head);
        assert!(catch_unwind(AssertUnwindSafe(|| heap.clear())).is_err());
        assert_eq!((ledger.live(), heap.len()), (0, 0));
        fill(&mut heap, of_head);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(heap))).is_err());
        assert_eq!((ledger.live(), source.bytes()), (0, 0));
    }
}

#[test]
fn bad_options_and_handles_are_refused_by_value() {
    let refused = |options| CompactHeap::<u64, u8>::with_options(options).unwrap_err();
    assert_eq!(refused(CompactOptions::new().limit(0)), PoolError::ZeroCapacity);
    assert_eq!(refused(CompactOptions::new().growth(Growth::None)), PoolError::ZeroCapacity);
    assert_eq!(refused(CompactOptions::new().growth(Growth::Fixed(0))), PoolError::ZeroCapacity);
    assert!(matches!(refused(CompactOptions::new().align(3)), PoolError::Alignment { align: 3, .. }));
    assert!(matches!(refused(CompactOptions::new().limit(4)), PoolError::TooMany { .. }));
    assert!(matches!(refused(CompactOptions::new().capacity(80).limit(64)), PoolError::TooMany { .. }));
    assert!(matches!(refused(CompactOptions::new().capacity(usize::MAX)), PoolError::TooMany { .. }));

    let (mut heap, mut other) = (CompactHeap::<u64, u8>::new(), CompactHeap::<u64, u8>::new());
    let (mine, foreign) = (heap.insert(1, &[]).unwrap(), other.insert(2, &[]).unwrap());
    assert!(matches!(heap.remove(foreign), Err(HandleError::Foreign { .. })));
    heap.remove(mine).unwrap();
    assert!(matches!(heap.remove(mine), Err(HandleError::Stale { .. })));
    assert_eq!(heap.insert_with(3, usize::MAX, |_| 0), Err(AcquireError::Exhausted));
}

#[test]
fn objects_are_aligned_and_padded() {
    #[derive(Clone)]
    #[repr(align(64))]
    struct Wide(u8);
    let mut heap = CompactHeap::<u8, Wide>::new();
    let handles: Vec<_> = (0..100).map(|n| heap.insert(n, &[Wide(n), Wide(n)]).unwrap()).collect();
    heap.remove(handles[0]).unwrap();
    assert_eq!(heap.compact().moved, 99);
    for (n, handle) in handles.iter().enumerate().skip(1) {
        let object = heap.get(*handle).unwrap();
        assert_eq!(object.items.as_ptr().addr() % 64, 0);
        assert_eq!((*object.head, object.items[1].0), (n as u8, n as u8));
    }
    let mut padded = CompactHeap::<u8, u8>::with_options(CompactOptions::new().padded()).unwrap();
    let (one, two) = (padded.insert(1, &[1]).unwrap(), padded.insert(2, &[2]).unwrap());
    let address = |handle| std::ptr::from_ref(padded.get(handle).unwrap().head).addr();
    assert_eq!(address(one) % CACHE_LINE, 0);
    assert!(address(two) - address(one) >= CACHE_LINE);
}

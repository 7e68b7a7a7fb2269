//! `HandlePool` against a model: two pools, a map from handles to values for each.

mod handle_oracle;
mod ledger;

use handle_oracle::{KINDS, Node, Op, Oracle, options};
use ledger::{Counted, Ledger, Watched};
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use stratalloc_pool::{AcquireError, Growth, Handle, HandleError, HandlePool, Options, PoolError, Trace, Tracer};

fn op() -> impl Strategy<Value = Op> {
    let any_one = 0usize..10_000;
    prop_oneof![
        20 => (any::<bool>(), any::<u32>()).prop_map(|(which, value)| Op::Insert(which, value)),
        8 => any_one.clone().prop_map(Op::Remove),
        4 => (any_one.clone(), any::<u32>()).prop_map(|(at, value)| Op::Change(at, value)),
        8 => (any_one.clone(), any_one.clone()).prop_map(|(from, to)| Op::Link(from, to)),
        2 => any_one.clone().prop_map(Op::Stale),
        1 => any::<bool>().prop_map(Op::Compact),
        1 => (any::<bool>(), 0usize..50).prop_map(|(which, keep)| Op::Trim(which, keep)),
        4 => any_one.prop_map(Op::Migrate),
        1 => any::<bool>().prop_map(Op::MigrateAll),
        1 => (any::<bool>(), 2u32..5).prop_map(|(which, by)| Op::Retain(which, by)),
        1 => (any::<bool>(), 1u32..4).prop_map(|(which, by)| Op::Collect(which, by)),
        1 => any::<bool>().prop_map(Op::Clear),
        1 => (1usize..3).prop_map(Op::Refuse),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: if cfg!(miri) { 8 } else { 200 }, ..ProptestConfig::default() })]

    #[test]
    fn handles_reach_their_objects_wherever_they_move(
        ops in prop::collection::vec(op(), 1..200),
        kind in 0..KINDS,
    ) {
        let source = Watched::default();
        let mut oracle = Oracle::new(options(kind), &source);
        for op in ops {
            oracle.step(op);
        }
        oracle.finish();
        assert_eq!(source.bytes(), 0);
    }
}

#[test]
fn a_constructor_that_panics_changes_nothing() {
    let mut pool = HandlePool::new();
    let first = pool.insert(String::from("first")).unwrap();
    let mut seen = None;
    let answer = catch_unwind(AssertUnwindSafe(|| {
        pool.insert_with(|handle| {
            seen = Some(handle);
            panic!("no object")
        })
    }));
    assert!(answer.is_err() && pool.len() == 1 && !pool.contains(seen.unwrap()));
    let second = pool.insert(String::from("second")).unwrap();
    assert_eq!((&*pool[first], &*pool[second]), ("first", "second"));
    // Whoever kept the handle has none of another object.
    assert!(!pool.contains(seen.unwrap()));
}

#[test]
fn each_object_is_dropped_once_also_when_a_drop_panics() {
    let source = Watched::default();
    let ledger = Ledger::new();
    let fill = |pool: &mut HandlePool<Counted, _>| {
        let handles: Vec<_> = (0..100).map(|n| pool.insert(Counted::new(n, &ledger)).unwrap()).collect();
        ledger.arm(&pool[handles[50]]);
        handles
    };
    // In clear: the others are dropped still, and the pool can be used on.
    let mut pool = HandlePool::with_options_in(Options::new(), &source).unwrap();
    let handles = fill(&mut pool);
    assert!(catch_unwind(AssertUnwindSafe(|| pool.clear())).is_err());
    assert_eq!((ledger.live(), pool.len()), (0, 0));
    assert!(handles.iter().all(|&handle| !pool.contains(handle)));
    // In retain: those not asked about stay.
    fill(&mut pool);
    assert!(catch_unwind(AssertUnwindSafe(|| pool.retain(|_, _| false))).is_err());
    assert_eq!(ledger.live(), pool.len());
    pool.clear();
    // In a collection: likewise.
    let mut nodes = HandlePool::with_options_in(Options::new(), &source).unwrap();
    let handles: Vec<_> = (0..100)
        .map(|n| nodes.insert(Node { counted: Counted::new(n, &ledger), links: Vec::new() }).unwrap())
        .collect();
    ledger.arm(&nodes[handles[50]].counted);
    assert!(catch_unwind(AssertUnwindSafe(|| nodes.collect([]))).is_err());
    assert_eq!(ledger.live(), nodes.len());
    assert_eq!(nodes.collect([]), Ok(49));
    drop(nodes);
    // In the pool's drop: the others are dropped still, and the memory is given back.
    fill(&mut pool);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(pool))).is_err());
    assert_eq!((ledger.live(), source.bytes()), (0, 0));
}

#[test]
fn a_trace_that_panics_drops_nothing() {
    struct Bad;
    impl Trace for Bad {
        fn trace(&self, _: &mut Tracer<'_>) {
            panic!("no trace")
        }
    }
    let source = Watched::default();
    let mut pool = HandlePool::with_options_in(Options::new(), &source).unwrap();
    let root = pool.insert(Bad).ok().unwrap();
    let bytes = source.bytes();
    assert!(catch_unwind(AssertUnwindSafe(|| pool.collect([root]))).is_err());
    assert!(pool.contains(root) && source.bytes() == bytes);
}

#[test]
fn a_long_chain_is_collected_without_a_stack() {
    let ledger = Ledger::new();
    let mut pool = HandlePool::new();
    let length = if cfg!(miri) { 1000 } else { 200_000 };
    let mut next = None;
    for value in 0..length {
        let links = next.into_iter().collect();
        next = pool.insert(Node { counted: Counted::new(value, &ledger), links }).ok();
    }
    assert_eq!(pool.collect(next), Ok(0));
    assert_eq!(pool.collect_and_compact([]).unwrap().0, length as usize);
    assert_eq!(pool.stats().capacity, 0);
}

#[test]
fn refused_memory_leaves_the_pool_as_it_was() {
    for refusals in 1..6 {
        let source = Watched::default();
        let mut pool = HandlePool::with_options_in(Options::new().growth(Growth::Fixed(2)), &source).unwrap();
        let mut handles = Vec::new();
        for number in 0..50u32 {
            source.refuse(if number % 3 == 0 { refusals } else { 0 });
            match pool.insert(number) {
                Ok(handle) => handles.push((handle, number)),
                Err(refused) => assert_eq!((refused.object, refused.error), (number, AcquireError::OutOfMemory)),
            }
            assert!(handles.iter().all(|&(handle, number)| pool[handle] == number));
        }
        source.refuse(refusals);
        let mut other = HandlePool::with_options_in(Options::new().growth(Growth::Fixed(2)), &source).unwrap();
        assert_eq!(pool.migrate_to(&mut other), Err(AcquireError::OutOfMemory));
        assert_eq!((pool.len(), other.len()), (handles.len(), 0));
        source.refuse(0);
    }
}

#[test]
fn bad_options_are_refused_by_value() {
    let refused = |options| HandlePool::<u64>::with_options(options).unwrap_err();
    assert_eq!(refused(Options::new().limit(0)), PoolError::ZeroCapacity);
    assert_eq!(refused(Options::new().growth(Growth::None)), PoolError::ZeroCapacity);
    assert_eq!(refused(Options::new().growth(Growth::Fixed(0))), PoolError::ZeroCapacity);
    assert!(matches!(refused(Options::new().growth(Growth::Fixed(12))), PoolError::Unsupported(_)));
    assert!(matches!(refused(Options::new().align(3)), PoolError::Alignment { align: 3, .. }));
    assert!(matches!(refused(Options::new().capacity(5).limit(4)), PoolError::TooMany { asked: 5, most: 4 }));
    assert!(matches!(refused(Options::new().capacity(1 << 30)), PoolError::TooMany { .. }));
    assert!(matches!(refused(Options::new().growth(Growth::Fixed(1 << 62))), PoolError::TooMany { .. }));
    let of_nothing = HandlePool::<()>::with_options(Options::new().growth(Growth::Fixed(1 << 32)));
    assert_eq!(of_nothing.unwrap_err(), PoolError::TooMany { asked: 1 << 32, most: 1 << 30 });
}

#[test]
fn a_foreign_or_stale_handle_is_named_in_the_panic() {
    let (mut pool, mut other) = (HandlePool::new(), HandlePool::new());
    let (mine, foreign) = (pool.insert(1).unwrap(), other.insert(2).unwrap());
    pool.remove(mine).unwrap();
    pool.insert(3).unwrap();
    assert!(matches!(pool.get(mine), Err(HandleError::Stale { .. })));
    assert!(matches!(pool.get(foreign), Err(HandleError::Foreign { .. })));
    for handle in [mine, foreign] {
        let text = *catch_unwind(AssertUnwindSafe(|| pool[handle])).unwrap_err().downcast::<String>().unwrap();
        assert!(text.contains("handle 0.1"), "{text}");
    }
}

#[test]
fn objects_without_size_and_of_a_page_have_a_pool_too() {
    let mut pool = HandlePool::new();
    let units: Vec<_> = (0..10_000).map(|_| pool.insert(()).unwrap()).collect();
    assert_eq!(units.iter().filter(|&&unit| pool.remove(unit).is_ok()).count(), 10_000);

    let mut pages = HandlePool::with_options(Options::new().align(4096).capacity(3)).unwrap();
    let handles: Vec<_> = (0..5u8).map(|n| pages.insert([n; 5000]).unwrap()).collect();
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(pages[handle], [n as u8; 5000]);
        assert_eq!(std::ptr::from_ref(&pages[handle]).addr() % 4096, 0);
    }
}

/// The other half, what must not compile, is in the documentation of `HandlePool` and `CompactHeap`.
#[test]
fn pools_go_where_their_objects_may_go() {
    fn sent<T: Send>() {}
    fn shared<T: Sync>() {}
    sent::<HandlePool<std::cell::Cell<u8>>>();
    shared::<HandlePool<u8>>();
    sent::<stratalloc_pool::CompactHeap<std::cell::Cell<u8>, u8>>();
    shared::<stratalloc_pool::CompactHeap<u8, u8>>();
    sent::<stratalloc_pool::VarPool>();
    sent::<stratalloc_pool::VarPool<stratalloc_pool::InSlice<'static>>>();
    // A handle gives no access by itself.
    sent::<Handle<std::rc::Rc<u8>>>();
    shared::<Handle<std::rc::Rc<u8>>>();
    sent::<stratalloc_pool::HandleIterMut<'static, std::cell::Cell<u8>>>();
}

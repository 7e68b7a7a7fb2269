//! `HandlePool` against a model: two pools, a map from handles to values for each.

mod ledger;

use ledger::{Counted, Ledger, Watched};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use stratalloc_pool::{
    AcquireError, Growth, Handle, HandleError, HandlePool, MoveError, Options, Pool, PoolError, Trace, Tracer,
};

/// An object that holds handles.
#[derive(Debug)]
struct Node {
    counted: Counted,
    links: Vec<Handle<Node>>,
}

impl Trace for Node {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        self.links.trace(tracer);
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Insert(bool, u32),
    Remove(usize),
    Change(usize, u32),
    Link(usize, usize),
    Stale(usize),
    Compact(bool),
    Trim(bool, usize),
    Migrate(usize),
    MigrateAll(bool),
    Retain(bool, u32),
    Collect(bool, u32),
    Clear(bool),
    Refuse(usize),
}

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

/// What should be in the two pools.
struct Model {
    value: u32,
    links: Vec<Handle<Node>>,
    /// Which pool.
    second: bool,
}

struct Both<'a> {
    pools: [HandlePool<Node, &'a Watched>; 2],
    model: HashMap<Handle<Node>, Model>,
    order: Vec<Handle<Node>>,
    gone: Vec<Handle<Node>>,
    ledger: std::rc::Rc<Ledger>,
    source: &'a Watched,
}

impl Both<'_> {
    fn any(&self, at: usize) -> Option<Handle<Node>> {
        (!self.order.is_empty()).then(|| self.order[at % self.order.len()])
    }

    fn forget(&mut self, handle: Handle<Node>) -> Model {
        self.order.retain(|&other| other != handle);
        self.gone.push(handle);
        self.model.remove(&handle).unwrap()
    }

    fn of_pool(&self, second: bool) -> Vec<Handle<Node>> {
        self.order.iter().copied().filter(|handle| self.model[handle].second == second).collect()
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Insert(second, value) => {
                let node = Node { counted: Counted::new(value, &self.ledger), links: Vec::new() };
                match self.pools[usize::from(second)].insert(node) {
                    Ok(handle) => {
                        assert!(!self.gone.contains(&handle), "a handle came again");
                        assert!(self.model.insert(handle, Model { value, links: Vec::new(), second }).is_none());
                        self.order.push(handle);
                    }
                    Err(refused) => assert_eq!(refused.object.counted.value, value),
                }
            }
            Op::Remove(at) => {
                if let Some(handle) = self.any(at) {
                    let model = self.forget(handle);
                    let (here, there) = (usize::from(model.second), usize::from(!model.second));
                    assert!(self.pools[there].remove(handle).is_err());
                    assert_eq!(self.pools[here].remove(handle).unwrap().counted.value, model.value);
                }
            }
            Op::Change(at, value) => {
                if let Some(handle) = self.any(at) {
                    let model = self.model.get_mut(&handle).unwrap();
                    model.value = value;
                    self.pools[usize::from(model.second)][handle].counted.value = value;
                }
            }
            Op::Link(from, to) => {
                if let (Some(from), Some(to)) = (self.any(from), self.any(to)) {
                    let model = self.model.get_mut(&from).unwrap();
                    model.links.push(to);
                    self.pools[usize::from(model.second)][from].links.push(to);
                }
            }
            Op::Stale(at) => {
                if !self.gone.is_empty() {
                    let handle = self.gone[at % self.gone.len()];
                    for pool in &mut self.pools {
                        assert!(!pool.contains(handle) && pool.get_mut(handle).is_err());
                        assert!(pool.remove(handle).is_err());
                    }
                }
            }
            Op::Compact(second) => {
                let pool = &mut self.pools[usize::from(second)];
                pool.compact();
                assert_eq!(pool.compact().moved, 0);
            }
            Op::Trim(second, keep) => {
                let pool = &mut self.pools[usize::from(second)];
                let (before, went) = (pool.stats().capacity, pool.trim(keep));
                assert!(pool.stats().capacity <= before - went.min(before));
            }
            Op::Migrate(at) => {
                if let Some(handle) = self.any(at) {
                    let model = self.model.get_mut(&handle).unwrap();
                    let [first, other] = &mut self.pools;
                    let moved =
                        if model.second { other.migrate(handle, first) } else { first.migrate(handle, other) };
                    match moved {
                        Ok(()) => model.second = !model.second,
                        Err(error) => assert!(matches!(error, MoveError::Room(_))),
                    }
                }
            }
            Op::MigrateAll(second) => {
                let [first, other] = &mut self.pools;
                let moved = if second { other.migrate_to(first) } else { first.migrate_to(other) };
                if let Ok(count) = moved {
                    let mut counted = 0;
                    for model in self.model.values_mut().filter(|model| model.second == second) {
                        model.second = !second;
                        counted += 1;
                    }
                    assert_eq!(count, counted);
                }
            }
            Op::Retain(second, by) => {
                for handle in self.of_pool(second) {
                    if self.model[&handle].value.is_multiple_of(by) {
                        self.forget(handle);
                    }
                }
                self.pools[usize::from(second)].retain(|_, node| node.counted.value % by != 0);
            }
            Op::Collect(second, by) => self.collect(second, by),
            Op::Clear(second) => {
                for handle in self.of_pool(second) {
                    self.forget(handle);
                }
                self.pools[usize::from(second)].clear();
            }
            Op::Refuse(count) => self.source.refuse(count),
        }
        self.check();
    }

    /// The model's reachability: a set that grows until it does not.
    fn collect(&mut self, second: bool, by: u32) {
        let all = self.of_pool(second);
        let roots: Vec<_> =
            all.iter().copied().filter(|handle| self.model[handle].value.is_multiple_of(by + 3)).collect();
        // A stale root, and one of the other pool, if there are: they are ignored.
        let others =
            self.gone.iter().chain(self.order.iter()).copied().filter(|handle| !all.contains(handle)).take(2);
        let given: Vec<_> = roots.iter().copied().chain(others).collect();
        let Ok(count) = self.pools[usize::from(second)].collect(given) else { return };
        let mut reached: HashSet<_> = roots.iter().copied().collect();
        loop {
            let next: HashSet<_> = reached
                .iter()
                .flat_map(|handle| &self.model[handle].links)
                .copied()
                .filter(|handle| self.model.get(handle).is_some_and(|model| model.second == second))
                .chain(reached.iter().copied())
                .collect();
            if next.len() == reached.len() {
                break;
            }
            reached = next;
        }
        let lost: Vec<_> = all.into_iter().filter(|handle| !reached.contains(handle)).collect();
        assert_eq!(count, lost.len());
        for handle in lost {
            self.forget(handle);
        }
    }

    fn check(&self) {
        assert_eq!(self.ledger.live(), self.model.len());
        for (second, pool) in [false, true].into_iter().zip(&self.pools) {
            let mut seen = HashSet::new();
            let mut last = 0;
            for (handle, node) in pool {
                assert!(seen.insert(handle));
                assert_eq!(node.counted.value, self.model[&handle].value);
                let address = std::ptr::from_ref(node).addr();
                assert!(address > last, "not in memory order");
                last = address;
            }
            assert_eq!(seen.len(), pool.len());
            let stats = pool.stats();
            assert_eq!((stats.live, stats.live + stats.free), (pool.len(), stats.capacity));
            assert!(stats.peak >= stats.live);
            assert_eq!(self.model.values().filter(|model| model.second == second).count(), pool.len());
        }
        for (handle, model) in &self.model {
            assert_eq!(self.pools[usize::from(model.second)][*handle].counted.value, model.value);
            assert!(!self.pools[usize::from(!model.second)].contains(*handle));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: if cfg!(miri) { 8 } else { 200 }, ..ProptestConfig::default() })]

    #[test]
    fn handles_reach_their_objects_wherever_they_move(
        ops in prop::collection::vec(op(), 1..200),
        kind in 0usize..4,
        padded in any::<bool>(),
    ) {
        let source = Watched::default();
        let ledger = Ledger::new();
        let options = match kind {
            0 => Options::new(),
            1 => Options::new().growth(Growth::Fixed(4)),
            2 => Options::new().growth(Growth::Fixed(1)).limit(9),
            _ => Options::new().capacity(20).growth(Growth::None),
        };
        let options = if padded { options.padded() } else { options };
        let pools = [(); 2].map(|()| HandlePool::with_options_in(options, &source).unwrap());
        let mut both = Both {
            pools,
            model: HashMap::new(),
            order: Vec::new(),
            gone: Vec::new(),
            ledger: ledger.clone(),
            source: &source,
        };
        for op in ops {
            both.step(op);
        }
        drop(both);
        assert_eq!((ledger.live(), source.bytes()), (0, 0));
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

//! A naive model of two pools of handles between which objects move: a map from handles to values. Shared by the
//! property tests and the fuzz target. The user declares `mod ledger`.

use crate::ledger::{Counted, Ledger, Watched};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use stratalloc_pool::{Growth, Handle, HandlePool, MoveError, Options, Pool, Trace, Tracer};

/// An object that holds handles.
#[derive(Debug)]
pub struct Node {
    pub counted: Counted,
    pub links: Vec<Handle<Node>>,
}

impl Trace for Node {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        self.links.trace(tracer);
    }
}

/// One step; a flag says on which pool. Objects are named by any number: it counts the live ones round and round.
#[derive(Clone, Copy, Debug)]
pub enum Op {
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

/// Options from a number, so that all kinds of pools are tried.
pub fn options(number: usize) -> Options {
    let options = match number % 4 {
        0 => Options::new(),
        1 => Options::new().growth(Growth::Fixed(4)),
        2 => Options::new().growth(Growth::Fixed(1)).limit(9),
        _ => Options::new().capacity(20).growth(Growth::None),
    };
    if number / 4 % 2 == 1 { options.padded() } else { options }
}

/// How many kinds there are.
pub const KINDS: usize = 8;

/// What should be in the two pools.
struct Model {
    value: u32,
    links: Vec<Handle<Node>>,
    /// Which pool.
    second: bool,
}

/// Two pools on one source and what should be in them.
pub struct Oracle<'a> {
    pools: [HandlePool<Node, &'a Watched>; 2],
    model: HashMap<Handle<Node>, Model>,
    order: Vec<Handle<Node>>,
    gone: Vec<Handle<Node>>,
    ledger: Rc<Ledger>,
    source: &'a Watched,
}

impl<'a> Oracle<'a> {
    pub fn new(options: Options, source: &'a Watched) -> Self {
        let pools = [(); 2].map(|()| HandlePool::with_options_in(options, source).unwrap());
        let (model, order, gone) = (HashMap::new(), Vec::new(), Vec::new());
        Self { pools, model, order, gone, ledger: Ledger::new(), source }
    }

    /// Drops the pools: each object must have been dropped once.
    pub fn finish(self) {
        let Self { pools, ledger, .. } = self;
        drop(pools);
        assert_eq!(ledger.live(), 0);
    }

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

    /// Does it on a pool and on the model, and compares them.
    pub fn step(&mut self, op: Op) {
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

//! A naive model of a compacting heap: a map from handles to values. Shared by the property tests and
//! the fuzz target. The user declares `mod ledger`.

use crate::ledger::{Counted, Ledger, Watched};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use stratalloc_pool::{Budget, CompactHeap, CompactOptions, Growth, Handle, MoveError, Pool, Trace, Tracer};

/// An object's head.
#[derive(Debug)]
pub struct Head(Counted);

impl Trace for Head {
    fn trace(&self, _: &mut Tracer<'_>) {}
}

/// One of its items.
#[derive(Debug)]
pub struct Item {
    counted: Counted,
    link: Option<Handle<Head>>,
}

impl Trace for Item {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        self.link.trace(tracer);
    }
}

/// One step. Objects are named by any number: it counts the live ones round and round.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Insert { len: usize },
    Remove { object: usize },
    Resize { object: usize, len: usize },
    Link { from: usize, to: usize },
    Stale { object: usize },
    Step { objects: usize, bytes: usize, visits: usize },
    Compact,
    Trim { keep: usize },
    Collect { roots: usize },
    Clear,
    Refuse { count: usize },
}

/// Options from a number, so that all kinds of heaps are tried.
pub fn options(number: usize) -> CompactOptions {
    let options = match number % 4 {
        0 => CompactOptions::new(),
        1 => CompactOptions::new().growth(Growth::Fixed(2000)),
        2 => CompactOptions::new().growth(Growth::Fixed(3000)).limit(10_000),
        _ => CompactOptions::new().capacity(8000).growth(Growth::None),
    };
    if number / 4 % 2 == 1 { options.padded() } else { options }
}

/// How many kinds there are.
pub const KINDS: usize = 8;

/// What an object should be.
struct Model {
    head: u32,
    items: Vec<(u32, Option<Handle<Head>>)>,
}

/// The heap and the model.
pub struct Oracle<'a> {
    heap: CompactHeap<Head, Item, &'a Watched>,
    model: HashMap<Handle<Head>, Model>,
    order: Vec<Handle<Head>>,
    gone: Vec<Handle<Head>>,
    ledger: Rc<Ledger>,
    value: u32,
}

impl<'a> Oracle<'a> {
    pub fn new(options: CompactOptions, source: &'a Watched) -> Self {
        let heap = CompactHeap::with_options_in(options, source).unwrap();
        let (model, order, gone) = (HashMap::new(), Vec::new(), Vec::new());
        Self { heap, model, order, gone, ledger: Ledger::new(), value: 0 }
    }

    fn any(&self, at: usize) -> Option<Handle<Head>> {
        (!self.order.is_empty()).then(|| self.order[at % self.order.len()])
    }

    fn forget(&mut self, handle: Handle<Head>) -> Model {
        self.order.retain(|&other| other != handle);
        self.gone.push(handle);
        self.model.remove(&handle).unwrap()
    }

    /// Does one step and checks everything.
    pub fn step(&mut self, op: Op) {
        self.value += 1000;
        let (value, ledger) = (self.value, self.ledger.clone());
        let item = |index: usize| Item { counted: Counted::new(value + index as u32, &ledger), link: None };
        match op {
            Op::Insert { len } => {
                let head = Head(Counted::new(value, &ledger));
                if let Ok(handle) = self.heap.insert_with(head, len, item) {
                    let items = (0..len as u32).map(|index| (value + index, None)).collect();
                    assert!(!self.gone.contains(&handle), "a handle came again");
                    assert!(self.model.insert(handle, Model { head: value, items }).is_none());
                    self.order.push(handle);
                }
            }
            Op::Remove { object } => {
                if let Some(handle) = self.any(object) {
                    assert_eq!(self.heap.remove(handle).unwrap().0.value, self.forget(handle).head);
                }
            }
            Op::Resize { object, len } => {
                if let Some(handle) = self.any(object) {
                    match self.heap.resize_with(handle, len, item) {
                        Ok(()) => {
                            let items = &mut self.model.get_mut(&handle).unwrap().items;
                            items.truncate(len);
                            items.extend((items.len()..len).map(|index| (value + index as u32, None)));
                        }
                        Err(error) => assert!(matches!(error, MoveError::Room(_))),
                    }
                }
            }
            Op::Link { from, to } => {
                if let (Some(from), Some(to)) = (self.any(from), self.any(to)) {
                    let items = self.heap.get_mut(from).unwrap().items;
                    if let Some(at) = to.checked_index(items.len()) {
                        items[at].link = Some(to);
                        self.model.get_mut(&from).unwrap().items[at].1 = Some(to);
                    }
                }
            }
            Op::Stale { object } => {
                if !self.gone.is_empty() {
                    let handle = self.gone[object % self.gone.len()];
                    assert!(!self.heap.contains(handle) && self.heap.get_mut(handle).is_err());
                    assert!(self.heap.remove(handle).is_err());
                    assert!(matches!(self.heap.resize_with(handle, 3, item), Err(MoveError::Handle(_))));
                }
            }
            Op::Step { objects, bytes, visits } => {
                let step = self.heap.compact_step(Budget { objects, bytes, visits });
                assert!(step.moved <= objects && step.bytes <= bytes && step.visited <= visits);
                assert_eq!(step.done, !self.heap.is_compacting());
                assert!(step.too_large.is_none_or(|size| size > bytes));
            }
            Op::Compact => {
                let _ = self.heap.compact();
                assert_eq!(self.heap.figures().dead, 0);
                assert!(!self.heap.is_compacting());
            }
            Op::Trim { keep } => {
                let (before, went) = (self.heap.figures().capacity, self.heap.trim(keep));
                assert_eq!(self.heap.figures().capacity, before - went);
            }
            Op::Collect { roots } => self.collect(roots),
            Op::Clear => {
                self.heap.clear();
                self.gone.append(&mut self.order);
                self.model.clear();
            }
            Op::Refuse { count } => self.heap.source().refuse(count),
        }
        self.check();
    }

    /// The model's reachability: a set that grows until it does not.
    fn collect(&mut self, roots: usize) {
        let roots: Vec<_> = self.order.iter().copied().filter(|handle| handle.hash() % 5 < roots % 5).collect();
        let stale = self.gone.first().copied();
        let Ok(count) = self.heap.collect(roots.iter().copied().chain(stale)) else { return };
        let mut reached: HashSet<_> = roots.into_iter().collect();
        loop {
            let next: HashSet<_> = reached
                .iter()
                .flat_map(|handle| &self.model[handle].items)
                .filter_map(|item| item.1)
                .filter(|handle| self.model.contains_key(handle))
                .chain(reached.iter().copied())
                .collect();
            if next.len() == reached.len() {
                break;
            }
            reached = next;
        }
        let lost: Vec<_> = self.order.iter().copied().filter(|handle| !reached.contains(handle)).collect();
        assert_eq!(count, lost.len());
        for handle in lost {
            self.forget(handle);
        }
    }

    fn check(&self) {
        assert_eq!(self.ledger.live(), self.model.values().map(|model| 1 + model.items.len()).sum::<usize>());
        let figures = self.heap.figures();
        assert_eq!((figures.objects, self.heap.len()), (self.model.len(), self.model.len()));
        assert_eq!(figures.capacity, figures.live + figures.dead + figures.free);
        assert_eq!(self.heap.stats().live, self.model.len());
        let mut seen = HashSet::new();
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for (handle, object) in self.heap.iter() {
            assert!(seen.insert(handle));
            let model = &self.model[&handle];
            assert_eq!(object.head.0.value, model.head);
            assert!(
                object.items.iter().map(|item| (item.counted.value, item.link)).eq(model.items.iter().copied())
            );
            ranges.push((std::ptr::from_ref(object.head).addr(), object.items.as_ptr_range().end.addr()));
        }
        assert_eq!(seen.len(), self.model.len());
        ranges.sort_unstable();
        assert!(ranges.is_sorted_by(|a, b| a.1 <= b.0), "objects overlap");
        for handle in &self.order {
            assert_eq!(self.heap.get(*handle).unwrap().head.0.value, self.model[handle].head);
        }
    }

    /// Drops the heap: each object must have been dropped once.
    pub fn finish(self) {
        let Self { heap, ledger, .. } = self;
        drop(heap);
        assert_eq!(ledger.live(), 0);
    }
}

/// A number from a handle, for tests that want to choose by it.
trait Number {
    fn hash(self) -> usize;
    fn checked_index(self, len: usize) -> Option<usize>;
}

impl Number for Handle<Head> {
    fn hash(self) -> usize {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        BuildHasherDefault::<DefaultHasher>::default().hash_one(self) as usize
    }

    fn checked_index(self, len: usize) -> Option<usize> {
        (self.hash() / 7).checked_rem(len)
    }
}

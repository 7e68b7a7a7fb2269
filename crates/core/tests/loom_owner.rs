//! Model of a span whose owner changes while others free its blocks: dissolving, claiming, adopting, and
//! tokens that arrive at who was the owner a moment ago.
//!
//! `RemoteList`, `Tenure` and the descriptor's owner word are the real ones; what `Allocator::send`,
//! `deliver`, `claim`, `collect`, `disown` and `park` do with them is repeated here in small, with a
//! mutex for the node's lock and the number of blocks in use for the heap's lists.
//!
//! Asserted: no block is lost, the span is released once and only when its last block came home, and
//! nobody looks at a descriptor after its release, neither by the directory. The cells show that whoever changes a
//! span's first line owns it.
//!
//! Seen to fail with: a claim that writes the owner after it opened the lock (two claim), a claim that
//! does not look again under the lock, a token that is collected by who is not the owner, one that is
//! delivered to a parked heap and left there, either fence of `Tenure` left out, a `leave` that is not
//! repeated until no token is left, a list that is retired before the lock is taken (the directory names a descriptor
//! that was given up).
#![cfg(loom)]

mod models;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use models::side_by_side;
use stratalloc_core::remote::{Pushed, Taken, Tenure};
use stratalloc_core::span::{Block, OWNER_ORPHAN, Span};

const BLOCKS: usize = 2;
const HEAPS: usize = 3;

#[repr(align(16))]
struct Memory(std::cell::UnsafeCell<Block>);

/// What the node's lock guards.
struct Node {
    /// The span is in the pool.
    pooled: bool,
    /// The directory names the span's descriptor for its slices.
    named: bool,
}

struct World {
    node: Mutex<Node>,
    heaps: [Tenure; HEAPS],
    /// What only a heap's tenure may touch: how many spans it has.
    lists: [UnsafeCell<usize>; HEAPS],
    span: std::cell::UnsafeCell<Span>,
    /// The span's first line: blocks in use.
    used: UnsafeCell<usize>,
    memory: [Memory; BLOCKS],
    released: AtomicUsize,
    retired: AtomicUsize,
}

// SAFETY: that each cell is one thread's at a time is what loom checks.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

/// Heaps are told apart by numbers that no `OWNER_` value has.
const fn name(heap: usize) -> usize {
    16 * (heap + 1)
}

impl World {
    /// Heap 0 owns the span; all its blocks are in use.
    fn new() -> Arc<Self> {
        let block = || Memory(std::cell::UnsafeCell::new(Block { next: std::ptr::null_mut() }));
        let world = World {
            node: Mutex::new(Node { pooled: false, named: true }),
            heaps: std::array::from_fn(|_| Tenure::new()),
            lists: std::array::from_fn(|_| UnsafeCell::new(0)),
            span: std::cell::UnsafeCell::new(Span::foreign()),
            used: UnsafeCell::new(BLOCKS),
            memory: std::array::from_fn(|_| block()),
            released: AtomicUsize::new(0),
            retired: AtomicUsize::new(0),
        };
        world.span().owner.store(name(0), Ordering::Relaxed);
        world.file(0);
        Arc::new(world)
    }

    fn span(&self) -> &Span {
        // SAFETY: only its atomics are used through this, and the pending link through `Span::pending`.
        unsafe { &*self.span.get() }
    }

    fn alive(&self) {
        assert_eq!(self.released.load(Ordering::Relaxed), 0, "a look at a released descriptor");
    }

    fn file(&self, heap: usize) {
        // SAFETY: loom checks that we have the tenure.
        self.lists[heap].with_mut(|spans| unsafe { *spans += 1 });
    }

    fn unfile(&self, heap: usize) {
        // SAFETY: as above.
        self.lists[heap].with_mut(|spans| unsafe {
            assert_eq!(*spans, 1, "heap {heap} has the span");
            *spans -= 1;
        });
    }

    /// `Allocator::free_chain`.
    fn free_chain(&self, heap: usize, count: usize) {
        // SAFETY: loom checks that the owner alone does this.
        let left = self.used.with_mut(|used| unsafe {
            assert!(*used >= count, "{count} blocks of {} in use", *used);
            *used -= count;
            *used
        });
        if left == 0 {
            self.unfile(heap);
            self.release();
        }
    }

    /// `Allocator::return_span`: the descriptor and the memory.
    fn release(&self) {
        self.node.lock().unwrap().named = false;
        self.give_up();
    }

    /// `Allocator::drop_retired`: the descriptor, whose memory is gone.
    fn give_up(&self) {
        assert!(!self.node.lock().unwrap().named, "the directory names a descriptor that is given up");
        assert_eq!(self.released.fetch_add(1, Ordering::Relaxed), 0, "released twice");
    }

    /// `Allocator::claim`.
    fn claim(&self, heap: usize) {
        let mut node = self.node.lock().unwrap();
        self.alive();
        let claimed = self.span().owner() == OWNER_ORPHAN;
        if claimed {
            assert!(node.pooled, "an orphan is in the pool");
            node.pooled = false;
            self.span().owner.store(name(heap), Ordering::Release);
        }
        drop(node);
        if claimed {
            self.file(heap);
        }
    }

    /// `Allocator::send` of one block by a thread that has `heap`.
    fn send(&self, heap: usize, block: usize) {
        self.alive();
        if self.span().owner() == OWNER_ORPHAN {
            self.claim(heap);
        }
        if self.span().owner() == name(heap) {
            return self.free_chain(heap, 1);
        }
        let memory = self.memory[block].0.get();
        // SAFETY: our block.
        let pushed = match unsafe { self.span().remote.push(memory, memory, 1, BLOCKS, None, false) } {
            Pushed::WouldRetire => self.push_last(memory),
            pushed => pushed,
        };
        match pushed {
            Pushed::Listed(true) => self.deliver(heap),
            Pushed::Listed(false) => {}
            Pushed::Retired(token) => {
                assert_eq!(self.retired.fetch_add(1, Ordering::Relaxed), 0, "retired twice");
                if token {
                    self.deliver(heap);
                }
            }
            Pushed::Completed(_) | Pushed::WouldRetire => unreachable!("not available, and ready"),
        }
    }

    /// `Allocator::push_last`, and `free_range`.
    fn push_last(&self, memory: *mut Block) -> Pushed {
        let mut node = self.node.lock().unwrap();
        // SAFETY: the caller's block.
        let pushed = unsafe { self.span().remote.push(memory, memory, 1, BLOCKS, None, true) };
        if let Pushed::Retired(_) = pushed {
            node.named = false;
        }
        pushed
    }

    /// `Allocator::deliver`. The caller has the token.
    fn deliver(&self, heap: usize) {
        loop {
            self.alive();
            let owner = self.span().owner();
            if owner == OWNER_ORPHAN {
                self.claim(heap);
            } else if owner == name(heap) {
                return self.collect(heap);
            } else {
                let target = owner / 16 - 1;
                // SAFETY: we have the token.
                if unsafe { self.heaps[target].deliver(self.span.get()) } {
                    self.look_after(target);
                }
                return;
            }
        }
    }

    /// `Allocator::collect`.
    fn collect(&self, heap: usize) {
        match self.span().remote.take() {
            Taken::Chain(_, count) => self.free_chain(heap, count),
            Taken::Retired => {
                self.unfile(heap);
                self.give_up();
            }
        }
    }

    /// `Allocator::collect_pending`.
    fn collect_pending(&self, heap: usize) {
        let mut span = self.heaps[heap].take_pending();
        while !span.is_null() {
            // SAFETY: we have the token.
            let next = unsafe { Span::pending(span) };
            self.deliver(heap);
            span = next;
        }
    }

    fn leave(&self, heap: usize) {
        while !self.heaps[heap].leave() {
            self.collect_pending(heap);
        }
    }

    fn look_after(&self, heap: usize) {
        if self.heaps[heap].try_enter() {
            self.collect_pending(heap);
            self.leave(heap);
        }
    }

    /// `Allocator::settle` with `dissolve`.
    fn dissolve(&self, heap: usize) {
        self.collect_pending(heap);
        // SAFETY: loom checks that we have the tenure.
        if self.lists[heap].with(|spans| unsafe { *spans }) == 1 {
            self.unfile(heap);
            let mut node = self.node.lock().unwrap();
            node.pooled = true;
            self.span().owner.store(OWNER_ORPHAN, Ordering::Release);
        }
    }

    /// A thread comes, takes a parked heap over and has its slow path.
    fn adopt(&self, heap: usize) -> bool {
        let adopted = self.heaps[heap].try_adopt();
        if adopted {
            self.collect_pending(heap);
        }
        adopted
    }

    /// Everybody has gone. Whoever owns the span finds all blocks home.
    fn finish(&self) {
        for heap in 0..HEAPS {
            if !self.heaps[heap].is_parked() {
                self.leave(heap);
            }
            assert!(!self.heaps[heap].has_pending(), "a token stays with heap {heap}");
        }
        assert_eq!(self.released.load(Ordering::Relaxed), 1, "the span is released");
        assert!(self.span().remote.is_empty());
        // SAFETY: alone.
        let used = self.used.with(|used| unsafe { *used });
        let home = if self.retired.load(Ordering::Relaxed) == 1 { BLOCKS } else { 0 };
        assert_eq!(used, home, "blocks in use by the owner's books");
        for lists in &self.lists {
            // SAFETY: alone.
            assert_eq!(lists.with(|spans| unsafe { *spans }), 0);
        }
    }
}

fn run(threads: Vec<fn(&World)>, own: fn(&World), bound: usize) {
    side_by_side(bound, World::new, threads, own, World::finish);
}

#[test]
fn the_owner_dissolves_while_two_threads_free() {
    run(
        vec![|world| world.send(1, 0), |world| world.send(2, 1)],
        |world| {
            world.dissolve(0);
            world.leave(0);
        },
        3,
    );
}

#[test]
fn the_owner_parks_and_another_adopts_while_two_threads_free() {
    run(
        vec![
            |world| {
                world.send(1, 0);
                // This thread leaves too.
                world.dissolve(1);
                world.leave(1);
            },
            |world| {
                if world.adopt(0) {
                    world.dissolve(0);
                    world.leave(0);
                }
            },
        ],
        |world| {
            world.leave(0);
            world.send(2, 1);
        },
        3,
    );
}

#[test]
fn claimers_dissolve_in_their_turn() {
    run(
        vec![
            |world| {
                world.send(1, 0);
                world.dissolve(1);
                world.leave(1);
            },
            |world| {
                world.send(2, 1);
                world.dissolve(2);
                world.leave(2);
            },
        ],
        |world| {
            world.dissolve(0);
            world.leave(0);
        },
        2,
    );
}

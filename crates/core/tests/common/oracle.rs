//! The oracle: a naive model of live ranges beside an allocator over the mock.
//!
//! [`Oracle`] plays a process with [`THREADS`] threads (one real thread under many numbers), up to
//! [`USERS`] first-class heaps and the late heap. Every [`Op`] is done on the allocator and on the model,
//! and what must hold is asserted:
//!
//! * blocks do not overlap, are aligned and as long as asked; `good_size` told the truth;
//! * contents stay until the block is freed, and across `realloc`; zeroed blocks are zero;
//! * figures: `allocated <= active <= mapped`, and nothing live is missing in them;
//! * at the [end](Oracle::finish), with everything freed: nothing allocated, active or dirty is left.
//!
//! The same model serves the property tests, the fault tests and the fuzz targets.

use super::checked::{Checked, Owned};
use super::pattern;
use std::collections::BTreeMap;
use std::ptr::null_mut;
use stratalloc_core::allocator::Allocator;
use stratalloc_core::class::{class, class_of, coarse_class, size_of_class};
use stratalloc_core::heap::Heap;
use stratalloc_core::options::Options;
use stratalloc_core::stats::Snapshot;
use stratalloc_os::mock::Mock;

/// Threads that the oracle plays.
pub const THREADS: usize = 4;
/// First-class heaps at one time.
pub const USERS: usize = 2;
/// The heaps an operation can go through: threads', first-class, the late.
pub const HEAPS: usize = THREADS + USERS + 1;
const LATE: usize = THREADS + USERS;

/// One step. `heap` and `block` are taken modulo what there is.
#[derive(Clone, Debug)]
pub enum Op {
    Alloc {
        heap: usize,
        size: usize,
        align: usize,
        zeroed: bool,
    },
    Realloc {
        heap: usize,
        block: usize,
        size: usize,
    },
    Dealloc {
        heap: usize,
        block: usize,
    },
    /// Frees every `step`-th block through `heap`.
    DeallocMany {
        heap: usize,
        step: usize,
    },
    /// The thread leaves: its heap is parked.
    Leave {
        heap: usize,
    },
    /// The thread's heap gives back what it does not use.
    Settle {
        heap: usize,
    },
    /// A first-class heap is destroyed, blocks and all.
    Destroy {
        heap: usize,
    },
    /// Allocations of the heap are counted from here on.
    Count {
        heap: usize,
    },
    /// `trim` or, with a heap, `trim_all`.
    Trim {
        heap: Option<usize>,
        keep: usize,
    },
    /// Time passes; the purge thread, if there is one, has its turn.
    Pass {
        ms: u64,
    },
}

#[derive(Debug)]
struct Block {
    start: usize,
    usable: usize,
    align: usize,
    id: u64,
    /// First-class heap it belongs to.
    user: Option<usize>,
}

/// The model and the allocator it watches; see the module.
pub struct Oracle {
    /// The system below.
    pub mock: Mock,
    allocator: Owned,
    threads: [*mut Heap; THREADS],
    users: [*mut Heap; USERS],
    blocks: Vec<Block>,
    /// Start to end of what blocks occupy.
    ranges: BTreeMap<usize, usize>,
    ids: u64,
    /// Requests may fail.
    pub faults: bool,
    /// Requests that failed.
    pub refused: u64,
}

impl Oracle {
    /// A fresh allocator with these options.
    pub fn new(page: usize, options: &Options) -> Self {
        let mock = Mock::new(page);
        let allocator = Owned::new(&mock);
        allocator.config.apply(options);
        Self {
            mock,
            allocator,
            threads: [null_mut(); THREADS],
            users: [null_mut(); USERS],
            blocks: Vec::new(),
            ranges: BTreeMap::new(),
            ids: 0,
            faults: false,
            refused: 0,
        }
    }

    /// The allocator.
    pub fn allocator(&self) -> &Allocator<Checked> {
        &self.allocator
    }

    /// Changes the places of two blocks in the order that [`Op`] counts them by.
    pub fn swap(&mut self, a: usize, b: usize) {
        self.blocks.swap(a, b);
    }

    /// Blocks in use.
    pub fn live(&self) -> usize {
        self.blocks.len()
    }

    /// Does one step, and checks.
    pub fn step(&mut self, op: &Op) {
        match *op {
            Op::Alloc { heap, size, align, zeroed } => {
                self.alloc(heap % HEAPS, size, align, zeroed);
            }
            Op::Realloc { heap, block, size } => {
                if !self.blocks.is_empty() {
                    self.realloc(heap % HEAPS, block % self.blocks.len(), size);
                }
            }
            Op::Dealloc { heap, block } => {
                if !self.blocks.is_empty() {
                    self.dealloc(heap % HEAPS, block % self.blocks.len());
                }
            }
            Op::DeallocMany { heap, step } => self.dealloc_many(heap % HEAPS, step),
            Op::Leave { heap } => self.leave(heap % THREADS),
            Op::Settle { heap } => {
                // SAFETY: `on` has the heap's tenure.
                self.on(heap % HEAPS, |allocator, heap| unsafe { allocator.settle(heap, false) });
            }
            Op::Destroy { heap } => self.destroy(heap % USERS),
            Op::Count { heap } => {
                // SAFETY: as above.
                self.on(heap % HEAPS, |allocator, heap| unsafe { allocator.start_counting(heap) });
            }
            Op::Trim { heap: None, keep } => {
                self.allocator.trim(keep);
            }
            Op::Trim { heap: Some(heap), keep } => {
                let own = self.threads[heap % THREADS];
                // SAFETY: the played thread's own heap, or the empty one.
                as_thread(heap % THREADS, || unsafe { self.allocator.trim_all(own.cast(), keep) });
            }
            Op::Pass { ms } => {
                self.mock.advance(ms);
                // The purge thread's number in the locks.
                Mock::as_thread(4, || self.mock.run_purger());
            }
        }
        self.check_figures();
    }

    /// Runs `work` with a heap and its tenure on the thread that goes with it; `None`: no memory.
    fn on<R>(&mut self, index: usize, work: impl FnOnce(&Allocator<Checked>, *mut Heap) -> R) -> Option<R> {
        let allocator = &*self.allocator;
        as_thread(index % THREADS, || {
            let shared = match index {
                LATE => allocator.late_heap(),
                THREADS.. => {
                    let user = &mut self.users[index - THREADS];
                    if user.is_null() {
                        *user = allocator.new_user_heap();
                    }
                    *user
                }
                _ => {
                    let own = &mut self.threads[index];
                    if own.is_null() {
                        *own = allocator.adopt();
                    }
                    return if own.is_null() { None } else { Some(work(allocator, *own)) };
                }
            };
            if shared.is_null() {
                return None;
            }
            // SAFETY: a heap that is parked between uses; this thread is not inside it.
            unsafe { allocator.with_tenure(shared, || work(allocator, shared)) }
        })
    }

    /// A new block; false: refused, which only `faults` excuses.
    pub fn alloc(&mut self, heap: usize, size: usize, align: usize, zeroed: bool) -> bool {
        // SAFETY: `on` has the heap's tenure.
        let block = self.on(heap, |allocator, heap| unsafe {
            if zeroed { allocator.alloc_zeroed(heap, size, align) } else { allocator.alloc(heap, size, align) }
        });
        let block = block.unwrap_or(null_mut());
        if block.is_null() {
            assert!(self.faults, "refused: {size} bytes at {align}");
            self.refused += 1;
            return false;
        }
        if zeroed {
            // SAFETY: ours, `size` bytes.
            unsafe { pattern::check_zero(block, size) };
        }
        let user = self.user_of(heap);
        self.admit(block, size, align, user);
        true
    }

    fn user_of(&self, heap: usize) -> Option<usize> {
        (THREADS..LATE).contains(&heap).then(|| heap - THREADS)
    }

    fn admit(&mut self, block: *mut u8, size: usize, align: usize, user: Option<usize>) {
        let start = block.addr();
        assert!(start.is_multiple_of(align.max(16)), "{block:p} is not at a multiple of {align}");
        // SAFETY: in use.
        let usable = unsafe { self.allocator.usable_size(block) };
        assert!(usable >= size, "{usable} usable bytes of {size}");
        if align <= 16 {
            // A heap's first blocks of a class come from a coarser one's span.
            let coarse = class_of(size).map(|class| size_of_class(coarse_class(class)));
            let good = self.allocator.good_size(size);
            assert!(
                usable == good || Some(usable) == coarse,
                "{usable} usable bytes, good_size({size}) is {good}"
            );
        }
        assert!(self.allocator.owns(block));
        let end = start + usable;
        if let Some((&from, &to)) = self.ranges.range(..end).next_back() {
            assert!(to <= start, "{start:#x}..{end:#x} overlaps the block {from:#x}..{to:#x}");
        }
        self.ids += 1;
        // SAFETY: ours.
        unsafe { pattern::fill(block, usable, self.ids) };
        self.ranges.insert(start, end);
        self.blocks.push(Block { start, usable, align, id: self.ids, user });
    }

    fn forget(&mut self, index: usize) -> Block {
        let block = self.blocks.swap_remove(index);
        self.ranges.remove(&block.start);
        block
    }

    /// Resizes a block; false: refused, and it is as before.
    pub fn realloc(&mut self, heap: usize, index: usize, size: usize) -> bool {
        let Block { start, usable, align, id, user } = self.blocks[index];
        let old = pointer(start);
        // SAFETY: in use; `on` has the heap's tenure.
        let new = unsafe {
            pattern::check(old, usable, id);
            self.on(heap, |allocator, heap| allocator.realloc(heap, old, size, align))
        };
        let new = new.unwrap_or(null_mut());
        if new.is_null() {
            assert!(self.faults, "refused: {size} bytes at {align}");
            self.refused += 1;
            // SAFETY: still in use.
            unsafe { pattern::check(old, usable, id) };
            return false;
        }
        // SAFETY: in use, and at least this long.
        unsafe { pattern::check(new, usable.min(size), id) };
        self.forget(index);
        let user = if new == old { user } else { self.user_of(heap) };
        self.admit(new, size, align, user);
        true
    }

    /// Frees a block.
    pub fn dealloc(&mut self, heap: usize, index: usize) {
        let Block { start, usable, id, .. } = self.blocks[index];
        let block = pointer(start);
        // SAFETY: in use, not used after.
        let freed = unsafe {
            pattern::check(block, usable, id);
            // So that what leaks out of a free block is not mistaken for its old contents.
            block.write_bytes(0xDD, usable.min(1 << 16));
            self.on(heap, |allocator, heap| allocator.dealloc(heap, block))
        };
        if freed.is_some() {
            self.forget(index);
        } else {
            assert!(self.faults, "no memory for a heap");
            // SAFETY: still in use.
            unsafe { pattern::fill(block, usable, id) };
        }
    }

    fn dealloc_many(&mut self, heap: usize, step: usize) {
        for index in (0..self.blocks.len()).rev().step_by(step.max(1)) {
            self.dealloc(heap, index);
        }
    }

    fn leave(&mut self, thread: usize) {
        let own = std::mem::replace(&mut self.threads[thread], null_mut());
        if !own.is_null() {
            // SAFETY: the played thread's own heap, not used after.
            as_thread(thread, || unsafe { self.allocator.park(own) });
        }
    }

    fn destroy(&mut self, user: usize) {
        let heap = std::mem::replace(&mut self.users[user], null_mut());
        if heap.is_null() {
            return;
        }
        for index in (0..self.blocks.len()).rev() {
            if self.blocks[index].user == Some(user) {
                let block = self.forget(index);
                // SAFETY: in use until now.
                unsafe { pattern::check(pointer(block.start), block.usable, block.id) };
            }
        }
        // SAFETY: the model forgot its blocks.
        as_thread(user, || unsafe { self.allocator.destroy_user_heap(heap) });
    }

    /// The figures of this moment.
    pub fn snapshot(&self) -> Snapshot {
        as_thread(0, || self.allocator.figures(nobody()))
    }

    /// Asserts what holds of the figures at any time.
    #[track_caller]
    pub fn check_figures(&self) -> Snapshot {
        let snapshot = self.snapshot();
        let Snapshot { allocated, active, dirty, clean, mapped, .. } = snapshot;
        assert!(allocated <= active && active <= mapped, "{allocated} {active} {mapped}");
        assert_eq!(active + dirty + clean, mapped);
        assert!(snapshot.peak_active >= active && snapshot.peak_dirty >= active + dirty);
        assert!(mapped <= self.mock.mapped(), "{mapped} bytes said to be mapped");
        let live: usize = self.blocks.iter().map(|block| block.usable).sum();
        assert!(live <= allocated, "{live} bytes live, {allocated} allocated");
        let large = self.blocks.iter().filter(|block| class(block.usable, block.align).is_none()).count();
        assert!(large as u64 <= snapshot.large_live);
        for class in &snapshot.classes {
            assert!(class.live <= class.capacity, "{class:?}");
        }
        snapshot
    }

    /// Checks the contents of all blocks.
    pub fn check_contents(&self) {
        for block in &self.blocks {
            // SAFETY: in use.
            unsafe { pattern::check(pointer(block.start), block.usable, block.id) };
        }
    }

    /// Frees everything and asserts that nothing is left.
    pub fn finish(mut self) {
        self.faults = false;
        self.mock.heal();
        self.check_contents();
        while !self.blocks.is_empty() {
            self.dealloc(self.blocks.len() % HEAPS, self.blocks.len() - 1);
        }
        // What is on its way home arrives, then every heap gives up what it holds.
        for heap in 0..THREADS {
            // SAFETY: `on` has the heap's tenure.
            self.on(heap, |allocator, heap| unsafe { allocator.flush_batches(heap) });
        }
        for heap in 0..HEAPS {
            if self.user_of(heap).is_none() {
                // SAFETY: as above.
                self.on(heap, |allocator, heap| unsafe { allocator.settle(heap, true) });
            }
        }
        (0..THREADS).for_each(|thread| self.leave(thread));
        (0..USERS).for_each(|user| self.destroy(user));
        // SAFETY: the empty heap is nobody's.
        unsafe { self.allocator.trim_all(nobody().cast(), 0) };
        let snapshot = self.check_figures();
        assert_eq!((snapshot.allocated, snapshot.active, snapshot.dirty), (0, 0, 0), "{snapshot:?}");
        assert_eq!((snapshot.large_live, snapshot.large_bytes, snapshot.orphans), (0, 0, 0));
        self.allocator.for_each_heap(|heap| {
            // SAFETY: one thread.
            assert!(!unsafe { Heap::is_unsettled(heap) });
        });
    }
}

/// The heap of a thread that has none.
pub fn nobody() -> *mut Heap {
    null_mut()
}

/// Runs `work` as the played thread of that index.
pub fn as_thread<R>(index: usize, work: impl FnOnce() -> R) -> R {
    Mock::as_thread((index + 2) * 16, work)
}

fn pointer(address: usize) -> *mut u8 {
    stratalloc_core::addr::ptr(address)
}

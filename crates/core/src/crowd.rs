//! S0 for a crowd: threads that have no heap of their own.
//!
//! A heap is worth its pages to a thread that allocates much. A server with a thread for each connection has a
//! thousand that allocate now and then, and each heap holds some pages of some spans that its thread does not use
//! just now. So where [`own_heaps`](crate::options::Options::own_heaps) threads have heaps (two for each CPU, at least
//! [`OWN`]), further ones begin with less:
//!
//! * a *CPU heap* is a heap that the threads on one CPU enter in turn, by its tenure, as they do with the late heap.
//!   One that was interrupted inside keeps it; the others use the next CPU's meanwhile, and have a heap of their own
//!   at last, so a signal handler does not wait for ever for the thread that it interrupted;
//! * a *pocket* is a front with a few blocks at hand, of any heap's, so that not each call enters: an allocation that
//!   finds none takes some more of its class along, and frees gather until they are 2 KiB.
//!
//! A thread that comes in haste over and over is *busy* and gets a heap of its own.
//!
//! What a pocket holds counts as in use for the spans' owners. A block of a first-class heap never goes into one: it
//! may be destroyed as a whole.
//!
//! (tcmalloc has its caches for each CPU without a lock, by restartable sequences: "rseq". The tenure costs two
//! exchanges, which some calls share, and it serves every system and lets anyone settle an idle CPU's heap.)

use crate::addr::addr;
use crate::allocator::Allocator;
use crate::class::{FINE_CLASSES, size_of_class};
use crate::heap::{Front, Heap, Role, alloc_class_or, pop};
use crate::os::Os;
use crate::span::{Block, Kind};
use crate::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use core::ptr::null_mut;

/// Threads that get heaps of their own at once, on however few CPUs.
pub const OWN: u64 = 16;
/// As many for each CPU, where that is more.
const OWN_PER_CPU: u64 = 2;
/// CPUs that have heaps of their own; further ones share these.
pub const CPUS: usize = 64;
/// Heaps that a thread tries whose CPU's is in use, that one included.
const REACH: usize = 4;
/// How often it tries them all before it wants a heap of its own.
const ROUNDS: usize = 8;
/// After the first few it lets others run, then it sleeps for some milliseconds: of a thousand threads that can run,
/// the one that is inside has its turn behind all those that look for a heap.
const AWAKE: usize = 2;
/// Classes of blocks that a pocket takes: up to 1 KiB.
const POCKET_CLASSES: usize = FINE_CLASSES;
/// Bytes of blocks that an allocation takes along.
const FILL: usize = 512;
/// Blocks that it takes along at most.
const FILL_BLOCKS: usize = 8;
/// Bytes of freed blocks at which a pocket is emptied.
const ROOM: u32 = 2048;
/// A free in so many is checked for a block that the pocket holds already; and so are as many first ones.
const SAMPLE: u32 = 32;
/// Entries between two looks at the clock. They came in haste if that is at most [`HASTE`] ms, by the coarse clock.
const ENTRIES: u32 = 128;
const HASTE: u32 = 4;
/// A thread is busy after so many times in haste, of which each time not in haste takes [`SLOW`] back. What is over sooner,
/// a burst at the start, is no reason to hold a heap for ever; and what takes long because threads wait for CPUs is none
/// to hold none.
const LONG: u32 = 8;
const SLOW: u32 = 4;
/// [`Heap::warmth`] of a CPU heap that was just entered: how often the purge thread looks at it before it is settled.
const WARM: u8 = 2;

/// What a thread has that has no heap; see the module. One thread's at a time.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Pocket {
    /// First: a thread's slot refers to it.
    pub front: Front,
    /// Classes of which a list may hold blocks, a bit each.
    filled: u32,
    /// Bytes freed into it since it was emptied.
    freed: u32,
    /// Frees into it.
    frees: u32,
    /// Entries to CPU heaps since `since`, ms.
    entries: u32,
    since: u32,
    /// How far it is on its way to be busy.
    haste: u32,
    /// Next in the node pool's list.
    pub(crate) next: *mut Pocket,
    /// Next of all pockets ever made.
    next_pocket: *mut Pocket,
}

// SAFETY: pockets are reached through raw pointers; the module says who may touch one.
unsafe impl Sync for Pocket {}

/// The CPU heaps and pockets of an allocator. All zero when it has none.
#[derive(Debug)]
pub(crate) struct Crowd {
    heaps: [AtomicPtr<Heap>; CPUS],
    /// All pockets ever made.
    pockets: AtomicPtr<Pocket>,
}

impl Crowd {
    pub(crate) const fn new() -> Self {
        Self { heaps: [const { AtomicPtr::new(null_mut()) }; CPUS], pockets: AtomicPtr::new(null_mut()) }
    }
}

impl<O: Os> Allocator<O> {
    /// What a thread has from its first call on: a heap, or in a crowd a pocket. Null: no memory.
    #[cold]
    pub fn adopt_front(&self) -> *mut Front {
        if self.count_own() { self.adopt_counted().cast() } else { self.adopt_pocket().cast() }
    }

    /// Counts the calling thread as one with a heap of its own. False: enough threads have one. The first time that this
    /// may depend on the number of CPUs, that is asked for.
    fn count_own(&self) -> bool {
        self.recount_own(|own| (!self.is_enough(own)).then_some(own + 1))
    }

    fn is_enough(&self, own: u64) -> bool {
        let enough = match self.config.own_heaps() {
            0 if own < OWN => OWN,
            0 => OWN.max(self.cpus().saturating_mul(OWN_PER_CPU)),
            heaps => heaps,
        };
        own >= enough && !self.config.count()
    }

    /// A pocket for the calling thread. Null: no memory.
    pub fn adopt_pocket(&self) -> *mut Pocket {
        let node = self.node_here();
        let waiting = match self.node(node).lock(&self.os, self.os.thread()) {
            Some(mut stores) => stores.pool.take_pocket(),
            None => return null_mut(),
        };
        let pocket = if waiting.is_null() { self.new_pocket(node) } else { waiting };
        if !pocket.is_null() {
            // SAFETY: the calling thread's from here on.
            unsafe {
                (*pocket).since = self.os.now_ms() as u32;
                (*pocket).haste = 0;
                (*pocket).entries = 0;
                (*pocket).frees = 0;
            }
            self.counters.pockets.fetch_add(1, Ordering::Relaxed);
        }
        pocket
    }

    fn new_pocket(&self, node: usize) -> *mut Pocket {
        let pocket: *mut Pocket = self.alloc_meta(node, size_of::<Pocket>(), align_of::<Pocket>()).cast();
        if pocket.is_null() {
            return pocket;
        }
        // SAFETY: zeroed memory of ours; zero is valid for every field.
        unsafe {
            (*pocket).front.role = Role::Pocket;
            let mut first = self.crowd.pockets.load(Ordering::Relaxed);
            loop {
                (*pocket).next_pocket = first;
                // Release: whoever forks finds the link written.
                match self.crowd.pockets.compare_exchange_weak(first, pocket, Ordering::Release, Ordering::Relaxed)
                {
                    Ok(_) => return pocket,
                    Err(now) => first = now,
                }
            }
        }
    }

    /// Takes a pocket back from a thread that leaves, or has a heap now.
    ///
    /// # Safety
    /// The pocket is the calling thread's, which does not use it any more.
    pub unsafe fn park_pocket(&self, pocket: *mut Pocket) {
        // SAFETY: the caller's pocket.
        unsafe {
            self.empty_pocket(pocket);
            self.counters.pockets.fetch_sub(1, Ordering::Relaxed);
            self.put_pocket(pocket);
        }
    }

    /// Puts a pocket into the node pool, with what it holds. Without the lock (see [`crate::lock`]) it is lost.
    unsafe fn put_pocket(&self, pocket: *mut Pocket) {
        let node = self.node_here();
        if let Some(mut stores) = self.node(node).lock(&self.os, self.os.thread()) {
            // SAFETY: as above.
            unsafe { stores.pool.put_pocket(pocket) };
        }
    }

    // CPU heaps.

    /// Takes the tenure of a CPU heap; [`leave_cpu_heap`](Self::leave_cpu_heap) follows. Null: none can be had now.
    ///
    /// One exchange in the ordinary case.
    #[inline]
    pub fn enter_cpu_heap(&self) -> *mut Heap {
        let heap = self.crowd.heaps[self.os.cpu() % CPUS].load(Ordering::Acquire);
        // SAFETY: heaps are never unmapped; after `try_enter` it is ours.
        unsafe {
            if !heap.is_null() && (*heap).tenure.try_enter() {
                (*heap).warmth = WARM;
                return heap;
            }
        }
        self.enter_any_cpu_heap()
    }

    #[cold]
    fn enter_any_cpu_heap(&self) -> *mut Heap {
        for round in 0..ROUNDS {
            let here = self.os.cpu();
            for next in 0..REACH {
                let place = &self.crowd.heaps[(here + next) % CPUS];
                let mut heap = place.load(Ordering::Acquire);
                // One more than there are CPUs only where it did not help to wait.
                if heap.is_null() && (next == 0 || round > 1) {
                    heap = self.make_cpu_heap(place);
                }
                // SAFETY: as above.
                unsafe {
                    if !heap.is_null() && (*heap).tenure.try_enter() {
                        (*heap).warmth = WARM;
                        return heap;
                    }
                }
            }
            if round < AWAKE {
                self.os.yield_now();
            } else {
                self.os.wait(&AtomicU32::new(0), 0);
            }
        }
        null_mut()
    }

    fn make_cpu_heap(&self, place: &AtomicPtr<Heap>) -> *mut Heap {
        let heap = self.new_heap(self.node_here(), Role::Cpu);
        if heap.is_null() {
            return heap;
        }
        // SAFETY: ours alone so far.
        unsafe { self.leave(heap) };
        match place.compare_exchange(null_mut(), heap, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => heap,
            Err(other) => {
                // SAFETY: nobody else knows it.
                unsafe { self.retire_heap(heap) };
                other
            }
        }
    }

    /// Gives the tenure of a CPU heap back.
    ///
    /// # Safety
    /// The caller has it from [`enter_cpu_heap`](Self::enter_cpu_heap).
    #[inline]
    pub unsafe fn leave_cpu_heap(&self, heap: *mut Heap) {
        // SAFETY: the caller's heap.
        unsafe { self.leave(heap) };
    }

    /// Runs `work` with the tenure of each CPU heap that nobody is inside.
    fn for_each_cpu_heap(&self, mut work: impl FnMut(*mut Heap)) {
        for place in &self.crowd.heaps {
            let heap = place.load(Ordering::Acquire);
            // SAFETY: heaps are never unmapped; between `try_enter` and `leave` it is ours.
            unsafe {
                if !heap.is_null() && (*heap).tenure.try_enter() {
                    work(heap);
                    self.leave(heap);
                }
            }
        }
    }

    /// Has CPU heaps give back what they do not use.
    pub(crate) fn settle_crowd(&self) {
        // First what waits in one for another.
        // SAFETY: a heap whose tenure we have.
        self.for_each_cpu_heap(|heap| unsafe { self.flush_batches(heap) });
        // SAFETY: as above.
        self.for_each_cpu_heap(|heap| unsafe {
            (*heap).warmth = 0;
            self.settle(heap, false);
            self.dig_all(heap);
        });
    }

    /// As [`settle_crowd`](Self::settle_crowd), for those that no thread entered between the last two calls. True: others
    /// are left.
    pub(crate) fn settle_idle_crowd(&self) -> bool {
        let mut left = false;
        // SAFETY: as above.
        self.for_each_cpu_heap(|heap| unsafe {
            if (*heap).warmth == WARM {
                // What waits here for another heap is there before that one is settled.
                self.flush_batches(heap);
            }
            if (*heap).warmth == 1 {
                self.settle(heap, false);
                self.dig_all(heap);
            }
            (*heap).warmth = (*heap).warmth.saturating_sub(1);
            left |= (*heap).warmth > 0;
        });
        left
    }

    // Pockets.

    /// Notes that a pocket's thread enters a CPU heap. True: it is busy, and had better have a heap of its own.
    ///
    /// # Safety
    /// The pocket is the calling thread's.
    #[inline]
    pub unsafe fn is_busy(&self, pocket: *mut Pocket) -> bool {
        // SAFETY: the caller's pocket.
        unsafe {
            (*pocket).entries += 1;
            (*pocket).entries >= ENTRIES && self.look_at_clock(pocket)
        }
    }

    #[cold]
    unsafe fn look_at_clock(&self, pocket: *mut Pocket) -> bool {
        let now = self.os.now_ms() as u32;
        // SAFETY: the caller's pocket.
        unsafe {
            let hasty = now.wrapping_sub((*pocket).since) <= HASTE;
            (*pocket).haste = if hasty { (*pocket).haste + 1 } else { (*pocket).haste.saturating_sub(SLOW) };
            (*pocket).since = now;
            (*pocket).entries = 0;
            (*pocket).haste >= LONG
        }
    }

    /// A block of `class` from a CPU heap, and some more of it into the pocket, whose list of it is empty. Null: none of
    /// that size goes into pockets, or no CPU heap or no memory can be had now.
    ///
    /// # Safety
    /// The pocket is the calling thread's; `class` is below `CLASSES`.
    pub unsafe fn fill_pocket(&self, pocket: *mut Pocket, class: usize) -> *mut u8 {
        if class >= POCKET_CLASSES {
            return null_mut();
        }
        let heap = self.enter_cpu_heap();
        if heap.is_null() {
            return null_mut();
        }
        // SAFETY: the caller's pocket, and a heap whose tenure we have.
        unsafe {
            let front = &raw mut (*heap).front;
            let block = alloc_class_or(front, class, || self.refill(heap, class).0);
            if !block.is_null() {
                let more = (FILL / size_of_class(class)).clamp(1, FILL_BLOCKS) - 1;
                let mut list = (*pocket).front.lists[class];
                for _ in 0..more {
                    // Memory that nobody used yet is not touched for that.
                    let block = pop(front, class);
                    if block.is_null() {
                        break;
                    }
                    Block::link(block, list);
                    list = block;
                }
                (*pocket).front.lists[class] = list;
                (*pocket).filled |= 1 << class;
            }
            self.leave_cpu_heap(heap);
            block
        }
    }

    /// Frees a block into the pocket. False: it does not go into pockets, or is no block, and nothing was done.
    ///
    /// # Safety
    /// The pocket is the calling thread's; `block` is null or below [`ADDRESS_END`](crate::directory::ADDRESS_END) and, if
    /// it is a block of this allocator, in use.
    pub unsafe fn free_into_pocket(&self, pocket: *mut Pocket, block: *mut u8) -> bool {
        // SAFETY: the caller's pocket; when the pointer is a block in use, its span is alive.
        unsafe {
            let span = self.directory.lookup(addr(block));
            let class = (*span).class as usize;
            if (*span).kind != Kind::Small || class >= POCKET_CLASSES || !(*span).is_small_block(addr(block)) {
                return false;
            }
            if Heap::is_users(span) {
                return false;
            }
            let list: *mut *mut Block = &raw mut (*pocket).front.lists[class];
            let link = block.cast::<Block>();
            (*pocket).frees = (*pocket).frees.wrapping_add(1);
            let frees = (*pocket).frees;
            if *list == link || (frees < SAMPLE || frees.is_multiple_of(SAMPLE)) && holds(*list, link) {
                self.double_free(addr(block));
                return true;
            }
            Block::link(link, *list);
            *list = link;
            (*pocket).filled |= 1 << class;
            (*pocket).freed += size_of_class(class) as u32;
            if (*pocket).freed >= ROOM {
                self.empty_pocket(pocket);
            }
            true
        }
    }

    /// Frees all that a pocket holds, if a CPU heap can be had.
    ///
    /// # Safety
    /// The pocket is the calling thread's.
    pub unsafe fn empty_pocket(&self, pocket: *mut Pocket) {
        // SAFETY: the caller's pocket; its blocks are free as far as the program knows, in use for their owners.
        unsafe {
            if (*pocket).filled == 0 {
                return;
            }
            let heap = self.enter_cpu_heap();
            if heap.is_null() {
                return;
            }
            (*pocket).entries += 1;
            (*pocket).freed = 0;
            while (*pocket).filled != 0 {
                let class = (*pocket).filled.trailing_zeros() as usize;
                loop {
                    let block = pop(&raw mut (*pocket).front, class);
                    if block.is_null() {
                        break;
                    }
                    self.dealloc(heap, block.cast());
                }
                (*pocket).filled &= !(1 << class);
            }
            let keeps = self.keeps_much(&*heap);
            self.leave_cpu_heap(heap);
            if keeps && self.purger.load(Ordering::Relaxed) == 0 && self.os.is_threaded() {
                self.start_purger();
            }
        }
    }

    /// In a fork's child: the pockets of the threads that are not here any more wait for others, with what they hold; and
    /// a CPU heap in the middle of something was buried: its place is free.
    ///
    /// # Safety
    /// The process has this one thread, whose front is `own`; no node's lock is its.
    pub(crate) unsafe fn crowd_in_child(&self, own: *mut Front) {
        // SAFETY: alone in the process.
        unsafe {
            for place in &self.crowd.heaps {
                let heap = place.load(Ordering::Relaxed);
                if !heap.is_null() && (*heap).tenure.is_dead() {
                    place.store(null_mut(), Ordering::Relaxed);
                }
            }
            let mut living = 0;
            self.for_each_node(|_, node| node.alone().pool.forget_pockets());
            let mut pocket = self.crowd.pockets.load(Ordering::Relaxed);
            while !pocket.is_null() {
                if pocket.cast::<Front>() == own {
                    living = 1;
                } else {
                    self.put_pocket(pocket);
                }
                pocket = (*pocket).next_pocket;
            }
            self.counters.pockets.store(living, Ordering::Relaxed);
        }
    }
}

/// True when `block` is in the list.
///
/// # Safety
/// A list of the caller's pocket.
unsafe fn holds(mut list: *mut Block, block: *mut Block) -> bool {
    // SAFETY: the caller's list.
    unsafe {
        while !list.is_null() && list != block {
            list = (*list).next;
        }
    }
    !list.is_null()
}

const _: () = assert!(POCKET_CLASSES <= u32::BITS as usize && size_of::<Pocket>() <= 640);

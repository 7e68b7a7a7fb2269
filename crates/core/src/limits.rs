//! What the process may use, and what follows from it: the soft limit, smaller caches.
//!
//! The system's limits ([`Os::limits`]) are read when 16 MiB are mapped, never
//! before, so that small programs make no call for them; and again where memory is mapped or purged and the
//! last reading is older than two seconds, since limits change while a process runs.
//!
//! **The soft limit** is the option `soft_limit`, or the tighter of `memory.high` and seven eighths of
//! `memory.max`. It is compared with what the allocator holds in memory: slices in spans and dirty ones. (A
//! cgroup counts more: other processes, the page cache, stacks, code; and less: slices of spans that were not
//! touched yet.) Each page heap has its share of it in its figures, and what it holds is compared under its
//! lock, where slices are taken and put back:
//!
//! ```text
//!                  a run is taken                       the thread is out of the allocator
//! below ──beyond──► purge all dirty ──still beyond──► due ──► trim heaps ──still beyond──► said
//!   ▲                                                                              callback │
//!   └──────────────────── below seven eighths of the soft limit ◄───────────────────────────┘
//! ```
//!
//! Near the limit at most half of what is left below it may be dirty, beyond it a sixty-fourth of it; there dirty
//! memory is purged again at each sixteenth that use grows. Nothing is refused: that is the option `limit`.
//!
//! **Caches**: a heap waits parked for the next thread, 8 of them for each CPU; empty spans kept by all
//! heaps are an eighth of the soft limit at most, and batches shrink with them.
//!
//! Locks: a *look* (reading, purging, sharing out) is one thread's at a time; who finds another at it goes
//! on. The callback is called outside all locks, with no heap entered, and by one thread at a time. Both are
//! words that name the thread, so that a fork's child can tell its own from those of threads that are gone.

use crate::allocator::Allocator;
use crate::class::SLICE;
use crate::heap::Front;
use crate::os::{Bound, Os, Source, SystemLimits};
use crate::page_heap::PageFigures;
use crate::stats::Limits as Effective;
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use core::ptr::null_mut;

/// Slices mapped before the system is asked for limits: 16 MiB.
const FIRST: usize = (16 << 20) / SLICE;
/// How old a reading may be, ms, where it would be read again.
const FRESH_MS: u64 = 2000;
/// Heaps that wait parked for each CPU.
const PARKED_PER_CPU: u64 = 8;
/// Bytes of empty spans that a heap keeps, at most.
const KEPT: usize = 512 * 1024;
/// Part of the soft limit that may stay dirty although nothing is left below it: a sixty-fourth.
const FLOOR: usize = 64;
/// Slices, at least, by which use grows between two purges beyond the soft limit: 1 MiB.
const STEP: usize = (1 << 20) / SLICE;

/// A callback for the soft limit: what is held and the limit, bytes, and the argument given with it.
pub type Callback = unsafe extern "C" fn(usize, usize, *mut u8);

/// Below the soft limit, or purging sufficed.
const BELOW: u32 = 0;
/// Beyond it: the callback is due.
const DUE: u32 = 1;
/// Beyond it, and said so.
const SAID: u32 = 2;

/// The state; all zero at first. Everything is relaxed, but for the two words that exclude others.
#[derive(Debug)]
pub(crate) struct Limits {
    /// The thread that looks; 0: nobody.
    looking: AtomicUsize,
    /// The thread that calls or changes the callback; 0: nobody.
    calling: AtomicUsize,
    /// When the system was asked, ms, plus 1; 0: never.
    read_at: AtomicU64,
    /// What it said, each value's complement, and the sources.
    cpus: AtomicU64,
    memory_max: AtomicU64,
    memory_high: AtomicU64,
    sources: AtomicU32,
    /// Bytes of the soft limit; 0: none.
    soft: AtomicUsize,
    soft_source: AtomicU32,
    /// Difference to [`KEPT`].
    kept: AtomicUsize,
    state: AtomicU32,
    /// In state `DUE`: the thread that crossed the limit.
    due: AtomicUsize,
    crossings: AtomicU64,
    callback: AtomicPtr<()>,
    argument: AtomicPtr<u8>,
}

impl Limits {
    /// Nothing read, no limit.
    pub(crate) const fn new() -> Self {
        Self {
            looking: AtomicUsize::new(0),
            calling: AtomicUsize::new(0),
            read_at: AtomicU64::new(0),
            cpus: AtomicU64::new(0),
            memory_max: AtomicU64::new(0),
            memory_high: AtomicU64::new(0),
            sources: AtomicU32::new(0),
            soft: AtomicUsize::new(0),
            soft_source: AtomicU32::new(0),
            kept: AtomicUsize::new(0),
            state: AtomicU32::new(BELOW),
            due: AtomicUsize::new(0),
            crossings: AtomicU64::new(0),
            callback: AtomicPtr::new(null_mut()),
            argument: AtomicPtr::new(null_mut()),
        }
    }

    fn set_system(&self, limits: SystemLimits) {
        let SystemLimits { cpus, memory_max, memory_high } = limits;
        let words = [(&self.cpus, cpus), (&self.memory_max, memory_max), (&self.memory_high, memory_high)];
        let mut sources = 0;
        for (at, (word, bound)) in words.into_iter().enumerate() {
            word.store(!bound.value, Ordering::Relaxed);
            sources |= (bound.source as u32) << (8 * at);
        }
        self.sources.store(sources, Ordering::Relaxed);
    }

    fn system(&self) -> SystemLimits {
        let sources = self.sources.load(Ordering::Relaxed);
        let bound = |word: &AtomicU64, at: u32| Bound {
            value: !word.load(Ordering::Relaxed),
            source: Source::from_number((sources >> (8 * at)) as u8),
        };
        SystemLimits {
            cpus: bound(&self.cpus, 0),
            memory_max: bound(&self.memory_max, 1),
            memory_high: bound(&self.memory_high, 2),
        }
    }

    /// Slices of the soft limit, at least 1; 0: there is none.
    fn soft_slices(&self) -> usize {
        match self.soft.load(Ordering::Relaxed) {
            0 => 0,
            bytes => (bytes / SLICE).max(1),
        }
    }

    /// Bytes of empty spans that one heap may keep.
    pub(crate) fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed) ^ KEPT
    }

    /// True when [`Allocator::at_soft_limit`] has something to do for some thread.
    #[inline(always)]
    pub fn is_due(&self) -> bool {
        self.state.load(Ordering::Relaxed) == DUE
    }

    /// In a fork's child: what threads were at that are not here is given up.
    pub(crate) fn in_child(&self, thread: usize) {
        for word in [&self.looking, &self.calling] {
            if word.load(Ordering::Relaxed) != thread {
                word.store(0, Ordering::Relaxed);
            }
        }
        if self.is_due() && self.due.load(Ordering::Relaxed) != thread {
            self.state.store(BELOW, Ordering::Relaxed);
        }
    }

    /// Makes `word` the calling thread's; false: it is another's, or already its own.
    fn enter(word: &AtomicUsize, thread: usize) -> bool {
        // Acquire pairs with the Release in `leave`.
        word.compare_exchange(0, thread, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn leave(word: &AtomicUsize) {
        word.store(0, Ordering::Release);
    }
}

/// The soft limit that the options and the system make: bytes and who set it.
fn soft_limit(option: usize, follows: bool, system: &SystemLimits) -> Bound {
    if option != 0 {
        return Bound { value: option as u64, source: Source::Option };
    }
    if !follows {
        return Bound::NONE;
    }
    let max = system.memory_max;
    let share = if max.is_some() { Bound { value: max.value - max.value / 8, ..max } } else { max };
    system.memory_high.min(share)
}

/// A page heap's share of the soft limit, in slices; all 0: there is no such limit. Part of its figures.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// What it may hold: slices in spans and dirty ones.
    pub soft: usize,
    /// Beyond this, a look is due.
    pub above: usize,
    /// Below this, a look is due.
    pub below: usize,
}

impl Share {
    /// No soft limit.
    pub const NONE: Share = Share { soft: 0, above: 0, below: 0 };
}

impl PageFigures {
    fn in_memory(&self) -> usize {
        self.active + self.dirty
    }

    /// True when a taken run makes a look due.
    pub(crate) fn is_beyond(&self) -> bool {
        self.share.above != 0 && self.in_memory() > self.share.above
    }

    /// True when a run that was put back makes a look due.
    pub(crate) fn is_back(&self) -> bool {
        self.in_memory() < self.share.below
    }

    /// How many slices may stay dirty of a budget of `budget`, where `least` would in any case.
    pub(crate) fn under_soft_limit(&self, budget: usize, least: usize) -> usize {
        let soft = self.share.soft;
        if soft == 0 {
            return budget;
        }
        let left = soft.saturating_sub(self.active) / 2;
        budget.min(left.max(least.min(soft / FLOOR)))
    }
}

impl<O: Os> Allocator<O> {
    /// True when the system's limits are to be read (again). For paths that make system calls anyway.
    pub(crate) fn is_reading_due(&self) -> bool {
        if !self.config.follow_cgroup() || self.counters.slices.load(Ordering::Relaxed) < FIRST {
            return false;
        }
        let read_at = self.limits.read_at.load(Ordering::Relaxed);
        read_at == 0 || self.os.now_ms() >= read_at + FRESH_MS
    }

    /// After memory was mapped: looks if limits are to be read, or shared out to a node that may be new.
    pub(crate) fn grown(&self) {
        if self.limits.soft_slices() != 0 || self.is_reading_due() {
            self.look(false);
        }
    }

    /// Reads limits that are not fresh, purges what is beyond the soft limit, and shares it out. With
    /// `calls`: the calling thread comes by [`at_soft_limit`](Self::at_soft_limit) soon.
    ///
    /// No lock is held, the calling thread may have entered a heap. Another thread that looks already, or the
    /// same one in a signal handler: nothing is done.
    #[cold]
    #[inline(never)]
    pub(crate) fn look(&self, calls: bool) {
        let thread = self.os.thread();
        if !Limits::enter(&self.limits.looking, thread) {
            return;
        }
        self.read_limits(false);
        let state = &self.limits.state;
        let soft = self.limits.soft_slices();
        if soft != 0 && self.in_memory() > soft {
            self.trim(0);
            if calls && self.in_memory() > soft && state.load(Ordering::Relaxed) != SAID {
                self.limits.due.store(thread, Ordering::Relaxed);
                state.store(DUE, Ordering::Relaxed);
            }
        } else if self.in_memory() < soft - soft / 8 || soft == 0 {
            state.store(BELOW, Ordering::Relaxed);
        }
        self.share_out();
        Limits::leave(&self.limits.looking);
    }

    /// After a change of options, or to know now: reads the limits if the options want them and `read`
    /// says so, and puts what follows in force. Not in a signal handler that interrupted the allocator.
    #[cold]
    pub fn refresh_limits(&self, read: bool) {
        if Limits::enter(&self.limits.looking, self.os.thread()) {
            self.read_limits(read);
            self.share_out();
            Limits::leave(&self.limits.looking);
        }
    }

    /// Reads limits that are not fresh (or in any case: `now`); works out the soft limit and the caches.
    fn read_limits(&self, now: bool) {
        let follows = self.config.follow_cgroup();
        if !follows {
            self.limits.set_system(SystemLimits::default());
            self.limits.read_at.store(0, Ordering::Relaxed);
        } else if now || self.is_reading_due() {
            let time = self.os.now_ms();
            self.limits.set_system(self.os.limits());
            self.limits.read_at.store(time + 1, Ordering::Relaxed);
        }
        let soft = soft_limit(self.config.soft_limit(), follows, &self.limits.system());
        let bytes = if soft.is_some() { usize::try_from(soft.value).unwrap_or(usize::MAX).max(1) } else { 0 };
        self.limits.soft.store(bytes, Ordering::Relaxed);
        self.limits.soft_source.store(soft.source as u32, Ordering::Relaxed);
        let heaps = self.counters.heaps.load(Ordering::Relaxed).max(1) as usize;
        let kept = if bytes == 0 { KEPT } else { (bytes / 8 / heaps).min(KEPT) };
        self.limits.kept.store(kept ^ KEPT, Ordering::Relaxed);
    }

    /// CPUs that the process may use at a time, read if they never were; 0 where they are not known.
    pub(crate) fn cpus(&self) -> u64 {
        if self.limits.read_at.load(Ordering::Relaxed) == 0 && self.config.follow_cgroup() {
            self.refresh_limits(true);
        }
        let cpus = self.limits.system().cpus;
        if cpus.is_some() { cpus.value } else { 0 }
    }

    /// Slices in spans and dirty ones, of all nodes.
    fn in_memory(&self) -> usize {
        let mut held = 0;
        self.for_each_node(|index, _| {
            held += self.with_pages(index, |pages| pages.figures.in_memory()).unwrap_or(0);
        });
        held
    }

    /// Gives each node its share of the soft limit: what it holds, and an equal part of what is left (or
    /// too much).
    fn share_out(&self) {
        let soft = self.limits.soft_slices();
        let mut nodes = 0;
        self.for_each_node(|_, _| nodes += 1);
        let total = self.in_memory();
        let state = self.limits.state.load(Ordering::Relaxed);
        let (left, over) = (soft.saturating_sub(total) / nodes, total.saturating_sub(soft).div_ceil(nodes));
        let low = soft - soft / 8;
        self.for_each_node(|index, _| {
            let _ = self.with_pages(index, |pages| {
                let held = pages.figures.in_memory();
                if soft == 0 {
                    pages.figures.share = Share::NONE;
                    return;
                }
                let share = (held + left).saturating_sub(over).max(1);
                let above = match state {
                    // Found by a thread that does not come by: the next one that takes a run does.
                    BELOW if over > 0 => 1,
                    _ if over > 0 => held + (soft / 16 / nodes).max(STEP),
                    _ => share,
                };
                let below = if state == SAID { held.saturating_sub(total.saturating_sub(low) / nodes) } else { 0 };
                pages.figures.share = Share { soft: share, above, below };
            });
        });
    }

    /// Heaps that may wait parked.
    pub(crate) fn parked_limit(&self) -> u64 {
        let cpus = self.limits.system().cpus;
        let most = if cpus.is_some() { cpus.value.saturating_mul(PARKED_PER_CPU) } else { u64::MAX };
        self.config.parked_heaps().min(most)
    }

    /// To be called where a thread leaves the allocator and [`is_soft_limit_due`](Self::is_soft_limit_due):
    /// if it crossed the soft limit, gives back what it and parked heaps do not use, and where that is not
    /// enough, calls the callback.
    ///
    /// # Safety
    /// `own` is the front of the calling thread's heap or pocket, [`Front::empty`] or null; the thread is not inside a
    /// heap and holds no lock.
    #[cold]
    #[inline(never)]
    pub unsafe fn at_soft_limit(&self, own: *mut Front) {
        let thread = self.os.thread();
        let limits = &self.limits;
        if limits.due.load(Ordering::Relaxed) != thread || !Limits::enter(&limits.calling, thread) {
            return;
        }
        if limits.state.compare_exchange(DUE, SAID, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            // SAFETY: the caller's heap.
            unsafe { self.trim_all(own, 0) };
            let (held, soft) = (self.in_memory(), limits.soft_slices());
            let beyond = soft != 0 && held > soft;
            if !beyond {
                limits.state.store(BELOW, Ordering::Relaxed);
            }
            self.refresh_limits(false);
            if beyond {
                limits.crossings.fetch_add(1, Ordering::Relaxed);
                let callback = limits.callback.load(Ordering::Relaxed);
                let argument = limits.argument.load(Ordering::Relaxed);
                if !callback.is_null() {
                    // SAFETY: `on_soft_limit` stored a `Callback`.
                    let callback: Callback = unsafe { core::mem::transmute(callback) };
                    // SAFETY: the promise given to `on_soft_limit`; the thread is out of the allocator.
                    unsafe { callback(held * SLICE, limits.soft.load(Ordering::Relaxed), argument) };
                }
            }
        }
        Limits::leave(&limits.calling);
    }

    /// True when [`at_soft_limit`](Self::at_soft_limit) has something to do, for this or another thread. One
    /// load.
    #[inline(always)]
    pub fn is_soft_limit_due(&self) -> bool {
        self.limits.is_due()
    }

    /// Sets what is called beyond the soft limit, or nothing. Waits while another thread is in the callback:
    /// afterwards the old one runs no more. May be called from inside it.
    ///
    /// # Safety
    /// The callback may be called on any thread, with that argument, until another is set; it does not
    /// unwind.
    pub unsafe fn on_soft_limit(&self, callback: Option<Callback>, argument: *mut u8) {
        let (thread, calling) = (self.os.thread(), &self.limits.calling);
        let inside = calling.load(Ordering::Relaxed) == thread;
        while !inside && !Limits::enter(calling, thread) {
            self.os.yield_now();
        }
        let callback = callback.map_or(null_mut(), |callback| callback as *mut ());
        self.limits.callback.store(callback, Ordering::Relaxed);
        self.limits.argument.store(argument, Ordering::Relaxed);
        if !inside {
            Limits::leave(calling);
        }
    }

    /// What is in force, for statistics.
    pub fn effective_limits(&self) -> Effective {
        let SystemLimits { cpus, memory_max, memory_high } = self.limits.system();
        let soft = self.limits.soft.load(Ordering::Relaxed);
        let source = Source::from_number(self.limits.soft_source.load(Ordering::Relaxed) as u8);
        Effective {
            cpus,
            memory_max,
            memory_high,
            soft_limit: if soft == 0 { Bound::NONE } else { Bound { value: soft as u64, source } },
            soft_crossings: self.limits.crossings.load(Ordering::Relaxed),
            parked_limit: self.parked_limit(),
            kept_limit: self.limits.kept() as u64,
        }
    }
}

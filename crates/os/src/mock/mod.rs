//! A mock operating system for tests: real memory, chosen faults, every call counted.
//!
//! [`Mock`] implements [`Os`] over memory of the host, with a page size of its own. Clones are handles
//! of one system, so that a test keeps one and gives the other to the code under test:
//!
//! ```
//! use stratalloc_core::os::Os;
//! use stratalloc_os::mock::{Call, Mock};
//!
//! let mock = Mock::new(16 << 10);
//! let under_test = mock.clone();
//! mock.fail_nth(Call::Map, 2);
//! let first = under_test.map(64 << 10, 64 << 10).unwrap();
//! assert!(under_test.map(64 << 10, 64 << 10).is_none());
//! assert_eq!(mock.count(Call::Map), 2);
//! // SAFETY: mapped above, not used again.
//! assert!(unsafe { under_test.unmap(first, 64 << 10) });
//! mock.assert_all_unmapped();
//! ```
//!
//! * **Checks**: ranges that are not whole pages, or were not mapped here, panic; so does
//!   [`Os::abort`], with what was written through [`Os::write_err`] before, so that
//!   `#[should_panic(expected = …)]` and `catch_unwind` can look at messages.
//! * **Faults**: [`fail_nth`](Mock::fail_nth), [`fail_after`](Mock::fail_after),
//!   [`limit`](Mock::limit). A failed purge scribbles over the range, as its contract allows.
//! * **Time** stands still until the test moves it; the purge thread is a pair of pointers that the
//!   test calls.
//!
//! Unmapped ranges become inaccessible at once where the host can do that (Unix), and their addresses
//! are not reused before the whole mapping is gone. Everything is given back when the last handle is
//! dropped. The mock uses std: its own locks and lists come from the program's global allocator.

mod backing;
mod plan;

pub use plan::Call;

use backing::{Backing, Ranges};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use plan::Plan;
use std::cell::Cell;
use std::string::String;
use std::sync::{Arc, Mutex, MutexGuard};
use std::vec::Vec;
use stratalloc_core::os::{Advice, HugeSystem, Moved, Os, SystemLimits};
use stratalloc_core::sync::atomic::AtomicU32;

/// A function and its argument, as [`Os::spawn_purger`] took them.
type Purger = (unsafe extern "C" fn(*mut u8) -> u32, usize);

/// One mock system; see the [module](self). Clones are handles of the same system.
#[derive(Clone)]
pub struct Mock(Arc<Inner>);

struct Inner {
    page: usize,
    plan: Plan,
    clock: AtomicU64,
    /// Nanoseconds that the fine clock is ahead, and how many more each look at it takes.
    fine: AtomicU64,
    step: AtomicU64,
    threaded: AtomicBool,
    nodes: AtomicUsize,
    state: Mutex<State>,
}

/// What the lock protects. No call into foreign code is made under it.
#[derive(Default)]
struct State {
    backings: Vec<Backing>,
    mapped: Ranges,
    peak: usize,
    limit: Option<usize>,
    purged: Vec<(usize, usize)>,
    moved: Vec<(usize, usize, usize)>,
    remap: Option<Moved>,
    limits: SystemLimits,
    huge: HugeSystem,
    reserved: Ranges,
    advised: Vec<(usize, usize, Advice)>,
    purger: Option<Purger>,
    err: Vec<u8>,
}

std::thread_local! {
    /// Its address tells threads apart.
    static THREAD: Cell<usize> = const { Cell::new(0) };
    /// The node that the thread says it runs on.
    static NODE: Cell<usize> = const { Cell::new(0) };
}

impl Mock {
    /// A system with pages of `page` bytes: a power of two from 4 KiB to 64 KiB.
    ///
    /// # Panics
    /// With any other page size.
    pub fn new(page: usize) -> Self {
        assert!(page.is_power_of_two() && (4 << 10..=64 << 10).contains(&page), "page size {page}");
        Self(Arc::new(Inner {
            page,
            plan: Plan::default(),
            clock: AtomicU64::new(1_000),
            fine: AtomicU64::new(0),
            step: AtomicU64::new(0),
            threaded: AtomicBool::new(false),
            nodes: AtomicUsize::new(1),
            state: Mutex::default(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere is reported there.
        self.0.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Makes the `n`-th call of that kind from now on fail, once. The next one is number 1.
    pub fn fail_nth(&self, call: Call, n: u64) {
        self.0.plan.fail_nth(call, n);
    }

    /// Lets `n` more calls of that kind through and makes all later ones fail; 0: all.
    pub fn fail_after(&self, call: Call, n: u64) {
        self.0.plan.fail_after(call, n);
    }

    /// Takes back all planned faults and the [`limit`](Self::limit).
    pub fn heal(&self) {
        self.0.plan.heal();
        self.state().limit = None;
    }

    /// Refuses mappings that would bring the mapped bytes over `bytes`.
    pub fn limit(&self, bytes: usize) {
        self.state().limit = Some(bytes);
    }

    /// What [`Os::remap`] does from now on: `SourceZero` (at first), `SourceGone` or `Refused`.
    pub fn remap_as(&self, outcome: Moved) {
        self.state().remap = Some(outcome);
    }

    /// What [`Os::limits`] answers from now on; no limits at first.
    pub fn set_limits(&self, limits: SystemLimits) {
        self.state().limits = limits;
    }

    /// Calls of that kind so far, failed ones too.
    pub fn count(&self, call: Call) -> u64 {
        self.0.plan.count(call)
    }

    /// Calls of all kinds that enter the kernel on a real system.
    pub fn system_calls(&self) -> u64 {
        [
            Call::Map,
            Call::MapReserved,
            Call::Unmap,
            Call::Purge,
            Call::Remap,
            Call::Advise,
            Call::HugeSystem,
            Call::Wait,
            Call::Wake,
            Call::Yield,
            Call::Spawn,
            Call::Limits,
        ]
        .into_iter()
        .map(|call| self.count(call))
        .sum()
    }

    /// Bytes mapped now.
    pub fn mapped(&self) -> usize {
        self.state().mapped.bytes()
    }

    /// The most bytes mapped at one time.
    pub fn peak(&self) -> usize {
        self.state().peak
    }

    /// Start and length of what is mapped, ascending, adjacent ranges joined.
    pub fn mapped_ranges(&self) -> Vec<(usize, usize)> {
        self.state().mapped.iter().collect()
    }

    /// Start and length of each range that was purged, in order, since the last call of this.
    pub fn take_purged(&self) -> Vec<(usize, usize)> {
        core::mem::take(&mut self.state().purged)
    }

    /// Source, target and length of each call of [`Os::remap`] that moved pages, in order, since the last call of
    /// this.
    pub fn take_moved(&self) -> Vec<(usize, usize, usize)> {
        core::mem::take(&mut self.state().moved)
    }

    /// What [`Os::huge_system`] answers; at first, a system without huge pages. Of the reserved pages, those that
    /// are free can be mapped by [`Os::map_reserved`], and are free again when they are unmapped. Such memory panics
    /// when it is unmapped in parts of pages, purged or moved.
    pub fn set_huge(&self, huge: HugeSystem) {
        self.state().huge = huge;
    }

    /// Start, length and advice of each call of [`Os::advise`] that was not refused, in order, since the last call
    /// of this.
    pub fn take_advised(&self) -> Vec<(usize, usize, Advice)> {
        core::mem::take(&mut self.state().advised)
    }

    /// Start and length of what is mapped in reserved pages, ascending, adjacent ranges joined.
    pub fn reserved_ranges(&self) -> Vec<(usize, usize)> {
        self.state().reserved.iter().collect()
    }

    /// Panics, with the ranges, unless everything was unmapped.
    #[track_caller]
    pub fn assert_all_unmapped(&self) {
        let left = self.mapped_ranges();
        assert!(left.is_empty(), "still mapped: {left:#x?}");
    }

    /// Sets the clock, in milliseconds. It starts at 1000.
    pub fn set_time(&self, ms: u64) {
        self.0.clock.store(ms, SeqCst);
    }

    /// Moves the clock forward.
    pub fn advance(&self, ms: u64) {
        self.0.clock.fetch_add(ms, SeqCst);
    }

    /// How many nanoseconds pass from one call of [`Os::now_ns`] to the next, from now on; none at first. So long
    /// takes what is done between two of them: the first touch of a frame.
    pub fn touch_takes(&self, ns: u64) {
        self.0.step.store(ns, SeqCst);
    }

    /// What [`Os::is_threaded`] answers; false at first.
    pub fn set_threaded(&self, threaded: bool) {
        self.0.threaded.store(threaded, SeqCst);
    }

    /// What [`Os::nodes`] answers; 1 at first.
    ///
    /// # Panics
    /// If `nodes` is 0.
    pub fn set_nodes(&self, nodes: usize) {
        assert!(nodes > 0);
        self.0.nodes.store(nodes, SeqCst);
    }

    /// Puts the calling thread on a node, for all mocks.
    pub fn enter_node(node: usize) {
        NODE.set(node);
    }

    /// Runs `body` as if on the thread with that number, so that one real thread can play many.
    /// Numbers of real threads are addresses; small ones are free. Multiples of 4 (see
    /// [`Os::thread`](stratalloc_core::os::Os::thread)): locks keep flags below.
    ///
    /// # Panics
    /// If `number` is 0 or no multiple of 4.
    pub fn as_thread<R>(number: usize, body: impl FnOnce() -> R) -> R {
        struct Restore(usize);
        impl Drop for Restore {
            fn drop(&mut self) {
                THREAD.set(self.0);
            }
        }
        assert!(number != 0 && number.is_multiple_of(4), "{number} is no thread's number");
        let _restore = Restore(THREAD.replace(number));
        body()
    }

    /// True while a purge thread is started.
    pub fn has_purger(&self) -> bool {
        self.state().purger.is_some()
    }

    /// Plays the purge thread's next turn: calls its function. The milliseconds it wants to sleep, 0
    /// when it ended; `None` if none is started. The clock is the test's to move.
    pub fn run_purger(&self) -> Option<u32> {
        // Taken out first: while it ends, the next one may be started.
        let (tick, arg) = self.state().purger.take()?;
        // SAFETY: the promise given to `spawn_purger`.
        let ms = unsafe { tick(core::ptr::with_exposed_provenance_mut(arg)) };
        if ms != 0 {
            let other = self.state().purger.replace((tick, arg));
            assert!(other.is_none(), "a second purge thread");
        }
        Some(ms)
    }

    /// What was written through [`Os::write_err`] since the last call of this.
    pub fn take_err(&self) -> String {
        String::from_utf8_lossy(&core::mem::take(&mut self.state().err)).into_owned()
    }

    /// Panics unless the range is whole pages and all mapped.
    #[track_caller]
    fn check(&self, state: &State, what: &str, start: usize, len: usize) {
        assert!(
            len > 0 && (start | len).is_multiple_of(self.0.page),
            "{what} of {start:#x}+{len:#x}: not whole pages"
        );
        assert!(state.mapped.covers(start, len), "{what} of {start:#x}+{len:#x}: not mapped");
    }
}

impl core::fmt::Debug for Mock {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Mock").field("page", &self.0.page).field("mapped", &self.mapped()).finish_non_exhaustive()
    }
}

impl State {
    /// The free pages of that size.
    fn reserve(&mut self, page: usize) -> &mut usize {
        if page == 1 << 30 { &mut self.huge.one_gib.free } else { &mut self.huge.two_mib.free }
    }

    /// Marks a range unmapped and gives up backings of which nothing is left.
    fn forget(&mut self, start: usize, len: usize) {
        self.mapped.remove(start, len);
        for backing in &self.backings {
            backing.forbid(start, len);
        }
        let mapped = &self.mapped;
        self.backings.retain(|backing| mapped.touches(backing.start(), backing.len()));
    }
}

// SAFETY: `map` hands out fresh zeroed memory of the host; `purge` writes zeros or maps fresh memory.
unsafe impl Os for Mock {
    fn page_size(&self) -> usize {
        self.0.page
    }

    fn map(&self, len: usize, align: usize) -> Option<NonNull<u8>> {
        let page = self.0.page;
        assert!(len > 0 && len.is_multiple_of(page), "map of {len:#x} bytes: not whole pages");
        assert!(align.is_power_of_two() && align >= page, "map with alignment {align:#x}");
        if self.0.plan.fails(Call::Map) {
            return None;
        }
        // Where other threads get in, in the real system too.
        std::thread::yield_now();
        let mut state = self.state();
        let total = state.mapped.bytes().checked_add(len)?;
        if state.limit.is_some_and(|limit| total > limit) {
            return None;
        }
        let backing = Backing::new(len, align)?;
        let start = backing.start();
        state.backings.push(backing);
        state.mapped.insert(start, len);
        state.peak = state.peak.max(total);
        NonNull::new(core::ptr::with_exposed_provenance_mut(start))
    }

    unsafe fn unmap(&self, start: NonNull<u8>, len: usize) -> bool {
        let start = start.as_ptr().expose_provenance();
        let mut state = self.state();
        self.check(&state, "unmap", start, len);
        if self.0.plan.fails(Call::Unmap) {
            return false;
        }
        if state.reserved.touches(start, len) {
            // A page of 1 GiB is unmapped as 512 of 2 MiB would be: the mock keeps no sizes.
            let page =
                if len.is_multiple_of(1 << 30) && start.is_multiple_of(1 << 30) { 1 << 30 } else { 2 << 20 };
            let whole = (start | len).is_multiple_of(page) && state.reserved.covers(start, len);
            assert!(whole, "unmap of {start:#x}+{len:#x}: parts of reserved pages");
            state.reserved.remove(start, len);
            *state.reserve(page) += len / page;
        }
        state.forget(start, len);
        true
    }

    unsafe fn purge(&self, start: NonNull<u8>, len: usize) -> bool {
        let start = start.as_ptr().expose_provenance();
        let mut state = self.state();
        self.check(&state, "purge", start, len);
        assert!(!state.reserved.touches(start, len), "purge of {start:#x}+{len:#x}: reserved pages");
        if self.0.plan.fails(Call::Purge) {
            // SAFETY: mapped, and the caller does not need the contents.
            unsafe { backing::scribble(start, len) };
            return false;
        }
        state.purged.push((start, len));
        // SAFETY: as above.
        unsafe { backing::zero(start, len) };
        true
    }

    unsafe fn remap(&self, from: NonNull<u8>, to: NonNull<u8>, len: usize) -> Moved {
        let mut state = self.state();
        let (source, target) = (from.as_ptr().expose_provenance(), to.as_ptr().expose_provenance());
        self.check(&state, "remap from", source, len);
        self.check(&state, "remap to", target, len);
        let reserved = state.reserved.touches(source, len) || state.reserved.touches(target, len);
        assert!(!reserved, "remap of {source:#x}+{len:#x} to {target:#x}: reserved pages");
        assert!(source + len <= target || target + len <= source, "remap of ranges that overlap");
        let outcome = state.remap.unwrap_or(Moved::SourceZero);
        if self.0.plan.fails(Call::Remap) || outcome == Moved::Refused {
            return Moved::Refused;
        }
        state.moved.push((source, target, len));
        // SAFETY: both mapped, disjoint.
        unsafe { to.copy_from_nonoverlapping(from, len) };
        if outcome == Moved::SourceGone {
            state.forget(source, len);
        } else {
            // SAFETY: mapped; its contents moved.
            unsafe { backing::zero(source, len) };
        }
        outcome
    }

    fn map_reserved(&self, len: usize, align: usize, page: usize) -> Option<NonNull<u8>> {
        assert!(page == 2 << 20 || page == 1 << 30, "reserved pages of {page:#x} bytes");
        assert!(len > 0 && len.is_multiple_of(page), "map of {len:#x} bytes: not whole pages of {page:#x}");
        assert!(align.is_power_of_two() && align >= page, "reserved pages with alignment {align:#x}");
        if self.0.plan.fails(Call::MapReserved) {
            return None;
        }
        let mut state = self.state();
        let left = state.reserve(page).checked_sub(len / page)?;
        let backing = Backing::new(len, align)?;
        *state.reserve(page) = left;
        let start = backing.start();
        state.backings.push(backing);
        state.mapped.insert(start, len);
        state.reserved.insert(start, len);
        state.peak = state.peak.max(state.mapped.bytes());
        NonNull::new(core::ptr::with_exposed_provenance_mut(start))
    }

    unsafe fn advise(&self, start: NonNull<u8>, len: usize, advice: Advice) -> bool {
        let start = start.as_ptr().expose_provenance();
        let mut state = self.state();
        self.check(&state, "advice", start, len);
        if self.0.plan.fails(Call::Advise) {
            return false;
        }
        state.advised.push((start, len, advice));
        true
    }

    fn huge_system(&self) -> HugeSystem {
        self.0.plan.fails(Call::HugeSystem);
        self.state().huge
    }

    fn wait(&self, word: &AtomicU32, expected: u32) {
        self.0.plan.fails(Call::Wait);
        if word.load(SeqCst) == expected {
            std::thread::yield_now();
        }
    }

    fn wake(&self, _word: &AtomicU32) {
        self.0.plan.fails(Call::Wake);
    }

    fn yield_now(&self) {
        self.0.plan.fails(Call::Yield);
        std::thread::yield_now();
    }

    fn now_ms(&self) -> u64 {
        self.0.plan.fails(Call::Now);
        self.0.clock.load(SeqCst)
    }

    fn now_ns(&self) -> u64 {
        let ahead = self.0.fine.fetch_add(self.0.step.load(SeqCst), SeqCst);
        self.0.clock.load(SeqCst) * 1_000_000 + ahead
    }

    fn thread(&self) -> usize {
        THREAD.with(|number| match number.get() {
            0 => core::ptr::from_ref(number).addr(),
            played => played,
        })
    }

    fn node(&self) -> usize {
        NODE.get() % self.nodes()
    }

    /// Threads share two, by their numbers.
    fn cpu(&self) -> usize {
        self.thread().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (usize::BITS - 1)
    }

    fn nodes(&self) -> usize {
        self.0.nodes.load(SeqCst)
    }

    fn limits(&self) -> SystemLimits {
        if self.0.plan.fails(Call::Limits) { SystemLimits::default() } else { self.state().limits }
    }

    fn is_threaded(&self) -> bool {
        self.0.threaded.load(SeqCst)
    }

    unsafe fn spawn_purger(&self, tick: unsafe extern "C" fn(*mut u8) -> u32, arg: *mut u8) -> bool {
        if self.0.plan.fails(Call::Spawn) {
            return false;
        }
        let before = self.state().purger.replace((tick, arg.expose_provenance()));
        assert!(before.is_none(), "a second purge thread");
        true
    }

    fn write_err(&self, text: &[u8]) {
        self.0.plan.fails(Call::WriteErr);
        self.state().err.extend_from_slice(text);
    }

    fn abort(&self) -> ! {
        panic!("{}", self.take_err())
    }
}

#[cfg(test)]
mod tests;

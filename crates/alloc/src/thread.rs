//! The calling thread's front: its slot, the adoption of a heap or pocket at the first need, its parking at the end.
//!
//! The slot starts on [`EMPTY`], a front without blocks that owns nothing, so the fast paths need no
//! test for "no heap yet". The first slow path publishes a heap (or a pocket, in a crowd) in the slot and only then
//! arms the exit hook, which may allocate. The hook puts [`GONE`] in the slot: a thread that allocates or
//! frees after that uses the late heap, which is shared and entered for each call.

use core::ptr::null_mut;
use stratalloc_core::allocator::Allocator;
use stratalloc_core::crowd::Pocket;
use stratalloc_core::heap::{Front, Heap, Role};
use stratalloc_os::{NATIVE, Native, process, thread_exit};

/// The process's allocator.
pub(crate) static ALLOCATOR: Allocator<Native> = Allocator::new(NATIVE);

/// The front of a thread that has none yet.
static EMPTY: Front = Front::empty();
/// The front of a thread that has none any more.
static GONE: Front = Front::empty();

mod slot {
    stratalloc_os::heap_slot!(super::EMPTY, "stratalloc_heap");
}

/// The calling thread's front: its heap's or pocket's, [`EMPTY`] or [`GONE`]. Two instructions.
#[inline(always)]
pub(crate) fn front() -> *mut Front {
    slot::get().cast()
}

/// What a thread has.
pub(crate) enum Own {
    /// A heap.
    Heap(*mut Heap),
    /// A pocket.
    Pocket(*mut Pocket),
    /// Nothing yet, or nothing any more.
    Nothing,
}

/// What the calling thread has.
#[inline(always)]
pub(crate) fn own() -> Own {
    let front = front();
    // SAFETY: what the slot holds is a front; heaps and pockets begin with theirs.
    match unsafe { (*front).role } {
        Role::Thread => Own::Heap(front.cast()),
        Role::Pocket => Own::Pocket(front.cast()),
        Role::Empty | Role::User | Role::Cpu => Own::Nothing,
    }
}

/// The calling thread's heap. Null: it has none of its own.
#[inline]
pub(crate) fn heap() -> *mut Heap {
    match own() {
        Own::Heap(heap) => heap,
        Own::Pocket(_) | Own::Nothing => null_mut(),
    }
}

/// Runs `work` with a usable heap and its tenure; null when there is no memory for one.
#[inline]
pub(crate) fn with_heap<T>(work: impl FnOnce(*mut Heap) -> T) -> Option<T> {
    let result = match own() {
        Own::Heap(heap) => Some(work(heap)),
        Own::Pocket(_) | Own::Nothing => Borrowed::enter().map(|other| work(other.heap)),
    };
    outside();
    result
}

/// Where a call that may have taken memory leaves the allocator: the soft limit has its turn. One load.
#[inline]
pub(crate) fn outside() {
    if ALLOCATOR.is_soft_limit_due() {
        at_soft_limit();
    }
}

#[cold]
#[inline(never)]
fn at_soft_limit() {
    // An allocation that succeeds leaves `errno` alone, whatever the callback does.
    // SAFETY: the calling thread's front; the thread is outside.
    process::preserve_errno(|| unsafe { ALLOCATOR.at_soft_limit(front()) });
}

/// Runs `work`, which allocates `size` bytes; where it is refused by the option `limit`, once more after what
/// the calling thread and parked heaps do not use was given back.
#[inline]
pub(crate) fn within_limit(size: usize, work: impl Fn() -> *mut u8) -> *mut u8 {
    let block = work();
    if block.is_null() && may_try_again(size) { work() } else { block }
}

#[cold]
#[inline(never)]
fn may_try_again(size: usize) -> bool {
    if size > ALLOCATOR.config.limit() {
        return false;
    }
    // SAFETY: the calling thread's front.
    unsafe { ALLOCATOR.trim_all(front(), 0) };
    true
}

/// A heap for a thread that had none.
struct Borrowed {
    heap: *mut Heap,
    until: Until,
}

/// How long a thread may use a heap.
enum Until {
    /// As long as it lives: the thread adopted it.
    Exit,
    /// As long as the `Borrowed` lives: a CPU heap, entered.
    Left,
    /// The same: the late heap.
    LeftLate,
}

impl Borrowed {
    /// `None`: no memory.
    #[cold]
    #[inline(never)]
    fn enter() -> Option<Borrowed> {
        let front = front();
        if core::ptr::eq(front, &raw const GONE) {
            let heap = ALLOCATOR.late_heap();
            // SAFETY: the late heap, which this thread is not inside.
            let entered = !heap.is_null() && unsafe { ALLOCATOR.enter(heap) };
            return entered.then_some(Borrowed { heap, until: Until::LeftLate });
        }
        if core::ptr::eq(front, &raw const EMPTY) && !adopt() {
            return None;
        }
        if let Own::Pocket(pocket) = own() {
            // SAFETY: the calling thread's pocket.
            let busy = unsafe { ALLOCATOR.is_busy(pocket) };
            let heap = if busy { null_mut() } else { ALLOCATOR.enter_cpu_heap() };
            if !heap.is_null() {
                return Some(Borrowed { heap, until: Until::Left });
            }
            if !settle_down(pocket) {
                return None;
            }
        }
        Some(Borrowed { heap: heap(), until: Until::Exit })
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        // SAFETY: entered above.
        unsafe {
            match self.until {
                Until::Left => ALLOCATOR.leave_cpu_heap(self.heap),
                Until::LeftLate => ALLOCATOR.exit(self.heap),
                Until::Exit => {}
            }
        }
    }
}

/// A block of `class` for a thread with a pocket, whose list of it is empty. Null: it takes the long way.
#[inline]
pub(crate) fn fill(pocket: *mut Pocket, class: usize) -> *mut u8 {
    // SAFETY: the calling thread's pocket.
    unsafe {
        let block = ALLOCATOR.fill_pocket(pocket, class);
        if !block.is_null() && ALLOCATOR.is_busy(pocket) {
            settle_down(pocket);
        }
        block
    }
}

/// Gives the thread a heap, or in a crowd a pocket. False: no memory.
fn adopt() -> bool {
    crate::process::before_heap();
    let front = ALLOCATOR.adopt_front();
    if front.is_null() {
        return false;
    }
    slot::set(front.cast());
    // Published: what the two calls below allocate is served.
    crate::process::after_heap(leave);
    thread_exit::arm();
    true
}

/// Gives a thread with a pocket a heap instead. False: no memory, and it keeps the pocket.
#[cold]
#[inline(never)]
fn settle_down(pocket: *mut Pocket) -> bool {
    let heap = ALLOCATOR.adopt();
    if heap.is_null() {
        return false;
    }
    slot::set(heap.cast());
    // SAFETY: it was the thread's, and is not in the slot any more.
    unsafe { ALLOCATOR.park_pocket(pocket) };
    true
}

/// The exit hook.
unsafe extern "C" fn leave() {
    let own = own();
    slot::set((&raw const GONE).cast_mut().cast());
    // SAFETY: what was in the slot was the thread's own; it is not in the slot any more.
    unsafe {
        match own {
            Own::Heap(heap) => ALLOCATOR.park(heap),
            Own::Pocket(pocket) => ALLOCATOR.park_pocket(pocket),
            Own::Nothing => {}
        }
    }
}

//! The one place where atomics come from: `core`'s, loom's when a model runs (`--cfg loom`), shuttle's when a
//! larger schedule is tried (`--cfg shuttle`).
//!
//! Loom's atomics cannot be made in constants, so what a model uses is made by functions that are not `const`.

/// `core::sync::atomic`, or a checker's.
pub(crate) mod atomic {
    #[cfg(all(not(any(loom, shuttle)), any(target_has_atomic = "64", feature = "std")))]
    pub(crate) use core::sync::atomic::AtomicUsize;
    #[cfg(all(not(any(loom, shuttle)), target_has_atomic = "64"))]
    pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};
    #[cfg(not(any(loom, shuttle)))]
    pub(crate) use core::sync::atomic::{AtomicU8, Ordering};
    #[cfg(loom)]
    pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
    #[cfg(shuttle)]
    pub(crate) use shuttle::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
}

/// `core::cell::UnsafeCell` behind loom's interface, which sees each access.
#[cfg(not(loom))]
#[derive(Debug, Default)]
pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    #[inline]
    pub(crate) const fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    /// Calls `f` with a pointer that it may write through, if nobody else has one.
    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}
#[cfg(loom)]
pub(crate) use loom::cell::UnsafeCell;

/// Waits a moment in a loop that waits for another thread's few instructions; longer at each `turn`.
#[cold]
pub(crate) fn relax(turn: u32) {
    #[cfg(loom)]
    {
        let _ = turn;
        loom::thread::yield_now();
    }
    #[cfg(shuttle)]
    {
        let _ = turn;
        shuttle::thread::yield_now();
    }
    #[cfg(not(any(loom, shuttle)))]
    {
        if turn < 7 {
            for _ in 0..1 << turn {
                core::hint::spin_loop();
            }
            return;
        }
        // The other thread does not run: let it. A thread of real-time priority must sleep for that.
        #[cfg(feature = "std")]
        if turn < 64 {
            std::thread::yield_now();
        } else {
            std::thread::sleep(core::time::Duration::from_micros(50));
        }
        #[cfg(not(feature = "std"))]
        yielding::yield_now();
    }
}

/// How threads without std let others run.
#[cfg(not(any(feature = "std", loom, shuttle)))]
mod yielding {
    use core::sync::atomic::{AtomicPtr, Ordering};

    static YIELD: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

    /// Says how a thread that waits for another lets it run; without this, it spins. Only in builds without `std`, which know
    /// themselves. Any thread, any time; the last call counts.
    pub fn set_yield(yield_now: fn()) {
        // Relaxed: a function, nothing else is published.
        YIELD.store(yield_now as *mut (), Ordering::Relaxed);
    }

    pub(super) fn yield_now() {
        let place = YIELD.load(Ordering::Relaxed);
        if place.is_null() {
            return core::hint::spin_loop();
        }
        // SAFETY: `set_yield` alone stores here, and such a function.
        unsafe { core::mem::transmute::<*mut (), fn()>(place)() }
    }
}
#[cfg(not(any(feature = "std", loom, shuttle)))]
pub use yielding::set_yield;

/// A number for the calling thread, to spread threads over what they need not share. Any number is right.
#[cfg(not(any(loom, shuttle)))]
#[inline(always)]
pub(crate) fn thread_hint() -> usize {
    #[cfg(feature = "std")]
    {
        use core::cell::Cell;
        use core::sync::atomic::{AtomicUsize, Ordering};

        static NEXT: AtomicUsize = AtomicUsize::new(1);
        std::thread_local! {
            static HINT: Cell<usize> = const { Cell::new(0) };
        }
        #[cold]
        #[inline(never)]
        fn first(hint: &Cell<usize>) -> usize {
            // Relaxed: only that numbers differ matters.
            hint.set(NEXT.fetch_add(1, Ordering::Relaxed));
            hint.get()
        }
        HINT.with(|hint| match hint.get() {
            0 => first(hint),
            number => number,
        })
    }
    // Stacks of threads lie 64 KiB apart at least, and a thread is mostly within as much of its own.
    #[cfg(not(feature = "std"))]
    {
        let here = 0u8;
        (crate::addr::addr(&raw const here) >> 16).wrapping_mul(0x9E37_79B9) >> 8
    }
}

/// The same, which a checker repeats.
#[cfg(loom)]
pub(crate) fn thread_hint() -> usize {
    std::format!("{:?}", loom::thread::current().id()).bytes().map(usize::from).sum()
}

/// The same, which a checker repeats.
#[cfg(shuttle)]
pub(crate) fn thread_hint() -> usize {
    shuttle::thread::current().id().into()
}

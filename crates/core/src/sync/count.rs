//! Atomics that count: how much of what threads share an operation of the allocator costs.
//!
//! A machine with few cores cannot show how an allocator scales to many; what can be counted on it is what would not
//! scale: instructions that read, change and write one word for all (an exchange, a sum), fences, locks, and cache
//! lines that go from one core to another. With the feature `count-shared` all atomics of this crate are the
//! types below. `cargo xtask scaling` builds such a library, runs loads on it and prints the [`Counts`] of an
//! operation. The feature is for that and for nothing else: each access costs some ten nanoseconds, and programs need std.
//!
//! # Lines
//! Each thread is taken to be a core of its own whose cache forgets nothing. A table knows of each 64-byte
//! line who holds it: a load adds its thread, a store or an exchange leaves its thread alone. An access is a
//! *transfer* when somebody else holds the line and this thread does not, or, if it writes, does not alone.
//! That is the protocol of real caches (MESI), with these differences:
//!
//! * Only atomic accesses are seen. Memory that goes with a lock, and blocks that one thread fills and
//!   another frees, travel too: the former at most once for each lock that another thread held last, the latter whoever
//!   the allocator is.
//! * Threads are told apart by the number of their first access modulo 64: among more, some are taken for one.
//! * Lines whose numbers agree in the table's 16 bits push each other out and count as new.
//! * On a machine with fewer cores than threads, threads run one after the other for milliseconds, so a line that would
//!   go back and forth goes once. Exchanges and locks are counted whoever runs.
//!
//! The counters are not one consistent set while threads run.

extern crate std;

use core::cell::Cell;
use core::sync::atomic::{self, Ordering, Ordering::Relaxed};

/// What all threads did since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instructions that read, change and write: exchanges (failed ones too), sums, bits.
    pub exchanges: u64,
    /// Sequentially consistent fences.
    pub fences: u64,
    /// Locks asked for.
    pub locks: u64,
    /// Of `locks`, those that were taken or another thread was about to take: the thread spun, or slept.
    pub waits: u64,
    /// Cache lines that came from another thread; see the module.
    pub transfers: u64,
}

impl Counts {
    /// What was done since `before`.
    #[must_use]
    pub fn since(self, before: Counts) -> Counts {
        Counts {
            exchanges: self.exchanges.wrapping_sub(before.exchanges),
            fences: self.fences.wrapping_sub(before.fences),
            locks: self.locks.wrapping_sub(before.locks),
            waits: self.waits.wrapping_sub(before.waits),
            transfers: self.transfers.wrapping_sub(before.transfers),
        }
    }
}

/// The counters of the threads whose numbers agree modulo [`THREADS`].
#[repr(align(128))]
struct Counters {
    exchanges: atomic::AtomicU64,
    fences: atomic::AtomicU64,
    locks: atomic::AtomicU64,
    waits: atomic::AtomicU64,
    transfers: atomic::AtomicU64,
}

/// Threads that are told apart.
const THREADS: usize = 64;
/// Lines that the table holds.
const LINES: usize = 1 << 16;
/// Bytes of a line, as a shift.
const LINE_SHIFT: u32 = 6;

/// Who holds a line.
struct Line {
    /// The line's number, 0 of none.
    number: atomic::AtomicUsize,
    /// A bit a thread.
    holders: atomic::AtomicU64,
}

static COUNTERS: [Counters; THREADS] = [const {
    Counters {
        exchanges: atomic::AtomicU64::new(0),
        fences: atomic::AtomicU64::new(0),
        locks: atomic::AtomicU64::new(0),
        waits: atomic::AtomicU64::new(0),
        transfers: atomic::AtomicU64::new(0),
    }
}; THREADS];

static TABLE: [Line; LINES] =
    [const { Line { number: atomic::AtomicUsize::new(0), holders: atomic::AtomicU64::new(0) } }; LINES];

/// Threads that were given a number.
static NUMBERS: atomic::AtomicUsize = atomic::AtomicUsize::new(0);

std::thread_local! {
    // All zero without a destructor: reading it neither allocates nor registers anything, and it works in a
    // thread whose thread-local memory is zeroed (the purge thread).
    /// The thread's number, 0 for none yet.
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// The calling thread's number modulo [`THREADS`].
fn me() -> usize {
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(NUMBERS.fetch_add(1, Relaxed) + 1);
        }
        (number.get() - 1) % THREADS
    })
}

/// What all threads did since the start of the process. Cost: a read of 320 counters.
#[must_use]
pub fn counts() -> Counts {
    COUNTERS.iter().fold(Counts::default(), |sum, one| Counts {
        exchanges: sum.exchanges + one.exchanges.load(Relaxed),
        fences: sum.fences + one.fences.load(Relaxed),
        locks: sum.locks + one.locks.load(Relaxed),
        waits: sum.waits + one.waits.load(Relaxed),
        transfers: sum.transfers + one.transfers.load(Relaxed),
    })
}

/// See [`super::lock_asked`].
pub(super) fn lock_asked(at_once: bool) {
    let counters = &COUNTERS[me()];
    counters.locks.fetch_add(1, Relaxed);
    if !at_once {
        counters.waits.fetch_add(1, Relaxed);
    }
}

/// `core::sync::atomic::fence`, counted if it is sequentially consistent.
pub fn fence(order: Ordering) {
    if order == Ordering::SeqCst {
        COUNTERS[me()].fences.fetch_add(1, Relaxed);
    }
    atomic::fence(order);
}

/// An access to the word at `address`: `writes` makes the thread the line's only holder.
fn touch(address: usize, writes: bool) {
    let me = me();
    let number = address >> LINE_SHIFT;
    let line = &TABLE[number % LINES];
    if line.number.load(Relaxed) != number {
        line.number.store(number, Relaxed);
        line.holders.store(0, Relaxed);
    }
    let mine = 1 << me;
    // Two threads at one line at once may lose one's bit: the line is then counted once more or once less.
    let holders = line.holders.load(Relaxed);
    let now = if writes { mine } else { holders | mine };
    if now != holders {
        line.holders.store(now, Relaxed);
    }
    if holders != 0 && (holders & mine == 0 || writes && holders != mine) {
        COUNTERS[me].transfers.fetch_add(1, Relaxed);
    }
}

fn exchange(address: usize) {
    touch(address, true);
    COUNTERS[me()].exchanges.fetch_add(1, Relaxed);
}

/// The atomic `$name`, whose value is `$value`, with the methods that this crate uses.
macro_rules! counting {
    ($name:ident $(<$parameter:ident>)?, $value:ty, { $($method:ident),* }) => {
        #[doc = concat!("`core::sync::atomic::", stringify!($name), "`, counted.")]
        #[derive(Debug)]
        #[repr(transparent)]
        pub struct $name $(<$parameter>)? (atomic::$name $(<$parameter>)?);

        impl $(<$parameter>)? $name $(<$parameter>)? {
            /// Holds `value`.
            pub const fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }

            fn address(&self) -> usize {
                core::ptr::from_ref(self).addr()
            }

            /// As core's.
            pub fn load(&self, order: Ordering) -> $value {
                touch(self.address(), false);
                self.0.load(order)
            }

            /// As core's.
            pub fn store(&self, value: $value, order: Ordering) {
                touch(self.address(), true);
                self.0.store(value, order);
            }

            /// As core's.
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                exchange(self.address());
                self.0.swap(value, order)
            }

            /// As core's.
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                exchange(self.address());
                self.0.compare_exchange(current, new, success, failure)
            }

            /// As core's.
            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                exchange(self.address());
                self.0.compare_exchange_weak(current, new, success, failure)
            }

            /// As core's.
            pub fn get_mut(&mut self) -> &mut $value {
                self.0.get_mut()
            }

            /// As core's.
            pub const fn as_ptr(&self) -> *mut $value {
                self.0.as_ptr()
            }

            $(
                /// As core's.
                pub fn $method(&self, value: $value, order: Ordering) -> $value {
                    exchange(self.address());
                    self.0.$method(value, order)
                }
            )*
        }
    };
}

counting!(AtomicBool, bool, { fetch_and, fetch_or });
counting!(AtomicU8, u8, {});
counting!(AtomicU32, u32, { fetch_add, fetch_sub, fetch_and, fetch_or, fetch_max, fetch_min });
counting!(AtomicU64, u64, { fetch_add, fetch_sub, fetch_and, fetch_or, fetch_max, fetch_min });
counting!(AtomicUsize, usize, { fetch_add, fetch_sub, fetch_and, fetch_or, fetch_max, fetch_min });
counting!(AtomicPtr<T>, *mut T, {});

#[cfg(test)]
mod tests {
    use super::*;

    /// Two threads, one after the other, on one word. Other tests share the counters, so of them nothing is asked but
    /// that they grow; the table's answers are this line's own.
    #[test]
    fn a_line_is_transferred_when_another_thread_held_it() {
        #[repr(align(64))]
        struct Own(AtomicUsize);
        let word = Own(AtomicUsize::new(0));
        let holders = || {
            let number = word.0.address() >> LINE_SHIFT;
            let line = &TABLE[number % LINES];
            (line.number.load(Relaxed) == number).then(|| line.holders.load(Relaxed))
        };
        let before = counts();
        word.0.store(1, Relaxed);
        let mine = 1_u64 << me();
        assert_eq!(holders(), Some(mine));
        let other = std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                assert_eq!(word.0.load(Relaxed), 1);
                1_u64 << me()
            });
            other.join().expect("no panic")
        });
        assert_ne!(mine, other);
        assert_eq!(holders(), Some(mine | other));
        assert_eq!(word.0.fetch_add(1, Relaxed), 1);
        assert_eq!(holders(), Some(mine));
        fence(Ordering::SeqCst);
        lock_asked(false);
        let did = counts().since(before);
        assert!(did.transfers >= 2 && did.exchanges >= 1 && did.fences >= 1, "{did:?}");
        assert!(did.locks >= 1 && did.waits >= 1, "{did:?}");
    }
}

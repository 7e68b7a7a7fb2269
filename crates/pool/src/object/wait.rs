//! Waiting for an object: the queue, the future, and threads that wait by it.
//!
//! # Protocol
//! A waiter stands in the queue under a ticket, first come first served. A release does not put its object among the
//! free ones while somebody waits: it hands it to the first waiter (a *grant*), and then wakes that one outside of the
//! lock. So an object cannot be overtaken, and a wake-up cannot be lost: it is a grant in the queue, whether or not
//! the waiter ever looks. A waiter that is dropped takes its ticket out of the queue, and if it was granted
//! something, passes it on as a release would.
//!
//! # Invariant
//! Tickets rise from front to back. The first `granted` entries have their grant, the others none. While an
//! entry without a grant exists, no object and no block is free.
//!
//! Wakers are cloned, called and dropped outside of the lock: they are user code.

use super::guard::Pooled;
use super::manage::Manage;
use super::shared::ObjectPool;
use crate::{AcquireError, Source};
use alloc::collections::VecDeque;
use core::future::Future;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll, Waker};

/// What a waiter is given.
#[derive(Debug)]
pub(super) enum Grant<T> {
    /// An object, constructed.
    Object(NonNull<T>),
    /// A block to construct one in.
    Block(NonNull<T>),
    /// Somebody's growth failed: try for yourself.
    Retry,
}

#[derive(Debug)]
struct Entry<T> {
    ticket: u64,
    waker: Option<Waker>,
    grant: Option<Grant<T>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Queue<T> {
    entries: VecDeque<Entry<T>>,
    granted: usize,
    next: u64,
    /// How many ever waited.
    pub(super) waits: u64,
}

// SAFETY: grants are objects on their way to another thread.
unsafe impl<T: Send> Send for Queue<T> {}

impl<T> Queue<T> {
    pub(super) const fn new() -> Self {
        Self { entries: VecDeque::new(), granted: 0, next: 0, waits: 0 }
    }

    /// True when somebody waits without a grant.
    #[inline(always)]
    pub(super) fn waits_now(&self) -> bool {
        self.entries.len() > self.granted
    }

    fn join(&mut self, waker: Waker) -> u64 {
        let ticket = self.next;
        self.next += 1;
        self.waits += 1;
        self.entries.push_back(Entry { ticket, waker: Some(waker), grant: None });
        ticket
    }

    /// Gives to the first who waits; the waker is to be called with the lock open. Hands the grant back when nobody
    /// waits.
    pub(super) fn grant(&mut self, grant: Grant<T>) -> Result<Option<Waker>, Grant<T>> {
        match self.entries.get_mut(self.granted) {
            Some(first) => {
                first.grant = Some(grant);
                self.granted += 1;
                Ok(first.waker.take())
            }
            None => Err(grant),
        }
    }

    fn find(&self, ticket: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&ticket, |entry| entry.ticket).ok()
    }

    /// The grant, if it is there: then the entry is gone. Otherwise `waker`, if given, replaces the entry's, which is
    /// handed back for dropping.
    fn check(&mut self, ticket: u64, waker: Option<Waker>) -> (Option<Grant<T>>, Option<Waker>) {
        let Some(at) = self.find(ticket) else { return (None, waker) };
        if at < self.granted {
            let (grant, old) = self.leave(ticket);
            return (grant, old.or(waker));
        }
        match waker {
            Some(waker) => (None, self.entries[at].waker.replace(waker)),
            None => (None, None),
        }
    }

    fn needs_waker(&self, ticket: u64, waker: &Waker) -> bool {
        let own = self.find(ticket).and_then(|at| self.entries[at].waker.as_ref());
        own.is_some_and(|own| !own.will_wake(waker))
    }

    /// Takes the entry out.
    fn leave(&mut self, ticket: u64) -> (Option<Grant<T>>, Option<Waker>) {
        let Some(at) = self.find(ticket) else { return (None, None) };
        let Some(entry) = self.entries.remove(at) else { return (None, None) };
        if at < self.granted {
            self.granted -= 1;
        }
        (entry.grant, entry.waker)
    }
}

/// A future of an object; made by [`ObjectPool::acquire`].
///
/// Works with any executor. Dropping it before it is ready gives up the place in the queue, and passes on what was
/// granted meanwhile: nothing is lost by `select!` or a timeout. Costs one short lock when an object
/// waits; in the queue, one entry on the global allocator's heap and one clone of the waker.
#[must_use = "futures do nothing unless polled"]
pub struct Acquire<'a, T, M: Manage<T>, A: Source> {
    pool: &'a ObjectPool<T, M, A>,
    ticket: Option<u64>,
}

// SAFETY: beside the reference, only a number; what the pool may do from another thread, its own `Sync` says.
unsafe impl<T: Send, M: Manage<T> + Sync, A: Source + Sync> Send for Acquire<'_, T, M, A> {}

impl<T, M: Manage<T>, A: Source> Unpin for Acquire<'_, T, M, A> {}

impl<'a, T, M: Manage<T>, A: Source> Acquire<'a, T, M, A> {
    pub(super) fn new(pool: &'a ObjectPool<T, M, A>) -> Self {
        Self { pool, ticket: None }
    }

    /// An object, or a place in the queue.
    fn start(&mut self, waker: &Waker) -> Poll<Result<NonNull<T>, AcquireError>> {
        // Cloned when it is needed: most futures are ready at once.
        let mut own = None;
        loop {
            match self.pool.take() {
                Err(AcquireError::Exhausted) => {}
                done => return Poll::Ready(done),
            }
            let clone = own.take().unwrap_or_else(|| waker.clone());
            // Nothing free is looked for again under the same lock that queues: a release in between is seen.
            let joined = self.pool.inside(|inside| {
                if inside.store.free() > 0 || inside.store.may_take() {
                    return Err(clone);
                }
                Ok(inside.queue.join(clone))
            });
            match joined {
                Ok(ticket) => {
                    self.ticket = Some(ticket);
                    return Poll::Pending;
                }
                Err(unused) => own = Some(unused),
            }
        }
    }
}

impl<'a, T, M: Manage<T>, A: Source> Future for Acquire<'a, T, M, A> {
    type Output = Result<Pooled<&'a ObjectPool<T, M, A>>, AcquireError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let pool = this.pool;
        let object = loop {
            let Some(ticket) = this.ticket else {
                match this.start(context.waker()) {
                    Poll::Ready(Ok(object)) => break object,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            };
            let fresh = pool.inside(|inside| inside.queue.needs_waker(ticket, context.waker()));
            let fresh = fresh.then(|| context.waker().clone());
            let (grant, _old) = pool.inside(|inside| inside.queue.check(ticket, fresh));
            match grant {
                None => return Poll::Pending,
                Some(grant) => {
                    this.ticket = None;
                    match grant {
                        Grant::Object(object) => break object,
                        Grant::Block(block) => {
                            pool.construct(block);
                            break block;
                        }
                        Grant::Retry => {}
                    }
                }
            }
        };
        // SAFETY: granted to this waiter alone.
        Poll::Ready(Ok(unsafe { Pooled::new(pool, object) }))
    }
}

impl<T, M: Manage<T>, A: Source> Drop for Acquire<'_, T, M, A> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let (grant, _waker) = self.pool.inside(|inside| inside.queue.leave(ticket));
            if let Some(grant) = grant {
                self.pool.pass_on(grant);
            }
        }
    }
}

impl<T, M: Manage<T>, A: Source> core::fmt::Debug for Acquire<'_, T, M, A> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Acquire").field("queued", &self.ticket.is_some()).finish_non_exhaustive()
    }
}

/// Threads that wait.
#[cfg(feature = "std")]
pub(super) mod blocking {
    use super::{Acquire, Manage, Pooled, Source};
    use crate::AcquireError;
    use crate::object::ObjectPool;
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};
    use std::sync::Arc;
    use std::task::Wake;
    use std::thread::{self, Thread};
    use std::time::Instant;

    /// Wakes a thread.
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }

        fn wake_by_ref(self: &Arc<Self>) {
            self.0.unpark();
        }
    }

    /// Polls until ready; until the deadline if there is one.
    #[cold]
    #[inline(never)]
    pub(in crate::object) fn wait<'a, T, M: Manage<T>, A: Source>(
        acquire: Acquire<'a, T, M, A>,
        deadline: Option<Instant>,
    ) -> Result<Pooled<&'a ObjectPool<T, M, A>>, AcquireError> {
        let mut acquire = pin!(acquire);
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            // After the time is up, too, so that a grant that came with it is used.
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if let Poll::Ready(result) = acquire.as_mut().poll(&mut context) {
                return result;
            }
            match left {
                None => thread::park(),
                Some(left) if left.is_zero() => return Err(AcquireError::TimedOut),
                Some(left) => thread::park_timeout(left),
            }
        }
    }
}

//! The executor of the `broker` scene: tasks on a queue, threads that poll them, mailboxes to wait on.
//!
//! A task is one counted block that owns its boxed future; whoever polls it last frees the future, and whoever drops the last
//! waker frees the task. Both happen on any thread. There is no stealing and no timer: one queue under a lock,
//! as the scene measures what tasks allocate and not how they are scheduled.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Tasks that are ready, shared by all threads that poll.
#[derive(Default)]
pub struct Executor {
    ready: Mutex<Ready>,
    changed: Condvar,
}

#[derive(Default)]
struct Ready {
    tasks: VecDeque<Arc<Task>>,
    /// Tasks whose future is not done.
    unfinished: usize,
    /// Whether no task comes from outside any more.
    closed: bool,
}

struct Task {
    executor: Arc<Executor>,
    future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    /// Whether it stands in the queue.
    queued: AtomicBool,
}

impl Executor {
    /// Adds a task; it is ready at once.
    pub fn spawn(self: &Arc<Self>, future: impl Future<Output = ()> + Send + 'static) {
        let future = Mutex::new(Some(Box::pin(future) as Pin<Box<dyn Future<Output = ()> + Send>>));
        let task = Arc::new(Task { executor: Arc::clone(self), future, queued: AtomicBool::new(true) });
        let mut ready = lock(&self.ready);
        ready.unfinished += 1;
        ready.tasks.push_back(task);
        drop(ready);
        self.changed.notify_one();
    }

    /// Polls tasks until the executor is closed and all are done.
    pub fn work(&self) {
        let mut ready = lock(&self.ready);
        loop {
            if let Some(task) = ready.tasks.pop_front() {
                drop(ready);
                let done = task.poll();
                drop(task);
                ready = lock(&self.ready);
                ready.unfinished -= usize::from(done);
            } else if ready.closed && ready.unfinished == 0 {
                self.changed.notify_all();
                return;
            } else {
                ready = self.changed.wait(ready).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// No task comes from outside any more: threads return once all are done.
    pub fn close(&self) {
        lock(&self.ready).closed = true;
        self.changed.notify_all();
    }
}

impl Task {
    /// Polls the future; true if that finished it.
    fn poll(self: &Arc<Self>) -> bool {
        // Before the future looks: a wake from here on queues the task again.
        self.queued.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(self));
        let mut future = lock(&self.future);
        let finished = match future.as_mut() {
            Some(polled) => polled.as_mut().poll(&mut Context::from_waker(&waker)).is_ready(),
            // A wake that came late.
            None => return false,
        };
        if finished {
            *future = None;
        }
        finished
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            let executor = Arc::clone(&self.executor);
            lock(&executor.ready).tasks.push_back(self);
            executor.changed.notify_one();
        }
    }
}

/// Lets others go first, once.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Values on their way to one task, from any thread.
pub struct Mailbox<T>(Mutex<Letters<T>>);

struct Letters<T> {
    values: VecDeque<T>,
    reader: Option<Waker>,
    closed: bool,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Mailbox<T> {
        Mailbox(Mutex::new(Letters { values: VecDeque::new(), reader: None, closed: false }))
    }
}

impl<T> Mailbox<T> {
    /// Puts a value in and wakes the reader.
    pub fn send(&self, value: T) {
        let mut letters = lock(&self.0);
        letters.values.push_back(value);
        let reader = letters.reader.take();
        drop(letters);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Nothing more will be sent.
    pub fn close(&self) {
        let mut letters = lock(&self.0);
        letters.closed = true;
        let reader = letters.reader.take();
        drop(letters);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// The next value; `None` once it is closed and empty.
    pub async fn receive(&self) -> Option<T> {
        poll_fn(|context| {
            let mut letters = lock(&self.0);
            if let Some(value) = letters.values.pop_front() {
                return Poll::Ready(Some(value));
            }
            if letters.closed {
                return Poll::Ready(None);
            }
            letters.reader = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// Locks; after a panic elsewhere too, as the process then ends anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn every_task_runs_to_its_end() {
        let executor = Arc::new(Executor::default());
        let mailbox = Arc::new(Mailbox::default());
        let sum = Arc::new(AtomicU64::new(0));
        let (reader, total) = (Arc::clone(&mailbox), Arc::clone(&sum));
        executor.spawn(async move {
            while let Some(value) = reader.receive().await {
                total.fetch_add(value, Ordering::Relaxed);
            }
        });
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| executor.work());
            }
            for value in 1..=100 {
                let mailbox = Arc::clone(&mailbox);
                executor.spawn(async move {
                    yield_now().await;
                    mailbox.send(value);
                });
            }
            while sum.load(Ordering::Relaxed) < 5050 {
                std::thread::yield_now();
            }
            mailbox.close();
            executor.close();
        });
        assert_eq!(sum.load(Ordering::Relaxed), 5050);
        assert_eq!((Arc::strong_count(&executor), Arc::strong_count(&mailbox)), (1, 1), "nothing is left behind");
    }
}

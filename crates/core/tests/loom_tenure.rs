//! Model of a heap's tenure: delivery of tokens against leaving, entering and adopting.
//!
//! The heap's lists are one cell whose accesses loom checks for races: two threads inside at once show.
//! Asserted at the end: a parked heap that nobody is inside has no tokens left, and every token was
//! processed once.
//!
//! Seen to fail with: no fence in `deliver` or in `leave` (a token stays), no second look in `leave`,
//! `Relaxed` for the `Release` in `leave` or the `Acquire` in `try_enter` and `try_adopt` (races on the
//! lists), `Relaxed` for the `Release` of `deliver`'s exchange or the `Acquire` in `take_pending` (races
//! on the tokens).
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;
use stratalloc_core::remote::Tenure;
use stratalloc_core::span::Span;

const SPANS: usize = 2;

struct Heap {
    tenure: Tenure,
    /// Tokens processed so far: the heap's lists.
    lists: UnsafeCell<usize>,
    spans: [std::cell::UnsafeCell<Span>; SPANS],
    /// What a deliverer did with each span before it delivered.
    contents: [UnsafeCell<usize>; SPANS],
}

// SAFETY: spans are touched by the holder of their token; `contents` shows that it is one.
unsafe impl Sync for Heap {}
// SAFETY: as above.
unsafe impl Send for Heap {}

impl Heap {
    /// A heap that the caller owns.
    fn new() -> Arc<Self> {
        Arc::new(Heap {
            tenure: Tenure::new(),
            lists: UnsafeCell::new(0),
            spans: std::array::from_fn(|_| std::cell::UnsafeCell::new(Span::foreign())),
            contents: std::array::from_fn(|_| UnsafeCell::new(0)),
        })
    }

    /// Processes what was delivered, as `Allocator::collect_pending` does. Who calls has the tenure.
    fn process(&self) {
        let mut span = self.tenure.take_pending();
        while !span.is_null() {
            // SAFETY: taken from the stack: we have its token.
            let next = unsafe { Span::pending(span) };
            let index = (0..SPANS).find(|&index| self.spans[index].get() == span).unwrap();
            // SAFETY: loom checks that nobody else is at it.
            self.contents[index].with_mut(|contents| unsafe {
                assert_eq!(*contents, 1, "the token of span {index}");
                *contents = 2;
            });
            // SAFETY: as above.
            self.lists.with_mut(|lists| unsafe { *lists += 1 });
            span = next;
        }
    }

    fn touch(&self) {
        // SAFETY: loom checks that nobody else is at it.
        self.lists.with_mut(|lists| unsafe { *lists += 0 });
    }

    fn leave(&self) {
        while !self.tenure.leave() {
            self.process();
        }
    }

    fn look_after(&self) {
        if self.tenure.try_enter() {
            self.process();
            self.leave();
        }
    }

    fn deliver(&self, index: usize) {
        // SAFETY: as in `process`.
        self.contents[index].with_mut(|contents| unsafe { *contents = 1 });
        // SAFETY: the model gives each span one token, to this thread.
        if unsafe { self.tenure.deliver(self.spans[index].get()) } {
            self.look_after();
        }
    }

    fn processed(&self) -> usize {
        // SAFETY: loom checks it.
        self.lists.with(|lists| unsafe { *lists })
    }
}

fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(body);
}

#[test]
fn no_token_stays_behind_when_the_owner_leaves() {
    model(|| {
        let heap = Heap::new();
        let deliverers: Vec<_> = (0..SPANS)
            .map(|index| {
                let heap = heap.clone();
                thread::spawn(move || heap.deliver(index))
            })
            .collect();
        heap.process();
        heap.leave();
        deliverers.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(heap.tenure.is_parked() && !heap.tenure.has_pending());
        assert_eq!(heap.processed(), SPANS);
    });
}

#[test]
fn an_agent_and_an_adopter_exclude_each_other() {
    model(|| {
        let heap = Heap::new();
        heap.touch();
        heap.leave();
        let deliverer = {
            let heap = heap.clone();
            thread::spawn(move || heap.deliver(0))
        };
        // `with_tenure`, as for trimming.
        let agent = {
            let heap = heap.clone();
            thread::spawn(move || {
                if heap.tenure.try_enter() {
                    heap.touch();
                    heap.leave();
                }
            })
        };
        let adopted = heap.tenure.try_adopt();
        if adopted {
            heap.touch();
            heap.process();
        }
        deliverer.join().unwrap();
        agent.join().unwrap();
        if adopted {
            assert!(heap.tenure.is_owned());
            heap.process();
        } else {
            assert!(heap.tenure.is_parked() && !heap.tenure.has_pending());
        }
        assert_eq!(heap.processed(), 1);
    });
}

#[test]
fn an_adopter_that_leaves_again_takes_the_tokens_along() {
    model(|| {
        let heap = Heap::new();
        heap.touch();
        heap.leave();
        let adopter = {
            let heap = heap.clone();
            thread::spawn(move || {
                while !heap.tenure.try_adopt() {
                    thread::yield_now();
                }
                heap.touch();
                heap.process();
                heap.leave();
            })
        };
        let deliverer = {
            let heap = heap.clone();
            thread::spawn(move || heap.deliver(1))
        };
        heap.deliver(0);
        deliverer.join().unwrap();
        adopter.join().unwrap();
        assert!(heap.tenure.is_parked() && !heap.tenure.has_pending());
        assert_eq!(heap.processed(), 2);
    });
}

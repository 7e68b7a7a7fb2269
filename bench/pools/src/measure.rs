//! The timed loops.

use std::hint::{black_box, spin_loop};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, yield_now};
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;

use crate::objects::Object;
use crate::pool::Pool;

/// Objects held at once.
pub const HELD: u64 = 64;
/// Operations between two looks at the clock, at least.
const STRETCH: u64 = 4096;
/// Length of the queue between producer and consumer.
const QUEUE: usize = 256;

pub struct Outcome {
    pub nanoseconds: f64,
    pub operations: u64,
}

/// Sum of `count` values from `first` on.
fn sum(first: u64, count: u64) -> u64 {
    let (first, count) = (u128::from(first), u128::from(count));
    (first * count + count * count.saturating_sub(1) / 2) as u64
}

/// Calls `step(value)` for `time`, each time with the next `operations` values, and checks that it gave their sum.
fn timed(time: Duration, first: u64, operations: u64, step: &mut impl FnMut(u64) -> u64) -> (Duration, u64) {
    let (mut next, mut total) = (first, 0u64);
    let start = Instant::now();
    let elapsed = loop {
        for _ in 0..STRETCH.div_ceil(operations) {
            total = total.wrapping_add(step(next));
            next += operations;
        }
        let elapsed = start.elapsed();
        if elapsed >= time {
            break elapsed;
        }
    };
    assert_eq!(total, sum(first, next - first), "the work was not done");
    (elapsed, next - first)
}

/// One thread, warmed up.
pub fn repeat(time: Duration, operations: u64, mut step: impl FnMut(u64) -> u64) -> Outcome {
    let (_, warm) = timed(time / 8, 0, operations, &mut step);
    let (elapsed, operations) = timed(time, warm, operations, &mut step);
    Outcome { nanoseconds: elapsed.as_nanos() as f64 / operations as f64, operations }
}

#[inline(always)]
fn use_it<O: Object>(object: &mut O, value: u64) {
    object.touch(value);
    black_box(&raw mut *object);
}

#[inline(always)]
fn once<P: Pool<O>, O: Object>(pool: &P, value: u64) -> u64 {
    let mut held = pool.take();
    use_it(&mut *held, value);
    held.read()
}

/// Acquire, touch, release.
pub fn one<P: Pool<O>, O: Object>(time: Duration) -> Outcome {
    let pool = P::new();
    repeat(time, 1, |value| once(&pool, value))
}

/// Acquire and touch 64, release them.
pub fn hold<P: Pool<O>, O: Object>(time: Duration) -> Outcome {
    let pool = P::new();
    let mut held = Vec::with_capacity(HELD as usize);
    repeat(time, HELD, |first| {
        for value in first..first + HELD {
            let mut object = pool.take();
            use_it(&mut *object, value);
            held.push(object);
        }
        read_all(&mut held)
    })
}

/// The sum of what they hold; releases them, first in first out.
fn read_all<O: Object>(held: &mut Vec<impl std::ops::Deref<Target = O>>) -> u64 {
    let total = held.iter().fold(0u64, |total, object| total.wrapping_add(object.read()));
    held.clear();
    total
}

/// Touches what a batch call of the contender's own gave, and reads it.
pub fn touch_all<O: Object>(held: &mut [impl std::ops::DerefMut<Target = O>], first: u64) -> u64 {
    for (value, object) in (first..).zip(held.iter_mut()) {
        use_it(&mut **object, value);
    }
    held.iter().fold(0u64, |total, object| total.wrapping_add(object.read()))
}

/// Two threads on one pool. Nanoseconds for each thread.
pub fn threads<P: Pool<O> + Sync, O: Object>(time: Duration) -> Outcome {
    let (pool, barrier) = (P::new(), Barrier::new(2));
    let work = || {
        let mut step = |value| once(&pool, value);
        let (_, warm) = timed(time / 8, 0, 1, &mut step);
        barrier.wait();
        timed(time, warm, 1, &mut step)
    };
    let (one, two) = scope(|scope| {
        let other = scope.spawn(work);
        (work(), other.join().expect("the other thread"))
    });
    let (busy, operations) = (one.0 + two.0, one.1 + two.1);
    Outcome { nanoseconds: busy.as_nanos() as f64 / operations as f64, operations }
}

/// Waits a moment: soon busily, then by giving the processor away.
#[inline]
fn pause(tries: &mut u32) {
    *tries += 1;
    if *tries < 64 { spin_loop() } else { yield_now() }
}

/// One thread acquires, another releases.
pub fn pass<P, O: Object>(time: Duration) -> Outcome
where
    P: Pool<O> + Sync,
    for<'a> P::Held<'a>: Send,
{
    let pool = P::new();
    run_pass::<P, O>(&pool, time / 8);
    run_pass::<P, O>(&pool, time)
}

fn run_pass<P, O: Object>(pool: &P, time: Duration) -> Outcome
where
    P: Pool<O> + Sync,
    for<'a> P::Held<'a>: Send,
{
    let (queue, done, barrier) = (ArrayQueue::new(QUEUE), AtomicBool::new(false), Barrier::new(2));
    let consume = || {
        let (mut total, mut tries) = (0u64, 0);
        barrier.wait();
        loop {
            // Before the look into the queue: whatever came before it is then seen there.
            let last = done.load(Ordering::Acquire);
            match queue.pop() {
                Some(held) => {
                    let held: P::Held<'_> = held;
                    total = total.wrapping_add(held.read());
                    tries = 0;
                }
                None if last => return (total, Instant::now()),
                None => pause(&mut tries),
            }
        }
    };
    scope(|scope| {
        let consumer = scope.spawn(consume);
        barrier.wait();
        let (start, mut next) = (Instant::now(), 0);
        while start.elapsed() < time {
            for value in next..next + STRETCH {
                let mut held = pool.take();
                use_it(&mut *held, value);
                let mut tries = 0;
                while let Err(back) = queue.push(held) {
                    held = back;
                    pause(&mut tries);
                }
            }
            next += STRETCH;
        }
        done.store(true, Ordering::Release);
        let (total, end) = consumer.join().expect("the consumer");
        assert_eq!(total, sum(0, next), "the work was not done");
        Outcome { nanoseconds: (end - start).as_nanos() as f64 / next as f64, operations: next }
    })
}

//! `broker`: messages fan out to subscribers, by tasks that end on other threads.
//!
//! **Models** a message broker on an asynchronous runtime. Publisher threads build messages (topic, headers, payload) and put one
//! counted pointer to each into the mailboxes of the topic's subscribers. A subscriber is a task; for each message it
//! spawns a further task that encodes a frame, yields once, and hands the frame to the subscriber's window of unacknowledged
//! frames. Threads poll whichever task is ready, so tasks, frames and, by the last of its readers, each message are freed
//! far from where they were allocated. Messages in flight are limited.
//!
//! **Source**: the producer–consumer pattern of xmalloc (Lever and Boreham, "malloc() performance in a multithreaded Linux
//! environment", USENIX 2000), with the fan-out of a broker of the kind of Kafka or NATS.
//!
//! **Sensitive to** frees from other threads, their batches' way back to the owner, and memory that gathers at consumers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use stratalloc_bench_protocol::Group;

use super::executor::{Executor, Mailbox, yield_now};
use super::shapes;
use crate::measure::Run;
use crate::random::{Random, fold, mix};
use crate::registry::{Parameters, Threads, Workload};

pub const WORKLOAD: Workload = Workload {
    name: "broker",
    group: Group::Scene,
    models: "messages that fan out to subscribers through boxed tasks, freed on other threads",
    source: "after Lever and Boreham (USENIX 2000), as the fan-out of a message broker",
    sensitive_to: "frees from other threads and how they find their way back to the owner",
    threads: Threads::Cpus,
    latency: true,
    run,
};

/// Messages of all publishers at scale 1.
const MESSAGES: u64 = 60_000;
const PUBLISHERS: u64 = 2;
const TOPICS: usize = 32;
/// Subscribers of a topic, at most.
const FANOUT: usize = 8;
/// Messages that are not yet freed, at most.
const IN_FLIGHT: usize = 2048;
/// Frames that a subscriber keeps until they count as acknowledged.
const WINDOW: usize = 16;

struct Message {
    number: u64,
    topic: String,
    headers: Vec<(String, String)>,
    payload: Vec<u8>,
    permits: Arc<Permits>,
}

/// Counts messages in flight.
#[derive(Default)]
struct Permits {
    taken: Mutex<usize>,
    returned: Condvar,
}

#[derive(Default)]
struct Subscriber {
    mailbox: Mailbox<Arc<Message>>,
    window: Mutex<VecDeque<Box<[u8]>>>,
    sum: AtomicU64,
}

fn run(parameters: &Parameters, run: &mut Run) {
    let messages = parameters.scaled(MESSAGES);
    run.start();
    let (deliveries, sum) = serve(parameters, messages);
    run.stop();
    run.operations(deliveries);
    run.checksum(sum);
}

/// Runs publishers and workers; how many deliveries were made, and the sum over them.
fn serve(parameters: &Parameters, messages: u64) -> (u64, u64) {
    let mut random = Random::stream(parameters.seed, 1000);
    let topics: Vec<Vec<Arc<Subscriber>>> =
        (0..TOPICS).map(|_| (0..random.between(1, FANOUT)).map(|_| Arc::default()).collect()).collect();
    let executor = Arc::new(Executor::default());
    for (number, subscriber) in topics.iter().flatten().enumerate() {
        executor.spawn(subscribe(number as u64, Arc::clone(subscriber), Arc::clone(&executor)));
    }
    let permits = Arc::new(Permits::default());
    let deliveries = thread::scope(|scope| {
        for _ in 0..parameters.threads {
            scope.spawn(|| executor.work());
        }
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                let numbers = (publisher..messages).step_by(PUBLISHERS as usize);
                let random = Random::stream(parameters.seed, publisher);
                let (topics, permits) = (&topics, &permits);
                scope.spawn(move || publish(numbers, random, topics, permits))
            })
            .collect();
        let deliveries = publishers.into_iter().map(|thread| thread.join().expect("no thread panics")).sum();
        topics.iter().flatten().for_each(|subscriber| subscriber.mailbox.close());
        executor.close();
        deliveries
    });
    let sums = topics.iter().flatten().map(|subscriber| subscriber.sum.load(Ordering::Relaxed));
    (deliveries, sums.fold(0, u64::wrapping_add))
}

/// A publisher: one message for each number; how many deliveries they are.
fn publish(
    numbers: impl Iterator<Item = u64>,
    mut random: Random,
    topics: &[Vec<Arc<Subscriber>>],
    permits: &Arc<Permits>,
) -> u64 {
    let mut deliveries = 0;
    for number in numbers {
        permits.take();
        let topic = random.log_between(1, TOPICS) - 1;
        let headers =
            (0..random.below(6)).map(|n| (format!("header-{n}"), format!("{:x}", random.next()))).collect();
        let payload = shapes::block(random.log_between(32, 16 << 10), number).into_vec();
        let permits = Arc::clone(permits);
        let message = Message { number, topic: format!("orders.region.{topic}"), headers, payload, permits };
        let message = Arc::new(message);
        for subscriber in &topics[topic] {
            subscriber.mailbox.send(Arc::clone(&message));
        }
        deliveries += topics[topic].len() as u64;
    }
    deliveries
}

/// A subscriber's task: a further one for each message.
async fn subscribe(number: u64, subscriber: Arc<Subscriber>, executor: Arc<Executor>) {
    while let Some(message) = subscriber.mailbox.receive().await {
        executor.spawn(deliver(number, Arc::clone(&subscriber), message));
    }
}

/// Encodes a message for one subscriber and puts it in the window.
async fn deliver(number: u64, subscriber: Arc<Subscriber>, message: Arc<Message>) {
    let mut head = format!("MSG {} {number} {}", message.topic, message.payload.len());
    for (name, value) in &message.headers {
        head.push('\n');
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
    }
    yield_now().await;
    let mut frame = Vec::with_capacity(head.len() + message.payload.len());
    frame.extend_from_slice(head.as_bytes());
    frame.extend_from_slice(&message.payload);
    let seen = fold(shapes::read(head.as_bytes()), shapes::read(&frame));
    subscriber.sum.fetch_add(mix(seen ^ message.number), Ordering::Relaxed);
    drop(message);
    let mut window = subscriber.window.lock().expect("no thread panics");
    let acknowledged = if window.len() == WINDOW { window.pop_front() } else { None };
    window.push_back(frame.into_boxed_slice());
    drop(window);
    drop(acknowledged);
}

impl Permits {
    fn take(&self) {
        let mut taken = self.taken.lock().expect("no thread panics");
        while *taken >= IN_FLIGHT {
            taken = self.returned.wait(taken).expect("no thread panics");
        }
        *taken += 1;
    }

    fn give_back(&self) {
        *self.taken.lock().expect("no thread panics") -= 1;
        self.returned.notify_one();
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.permits.give_back();
    }
}

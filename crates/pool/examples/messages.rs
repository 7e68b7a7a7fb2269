//! Messages: made by one thread, consumed by another, and nobody may hold the others up. A bounded pool
//! without locks: [`LockFreePool`].
//!
//! ```console
//! $ cargo run -p stratalloc-pool --example messages
//! ```

use std::sync::Arc;
use std::sync::mpsc::channel;
use stratalloc_pool::{LockFreePool, Options};

#[derive(Default)]
struct Message {
    number: u64,
    text: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::new().limit(64).padded();
    let reset = |message: &mut Message| message.text.clear();
    let pool = Arc::new(LockFreePool::with_options(Message::default, reset, options)?);

    let (sender, receiver) = channel();
    let producer = std::thread::spawn({
        let pool = pool.clone();
        move || {
            let mut refused = 0u64;
            for number in 0..20_000 {
                // Back-pressure: at the limit the producer waits for the consumer, not for memory.
                let mut message = loop {
                    match pool.try_acquire_owned() {
                        Ok(message) => break message,
                        Err(_) => {
                            refused += 1;
                            std::thread::yield_now();
                        }
                    }
                };
                message.number = number;
                message.text.push_str("payload");
                if sender.send(message).is_err() {
                    break;
                }
            }
            refused
        }
    });
    let mut sum = 0;
    for message in receiver {
        assert_eq!(message.text, "payload");
        sum += message.number;
        // Dropped here: back in the pool, with the capacity of its text.
    }
    let refused = producer.join().map_err(|_| "the producer ended badly")?;
    println!("sum {sum}; the producer waited {refused} times; {}", pool.stats());
    Ok(())
}

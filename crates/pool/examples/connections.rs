//! Connections: few, dear to make, wanted by more threads than there are. A pool with a hard limit
//! whose users wait their turn: [`ObjectPool`].
//!
//! ```console
//! $ cargo run -p stratalloc-pool --example connections
//! ```

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use stratalloc_pool::{AcquireError, ObjectPool, Options};

/// How many were made.
static OPENED: AtomicU32 = AtomicU32::new(0);

/// Stands for a socket and its buffers.
struct Connection {
    number: u32,
    buffer: [u8; 4096],
    in_transaction: bool,
}

impl Connection {
    fn open() -> Self {
        let number = OPENED.fetch_add(1, Ordering::Relaxed) + 1;
        Self { number, buffer: [0; 4096], in_transaction: false }
    }

    fn query(&mut self, text: &str) -> usize {
        self.in_transaction = true;
        self.buffer[..text.len()].copy_from_slice(text.as_bytes());
        // The other end takes its time.
        std::thread::sleep(Duration::from_micros(50));
        text.len()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The reset runs when a connection comes back: nobody gets one in the middle of a transaction.
    let reset = |connection: &mut Connection| connection.in_transaction = false;
    let pool = ObjectPool::with_options(Connection::open, reset, Options::new().limit(3))?;

    let answered = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let (pool, answered) = (&pool, &answered);
            scope.spawn(move || {
                for request in 0..100 {
                    let mut connection = match pool.acquire_timeout(Duration::from_secs(10)) {
                        Ok(connection) => connection,
                        Err(error) => return eprintln!("worker {worker}: {error}"),
                    };
                    assert!(!connection.in_transaction);
                    connection.query(&format!("request {request} of worker {worker}"));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });

    let held: Vec<_> = (0..3).filter_map(|_| pool.try_acquire().ok()).collect();
    assert_eq!(pool.try_acquire().err(), Some(AcquireError::Exhausted));
    let numbers: Vec<_> = held.iter().map(|connection| connection.number).collect();
    drop(held);
    println!("{} requests over connections {numbers:?}; {}", answered.into_inner(), pool.stats());
    Ok(())
}

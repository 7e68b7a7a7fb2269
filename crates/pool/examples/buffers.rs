//! Buffers: taken and returned all the time, by all threads, at any rate. A pool with a cache for each
//! thread: [`TieredPool`].
//!
//! ```console
//! $ cargo run -p stratalloc-pool --example buffers
//! ```

use stratalloc_pool::TieredPool;

fn main() {
    let pool = TieredPool::new(|| Vec::<u8>::with_capacity(16 << 10), Vec::clear);
    let bytes: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker: u8| {
                let pool = &pool;
                scope.spawn(move || {
                    let mut bytes = 0;
                    for length in 0..10_000 {
                        // From this thread's cache: no lock, no atomic read-modify-write.
                        let mut buffer = pool.try_acquire().expect("no limit was set");
                        assert!(buffer.is_empty() && buffer.capacity() >= 16 << 10);
                        buffer.resize(length % 1000, worker);
                        bytes += buffer.len();
                    }
                    bytes
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker that ends well")).sum()
    });
    let tiers = pool.tier_stats();
    println!("{bytes} bytes went through {} buffers; hits by level:", tiers.misses);
    for (level, figures) in tiers.levels.iter().enumerate() {
        println!("  L{}: {}", level + 1, figures.hits);
    }
    println!("{} buffers went when trimmed", pool.trim(0));
}

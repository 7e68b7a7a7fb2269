//! Scratch space of one thread: objects with warm memory, constructed once and used again, without
//! anything that threads would need. [`LocalPool`].
//!
//! ```console
//! $ cargo run -p stratalloc-pool --example scratch
//! ```

use std::collections::BTreeSet;
use stratalloc_pool::{AcquireError, LocalPool};

/// What sorting the words of a line needs.
#[derive(Default)]
struct Scratch {
    word: String,
    words: BTreeSet<String>,
}

fn main() -> Result<(), AcquireError> {
    let pool = LocalPool::new(Scratch::default, |scratch| {
        scratch.word.clear();
        scratch.words.clear();
    });
    // Recursion: each level takes its own, and the next line finds them all again.
    fn nested(
        pool: &LocalPool<Scratch, impl stratalloc_pool::Manage<Scratch>>,
        line: &str,
    ) -> Result<usize, AcquireError> {
        let mut scratch = pool.try_acquire()?;
        for word in line.split(' ') {
            scratch.word.clear();
            scratch.word.push_str(word);
            let copy = scratch.word.clone();
            scratch.words.insert(copy);
        }
        let below = match line.rsplit_once(' ') {
            Some((rest, _)) => nested(pool, rest)?,
            None => 0,
        };
        Ok(scratch.words.len() + below)
    }
    let mut words = 0;
    for _ in 0..1000 {
        words += nested(&pool, "a pool of what one thread needs again and again")?;
    }
    println!("{words} words; {}", pool.stats());
    assert_eq!(pool.stats().misses, 10);
    Ok(())
}

//! Threads: blocks that change hands, thread-locals that allocate and free while their thread ends,
//! threads that borrow. (What is measured runs in `alone`.)
#![allow(clippy::vec_box)] // Each in a block of its own: that is what is tested.

mod common;

use common::Random;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use stratalloc::Stratalloc;

#[global_allocator]
static GLOBAL: Stratalloc = Stratalloc;

/// A block that knows what it should hold.
struct Marked {
    bytes: Vec<u8>,
    mark: u8,
}

impl Marked {
    fn new(len: usize, mark: u8) -> Marked {
        Marked { bytes: vec![mark; len], mark }
    }

    fn is_whole(&self) -> bool {
        self.bytes.iter().step_by(61).chain(self.bytes.last()).all(|&byte| byte == self.mark)
    }
}

#[test]
fn blocks_are_freed_on_threads_that_did_not_allocate_them() {
    let random = Random::new("exchange", 11);
    let threads = 4;
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..threads).map(|_| mpsc::channel::<Marked>()).unzip();
    let handles: Vec<_> = receivers
        .into_iter()
        .enumerate()
        .map(|(index, receiver)| {
            let senders = senders.clone();
            let mut random = random.split(index as u64);
            thread::spawn(move || {
                let mut received = 0;
                let mut kept = Vec::new();
                for round in 0..20_000 {
                    let block = Marked::new(random.size(15), round as u8);
                    // Some stay, most go to another thread.
                    match random.below(8) {
                        0 => kept.push(block),
                        to => senders[to % threads].send(block).expect("a receiver"),
                    }
                    if kept.len() > 100 {
                        let at = random.below(kept.len());
                        assert!(kept.swap_remove(at).is_whole());
                    }
                    while let Ok(block) = receiver.try_recv() {
                        assert!(block.is_whole());
                        received += 1;
                    }
                }
                drop(senders);
                for block in receiver {
                    assert!(block.is_whole());
                    received += 1;
                }
                assert!(kept.iter().all(Marked::is_whole));
                received + kept.len()
            })
        })
        .collect();
    drop(senders);
    let received: usize = handles.into_iter().map(|handle| handle.join().expect("no panic")).sum();
    assert!(received > 4 * 20_000 * 3 / 4, "{received}");
}

#[test]
fn blocks_outlive_the_threads_that_allocated_them() {
    for round in 0..50 {
        let blocks: Vec<Marked> = thread::scope(|scope| {
            let handles: Vec<_> = (0..4u8)
                .map(|mark| {
                    scope.spawn(move || (0..500).map(|n| Marked::new(1 + n * 17, mark)).collect::<Vec<_>>())
                })
                .collect();
            handles.into_iter().flat_map(|handle| handle.join().expect("no panic")).collect()
        });
        assert_eq!(blocks.len(), 2000);
        // Freed by a thread that adopts what one of the others left, while a third allocates.
        thread::scope(|scope| {
            scope.spawn(|| {
                for block in blocks {
                    assert!(block.is_whole(), "round {round}");
                }
            });
            scope.spawn(|| {
                let fresh: Vec<Marked> = (0..2000).map(|n| Marked::new(1 + n * 5, 0xee)).collect();
                assert!(fresh.iter().all(Marked::is_whole));
            });
        });
    }
}

#[test]
fn blocks_are_resized_on_threads_that_did_not_allocate_them() {
    let mut blocks: Vec<Vec<u32>> = (0..200).map(|n| (0..n).collect()).collect();
    for round in 0..10u32 {
        blocks = thread::spawn(move || {
            for block in &mut blocks {
                let last = block.len() as u32;
                block.extend(last..last + 100 * (round + 1));
                block.shrink_to_fit();
            }
            blocks
        })
        .join()
        .expect("no panic");
    }
    for block in blocks {
        assert!(block.iter().zip(0..).all(|(&value, n)| value == n));
    }
}

static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// Allocates and frees in its destructor, and touches another thread-local there.
struct Late {
    held: BTreeMap<usize, String>,
}

impl Late {
    fn new(n: usize) -> Late {
        Late { held: (0..n).map(|k| (k, format!("entry {k} of {n}"))).collect() }
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        for (k, text) in &self.held {
            assert!(text.starts_with(&format!("entry {k} ")));
        }
        let copies: Vec<String> = self.held.values().map(|text| text.repeat(20)).collect();
        // Gone or alive, or started anew: all are allowed.
        let _ = SECOND.try_with(|second| second.borrow_mut().push(Box::new([7; 100])));
        assert_eq!(copies.len(), self.held.len());
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

thread_local! {
    static FIRST: RefCell<Option<Late>> = const { RefCell::new(None) };
    static SECOND: RefCell<Vec<Box<[u8; 100]>>> = const { RefCell::new(Vec::new()) };
    static THIRD: RefCell<Option<Late>> = const { RefCell::new(None) };
}

#[test]
fn thread_locals_allocate_and_free_in_their_destructors() {
    let threads = 400;
    for batch in 0..threads / 8 {
        let handles: Vec<_> = (0..8)
            .map(|index| {
                thread::spawn(move || {
                    // Registered in different orders, one of them before the thread's first block.
                    if index % 2 == 0 {
                        SECOND.with(|second| second.borrow_mut().push(Box::new([index; 100])));
                    }
                    FIRST.set(Some(Late::new(10 + batch)));
                    THIRD.set(Some(Late::new(30)));
                })
            })
            .collect();
        for handle in handles {
            handle.join().expect("no panic in a destructor");
        }
    }
    assert_eq!(DROPPED.load(Ordering::Relaxed), threads * 2);
}

#[test]
fn scoped_threads_share_and_return_what_they_build() {
    let words: Vec<String> = (0..5000).map(|n| format!("word {}", n % 700)).collect();
    let counts: Mutex<BTreeMap<&str, usize>> = Mutex::new(BTreeMap::new());
    for _ in 0..10 {
        thread::scope(|scope| {
            for part in words.chunks(1250) {
                let counts = &counts;
                scope.spawn(move || {
                    let mut own: BTreeMap<&str, usize> = BTreeMap::new();
                    for word in part {
                        *own.entry(word).or_default() += 1;
                    }
                    let mut all = counts.lock().expect("no panic");
                    for (word, count) in own {
                        *all.entry(word).or_default() += count;
                    }
                });
            }
        });
    }
    let counts = counts.into_inner().expect("no panic");
    assert_eq!(counts.len(), 700);
    assert_eq!(counts.values().sum::<usize>(), 50_000);
}

#[test]
fn the_last_owner_of_shared_values_frees_them_whoever_it_is() {
    let barrier = Arc::new(Barrier::new(4));
    let drops = Arc::new(AtomicUsize::new(0));
    struct Counted {
        drops: Arc<AtomicUsize>,
        _block: Vec<u8>,
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            self.drops.fetch_add(1, Ordering::Relaxed);
        }
    }
    for round in 0..200usize {
        let shared: Vec<Arc<Counted>> =
            (0..50).map(|n| Arc::new(Counted { drops: drops.clone(), _block: vec![1; n * 100] })).collect();
        thread::scope(|scope| {
            for _ in 0..3 {
                let (mine, barrier) = (shared.clone(), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    drop(mine);
                });
            }
            barrier.wait();
            drop(shared);
        });
        assert_eq!(drops.load(Ordering::Relaxed), 50 * (round + 1));
    }
}

//! Model of the remote list: pushes of single blocks and chains, the token, retirement.
//!
//! What a program does with a block before it frees it, the life of the descriptor, and the span's
//! memory are cells whose accesses loom checks for races. Asserted: each block comes to exactly one
//! taker, or all of them to the one who retires the list; the last one is that which the token's maker noted; there
//! is one token as long as there is something to take; the descriptor is released once, after everybody's last look at it.
//!
//! Seen to fail with: `Relaxed` for the `AcqRel` in `push` (races on the blocks), `Release` for it (the one
//! who retires races with earlier pushers), `Release` or `Acquire` alone for the `AcqRel` in `take` (the
//! second: one token's holder races with the next's on the pending link), the last block read after the
//! list is taken, a `push` that reports the token when the list was not empty, `total > capacity` for
//! `total == capacity`.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;
use stratalloc_core::remote::{Pushed, RemoteList, Taken};
use stratalloc_core::span::Block;

const BLOCKS: usize = 3;

/// A block as the list sees it: aligned to 16 B.
#[repr(align(16))]
struct Memory(std::cell::UnsafeCell<Block>);

/// A span of `BLOCKS` blocks, all in the program's hands.
struct Span {
    list: RemoteList,
    memory: [Memory; BLOCKS],
    /// What the program wrote in each block.
    contents: [UnsafeCell<usize>; BLOCKS],
    /// What only the token's holder touches: the pending link, and which block is the last of the list.
    token: UnsafeCell<usize>,
    /// False once the descriptor is released.
    descriptor: UnsafeCell<bool>,
    /// How often each block came home.
    home: [AtomicUsize; BLOCKS],
    retired: AtomicUsize,
    dropped: AtomicUsize,
}

// SAFETY: `memory` is touched by whoever has the block; that this is one thread at a time is what the
// model shows, on `contents`.
unsafe impl Sync for Span {}
// SAFETY: as above.
unsafe impl Send for Span {}

impl Span {
    fn new() -> Arc<Self> {
        let block = || Memory(std::cell::UnsafeCell::new(Block { next: std::ptr::null_mut() }));
        Arc::new(Span {
            list: RemoteList::new(),
            memory: std::array::from_fn(|_| block()),
            contents: std::array::from_fn(|_| UnsafeCell::new(0)),
            token: UnsafeCell::new(0),
            descriptor: UnsafeCell::new(true),
            home: std::array::from_fn(|_| AtomicUsize::new(0)),
            retired: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
        })
    }

    fn block(&self, index: usize) -> *mut Block {
        self.memory[index].0.get()
    }

    fn index(&self, block: *mut Block) -> usize {
        (0..BLOCKS).find(|&index| self.block(index) == block).expect("a block of the span")
    }

    fn write(&self, index: usize) {
        // SAFETY: loom checks that nobody else is at it.
        self.contents[index].with_mut(|contents| unsafe { *contents += 1 });
    }

    /// Notes the list's last block.
    fn note_tail(&self, index: usize) {
        // SAFETY: loom checks that nobody else is at it.
        self.token.with_mut(|tail| unsafe { *tail = index });
    }

    fn tail(&self) -> usize {
        // SAFETY: loom checks that nobody else is at it.
        self.token.with(|tail| unsafe { *tail })
    }

    /// Frees a chain, as `Allocator::send` does; true: we hold the token.
    fn free(&self, chain: &[usize]) -> bool {
        let token = self.push(chain);
        if token {
            self.note_tail(chain[chain.len() - 1]);
        }
        token
    }

    fn push(&self, chain: &[usize]) -> bool {
        chain.iter().for_each(|&index| self.write(index));
        for link in chain.windows(2) {
            // SAFETY: our blocks.
            unsafe { Block::link(self.block(link[0]), self.block(link[1])) };
        }
        // SAFETY: loom checks it.
        self.descriptor.with(|alive| assert!(unsafe { *alive }));
        let (head, tail) = (self.block(chain[0]), self.block(chain[chain.len() - 1]));
        let mut ready = false;
        loop {
            // SAFETY: our blocks, linked.
            match unsafe { self.list.push(head, tail, chain.len(), BLOCKS, None, ready) } {
                Pushed::Listed(token) => return token,
                Pushed::Completed(_) => unreachable!("the span is not available"),
                Pushed::Retired(token) => {
                    // The memory is ours, and with it every block.
                    (0..BLOCKS).for_each(|index| self.write(index));
                    assert_eq!(self.retired.fetch_add(1, Relaxed), 0, "retired twice");
                    return token;
                }
                Pushed::WouldRetire => ready = true,
            }
        }
    }

    /// What the owner does with a token.
    fn take(&self) -> usize {
        // SAFETY: loom checks it.
        self.descriptor.with(|alive| assert!(unsafe { *alive }, "the token outlived the descriptor"));
        let tail = self.tail();
        match self.list.take() {
            Taken::Chain(mut block, count) => {
                for left in (0..count).rev() {
                    let index = self.index(block);
                    self.write(index);
                    self.home[index].fetch_add(1, Relaxed);
                    // SAFETY: ours now.
                    block = unsafe { (*block).next };
                    assert_eq!(left == 0, block.is_null());
                    assert_eq!(left == 0, index == tail, "the last block is another one than its pusher noted");
                }
                count
            }
            Taken::Retired => {
                // SAFETY: loom checks that nobody looks at it any more.
                self.descriptor.with_mut(|alive| unsafe { *alive = false });
                self.dropped.fetch_add(1, Relaxed);
                0
            }
        }
    }

    /// Everybody is done: nothing is lost, nothing came twice.
    fn finish(&self) {
        let home: Vec<usize> = self.home.iter().map(|times| times.load(Relaxed)).collect();
        if self.retired.load(Relaxed) == 1 {
            assert_eq!((home, self.dropped.load(Relaxed)), (vec![0; BLOCKS], 1));
        } else {
            assert_eq!((home, self.dropped.load(Relaxed)), (vec![1; BLOCKS], 0));
        }
        assert!(self.list.is_empty());
    }
}

fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(4);
    builder.check(body);
}

/// Each pusher that gets the token plays the owner at once.
#[test]
fn every_block_comes_home_once_or_the_list_is_retired_once() {
    model(|| {
        let span = Span::new();
        let other = span.clone();
        let pusher = thread::spawn(move || {
            if other.free(&[0]) {
                other.take();
            }
        });
        if span.free(&[1, 2]) {
            span.take();
        }
        pusher.join().unwrap();
        span.finish();
    });
}

/// Three pushers, so that one comes between the other's push and the owner's look.
#[test]
fn three_pushers() {
    model(|| {
        let span = Span::new();
        let pushers: Vec<_> = (0..2)
            .map(|index| {
                let span = span.clone();
                thread::spawn(move || {
                    if span.free(&[index]) {
                        span.take();
                    }
                })
            })
            .collect();
        if span.free(&[2]) {
            span.take();
        }
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        span.finish();
    });
}

/// The owner sleeps: who frees the last block retires the list, and finds the token to be out.
#[test]
fn what_nobody_takes_is_retired() {
    model(|| {
        let span = Span::new();
        let pushers: Vec<_> = [vec![0, 1], vec![2]]
            .into_iter()
            .map(|chain| {
                let span = span.clone();
                thread::spawn(move || span.free(&chain))
            })
            .collect();
        let tokens = pushers.into_iter().map(|pusher| usize::from(pusher.join().unwrap())).sum::<usize>();
        assert_eq!((tokens, span.retired.load(Relaxed)), (1, 1));
        assert_eq!(span.take(), 0);
        span.finish();
    });
}

/// The token travels: who gets it hands it to the owner, a thread of its own, by a message.
#[test]
fn the_owner_takes_with_the_token_only() {
    model(|| {
        let span = Span::new();
        let tokens = Arc::new(AtomicUsize::new(0));
        let pushers: Vec<_> = [vec![0, 1], vec![2]]
            .into_iter()
            .map(|chain| {
                let (span, tokens) = (span.clone(), tokens.clone());
                thread::spawn(move || {
                    if span.free(&chain) {
                        tokens.fetch_add(1, loom::sync::atomic::Ordering::Release);
                    }
                })
            })
            .collect();
        let mut taken = 0;
        let mut collect = || {
            while tokens.load(loom::sync::atomic::Ordering::Acquire) > taken {
                taken += 1;
                span.take();
            }
        };
        collect();
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        collect();
        span.finish();
    });
}

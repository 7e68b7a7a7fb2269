//! Model of an available span whose list is retired when it is complete, while its owner frees its own blocks, takes the
//! span into use, or looks into it.
//!
//! The span's remote list, `place` and `countdown` are the real ones. What a program does with a block before it frees it,
//! what the owner does with a free one, and what is done with the memory of a retired span are accesses to cells that loom
//! checks for races. Asserted: the span is retired at most once, and then no block of it is in anybody's hands; a block that
//! the owner hands out is not in memory that was given away; one token is left for it.
//!
//! Seen to fail with: a list that is retired without a mark, or whose length is compared before the mark only; `Relaxed` or
//! `Release` for the exchanges of `retire`; `withdraw` without `unmark`, or in the other order; a `Relaxed` one there;
//! `Relaxed` in `set_countdown`, `set_place` or either load of `in_use`; a span that is filed with its place before its countdown.
#![cfg(loom)]

mod models;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use models::side_by_side;
use stratalloc_core::remote::{Pushed, Taken};
use stratalloc_core::span::{Block, Place, Span};

const BLOCKS: usize = 3;

#[repr(align(16))]
struct Memory(std::cell::UnsafeCell<Block>);

struct World {
    span: Span,
    memory: [Memory; BLOCKS],
    /// What is in each block, in use or free.
    contents: [UnsafeCell<usize>; BLOCKS],
    /// Blocks in somebody's hands.
    in_use: AtomicUsize,
    retired: AtomicUsize,
    /// On their way to the owner.
    tokens: AtomicUsize,
    /// Times that a token was found to be of a retired span.
    dropped: AtomicUsize,
}

// SAFETY: `memory` is touched by whoever has the block; the span's fields that are not atomic do not change.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    /// Of an available span, the first `used` blocks are in use, the others free.
    fn new(used: usize) -> Arc<Self> {
        let block = || Memory(std::cell::UnsafeCell::new(Block { next: std::ptr::null_mut() }));
        let mut span = Span::foreign();
        span.capacity = BLOCKS as u32;
        let world = World {
            span,
            memory: std::array::from_fn(|_| block()),
            contents: std::array::from_fn(|_| UnsafeCell::new(0)),
            in_use: AtomicUsize::new(used),
            retired: AtomicUsize::new(0),
            tokens: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
        };
        world.file(used);
        Arc::new(world)
    }

    /// `Allocator::file`.
    fn file(&self, used: usize) {
        self.span.set_countdown(used as u32);
        self.span.set_place(Place::Available);
    }

    fn write(&self, index: usize) {
        // SAFETY: loom checks that nobody else is at it.
        self.contents[index].with_mut(|contents| unsafe { *contents += 1 });
    }

    /// Another thread frees a block, as `Allocator::send` does. True: it has the token.
    fn send(&self, index: usize) -> bool {
        self.write(index);
        self.in_use.fetch_sub(1, Relaxed);
        let memory = self.memory[index].0.get();
        // SAFETY: our block.
        match unsafe { self.span.remote.push(memory, memory, 1, BLOCKS, self.span.in_use(), false) } {
            Pushed::Listed(token) | Pushed::Completed(token) => token,
            pushed => unreachable!("{pushed:?}"),
        }
    }

    /// Frees a block; who gets the token sees at once whether the list is complete, and delivers it then.
    fn send_and_look(&self, index: usize) {
        if self.send(index) {
            self.retire_complete();
            self.tokens.fetch_add(1, Relaxed);
        }
    }

    /// `Allocator::retire_complete`, by the token's holder.
    fn retire_complete(&self) {
        if self.span.remote.retire(|| self.span.in_use()) {
            assert_eq!(self.in_use.load(Relaxed), 0, "a block in use was given away");
            assert_eq!(self.retired.fetch_add(1, Relaxed), 0, "retired twice");
            (0..BLOCKS).for_each(|index| self.write(index));
        }
    }

    /// The owner frees a block, as the fast path does. True: it was the last in use.
    fn free(&self, index: usize) -> bool {
        self.in_use.fetch_sub(1, Relaxed);
        self.write(index);
        // SAFETY: the model's owner.
        unsafe { Span::count_down(std::ptr::from_ref(&self.span).cast_mut()) }
    }

    /// The owner collects what is in the list, as it does with the token.
    fn collect(&self) {
        match self.span.remote.take() {
            Taken::Chain(mut block, count) => {
                for _ in 0..count {
                    let index = (0..BLOCKS).find(|&index| self.memory[index].0.get() == block);
                    self.write(index.expect("a block of the span"));
                    // SAFETY: ours now.
                    block = unsafe { (*block).next };
                }
                self.span.set_countdown(self.span.countdown() - count as u32);
            }
            Taken::Retired => {
                assert_eq!(self.dropped.fetch_add(1, Relaxed), 0, "two tokens for one span");
            }
        }
    }

    /// The owner takes the span into use and hands a free block out. False: it was retired.
    fn hand_out(&self, index: usize) -> bool {
        let mine = self.span.withdraw();
        if mine {
            self.in_use.fetch_add(1, Relaxed);
            self.write(index);
        }
        mine
    }

    /// Nobody uses a block: either the span was retired, or its blocks are all in the owner's books.
    fn finish(&self) {
        assert_eq!(self.in_use.load(Relaxed), 0);
        let retired = self.retired.load(Relaxed) == 1;
        for _ in 0..self.tokens.load(Relaxed) {
            self.collect();
        }
        assert!(self.span.remote.is_empty());
        assert_eq!(self.dropped.load(Relaxed), usize::from(retired), "one token leads to what is retired");
        assert!(retired || self.span.countdown() == 0);
    }
}

/// `threads` and `own` run side by side, `last` when they have ended.
fn model(used: usize, threads: Vec<fn(&World)>, own: fn(&World), last: fn(&World)) {
    // One more preemption takes the longest of these models half a minute.
    side_by_side(
        2,
        move || World::new(used),
        threads,
        own,
        move |world| {
            last(world);
            world.finish();
        },
    );
}

#[test]
fn what_a_sleeping_owner_left_available_is_retired_once_all_is_there() {
    model(
        2,
        vec![|world| {
            if world.send(0) {
                world.tokens.fetch_add(1, Relaxed);
            }
        }],
        |world| {
            if world.send(1) {
                world.tokens.fetch_add(1, Relaxed);
            }
        },
        |world| {
            assert_eq!(world.tokens.load(Relaxed), 1);
            world.retire_complete();
            assert_eq!(world.retired.load(Relaxed), 1);
        },
    );
}

#[test]
fn the_owner_frees_its_own() {
    model(
        2,
        vec![|world| world.send_and_look(0)],
        |world| {
            world.free(1);
        },
        |_| {},
    );
}

#[test]
fn the_owner_frees_its_own_while_two_free_theirs() {
    model(
        3,
        vec![|world| world.send_and_look(0), |world| world.send_and_look(1)],
        |world| {
            world.free(2);
        },
        |_| {},
    );
}

#[test]
fn the_owner_takes_the_span_into_use() {
    model(
        2,
        vec![|world| world.send_and_look(0), |world| world.send_and_look(1)],
        |world| {
            if world.hand_out(2) {
                world.in_use.fetch_sub(1, Relaxed);
                world.write(2);
            }
        },
        |_| {},
    );
}

/// The word may look as before when the list is looked at again: the mark is gone.
#[test]
fn the_owner_takes_it_into_use_and_puts_it_back_with_more_in_use() {
    model(
        2,
        vec![|world| world.send_and_look(0), |world| world.send_and_look(1)],
        |world| {
            if world.hand_out(2) {
                world.file(3);
                world.free(2);
            }
        },
        |_| {},
    );
}

#[test]
fn the_owner_looks_into_it_and_puts_it_back() {
    model(
        1,
        vec![|world| world.send_and_look(0)],
        |world| {
            if world.span.withdraw() {
                world.write(2);
            }
            world.span.set_place(Place::Available);
        },
        |_| {},
    );
}

/// The owner is there first, and files what it collected, while another frees the last block and has the next token.
#[test]
fn the_owner_collects_with_the_token() {
    model(
        2,
        vec![|world| world.send_and_look(0)],
        |world| {
            if world.send(1) {
                world.collect();
            }
        },
        |_| {},
    );
}

//! Allocate many, free all at once.

use std::alloc::Layout;
use std::hint::black_box;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::time::Duration;

use bumpalo::Bump;
use stratalloc_pool::{FixedPool, VarPool};
use typed_arena::Arena;

use crate::measure::{Outcome, repeat};
use crate::objects::filled;
use crate::pool::Raw;

/// Objects before all are freed.
const MANY: u64 = 4096;

type Item = [u64; 8];

/// Allocates [`MANY`] objects and frees them.
trait Region {
    fn new() -> Self;

    /// Allocates and writes an object for each value, and adds up what is read there; then frees all, or before the
    /// next time.
    fn fill(&mut self, values: std::ops::Range<u64>) -> u64;
}

fn run<R: Region>(time: Duration) -> Outcome {
    let mut region = R::new();
    repeat(time, MANY, |first| region.fill(first..first + MANY))
}

/// Shows the object to the compiler as used and reads it.
#[inline(always)]
fn read(item: &mut Item) -> u64 {
    black_box(&raw mut *item);
    if item[0] == item[7] { item[0] } else { !0 }
}

struct Typed;

impl Region for Typed {
    fn new() -> Self {
        Self
    }

    fn fill(&mut self, values: std::ops::Range<u64>) -> u64 {
        let arena = Arena::with_capacity(MANY as usize);
        values.fold(0u64, |total, value| total.wrapping_add(read(arena.alloc(filled(value)))))
    }
}

impl Region for Bump {
    fn new() -> Self {
        Bump::new()
    }

    fn fill(&mut self, values: std::ops::Range<u64>) -> u64 {
        self.reset();
        values.fold(0u64, |total, value| total.wrapping_add(read(self.alloc(filled(value)))))
    }
}

/// Raw blocks, freed one by one.
struct Singly<R> {
    raw: R,
    blocks: Vec<NonNull<u8>>,
}

impl<R: Raw> Region for Singly<R> {
    fn new() -> Self {
        Self { raw: R::new(Layout::new::<Item>()), blocks: Vec::with_capacity(MANY as usize) }
    }

    fn fill(&mut self, values: std::ops::Range<u64>) -> u64 {
        let layout = Layout::new::<Item>();
        let mut total = 0u64;
        for value in values {
            let block = self.raw.get(layout);
            // SAFETY: a block of an item's layout, ours until freed.
            total = total.wrapping_add(unsafe {
                block.cast::<Item>().write(filled(value));
                read(block.cast().as_mut())
            });
            self.blocks.push(block);
        }
        for block in self.blocks.drain(..) {
            // SAFETY: allocated above, freed once.
            unsafe { self.raw.put(block, layout) };
        }
        total
    }
}

/// Our pool of any sizes, which forgets all its blocks at once.
impl Region for VarPool {
    fn new() -> Self {
        VarPool::new()
    }

    fn fill(&mut self, values: std::ops::Range<u64>) -> u64 {
        let mut total = 0u64;
        for value in values {
            let block = self.allocate(Layout::new::<Item>()).expect("a block").cast::<Item>();
            // SAFETY: a block of an item's layout, ours until the reset.
            total = total.wrapping_add(unsafe {
                block.write(filled(value));
                read(&mut *block.as_ptr())
            });
        }
        self.reset();
        total
    }
}

/// Our pool of one layout, which takes all its blocks back at once.
struct Reset(FixedPool);

impl Region for Reset {
    fn new() -> Self {
        Self(FixedPool::new(Layout::new::<Item>()).expect("a pool"))
    }

    fn fill(&mut self, values: std::ops::Range<u64>) -> u64 {
        self.0.reset();
        let mut total = 0u64;
        for value in values {
            let block = self.0.try_acquire().expect("a block").cast::<Item>();
            // SAFETY: a block of an item's layout, ours until the reset.
            total = total.wrapping_add(unsafe {
                block.write(filled(value));
                read(&mut *block.as_ptr())
            });
        }
        total
    }
}

/// A new [`FixedPool`] each time, dropped with its blocks.
struct Fresh(PhantomData<FixedPool>);

impl Region for Fresh {
    fn new() -> Self {
        Self(PhantomData)
    }

    fn fill(&mut self, values: std::ops::Range<u64>) -> u64 {
        let pool = FixedPool::with_capacity(Layout::new::<Item>(), MANY as usize).expect("a pool");
        let pool = pool.on_leak(|_| {});
        let mut total = 0u64;
        for value in values {
            let block = pool.try_acquire().expect("a block").cast::<Item>();
            // SAFETY: a block of an item's layout, ours until the pool goes.
            total = total.wrapping_add(unsafe {
                block.write(filled(value));
                read(&mut *block.as_ptr())
            });
        }
        total
    }
}

pub fn typed(time: Duration) -> Outcome {
    run::<Typed>(time)
}

pub fn bump(time: Duration) -> Outcome {
    run::<Bump>(time)
}

pub fn var_reset(time: Duration) -> Outcome {
    run::<VarPool>(time)
}

pub fn fixed_reset(time: Duration) -> Outcome {
    run::<Reset>(time)
}

pub fn fixed_fresh(time: Duration) -> Outcome {
    run::<Fresh>(time)
}

pub fn singly<R: Raw>(time: Duration) -> Outcome {
    run::<Singly<R>>(time)
}

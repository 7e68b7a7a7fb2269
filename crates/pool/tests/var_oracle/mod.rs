//! A naive model of a variable-size pool: a map of live ranges. Shared by the property tests and the
//! fuzz target.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use stratalloc_pool::{
    AcquireError, Coalescing, Fit, Growth, Pool, ReleaseError, ResizeError, Source, VarOptions, VarPool,
};

/// One step. Blocks are named by any number: it counts the live ones round and round.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Allocate { size: usize, align: usize },
    Release { block: usize },
    Reallocate { block: usize, size: usize, align: usize },
    ResizeInPlace { block: usize, size: usize },
    Coalesce,
    Trim { keep: usize },
    Misuse { block: usize, offset: usize },
    Refuse { count: usize },
    Reset,
}

/// Options from a number, so that all kinds of pools are tried.
pub fn options(number: usize) -> VarOptions {
    let fit = [Fit::Best, Fit::First, Fit::Segregated][number % 3];
    let coalescing =
        [Coalescing::Immediate, Coalescing::Deferred, Coalescing::DeferredUntil(5), Coalescing::Never]
            [number / 3 % 4];
    let options = VarOptions::new().fit(fit).coalescing(coalescing).granule([16, 8, 128, 16][number / 12 % 4]);
    match number / 48 % 3 {
        0 => options.growth(Growth::Fixed(4000)),
        1 => options.limit(100_000),
        _ => options.capacity(50_000).growth(Growth::None),
    }
}

/// How many kinds there are.
pub const KINDS: usize = 144;

struct Live {
    block: NonNull<u8>,
    size: usize,
    pattern: u8,
}

/// The pool and the model.
pub struct Oracle<A: Source> {
    pub pool: VarPool<A>,
    options: VarOptions,
    live: Vec<Live>,
    ranges: BTreeMap<usize, usize>,
    freed: Option<NonNull<u8>>,
    pattern: u8,
    refuse: fn(&A, usize),
}

impl<A: Source> Oracle<A> {
    /// `refuse`: how to make the source refuse.
    pub fn new(options: VarOptions, pool: VarPool<A>, refuse: fn(&A, usize)) -> Self {
        Self { pool, options, live: Vec::new(), ranges: BTreeMap::new(), freed: None, pattern: 0, refuse }
    }

    /// Does one step and checks everything.
    pub fn step(&mut self, op: Op) {
        let any = |block: usize, live: &Vec<Live>| (!live.is_empty()).then(|| block % live.len());
        match op {
            Op::Allocate { size, align } => self.allocate(size, align),
            Op::Release { block } => {
                if let Some(at) = any(block, &self.live) {
                    let live = self.forget(at);
                    // SAFETY: the block is not used after.
                    unsafe { self.pool.release(live.block) }.unwrap();
                    self.freed = Some(live.block);
                }
            }
            Op::Reallocate { block, size, align } => {
                if let Some(at) = any(block, &self.live) {
                    self.reallocate(at, size, align);
                }
            }
            Op::ResizeInPlace { block, size } => {
                if let Some(at) = any(block, &self.live) {
                    let live = self.forget(at);
                    // SAFETY: what is beyond the new size is not used after.
                    let done = unsafe { self.pool.resize_in_place(live.block, layout(size, 1)) }.unwrap();
                    assert!(done || size > live.size, "shortening is always possible");
                    self.remember(live.block, if done { size } else { live.size }, live.pattern, live.size);
                }
            }
            Op::Coalesce => {
                self.pool.coalesce();
                assert_eq!(self.pool.coalesce(), 0);
            }
            Op::Trim { keep } => {
                let (free, pages) = (self.pool.figures().free, self.pool.trim(keep));
                let figures = self.pool.figures();
                assert_eq!(figures.free, free - pages);
                assert!(pages == 0 || figures.free >= keep);
            }
            Op::Misuse { block, offset } => self.misuse(any(block, &self.live), offset),
            Op::Refuse { count } => (self.refuse)(self.pool.source(), count),
            Op::Reset => {
                self.pool.reset();
                self.live.clear();
                self.ranges.clear();
            }
        }
        self.check();
    }

    fn allocate(&mut self, size: usize, align: usize) {
        match self.pool.allocate(layout(size, align)) {
            Ok(block) => {
                assert!(block.len() >= size);
                assert_eq!(block.cast::<u8>().as_ptr().addr() % align, 0);
                assert_eq!(self.pool.usable_size(block.cast()), Ok(block.len()));
                self.pattern = self.pattern.wrapping_add(1);
                self.remember(block.cast(), size, self.pattern, 0);
            }
            Err(error) => self.check_refusal(error, size, align),
        }
    }

    /// What was refused for want of room could not have been had.
    fn check_refusal(&self, error: AcquireError, size: usize, align: usize) {
        let figures = self.pool.figures();
        let exact = self.options != self.options.fit(Fit::Segregated);
        let enough = figures.largest_free >= size.max(1).next_multiple_of(128) + align;
        assert!(!(exact && enough && error == AcquireError::Exhausted), "{size} at {align} refused: {figures}");
    }

    fn reallocate(&mut self, at: usize, size: usize, align: usize) {
        let live = self.forget(at);
        // SAFETY: after success the result alone is used.
        match unsafe { self.pool.reallocate(live.block, layout(size, align)) } {
            Ok(block) => {
                assert_eq!(block.cast::<u8>().as_ptr().addr() % align, 0);
                self.remember(block.cast(), size, live.pattern, live.size.min(size));
            }
            Err(ResizeError::Memory(error)) => {
                self.check_refusal(error, size, align);
                self.remember(live.block, live.size, live.pattern, live.size);
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Checks the first `kept` bytes, fills all, and enters the block.
    fn remember(&mut self, block: NonNull<u8>, size: usize, pattern: u8, kept: usize) {
        // SAFETY: a live block of at least that size, whose first `kept` bytes were written.
        unsafe {
            let kept = std::slice::from_raw_parts(block.as_ptr(), kept.min(size));
            assert!(kept.iter().all(|&byte| byte == pattern), "contents were lost");
            block.write_bytes(pattern, size);
        }
        let start = block.as_ptr().addr();
        let end = start + size.max(1);
        assert!(self.ranges.range(..end).next_back().is_none_or(|(_, &other)| other <= start), "blocks overlap");
        self.ranges.insert(start, end);
        self.live.push(Live { block, size, pattern });
    }

    /// Takes a block out, whose contents must be as they were.
    fn forget(&mut self, at: usize) -> Live {
        let live = self.live.swap_remove(at);
        self.ranges.remove(&live.block.as_ptr().addr());
        // SAFETY: a live block, written by `remember`.
        let bytes = unsafe { std::slice::from_raw_parts(live.block.as_ptr(), live.size) };
        assert!(bytes.iter().all(|&byte| byte == live.pattern), "contents were lost");
        live
    }

    /// Releases what must be refused.
    fn misuse(&mut self, at: Option<usize>, offset: usize) {
        let mut local = 0u64;
        let foreign = NonNull::from(&mut local).cast::<u8>();
        // SAFETY: addresses that are no block's are only refused.
        let answer = unsafe { self.pool.release(foreign) };
        assert!(matches!(answer, Err(ReleaseError::Foreign { .. })));
        if let Some(at) = at {
            let live = &self.live[at];
            let offset = 1 + offset % live.size.max(2).div_ceil(2);
            // SAFETY: as above.
            let answer = unsafe { self.pool.release(live.block.map_addr(|a| a.checked_add(offset).unwrap())) };
            assert!(matches!(answer, Err(ReleaseError::Inside { .. })), "{answer:?}");
        }
        if let Some(freed) = self.freed.filter(|freed| !self.ranges.contains_key(&freed.as_ptr().addr())) {
            // SAFETY: as above.
            assert!(unsafe { self.pool.release(freed) }.is_err());
            assert!(self.pool.usable_size(freed).is_err());
        }
    }

    fn check(&self) {
        let figures = self.pool.figures();
        assert_eq!(figures.used_blocks, self.live.len());
        assert_eq!(figures.requested, self.live.iter().map(|live| live.size).sum::<usize>());
        assert_eq!(figures.used + figures.free, figures.capacity);
        assert!(figures.requested <= figures.used && figures.largest_free <= figures.free);
        assert!((0.0..=1.0).contains(&figures.internal_fragmentation()));
        assert!((0.0..=1.0).contains(&figures.external_fragmentation()));
        let stats = self.pool.stats();
        assert_eq!((stats.live, stats.capacity, stats.free), (self.live.len(), figures.capacity, figures.free));
        assert!(stats.peak >= stats.live);
    }

    /// Releases what is left; then everything must be free, and, if the policy says so, in one piece.
    pub fn finish(mut self) -> VarPool<A> {
        while !self.live.is_empty() {
            self.step(Op::Release { block: 0 });
        }
        self.pool.coalesce();
        let figures = self.pool.figures();
        assert_eq!((figures.used, figures.free), (0, figures.capacity));
        if self.options != self.options.coalescing(Coalescing::Never) {
            assert_eq!(figures.free_blocks, figures.segments);
        }
        self.pool
    }
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

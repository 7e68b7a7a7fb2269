//! The loads themselves; see `main`.

use std::alloc::{GlobalAlloc, Layout};
use std::fs::File;
use std::io::Read;
use std::ptr::null_mut;
use std::sync::Barrier;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use stratalloc::Stratalloc;

#[global_allocator]
static GLOBAL: Stratalloc = Stratalloc;

/// Blocks that a thread of `small` and `mixed` holds.
const HELD: usize = 1024;
/// Replacements, of which a thread does so many before anything is measured.
const WARM: usize = 100_000;
/// And so many while it is.
const REPLACED: usize = 500_000;
/// Blocks that go through each pair of `pairs`, after a tenth as many before.
const PASSED: usize = 400_000;
/// Blocks on their way in a pair at most.
const RING: usize = 1024;
/// Threads of `starts`, after a wave before.
const STARTED: usize = 1000;
/// Allocations of each.
const PER_START: usize = 100;
/// Blocks that a thread of `idle` keeps, and how often it replaces one before it sleeps.
const KEPT: usize = 48;
const BURST: usize = 1000;
/// Bytes of a thread's stack.
const STACK: usize = 64 << 10;

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((value ^ (value >> 31)) as u128 * bound as u128) >> 64) as usize
    }

    /// Larson's sizes.
    pub fn small(&mut self) -> usize {
        8 + self.below(993)
    }

    /// The same, but one in sixteen up to the largest class.
    pub fn mixed(&mut self) -> usize {
        if self.below(16) == 0 { 1001 + self.below(31 << 10) } else { self.small() }
    }
}

/// A block, or none.
#[derive(Clone, Copy)]
struct Held(*mut u8, usize);

impl Held {
    const NONE: Held = Held(null_mut(), 0);

    fn new(size: usize) -> Held {
        // SAFETY: the size is not zero.
        let block = unsafe { GLOBAL.alloc(layout(size)) };
        assert!(!block.is_null(), "no memory for {size} bytes");
        for at in (0..size).step_by(4096) {
            // SAFETY: inside the block.
            unsafe { block.add(at).write(1) };
        }
        Held(block, size)
    }

    fn free(self) {
        if !self.0.is_null() {
            // SAFETY: came from `new` with this size, and is freed once.
            unsafe { GLOBAL.dealloc(self.0, layout(self.1)) };
        }
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a small size")
}

/// What the working threads tell: bytes that they hold, and CPU time that the measured part took them.
static LIVE: AtomicU64 = AtomicU64::new(0);
static NANOSECONDS: AtomicU64 = AtomicU64::new(0);

/// Where all threads and the main one wait for each other.
struct Gate(Barrier);

impl Gate {
    fn new(threads: usize) -> Gate {
        Gate(Barrier::new(threads + 1))
    }

    fn pass(&self) {
        self.0.wait();
    }
}

/// Runs `work(index)` on threads that std does not know, and meanwhile `main`.
fn crew<W: Fn(usize) + Sync>(threads: usize, work: &W, main: impl FnOnce()) {
    struct Ticket<'a, W>(usize, &'a W);
    extern "C" fn enter<W: Fn(usize) + Sync>(ticket: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: the creator keeps its tickets until all threads are joined.
        let Ticket(index, work) = unsafe { &*ticket.cast::<Ticket<W>>() };
        work(*index);
        null_mut()
    }
    let mut tickets: Vec<Ticket<W>> = (0..threads).map(|index| Ticket(index, work)).collect();
    let mut ids: Vec<libc::pthread_t> = Vec::with_capacity(threads);
    for ticket in &mut tickets {
        let mut id = 0;
        // SAFETY: attributes are plain data that the calls fill; the ticket outlives the thread.
        let failed = unsafe {
            let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
            libc::pthread_attr_init(&raw mut attributes);
            libc::pthread_attr_setstacksize(&raw mut attributes, STACK);
            let failed =
                libc::pthread_create(&raw mut id, &raw const attributes, enter::<W>, (&raw mut *ticket).cast());
            libc::pthread_attr_destroy(&raw mut attributes);
            failed
        };
        assert_eq!(failed, 0, "thread {} of {threads} does not start", ids.len());
        ids.push(id);
    }
    main();
    for id in ids {
        // SAFETY: made above, joined once.
        let failed = unsafe { libc::pthread_join(id, null_mut()) };
        assert_eq!(failed, 0, "a thread ends");
    }
}

/// CPU time of the calling thread, nanoseconds.
fn cpu() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writable and of the type that the call fills.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "the thread's clock");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Resident bytes, counted page by page: the kernel's quick figure is off by some pages for each thread.
fn resident() -> u64 {
    let mut text = [0_u8; 2048];
    let mut file = File::open("/proc/self/smaps_rollup").expect("/proc/self/smaps_rollup opens");
    let length = file.read(&mut text).expect("/proc/self/smaps_rollup reads");
    let line = text[..length].split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Rss:"));
    let digits = line.expect("a line Rss").iter().filter(|byte| byte.is_ascii_digit());
    digits.fold(0, |value, &digit| value * 10 + u64::from(digit - b'0')) * 1024
}

/// Touches what a thread needs of its stack, so that it counts before, not after.
#[inline(never)]
fn touch_stack() {
    let mut room = [0_u8; 12 << 10];
    std::hint::black_box(&mut room);
}

#[cfg(feature = "count-shared")]
use stratalloc_core::sync::count::{Counts, counts};

/// Nothing is counted.
#[cfg(not(feature = "count-shared"))]
struct Counts;

#[cfg(not(feature = "count-shared"))]
fn counts() -> Counts {
    Counts
}

/// Prints what was counted since `before`, and how many operations that were.
fn tell(before: Counts, operations: usize) {
    #[cfg(feature = "count-shared")]
    {
        let Counts { exchanges, fences, locks, waits, transfers } = counts().since(before);
        println!("exchanges {exchanges}\nfences {fences}\nlocks {locks}\nwaits {waits}\ntransfers {transfers}");
    }
    #[cfg(not(feature = "count-shared"))]
    let Counts = before;
    println!("operations {operations}\nnanoseconds {}", NANOSECONDS.load(Ordering::Relaxed));
}

/// Each thread replaces blocks of its own, of these sizes.
pub fn own(threads: usize, size: fn(&mut Random) -> usize) {
    let gate = Gate::new(threads);
    let work = |index: usize| {
        touch_stack();
        let mut random = Random(index as u64);
        let mut held = [Held::NONE; HELD];
        let mut replace = |times: usize| {
            for _ in 0..times {
                let size = size(&mut random);
                let place = &mut held[random.below(HELD)];
                place.free();
                *place = Held::new(size);
            }
        };
        gate.pass();
        gate.pass();
        replace(WARM);
        gate.pass();
        gate.pass();
        let start = cpu();
        replace(REPLACED);
        NANOSECONDS.fetch_add(cpu() - start, Ordering::Relaxed);
        LIVE.fetch_add(held.iter().map(|held| held.1 as u64).sum(), Ordering::Relaxed);
        gate.pass();
        gate.pass();
        held.into_iter().for_each(Held::free);
    };
    crew(threads, &work, || {
        gate.pass();
        let base = resident();
        gate.pass();
        gate.pass();
        let before = counts();
        gate.pass();
        gate.pass();
        tell(before, 2 * REPLACED * threads);
        let live = LIVE.load(Ordering::Relaxed);
        println!("overhead {}", resident().saturating_sub(base + live) / threads as u64);
        println!("live {}", live / threads as u64);
        gate.pass();
    });
}

/// A thread that allocates, and one that frees.
struct Pair {
    ring: [AtomicPtr<u8>; RING],
}

/// Half of the threads allocate, the other half free.
pub fn pairs(threads: usize) {
    let pairs: Vec<Pair> =
        (0..threads / 2).map(|_| Pair { ring: [const { AtomicPtr::new(null_mut()) }; RING] }).collect();
    let gate = Gate::new(threads);
    let produce = |pair: &Pair, random: &mut Random, from: usize, to: usize| {
        for number in from..to {
            let slot = &pair.ring[number % RING];
            while !slot.load(Ordering::Acquire).is_null() {
                std::thread::yield_now();
            }
            // The size stands in the block, so that whoever frees it knows the layout.
            let size = 16 + random.below(497);
            let block = Held::new(size).0;
            // SAFETY: a block has at least 16 bytes, at 16.
            unsafe { block.cast::<usize>().write(size) };
            slot.store(block, Ordering::Release);
        }
    };
    let consume = |pair: &Pair, from: usize, to: usize| {
        for number in from..to {
            let slot = &pair.ring[number % RING];
            let block = loop {
                match slot.load(Ordering::Acquire) {
                    block if block.is_null() => std::thread::yield_now(),
                    block => break block,
                }
            };
            // SAFETY: written by the producer before it handed the block over.
            let size = unsafe { block.cast::<usize>().read() };
            Held(block, size).free();
            slot.store(null_mut(), Ordering::Release);
        }
    };
    let work = |index: usize| {
        let pair = &pairs[index / 2];
        let mut random = Random(index as u64);
        let mut part = |from: usize, to: usize| match index % 2 {
            0 => produce(pair, &mut random, from, to),
            _ => consume(pair, from, to),
        };
        part(0, PASSED / 10);
        gate.pass();
        gate.pass();
        let start = cpu();
        part(PASSED / 10, PASSED / 10 + PASSED);
        NANOSECONDS.fetch_add(cpu() - start, Ordering::Relaxed);
        gate.pass();
        gate.pass();
    };
    crew(threads, &work, || {
        gate.pass();
        let before = counts();
        gate.pass();
        gate.pass();
        tell(before, PASSED * threads);
        gate.pass();
    });
}

/// A thousand threads that allocate, free and end, so many at a time.
pub fn starts(threads: usize) {
    let work = |index: usize| {
        let start = cpu();
        let mut random = Random(index as u64);
        let mut held = [Held::NONE; PER_START];
        held.iter_mut().for_each(|place| *place = Held::new(8 + random.below(505)));
        held.into_iter().for_each(Held::free);
        NANOSECONDS.fetch_add(cpu() - start, Ordering::Relaxed);
    };
    // The first wave makes the heaps that later ones take over.
    crew(threads, &work, || ());
    NANOSECONDS.store(0, Ordering::Relaxed);
    let before = counts();
    let base = resident();
    let mut started = 0;
    while started < STARTED {
        crew(threads, &work, || ());
        started += threads;
    }
    tell(before, started * 2 * PER_START);
    println!("threads {started}\ngrown {}", resident().saturating_sub(base));
}

/// Threads that have replaced blocks, keep some and sleep; then free those too, and sleep on.
pub fn idle(threads: usize) {
    let gate = Gate::new(threads);
    let work = |index: usize| {
        touch_stack();
        let mut random = Random(index as u64);
        let mut held = [Held::NONE; KEPT];
        gate.pass();
        gate.pass();
        for _ in 0..BURST {
            let size = 8 + random.below(505);
            let place = &mut held[random.below(KEPT)];
            place.free();
            *place = Held::new(size);
        }
        LIVE.fetch_add(held.iter().map(|held| held.1 as u64).sum(), Ordering::Relaxed);
        gate.pass();
        gate.pass();
        held.into_iter().for_each(Held::free);
        gate.pass();
        gate.pass();
    };
    crew(threads, &work, || {
        // What is freed goes back within 625 ms.
        let rest = || std::thread::sleep(std::time::Duration::from_millis(1500));
        let threads = threads as u64;
        gate.pass();
        let base = resident();
        gate.pass();
        gate.pass();
        rest();
        let live = LIVE.load(Ordering::Relaxed);
        println!("live {}", live / threads);
        println!("overhead {}", resident().saturating_sub(base + live) / threads);
        gate.pass();
        gate.pass();
        rest();
        println!("drained {}", resident().saturating_sub(base) / threads);
        gate.pass();
    });
}

//! Threads without heaps of their own: CPU heaps and pockets.
#![cfg(not(loom))]

mod common;

use common::oracle::{as_thread, nobody};
use common::random::{Random, seed};
use common::{Checked, Owned, pattern};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Barrier, Mutex};
use std::thread::{scope, yield_now};
use stratalloc_core::allocator::Allocator;
use stratalloc_core::class::{class_of, size_of_class};
use stratalloc_core::crowd::Pocket;
use stratalloc_core::heap::{Front, Heap, Role, alloc_class_or};
use stratalloc_core::options::{Misuse, Options};
use stratalloc_core::os::{Bound, Source, SystemLimits};
use stratalloc_os::mock::{Call, Mock};

/// Bytes beyond which a pocket is emptied, and what one allocation brings along at most.
const ROOM: usize = 2048;
const FILL: usize = 512;
/// Bytes of the largest block that goes into one.
const LARGEST: usize = 1024;

fn allocator(options: Options) -> (Mock, Owned) {
    let mock = Mock::new(4096);
    let allocator = Owned::new(&mock);
    allocator.config.apply(&options);
    (mock, allocator)
}

/// A thread with a pocket, as the crate above plays it.
struct Member<'a> {
    allocator: &'a Allocator<Checked>,
    pocket: *mut Pocket,
}

impl<'a> Member<'a> {
    fn new(allocator: &'a Allocator<Checked>) -> Self {
        let pocket = allocator.adopt_pocket();
        assert!(!pocket.is_null());
        Self { allocator, pocket }
    }

    fn inside<T>(&self, work: impl FnOnce(*mut Heap) -> T) -> T {
        loop {
            let heap = self.allocator.enter_cpu_heap();
            if !heap.is_null() {
                let result = work(heap);
                // SAFETY: entered above.
                unsafe { self.allocator.leave_cpu_heap(heap) };
                return result;
            }
            yield_now();
        }
    }

    fn alloc(&self, size: usize) -> *mut u8 {
        // SAFETY: this thread's pocket; a heap that it entered.
        unsafe {
            let front = &raw mut (*self.pocket).front;
            let block = match class_of(size) {
                Some(class) => alloc_class_or(front, class, || self.allocator.fill_pocket(self.pocket, class)),
                None => null_mut(),
            };
            if block.is_null() { self.inside(|heap| self.allocator.alloc(heap, size, 16)) } else { block }
        }
    }

    fn free(&self, block: *mut u8) {
        // SAFETY: as above; the block is the caller's.
        unsafe {
            if !self.allocator.free_into_pocket(self.pocket, block) {
                self.inside(|heap| self.allocator.dealloc(heap, block));
            }
        }
    }

    /// Blocks at hand in the pocket, and their bytes.
    fn held(&self) -> (usize, usize) {
        let (mut blocks, mut bytes) = (0, 0);
        for class in 0..=class_of(LARGEST).unwrap() {
            let mut taken = Vec::new();
            // SAFETY: this thread's pocket; all are freed again.
            unsafe {
                loop {
                    let block = alloc_class_or(&raw mut (*self.pocket).front, class, null_mut);
                    if block.is_null() {
                        break;
                    }
                    taken.push(block);
                }
                blocks += taken.len();
                bytes += taken.len() * size_of_class(class);
                for block in taken {
                    self.inside(|heap| self.allocator.dealloc(heap, block));
                }
            }
        }
        (blocks, bytes)
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: this thread's pocket, not used after.
            unsafe { self.allocator.park_pocket(self.pocket) };
        }
    }
}

fn nothing_is_left(allocator: &Owned) {
    // SAFETY: no front.
    unsafe { allocator.trim_all(null_mut(), 0) };
    let now = allocator.figures(nobody());
    assert_eq!((now.allocated, now.active, now.dirty, now.pockets), (0, 0, 0, 0), "{now:?}");
}

/// True when a thread that came now would get a pocket.
fn is_crowded(allocator: &Owned) -> bool {
    as_thread(100, || {
        let front = allocator.adopt_front();
        assert!(!front.is_null());
        // SAFETY: that thread's front, which it leaves at once.
        unsafe {
            let crowded = (*front).role == Role::Pocket;
            if crowded {
                allocator.park_pocket(front.cast())
            } else {
                allocator.park(front.cast())
            }
            crowded
        }
    })
}

#[test]
fn the_first_threads_get_heaps_and_the_crowd_begins_after_them() {
    let (_mock, allocator) = allocator(Options::DEFAULT.with_own_heaps(3));
    let mut heaps = Vec::new();
    for _ in 0..3 {
        assert!(!is_crowded(&allocator));
        heaps.push(allocator.adopt());
    }
    assert!(is_crowded(&allocator));
    // SAFETY: its own; not used after.
    unsafe { allocator.park(heaps.pop().unwrap()) };
    assert!(!is_crowded(&allocator), "a thread left");
    allocator.adopt();
    assert!(is_crowded(&allocator), "its heap was adopted again");
    // A first-class heap is no thread's.
    let (_mock, allocator) = self::allocator(Options::DEFAULT.with_own_heaps(1));
    assert!(!allocator.new_user_heap().is_null() && !is_crowded(&allocator));
    // By itself: sixteen, or two for each CPU.
    for (cpus, heaps) in [(2, 16), (8, 16), (40, 80)] {
        let (mock, allocator) = self::allocator(Options::DEFAULT);
        let cpus = Bound { value: cpus, source: Source::Affinity };
        mock.set_limits(SystemLimits { cpus, ..SystemLimits::default() });
        for _ in 0..heaps {
            assert!(!is_crowded(&allocator));
            allocator.adopt();
        }
        assert!(is_crowded(&allocator));
    }
    // Who counts allocations wants each thread's.
    let (_mock, allocator) = self::allocator(Options::DEFAULT.with_own_heaps(1).with_count(true));
    assert!(!is_crowded(&allocator));
}

/// Threads that start at once wait for the lock of the same node: of a thousand, hundreds had looked before the first
/// had a heap, and all got one.
#[test]
fn a_thread_that_is_about_to_have_a_heap_counts() {
    // So many heaps until memory is mapped for the next one.
    let fitting = |allocator: &Owned, mock: &Mock| {
        let before = mock.count(Call::Map);
        (0..).take_while(|_| !allocator.new_user_heap().is_null() && mock.count(Call::Map) == before).count()
    };
    let options = Options::DEFAULT.with_own_heaps(1);
    let (mock, allocator) = self::allocator(options);
    let heaps = fitting(&allocator, &mock);
    let on_the_brink = || {
        let (mock, allocator) = self::allocator(options);
        (0..heaps).for_each(|_| assert!(!allocator.new_user_heap().is_null()));
        (mock, allocator)
    };
    let (_mock, allocator) = on_the_brink();
    let mut inner = null_mut();
    // Another thread begins meanwhile.
    allocator.os.on_map(|| inner = as_thread(1, || allocator.adopt_front()));
    let outer = allocator.adopt_front();
    assert!(!outer.is_null() && !inner.is_null());
    // SAFETY: fronts, which are never unmapped.
    unsafe { assert_eq!(((*outer).role, (*inner).role), (Role::Thread, Role::Pocket)) };
    // Who gets none is not counted: the next one has a heap again.
    let (mock, allocator) = on_the_brink();
    mock.fail_after(Call::Map, 0);
    assert!(allocator.adopt_front().is_null());
    mock.fail_after(Call::Map, 1000);
    assert!(!is_crowded(&allocator));
}

/// The same with real threads.
#[test]
fn of_threads_that_start_at_once_so_many_have_heaps_and_no_more() {
    const THREADS: usize = 32;
    for _ in 0..20 {
        let (_mock, allocator) = allocator(Options::DEFAULT.with_own_heaps(4));
        let (start, end) = (Barrier::new(THREADS), Barrier::new(THREADS));
        let heaps = AtomicUsize::new(0);
        scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    start.wait();
                    let front = allocator.adopt_front();
                    assert!(!front.is_null());
                    end.wait();
                    // SAFETY: this thread's front, not used after.
                    unsafe {
                        if (*front).role == Role::Thread {
                            heaps.fetch_add(1, Ordering::Relaxed);
                            allocator.park(front.cast());
                        } else {
                            allocator.park_pocket(front.cast());
                        }
                    }
                });
            }
        });
        assert_eq!(heaps.into_inner(), 4);
        assert!(!is_crowded(&allocator), "all left");
    }
}

#[test]
fn what_a_pocket_holds_is_bounded() {
    let (_mock, allocator) = allocator(Options::DEFAULT);
    let member = Member::new(&allocator);
    for size in [1, 16, 24, 100, 256, 600, LARGEST] {
        let class = size_of_class(class_of(size).unwrap());
        let blocks: Vec<_> = (0..200).map(|_| member.alloc(size)).collect();
        let mut held = 0;
        for block in blocks {
            member.free(block);
            held += class;
            if held >= ROOM {
                held = 0;
            }
        }
        let (blocks, bytes) = member.held();
        assert!(bytes < ROOM + FILL, "{blocks} blocks of {class} bytes");
    }
    // Larger ones pass it by.
    let block = member.alloc(LARGEST + 1);
    member.free(block);
    assert_eq!(member.held(), (0, 0));
    drop(member);
    nothing_is_left(&allocator);
}

#[test]
fn an_allocation_brings_some_more_along_but_touches_no_fresh_memory_for_that() {
    let (_mock, allocator) = allocator(Options::DEFAULT);
    let member = Member::new(&allocator);
    // The second comes out of the pocket: nobody entered.
    let first = member.alloc(64);
    let heap = allocator.enter_cpu_heap();
    // SAFETY: the block is the member's; a pocket is no heap.
    unsafe {
        let second = alloc_class_or(&raw mut (*member.pocket).front, class_of(64).unwrap(), null_mut);
        assert_eq!(second.addr().abs_diff(first.addr()) % 64, 0);
        assert!(!second.is_null() && second != first);
        allocator.leave_cpu_heap(heap);
        member.free(second);
    }
    member.free(first);
    drop(member);
    nothing_is_left(&allocator);
}

#[test]
fn a_thread_that_is_inside_a_cpu_heap_gets_another() {
    // As a signal handler that interrupts it does.
    let (mock, allocator) = allocator(Options::DEFAULT);
    let mut entered = Vec::new();
    for _ in 0..4 {
        let heap = allocator.enter_cpu_heap();
        assert!(!heap.is_null() && !entered.contains(&heap));
        entered.push(heap);
    }
    let before = (mock.count(Call::Yield), mock.count(Call::Wait));
    assert!(allocator.enter_cpu_heap().is_null(), "four in a row are enough: such a thread wants its own");
    let now = (mock.count(Call::Yield) - before.0, mock.count(Call::Wait) - before.1);
    assert_eq!(now, (2, 6), "it let others run, then it slept");
    for heap in entered {
        // SAFETY: entered above.
        unsafe { allocator.leave_cpu_heap(heap) };
    }
    assert!(!allocator.enter_cpu_heap().is_null());
}

#[test]
fn who_comes_in_often_is_busy() {
    let (mock, allocator) = allocator(Options::DEFAULT);
    mock.set_time(1000);
    let member = Member::new(&allocator);
    // 128 entries, the last of them so many ms later: busy?
    let entries = |ms| {
        let busy = |_| {
            // SAFETY: this thread's pocket.
            unsafe { allocator.is_busy(member.pocket) }
        };
        assert!(!(0..127).any(busy));
        mock.advance(ms);
        busy(127)
    };
    // In bursts with sleep between them it never is.
    for _ in 0..10 {
        assert!(!entries(0) && !entries(4) && !entries(100));
    }
    // Nor at once; and where it waits for a CPU now and then, it is all the same.
    assert!((0..7).all(|ms| !entries(ms % 5)));
    assert!(!entries(5), "slow ones count four times");
    assert!((0..4).all(|_| !entries(1)));
    assert!(entries(4));
}

#[test]
fn blocks_of_first_class_heaps_pass_pockets_by() {
    let (_mock, allocator) = allocator(Options::DEFAULT);
    let member = Member::new(&allocator);
    let user = allocator.new_user_heap();
    // SAFETY: the first-class heap, which nobody is inside; its block.
    unsafe {
        let block = allocator.with_tenure(user, || allocator.alloc(user, 64, 16)).unwrap();
        member.free(block);
        assert_eq!(member.held(), (0, 0));
        allocator.destroy_user_heap(user);
    }
    drop(member);
    nothing_is_left(&allocator);
}

#[test]
fn double_frees_into_a_pocket_are_named() {
    let (mock, allocator) = allocator(Options::DEFAULT.with_misuse(Misuse::Warn));
    let member = Member::new(&allocator);
    let blocks: Vec<_> = (0..3).map(|_| member.alloc(48)).collect();
    for &block in &blocks {
        member.free(block);
    }
    // The last and an earlier one.
    for block in [blocks[2], blocks[0]] {
        member.free(block);
        let said = mock.take_err();
        assert!(said.contains(&format!("{:x}", block.addr())) && said.contains("already freed"), "{said:?}");
    }
    // Each is handed out once.
    let mut again: Vec<_> = (0..64).map(|_| member.alloc(48)).collect();
    again.sort();
    again.dedup();
    assert_eq!(again.len(), 64);
    // A pointer between two blocks, and one of nobody's.
    for pointer in [again[0].wrapping_add(8), ptr_of(0x1234_5678_0000)] {
        member.free(pointer);
        let said = mock.take_err();
        assert!(said.contains(&format!("{:x}", pointer.addr())), "{said:?}");
    }
}

fn ptr_of(address: usize) -> *mut u8 {
    stratalloc_core::addr::ptr(address)
}

#[test]
fn without_memory_there_is_null_and_nothing_is_lost() {
    let (mock, allocator) = allocator(Options::DEFAULT);
    let member = Member::new(&allocator);
    let kept = member.alloc(64);
    mock.limit(mock.mapped());
    let mut blocks = Vec::new();
    loop {
        // SAFETY: this thread's pocket.
        let block = unsafe {
            let front = &raw mut (*member.pocket).front;
            let class = class_of(1000).unwrap();
            alloc_class_or(front, class, || allocator.fill_pocket(member.pocket, class))
        };
        if block.is_null() {
            break;
        }
        blocks.push(block);
    }
    assert!(mock.count(Call::Map) > 0 && !blocks.is_empty());
    mock.limit(usize::MAX);
    for block in blocks {
        member.free(block);
    }
    member.free(kept);
    drop(member);
    nothing_is_left(&allocator);
}

#[test]
fn the_purge_thread_settles_the_heaps_of_cpus_that_rest() {
    let (mock, allocator) = allocator(Options::DEFAULT);
    mock.set_threaded(true);
    let member = Member::new(&allocator);
    // So many spans become empty that dirty memory starts the thread.
    let blocks: Vec<_> = (0..4000).map(|index| member.alloc(200 + index % 800)).collect();
    for block in blocks {
        member.free(block);
    }
    // That was most of what the heap had: it declined. Of what comes now it keeps some.
    let blocks: Vec<_> = (0..50).map(|index| member.alloc(200 + index * 16)).collect();
    for block in blocks {
        member.free(block);
    }
    drop(member);
    assert!(mock.has_purger());
    let active = allocator.figures(nobody()).active;
    assert!(active > 0, "what the CPU heap keeps");
    for _ in 0..40 {
        mock.advance(125);
        mock.run_purger();
    }
    let now = allocator.figures(nobody());
    assert_eq!((now.active, now.dirty), (0, 0), "{now:?}");
    assert!(!mock.has_purger(), "nothing is left to do");
}

// Forks.

#[test]
fn a_child_finds_the_pockets_of_threads_that_are_gone() {
    let (_mock, allocator) = allocator(Options::DEFAULT);
    let mine = as_thread(0, || allocator.adopt_pocket());
    let gone = as_thread(1, || Member::new(&allocator));
    let block = as_thread(1, || gone.alloc(64));
    as_thread(1, || gone.free(block));
    as_thread(0, || {
        allocator.fork_prepare();
        // SAFETY: the other does not run any more.
        unsafe { allocator.fork_child(mine.cast()) };
    });
    assert_eq!(allocator.figures(nobody()).pockets, 1);
    // The next thread has the other's pocket, and what is in it.
    let pocket = as_thread(0, || allocator.adopt_pocket());
    assert_eq!(pocket, gone.pocket);
    // SAFETY: that thread's pocket.
    let again = unsafe { alloc_class_or(&raw mut (*pocket).front, class_of(64).unwrap(), null_mut) };
    assert_eq!(again, block);
    assert_ne!(as_thread(0, || allocator.adopt_pocket()), mine, "that is in use");
    std::mem::forget(gone);
}

#[test]
fn a_child_uses_a_cpu_heap_again_that_was_whole_and_replaces_one_that_was_not() {
    for whole in [true, false] {
        let (_mock, allocator) = allocator(Options::DEFAULT);
        let mine = as_thread(0, || allocator.adopt_pocket());
        // Thread 1 is inside for good.
        let heap = as_thread(1, || allocator.enter_cpu_heap());
        let torn = || {
            as_thread(0, || {
                allocator.fork_prepare();
                // SAFETY: the other does not run any more.
                unsafe { allocator.fork_child(mine.cast()) };
            });
        };
        if whole {
            torn();
        } else {
            // In the middle of mapping memory for its first block.
            allocator.os.on_map(torn);
            // SAFETY: the heap that it entered.
            as_thread(1, || unsafe { allocator.alloc(heap, 64, 16) });
        }
        // The CPU of thread 1 again.
        let next = as_thread(1, || allocator.enter_cpu_heap());
        assert_eq!(next == heap, whole, "a torn heap is not used again");
        assert!(!next.is_null());
        // SAFETY: entered just now.
        unsafe {
            assert_eq!((*next).front.role, Role::Cpu);
            assert!(!allocator.alloc(next, 64, 16).is_null());
        }
    }
}

// Stress.

/// A block in somebody's hands.
struct Block {
    start: usize,
    usable: usize,
    id: u64,
}

fn rounds(base: usize) -> usize {
    base * std::env::var("STRATALLOC_STRESS").map_or(1, |text| text.parse().expect("a number"))
}

/// Threads with pockets, and some with heaps, hand each other blocks of all sizes.
#[test]
fn a_crowd_hands_blocks_around() {
    const THREADS: usize = 12;
    const WITH_HEAPS: usize = 3;
    let seed = seed("a_crowd_hands_blocks_around");
    let (mock, allocator) = allocator(Options::DEFAULT);
    mock.set_threaded(true);
    let allocator = &allocator;
    let boxes: Vec<Mutex<Vec<Block>>> = (0..THREADS).map(|_| Mutex::default()).collect();
    let (boxes, barrier) = (&boxes, &Barrier::new(THREADS));
    scope(|scope| {
        for index in 0..THREADS {
            scope.spawn(move || {
                let mut random = Random::new(seed + index as u64);
                let member = (index >= WITH_HEAPS).then(|| Member::new(allocator));
                let heap = if member.is_none() { allocator.adopt() } else { null_mut() };
                let alloc = |size| match &member {
                    Some(member) => member.alloc(size),
                    // SAFETY: this thread's heap.
                    None => unsafe { allocator.alloc(heap, size, 16) },
                };
                // SAFETY: as above; the block is ours.
                let free = |block: Block| unsafe {
                    let start = ptr_of(block.start);
                    pattern::check(start, block.usable, block.id);
                    match &member {
                        Some(member) => member.free(start),
                        None => allocator.dealloc(heap, start),
                    }
                };
                let mut blocks = Vec::new();
                barrier.wait();
                for _ in 0..rounds(400) {
                    for _ in 0..random.below(20) {
                        let log = if random.below(40) == 0 { 17 } else { 9 };
                        let size = random.size(log);
                        let start = alloc(size);
                        assert!(!start.is_null());
                        // SAFETY: in use, ours.
                        unsafe {
                            let usable = allocator.usable_size(start);
                            let id = random.next();
                            pattern::fill(start, usable, id);
                            blocks.push(Block { start: start.addr(), usable, id });
                        }
                    }
                    while blocks.len() > 64 {
                        free(blocks.swap_remove(random.below(blocks.len())));
                    }
                    if !blocks.is_empty() {
                        let gift = blocks.swap_remove(random.below(blocks.len()));
                        boxes[random.below(THREADS)].lock().unwrap().push(gift);
                    }
                    let got = std::mem::take(&mut *boxes[index].lock().unwrap());
                    got.into_iter().for_each(free);
                    if random.below(100) == 0 {
                        let front: *mut Front = member.as_ref().map_or(heap.cast(), |member| member.pocket.cast());
                        // SAFETY: this thread's front; it is outside.
                        unsafe { allocator.trim_all(front, 64 << 10) };
                    }
                }
                barrier.wait();
                let left = std::mem::take(&mut *boxes[index].lock().unwrap());
                blocks.into_iter().chain(left).for_each(free);
                if member.is_none() {
                    // SAFETY: this thread's heap, not used after.
                    unsafe { allocator.park(heap) };
                }
            });
        }
    });
    assert_eq!(mock.take_err(), "");
    nothing_is_left(allocator);
}

/// Threads that come, allocate, hand on and leave: pockets pass from one to the next with nothing in them.
#[test]
fn pockets_come_and_go() {
    let (_mock, allocator) = allocator(Options::DEFAULT);
    let allocator = &allocator;
    let (to_next, from): (SyncSender<Vec<usize>>, Receiver<Vec<usize>>) = sync_channel(4);
    let from = &Mutex::new(from);
    scope(|scope| {
        for _ in 0..4 {
            let to_next = to_next.clone();
            scope.spawn(move || {
                for turn in 0..rounds(200) {
                    let member = Member::new(allocator);
                    let blocks =
                        (0..40).map(|index| member.alloc(1 + (turn * 7 + index * 31) % 1500).addr()).collect();
                    if let Err(back) = to_next.try_send(blocks) {
                        let (std::sync::mpsc::TrySendError::Full(blocks)
                        | std::sync::mpsc::TrySendError::Disconnected(blocks)) = back;
                        blocks.into_iter().for_each(|block| member.free(ptr_of(block)));
                    }
                    if let Ok(blocks) = from.lock().unwrap().try_recv() {
                        blocks.into_iter().for_each(|block| member.free(ptr_of(block)));
                    }
                }
            });
        }
    });
    let member = Member::new(allocator);
    while let Ok(blocks) = from.lock().unwrap().try_recv() {
        blocks.into_iter().for_each(|block| member.free(ptr_of(block)));
    }
    drop(member);
    nothing_is_left(allocator);
}

//! Forks of a process whose other threads are in the middle of allocating.

use crate::common::{Random, fill, holds};
use crate::run::Case;
use std::alloc::{GlobalAlloc, Layout};
use std::collections::VecDeque;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::thread;
use stratalloc::{Heap, Stratalloc, snapshot, trim};

pub const CASES: &[Case] = &[
    Case::new("a_child_allocates_and_frees_the_blocks_of_all_threads", blocks_of_all_threads),
    Case::new("children_of_children_allocate", generations),
    Case::new("a_child_uses_and_ends_heaps_of_its_parent", heaps_in_children),
    Case::new("a_child_is_refused_by_a_heap_that_another_thread_was_inside_but_does_not_hang", busy_heap),
    Case::new("a_child_starts_threads", threads_in_children),
    Case::new("a_child_gets_each_small_block_once", small_blocks_of_workers),
];

const THREADS: usize = 4;
const SHARED: usize = 200;
const FORKS: usize = 40;

/// Blocks of every thread, handed to whoever forks.
static BLOCKS: [[AtomicPtr<u8>; SHARED]; THREADS] =
    [const { [const { AtomicPtr::new(null_mut()) }; SHARED] }; THREADS];
static READY: AtomicUsize = AtomicUsize::new(0);
static STOP: AtomicBool = AtomicBool::new(false);

fn layout_of(index: usize) -> Layout {
    let size = if index.is_multiple_of(40) { 100_000 } else { 8 + index * 23 };
    Layout::from_size_align(size, 8).expect("a valid layout")
}

/// Allocates and frees until told to stop, small and large.
fn work(index: usize) {
    for (n, shared) in BLOCKS[index].iter().enumerate() {
        // SAFETY: a fresh block of that layout.
        unsafe {
            let block = Stratalloc.alloc(layout_of(n));
            fill(block, layout_of(n).size(), n as u8);
            shared.store(block, Ordering::Release);
        }
    }
    READY.fetch_add(1, Ordering::Release);
    let mut random = Random::new("worker", 61).split(index as u64);
    let mut own: Vec<Vec<u8>> = Vec::new();
    while !STOP.load(Ordering::Relaxed) {
        own.push(vec![index as u8; random.size(18)]);
        if own.len() > 30 {
            own.swap_remove(random.below(30));
        }
    }
}

/// Runs `work` on other threads while `body` runs here.
fn beside_workers(body: impl FnOnce()) {
    let workers: Vec<_> = (0..THREADS).map(|index| thread::spawn(move || work(index))).collect();
    while READY.load(Ordering::Acquire) < THREADS {
        thread::yield_now();
    }
    let stop = Stop;
    body();
    drop(stop);
    for worker in workers {
        worker.join().expect("no panic");
    }
}

/// Runs `child` in a fork and waits for it; it must return true.
fn in_fork(child: impl FnOnce() -> bool) {
    // SAFETY: the child uses the allocator and atomics only, and exits without running destructors.
    let id = unsafe { libc::fork() };
    if id == 0 {
        let passed = child();
        // SAFETY: ends the child.
        unsafe { libc::_exit(if passed { 0 } else { 1 }) };
    }
    assert!(id > 0, "{}", std::io::Error::last_os_error());
    let mut status = 0;
    // SAFETY: our child.
    assert_eq!(unsafe { libc::waitpid(id, &mut status, 0) }, id);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the child ended with {status:#x}");
}

/// Allocates blocks of all kinds, checks that they hold what is written, frees them.
fn allocates() -> bool {
    // SAFETY: each block is freed once with its layout.
    unsafe {
        let mut blocks = [null_mut(); SHARED];
        for round in 0..3 {
            for (n, block) in blocks.iter_mut().enumerate() {
                *block = Stratalloc.alloc(layout_of(n));
                if block.is_null() {
                    return false;
                }
                fill(*block, layout_of(n).size(), (n + round) as u8);
            }
            for (n, &block) in blocks.iter().enumerate() {
                if !holds(block, layout_of(n).size(), (n + round) as u8) {
                    return false;
                }
                Stratalloc.dealloc(block, layout_of(n));
            }
        }
    }
    true
}

fn frees_all() -> bool {
    for blocks in &BLOCKS {
        for (n, shared) in blocks.iter().enumerate() {
            let block = shared.load(Ordering::Acquire);
            // SAFETY: a block in use of the parent's, of which this is the child's copy.
            unsafe {
                if !holds(block, layout_of(n).size(), n as u8) {
                    return false;
                }
                Stratalloc.dealloc(block, layout_of(n));
            }
        }
    }
    true
}

fn blocks_of_all_threads() {
    beside_workers(|| {
        for _ in 0..FORKS {
            in_fork(|| {
                let passed = allocates() && frees_all() && allocates();
                trim(0);
                let now = snapshot();
                passed && now.allocated <= now.active && now.active <= now.mapped
            });
        }
    });
    assert!(frees_all(), "the parent's blocks are as they were");
}

fn generations() {
    beside_workers(|| {
        for _ in 0..FORKS / 4 {
            in_fork(|| {
                in_fork(|| {
                    in_fork(|| allocates() && frees_all());
                    frees_all() && allocates()
                });
                allocates()
            });
        }
    });
}

fn heaps_in_children() {
    let heap = Heap::new().expect("memory");
    let before: Vec<_> = (0..SHARED).map(|n| heap.alloc(layout_of(n)).expect("memory")).collect();
    beside_workers(|| {
        for _ in 0..FORKS / 2 {
            in_fork(|| {
                for (n, &block) in before.iter().enumerate().step_by(2) {
                    // SAFETY: a block in use, of which this is the child's copy.
                    unsafe { heap.dealloc(block, layout_of(n)) };
                }
                let fresh = (0..SHARED).all(|n| heap.alloc(layout_of(n)).is_some());
                let own = Heap::new().is_some_and(|own| own.alloc(layout_of(3)).is_some());
                // SAFETY: the child's copy of the heap ends here; the parent's is not dropped by it.
                unsafe { drop(std::ptr::read(&heap)) };
                fresh && own && allocates()
            });
        }
    });
    assert!(heap.alloc(layout_of(5)).is_some());
}

fn threads_in_children() {
    beside_workers(|| {
        for _ in 0..FORKS / 4 {
            in_fork(|| {
                let handles: Vec<_> = (0..3).map(|_| thread::spawn(allocates)).collect();
                handles.into_iter().all(|handle| handle.join().unwrap_or(false)) && frees_all()
            });
        }
    });
}

fn busy_heap() {
    let heap = Heap::new().expect("memory");
    thread::scope(|scope| {
        for _ in 0..2 {
            let heap = &heap;
            scope.spawn(move || {
                // Every other one is large, and some stay a while, so that the list of large blocks is seldom empty.
                let layout = |n: usize| layout_of(if n.is_multiple_of(2) { 0 } else { n % 40 });
                let mut held = VecDeque::new();
                for n in 0.. {
                    if STOP.load(Ordering::Relaxed) {
                        break;
                    }
                    held.push_back((n, heap.alloc(layout(n)).expect("memory")));
                    if held.len() > 6 {
                        let (n, block) = held.pop_front().expect("seven blocks");
                        // SAFETY: freed once with its layout.
                        unsafe { heap.dealloc(block, layout(n)) };
                    }
                }
            });
        }
        let _stop = Stop;
        for _ in 0..10 * FORKS {
            in_fork(|| {
                // Served, or refused where the other thread was in the middle of its lists.
                if let Some(block) = heap.alloc(layout_of(7)) {
                    // SAFETY: freed once with its layout.
                    unsafe { heap.dealloc(block, layout_of(7)) };
                }
                // SAFETY: the child's copy of the heap ends here.
                unsafe { drop(std::ptr::read(&heap)) };
                allocates()
            });
        }
    });
}

/// The other threads take over what they set aside every few calls: a fork in the middle leaves the child no block in two
/// lists. The child's own threads take over the heaps.
fn small_blocks_of_workers() {
    const BLOCKS: usize = 2000;
    let layout = Layout::new::<[usize; 8]>();
    let churn = move || {
        let mut held = [null_mut::<u8>(); 8];
        for n in 0.. {
            if STOP.load(Ordering::Relaxed) {
                break;
            }
            let place = &mut held[n % 8];
            // SAFETY: each block is freed once with its layout.
            unsafe {
                if !place.is_null() {
                    Stratalloc.dealloc(*place, layout);
                }
                *place = Stratalloc.alloc(layout);
            }
        }
    };
    let once = move || {
        // SAFETY: blocks of the layout; the child ends with them.
        unsafe {
            let blocks: Vec<*mut usize> = (0..BLOCKS).map(|_| Stratalloc.alloc(layout).cast()).collect();
            blocks.iter().enumerate().for_each(|(n, &block)| block.write(n));
            blocks.iter().enumerate().all(|(n, &block)| block.read() == n)
        }
    };
    thread::scope(|scope| {
        (0..THREADS).for_each(|_| drop(scope.spawn(churn)));
        let _stop = Stop;
        for _ in 0..5 * FORKS {
            in_fork(|| {
                let takers: Vec<_> = (0..THREADS).map(|_| thread::spawn(once)).collect();
                takers.into_iter().all(|taker| taker.join().unwrap_or(false))
            });
        }
    });
}

/// Ends the threads when dropped, also in a panic.
struct Stop;

impl Drop for Stop {
    fn drop(&mut self) {
        STOP.store(true, Ordering::Relaxed);
    }
}

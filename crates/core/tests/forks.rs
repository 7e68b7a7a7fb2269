//! Forks, played in one process: the handlers run, and the "child" goes on with the same memory while
//! the other threads never run again.
#![cfg(not(loom))]

mod common;

use common::Owned;
use common::oracle::as_thread;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use stratalloc_core::heap::{Heap, Role};
use stratalloc_core::options::Options;
use stratalloc_os::mock::Mock;

struct Rig {
    mock: Mock,
    allocator: Owned,
    heaps: [*mut Heap; 3],
}

impl Rig {
    fn new(nodes: usize) -> Self {
        let mock = Mock::new(4096);
        mock.set_nodes(nodes);
        let allocator = Owned::new(&mock);
        allocator.config.apply(&Options::DEFAULT);
        let mut heaps = [null_mut(); 3];
        for (index, heap) in heaps.iter_mut().enumerate() {
            Mock::enter_node(index);
            *heap = as_thread(index, || allocator.adopt());
            assert!(!heap.is_null());
        }
        Mock::enter_node(0);
        Self { mock, allocator, heaps }
    }

    fn alloc(&self, thread: usize, size: usize) -> *mut u8 {
        // SAFETY: that thread's heap.
        as_thread(thread, || unsafe { self.allocator.alloc(self.heaps[thread], size, 16) })
    }

    fn free(&self, thread: usize, block: *mut u8) {
        // SAFETY: that thread's heap.
        as_thread(thread, || unsafe { self.allocator.dealloc(self.heaps[thread], block) });
    }

    /// Thread 0 forks and goes on in the child.
    fn fork(&self) {
        as_thread(0, || {
            self.allocator.fork_prepare();
            // SAFETY: the others do not run any more.
            unsafe { self.allocator.fork_child(self.heaps[0].cast()) };
        });
    }

    fn locked(&self, thread: usize) -> Vec<bool> {
        let mut locked = Vec::new();
        let number = (thread + 2) * 16;
        self.allocator.for_each_node(|_, node| locked.push(node.raw_lock().held_by(number)));
        locked
    }
}

#[test]
fn the_parent_goes_on_as_before() {
    for nodes in [1, 3] {
        let rig = Rig::new(nodes);
        let block = rig.alloc(1, 100);
        rig.free(0, rig.alloc(0, 2 << 20));
        as_thread(0, || rig.allocator.fork_prepare());
        assert_eq!(rig.locked(0), vec![true; nodes], "held across the fork");
        // Between the handlers libc and others may allocate. (What needs a system call makes it with the
        // lock held, which the tests' system does not allow; so there is memory at hand.)
        let between = rig.alloc(0, 1 << 20);
        assert!(!between.is_null());
        assert_eq!(rig.locked(0), vec![true; nodes]);
        as_thread(0, || rig.allocator.fork_parent());
        assert_eq!(rig.locked(0), vec![false; nodes]);
        rig.free(0, between);
        rig.free(1, block);
        for thread in 0..3 {
            assert!(!rig.alloc(thread, 1 << 20).is_null());
        }
    }
}

#[test]
fn the_child_takes_over_the_heaps_of_threads_that_are_gone() {
    for nodes in [1, 3] {
        let rig = Rig::new(nodes);
        let blocks: Vec<_> = (0..300).map(|index| rig.alloc(index % 3, 1 + index * 7)).collect();
        rig.fork();
        assert_eq!(rig.locked(0), vec![false; nodes]);
        // SAFETY: heaps live for ever.
        unsafe {
            assert!((*rig.heaps[0]).tenure.is_owned());
            assert!((*rig.heaps[1]).tenure.is_parked() && (*rig.heaps[2]).tenure.is_parked());
        }
        for block in blocks {
            rig.free(0, block);
        }
        // New threads of the child adopt them.
        let adopted: Vec<_> = (1..3)
            .map(|thread| {
                Mock::enter_node(thread);
                as_thread(thread, || rig.allocator.adopt())
            })
            .collect();
        Mock::enter_node(0);
        assert!(adopted.contains(&rig.heaps[1]) && adopted.contains(&rig.heaps[2]));
        assert_eq!(rig.mock.take_err(), "");
    }
}

#[test]
fn a_child_may_fork_again() {
    let rig = Rig::new(1);
    for _ in 0..5 {
        rig.fork();
        let block = rig.alloc(0, 1000);
        assert!(!block.is_null());
        rig.free(0, block);
    }
    let mut heaps = 0;
    rig.allocator.for_each_heap(|_| heaps += 1);
    assert_eq!(heaps, 3);
}

/// A signal handler that interrupted the holder of the lock, and forks there.
#[test]
fn a_fork_by_the_holder_of_the_lock_leaves_it_to_itself() {
    let rig = Rig::new(3);
    let block = rig.alloc(1, 100);
    as_thread(0, || {
        let held = rig.allocator.node(0).lock(&rig.allocator.os, 32).unwrap();
        rig.allocator.fork_prepare();
        rig.allocator.fork_parent();
        assert_eq!(rig.locked(0), [true, false, false]);
        rig.allocator.fork_prepare();
        // SAFETY: the others do not run any more.
        unsafe { rig.allocator.fork_child(rig.heaps[0].cast()) };
        assert_eq!(rig.locked(0), [true, false, false], "it goes on there");
        // In the handler, what needs the node is refused; nothing hangs.
        // SAFETY: our heap.
        unsafe {
            assert!(rig.allocator.alloc(rig.heaps[0], 1 << 20, 16).is_null());
            assert!(rig.allocator.adopt().is_null());
        }
        drop(held);
    });
    assert_eq!(rig.locked(0), [false; 3]);
    rig.free(0, block);
    // The other nodes serve the child.
    Mock::enter_node(1);
    let heap = as_thread(1, || rig.allocator.adopt());
    assert!(!heap.is_null());
    // SAFETY: a heap of that thread.
    assert!(!as_thread(1, || unsafe { rig.allocator.alloc(heap, 1 << 20, 16) }).is_null());
    Mock::enter_node(0);
}

/// Of threads with heaps of their own only the forking one is left, also where another was about to have one.
#[test]
fn threads_that_are_gone_have_no_heaps_of_their_own() {
    let rig = Rig::new(1);
    rig.allocator.config.apply(&Options::DEFAULT.with_own_heaps(3));
    let role = |thread| {
        let front = as_thread(thread, || rig.allocator.adopt_front());
        assert!(!front.is_null());
        // SAFETY: fronts are never unmapped.
        unsafe { (*front).role }
    };
    assert_eq!(role(3), Role::Pocket);
    rig.fork();
    assert_eq!([4, 5, 6].map(role), [Role::Thread, Role::Thread, Role::Pocket]);

    let rig = Rig::new(1);
    rig.allocator.config.apply(&Options::DEFAULT.with_own_heaps(1000));
    let mut left = None;
    for thread in 3.. {
        // Thread 0 forks while this one, if it does, maps memory for its heap.
        rig.allocator.os.on_map(|| {
            rig.fork();
            rig.allocator.config.apply(&Options::DEFAULT.with_own_heaps(2));
            let roles = [1, 2].map(|thread| {
                let front = as_thread(thread, || rig.allocator.adopt_front());
                // SAFETY: as above.
                unsafe { (*front).role }
            });
            left = Some(roles);
        });
        as_thread(thread, || rig.allocator.adopt_front());
        if left.is_some() {
            break;
        }
    }
    assert_eq!(left, Some([Role::Thread, Role::Pocket]));
}

/// Another thread was inside the node's lock: it had been taken away from the fork. What the lock
/// guards may be torn; blocks stay valid.
#[test]
fn stores_that_a_fork_caught_in_the_middle_begin_anew() {
    let rig = Rig::new(1);
    let blocks: Vec<_> = (0..100).map(|index| rig.alloc(index % 2, 500 * index)).collect();
    let held = rig.allocator.node(0).lock(&rig.allocator.os, 48).unwrap();
    as_thread(0, || {
        // `fork_prepare` gave up waiting.
        // SAFETY: the others do not run any more.
        unsafe { rig.allocator.fork_child(rig.heaps[0].cast()) };
    });
    std::mem::forget(held);
    assert_eq!(rig.locked(0), [false]);
    for (index, &block) in blocks.iter().enumerate() {
        // SAFETY: in use.
        unsafe {
            assert!(rig.allocator.usable_size(block) >= 500 * index);
            block.write_bytes(1, 500 * index);
        }
        rig.free(0, block);
    }
    let new: Vec<_> = (0..100).map(|index| rig.alloc(0, 500 * index)).collect();
    assert!(new.iter().all(|block| !block.is_null()));
    new.into_iter().for_each(|block| rig.free(0, block));
    // SAFETY: our heap.
    as_thread(0, || unsafe { rig.allocator.trim_all(rig.heaps[0].cast(), 0) });
    assert_eq!(rig.mock.take_err(), "");
}

/// The purge thread had the tokens of a heap in hand: they are gone, and what is in those lists with them. Nothing else.
#[test]
fn tokens_that_were_on_their_way_leave_no_more_than_what_they_were_for() {
    for owner in [0, 1] {
        let rig = Rig::new(1);
        let blocks: Vec<_> = (0..4000).map(|_| rig.alloc(owner, 512)).collect();
        // Of each span some are free with the owner, and in its list.
        for (index, &block) in blocks.iter().enumerate().filter(|(index, _)| index % 4 < 2) {
            rig.free(if index % 4 == 0 { owner } else { 2 }, block);
        }
        // SAFETY: those threads' heaps.
        as_thread(2, || unsafe { rig.allocator.flush_batches(rig.heaps[2]) });
        // SAFETY: as above; the purge thread's tokens are not seen again.
        assert!(!unsafe { &*rig.heaps[owner] }.tenure.borrow_pending().is_null());
        rig.fork();
        // The rest comes home; of spans whose lists grow no token is made.
        let rest = || blocks.iter().enumerate().filter(|(index, _)| index % 4 >= 2);
        rest().for_each(|(_, &block)| rig.free(0, block));
        as_thread(0, || {
            // SAFETY: the forking thread's heap.
            unsafe {
                rig.allocator.flush_batches(rig.heaps[0]);
                rig.allocator.trim_all(rig.heaps[0].cast(), 0);
            }
        });
        // Its spans serve on, where it is a thread's still.
        let more: Vec<_> = (0..4000).map(|_| rig.alloc(0, 512)).collect();
        let mut all: Vec<_> = more.iter().map(|block| block.addr()).collect();
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] + 512 <= pair[1]), "a block was given out twice");
        more.into_iter().for_each(|block| rig.free(0, block));
        assert_eq!(rig.mock.take_err(), "");
    }
}

/// A heap that the fork caught in the middle of a slow path is never used again; its blocks are.
#[test]
fn a_heap_caught_in_the_middle_is_buried() {
    let rig = Rig::new(1);
    let first = rig.alloc(1, 64);
    // Thread 1 needs memory of the system; meanwhile thread 0 forks.
    let forked = AtomicBool::new(false);
    rig.allocator.os.on_map(|| {
        forked.store(true, Ordering::Relaxed);
        rig.fork();
    });
    let mut second = null_mut();
    for _ in 0..10_000 {
        second = rig.alloc(1, 4000);
        if forked.load(Ordering::Relaxed) {
            break;
        }
    }
    assert!(forked.load(Ordering::Relaxed) && !second.is_null());
    // SAFETY: heaps live for ever.
    unsafe {
        assert!((*rig.heaps[1]).tenure.is_dead());
        assert!((*rig.heaps[2]).tenure.is_parked());
    }
    rig.free(0, first);
    rig.free(0, second);
    // SAFETY: our heap.
    as_thread(0, || unsafe { rig.allocator.flush_batches(rig.heaps[0]) });
    let adopted = [1, 2].map(|thread| as_thread(thread, || rig.allocator.adopt()));
    assert!(!adopted.contains(&rig.heaps[1]), "nobody gets it");
    assert_eq!(adopted[0], rig.heaps[2]);
}

//! When batches of remote frees go home.
#![cfg(not(loom))]

mod common;

use common::Rig;
use common::oracle::as_thread;
use stratalloc_core::class::{class_of, size_of_class};
use stratalloc_core::options::Options;

#[test]
fn what_waits_for_others_goes_home_while_a_heap_uses_its_own_spans() {
    let rig = Rig::new(4096, Options::DEFAULT);
    // Spans of ours that are half free.
    let blocks: Vec<_> = (0..4000).map(|_| rig.alloc(1000)).collect();
    let (freed, kept): (Vec<_>, Vec<_>) = blocks.into_iter().enumerate().partition(|(id, _)| id % 2 == 0);
    freed.into_iter().for_each(|(_, block)| rig.free(block));
    // SAFETY: the other thread's heap; each block is freed once.
    let (other, foreign) = as_thread(1, || unsafe {
        let other = rig.allocator.adopt();
        (other, (0..4000).map(|_| rig.allocator.alloc(other, 100, 16)).collect::<Vec<_>>())
    });
    let figures = || {
        // SAFETY: as above.
        as_thread(1, || unsafe { rig.allocator.collect_pending(other) });
        rig.figures()
    };
    let full = figures();
    // Few enough for batches to wait.
    foreign.iter().step_by(100).for_each(|&block| rig.free(block));
    let waiting = figures();
    assert_eq!((waiting.allocated, waiting.active), (full.allocated, full.active));
    let again: Vec<_> = (0..1500).map(|_| rig.alloc(1000)).collect();
    let now = figures();
    assert_eq!(now.active, full.active, "no span was needed");
    assert!(
        now.allocated < full.allocated + again.len() * size_of_class(class_of(1000).unwrap()),
        "nothing went home"
    );
    // SAFETY: our heap.
    unsafe { rig.allocator.flush_batches(rig.heap) };
    assert_eq!(figures().allocated, now.allocated, "all had gone home");
    again.into_iter().chain(kept.into_iter().map(|(_, block)| block)).for_each(|block| rig.free(block));
    // SAFETY: as above.
    as_thread(1, || unsafe {
        for (id, &block) in foreign.iter().enumerate() {
            if id % 100 != 0 {
                rig.allocator.dealloc(other, block);
            }
        }
        rig.allocator.park(other);
    });
}

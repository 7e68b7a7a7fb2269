//! Faults that the oracle and the stress tests found, each as a short story.
#![cfg(not(loom))]

mod common;

use common::Owned;
use common::oracle::{Op, Oracle, THREADS, nobody};
use stratalloc_core::options::Options;
use stratalloc_os::mock::Mock;

const USER: usize = THREADS;

/// A span that is made of dirty slices and given back before it was carved to its end: the slices that
/// it never touched are still dirty.
#[test]
fn slices_that_a_span_never_touched_stay_dirty() {
    let options = Options::DEFAULT.with_dirty_percent(100).with_dirty_min(1 << 30);
    let mut oracle = Oracle::new(4096, &options);
    // Dirty slices, all of them.
    assert!(oracle.alloc(0, 16 << 16, 16, false));
    oracle.dealloc(0, 0);
    // One block of a span of several slices.
    assert!(oracle.alloc(0, 32 << 10, 16, false));
    oracle.dealloc(0, 0);
    oracle.step(&Op::Settle { heap: 0 });
    assert_eq!(oracle.check_figures().dirty, 16 << 16);
    // Zeroed blocks over all slices: `alloc` checks that they are.
    assert!(oracle.alloc(0, 16 << 16, 16, true));
    oracle.finish();
}

/// Blocks of a current span that are free lie in two lists: no more spans are taken than before, and one whose blocks
/// are all free, in whichever list, goes back.
#[test]
fn what_was_set_aside_is_used_again_and_goes_back() {
    for size in [16, 128, 129, 1024] {
        let mut oracle = Oracle::new(4096, &Options::DEFAULT);
        let count = 8192 / size;
        for _ in 0..count {
            assert!(oracle.alloc(0, size, 16, false));
        }
        let held = oracle.snapshot().active;
        // In turn, by halves and all at once: from what is there.
        for step in [1, count / 2, count] {
            for _ in 0..4 {
                (0..step).for_each(|_| oracle.dealloc(0, 0));
                (0..step).for_each(|_| assert!(oracle.alloc(0, size, 16, false)));
            }
        }
        assert_eq!(oracle.snapshot().active, held, "blocks of {size} bytes");
        (0..count).for_each(|_| oracle.dealloc(0, 0));
        oracle.step(&Op::Settle { heap: 0 });
        assert_eq!(oracle.snapshot().active, 0, "blocks of {size} bytes");
        oracle.finish();
    }
}

/// A first-class heap must not come to own a span with other heaps' blocks: it is destroyed with all it
/// owns.
#[test]
fn a_user_heap_does_not_take_orphans_into_its_end() {
    let options = Options::DEFAULT.with_parked_heaps(0);
    for through in [None, Some(0), Some(1)] {
        let mut oracle = Oracle::new(4096, &options);
        for _ in 0..3 {
            assert!(oracle.alloc(0, 64, 16, false));
        }
        // The thread leaves; its span is an orphan.
        oracle.step(&Op::Leave { heap: 0 });
        assert_eq!(oracle.snapshot().orphans, 1);
        match through {
            // The first-class heap needs the class …
            None => assert!(oracle.alloc(USER, 64, 16, false)),
            // … or frees a block of the orphan.
            Some(index) => oracle.dealloc(USER, index),
        }
        oracle.step(&Op::Destroy { heap: 0 });
        assert_eq!(oracle.snapshot().orphans, 1, "the orphan waits for a thread");
        // Over whatever was destroyed: the other blocks must not be hit.
        for _ in 0..100 {
            assert!(oracle.alloc(1, 64, 16, true));
        }
        oracle.finish();
    }
}

/// The same by a token: the orphan's remote list has blocks, and the token comes to a first-class heap.
#[test]
fn a_user_heap_gives_all_blocks_of_an_orphan_back() {
    let options = Options::DEFAULT.with_parked_heaps(0);
    let mut oracle = Oracle::new(4096, &options);
    for _ in 0..1024 {
        assert!(oracle.alloc(0, 64, 16, false));
    }
    oracle.step(&Op::Leave { heap: 0 });
    while oracle.live() > 0 {
        oracle.dealloc(USER, 0);
    }
    let snapshot = oracle.snapshot();
    assert_eq!((snapshot.orphans, snapshot.active), (0, 0), "the last block takes the orphan along");
    oracle.finish();
}

/// Of a thousand threads that start at once, hundreds found that there was no metadata, and each mapped some; what was left
/// of each chunk was touched as the next one came: up to 0.5 MB a thread. The chunk of who comes late goes back.
#[test]
fn metadata_mapped_by_two_threads_at_once_is_taken_once() {
    let mock = Mock::new(4096);
    let allocator = Owned::new(&mock);
    let metadata = || allocator.figures(nobody()).metadata;
    let mut inner = std::ptr::null_mut();
    let before = loop {
        let before = metadata();
        // Another thread takes a heap while this one maps, if it does.
        allocator.os.on_map(|| inner = allocator.adopt());
        let outer = allocator.adopt();
        assert!(!outer.is_null() && outer != inner);
        if !inner.is_null() && metadata() != before && before != 0 {
            break before;
        }
    };
    // One chunk for both, and both heaps are in it.
    assert_eq!(metadata() - before, 256 << 10);
}

/// A heap that served others before has little of every class again: it took ever longer spans.
#[test]
fn a_heap_that_begins_anew_takes_spans_as_a_first_one_does() {
    let mock = Mock::new(4096);
    let allocator = Owned::new(&mock);
    let serve = |count: usize| {
        let heap = allocator.new_user_heap();
        assert!(!heap.is_null());
        for size in (1..64).map(|n| n * 16) {
            for _ in 0..count {
                // SAFETY: our heap.
                let block = unsafe { allocator.with_tenure(heap, || allocator.alloc(heap, size, 16)) };
                assert!(block.is_some_and(|block| !block.is_null()));
            }
        }
        let active = allocator.figures(heap).active;
        // SAFETY: ours, and none of its blocks is used again.
        unsafe { allocator.destroy_user_heap(heap) };
        active
    };
    let first = serve(8);
    (0..300).for_each(|_| _ = serve(200));
    assert_eq!(serve(8), first);
}

//! Bad frees: what each is told, and that the allocator goes on unharmed where the option says so.
#![cfg(not(loom))]

mod common;

use common::Owned;
use std::panic::{AssertUnwindSafe, catch_unwind};
use stratalloc_core::class::SLICE;
use stratalloc_core::heap::Heap;
use stratalloc_core::options::{Misuse, Options};
use stratalloc_os::mock::Mock;

struct Rig {
    mock: Mock,
    allocator: Owned,
    heap: *mut Heap,
    other: *mut Heap,
}

impl Rig {
    fn new(misuse: Misuse) -> Self {
        let mock = Mock::new(4096);
        let allocator = Owned::new(&mock);
        allocator.config.apply(&Options::DEFAULT.with_misuse(misuse).with_dirty_min(0).with_dirty_percent(0));
        let heap = allocator.adopt();
        let other = Mock::as_thread(64, || allocator.adopt());
        Self { mock, allocator, heap, other }
    }

    fn alloc(&self, size: usize) -> *mut u8 {
        // SAFETY: our heap.
        unsafe { self.allocator.alloc(self.heap, size, 16) }
    }

    /// What a free through our heap is told.
    fn free(&self, pointer: *mut u8) -> String {
        // SAFETY: our heap; bad pointers are what this is about.
        unsafe { self.allocator.dealloc(self.heap, pointer) };
        self.mock.take_err()
    }

    /// What a free on another thread is told, when the block gets home at the latest.
    fn free_elsewhere(&self, pointer: *mut u8) -> String {
        // SAFETY: the other thread's heap.
        Mock::as_thread(64, || unsafe { self.allocator.dealloc(self.other, pointer) });
        self.mock.take_err()
    }
}

fn offset(pointer: *mut u8, bytes: usize) -> *mut u8 {
    pointer.wrapping_add(bytes)
}

const FOREIGN: &str = "not a pointer of this allocator (stack, static or another allocator's memory)";

#[test]
fn foreign_pointers_are_named_as_such() {
    let rig = Rig::new(Misuse::Warn);
    let mut on_stack = 0u64;
    static STATIC: u64 = 0;
    let boxed = Box::into_raw(Box::new(1u64));
    for pointer in [
        (&raw mut on_stack).cast::<u8>(),
        (&raw const STATIC).cast_mut().cast(),
        boxed.cast(),
        std::ptr::without_provenance_mut(16),
        std::ptr::without_provenance_mut(usize::MAX & !15),
        std::ptr::without_provenance_mut(1 << 48),
    ] {
        assert_eq!(rig.free(pointer), format!("stratalloc: free({pointer:p}): {FOREIGN}\n"));
        // SAFETY: a bad pointer is answered.
        assert_eq!(unsafe { rig.allocator.usable_size(pointer) }, 0);
        assert_eq!(rig.mock.take_err(), format!("stratalloc: malloc_usable_size({pointer:p}): {FOREIGN}\n"));
        // SAFETY: as above.
        assert_eq!(unsafe { rig.allocator.realloc(rig.heap, pointer, 100, 16) }, pointer);
        assert_eq!(rig.mock.take_err(), format!("stratalloc: realloc({pointer:p}): {FOREIGN}\n"));
        assert!(!rig.allocator.owns(pointer));
    }
    assert_eq!(rig.free(std::ptr::null_mut()), "", "null is no misuse");
    // SAFETY: ours.
    drop(unsafe { Box::from_raw(boxed) });
}

#[test]
fn interior_pointers_are_told_their_block() {
    let rig = Rig::new(Misuse::Warn);
    let small = rig.alloc(250);
    let told = format!("interior pointer, 32 bytes into the block of 256 bytes at {small:p}\n");
    let pointer = offset(small, 32);
    assert_eq!(rig.free_elsewhere(pointer), format!("stratalloc: free({pointer:p}): {told}"));
    let pointer = offset(small, 33);
    assert!(rig.free_elsewhere(pointer).contains("interior pointer, 33 bytes into"));
    let large = rig.alloc(5 * SLICE + 1);
    for bytes in [16, SLICE, SLICE + 16, 5 * SLICE] {
        let pointer = offset(large, bytes);
        let size = 5 * SLICE + 4096;
        let told = format!("interior pointer, {bytes} bytes into the block of {size} bytes at {large:p}\n");
        assert_eq!(rig.free(pointer), format!("stratalloc: free({pointer:p}): {told}"));
    }
    assert_eq!(rig.free(small) + &rig.free(large), "", "the blocks are in use still");
}

#[test]
fn what_was_never_allocated_is_told_so() {
    let rig = Rig::new(Misuse::Warn);
    let block = rig.alloc(1024);
    // Far behind what has been carved of the span.
    let pointer = offset(block, 12 << 10);
    assert_eq!(rig.free_elsewhere(pointer), format!("stratalloc: free({pointer:p}): never allocated\n"));
    assert_eq!(rig.free(block), "");
}

#[test]
fn blocks_whose_memory_went_back_are_told_so() {
    let rig = Rig::new(Misuse::Warn);
    let large = rig.alloc(4 * SLICE);
    assert_eq!(rig.free(large), "");
    let told = rig.free(large);
    assert!(told.starts_with(&format!("stratalloc: free({large:p}): already freed")), "{told}");
    for bytes in [SLICE, 2 * SLICE] {
        let told = rig.free(offset(large, bytes));
        assert!(told.contains("already freed"), "{told}");
    }
    // A span that another thread's free completes.
    let blocks: Vec<_> = (0..64).map(|_| rig.alloc(16 << 10)).collect();
    for &block in &blocks {
        assert_eq!(rig.free_elsewhere(block), "");
    }
    assert!(rig.free_elsewhere(blocks[0]).contains("already freed"));
    // Of blocks that have spans to themselves the first becomes the current one, and the second goes back.
    let blocks: Vec<_> = (0..100).map(|_| rig.alloc(SLICE)).collect();
    for &block in &blocks[80..82] {
        assert_eq!(rig.free(block), "");
    }
    for &block in &blocks[80..82] {
        assert!(rig.free(block).contains("already freed"));
    }
}

#[test]
fn a_block_freed_twice_in_a_row_is_told_so() {
    let rig = Rig::new(Misuse::Warn);
    let [block, _keep] = [(); 2].map(|()| rig.alloc(64));
    assert_eq!(rig.free(block), "");
    assert_eq!(rig.free(block), format!("stratalloc: free({block:p}): already freed\n"));
    // And is handed out once.
    let again = [(); 3].map(|()| rig.alloc(64));
    assert!(again[0] != again[1] && again[1] != again[2] && again[0] != again[2]);
    let other = rig.alloc(64);
    assert_eq!(rig.free_elsewhere(other), "");
    assert_eq!(rig.free_elsewhere(other), format!("stratalloc: free({other:p}): already freed\n"));
}

/// Small blocks are set aside when they are freed, and what was set aside becomes the list to allocate from: the
/// second free may find the block in either.
#[test]
fn a_block_freed_twice_is_found_in_the_list_that_frees_do_not_go_to() {
    let rig = Rig::new(Misuse::Warn);
    let [first, second, _keep] = [(); 3].map(|()| rig.alloc(128));
    assert_eq!(rig.free(first), "");
    assert_eq!(rig.free(second), "");
    let taken_over = (0..1000).any(|_| rig.alloc(128) == second);
    assert!(taken_over, "what was set aside is used before fresh memory");
    assert_eq!(rig.free(first), format!("stratalloc: free({first:p}): already freed\n"));
    let [one, another] = [(); 2].map(|()| rig.alloc(128));
    assert_eq!(one, first, "and is handed out once");
    assert_ne!(another, first);
}

#[test]
fn a_bad_free_aborts_by_default_with_its_message() {
    let rig = Rig::new(Misuse::Abort);
    let mut on_stack = 0u64;
    let pointer = (&raw mut on_stack).cast::<u8>();
    let panic = catch_unwind(AssertUnwindSafe(|| rig.free(pointer))).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert_eq!(*message, format!("stratalloc: free({pointer:p}): {FOREIGN}\n"));
}

#[test]
fn ignore_says_nothing() {
    let rig = Rig::new(Misuse::Ignore);
    let block = rig.alloc(64);
    assert_eq!(rig.free_elsewhere(offset(block, 16)), "");
    assert_eq!(rig.free(offset(block, 1 << 30)), "");
    assert_eq!(rig.free(block), "");
}

//! Three general allocators: as raw blocks, and below a connection's vectors.

use std::alloc::{GlobalAlloc, Layout, System};
use std::marker::PhantomData;
use std::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator};
use mimalloc::MiMalloc;
use stratalloc::Stratalloc;

use crate::pool::{Of, Raw};

/// A general allocator without a state of its own.
pub trait Heap: GlobalAlloc + Send + Sync + 'static {
    const HEAP: Self;
}

impl Heap for System {
    const HEAP: Self = System;
}

impl Heap for MiMalloc {
    const HEAP: Self = MiMalloc;
}

impl Heap for Stratalloc {
    const HEAP: Self = Stratalloc;
}

/// Its blocks.
pub struct Blocks<G>(PhantomData<G>);

/// Objects, each in a block of its own.
pub type Malloc<G, O> = Of<Blocks<G>, O>;

impl<G: Heap> Raw for Blocks<G> {
    fn new(_layout: Layout) -> Self {
        Self(PhantomData)
    }

    #[inline(always)]
    fn get(&self, layout: Layout) -> NonNull<u8> {
        // SAFETY: no layout here is empty.
        NonNull::new(unsafe { G::HEAP.alloc(layout) }).expect("out of memory")
    }

    #[inline(always)]
    unsafe fn put(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's block.
        unsafe { G::HEAP.dealloc(block.as_ptr(), layout) };
    }
}

/// As an `Allocator`.
pub struct On<G>(PhantomData<G>);

impl<G> On<G> {
    pub const NEW: Self = Self(PhantomData);
}

// SAFETY: the allocator's blocks, which do not depend on this value.
unsafe impl<G: Heap> Allocator for On<G> {
    #[inline]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(layout.size() != 0, "the vectors here ask for something");
        // SAFETY: not empty.
        let block = NonNull::new(unsafe { G::HEAP.alloc(layout) }).ok_or(AllocError)?;
        Ok(NonNull::slice_from_raw_parts(block, layout.size()))
    }

    #[inline]
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's block.
        unsafe { G::HEAP.dealloc(block.as_ptr(), layout) };
    }
}

/// Refuses if `malloc` is in this executable: then another allocator took the system's name.
pub fn check_system() -> Result<(), String> {
    let file = |address: *const libc::c_void| {
        // SAFETY: `Dl_info` is pointers only, for which null is a value.
        let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
        // SAFETY: `info` is writable; any address may be asked for.
        let found = unsafe { libc::dladdr(address, &raw mut info) };
        (found != 0).then_some(info.dli_fbase)
    };
    let malloc = libc::malloc as *const libc::c_void;
    let here = check_system as *const libc::c_void;
    if file(malloc) == file(here) {
        return Err("malloc is not the system's here: build this package alone".into());
    }
    Ok(())
}

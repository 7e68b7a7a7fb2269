//! A stack of pointers in memory of a pool's source.
//!
//! Free objects are kept by pointer, not linked through: popping one does not wait for its cold cache line, and an
//! object of a page's size needs no place for a link beside it. Pushing never allocates: the stack has room for every
//! object there can be before the first of them exists.

use crate::{PoolError, Source};
use core::alloc::Layout;
use core::ptr::NonNull;

/// Memory for a stack; not freed on drop.
#[derive(Debug)]
pub(crate) struct Room<T> {
    start: NonNull<NonNull<T>>,
    size: usize,
}

impl<T> Room<T> {
    const NONE: Self = Self { start: NonNull::dangling(), size: 0 };

    pub(crate) fn allocate(source: &impl Source, size: usize) -> Result<Self, PoolError> {
        if size == 0 {
            return Ok(Self::NONE);
        }
        let too_many = PoolError::TooMany { asked: size, most: isize::MAX as usize / size_of::<NonNull<T>>() };
        let layout = Layout::array::<NonNull<T>>(size).map_err(|_| too_many)?;
        let start = source.allocate(layout).ok_or(PoolError::refused(layout))?.cast();
        Ok(Self { start, size })
    }

    /// # Safety
    /// The room came from `source` and is not used any more.
    pub(crate) unsafe fn deallocate(self, source: &impl Source) {
        if let (1.., Ok(layout)) = (self.size, Layout::array::<NonNull<T>>(self.size)) {
            // SAFETY: the layout of the allocation.
            unsafe { source.deallocate(self.start.cast(), layout) };
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.size * size_of::<NonNull<T>>()
    }

    /// Where the pointers go.
    #[cfg(any(target_has_atomic = "64", feature = "std"))]
    pub(crate) fn start(&self) -> NonNull<NonNull<T>> {
        self.start
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Stack<T> {
    room: Room<T>,
    len: usize,
}

// SAFETY: only pointers; what may be done with them is their user's matter, who needs `T: Send`.
unsafe impl<T: Send> Send for Stack<T> {}

impl<T> Stack<T> {
    pub(crate) const fn new() -> Self {
        Self { room: Room::NONE, len: 0 }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn room(&self) -> usize {
        self.room.size
    }

    pub(crate) fn bytes(&self) -> usize {
        self.room.bytes()
    }

    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<NonNull<T>> {
        let len = self.len.checked_sub(1)?;
        self.len = len;
        // SAFETY: below the old length, so written by `push`.
        Some(unsafe { self.room.start.add(len).read() })
    }

    /// # Safety
    /// There is room.
    #[inline(always)]
    pub(crate) unsafe fn push(&mut self, object: NonNull<T>) {
        debug_assert!(self.len < self.room.size);
        // SAFETY: there is room, the caller says.
        unsafe { self.room.start.add(self.len).write(object) };
        self.len += 1;
    }

    /// What is in the stack, the top last.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [NonNull<T>] {
        // SAFETY: so many were written.
        unsafe { core::slice::from_raw_parts_mut(self.room.start.as_ptr(), self.len) }
    }

    /// Moves into `room`, which is at least as large, and returns the old one.
    pub(crate) fn move_to(&mut self, room: Room<T>) -> Room<T> {
        debug_assert!(room.size >= self.len);
        // SAFETY: both are valid for `len`, and distinct.
        unsafe { room.start.copy_from_nonoverlapping(self.room.start, self.len) };
        core::mem::replace(&mut self.room, room)
    }

    /// Takes the room out, for deallocation; the stack is empty then.
    pub(crate) fn take_room(&mut self) -> Room<T> {
        self.len = 0;
        core::mem::replace(&mut self.room, Room::NONE)
    }
}

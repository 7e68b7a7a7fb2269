//! What is pooled.

use std::alloc::System;
use std::mem::MaybeUninit;

use allocator_api2::vec::Vec;

use crate::mallocs::{Heap, On};

/// An object that can be made, used and used again.
pub trait Object: Send + 'static {
    /// Constructs it in place.
    ///
    /// # Safety
    /// `at` is writable and fits a `Self`.
    unsafe fn construct(at: *mut Self);

    /// Ready for the next user.
    fn reset(&mut self) {}

    /// Uses it: leaves `value` there.
    fn touch(&mut self, value: u64);

    /// The value that `touch` left; another one if it is damaged.
    fn read(&self) -> u64;

    /// By value.
    fn make() -> Self
    where
        Self: Sized,
    {
        let mut object = MaybeUninit::uninit();
        // SAFETY: room for one; constructed by the call.
        unsafe {
            Self::construct(object.as_mut_ptr());
            object.assume_init()
        }
    }
}

/// First word, last word, and between them what nobody looks at.
#[repr(C)]
pub struct Plain<const MIDDLE: usize> {
    first: u64,
    middle: MaybeUninit<[u64; MIDDLE]>,
    last: u64,
}

/// 64 bytes.
pub type Small = Plain<6>;
/// 1 KiB.
pub type Large = Plain<126>;

impl<const MIDDLE: usize> Object for Plain<MIDDLE> {
    #[inline(always)]
    unsafe fn construct(at: *mut Self) {
        // SAFETY: the caller's memory.
        unsafe {
            (&raw mut (*at).first).write(0);
            (&raw mut (*at).last).write(!0);
        }
    }

    #[inline(always)]
    fn touch(&mut self, value: u64) {
        self.first = value;
        self.last = !value;
    }

    #[inline(always)]
    fn read(&self) -> u64 {
        if self.first == !self.last { self.first } else { !0 }
    }
}

/// A filled object, for where constructing is the work.
#[inline(always)]
pub fn filled(value: u64) -> [u64; 8] {
    [value; 8]
}

/// A connection as a server has many: two buffers, who it is, what it said. 4 KiB without the vectors' memory.
pub struct Connection<G: Heap> {
    id: u64,
    input: [u8; 2048],
    output: [u8; 1912],
    peer: Vec<u8, On<G>>,
    user: Vec<u8, On<G>>,
    headers: Vec<(u32, u32), On<G>>,
    pending: Vec<u64, On<G>>,
}

/// As pools hold it.
pub type Pooled = Connection<System>;

const _: () = assert!(size_of::<Pooled>() > 4000 && size_of::<Pooled>() <= 4096);

impl<G: Heap> Object for Connection<G> {
    #[inline]
    unsafe fn construct(at: *mut Self) {
        // SAFETY: the caller's memory; every field is written once, without a detour by the stack.
        unsafe {
            (&raw mut (*at).id).write(0);
            (&raw mut (*at).input).write_bytes(0, 1);
            (&raw mut (*at).output).write_bytes(0, 1);
            (&raw mut (*at).peer).write(Vec::with_capacity_in(48, On::NEW));
            (&raw mut (*at).user).write(Vec::with_capacity_in(32, On::NEW));
            (&raw mut (*at).headers).write(Vec::with_capacity_in(16, On::NEW));
            (&raw mut (*at).pending).write(Vec::with_capacity_in(32, On::NEW));
        }
    }

    #[inline]
    fn reset(&mut self) {
        self.peer.clear();
        self.user.clear();
        self.headers.clear();
        self.pending.clear();
    }

    #[inline]
    fn touch(&mut self, value: u64) {
        self.id = value;
        self.input[..16].fill(value as u8);
        self.output[1904..].copy_from_slice(&(!value).to_le_bytes());
        self.peer.extend_from_slice(b"198.51.100.17:443");
        self.user.extend_from_slice(b"ada");
        self.headers.push((value as u32, 7));
        self.pending.push(value);
    }

    #[inline]
    fn read(&self) -> u64 {
        let whole = self.peer.len() == 17
            && self.user.len() == 3
            && self.headers.len() == 1
            && self.pending.len() == 1
            && self.input[15] == self.id as u8
            && self.output[1904..] == (!self.id).to_le_bytes();
        if whole { self.pending[0] } else { !0 }
    }
}

//! `allocator_api2::alloc::Allocator` of version 0.4 for [`Stratalloc`] and [`Heap`].

use crate::api2::implement;
use crate::{Heap, Stratalloc};
use allocator_api2_04::alloc::{AllocError, Allocator};
use core::alloc::Layout;
use core::ptr::NonNull;

implement!(Allocator, AllocError, Stratalloc);
implement!(Allocator, AllocError, &Heap);

//! `allocator_api2::alloc::Allocator` of version 0.4 for [`Stratalloc`] and [`Heap`].

use crate::{Heap, Stratalloc};
use allocator_api2_04::alloc::{AllocError, Allocator};

crate::api2::implement!(Allocator, AllocError);

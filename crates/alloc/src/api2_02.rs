//! `allocator_api2::alloc::Allocator` of version 0.2 for [`Stratalloc`] and [`Heap`].

use crate::{Heap, Stratalloc};
use allocator_api2_02::alloc::{AllocError, Allocator};

crate::api2::implement!(Allocator, AllocError);

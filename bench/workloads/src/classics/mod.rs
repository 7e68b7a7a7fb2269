//! The classics: published allocator benchmarks, written anew from what their authors say that they do.
//!
//! Each module's header says what it models, where it is from, and what it is sensitive to. Amounts of work are fixed,
//! also where the original counts what it can do in a given time, so that contenders can be compared by
//! time, instructions and memory alike. The constants are for scale 1: about half a second with glibc's malloc on two
//! CPUs.

mod alloc_test;
pub(crate) mod block;
mod cfrac;
mod false_sharing;
mod glibc;
mod growth;
mod large;
mod larson;
mod mleak;
mod mstress;
mod number;
mod rptest;
mod smartheap;
mod xmalloc;

use crate::registry::Workload;

/// All of them, in the order of lists.
pub fn all() -> Vec<Workload> {
    vec![
        cfrac::CFRAC,
        alloc_test::ALLOC_TEST_1,
        alloc_test::ALLOC_TEST_N,
        glibc::GLIBC_SIMPLE,
        glibc::GLIBC_THREAD,
        smartheap::SH6,
        smartheap::SH8,
        rptest::RPTEST,
        larson::LARSON,
        mstress::MSTRESS,
        xmalloc::XMALLOC,
        mleak::MLEAK,
        false_sharing::CACHE_THRASH_1,
        false_sharing::CACHE_THRASH_N,
        false_sharing::CACHE_SCRATCH_1,
        false_sharing::CACHE_SCRATCH_N,
        large::MALLOC_LARGE,
        growth::REALLOC,
        growth::REALLOC_MIXED,
    ]
}

//! What libstratalloc.so exports: these names and no others.

/// malloc and friends.
const FAMILY: &[&str] = &[
    "aligned_alloc",
    "calloc",
    "cfree",
    "free",
    "free_aligned_sized",
    "free_sized",
    "malloc",
    "malloc_good_size",
    "malloc_usable_size",
    "memalign",
    "posix_memalign",
    "pvalloc",
    "realloc",
    "reallocarray",
    "valloc",
];

/// What a program asks about its memory.
const INSPECT: &[&str] = &["mallinfo", "mallinfo2", "malloc_info", "malloc_stats", "malloc_trim", "mallopt"];

/// Leaving without exit handlers.
const EXIT: &[&str] = &["_Exit", "_exit"];

/// Loading libraries.
const LOADING: &[&str] = &["dlopen"];

/// Our own: what `include/stratalloc.h` declares.
const OWN: &[&str] = &[
    "strat_aligned_alloc",
    "strat_aligned_malloc_batch",
    "strat_calloc",
    "strat_expand",
    "strat_fixed_pool_acquire",
    "strat_fixed_pool_destroy",
    "strat_fixed_pool_new",
    "strat_fixed_pool_release",
    "strat_fixed_pool_reserve",
    "strat_fixed_pool_shrink",
    "strat_fixed_pool_stats",
    "strat_fixed_pool_try_acquire",
    "strat_free",
    "strat_free_aligned_sized",
    "strat_free_batch",
    "strat_free_sized",
    "strat_good_size",
    "strat_heap_aligned_alloc",
    "strat_heap_aligned_malloc_batch",
    "strat_heap_calloc",
    "strat_heap_contains",
    "strat_heap_destroy",
    "strat_heap_free",
    "strat_heap_free_batch",
    "strat_heap_malloc",
    "strat_heap_malloc_at_least",
    "strat_heap_malloc_batch",
    "strat_heap_new",
    "strat_heap_realloc",
    "strat_heap_visit",
    "strat_malloc",
    "strat_malloc_at_least",
    "strat_malloc_batch",
    "strat_on_soft_limit",
    "strat_option_get",
    "strat_option_set",
    "strat_realloc",
    "strat_reallocarray",
    "strat_stats_get",
    "strat_stats_json",
    "strat_tiered_pool_acquire",
    "strat_tiered_pool_destroy",
    "strat_tiered_pool_new",
    "strat_tiered_pool_release",
    "strat_tiered_pool_reserve",
    "strat_tiered_pool_shrink",
    "strat_tiered_pool_stats",
    "strat_tiered_pool_try_acquire",
    "strat_trim",
    "strat_usable_size",
    "strat_version",
];

/// Names that must be one function: ours, and the family's.
pub const SAME: &[(&str, &str)] = &[
    ("strat_aligned_alloc", "aligned_alloc"),
    ("strat_calloc", "calloc"),
    ("strat_free", "free"),
    ("strat_free_aligned_sized", "free_aligned_sized"),
    ("strat_free_sized", "free_sized"),
    ("strat_malloc", "malloc"),
    ("strat_realloc", "realloc"),
];

/// glibc's second names.
const LIBC: &[&str] = &[
    "__libc_calloc",
    "__libc_free",
    "__libc_malloc",
    "__libc_memalign",
    "__libc_pvalloc",
    "__libc_realloc",
    "__libc_valloc",
];

/// operator new and delete.
const OPERATORS: &[&str] = &[
    "_ZdaPv",
    "_ZdaPvRKSt9nothrow_t",
    "_ZdaPvSt11align_val_t",
    "_ZdaPvSt11align_val_tRKSt9nothrow_t",
    "_ZdaPvm",
    "_ZdaPvmSt11align_val_t",
    "_ZdlPv",
    "_ZdlPvRKSt9nothrow_t",
    "_ZdlPvSt11align_val_t",
    "_ZdlPvSt11align_val_tRKSt9nothrow_t",
    "_ZdlPvm",
    "_ZdlPvmSt11align_val_t",
    "_Znam",
    "_ZnamRKSt9nothrow_t",
    "_ZnamSt11align_val_t",
    "_ZnamSt11align_val_tRKSt9nothrow_t",
    "_Znwm",
    "_ZnwmRKSt9nothrow_t",
    "_ZnwmSt11align_val_t",
    "_ZnwmSt11align_val_tRKSt9nothrow_t",
];

/// Of which a program's own are called in the library's place (`crates/capi/src/in_force.rs`).
pub const REPLACEABLE: &[&str] = &[
    "_ZdaPv",
    "_ZdaPvSt11align_val_t",
    "_ZdlPv",
    "_ZdlPvSt11align_val_t",
    "_Znam",
    "_ZnamSt11align_val_t",
    "_Znwm",
    "_ZnwmSt11align_val_t",
    "realloc",
];

/// Which a program may define beside the archive: all operators, weak there.
pub fn weak_in_archive(name: &str) -> bool {
    OPERATORS.contains(&name)
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static str> {
    [FAMILY, INSPECT, EXIT, LOADING, OWN, LIBC, OPERATORS].into_iter().flatten().copied()
}

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

/// Our own.
const OWN: &[&str] = &["strat_option_set"];

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

/// All of them.
pub fn all() -> impl Iterator<Item = &'static str> {
    [FAMILY, INSPECT, EXIT, OWN, LIBC, OPERATORS].into_iter().flatten().copied()
}

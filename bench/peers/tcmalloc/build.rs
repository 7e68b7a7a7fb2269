//! Exports tcmalloc's `TCMallocInternal` functions under their plain names.

use peers_shim::Exports;

/// The plain name, and what follows `TCMallocInternal`.
const NAMES: &[(&str, &str)] = &[
    ("malloc", "Malloc"),
    ("calloc", "Calloc"),
    ("realloc", "Realloc"),
    ("free", "Free"),
    ("malloc_usable_size", "MallocSize"),
    ("aligned_alloc", "AlignedAlloc"),
    ("posix_memalign", "PosixMemalign"),
    ("memalign", "Memalign"),
    ("valloc", "Valloc"),
    ("pvalloc", "Pvalloc"),
    ("reallocarray", "ReallocArray"),
    ("cfree", "Cfree"),
    ("_Znwm", "New"),
    ("_Znam", "NewArray"),
    ("_ZnwmRKSt9nothrow_t", "NewNothrow"),
    ("_ZnamRKSt9nothrow_t", "NewArrayNothrow"),
    ("_ZnwmSt11align_val_t", "NewAligned"),
    ("_ZnamSt11align_val_t", "NewArrayAligned"),
    ("_ZnwmSt11align_val_tRKSt9nothrow_t", "NewAlignedNothrow"),
    ("_ZnamSt11align_val_tRKSt9nothrow_t", "NewArrayAlignedNothrow"),
    ("_ZdlPv", "Delete"),
    ("_ZdaPv", "DeleteArray"),
    ("_ZdlPvm", "DeleteSized"),
    ("_ZdaPvm", "DeleteArraySized"),
    ("_ZdlPvSt11align_val_t", "DeleteAligned"),
    ("_ZdaPvSt11align_val_t", "DeleteArrayAligned"),
    ("_ZdlPvmSt11align_val_t", "DeleteSizedAligned"),
    ("_ZdaPvmSt11align_val_t", "DeleteArraySizedAligned"),
    ("_ZdlPvRKSt9nothrow_t", "DeleteNothrow"),
    ("_ZdaPvRKSt9nothrow_t", "DeleteArrayNothrow"),
    ("_ZdlPvSt11align_val_tRKSt9nothrow_t", "DeleteAlignedNothrow"),
    ("_ZdaPvSt11align_val_tRKSt9nothrow_t", "DeleteArrayAlignedNothrow"),
];

fn main() {
    let aliases = NAMES
        .iter()
        .fold(Exports::new(), |exports, (name, own)| exports.alias(&[name], &format!("TCMallocInternal{own}")));
    // Its object's constructor switches to per-CPU caches; in the crate's static library nothing asks for it, and all
    // would run on the older per-thread caches.
    aliases.need("TCMalloc_Internal_ForceCpuCacheActivation").emit();
}

//! Exports jemalloc's own symbols.

use peers_shim::{ALIGNED, Exports, MALLOC, UNSIZED_DELETE};

fn main() {
    Exports::new()
        .names(MALLOC)
        .names(ALIGNED)
        .names(&["pvalloc", "valloc"])
        .alias(&["_ZnwmRKSt9nothrow_t", "_ZnamRKSt9nothrow_t"], "malloc")
        .alias(UNSIZED_DELETE, "free")
        .alias(&["_ZdlPvmSt11align_val_t", "_ZdaPvmSt11align_val_t"], "free")
        .emit();
}

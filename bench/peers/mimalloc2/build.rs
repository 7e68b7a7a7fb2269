//! Exports mimalloc's own symbols.

use peers_shim::{ALIGNED, Exports, MALLOC, NOTHROW_NEW, SIZED_DELETE, THROWING_NEW, UNSIZED_DELETE};

fn main() {
    Exports::new()
        .names(MALLOC)
        .names(ALIGNED)
        .names(&["cfree", "pvalloc", "reallocarray", "valloc"])
        .names(THROWING_NEW)
        .names(NOTHROW_NEW)
        .names(UNSIZED_DELETE)
        .names(SIZED_DELETE)
        .emit();
}

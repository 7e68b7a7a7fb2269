//! Gives C++ operators the names of the functions that serve them.

use peers_shim::{Exports, SIZED_DELETE, UNSIZED_DELETE};

fn main() {
    Exports::new()
        .alias(&["_ZnwmRKSt9nothrow_t", "_ZnamRKSt9nothrow_t"], "malloc")
        .alias(UNSIZED_DELETE, "free")
        .alias(SIZED_DELETE, "free")
        .emit();
}

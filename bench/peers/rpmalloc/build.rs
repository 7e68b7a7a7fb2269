//! Exports rpmalloc's `rp` functions under their plain names, and its `pthread_create`.

use peers_shim::{ALIGNED, Exports, MALLOC, SIZED_DELETE, UNSIZED_DELETE};

fn main() {
    let mut exports = Exports::new().names(&["pthread_create"]);
    for name in MALLOC.iter().chain(ALIGNED).filter(|name| !name.starts_with("malloc")) {
        exports = exports.alias(&[name], &format!("rp{name}"));
    }
    exports
        .alias(&["malloc"], "rpmalloc")
        .alias(&["malloc_usable_size"], "rpmalloc_usable_size")
        .alias(&["cfree"], "rpfree")
        .alias(&["_Znwm", "_Znam", "_ZnwmRKSt9nothrow_t", "_ZnamRKSt9nothrow_t"], "rpmalloc")
        .alias(UNSIZED_DELETE, "rpfree")
        .alias(SIZED_DELETE, "rpfree")
        .emit();
}

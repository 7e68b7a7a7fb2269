//! Exports snmalloc's `sn_` functions under their plain names.

use peers_shim::{ALIGNED, Exports, MALLOC, SIZED_DELETE, UNSIZED_DELETE};

fn main() {
    let others = ["cfree", "pvalloc", "valloc"];
    let mut exports = Exports::new();
    for name in MALLOC.iter().chain(ALIGNED).chain(&others) {
        exports = exports.alias(&[name], &format!("sn_{name}"));
    }
    exports
        .alias(&["_ZnwmRKSt9nothrow_t", "_ZnamRKSt9nothrow_t"], "sn_malloc")
        .alias(UNSIZED_DELETE, "sn_free")
        // Its sized delete is this function. (With an alignment the size would first be rounded to it: without
        // its checks it looks at neither.)
        .alias(SIZED_DELETE, "sn_free_sized")
        .emit();
}

//! The peers' static libraries for the C++ programs, from their crates' C sources.
//!
//! jemalloc is as its crate builds it: each function with the prefix `_rjem_`. Of mimalloc the crate builds one
//! version; here are both, with the flags of its authors' release build. Neither takes malloc's place. Variables of its
//! compilation tell the bench where they are.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    let out = PathBuf::from(variable("OUT_DIR"));
    // The crate's own version 3 header's folder, `…/mimalloc/v3/include`, leads to both.
    let include = PathBuf::from(variable("DEP_MIMALLOC_INCLUDE_DIR"));
    let sources = include.ancestors().nth(2).expect("mimalloc's sources lie three folders deep");
    for version in ["v2", "v3"] {
        mimalloc(&sources.join(version), version, &out);
        pass(&format!("MIMALLOC_{}_INCLUDE", version.to_uppercase()), &sources.join(version).join("include"));
    }
    pass("PEERS_ARCHIVES", &out);
    let jemalloc = PathBuf::from(variable("DEP_JEMALLOC_ROOT"));
    pass("JEMALLOC_INCLUDE", &jemalloc.join("include"));
    pass("JEMALLOC_ARCHIVE", &jemalloc.join("lib/libjemalloc.a"));
    println!("cargo:rerun-if-changed=build.rs");
}

fn mimalloc(folder: &Path, version: &str, out: &Path) {
    cc::Build::new()
        .file(folder.join("src/static.c"))
        .include(folder.join("include"))
        .include(folder.join("src"))
        .opt_level(3)
        .debug(false)
        .define("NDEBUG", None)
        .define("MI_BUILD_RELEASE", None)
        .define("MI_DEBUG", "0")
        .define("MI_STATIC_LIB", None)
        .flags(["-fvisibility=hidden", "-ftls-model=initial-exec", "-fno-builtin-malloc", "-Wno-date-time"])
        .warnings(false)
        .cargo_metadata(false)
        .out_dir(out.join(version))
        .compile("mimalloc");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: cargo and the peers' crates set it"))
}

fn pass(name: &str, path: &Path) {
    println!("cargo:rustc-env={name}={}", path.display());
}

//! The `strat_` functions as C programs call them: from gcc and from clang, linked with the shared library, with the
//! archive, and found in a preloaded one.

use stratalloc_tests::compile::Source;
use stratalloc_tests::library::{archive, link_dir, shared_object};
use stratalloc_tests::{Outcome, c, on_libc};

/// Flags that a careful project compiles with.
fn careful(source: Source) -> Source {
    source.flag("-std=gnu11").flag("-Wpedantic").flag("-Wstrict-prototypes").flag("-Werror")
}

/// Runs a program with every compiler and every way to link.
fn everywhere(path: &'static str, test: impl Fn(Outcome)) {
    for compiler in ["gcc", "clang"] {
        let source = || careful(c(path).compiler(compiler, compiler));
        let dir = link_dir();
        let dynamic = source()
            .variant("shared")
            .link(format!("-L{}", dir.display()))
            .link("-lstratalloc")
            .link(format!("-Wl,-rpath,{}", dir.display()))
            .build();
        test(on_libc(dynamic).env("STRATALLOC_EXPECT", shared_object()).passes());
        let archived = source().variant("archive").flag("-DSTATIC_EXECUTABLE").link(archive()).build();
        test(on_libc(archived).passes());
    }
}

#[test]
fn blocks() {
    everywhere("capi/blocks.c", drop);
}

#[test]
fn heaps() {
    everywhere("capi/heaps.c", drop);
}

#[test]
fn pools() {
    everywhere("capi/pools.c", drop);
}

#[test]
fn figures_options_and_version() {
    everywhere("capi/process.c", |outcome| {
        let out = outcome.out();
        for key in ["\"allocated\":", "\"purged\":", "\"rss_peak\":", "\"classes\":[{\"block_size\":"] {
            assert!(out.contains(key), "no {key} in {out}");
        }
        // One object that a parser takes.
        let figures: serde_json::Value =
            serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
        let number = |key: &str| figures[key].as_u64().unwrap_or_else(|| panic!("no number {key} in {out}"));
        assert_eq!(number("mapped"), number("active") + number("dirty") + number("clean"));
        let classes = figures["classes"].as_array().expect("an array");
        assert!(classes.iter().all(|class| class["live"].as_u64() <= class["capacity"].as_u64()), "{out}");
    });
}

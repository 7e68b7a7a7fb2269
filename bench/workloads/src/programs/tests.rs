//! Every program that is here, at smoke scale: equal results with the C library and with a preloaded library.

use std::path::{Path, PathBuf};

use super::all;

/// Stratalloc's library, where the product was built.
fn stratalloc() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let targets = ["target/release", "target/debug"];
    let found =
        targets.map(|target| root.join(target).join("libstratalloc.so")).into_iter().find(|file| file.exists());
    found.and_then(|file| file.canonicalize().ok())
}

#[test]
fn results_do_not_depend_on_the_library() {
    let library = stratalloc();
    if library.is_none() {
        eprintln!("libstratalloc.so is not built: only the C library is tried");
    }
    for program in all() {
        if let Some(missing) = (program.missing)() {
            eprintln!("{}: {missing}", program.name);
            continue;
        }
        let plain = (program.run)(None, 0.02).unwrap();
        assert!(plain.allocator.contains("libc.so"), "{}: {}", program.name, plain.allocator);
        assert!(plain.wall > 0.0 && plain.peak_rss > 0 && plain.operations > 0, "{plain:?}");
        let Some(library) = &library else { continue };
        let preloaded = (program.run)(Some(library), 0.02).unwrap();
        assert_eq!(Path::new(&preloaded.allocator), library, "{}", program.name);
        assert_eq!(preloaded.checksum, plain.checksum, "{}", program.name);
        assert_eq!(preloaded.operations, plain.operations, "{}", program.name);
    }
}

#[test]
fn a_library_that_serves_no_malloc_is_refused() {
    let program = all().into_iter().find(|program| program.name == "git").unwrap();
    if (program.missing)().is_some() {
        return;
    }
    // A library that every system has, and that has no malloc.
    let other = ["/lib/x86_64-linux-gnu/libz.so.1", "/lib/aarch64-linux-gnu/libz.so.1", "/usr/lib/libz.so.1"];
    let Some(other) = other.into_iter().map(Path::new).find(|file| file.exists()) else { return };
    let error = (program.run)(Some(other), 0.02).unwrap_err();
    assert!(error.contains(&other.display().to_string()) && error.contains("libc.so"), "{error}");
}

#[test]
fn a_path_that_the_loader_would_split_is_refused() {
    let program = all().into_iter().find(|program| program.name == "lua").unwrap();
    let error = (program.run)(Some(Path::new("/tmp/a b/lib.so")), 0.02).unwrap_err();
    assert!(error.contains("/tmp/a b/lib.so"), "{error}");
}

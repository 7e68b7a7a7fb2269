//! The linker's orders for a peer's library. Called by the peers' build scripts.
//!
//! rustc lets a cdylib export its own `no_mangle` functions and hides all symbols of the C libraries in it. A second
//! version script lifts that for the names listed here (LLD, rustc's linker on x86-64 Linux, merges version scripts;
//! GNU ld refuses a second one, and the build fails). A name that no object defines is an error, so a peer that stops
//! exporting `malloc` does not build. `--defsym` gives a function a second name at no cost at run time.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

/// malloc and friends.
pub const MALLOC: &[&str] = &["malloc", "calloc", "realloc", "free", "malloc_usable_size"];

/// The functions for aligned blocks.
pub const ALIGNED: &[&str] = &["aligned_alloc", "posix_memalign", "memalign"];

/// `operator new` and `new[]` that throw, without and with an alignment.
pub const THROWING_NEW: &[&str] = &["_Znwm", "_Znam", "_ZnwmSt11align_val_t", "_ZnamSt11align_val_t"];

/// `operator new` and `new[]` with `std::nothrow`, without and with an alignment.
pub const NOTHROW_NEW: &[&str] = &[
    "_ZnwmRKSt9nothrow_t",
    "_ZnamRKSt9nothrow_t",
    "_ZnwmSt11align_val_tRKSt9nothrow_t",
    "_ZnamSt11align_val_tRKSt9nothrow_t",
];

/// `operator delete` and `delete[]` that are told no size.
pub const UNSIZED_DELETE: &[&str] = &[
    "_ZdlPv",
    "_ZdaPv",
    "_ZdlPvRKSt9nothrow_t",
    "_ZdaPvRKSt9nothrow_t",
    "_ZdlPvSt11align_val_t",
    "_ZdaPvSt11align_val_t",
    "_ZdlPvSt11align_val_tRKSt9nothrow_t",
    "_ZdaPvSt11align_val_tRKSt9nothrow_t",
];

/// `operator delete` and `delete[]` that are told the size, without and with the alignment.
pub const SIZED_DELETE: &[&str] = &["_ZdlPvm", "_ZdaPvm", "_ZdlPvmSt11align_val_t", "_ZdaPvmSt11align_val_t"];

/// What a peer's library exports.
#[derive(Debug, Default)]
pub struct Exports {
    names: Vec<String>,
    aliases: Vec<(String, String)>,
    needed: Vec<String>,
}

impl Exports {
    /// Nothing yet.
    pub fn new() -> Exports {
        Exports::default()
    }

    /// Symbols that the peer's static library defines under these very names.
    pub fn names(mut self, names: &[&str]) -> Exports {
        self.names.extend(names.iter().map(|name| (*name).to_owned()));
        self
    }

    /// One function under other names: `new` is exported wherever the library defines `old`.
    pub fn alias(mut self, new: &[&str], old: &str) -> Exports {
        self.aliases.extend(new.iter().map(|new| ((*new).to_owned(), old.to_owned())));
        self
    }

    /// Takes in the object that defines this symbol, though nothing refers to it: for constructors.
    pub fn need(mut self, name: &str) -> Exports {
        self.needed.push(name.to_owned());
        self
    }

    /// Tells cargo.
    ///
    /// # Panics
    /// Outside a build script, or when its folder can't be written.
    pub fn emit(self) {
        println!("cargo::rerun-if-changed=build.rs");
        let mut script = String::from("{\n  global:\n");
        for name in self.names.iter().chain(self.aliases.iter().map(|(new, _)| new)) {
            writeln!(script, "    {name};").expect("a String takes all");
        }
        script.push_str("  local:\n    *;\n};\n");
        let path =
            PathBuf::from(std::env::var_os("OUT_DIR").expect("a build script has OUT_DIR")).join("exports.map");
        std::fs::write(&path, script).unwrap_or_else(|error| panic!("{}: {error}", path.display()));

        let argument = |text: String| println!("cargo::rustc-cdylib-link-arg={text}");
        argument(format!("-Wl,--version-script={}", path.display()));
        // Calls between the library's own functions need no table, as in the libraries that the peers' authors build.
        argument("-Wl,-Bsymbolic-functions".to_owned());
        // rustc leaves the C library out for a library without std.
        argument("-lc".to_owned());
        // A static library gives only objects that something asks for.
        let old = self.aliases.iter().map(|(_, old)| old);
        let wanted: BTreeSet<&String> = self.names.iter().chain(&self.needed).chain(old).collect();
        for name in wanted {
            argument(format!("-Wl,--undefined={name}"));
        }
        for (new, old) in &self.aliases {
            argument(format!("-Wl,--defsym={new}={old}"));
        }
    }
}

//! Compiles the programs under `tests/c/` with the system's compilers, once for each set of flags.

use crate::library::{exclusive, scratch_dir};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// One source file under `tests/c/` and how to compile it.
#[derive(Clone, Debug)]
pub struct Source {
    compiler: &'static str,
    path: &'static str,
    variant: String,
    before: Vec<String>,
    after: Vec<String>,
}

/// A C program, by its path under `tests/c/`.
pub fn c(path: &'static str) -> Source {
    Source::new("cc", path)
}

/// A C++17 program, by its path under `tests/c/`.
pub fn cxx(path: &'static str) -> Source {
    Source::new("c++", path).flag("-std=c++17")
}

impl Source {
    fn new(compiler: &'static str, path: &'static str) -> Self {
        Self { compiler, path, variant: String::new(), before: Vec::new(), after: Vec::new() }
    }

    /// Another compiler than `cc` or `c++`; `package` has it on Debian.
    pub fn compiler(mut self, program: &'static str, package: &str) -> Self {
        crate::tools::program(program, package);
        self.compiler = program;
        self.variant.push_str(program);
        self
    }

    /// A name that tells this way to compile from others of the same source.
    pub fn variant(mut self, name: &str) -> Self {
        self.variant.push_str(name);
        self
    }

    /// A flag before the source file.
    pub fn flag(mut self, flag: &str) -> Self {
        self.before.push(flag.to_owned());
        self
    }

    /// A library, archive or linker flag after the source file.
    pub fn link(mut self, what: impl AsRef<Path>) -> Self {
        self.after.push(what.as_ref().display().to_string());
        self
    }

    /// Compiles a shared library instead of an executable.
    pub fn shared(self) -> Self {
        self.flag("-shared").flag("-fPIC")
    }

    /// Compiles, unless the result is newer than every source and was made with the same flags.
    ///
    /// Allocation calls stay what they are (`-fno-builtin`): no compiler may elide them.
    ///
    /// # Panics
    /// When the compiler is missing or refuses the program.
    pub fn build(&self) -> PathBuf {
        let _lock = exclusive("compile");
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("c");
        let source = sources.join(self.path);
        let name = format!(
            "{}{}{}",
            self.path.replace(['/', '.'], "-"),
            if self.variant.is_empty() { "" } else { "-" },
            self.variant
        );
        let output = scratch_dir().join(name);
        let mut args: Vec<String> =
            ["-O1", "-g", "-fno-builtin", "-Wall", "-Wextra", "-pthread"].map(str::to_owned).into();
        args.push(format!("-I{}", sources.display()));
        args.extend(self.before.iter().cloned());
        args.push(source.display().to_string());
        args.extend(self.after.iter().cloned());
        let recipe = format!("{} {}", self.compiler, args.join(" "));
        let recipe_file = output.with_extension("recipe");
        let headers = crate::library::workspace().join("include");
        let inputs = newest(&sources)
            .max(newest(&headers))
            .max(self.after.iter().filter_map(|path| modified(Path::new(path))).max());
        if modified(&output) > inputs && fs::read_to_string(&recipe_file).is_ok_and(|old| old == recipe) {
            return output;
        }
        let fresh = output.with_extension("new");
        let result =
            Command::new(self.compiler).args(&args).arg("-o").arg(&fresh).output().unwrap_or_else(|error| {
                panic!("{}: {error}; Debian's packages gcc and g++ have it", self.compiler)
            });
        assert!(result.status.success(), "{recipe}\n{}", String::from_utf8_lossy(&result.stderr));
        fs::rename(&fresh, &output).expect("rename within the target directory");
        fs::write(&recipe_file, recipe).expect("write to the target directory");
        output
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

/// Newest modification below a directory: any header may matter to any program.
fn newest(dir: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            if path.is_dir() { newest(&path) } else { modified(&path) }
        })
        .max()
}

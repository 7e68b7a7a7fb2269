//! The C++ headers as C++ programs use them: with every compiler and standard library, at C++17 and C++20, linked with
//! the shared library and with the archive, beside a preloaded one, under the sanitizers, and without exceptions. The
//! examples under `examples/cpp` run and print what they should; the code in the headers' comments and in docs/cpp.md
//! compiles and runs.
//!
//! Sources lie in `tests/cpp`: a file for each area, all in one program. Each test below compiles that program its own
//! way, so that as many compilers run at a time as there are test threads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;
use stratalloc_tests::library::{archive, link_dir, scratch_dir, workspace};
use stratalloc_tests::{Outcome, on_libc, on_library, tools};

/// What a careful project compiles with.
const WARNINGS: &[&str] = &[
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wconversion",
    "-Wsign-conversion",
    "-Wshadow",
    "-Wold-style-cast",
    "-Wnon-virtual-dtor",
    "-Werror",
];

/// One way to compile.
struct Way {
    name: &'static str,
    compiler: &'static str,
    flags: &'static [&'static str],
}

const GCC_17: Way = Way { name: "gcc-17", compiler: "g++", flags: &["-std=c++17"] };
const GCC_20: Way = Way { name: "gcc-20", compiler: "g++", flags: &["-std=c++20"] };
const CLANG_17: Way = Way { name: "clang-17", compiler: "clang++", flags: &["-std=c++17"] };
const CLANG_20: Way = Way { name: "clang-20", compiler: "clang++", flags: &["-std=c++20"] };
const LIBCXX_17: Way = Way { name: "libcxx-17", compiler: "clang++", flags: &["-std=c++17", "-stdlib=libc++"] };
const LIBCXX_20: Way = Way { name: "libcxx-20", compiler: "clang++", flags: &["-std=c++20", "-stdlib=libc++"] };
const ASAN: Way = Way { name: "asan", compiler: "g++", flags: &["-std=c++17", "-fsanitize=address"] };
const UBSAN: Way = Way {
    name: "ubsan",
    compiler: "g++",
    flags: &["-std=c++20", "-fsanitize=undefined", "-fno-sanitize-recover=all"],
};
const BARE: Way = Way { name: "bare", compiler: "g++", flags: &["-std=c++17", "-fno-exceptions", "-fno-rtti"] };
const BARE_CLANG: Way =
    Way { name: "bare-clang", compiler: "clang++", flags: &["-std=c++20", "-fno-exceptions", "-fno-rtti"] };

impl Way {
    fn command(&self) -> Command {
        // The package of libc++ that has <memory_resource> and goes with Debian 12's clang.
        tools::program(
            self.compiler,
            if self.compiler == "g++" { "g++" } else { "clang libc++-16-dev libc++abi-16-dev" },
        );
        let mut command = Command::new(self.compiler);
        command.args(self.flags).args(["-g", "-pthread"]);
        command
    }

    fn folder(&self) -> PathBuf {
        let folder = scratch_dir().join("cpp").join(self.name);
        fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        folder
    }

    /// Compiles `source` to an object, unless that was done since anything changed.
    fn object(&self, source: &Path) -> PathBuf {
        let name = source.file_stem().expect("a source file").to_string_lossy();
        let object = self.folder().join(format!("{name}.o"));
        let tests = workspace().join("tests/cpp");
        let mut command = self.command();
        command.args(WARNINGS).arg("-I").arg(workspace().join("include")).arg("-I").arg(&tests);
        command.arg("-c").arg(source);
        let recipe = format!("{command:?}");
        let recipe_file = object.with_extension("recipe");
        let inputs = newest(&tests).max(newest(&workspace().join("include"))).max(modified(source));
        let done = modified(&object) > inputs && fs::read_to_string(&recipe_file).is_ok_and(|old| old == recipe);
        if !done {
            let fresh = object.with_extension("new");
            succeeds(command.arg("-o").arg(&fresh));
            fs::rename(&fresh, &object).expect("rename within the target directory");
            fs::write(&recipe_file, recipe).expect("write to the target directory");
        }
        object
    }

    /// Links objects with the shared library.
    fn dynamic(&self, name: &str, objects: &[PathBuf]) -> PathBuf {
        let dir = link_dir();
        let program = self.folder().join(name);
        let mut command = self.command();
        command.args(objects).arg(format!("-L{}", dir.display())).arg("-lstratalloc");
        succeeds(command.arg(format!("-Wl,-rpath,{}", dir.display())).arg("-o").arg(&program));
        program
    }

    /// Links objects with the archive.
    fn archived(&self, name: &str, objects: &[PathBuf]) -> PathBuf {
        let program = self.folder().join(name);
        succeeds(self.command().args(objects).arg(archive()).arg("-o").arg(&program));
        program
    }

    /// The objects of the program that has all tests.
    fn tests(&self) -> Vec<PathBuf> {
        areas().iter().map(|source| self.object(source)).collect()
    }
}

/// The sources of the program that has all tests.
fn areas() -> Vec<PathBuf> {
    let folder = workspace().join("tests/cpp");
    let names = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut sources: Vec<PathBuf> = names.map(|entry| entry.expect("a file").path()).collect();
    sources.retain(|path| path.extension().is_some_and(|ending| ending == "cpp") && !path.ends_with("bare.cpp"));
    sources.sort();
    sources
}

/// Every test in the sources ran, but for those that only the sanitizer can run; the library says its version.
fn all_ran(outcome: &Outcome) {
    let ran = outcome.figure("\ntests ");
    let source: String = areas().iter().map(|path| fs::read_to_string(path).expect("a source")).collect();
    let written = |start: &str| source.lines().filter(|line| line.starts_with(start)).count() as i64;
    let (all, conditional) = (written("TEST("), written("TEST(asan_"));
    assert!(all > 70 && ran <= all && ran >= all - conditional, "{ran} of {all} tests ran");
    assert!(outcome.out().contains(concat!("library ", env!("CARGO_PKG_VERSION"))), "{outcome}");
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}\n{}",
        String::from_utf8_lossy(&output.stderr).lines().take(60).collect::<Vec<_>>().join("\n")
    );
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            if path.is_dir() { newest(&path) } else { modified(&path) }
        })
        .max()
}

#[test]
fn gcc_at_cxx17_shared_archived_and_preloaded() {
    let objects = GCC_17.tests();
    let dynamic = GCC_17.dynamic("all", &objects);
    all_ran(&on_libc(&dynamic).passes());
    all_ran(&on_library(&dynamic).passes());
    let archived = GCC_17.archived("all-archived", &objects);
    all_ran(&on_libc(&archived).passes());
    // Two copies of the library: the program's own serves it.
    all_ran(&on_library(&archived).passes());
}

#[test]
fn gcc_at_cxx20() {
    all_ran(&on_libc(GCC_20.dynamic("all", &GCC_20.tests())).passes());
}

#[test]
fn clang_at_cxx17() {
    all_ran(&on_libc(CLANG_17.dynamic("all", &CLANG_17.tests())).passes());
}

#[test]
fn clang_at_cxx20() {
    all_ran(&on_libc(CLANG_20.dynamic("all", &CLANG_20.tests())).passes());
}

#[test]
fn libcxx_at_cxx17() {
    all_ran(&on_libc(LIBCXX_17.dynamic("all", &LIBCXX_17.tests())).passes());
}

#[test]
fn libcxx_at_cxx20_shared_and_archived() {
    let objects = LIBCXX_20.tests();
    all_ran(&on_libc(LIBCXX_20.dynamic("all", &objects)).passes());
    all_ran(&on_libc(LIBCXX_20.archived("all-archived", &objects)).passes());
}

/// AddressSanitizer brings its own malloc and operator new, and the shared library leaves them to it: what the program
/// gets from `strat_` functions is ours, everything else AddressSanitizer's.
#[test]
fn address_sanitizer_finds_nothing_but_what_it_should() {
    let program = ASAN.dynamic("all", &ASAN.tests());
    all_ran(&on_libc(&program).passes());
    for mistake in [
        "asan_sees_the_use_of_a_rewound_block",
        "asan_sees_the_use_of_a_freed_pool_block",
        "asan_sees_an_overflow_within_an_arena",
    ] {
        let outcome = on_libc(&program).env("EXPECT_DEATH", "1").arg(mistake).outcome();
        assert!(outcome.err().contains("use-after-poison"), "{mistake} went unseen: {outcome}");
    }
}

#[test]
fn undefined_behaviour_sanitizer_finds_nothing() {
    all_ran(&on_libc(UBSAN.dynamic("all", &UBSAN.tests())).passes());
}

/// Where nothing can be thrown, running out of memory says so and aborts.
#[test]
fn without_exceptions_and_type_information() {
    for way in [BARE, BARE_CLANG] {
        let program = way.dynamic("bare", &[way.object(&workspace().join("tests/cpp/bare.cpp"))]);
        on_libc(&program).passes();
        for (mistake, message) in [("memory", "out of memory"), ("count", "more elements than memory has bytes")] {
            let outcome = on_libc(&program).arg(mistake).outcome();
            assert_eq!(outcome.signal(), 6, "{outcome}");
            assert!(outcome.err().contains(message), "{outcome}");
        }
    }
}

/// Runs an example, with `way`; what it prints.
fn example(way: &Way, name: &str) -> String {
    let source = workspace().join(format!("examples/cpp/{name}.cpp"));
    let outcome = on_libc(way.dynamic(name, &[way.object(&source)])).passes();
    assert_eq!(outcome.err(), "", "{name}");
    outcome.out()
}

#[test]
fn the_order_book_matches_orders() {
    for way in [GCC_17, LIBCXX_20] {
        assert_eq!(example(&way, "order_book"), include_str!("../../examples/cpp/order_book.txt"));
    }
}

#[test]
fn the_connection_pool_serves_more_threads_than_it_has_connections() {
    for way in [GCC_17, LIBCXX_20] {
        assert_eq!(example(&way, "connection_pool"), include_str!("../../examples/cpp/connection_pool.txt"));
    }
}

#[test]
fn the_frame_arena_stops_allocating() {
    for way in [GCC_17, LIBCXX_20] {
        assert_eq!(example(&way, "frame_arena"), include_str!("../../examples/cpp/frame_arena.txt"));
    }
}

/// The code in the headers' comments and in docs/cpp.md: each piece becomes a function, and all are called.
#[test]
fn code_in_comments_and_documentation_runs() {
    let mut pieces: Vec<(String, String)> = Vec::new();
    let headers = workspace().join("include/stratalloc");
    let mut names: Vec<PathBuf> =
        fs::read_dir(&headers).expect("the headers").map(|entry| entry.expect("a header").path()).collect();
    names.sort();
    for path in names.iter().filter(|path| path.is_file()) {
        let text = fs::read_to_string(path).expect("a header");
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        for piece in text.split("/// \\code\n").skip(1) {
            let code = piece.split("/// \\endcode").next().expect("the code ends");
            let lines = code.lines().map(|line| line.trim_start().trim_start_matches("///").to_owned() + "\n");
            pieces.push((name.clone(), lines.collect()));
        }
    }
    assert!(pieces.len() > 20, "{} pieces in the headers", pieces.len());
    let page = fs::read_to_string(workspace().join("docs/cpp.md")).expect("docs/cpp.md");
    for piece in page.split("```cpp\n").skip(1) {
        pieces.push(("cpp.md".into(), piece.split("```").next().expect("the code ends").into()));
    }
    let mut source = String::from("#undef NDEBUG\n");
    let standard = "atomic cassert cstdint list map memory string thread utility vector";
    for header in standard.split(' ') {
        source += &format!("#include <{header}>\n");
    }
    source += "#include <stratalloc/stratalloc.hpp>\n";
    let mut calls = String::new();
    for (number, (name, code)) in pieces.iter().enumerate() {
        let (includes, body): (Vec<&str>, Vec<&str>) = code.lines().partition(|line| line.starts_with("#include"));
        source += &format!(
            "{}\n// {name}\nstatic void piece_{number}() {{\n{}\n}}\n",
            includes.join("\n"),
            body.join("\n")
        );
        calls += &format!("    piece_{number}();\n");
    }
    source += &format!("int main() {{\n{calls}}}\n");
    let file = GCC_17.folder().join("pieces.cpp");
    // Written only where it changed: the object is newer then.
    if fs::read_to_string(&file).ok().as_deref() != Some(&source) {
        fs::write(&file, &source).expect("write to the target directory");
    }
    on_libc(GCC_17.dynamic("pieces", &[GCC_17.object(&file)])).passes();
}

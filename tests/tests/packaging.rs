//! `cargo xtask install`: programs of users find the library by pkg-config and by CMake, shared and as an archive, also
//! after the installation was moved.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use stratalloc_tests::library::{cargo, exclusive, target_dir, workspace};
use stratalloc_tests::on_libc;
use stratalloc_tests::tools::{Folder, program};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// An installation of this source, made once.
fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = target_dir().join("stratalloc-tests/prefix");
        let _lock = exclusive("library");
        // What an earlier version left there must not help this one.
        let _ = fs::remove_dir_all(&prefix);
        cargo(&["xtask", "install", "--prefix", text(&prefix)], target_dir());
        prefix
    })
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn source(name: &str) -> PathBuf {
    workspace().join("tests/c/installed").join(name)
}

/// Runs a tool that must succeed; returns what it wrote.
fn done(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}\n{out}{}", String::from_utf8_lossy(&output.stderr));
    out
}

fn pkg_config(arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new(program("pkg-config", "pkg-config"));
    command.env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig")).args(arguments);
    done(&mut command).split_whitespace().map(str::to_owned).collect()
}

/// Compiles a user's program with flags from pkg-config.
fn compiled(folder: &Folder, compiler: &str, file: &str, package: &str) -> PathBuf {
    let binary = folder.join(&format!("{file}-{package}"));
    let mut command = Command::new(compiler);
    command.args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&binary).arg(source(file));
    command.args(pkg_config(&["--cflags", "--libs", package]));
    done(&mut command);
    binary
}

#[test]
fn the_installation_has_its_layout() {
    let lib = prefix().join("lib");
    let full = format!("libstratalloc.so.{VERSION}");
    assert!(lib.join(&full).symlink_metadata().is_ok_and(|data| data.is_file()));
    assert_eq!(fs::read_link(lib.join("libstratalloc.so.0")).expect("a link"), Path::new(&full));
    assert_eq!(fs::read_link(lib.join("libstratalloc.so")).expect("a link"), Path::new("libstratalloc.so.0"));
    assert!(lib.join("libstratalloc.a").is_file());
    let header = fs::read(prefix().join("include/stratalloc.h")).expect("the header");
    assert_eq!(header, fs::read(workspace().join("include/stratalloc.h")).expect("the header"));
    assert!(prefix().join("include/stratalloc/allocator.hpp").is_file());
    assert_eq!(pkg_config(&["--modversion", "stratalloc"]), [VERSION]);
    assert_eq!(pkg_config(&["--modversion", "stratalloc-static"]), [VERSION]);
}

#[test]
fn pkg_config_serves_c_and_cxx_shared_and_archived() {
    let folder = Folder::new("pkg-config");
    for (compiler, file) in [("cc", "program.c"), ("c++", "program.cpp")] {
        let shared = compiled(&folder, compiler, file, "stratalloc");
        let out = on_libc(&shared).env("LD_LIBRARY_PATH", prefix().join("lib")).passes().out();
        assert!(out.contains(&format!("version {VERSION}")), "{out}");
        if compiler == "cc" {
            assert!(out.contains("libstratalloc.so.0"), "malloc is not the library's: {out}");
        }
        // By its soname.
        let needs = done(Command::new(program("readelf", "binutils")).arg("-d").arg(&shared));
        assert!(needs.contains("[libstratalloc.so.0]"), "{needs}");
        let archived = compiled(&folder, compiler, file, "stratalloc-static");
        let out = on_libc(&archived).passes().out();
        assert!(out.contains(&format!("version {VERSION}")), "{out}");
        if compiler == "cc" {
            assert!(out.contains("malloc in ") && !out.contains("libstratalloc.so"), "{out}");
            assert!(out.contains(text(&archived)), "malloc is not the program's own: {out}");
        }
    }
}

/// Configures and builds the CMake project against the installation at `prefix`, and runs what comes of it.
fn cmake_runs(prefix: &Path) {
    let folder = Folder::new("cmake");
    let cmake = program("cmake", "cmake");
    let configured = done(
        Command::new(&cmake)
            .arg("-S")
            .arg(source(""))
            .arg("-B")
            .arg(folder.path())
            .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())),
    );
    assert!(configured.contains(&format!("found stratalloc {VERSION}")), "{configured}");
    done(Command::new(&cmake).arg("--build").arg(folder.path()));
    for name in ["c_shared", "c_static", "cxx_shared", "cxx_static"] {
        // Build trees know where their libraries are.
        let out = on_libc(folder.join(name)).passes().out();
        assert!(out.contains(&format!("version {VERSION}")), "{name}: {out}");
        if name == "c_shared" {
            assert!(out.contains("libstratalloc.so.0") && out.contains(text(prefix)), "{name}: {out}");
        }
    }
}

#[test]
fn cmake_serves_c_and_cxx_shared_and_archived() {
    cmake_runs(prefix());
}

#[test]
fn cmake_finds_an_installation_that_was_moved() {
    let folder = Folder::new("moved");
    done(Command::new("cp").arg("-a").arg(prefix()).arg(folder.join("elsewhere")));
    let moved = folder.join("elsewhere");
    cmake_runs(&moved);
}

#[test]
fn cmake_refuses_another_version_and_an_installation_with_holes() {
    let folder = Folder::new("versions");
    let find = |prefix: &Path, request: &str| {
        let script = folder.join("find.cmake");
        fs::write(
            &script,
            format!("find_package(stratalloc {request})\nmessage(\"found: ${{stratalloc_FOUND}}\")\n"),
        )
        .expect("write to the target directory");
        // As a project would: a script mode has no search.
        let project = folder.join("project");
        fs::create_dir_all(&project).expect("a folder");
        fs::write(
            project.join("CMakeLists.txt"),
            format!("cmake_minimum_required(VERSION 3.19)\nproject(p C)\ninclude({})\n", script.display()),
        )
        .expect("write to the target directory");
        let build = folder.join("build");
        let _ = fs::remove_dir_all(&build);
        let mut command = Command::new(program("cmake", "cmake"));
        command.arg("-S").arg(&project).arg("-B").arg(&build);
        command.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()));
        let output = command.output().expect("cmake starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        said.contains("found: 1")
    };
    for good in ["", VERSION, "0.1", "0", "0.1.0 EXACT", "0.1...0.3", "0.0.5...<1"] {
        assert!(find(prefix(), good), "{good} is met by {VERSION}");
    }
    for bad in ["0.2", "1", "1.1", "0.0", "0.1.1", "0.2...0.3", "0.0.1...<0.1.0"] {
        assert!(!find(prefix(), bad), "{bad} is not met by {VERSION}");
    }
    done(Command::new("cp").arg("-a").arg(prefix()).arg(folder.join("holes")));
    let holes = folder.join("holes");
    fs::remove_file(holes.join("lib/libstratalloc.a")).expect("it was there");
    assert!(!find(&holes, ""), "the archive is missing");
}

#[test]
fn a_package_maker_chooses_folder_and_stage() {
    let stage = Folder::new("stage");
    {
        let _lock = exclusive("library");
        let arguments = ["xtask", "install", "--prefix", "/usr", "--libdir", "lib/here", "--destdir"];
        cargo(&[&arguments[..], &[text(stage.path())]].concat(), target_dir());
    }
    let lib = stage.join("usr/lib/here");
    assert!(lib.join(format!("libstratalloc.so.{VERSION}")).is_file());
    let pc = fs::read_to_string(lib.join("pkgconfig/stratalloc.pc")).expect("a file");
    assert!(pc.contains("prefix=/usr\n") && pc.contains("libdir=/usr/lib/here\n"), "{pc}");
    let cmake = fs::read_to_string(lib.join("cmake/stratalloc/stratalloc-config.cmake")).expect("a file");
    assert!(cmake.contains("\"${CMAKE_CURRENT_LIST_DIR}/../../../..\""), "{cmake}");
    assert!(cmake.contains("\"${CMAKE_CURRENT_LIST_DIR}/../../../../lib/here\""), "{cmake}");
    for file in [pc, cmake] {
        assert!(!file.contains(text(stage.path())), "the stage is named in {file}");
    }
}

#[test]
fn the_program_in_the_readme_compiles_and_runs() {
    let readme = fs::read_to_string(workspace().join("README.md")).expect("README.md");
    let (_, rest) = readme.split_once("\n```c\n").expect("a C program in README.md");
    let (code, _) = rest.split_once("\n```\n").expect("its end");
    let folder = Folder::new("readme");
    fs::write(folder.join("program.c"), code).expect("write to the target directory");
    let binary = folder.join("program");
    let mut command = Command::new("cc");
    command.args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-o"]).arg(&binary);
    command.arg(folder.join("program.c")).args(pkg_config(&["--cflags", "--libs", "stratalloc"]));
    done(&mut command);
    let out = on_libc(&binary).env("LD_LIBRARY_PATH", prefix().join("lib")).passes().out();
    assert_eq!(out, "a thousand blocks, all found\n");
}

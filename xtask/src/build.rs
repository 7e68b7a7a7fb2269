//! `build`: libstratalloc.so and libstratalloc.a.
//!
//! The library links no std and is loaded before everything else, so it needs linker arguments that
//! cargo has no place for. They are passed here rather than in RUSTFLAGS, which would reach every
//! crate, and rather than in a build script, which would run for every user of the workspace.

use crate::order::Order;
use crate::{Failure, Result, archive, call, check, exports, root};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The library's name where it is built and where programs are linked.
pub const NAME: &str = "libstratalloc.so";
/// The number in the soname: it changes when programs that were linked with an earlier library would not run any more.
pub const ABI: u32 = 0;

/// The name that a program linked with -lstratalloc asks for.
pub fn soname() -> String {
    format!("libstratalloc.so.{ABI}")
}

/// What the linker is told beside the soname, each with its reason.
const LINK: &[&str] = &[
    // dlclose leaves the library in place: its blocks, thread hooks and fork handlers live on.
    "-Wl,-z,nodelete",
    // Everything is resolved at load time: a lazy lookup inside malloc would itself call malloc.
    "-Wl,-z,now",
    "-Wl,-z,relro",
    // A symbol that nobody defines is an error here, not at the first program's start.
    "-Wl,-z,defs",
    // The library's own calls stay inside it, whatever a program defines, but for those in a list (`replaceable`).
    "-Wl,-Bsymbolic-functions",
];

/// What `build` made.
pub struct Built {
    /// libstratalloc.so
    pub shared: PathBuf,
    /// libstratalloc.a
    pub archive: PathBuf,
}

/// What the compiler is told beside: functions begin at multiples of 32 bytes, which is how much a processor reads at once
/// (docs/measurements.md, "Where do functions begin?").
const COMPILE: &[&str] = &["llvm-args=--align-all-functions=5"];

/// `cargo xtask build`
pub fn task(debug: bool) -> Result<()> {
    let built = library(debug)?;
    println!("{}", built.shared.display());
    println!("{}", built.archive.display());
    Ok(())
}

/// Builds the library and checks it.
pub fn library(debug: bool) -> Result<Built> {
    let folder = profile_folder(if debug { "debug" } else { "release" })?;
    let order = if debug { None } else { Order::find(&folder)? };
    let built = compile(debug, order.as_ref(), &folder)?;
    if let Some(order) = order
        && let Some(next) = order.next(&folder, &built.shared)?
    {
        compile(debug, Some(&next), &folder)?;
    }
    check::library(&built.shared, !debug)?;
    named_as_asked_for(&folder)?;
    Ok(built)
}

fn compile(debug: bool, order: Option<&Order>, folder: &Path) -> Result<Built> {
    let mut cargo = cargo("rustc");
    cargo.args(["--package", "stratalloc-c", "--lib", "--crate-type", "cdylib,staticlib"]);
    if !debug {
        cargo.arg("--release");
    }
    cargo.arg("--").args(["-C", &format!("link-arg=-Wl,-soname,{}", soname())]);
    for argument in COMPILE {
        cargo.args(["-C", argument]);
    }
    for argument in LINK {
        cargo.args(["-C", &format!("link-arg={argument}")]);
    }
    cargo.args(["-C", &format!("link-arg=-Wl,--dynamic-list={}", replaceable(folder)?.display())]);
    for argument in order.iter().flat_map(|order| order.arguments()) {
        cargo.args(["-C", &format!("link-arg={argument}")]);
    }
    call(&mut cargo)?;
    let built = Built { shared: folder.join(NAME), archive: folder.join("libstratalloc.a") };
    if !built.archive.is_file() {
        return Err(Failure::new(format_args!("{} was not built", built.archive.display())));
    }
    archive::weaken(&built.archive, exports::weak_in_archive)?;
    Ok(built)
}

/// The linker's list of what the library refers to by whatever is in force: a file beside the library.
fn replaceable(folder: &Path) -> Result<PathBuf> {
    let file = folder.join("stratalloc-replaceable.list");
    let names: String = exports::REPLACEABLE.iter().map(|name| format!("{name};\n")).collect();
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&file, format!("{{\n{names}}};\n")))
        .map_err(|error| Failure::new(format_args!("{}: {error}", file.display())))?;
    Ok(file)
}

/// A link by the soname beside the library: programs linked with it there run from there.
fn named_as_asked_for(folder: &Path) -> Result<()> {
    let link = folder.join(soname());
    if fs::read_link(&link).is_ok_and(|target| target == Path::new(NAME)) {
        return Ok(());
    }
    // It may be there, and something else.
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(NAME, &link)
        .map_err(|error| Failure::new(format_args!("{}: {error}", link.display())))
}

/// Builds the binary of a package with optimisation and returns its path.
pub fn binary(package: &str, name: &str) -> Result<PathBuf> {
    call(cargo("build").args(["--release", "--package", package, "--bin", name]))?;
    Ok(profile_folder("release")?.join(name))
}

/// The cargo that runs this task, on this workspace.
fn cargo(verb: &str) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg(verb).arg("--quiet").arg("--manifest-path").arg(root().join("Cargo.toml"));
    cargo
}

/// Where cargo puts a profile's results: beside the profile folder of this very program, which cargo
/// built under the same settings (`CARGO_TARGET_DIR`, `build.target`, …).
pub fn profile_folder(profile: &str) -> Result<PathBuf> {
    let unknown = || Failure::new("the target folder is not known: start this by `cargo xtask`");
    let this = env::current_exe().map_err(|_| unknown())?;
    let target = this.parent().and_then(|folder| folder.parent()).ok_or_else(unknown)?;
    Ok(target.join(profile))
}

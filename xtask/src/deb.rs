//! `deb`: Debian packages, by cargo-deb.
//!
//! What `install` would put below /usr is staged in `target/release/deb`; crates/capi/Cargo.toml says which package
//! each file belongs to. cargo-deb is not part of this repository: `cargo install cargo-deb --locked`.

use crate::install::{self, Places};
use crate::{Failure, Result, build, call, root};
use std::fs;
use std::path::Path;
use std::process::Command;

/// `cargo xtask deb`
pub fn task() -> Result<()> {
    let built = build::library(false)?;
    let folder = build::profile_folder("release")?;
    let stage = folder.join("deb");
    // A stage of an earlier version.
    let _ = fs::remove_dir_all(&stage);
    let usr = Path::new("/usr");
    let places = Places {
        prefix: usr.to_owned(),
        destdir: Some(stage.clone()),
        libdir: Path::new("lib").join(multiarch()),
    };
    install::install(&built, &places)?;
    // cargo-deb adds the folder of the architecture itself.
    let moves = [(stage.join("usr/lib").join(multiarch()), "lib"), (stage.join("usr/include"), "include")];
    for (from, to) in moves {
        fs::rename(&from, stage.join(to))
            .map_err(|error| Failure::new(format_args!("{}: {error}", from.display())))?;
    }
    let target = folder.parent().unwrap_or(&folder);
    for variant in [&[][..], &["--variant", "dev"]] {
        let mut cargo = Command::new("cargo");
        cargo.args([
            "deb",
            "--package",
            "stratalloc-c",
            "--no-build",
            "--no-strip",
            "--multiarch",
            "same",
            "--output",
        ]);
        cargo.arg(target.join("debian/")).args(variant).current_dir(root()).env("CARGO_TARGET_DIR", target);
        call(&mut cargo).map_err(|Failure(why)| {
            Failure::new(format_args!("{why}; is cargo-deb there? `cargo install cargo-deb --locked`"))
        })?;
    }
    Ok(())
}

/// Debian's folder of this architecture.
fn multiarch() -> &'static str {
    if cfg!(target_arch = "aarch64") { "aarch64-linux-gnu" } else { "x86_64-linux-gnu" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_development_package_asks_for_the_library_of_its_version() {
        let manifest = fs::read_to_string(root().join("crates/capi/Cargo.toml")).expect("the manifest");
        let wanted = format!("depends = \"libstratalloc0 (= {}-1)\"", env!("CARGO_PKG_VERSION"));
        assert!(manifest.contains(&wanted), "no line {wanted}");
        assert!(manifest.contains(&format!("name = \"libstratalloc{}\"", build::ABI)), "the soname's number");
    }
}

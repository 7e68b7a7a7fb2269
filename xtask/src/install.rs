//! `install`: the library, its headers, and what pkg-config and CMake need to find them.
//!
//! ```text
//! PREFIX/LIBDIR/libstratalloc.so.MAJOR.MINOR.PATCH   libstratalloc.so.ABI and libstratalloc.so point to it
//!              /libstratalloc.a
//!              /pkgconfig/stratalloc.pc              and stratalloc-static.pc
//!              /cmake/stratalloc/                    find_package(stratalloc)
//! PREFIX/include/stratalloc.h                        and stratalloc/, the C++ headers
//! ```

use crate::{Failure, Result, build, root};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

/// Where things go.
pub struct Places {
    /// Where the files will be used, absolute.
    pub prefix: PathBuf,
    /// Put before all paths while copying, for packages; not written into any file.
    pub destdir: Option<PathBuf>,
    /// The libraries' folder: below the prefix, or absolute.
    pub libdir: PathBuf,
}

/// `cargo xtask install`
pub fn task(prefix: PathBuf, destdir: Option<PathBuf>, libdir: PathBuf) -> Result<()> {
    let built = build::library(false)?;
    let prefix = absolute(&prefix, "--prefix")?;
    let places = Places { prefix, destdir, libdir };
    for file in install(&built, &places)? {
        println!("{}", file.display());
    }
    Ok(())
}

fn absolute(path: &Path, option: &str) -> Result<PathBuf> {
    let path = std::path::absolute(path)
        .map_err(|error| Failure::new(format_args!("{option}: {}: {error}", path.display())))?;
    match path.to_str() {
        // Quoted nowhere in the files that are made.
        Some(text) if !text.contains([' ', '"', '$', '\\', '\n', ';']) => Ok(path),
        _ => Err(Failure::new(format_args!(
            "{option}: {} has a character that no build file takes",
            path.display()
        ))),
    }
}

/// Copies a built library and all that belongs to it; returns what was put where.
pub fn install(built: &build::Built, places: &Places) -> Result<Vec<PathBuf>> {
    let libdir = places.prefix.join(&places.libdir);
    let include = places.prefix.join("include");
    let mut copier = Copier { destdir: places.destdir.as_deref(), done: Vec::new() };
    let shared = format!("{}.{}", build::NAME, env!("CARGO_PKG_VERSION"));
    copier.file(&built.shared, &libdir.join(&shared), 0o755)?;
    copier.link(&shared, &libdir.join(build::soname()))?;
    copier.link(&build::soname(), &libdir.join(build::NAME))?;
    copier.file(&built.archive, &libdir.join("libstratalloc.a"), 0o644)?;
    copier.folder(&root().join("include"), &include)?;
    let cmake = libdir.join("cmake/stratalloc");
    let from_cmake = |path: &Path| match climb(&cmake, &places.prefix) {
        // Moved along with the prefix.
        Some(up) if path.starts_with(&places.prefix) => {
            let below = path.strip_prefix(&places.prefix).unwrap_or(path);
            format!("${{CMAKE_CURRENT_LIST_DIR}}/{}", up.join(below).display()).trim_end_matches('/').to_owned()
        }
        _ => path.display().to_string(),
    };
    let (prefix, libs, headers) = (places.prefix.display(), libdir.display(), include.display());
    let values = [
        ("PREFIX", prefix.to_string()),
        ("LIBDIR", libs.to_string()),
        ("INCLUDEDIR", headers.to_string()),
        ("ROOT_FROM_HERE", from_cmake(&places.prefix)),
        ("LIBDIR_FROM_HERE", from_cmake(&libdir)),
        ("SHARED", shared),
        ("SONAME", build::soname()),
        ("VERSION", env!("CARGO_PKG_VERSION").to_owned()),
        ("MAJOR", env!("CARGO_PKG_VERSION_MAJOR").to_owned()),
        ("MINOR", env!("CARGO_PKG_VERSION_MINOR").to_owned()),
    ];
    for name in ["stratalloc.pc", "stratalloc-static.pc"] {
        copier.text(&filled(name, &values)?, &libdir.join("pkgconfig").join(name))?;
    }
    for name in ["stratalloc-config.cmake", "stratalloc-config-version.cmake"] {
        copier.text(&filled(name, &values)?, &cmake.join(name))?;
    }
    Ok(copier.done)
}

/// The way from a folder up to one that it lies in.
fn climb(from: &Path, to: &Path) -> Option<PathBuf> {
    let below = from.strip_prefix(to).ok()?;
    let normal = below.components().all(|part| matches!(part, Component::Normal(_)));
    normal.then(|| below.components().map(|_| "..").collect())
}

/// A template of `packaging/` with its names replaced.
fn filled(name: &str, values: &[(&str, String)]) -> Result<String> {
    let path = root().join("packaging").join(format!("{name}.in"));
    let mut text =
        fs::read_to_string(&path).map_err(|error| Failure::new(format_args!("{}: {error}", path.display())))?;
    for (key, value) in values {
        text = text.replace(&format!("@{key}@"), value);
    }
    match text.split('@').nth(1) {
        Some(left) => Err(Failure::new(format_args!("{}: nothing replaces @{left}@", path.display()))),
        None => Ok(text),
    }
}

/// Puts files in place and notes where.
struct Copier<'a> {
    destdir: Option<&'a Path>,
    done: Vec<PathBuf>,
}

impl Copier<'_> {
    /// Where `path` is while it is copied; its folder is made.
    fn place(&mut self, path: &Path) -> Result<PathBuf> {
        let place = match self.destdir {
            Some(destdir) => destdir.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_owned(),
        };
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)
                .map_err(|error| Failure::new(format_args!("{}: {error}", folder.display())))?;
        }
        // A library that programs run from is replaced, not written into.
        if place.symlink_metadata().is_ok() {
            fs::remove_file(&place).map_err(|error| Failure::new(format_args!("{}: {error}", place.display())))?;
        }
        self.done.push(place.clone());
        Ok(place)
    }

    fn file(&mut self, from: &Path, to: &Path, mode: u32) -> Result<()> {
        let place = self.place(to)?;
        fs::copy(from, &place)
            .and_then(|_| fs::set_permissions(&place, fs::Permissions::from_mode(mode)))
            .map_err(|error| Failure::new(format_args!("{} to {}: {error}", from.display(), place.display())))
    }

    fn text(&mut self, text: &str, to: &Path) -> Result<()> {
        let place = self.place(to)?;
        fs::write(&place, text)
            .and_then(|()| fs::set_permissions(&place, fs::Permissions::from_mode(0o644)))
            .map_err(|error| Failure::new(format_args!("{}: {error}", place.display())))
    }

    fn link(&mut self, target: &str, to: &Path) -> Result<()> {
        let place = self.place(to)?;
        symlink(target, &place).map_err(|error| Failure::new(format_args!("{}: {error}", place.display())))
    }

    fn folder(&mut self, from: &Path, to: &Path) -> Result<()> {
        let failure = |error: std::io::Error| Failure::new(format_args!("{}: {error}", from.display()));
        let mut entries: Vec<_> =
            fs::read_dir(from).and_then(Iterator::collect::<std::io::Result<_>>).map_err(failure)?;
        entries.sort_by_key(|entry| entry.file_name());
        for entry in entries {
            let (path, to) = (entry.path(), to.join(entry.file_name()));
            if path.is_dir() {
                self.folder(&path, &to)?;
            } else {
                self.file(&path, &to, 0o644)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_up_is_known_where_there_is_one() {
        let climb = |from: &str, to: &str| climb(Path::new(from), Path::new(to));
        assert_eq!(climb("/usr/lib/cmake/stratalloc", "/usr"), Some(PathBuf::from("../../..")));
        assert_eq!(climb("/opt/lib/cmake/stratalloc", "/usr"), None);
        assert_eq!(climb("/usr/../lib/cmake", "/usr"), None);
    }

    #[test]
    fn every_template_is_filled() {
        let values = [("VERSION", "1.2.3".to_owned())];
        let Err(Failure(why)) = filled("stratalloc.pc", &values) else { panic!("PREFIX is replaced by nothing") };
        assert!(why.contains("@PREFIX@"), "{why}");
    }

    #[test]
    fn paths_that_build_files_cannot_hold_are_refused() {
        assert!(absolute(Path::new("/opt/two words"), "--prefix").is_err());
        assert!(absolute(Path::new("/opt/$HOME"), "--prefix").is_err());
        assert!(absolute(Path::new("here"), "--prefix").is_ok_and(|path| path.is_absolute()));
    }
}

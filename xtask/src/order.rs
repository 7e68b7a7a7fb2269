//! The order of the library's functions: those that every program runs lie together, at the front.
//!
//! The kernel maps 64 KiB of a file around each page of it that is touched, and all of that counts as resident. The
//! compiler lays functions out by crates; so a program that only calls `malloc` and `free` had all of the library
//! resident, pools and reports too (docs/measurements.md, "The order of functions"). The linker can be told which
//! functions come first, by their mangled names, which only a built library tells; so the order is made from the
//! library that was built before, and the library built once more where that changes it. Linkers that take no order
//! (GNU ld) lay out as they do.

use crate::{Failure, Result, check};
use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Functions in the order in which programs come by them, without what generics add to their paths: what a program of
/// one thread runs, then what others do. Found by callgrind. A name that the library does not have is an error of the gate (a function
/// was renamed), and a note where the library is built: another compiler may make another choice of what to inline.
const FIRST: &[&str] = &[
    // The paths of every call.
    "malloc",
    "free",
    "calloc",
    "realloc",
    "_Znwm",
    "_ZdlPv",
    "_ZdlPvm",
    "stratalloc::family::malloc_slow",
    "stratalloc::throwing::new_slow",
    "stratalloc::throwing::new_aligned_slow",
    "stratalloc::throwing::refill",
    "stratalloc::raw::alloc_slow",
    "stratalloc::raw::refill",
    "stratalloc::raw::alloc_long",
    "stratalloc::raw::alloc_zeroed_slow",
    "stratalloc::raw::realloc_slow",
    "stratalloc::raw::free_event",
    "stratalloc::raw::dealloc_slow",
    "stratalloc::raw::dealloc_cold",
    "stratalloc::thread::with_heap",
    "stratalloc_core::heap::refill::refill",
    "stratalloc_core::heap::refill::next_span",
    "stratalloc_core::heap::spans::free_event",
    "stratalloc_core::heap::spans::make_current",
    "stratalloc_core::heap::spans::retire_or_use",
    "stratalloc_core::heap::spans::file",
    "stratalloc_core::heap::spans::unfile",
    "stratalloc_core::heap::keep::rearm",
    "stratalloc_core::heap::keep::decline",
    "stratalloc_core::heap::check::check_free",
    "stratalloc_core::heap::holes::hollow",
    "stratalloc_core::span::Span::is_block",
    "stratalloc_core::heap::aside::list",
    "stratalloc_core::blocks::alloc",
    "stratalloc_core::blocks::realloc",
    "stratalloc_core::blocks::alloc_zeroed",
    "stratalloc_core::blocks::dealloc",
    "stratalloc_core::blocks::dealloc_cold",
    // Spans and large blocks.
    "stratalloc_core::large::alloc_large",
    "stratalloc_core::large::take_large",
    "stratalloc_core::large::resize_large",
    "stratalloc_core::pages::alloc_span",
    "stratalloc_core::pages::return_span",
    "stratalloc_core::pages::add_region",
    "stratalloc_core::pages::add_meta",
    "stratalloc_core::page_heap::PageHeap::take",
    "stratalloc_core::page_heap::PageHeap::best_fit",
    "stratalloc_core::page_heap::PageHeap::carve",
    "stratalloc_core::page_heap::PageHeap::put",
    "stratalloc_core::page_heap::PageHeap::insert",
    "stratalloc_core::page_heap::PageHeap::place",
    "stratalloc_core::page_heap::PageHeap::unlink",
    "stratalloc_core::page_heap::meta::add_meta",
    "stratalloc_core::directory::Directory::set_range",
    "stratalloc_core::directory::Directory::window",
    "stratalloc_core::directory::Directory::count",
    "stratalloc_core::purge::excess",
    "stratalloc_os::linux::Linux::map",
    // Once a process or thread; the first are the C compiler's.
    "frame_dummy",
    "stratalloc::on_load",
    "stratalloc::thread::Borrowed::enter",
    "stratalloc::thread::Borrowed::drop",
    "stratalloc::process::read_options",
    "stratalloc::process::put",
    "stratalloc_core::crowd::adopt_front",
    "stratalloc_core::life::adopt_counted",
    "stratalloc_core::pages::alloc_meta",
    "stratalloc_os::placement::Placement::map_trimmed",
    "stratalloc_os::process::env_var_in",
    "stratalloc_os::unload::terminate",
    "stratalloc_os::fork::register",
    "stratalloc_os::thread_exit::init",
    // Threads.
    "stratalloc_os::linux::numa::detect_nodes",
    "core::str::converts::from_utf8",
    "stratalloc::raw::dealloc_without_heap",
    "stratalloc_os::thread_exit::destructor",
    "stratalloc::thread::leave",
    "aligned_alloc",
    "stratalloc::raw::alloc_aligned",
    "stratalloc::raw::batch_full",
    "stratalloc_core::heap::batch::free_remote",
    "stratalloc_core::heap::batch::batch_full",
    "stratalloc_core::heap::batch::open",
    "stratalloc_core::heap::batch::flush",
    "stratalloc_core::heap::batch::flush_after",
    "stratalloc_core::heap::foreign::send",
    "stratalloc_core::heap::foreign::push_last",
    "stratalloc_core::heap::foreign::deliver",
    "stratalloc_core::heap::foreign::free_chain",
    "stratalloc_core::heap::spans::settle",
    "stratalloc_core::lock::Lock::acquire_slow",
    // Memory that goes back or moves.
    "stratalloc_core::purge::purge_excess",
    "stratalloc_core::purge::purge_run",
    "stratalloc_core::page_heap::PageHeap::lend",
    "stratalloc_core::page_heap::PageHeap::cleaned",
    "stratalloc_core::page_heap::PageHeap::end_purge",
    "stratalloc_core::directory::Directory::last_stretch",
    "stratalloc_os::linux::Linux::purge",
    "stratalloc_core::recycle::recycle",
    "stratalloc_core::pages::free_range",
    "stratalloc_core::frames::frame_at",
    "stratalloc_core::frames::split_at",
    // The purge thread.
    "stratalloc_core::purge::start_purger",
    "stratalloc_os::linux::purger::run",
    "stratalloc_core::purge::tick",
    "stratalloc_core::purge::tick::{{closure}}",
    "stratalloc_core::purge::settle_parked::{{closure}}",
    "stratalloc_core::allocator::Allocator::for_each_node",
    "stratalloc_core::heap::holes::look_for_holes",
    "stratalloc_core::heap::holes::dig",
    "stratalloc_core::heap::holes::free_pages",
    "stratalloc_core::directory::Directory::has",
    // Programs beyond 16 MiB: limits and huge pages are looked at.
    "stratalloc_core::huge::purge_frames",
    "stratalloc_os::linux::Linux::huge_system",
    "stratalloc_os::linux::huge::read",
    "stratalloc_os::linux::huge::number",
    "stratalloc_os::linux::huge::chosen",
    "stratalloc_core::limits::look",
    "stratalloc_core::limits::read_limits",
    "stratalloc_core::limits::share_out",
    "stratalloc_core::limits::share_out::{{closure}}",
    "stratalloc_core::limits::Limits::set_system",
    "stratalloc_os::linux::cgroup::limits",
    "stratalloc_os::linux::cgroup::limits_below::{{closure}}",
    "stratalloc_os::linux::cgroup::Path::push",
    "stratalloc_os::linux::cgroup::Path::push_bytes",
    "stratalloc_os::linux::cgroup::Path::read",
    "stratalloc_os::linux::cgroup::Path::truncate",
    "stratalloc_os::linux::cgroup::text::number",
    "stratalloc_os::linux::cgroup::text::has_word",
    // Pages that move.
    "stratalloc_core::large::move_pages",
    "stratalloc_os::linux::Linux::remap",
    "stratalloc_core::page_heap::PageHeap::forget",
    "stratalloc_core::page_heap::gaps::Gaps::cut_below",
];

/// The order in force: a file for the linker in the folder of the libraries, whose name changes with what is in it,
/// so that cargo sees another argument.
pub struct Order {
    file: PathBuf,
}

impl Order {
    /// The order that the library in `folder` was linked in, or an empty one; `None`: the linker takes none.
    pub fn find(folder: &Path) -> Result<Option<Order>> {
        if !linker_takes_one(folder)? {
            return Ok(None);
        }
        let mut files: Vec<PathBuf> = fs::read_dir(folder)
            .map_err(|error| failure(folder, &error))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "order"))
            .collect();
        files.sort();
        match files.pop() {
            Some(file) => Ok(Some(Order { file })),
            None => Ok(Some(Order::write(folder, "")?)),
        }
    }

    fn write(folder: &Path, text: &str) -> Result<Order> {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let file = folder.join(format!("libstratalloc-{:016x}.order", hasher.finish()));
        write(&file, text)?;
        Ok(Order { file })
    }

    /// What the linker is told.
    pub fn arguments(&self) -> [String; 2] {
        [format!("-Wl,--symbol-ordering-file={}", self.file.display()), "-Wl,--no-warn-symbol-ordering".into()]
    }

    /// The order that the library in `folder`, which was built in this one, asks for, if that is another: it is in
    /// force from now on, and the library is to be built once more.
    pub fn next(&self, folder: &Path, library: &Path) -> Result<Option<Order>> {
        let (wanted, missing) = order_of(library)?;
        if !missing.is_empty() {
            eprintln!("xtask: note: {}", without(&missing));
        }
        if fs::read_to_string(&self.file).is_ok_and(|known| known == wanted) {
            return Ok(None);
        }
        fs::remove_file(&self.file).map_err(|error| failure(&self.file, &error))?;
        Order::write(folder, &wanted).map(Some)
    }
}

fn failure(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format_args!("{}: {error}", path.display()))
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).map_err(|error| failure(file, &error))
}

/// Links an empty library with an empty order.
fn linker_takes_one(folder: &Path) -> Result<bool> {
    let probe = folder.join("libstratalloc.probe");
    fs::create_dir_all(&probe).map_err(|error| failure(&probe, &error))?;
    let (source, order) = (probe.join("probe.rs"), probe.join("order"));
    write(&source, "")?;
    write(&order, "")?;
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let status = Command::new(rustc)
        .args(["--crate-type", "cdylib", "--crate-name", "probe", "-C", "panic=abort"])
        .args(["-C", &format!("link-arg=-Wl,--symbol-ordering-file={}", order.display())])
        .arg("--out-dir")
        .arg(&probe)
        .arg(&source)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| Failure::new(format_args!("rustc: {error}")))?;
    fs::remove_dir_all(&probe).map_err(|error| failure(&probe, &error))?;
    Ok(status.success())
}

/// Fails where a library does not have all functions that come first.
pub fn complete(library: &Path) -> Result<()> {
    let (_, missing) = order_of(library)?;
    if missing.is_empty() { Ok(()) } else { Err(Failure::new(without(&missing))) }
}

/// Fails where functions of the library that a program of one thread ran do not lie in front.
pub fn holds_all<'a>(run: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut others: Vec<String> = run
        .map(path_of)
        .filter(|path| path.starts_with("stratalloc") && !FIRST.contains(&path.as_str()))
        .collect();
    others.sort();
    others.dedup();
    if others.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format_args!(
        "xtask/src/order.rs does not name functions that every program runs: {}",
        others.join(", ")
    )))
}

fn without(missing: &[&str]) -> String {
    format!("xtask/src/order.rs names functions that the library does not have: {}", missing.join(", "))
}

/// The mangled names of [`FIRST`] in a library, a line each (of a generic function, all forms), and those it does not
/// have.
fn order_of(library: &Path) -> Result<(String, Vec<&'static str>)> {
    let mut by_path: HashMap<String, Vec<String>> = HashMap::new();
    for symbol in check::symbols(library)? {
        let names = by_path.entry(path_of(&symbol.name)).or_default();
        if !names.contains(&symbol.name) {
            names.push(symbol.name);
        }
    }
    let mut lines = String::new();
    let mut missing = Vec::new();
    for &path in FIRST {
        match by_path.get_mut(path) {
            Some(names) => {
                names.sort();
                names.iter().for_each(|name| lines.extend([name, "\n"]));
            }
            None => missing.push(path),
        }
    }
    Ok((lines, missing))
}

/// A function's path without what generics add: `<A as Trait<B>>::f` is `A::f`, `m::<impl A<B>>::f` is `m::f`.
fn path_of(symbol: &str) -> String {
    let name = format!("{:#}", rustc_demangle::demangle(symbol));
    let name = match name.strip_prefix('<').and_then(|rest| rest.split_once(" as ")) {
        Some((kind, rest)) => format!("{kind}{}", rest.rsplit_once('>').map_or("", |(_, function)| function)),
        None => name,
    };
    let mut depth = 0;
    let plain: String = name
        .chars()
        .filter(|&c| {
            depth += i32::from(c == '<');
            let outside = depth == 0;
            depth -= i32::from(c == '>');
            outside
        })
        .collect();
    plain.split("::").filter(|part| !part.is_empty()).collect::<Vec<_>>().join("::")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_nothing_of_generics() {
        for (symbol, path) in [
            ("malloc", "malloc"),
            ("_Znwm", "_Znwm"),
            ("_ZN10stratalloc6family11malloc_slow17h0123456789abcdefE", "stratalloc::family::malloc_slow"),
            (
                "_ZN15stratalloc_core4heap4keep64_$LT$impl$u20$stratalloc_core..allocator..Allocator$LT$O$GT$$GT$5rearm17hd065ac03041c8af6E",
                "stratalloc_core::heap::keep::rearm",
            ),
            (
                "_ZN71_$LT$stratalloc_os..linux..Linux$u20$as$u20$stratalloc_core..os..Os$GT$3map17h7ef45cbc45fdc7e8E",
                "stratalloc_os::linux::Linux::map",
            ),
        ] {
            assert_eq!(path_of(symbol), path);
        }
    }
}

//! Which allocator this process really has.
//!
//! A preloaded library that does not load leaves only a warning behind, and the run would measure libc. So
//! each outcome names the file that `malloc` resolved to.

use std::ffi::{CStr, c_void};

use crate::global;

/// `global:NAME` where the face has an allocator of its own, otherwise the file that `malloc` comes from.
pub fn allocator() -> Result<String, String> {
    match global::NAME {
        Some(name) => Ok(format!("global:{name}")),
        None => malloc_file(),
    }
}

/// The file whose mapping holds the `malloc` that this process calls, as an absolute path.
fn malloc_file() -> Result<String, String> {
    // As this executable's own calls got it bound: in an executable that may be placed anywhere, a function's
    // address is the loader's answer.
    let address = libc::malloc as *mut c_void;
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|error| format!("/proc/self/maps: {error}"))?;
    if let Some(path) = mapped_file(&maps, address as usize) {
        return Ok(path.to_owned());
    }
    loader_file(address).ok_or_else(|| format!("malloc is at {address:p}, in no file's mapping"))
}

/// The file of the mapping that holds `address`, from the text of `/proc/self/maps`.
fn mapped_file(maps: &str, address: usize) -> Option<&str> {
    maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (low, high) = range.split_once('-')?;
        let low = usize::from_str_radix(low, 16).ok()?;
        let high = usize::from_str_radix(high, 16).ok()?;
        let path = &rest[rest.find('/')?..];
        (low..high).contains(&address).then_some(path)
    })
}

/// What the loader calls the object around `address`: for systems whose maps name no file.
fn loader_file(address: *mut c_void) -> Option<String> {
    // SAFETY: `Dl_info` is pointers only, for which null is a value.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is writable and of the type that the call fills; any address may be asked for.
    let found = unsafe { libc::dladdr(address, &raw mut info) };
    if found == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: after success the name is a C string of the loader's, which stays while the object is loaded.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    Some(name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mapping_around_an_address_names_the_file() {
        let maps = "1000-2000 r--p 00000000 fe:00 12 /lib/a b.so\n2000-3000 r-xp 00001000 fe:00 12 /lib/c.so\n\
                    3000-4000 rw-p 00000000 00:00 0 \n";
        assert_eq!(mapped_file(maps, 0x1fff), Some("/lib/a b.so"));
        assert_eq!(mapped_file(maps, 0x2000), Some("/lib/c.so"));
        assert_eq!(mapped_file(maps, 0x3000), None);
    }

    #[test]
    fn this_process_has_a_malloc_from_a_file() {
        let file = malloc_file().unwrap();
        assert!(std::path::Path::new(&file).is_absolute(), "{file}");
    }
}

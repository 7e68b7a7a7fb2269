//! What this process may use: its cgroups' limits and its CPU affinity, read when asked for.
//!
//! A limit holds for a cgroup and all below it, so of the process's own cgroup and each of its ancestors
//! that it can see, the tightest counts:
//!
//! ```text
//! /proc/self/cgroup      which cgroup, by hierarchy          4:memory:/a/b      0::/a/b
//! /proc/self/mountinfo   where that hierarchy is mounted     … /a /mnt - cgroup cgroup rw,memory
//! /mnt/b/FILE, /mnt/FILE from the cgroup up to the mount
//! ```
//!
//! A controller is version 1's where the process is in a hierarchy that names it, and version 2's
//! otherwise, so machines that run both are understood. In a cgroup namespace the ancestors outside are
//! not visible; a mount that does not show the process's cgroup (an old container that sees the host's
//! path) is taken to show it as its root. Files that are missing, unreadable or make no sense are no limit.
//!
//! No allocation, no lock, no `errno`, raw system calls only: any thread may call, the purge thread too.
//! Cost: 3 calls for each file that is there and 1 for each that is not: two files of `/proc`, then for
//! each cgroup on the way up 3 files (version 2) or 4 (version 1); 0.1 ms. Stack: 7 KiB.

#[cfg(test)]
mod tests;
mod text;

use super::sys;
use core::ffi::{CStr, c_int};
use stratalloc_core::os::{Bound, Source, SystemLimits};
use text::{Membership, Mount};

/// Longest path that is followed.
const PATH_MAX: usize = 640;
/// Longest line that is read whole; the rest of a longer one is dropped. (Lines about cgroups are two paths and
/// some words; overlay mounts have longer ones.)
const LINE_MAX: usize = 2048;
/// Longest value file: two numbers.
const VALUE_MAX: usize = 64;

/// A path that grows and shrinks at its end.
struct Path {
    bytes: [u8; PATH_MAX],
    len: usize,
}

impl Path {
    const fn new() -> Self {
        Self { bytes: [0; PATH_MAX], len: 0 }
    }

    /// Appends; false if there is no room, or a byte that no path has.
    fn push(&mut self, piece: impl IntoIterator<Item = u8>) -> bool {
        for byte in piece {
            // The last byte stays 0.
            if byte == 0 || self.len + 1 >= PATH_MAX {
                return false;
            }
            self.bytes[self.len] = byte;
            self.len += 1;
        }
        true
    }

    fn push_bytes(&mut self, piece: &[u8]) -> bool {
        self.push(piece.iter().copied())
    }

    fn truncate(&mut self, len: usize) {
        self.bytes[len..self.len].fill(0);
        self.len = len;
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Reads the file `name` in this folder into `buffer`; `None` if it cannot be read.
    fn read<'b>(&mut self, name: &[u8], buffer: &'b mut [u8; VALUE_MAX]) -> Option<&'b [u8]> {
        let len = self.len;
        let fits = self.push_bytes(b"/") && self.push_bytes(name);
        let file = if fits { open(&self.bytes) } else { None };
        self.truncate(len);
        let file = file?;
        let read = sys::read(file, buffer);
        sys::close(file);
        // A file that fills the buffer is not one of those.
        read.ok().filter(|&read| read < VALUE_MAX).map(|read| &buffer[..read])
    }
}

fn open(path: &[u8]) -> Option<c_int> {
    sys::open(CStr::from_bytes_until_nul(path).ok()?, libc::O_RDONLY).ok()
}

/// Calls `line` with each line of a file, cut at [`LINE_MAX`] bytes, until it returns false.
fn each_line(path: &CStr, buffer: &mut [u8; LINE_MAX], mut line: impl FnMut(&[u8]) -> bool) {
    let Ok(file) = sys::open(path, libc::O_RDONLY) else { return };
    // What of the buffer is not looked at yet, and whether it continues a line that was cut.
    let (mut used, mut cut) = (0, false);
    loop {
        let read = match sys::read(file, &mut buffer[used..]) {
            Ok(read) => read,
            Err(libc::EINTR) => continue,
            Err(_) => 0,
        };
        used += read;
        let mut start = 0;
        while let Some(len) = buffer[start..used].iter().position(|&byte| byte == b'\n') {
            let whole = &buffer[start..start + len];
            start += len + 1;
            if !core::mem::take(&mut cut) && !line(whole) {
                sys::close(file);
                return;
            }
        }
        let rest = start..used;
        if read == 0 || rest.len() == LINE_MAX {
            // The end, or a line longer than the buffer.
            if !rest.is_empty() && !cut && !line(&buffer[rest]) || read == 0 {
                break;
            }
            (used, cut) = (0, true);
        } else {
            used = rest.len();
            buffer.copy_within(rest, 0);
        }
    }
    sys::close(file);
}

/// A controller whose limits are looked for.
struct Place {
    name: &'static [u8],
    version: Source,
    /// At first the process's cgroup in its hierarchy, then the folder that shows it.
    path: Path,
    /// Length of the mount point in `path`, once found; the walk up ends there.
    top: usize,
    /// The folder is the cgroup's own, not only the best guess.
    certain: bool,
    found: Path,
}

impl Place {
    const fn new(name: &'static [u8]) -> Self {
        Self { name, version: Source::Nobody, path: Path::new(), top: 0, certain: false, found: Path::new() }
    }

    /// Takes note of the process's cgroup if the line is about this controller.
    fn member(&mut self, line: &Membership<'_>) {
        let version = match (line.controls(self.name), line.unified) {
            (true, _) => Source::CgroupV1,
            (false, true) if self.version == Source::Nobody => Source::CgroupV2,
            _ => return,
        };
        self.path.truncate(0);
        self.version = if self.path.push_bytes(line.path) { version } else { Source::Nobody };
    }

    /// Takes note of a mount if it is this controller's.
    fn mounted(&mut self, prefix: &[u8], mount: &Mount<'_>) {
        let ours = match self.version {
            Source::CgroupV1 => mount.controls(self.name),
            Source::CgroupV2 => mount.unified,
            _ => false,
        };
        if !ours || self.certain {
            return;
        }
        // The root is put where the folder goes, to be compared with the cgroup's path.
        self.found.truncate(0);
        let root_fits = self.found.push(text::unescaped(mount.root));
        let below = if root_fits { text::below(self.path.as_bytes(), self.found.as_bytes()) } else { None };
        self.certain = below.is_some();
        let below = below.unwrap_or_default();
        self.found.truncate(0);
        let fits = self.found.push_bytes(prefix) && self.found.push(text::unescaped(mount.point));
        self.top = self.found.len;
        if !fits || !self.found.push_bytes(below) {
            self.found.truncate(0);
            self.certain = false;
        }
    }

    /// The tightest of what `read` finds in the cgroup's folder and those above it, up to the mount.
    fn walk(&mut self, mut read: impl FnMut(&mut Path, Source)) {
        while self.found.len > 0 && self.found.len >= self.top {
            read(&mut self.found, self.version);
            let up = self.found.as_bytes().iter().rposition(|&byte| byte == b'/').unwrap_or(0);
            self.found.truncate(up);
        }
    }
}

fn tightened(bound: &mut Bound, value: Option<u64>, source: Source) {
    if let Some(value) = value {
        *bound = bound.min(Bound { value, source });
    }
}

/// [`limits`] with all paths below `prefix`: for tests.
fn limits_below(prefix: &CStr) -> SystemLimits {
    let mut limits = SystemLimits { cpus: affinity(), ..SystemLimits::default() };
    let prefix = prefix.to_bytes();
    let mut buffer = [0; LINE_MAX];
    let mut places = [Place::new(b"memory"), Place::new(b"cpu")];
    let mut file = Path::new();
    if !(file.push_bytes(prefix) && file.push_bytes(b"/proc/self/cgroup")) {
        return limits;
    }
    let Ok(path) = CStr::from_bytes_until_nul(&file.bytes) else { return limits };
    each_line(path, &mut buffer, |line| {
        if let Some(line) = Membership::of_line(line) {
            places.iter_mut().for_each(|place| place.member(&line));
        }
        true
    });
    if places.iter().all(|place| place.version == Source::Nobody) {
        return limits;
    }
    file.truncate(prefix.len());
    file.push_bytes(b"/proc/self/mountinfo");
    let Ok(path) = CStr::from_bytes_until_nul(&file.bytes) else { return limits };
    each_line(path, &mut buffer, |line| {
        if let Some(mount) = Mount::of_line(line) {
            places.iter_mut().for_each(|place| place.mounted(prefix, &mount));
        }
        places.iter().any(|place| !place.certain)
    });
    let [memory, cpu] = &mut places;
    let (mut value, mut second) = ([0; VALUE_MAX], [0; VALUE_MAX]);
    memory.walk(|folder, version| {
        let (max, high): (&[u8], &[u8]) = match version {
            Source::CgroupV1 => (b"memory.limit_in_bytes", b"memory.soft_limit_in_bytes"),
            _ => (b"memory.max", b"memory.high"),
        };
        tightened(&mut limits.memory_max, folder.read(max, &mut value).and_then(text::bytes), version);
        tightened(&mut limits.memory_high, folder.read(high, &mut value).and_then(text::bytes), version);
    });
    cpu.walk(|folder, version| {
        let cpus = match version {
            Source::CgroupV1 => match folder.read(b"cpu.cfs_quota_us", &mut value) {
                // No quota: its period need not be read.
                None | Some([b'-', ..]) => None,
                Some(quota) => {
                    folder.read(b"cpu.cfs_period_us", &mut second).and_then(|period| text::cpus(quota, period))
                }
            },
            _ => folder.read(b"cpu.max", &mut value).and_then(text::cpus_of_max),
        };
        tightened(&mut limits.cpus, cpus, version);
    });
    limits
}

/// The CPUs that the calling thread may run on: 8192 are told apart.
fn affinity() -> Bound {
    let mut mask = [0u8; 1024];
    match sys::affinity(&mut mask) {
        Ok(len) => {
            let cpus = mask[..len.min(mask.len())].iter().map(|byte| u64::from(byte.count_ones())).sum();
            if cpus == 0 { Bound::NONE } else { Bound { value: cpus, source: Source::Affinity } }
        }
        Err(_) => Bound::NONE,
    }
}

/// What this process may use now; see the module.
#[cold]
pub(super) fn limits() -> SystemLimits {
    limits_below(c"")
}

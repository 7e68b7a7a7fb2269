//! A cgroup made for one test, below the one that the tests run in.
//!
//! Version 1 where the machine has it, since there a cgroup can be made below any other; of version 2 below the
//! root where its controllers are handed down. A machine that lets no such group be made says why
//! ([`Cgroup::new`]), and the test prints that.

use crate::run::Run;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::sleep;
use std::time::Duration;

/// A controller with limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// Memory.
    Memory,
    /// CPU time.
    Cpu,
}

/// A cgroup of the test's own; removed when dropped.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    /// 1 or 2.
    pub version: u32,
}

impl Cgroup {
    /// A fresh cgroup with that controller.
    ///
    /// # Errors
    /// Why this machine lets none be made.
    pub fn new(controller: Controller) -> Result<Cgroup, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (name, file) = match controller {
            Controller::Memory => ("memory", ["memory.limit_in_bytes", "memory.max"]),
            Controller::Cpu => ("cpu", ["cpu.cfs_quota_us", "cpu.max"]),
        };
        let own =
            fs::read_to_string("/proc/self/cgroup").map_err(|error| format!("/proc/self/cgroup: {error}"))?;
        let first = own.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|controller| controller == name).then_some((controllers, path))
        });
        let number = NEXT.fetch_add(1, Relaxed); // only has to be unique
        let leaf = format!("stratalloc-test-{}-{number}", std::process::id());
        let (path, version) = match first {
            Some((controllers, path)) => {
                let path = path.trim_start_matches('/');
                (Path::new("/sys/fs/cgroup").join(controllers).join(path).join(leaf), 1)
            }
            None => (Path::new("/sys/fs/cgroup").join(leaf), 2),
        };
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let cgroup = Cgroup { path, version };
        let file = cgroup.path.join(file[version as usize - 1]);
        if file.exists() { Ok(cgroup) } else { Err(format!("{}: the controller is not here", file.display())) }
    }

    /// Writes a value file: `names` are those of version 1 and 2.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn set(&self, names: [&str; 2], value: &str) {
        let file = self.path.join(names[self.version as usize - 1]);
        fs::write(&file, value).unwrap_or_else(|error| panic!("{} = {value}: {error}", file.display()));
    }

    /// Reads a value file's number; `None` where the machine has no such file.
    ///
    /// # Panics
    /// When its text is no number.
    pub fn get(&self, names: [&str; 2]) -> Option<u64> {
        let text = fs::read_to_string(self.path.join(names[self.version as usize - 1])).ok()?;
        Some(text.trim().parse().unwrap_or_else(|error| panic!("{names:?}: {text:?}: {error}")))
    }

    /// Memory beyond which the group's processes are killed.
    pub fn set_memory_max(&self, bytes: u64) {
        self.set(["memory.limit_in_bytes", "memory.max"], &bytes.to_string());
    }

    /// Memory beyond which the kernel takes pages back.
    pub fn set_memory_high(&self, bytes: u64) {
        self.set(["memory.soft_limit_in_bytes", "memory.high"], &bytes.to_string());
    }

    /// The most memory that the group held; on kernels before 5.19 version 2 does not tell.
    pub fn memory_peak(&self) -> Option<u64> {
        self.get(["memory.max_usage_in_bytes", "memory.peak"])
    }

    /// CPU time in hundredths of a CPU.
    pub fn set_cpus(&self, hundredths: u32) {
        match self.version {
            1 => self.set(["cpu.cfs_quota_us", ""], &(hundredths * 1000).to_string()),
            _ => self.set(["", "cpu.max"], &format!("{} 100000", hundredths * 1000)),
        }
    }

    /// The file that takes process ids.
    pub(crate) fn processes(&self) -> CString {
        let path = self.path.join("cgroup.procs");
        CString::new(path.as_os_str().as_bytes()).expect("a path without NUL")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The group's last process may still be on its way out.
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        eprintln!("{} could not be removed", self.path.display());
    }
}

impl Run {
    /// Runs the program, and all it starts, in a cgroup.
    #[must_use]
    pub fn inside(self, cgroup: &Cgroup) -> Self {
        let file = cgroup.processes();
        self.before_exec(move || {
            // SAFETY: a path that ends with NUL; async-signal-safe calls only.
            let done = unsafe {
                let file = libc::open(file.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                file >= 0 && libc::write(file, b"0".as_ptr().cast(), 1) == 1 && libc::close(file) == 0
            };
            if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        })
    }
}

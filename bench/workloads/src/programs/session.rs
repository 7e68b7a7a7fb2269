//! One run of a real program: its folder, its environment, its children one after another, and what they used.
//!
//! A child's time, faults and switches come from `wait4` and include those of its own children (gcc's cc1, git's helpers); its
//! peak memory is the largest of them. Each child must end with success and have the library mapped.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use stratalloc_bench_protocol::Outcome;

use super::loader::{self, Binding};
use crate::measure::Memory;
use crate::random::fold;

/// One run.
pub struct Session {
    name: &'static str,
    folder: Folder,
    binding: Option<Binding>,
    asked: Option<PathBuf>,
    used: Used,
    checksum: u64,
}

/// What children used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    pub wall: f64,
    pub user: f64,
    pub system: f64,
    /// KiB.
    pub peak: u64,
    pub minor_faults: u64,
    pub major_faults: u64,
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
}

impl Session {
    /// Begins a run with a library to preload, or with the C library's malloc.
    pub fn new(name: &'static str, preload: Option<&Path>) -> Result<Session, String> {
        if let Some(path) = preload
            && path.as_os_str().as_bytes().iter().any(|byte| matches!(byte, b' ' | b':'))
        {
            return Err(format!("--preload {}: LD_PRELOAD takes no path with a space or a colon", path.display()));
        }
        let folder = Folder::new(name)?;
        Ok(Session {
            name,
            folder,
            binding: None,
            asked: preload.map(Path::to_owned),
            used: Used::default(),
            checksum: 0,
        })
    }

    /// The folder for input and output; it is gone when the run is over.
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Finds out what serves `program` and insists that it is the library asked for; once for each program of a
    /// run, before [`start`](Session::start).
    pub fn bind(&mut self, program: &Path, version: &[&str]) -> Result<(), String> {
        let command = |program: &Path| self.plain(program);
        let binding = loader::bind(command, program, version, self.asked.as_deref(), self.folder())?;
        match &self.binding {
            Some(before) if *before != binding => Err(format!(
                "{} gets malloc from {}, another program of this run from {}",
                program.display(),
                binding.library.display(),
                before.library.display()
            )),
            _ => {
                self.binding = Some(binding);
                Ok(())
            }
        }
    }

    /// A command in the folder, in an environment that is the same on each machine, without LD_PRELOAD: for
    /// preparing input.
    pub fn plain(&self, program: &Path) -> Command {
        const THEIRS: [&str; 7] = ["LD_", "GIT_", "PYTHON", "RUBY", "GEM_", "NODE_", "LUA_"];
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if THEIRS.iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes())) {
                command.env_remove(name);
            }
        }
        let folder = self.folder();
        command.current_dir(folder).env("HOME", folder).env("TMPDIR", folder).env("TZ", "UTC");
        command.env("LC_ALL", "C.UTF-8").env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
        command
    }

    /// The same with the library preloaded: for what is measured.
    pub fn preloaded(&self, program: &Path) -> Command {
        let mut command = self.plain(program);
        if let Some(preload) = self.binding.as_ref().and_then(|binding| binding.preload.as_ref()) {
            command.env("LD_PRELOAD", preload);
        }
        command
    }

    /// Runs a command that prepares input; its standard output.
    pub fn prepare(&self, mut command: Command) -> Result<Vec<u8>, String> {
        let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(format!("{command:?}: {}; {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
    }

    /// Runs a measured command to its end; its standard output goes into the checksum.
    pub fn measure(&mut self, mut command: Command) -> Result<(), String> {
        let output = self.folder().join("standard-output");
        let errors = self.folder().join("standard-error");
        let create = |path: &Path| File::create(path).map_err(|error| format!("{}: {error}", path.display()));
        command.stdout(create(&output)?).stderr(create(&errors)?);
        let start = Instant::now();
        let child = self.start(&mut command)?;
        let (status, mut used) = wait(&child)?;
        used.wall = start.elapsed().as_secs_f64();
        if !libc::WIFEXITED(status) || libc::WEXITSTATUS(status) != 0 {
            let errors = fs::read(&errors).unwrap_or_default();
            let errors = String::from_utf8_lossy(&errors);
            return Err(format!("{command:?}: {}; {}", ending(status), errors.trim()));
        }
        self.add(used);
        self.check_file(&output)
    }

    /// Starts a measured command and waits until it has the library mapped.
    pub fn start(&self, command: &mut Command) -> Result<Child, String> {
        let binding = self.binding.as_ref().expect("programs are bound before they start");
        // SAFETY: between fork and exec only `prctl` is called, which is a plain system call.
        unsafe {
            command.pre_exec(|| {
                // A launcher that is killed for taking too long takes its program along.
                match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                }
            });
        }
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let mapped = loader::is_mapped(child.id(), &binding.library).inspect_err(|_| {
            // Both fail only if it is gone already.
            let _ = child.kill();
            let _ = child.wait();
        })?;
        if mapped {
            return Ok(child);
        }
        // Over before it could be looked at: then another program shows that the library loads.
        let mut cat = self.preloaded(Path::new("/bin/cat"));
        cat.arg("/proc/self/maps");
        let maps = self.prepare(cat)?;
        if loader::executable(&String::from_utf8_lossy(&maps)).any(|file| file == binding.library) {
            return Ok(child);
        }
        Err(format!("{command:?} ran without {}", binding.library.display()))
    }

    /// Adds what a child used.
    pub fn add(&mut self, more: Used) {
        let sum = &mut self.used;
        sum.wall += more.wall;
        sum.user += more.user;
        sum.system += more.system;
        sum.peak = sum.peak.max(more.peak);
        sum.minor_faults += more.minor_faults;
        sum.major_faults += more.major_faults;
        sum.voluntary_switches += more.voluntary_switches;
        sum.involuntary_switches += more.involuntary_switches;
    }

    /// Takes a result into the checksum.
    pub fn check(&mut self, result: &[u8]) {
        for word in result.chunks(8) {
            let value = word.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
            self.checksum = fold(self.checksum, value);
        }
        self.checksum = fold(self.checksum, result.len() as u64);
    }

    /// Takes a file that a program wrote into the checksum.
    pub fn check_file(&mut self, path: &Path) -> Result<(), String> {
        let content = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        self.check(&content);
        Ok(())
    }

    /// What was measured.
    pub fn finish(self, threads: u32, operations: u64) -> Outcome {
        let own = Memory::now().peak;
        if self.used.peak <= own {
            eprintln!(
                "workload: {}: a peak of {} KiB is this launcher's own, the program's is below",
                self.name, own
            );
        }
        let library = self.binding.map(|binding| binding.library).unwrap_or_default();
        Outcome {
            workload: self.name.to_owned(),
            threads,
            operations,
            wall: self.used.wall,
            user: self.used.user,
            system: self.used.system,
            peak_rss: self.used.peak,
            start_rss: 0,
            rest_rss: None,
            minor_faults: self.used.minor_faults,
            major_faults: self.used.major_faults,
            voluntary_switches: self.used.voluntary_switches,
            involuntary_switches: self.used.involuntary_switches,
            allocator: library.display().to_string(),
            checksum: self.checksum,
            latency: None,
            extra: Vec::new(),
            rss_by_work: Vec::new(),
        }
    }
}

/// Waits for a child's end: its status, and what it and its own children used.
pub fn wait(child: &Child) -> Result<(libc::c_int, Used), String> {
    let mut status = 0;
    // SAFETY: all fields of `rusage` are integers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to writable values of the types that the call fills.
        let ended = unsafe { libc::wait4(child.id() as libc::pid_t, &raw mut status, 0, &raw mut usage) };
        if ended >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(format!("waiting for process {}: {error}", child.id()));
        }
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let count = |value: libc::c_long| u64::try_from(value).unwrap_or(0);
    let used = Used {
        wall: 0.0,
        user: seconds(usage.ru_utime),
        system: seconds(usage.ru_stime),
        peak: count(usage.ru_maxrss),
        minor_faults: count(usage.ru_minflt),
        major_faults: count(usage.ru_majflt),
        voluntary_switches: count(usage.ru_nvcsw),
        involuntary_switches: count(usage.ru_nivcsw),
    };
    Ok((status, used))
}

/// A status in words.
pub fn ending(status: libc::c_int) -> String {
    if libc::WIFSIGNALED(status) {
        format!("killed by signal {}", libc::WTERMSIG(status))
    } else {
        format!("exit status {}", libc::WEXITSTATUS(status))
    }
}

/// The program of a name: the first ELF file of that name in Debian's folders, then in those of PATH. Scripts that only choose
/// among versions are passed over, as their interpreter would be what is measured.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = ["/usr/bin", "/bin"].map(PathBuf::from).into_iter().chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(name)).find(|file| is_elf(file))
}

fn is_elf(file: &Path) -> bool {
    let mut magic = [0; 4];
    let read = File::open(file).and_then(|mut file| io::Read::read_exact(&mut file, &mut magic));
    read.is_ok() && magic == *b"\x7fELF"
}

/// The sentence for a program that is not here.
pub fn missing(name: &str) -> Option<String> {
    find(name).is_none().then(|| format!("{name} is not installed"))
}

/// The program of a name, or the sentence.
pub fn found(name: &str) -> Result<PathBuf, String> {
    find(name).ok_or_else(|| format!("{name} is not installed"))
}

/// A temporary folder, removed with everything in it when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Result<Folder, String> {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        // Only a name: nothing is published by it.
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let file = format!("stratalloc-bench-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(file);
        fs::create_dir(&path).map_err(|error| format!("the temporary folder {}: {error}", path.display()))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("workload: the temporary folder {} stays: {error}", self.0.display());
        }
    }
}

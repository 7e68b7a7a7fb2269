//! The process around the allocator: environment, exit handlers, memory figures, raw files.
//!
//! For options at start and reports at exit, from inside an allocator: nothing here allocates, locks
//! or buffers on the heap, and `errno` stays as it was. (`on_exit` asks libc, which may allocate.)

use crate::native;
use core::ffi::CStr;
use core::fmt;

/// Memory and page faults of this process so far, as the system accounts for them: Linux counts pages
/// per processor and is off by some hundred KiB at times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// Bytes of physical memory mapped now.
    pub current_bytes: usize,
    /// The most bytes at any time since the program was started.
    pub peak_bytes: usize,
    /// Page faults served without reading from disk. (On Windows: all faults.)
    pub minor_faults: u64,
    /// Page faults that read from disk. (On Windows: 0.)
    pub major_faults: u64,
}

/// Reads [`Resident`]; `None` where the system does not tell. About 50 µs on Linux.
pub fn resident() -> Option<Resident> {
    native::resident()
}

/// True once [`env_var`] can answer. On Linux libc sets its environment up after the dynamic loader's
/// own first allocations; before that every variable is absent.
pub fn environ_ready() -> bool {
    #[cfg(unix)]
    return !native::environ().is_null();
    #[cfg(not(unix))]
    return true;
}

/// The value of an environment variable, without copying it; `None` if it is not set.
///
/// Reads the environment without libc's lock (there is none for readers in C either): for start-up,
/// and for programs that do not change their environment while other threads run. The value stays
/// valid as long as the program does not overwrite it in place.
pub fn env_var(name: &[u8]) -> Option<&'static [u8]> {
    #[cfg(unix)]
    // SAFETY: libc keeps the array and its strings terminated.
    return unsafe { env_var_in(native::environ().cast(), name) };
    #[cfg(not(unix))]
    return native::env_var(name);
}

/// [`env_var`] in an array of the form that `main` gets: pointers to `NAME=value` strings, then null.
/// A null array holds nothing. For ELF constructors, which get one before libc has its own.
///
/// # Safety
/// The array ends with a null pointer, each string with a NUL, and both stay as they are for as long
/// as the result is used.
pub unsafe fn env_var_in(envp: *const *const u8, name: &[u8]) -> Option<&'static [u8]> {
    if envp.is_null() || name.is_empty() {
        return None;
    }
    let mut at = envp;
    loop {
        // SAFETY: not past the null pointer that ends the array.
        let entry = unsafe { at.read() };
        if entry.is_null() {
            return None;
        }
        // SAFETY: the caller's strings end with a NUL.
        let entry = unsafe { CStr::from_ptr(entry.cast()) }.to_bytes();
        if let Some([b'=', value @ ..]) = entry.strip_prefix(name) {
            return Some(value);
        }
        // SAFETY: this element was not the last.
        at = unsafe { at.add(1) };
    }
}

/// Runs `call` and puts the calling thread's `errno` back, where there is one: for calls out of an
/// allocator, which must not show in it.
pub fn preserve_errno<R>(call: impl FnOnce() -> R) -> R {
    #[cfg(unix)]
    return crate::errno::preserve(call);
    #[cfg(not(unix))]
    return call();
}

/// The process's id.
pub fn id() -> u32 {
    #[cfg(unix)]
    // SAFETY: no arguments, cannot fail.
    return unsafe { libc::getpid() } as u32;
    #[cfg(not(unix))]
    return native::process_id();
}

/// Runs `handler` when the process exits in an orderly way (or the shared library that this code is
/// in is closed), after handlers registered later. False if libc has no memory for it.
///
/// May allocate (from the 33rd registration on) and takes a lock of libc's.
pub fn on_exit(handler: extern "C" fn()) -> bool {
    #[cfg(unix)]
    // SAFETY: the function lives as long as this code; libc ties it to this object.
    return crate::errno::preserve(|| unsafe { libc::atexit(handler) }) == 0;
    #[cfg(not(unix))]
    return native::at_exit(handler);
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reading.
    Read,
    /// Writing; made if absent, emptied if present.
    Create,
    /// Writing at the end; made if absent.
    Append,
}

/// Reads the start of a file into `buffer`: what is there, up to the buffer's length. For small files
/// of the system (`/proc`, `/sys`). `None` if it cannot be opened or read.
pub fn read_file<'b>(path: &CStr, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let file = native::file_open(path, Access::Read)?;
    let mut len = 0;
    let result = loop {
        match native::file_read(file, &mut buffer[len..]) {
            Some(0) => break Some(len),
            Some(read) => len += read,
            None => break None,
        }
    };
    native::file_close(file);
    result.map(|len| &buffer[..len])
}

/// Bytes gathered before each write.
const GATHER: usize = 512;

/// A file opened for writing: [`core::fmt::Write`] over raw writes, gathered in 512 bytes on the
/// stack. Closed, and what is gathered written, when dropped. Failed writes are remembered, see
/// [`finish`](Self::finish); nothing panics.
///
/// ```
/// use core::fmt::Write;
/// let path = std::env::temp_dir().join(format!("stratalloc-doc-{}", std::process::id()));
/// let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
/// let mut file = stratalloc_os::process::RawFile::create(&name).unwrap();
/// writeln!(file, "{} bytes", 17).unwrap();
/// assert!(file.finish());
/// assert_eq!(std::fs::read(&path).unwrap(), b"17 bytes\n");
/// # std::fs::remove_file(&path).unwrap();
/// ```
#[derive(Debug)]
pub struct RawFile {
    file: native::File,
    owned: bool,
    failed: bool,
    used: usize,
    gathered: [u8; GATHER],
}

impl RawFile {
    /// Makes a file, or empties the one there; readable by all as far as the umask allows.
    pub fn create(path: &CStr) -> Option<Self> {
        Some(Self::new(native::file_open(path, Access::Create)?, true))
    }

    /// Opens a file to write at its end; makes it if absent.
    pub fn append(path: &CStr) -> Option<Self> {
        Some(Self::new(native::file_open(path, Access::Append)?, true))
    }

    /// Standard error; not closed when dropped.
    pub fn stderr() -> Self {
        Self::new(native::STDERR, false)
    }

    fn new(file: native::File, owned: bool) -> Self {
        Self { file, owned, failed: false, used: 0, gathered: [0; GATHER] }
    }

    /// Adds bytes. False if this or an earlier write failed.
    pub fn write_bytes(&mut self, mut text: &[u8]) -> bool {
        while !text.is_empty() && !self.failed {
            let room = GATHER - self.used;
            let (now, later) = text.split_at(text.len().min(room));
            self.gathered[self.used..][..now.len()].copy_from_slice(now);
            self.used += now.len();
            text = later;
            if self.used == GATHER {
                self.flush();
            }
        }
        !self.failed
    }

    /// Writes out what is gathered. False if this or an earlier write failed.
    pub fn flush(&mut self) -> bool {
        let mut done = 0;
        while done < self.used && !self.failed {
            match native::file_write(self.file, &self.gathered[done..self.used]) {
                Some(written) if written > 0 => done += written,
                _ => self.failed = true,
            }
        }
        self.used = 0;
        !self.failed
    }

    /// Writes out what is gathered and closes the file. True if everything was written.
    pub fn finish(mut self) -> bool {
        self.flush()
    }
}

impl fmt::Write for RawFile {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.write_bytes(text.as_bytes()) { Ok(()) } else { Err(fmt::Error) }
    }
}

impl Drop for RawFile {
    fn drop(&mut self) {
        self.flush();
        if self.owned {
            native::file_close(self.file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;
    use std::ffi::CString;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    #[test]
    fn the_environment_of_this_process_is_read() {
        assert!(environ_ready());
        let path = std::env::var("PATH").unwrap();
        assert_eq!(env_var(b"PATH"), Some(path.as_bytes()));
        assert_eq!(env_var(b"PAT"), None);
        assert_eq!(env_var(b"STRATALLOC_SURELY_NOT_SET"), None);
        assert_eq!(env_var(b""), None);
    }

    #[test]
    fn arrays_of_strings_are_searched() {
        let strings = [c"A=1", c"NOVALUE", c"AB=two=2", c"EMPTY="];
        let mut array: Vec<*const u8> = strings.iter().map(|s| s.as_ptr().cast()).collect();
        array.push(core::ptr::null());
        // SAFETY: the array above.
        let get = |name: &str| unsafe { env_var_in(array.as_ptr(), name.as_bytes()) };
        assert_eq!(get("A"), Some(&b"1"[..]));
        assert_eq!(get("AB"), Some(&b"two=2"[..]));
        assert_eq!(get("EMPTY"), Some(&b""[..]));
        assert_eq!(get("NOVALUE"), None);
        assert_eq!(get("B"), None);
        // SAFETY: a null array holds nothing.
        assert_eq!(unsafe { env_var_in(core::ptr::null(), b"A") }, None);
    }

    #[test]
    fn resident_figures_follow_the_memory_that_is_touched() {
        let before = resident().unwrap();
        assert!(before.current_bytes > 0 && before.peak_bytes >= before.current_bytes);
        let touched = std::hint::black_box(std::vec![1u8; 32 << 20]);
        let during = resident().unwrap();
        assert!(during.current_bytes >= before.current_bytes + (24 << 20), "{before:?} {during:?}");
        assert!(during.minor_faults > before.minor_faults);
        drop(touched);
        assert!(resident().unwrap().peak_bytes >= before.current_bytes + (24 << 20));
    }

    #[test]
    fn files_are_created_appended_and_read() {
        let path = std::env::temp_dir().join(format!("stratalloc-os-{}", std::process::id()));
        let name = CString::new(path.to_str().unwrap()).unwrap();
        let mut expected = String::new();
        let mut file = RawFile::create(&name).unwrap();
        for i in 0..1000 {
            writeln!(file, "line {i}").unwrap();
            writeln!(expected, "line {i}").unwrap();
        }
        assert!(file.finish());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);

        RawFile::append(&name).unwrap().write_str("end\n").unwrap();
        expected.push_str("end\n");
        let mut buffer = std::vec![0; 64 << 10];
        assert_eq!(read_file(&name, &mut buffer), Some(expected.as_bytes()));
        assert_eq!(read_file(&name, &mut buffer[..6]), Some(&b"line 0"[..]));

        drop(RawFile::create(&name).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read_file(&name, &mut buffer), None);
        assert!(RawFile::create(c"/nonexistent/stratalloc").is_none());
    }

    #[test]
    fn a_failed_write_is_remembered() {
        if let Some(mut full) = RawFile::append(c"/dev/full") {
            assert!(full.write_bytes(b"gathered"));
            assert!(!full.finish());
        }
    }

    #[test]
    fn exit_handlers_can_be_registered() {
        extern "C" fn nothing() {}
        assert!(on_exit(nothing));
    }
}

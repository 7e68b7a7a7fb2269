//! The crate inside a shared library (`examples/probe.rs`): preloaded, opened late, closed again.
#![cfg(target_os = "linux")]

use std::ffi::{CStr, CString, c_void};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

/// Where cargo put the example: beside the folder of this test.
fn probe() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.join("examples/libprobe.so")
}

struct Library(*mut c_void);

impl Library {
    fn open() -> Self {
        let path = CString::new(probe().to_str().unwrap()).unwrap();
        // SAFETY: the library's constructors do nothing harmful.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            // SAFETY: dlopen failed, so there is a message.
            panic!("{:?}", unsafe { CStr::from_ptr(libc::dlerror()) });
        }
        Self(handle)
    }

    /// The function of that name.
    ///
    /// # Safety
    /// `F` is its type.
    unsafe fn get<F: Copy>(&self, name: &CStr) -> F {
        // SAFETY: the handle is open.
        let symbol = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!symbol.is_null(), "{name:?}");
        // SAFETY: the caller's promise; function pointers have the size of data pointers here.
        unsafe { std::mem::transmute_copy(&symbol) }
    }

    /// Closes it; true if it is gone from the process.
    fn close(self) -> bool {
        // SAFETY: open, and nothing of it is used after.
        assert_eq!(unsafe { libc::dlclose(self.0) }, 0);
        !std::fs::read_to_string("/proc/self/maps").unwrap().contains("libprobe.so")
    }
}

fn fork_and_wait() {
    // SAFETY: the child exits at once.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: as above.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: waits for the child above.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(status, 0);
}

#[test]
fn a_preloaded_library_has_its_slot_before_the_program_starts() {
    let run = Command::new("/bin/true").env("LD_PRELOAD", probe()).env("STRATALLOC_PROBE", "1").output().unwrap();
    assert!(run.status.success());
    assert_eq!(String::from_utf8_lossy(&run.stderr), "probe works\n");
}

#[test]
fn a_library_opened_late_works_in_old_and_new_threads_and_leaves_nothing_when_closed() {
    static EVENTS: AtomicUsize = AtomicUsize::new(0);
    let (ask, asked) = std::sync::mpsc::channel::<(extern "C" fn() -> *mut u8, usize)>();
    let old = thread::spawn(move || {
        let (get, empty) = asked.recv().unwrap();
        assert_eq!(get().addr(), empty);
    });

    let library = Library::open();
    // SAFETY: the types are those in `examples/probe.rs`.
    let (get, set, empty, start, arm, threaded) = unsafe {
        (
            library.get::<extern "C" fn() -> *mut u8>(c"probe_get"),
            library.get::<extern "C" fn(*mut u8)>(c"probe_set"),
            library.get::<extern "C" fn() -> *const u64>(c"probe_empty"),
            library.get::<extern "C" fn(&'static AtomicUsize) -> bool>(c"probe_start"),
            library.get::<extern "C" fn() -> bool>(c"probe_arm"),
            library.get::<extern "C" fn() -> bool>(c"probe_is_threaded"),
        )
    };
    let empty = empty().addr();
    ask.send((get, empty)).unwrap();
    old.join().unwrap();
    thread::spawn(move || {
        assert_eq!(get().addr(), empty);
        set(std::ptr::without_provenance_mut(3));
        assert_eq!(get().addr(), 3);
    })
    .join()
    .unwrap();
    assert_eq!(get().addr(), empty);
    threaded();

    assert!(start(&EVENTS));
    thread::spawn(move || assert!(arm())).join().unwrap();
    assert!(EVENTS.swap(0, SeqCst) >= 1, "the hook ran");
    fork_and_wait();
    assert_eq!(EVENTS.swap(0, SeqCst), 2_000_000, "prepare and parent ran");

    // A thread that is armed and leaves only after the library is gone.
    let (leave, may_leave) = std::sync::mpsc::channel::<()>();
    let (ready, is_ready) = std::sync::mpsc::channel::<()>();
    let late = thread::spawn(move || {
        assert!(arm());
        ready.send(()).unwrap();
        may_leave.recv().unwrap();
    });
    is_ready.recv().unwrap();
    assert!(library.close(), "the library is still mapped");
    leave.send(()).unwrap();
    late.join().unwrap();
    fork_and_wait();
    assert_eq!(EVENTS.load(SeqCst), 0, "nothing of the library runs any more");
}

//! ELF: what must happen when the object that holds this code is closed or the process ends.
//!
//! Termination functions run after the handlers that `process::on_exit` registered in an executable,
//! so that a report at exit still finds everything in place.

/// Deletes the thread-exit key: one whose destructor is gone would crash the next thread that leaves.
/// At a process' end it is harmless: threads that still run keep their heaps.
extern "C" fn terminate() {
    crate::thread_exit::shutdown();
}

/// The entry that the dynamic loader, or libc's `exit` in a static program, calls.
#[used]
#[unsafe(link_section = ".fini_array")]
static TERMINATE: extern "C" fn() = terminate;

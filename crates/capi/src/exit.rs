//! Leaving without exit handlers: shells and forked children end by `_exit`, and would leave no
//! report for the options `show` and `report`.
//!
//! libc's own `exit` does not come through here; without those options the two functions do what
//! libc's do.

use core::ffi::c_int;
use stratalloc::raw;

/// Ends the process without exit handlers, after writing the report that the options ask for.
#[unsafe(no_mangle)]
pub extern "C" fn _exit(status: c_int) -> ! {
    leave(status)
}

/// C99's name of `_exit`.
#[unsafe(no_mangle)]
pub extern "C" fn _Exit(status: c_int) -> ! {
    leave(status)
}

fn leave(status: c_int) -> ! {
    raw::on_quick_exit();
    loop {
        // SAFETY: ends all threads of the process; does not return.
        unsafe { libc::syscall(libc::SYS_exit_group, status) };
    }
}

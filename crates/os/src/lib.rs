//! S3: the operating systems below Stratalloc.
//!
//! `stratalloc-core` asks an operating system for memory, waiting and time through one trait,
//! [`Os`](stratalloc_core::os::Os). Here are its implementations, one file or folder a platform, and
//! what else an allocator needs of its host:
//!
//! | module | owns |
//! |---|---|
//! | `linux`, `macos`, `windows` | the trait on that system; [`Native`] is the one compiled in |
//! | `mock` (feature `mock`) | a system for tests: counts calls, makes chosen ones fail |
//! | [`heap_slot!`] | one word of thread-local storage, two instructions away on ELF |
//! | [`thread_exit`] | a hook that runs when a thread leaves, after other libraries' destructors |
//! | [`fork`] | handlers around `fork` |
//! | [`process`] | environment, exit handlers, memory figures, raw files |
//!
//! Nothing here allocates through the global allocator, takes a lock that an allocation could need,
//! unwinds, or leaves `errno` changed, unless an item says so (a few libc registrations allocate).
//!
//! `cfg(target_os)` appears in this file only: it picks the files that are compiled.
#![no_std]

#[cfg(any(test, feature = "mock"))]
extern crate std;

#[cfg(unix)]
// The tests run on the allocator that they test: a copy of this crate is below it.
#[cfg(all(test, not(stratalloc_system)))]
#[global_allocator]
static GLOBAL: stratalloc::Stratalloc = stratalloc::Stratalloc;

mod placement;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(any(target_os = "linux", target_os = "android"))]
use linux as native;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use linux::Linux;
/// The operating system this build runs on.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub type Native = Linux;

#[cfg(target_vendor = "apple")]
mod macos;
#[cfg(target_vendor = "apple")]
use macos as native;
#[cfg(target_vendor = "apple")]
pub use macos::MacOs;
/// The operating system this build runs on.
#[cfg(target_vendor = "apple")]
pub type Native = MacOs;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as native;
#[cfg(windows)]
pub use windows::Windows;
/// The operating system this build runs on.
#[cfg(windows)]
pub type Native = Windows;

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple", windows)))]
compile_error!("stratalloc-os knows Linux, Android, macOS and Windows");

/// The one value of [`Native`].
pub const NATIVE: Native = native::NATIVE;

pub use native::detect_nodes;

// The TLS slot: inline assembly where the ABI is known to us, std's thread-locals elsewhere.
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_pointer_width = "64"))]
#[path = "slot/x86_64.rs"]
mod slot;
#[cfg(all(target_os = "linux", target_arch = "aarch64", target_pointer_width = "64", target_endian = "little"))]
#[path = "slot/aarch64.rs"]
mod slot;
#[cfg(not(all(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_os = "linux",
    target_pointer_width = "64",
    target_endian = "little"
)))]
#[path = "slot/std.rs"]
mod slot;
#[cfg(not(all(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_os = "linux",
    target_pointer_width = "64",
    target_endian = "little"
)))]
#[doc(hidden)]
pub extern crate std as __std;

#[cfg(unix)]
mod errno;
#[cfg(target_os = "android")]
use libc::__errno as errno_word;
#[cfg(target_os = "linux")]
use libc::__errno_location as errno_word;
#[cfg(target_vendor = "apple")]
use libc::__error as errno_word;
#[cfg(unix)]
pub mod fork;
#[cfg(windows)]
#[path = "windows/fork.rs"]
pub mod fork;
pub mod process;
#[cfg(unix)]
pub mod thread_exit;
#[cfg(windows)]
#[path = "windows/thread_exit.rs"]
pub mod thread_exit;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod unload;

#[cfg(feature = "mock")]
pub mod mock;

//! Loads whose cost should not depend on the number of threads; run and judged by `cargo xtask scaling`.
//!
//! ```console
//! $ cargo build --release --example scaling
//! $ target/release/examples/scaling small 4     # threads that replace blocks of their own, up to 1000 bytes
//! $ target/release/examples/scaling mixed 4     # the same, one block in sixteen up to 32 KiB
//! $ target/release/examples/scaling pairs 4     # half of them allocate, the other half free
//! $ target/release/examples/scaling starts 4    # a thousand threads, so many at a time
//! $ target/release/examples/scaling idle 1000   # threads that have worked and sleep
//! ```
//!
//! Each prints lines of a word and a number, bytes and counts for a thread where the word is `live`, `overhead` or `drained`.
//! With the feature `count-shared` the words `exchanges`, `fences`, `locks`, `waits` and `transfers` are there too:
//! see `stratalloc_core::sync::count`. Threads are made by `pthread_create`, as `std::thread` allocates and frees by itself;
//! `nanoseconds` is CPU time of the working threads in user space and kernel, as there may be more threads than cores.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
mod loads;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let load = arguments.next().unwrap_or_default();
    let threads = arguments.next().unwrap_or_default();
    let number = threads.parse().unwrap_or(0);
    match (load.as_str(), number) {
        ("small", 1..) => loads::own(number, loads::Random::small),
        ("mixed", 1..) => loads::own(number, loads::Random::mixed),
        ("pairs", 2..) if number % 2 == 0 => loads::pairs(number),
        ("starts", 1..) => loads::starts(number),
        ("idle", 1..) => loads::idle(number),
        _ => {
            eprintln!(
                "scaling: '{load} {threads}': it takes small, mixed, starts or idle and a number above 0, or"
            );
            eprintln!("scaling: pairs and an even one");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("scaling: resident memory is read as Linux tells it");
    ExitCode::FAILURE
}

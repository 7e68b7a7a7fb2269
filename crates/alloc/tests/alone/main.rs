//! What needs a process of its own: resident memory, a single thread, forks, options, what is
//! written at exit, misuse.
//!
//! Each case is a function that runs in a fresh process with its own `STRATALLOC`, and another that
//! judges how that process ended. Run with a part of a name, only those cases run.

mod forks;
mod memory;
mod options;
mod run;

#[path = "../common/mod.rs"]
mod common;

use run::Case;
use stratalloc::Stratalloc;

#[global_allocator]
static GLOBAL: Stratalloc = Stratalloc;

fn main() -> std::process::ExitCode {
    let cases: Vec<Case> = [memory::CASES, forks::CASES, options::CASES].concat();
    run::main(&cases)
}

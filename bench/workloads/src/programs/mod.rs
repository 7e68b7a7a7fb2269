//! Real programs, run as children with a library preloaded; each a module or, for interpreters, a script.
//!
//! ```text
//! interpreters (work.py .lua .rb .js .sql)  gcc  git  redis (resp)     the programs
//! session                                   one run: folder, environment, children, what they used
//! loader                                    which library a child's malloc is bound to
//! ```
//!
//! This process is only the launcher. It stays small, as the kernel begins a child's peak memory with its parent's, and it
//! prepares the input, which is the same each time, in a temporary folder before anything is measured. What the
//! program wrote is hashed, so that an allocator that spoils data is found out.

mod gcc;
mod git;
mod interpreters;
mod loader;
mod redis;
mod resp;
mod session;

use crate::registry::Program;

/// All of them, in the order of lists.
pub fn all() -> Vec<Program> {
    let mut all = vec![redis::PROGRAM, gcc::PROGRAM, git::PROGRAM];
    all.extend(interpreters::PROGRAMS);
    all
}

#[cfg(test)]
mod tests;

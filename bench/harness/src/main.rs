//! `bench`: see `--help`. Exit status 0: all fine; 1: something measured or built failed; 2: bad input.

use std::process::ExitCode;

use clap::Parser;
use stratalloc_bench::{arguments::Arguments, commands};

fn main() -> ExitCode {
    match commands::execute(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(message) => {
            eprintln!("bench: {message}");
            ExitCode::from(2)
        }
    }
}

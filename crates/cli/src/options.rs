//! The verb `options`: the allocator's table of options as Markdown, which reads well as it is.

use crate::Failure;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;
use stratalloc_core::options::TABLE;

/// Prints the table on stdout.
pub fn print() -> Result<ExitCode, Failure> {
    match std::io::stdout().write_all(table().as_bytes()) {
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::own(format_args!("stdout: {error}"))),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn table() -> String {
    let mut rows = vec![["Option", "Values", "Default", "What it does"].map(String::from)];
    for spec in &TABLE {
        // A bar inside a cell must be escaped in Markdown.
        let values = spec.values().as_str().replace('|', "\\|");
        let default = match spec.default().as_str() {
            "" => "none".to_owned(),
            default => format!("`{default}`"),
        };
        rows.push([format!("`{}`", spec.name), values, default, spec.help.to_owned()]);
    }
    let widths: [usize; 4] = std::array::from_fn(|i| rows.iter().map(|row| row[i].len()).max().unwrap_or(0));
    let mut text = String::new();
    for (i, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if i == 0 {
            for width in widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text
}

//! `run`: builds everything, then becomes `stratalloc run`.

use crate::{Failure, Result, build};
use std::ffi::OsString;
use std::process::Command;

/// The options and the program in `run [OPTIONS] -- PROGRAM [ARGUMENTS]`; `None` if it is not that.
pub fn split(arguments: &[OsString]) -> Option<(Vec<OsString>, Vec<OsString>)> {
    let ([verb], rest) = arguments.split_at_checked(1)? else {
        return None;
    };
    let dashes = rest.iter().position(|argument| argument == "--")?;
    let program = rest.get(dashes + 1..).filter(|program| !program.is_empty())?;
    let options = rest.get(..dashes)?;
    (verb == "run").then(|| (options.to_vec(), program.to_vec()))
}

/// `cargo xtask run [OPTIONS] -- PROGRAM [ARGUMENTS]`
pub fn task(options: &[OsString], program: &[OsString]) -> Result<()> {
    let built = build::library(false)?;
    let tool = build::binary("stratalloc-cli", "stratalloc")?;
    let mut command = Command::new(&tool);
    // Both lie in one folder, where the tool looks; a foreign setting of its variable would win.
    command.arg("run").args(options).arg("--").args(program).env("STRATALLOC_LIBRARY", &built.shared);
    become_it(command)
        .map_err(|error| Failure::new(format_args!("{} could not be started: {error}", tool.display())))
}

/// Replaces this process, so that signals and the exit status are the tool's.
#[cfg(unix)]
pub fn become_it(mut command: Command) -> std::io::Result<()> {
    Err(std::os::unix::process::CommandExt::exec(&mut command))
}

/// Runs the tool and ends with its exit status.
#[cfg(not(unix))]
pub fn become_it(mut command: Command) -> std::io::Result<()> {
    let status = command.status()?;
    std::process::exit(status.code().unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_line(line: &str) -> Option<(String, String)> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let joined = |words: Vec<OsString>| words.join(" ".as_ref()).into_string().unwrap();
        split(&words).map(|(options, program)| (joined(options), joined(program)))
    }

    #[test]
    fn the_first_dashes_divide() {
        let some = |options: &str, program: &str| Some((options.to_owned(), program.to_owned()));
        assert_eq!(split_line("run -- ls"), some("", "ls"));
        assert_eq!(split_line("run --json out -- sh -c x -- y"), some("--json out", "sh -c x -- y"));
    }

    #[test]
    fn the_rest_is_left_to_the_parser() {
        for line in ["", "run", "run ls", "run --", "run --json --", "build --debug", "gate -- x"] {
            assert_eq!(split_line(line), None, "{line}");
        }
    }
}

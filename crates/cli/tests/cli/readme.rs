//! The front page agrees with the program.

use std::process::Command;

fn output(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_stratalloc")).args(arguments).output().expect("stratalloc starts");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_table_of_options_in_the_readme_is_the_one_the_program_prints() {
    let readme = include_str!("../../../../README.md");
    let table = output(&["options"]);
    assert_eq!(table.lines().count(), 2 + stratalloc_core::options::TABLE.len());
    assert!(readme.contains(&table), "put this table into README.md:\n{table}");
}

#[test]
fn help_and_version_are_there() {
    assert_eq!(output(&["--version"]), format!("stratalloc {}\n", env!("CARGO_PKG_VERSION")));
    let help = output(&["--help"]);
    assert!(help.contains("Examples:") && help.contains("stratalloc run -- "), "{help}");
    let help = output(&["run", "--help"]);
    for word in ["Exit status:", "Examples:", "--library", "--no-count", "--json", "PROGRAM"] {
        assert!(help.contains(word), "{help}");
    }
}

//! What `run` refuses before anything is started: each with its exit status and a clear line.
#![cfg(target_os = "linux")]

use crate::common::{executable, run, scratch, stand_in, stderr, stratalloc};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn refused(command: &mut Command, code: i32, words: &[&str]) {
    let output = command.output().expect("stratalloc starts");
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(output.stdout.is_empty());
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

/// The running test: a dynamically linked program for this machine.
fn this_program() -> Vec<u8> {
    fs::read(std::env::current_exe().unwrap()).unwrap()
}

#[test]
fn usage_errors() {
    refused(&mut stratalloc(), 2, &["Usage: stratalloc <COMMAND>"]);
    refused(stratalloc().arg("run"), 2, &["<PROGRAM>...", "Usage: stratalloc run"]);
    refused(stratalloc().args(["run", "--"]), 2, &["Usage: stratalloc run"]);
    refused(stratalloc().args(["run", "--no-such-option", "true"]), 2, &["--no-such-option"]);
    refused(stratalloc().arg("walk"), 2, &["walk"]);
}

#[test]
fn missing_programs() {
    refused(
        &mut run(&["--", "no-such-program-anywhere"]),
        127,
        &["no-such-program-anywhere: no such program in PATH"],
    );
    refused(&mut run(&["--", "/no/such/program"]), 127, &["/no/such/program: no such program"]);
    refused(&mut run(&["--", ""]), 127, &["no such program"]);
}

#[test]
fn files_that_are_no_programs() {
    let folder = scratch("no-programs");
    let plain = folder.join("plain");
    fs::write(&plain, "text").unwrap();
    refused(run(&["--"]).arg(&plain), 126, &["plain is not executable"]);
    executable(&plain, b"text");
    refused(run(&["--"]).arg(&plain), 126, &["plain is neither an ELF program nor a script"]);
    refused(run(&["--"]).arg(&folder), 126, &["is a directory"]);
    // Found in PATH, but not to be executed.
    fs::write(folder.join("found"), "text").unwrap();
    refused(run(&["--", "found"]).env("PATH", &folder), 126, &["found is not executable"]);
}

#[test]
fn static_programs() {
    // The program's own headers without the one that names the loader: its type becomes PT_NULL.
    let mut program = this_program();
    let (table, entry, entries) = program_headers(&program);
    for at in (0..entries).map(|i| table + i * entry) {
        if program[at..at + 4] == 3u32.to_ne_bytes() {
            program[at..at + 4].fill(0);
        }
    }
    let folder = scratch("static");
    let path = folder.join("fixed");
    executable(&path, &program);
    refused(run(&["--"]).arg(&path), 126, &["fixed is statically linked", "libstratalloc.a"]);

    let script = folder.join("script");
    executable(&script, format!("#! {} -x\n", path.display()).as_bytes());
    refused(run(&["--"]).arg(&script), 126, &["fixed is statically linked"]);
}

/// Offset, entry size and number of the program headers.
fn program_headers(elf: &[u8]) -> (usize, usize, usize) {
    let half = |at: usize| usize::from(u16::from_ne_bytes([elf[at], elf[at + 1]]));
    if elf[4] == 2 {
        (u64::from_ne_bytes(elf[32..40].try_into().unwrap()) as usize, half(54), half(56))
    } else {
        (u32::from_ne_bytes(elf[28..32].try_into().unwrap()) as usize, half(42), half(44))
    }
}

#[test]
fn programs_for_another_machine() {
    let mut program = this_program();
    let other: u16 = if cfg!(target_arch = "riscv64") { 62 } else { 243 };
    program[18..20].copy_from_slice(&other.to_ne_bytes());
    let path = scratch("machine").join("foreign");
    executable(&path, &program);
    refused(
        run(&["--"]).arg(&path),
        126,
        &["foreign is a program for", "the library is for", "would not be loaded"],
    );
}

#[test]
fn programs_with_privileges() {
    let path = scratch("privileges").join("privileged");
    executable(&path, &this_program());
    // SAFETY: takes no arguments and cannot fail.
    let user = unsafe { libc::getuid() };
    if user != 0 {
        // Only root can give a file to another user; to one's own, setuid changes nothing.
        return;
    }
    std::os::unix::fs::chown(&path, Some(1), Some(1)).unwrap();
    for (mode, word) in [(0o4755, "setuid"), (0o2755, "setgid")] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        refused(run(&["--"]).arg(&path), 126, &[word, "ignores preloaded libraries"]);
    }
}

#[test]
fn scripts_without_a_usable_interpreter() {
    let folder = scratch("refused-scripts");
    for (name, line, word) in [
        ("lost", "#!/no/such/interpreter\n", "names its interpreter: /no/such/interpreter: no such program"),
        ("bare", "#! \n", "names no interpreter"),
        ("empty", "", "neither an ELF program nor a script"),
    ] {
        let path = folder.join(name);
        executable(&path, line.as_bytes());
        refused(run(&["--"]).arg(&path), 126, &[word]);
    }
    let own = folder.join("loop");
    executable(&own, format!("#!{}\n", own.display()).as_bytes());
    refused(run(&["--"]).arg(&own), 126, &["too many scripts"]);
}

#[test]
fn libraries_that_are_none() {
    let folder = scratch("libraries");
    let text = folder.join("libtext.so");
    fs::write(&text, "text").unwrap();
    refused(stratalloc().args(["run", "--library", "/no/lib.so", "true"]), 125, &["--library: /no/lib.so"]);
    refused(stratalloc().args(["run", "--library"]).arg(&text).arg("true"), 125, &["not a shared library"]);
    refused(
        stratalloc().args(["run", "true"]).env("STRATALLOC_LIBRARY", &text),
        125,
        &["STRATALLOC_LIBRARY", "not a shared library"],
    );
    // Elsewhere it has no library near it. (A link: a copy could still be open for writing in the
    // child of another test when it is started.)
    let copy = folder.join("stratalloc");
    fs::hard_link(env!("CARGO_BIN_EXE_stratalloc"), &copy).unwrap();
    refused(
        Command::new(&copy).args(["run", "true"]).env_remove("STRATALLOC_LIBRARY"),
        125,
        &["libstratalloc.so was not found", "--library", "STRATALLOC_LIBRARY"],
    );
    // But with one beside it, or in `../lib`, that is the one.
    fs::copy(stand_in(), folder.join("libstratalloc.so")).unwrap();
    let status = Command::new(&copy).args(["run", "-q", "true"]).env_remove("STRATALLOC_LIBRARY").status();
    assert!(status.is_ok_and(|status| status.success()));
}

#[test]
fn options_are_checked_before_the_start() {
    for (option, line) in [
        (
            "dirty_mni=4M",
            "stratalloc: option 'dirty_mni' is unknown; did you mean 'dirty_min'? (see `stratalloc options`)",
        ),
        ("dirty_percent=500", "option 'dirty_percent=500' is out of range (0..=100)"),
        ("limit", "option 'limit' needs a value"),
        ("show,misuse=crash", "option 'misuse=crash' is not valid (abort|warn|ignore)"),
    ] {
        refused(&mut run(&["-o", option, "--", "sh", "-c", "echo started"]), 125, &[line]);
    }
}

#[test]
fn a_json_file_that_cannot_be_written() {
    refused(
        &mut run(&["--json", "/no/such/folder/file", "sh", "-c", "echo started"]),
        125,
        &["/no/such/folder/file"],
    );
}

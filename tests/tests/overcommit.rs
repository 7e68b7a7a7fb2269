//! Strict overcommit: what the kernel charges a process for memory it might touch.
//!
//! The setting is the machine's, not a process's. It is changed for the length of one short program
//! and restored by a watcher process, which also sees the end of a test that is killed.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use stratalloc_tests::{c, on_library};

const MODE: &str = "/proc/sys/vm/overcommit_memory";
const RATIO: &str = "/proc/sys/vm/overcommit_ratio";
/// Charge beyond the program's own blocks, MiB: reservations must not count.
const CHARGE_MIB: i64 = 96;

/// The machine's setting as it was; restored when this is dropped or this process ends.
struct Strict {
    watcher: Child,
}

impl Strict {
    /// Turns strict overcommit on, or says why it cannot be.
    fn on() -> Result<Strict, String> {
        let old = fs::read_to_string(MODE).map_err(|error| format!("{MODE}: {error}"))?;
        let ratio = fs::read_to_string(RATIO).map_err(|error| format!("{RATIO}: {error}"))?;
        let (old, ratio) = (old.trim(), ratio.trim());
        // Writes the settings to what they are: shows whether they can be written at all.
        for (file, value) in [(MODE, old), (RATIO, ratio)] {
            fs::write(file, value).map_err(|error| format!("{file} cannot be written: {error}"))?;
        }
        let script = format!("read line; echo {old} > {MODE}; echo {ratio} > {RATIO}");
        let watcher = Command::new("/bin/sh").args(["-c", &script]).stdin(Stdio::piped()).spawn();
        let watcher = watcher.map_err(|error| format!("/bin/sh: {error}"))?;
        let strict = Strict { watcher };
        // All of the memory may be promised, so that what else runs on the machine goes on.
        fs::write(RATIO, "100").map_err(|error| format!("{RATIO}: {error}"))?;
        fs::write(MODE, "2").map_err(|error| format!("{MODE}: {error}"))?;
        Ok(strict)
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.watcher.stdin.take() {
            // Closing the pipe does the same as the line.
            let _ = stdin.write_all(b"\n");
        }
        self.watcher.wait().expect("the watcher ends");
    }
}

#[test]
fn reservations_are_not_charged_and_strict_overcommit_is_survived() {
    let program = c("process/commit_charge.c").build();
    // The charge of writable mappings shows in any mode.
    on_library(&program).args([CHARGE_MIB]).passes();
    let old = fs::read_to_string(MODE).expect("the kernel's overcommit mode");
    match Strict::on() {
        Ok(strict) => {
            let outcome = on_library(&program).args([CHARGE_MIB]).outcome();
            drop(strict);
            assert!(outcome.status.success(), "{outcome}");
            assert_eq!(outcome.figure("mode ").to_string(), "2", "{outcome}");
        }
        Err(reason) => println!("only the charge in the present mode was checked: {reason}"),
    }
    assert_eq!(fs::read_to_string(MODE).expect("the mode"), old, "the setting was not restored");
}

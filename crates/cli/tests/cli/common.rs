//! What the tests share: the command under test, a stand-in for the library, scratch folders.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

#[global_allocator]
static GLOBAL: stratalloc::Stratalloc = stratalloc::Stratalloc;

/// `stratalloc`, with an environment that the tests decide on.
pub fn stratalloc() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stratalloc"));
    command.env_remove("STRATALLOC").env_remove("STRATALLOC_LIBRARY").env_remove("LD_PRELOAD");
    // What started the tests may ignore these (nohup, a shell's background): a program under test must not.
    // SAFETY: an async-signal-safe call, with valid signals and a valid disposition.
    unsafe {
        command.pre_exec(|| {
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        })
    };
    command
}

/// `stratalloc run --library STAND-IN` with `arguments`.
pub fn run(arguments: &[&str]) -> Command {
    let mut command = stratalloc();
    command.arg("run").arg("--library").arg(stand_in()).args(arguments);
    command
}

/// A shared library that writes a report of fixed figures; built once.
pub fn stand_in() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let path = scratch("stand-in").join("libstandin.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixture/preload.rs");
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let status = Command::new(rustc)
            .args(["--edition=2024", "--crate-type=cdylib", "-Cpanic=abort", "-o"])
            .args([&path, &source])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "the stand-in did not build");
        path
    })
}

/// A fresh folder for one test.
pub fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("a scratch folder");
    path
}

/// Writes an executable file. A shell does it: a file that this process had open for writing could
/// still be open in the child of another test when it is started.
pub fn executable(path: &Path, content: &[u8]) {
    let mut shell = Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("a shell");
    shell.stdin.take().expect("its input").write_all(content).expect("the content");
    assert!(shell.wait().is_ok_and(|status| status.success()));
}

/// Stderr as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

//! `gate`: the fast paths' instructions, counted, against their limits.
//!
//! A small C program is run under callgrind with the library preloaded; the profile's call counts and
//! inclusive costs, from callers that do nothing else, give the average instructions per call, exact
//! and free of noise. The function's own `ret` is taken off, the caller's `call` is not in it.
//!
//! The gate also reads the disassembly: operator new's throwing paths must be entered by jumps, so
//! that no frame of a Rust function is left when they throw. And what the program ran must lie in front (see [`order`]).

use crate::callgrind::Profile;
use crate::{Failure, Result, build, call, check, not_started, order};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Instructions of the small classes' fast paths at most, without call and ret. Sized delete jumps to the delete in force.
const LIMITS: &[(Function, u64)] = &[
    (Function { symbol: "malloc", name: "malloc", calls: 1 }, 14),
    (Function { symbol: "free", name: "free", calls: 2 }, 17),
    (Function { symbol: "_Znwm", name: "operator new", calls: 2 }, 14),
    (Function { symbol: "_ZdlPv", name: "operator delete", calls: 1 }, 17),
    (Function { symbol: "_ZdlPvm", name: "operator delete, sized", calls: 1 }, 18),
];

/// Reported without a limit: they do more than pop or push a block.
const REPORTED: &[Function] = &[
    Function { symbol: "calloc", name: "calloc", calls: 1 },
    Function { symbol: "realloc", name: "realloc in its class", calls: 1 },
];

/// Sizes that the limits hold for.
const SMALL: &[usize] = &[1, 16, 24, 32, 48, 64, 100, 128, 200, 256, 400, 512, 768, 1000, 1024];
/// Sizes whose figures are reported beside.
const BEYOND: &[usize] = &[2048, 8192, 32768];
/// Rounds of the measured program for each size.
const ROUNDS: u64 = 2000;

/// A function that is measured.
struct Function {
    symbol: &'static str,
    name: &'static str,
    /// Calls in one round of the measured program.
    calls: u64,
}

/// The functions that only a jump may enter.
const BY_JUMP: &[&str] = &["new_slow", "new_aligned_slow", "new_nothrow_slow", "new_aligned_nothrow_slow"];

/// `cargo xtask gate`
pub fn task(library: Option<PathBuf>) -> Result<()> {
    let library = match library {
        Some(path) => path,
        None => build::library(false)?.shared,
    };
    let library =
        library.canonicalize().map_err(|error| Failure::new(format_args!("{}: {error}", library.display())))?;
    entered_by_jumps(&library)?;
    order::complete(&library)?;
    let folder = build::profile_folder("gate")?;
    fs::create_dir_all(&folder).map_err(|error| Failure::new(format_args!("{}: {error}", folder.display())))?;
    let program = compile(&folder)?;
    let profile = measure(&folder, &program, &library)?;
    order::holds_all(profile.run_in(&library.to_string_lossy()))?;
    report(&profile, &library)
}

/// Compiles the measured program.
fn compile(folder: &Path) -> Result<PathBuf> {
    let sizes = || SMALL.iter().chain(BEYOND);
    let define: String = sizes().map(|size| format!("SIZE({size})\n")).collect();
    let run: String = sizes().map(|size| format!("size_{size}();")).collect();
    let source = include_str!("gate.c").replace("\nSIZES\n", &format!("\n{define}")).replace("    RUN\n", &run);
    let (file, program) = (folder.join("gate.c"), folder.join("gate"));
    fs::write(&file, source).map_err(|error| Failure::new(format_args!("{}: {error}", file.display())))?;
    let mut compiler = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
    // The calls must be made, each directly: not folded away, not through a lazy stub.
    compiler.args(["-O1", "-fno-builtin", "-fPIE", "-pie", "-fno-plt", "-Wl,-z,now"]);
    compiler.arg(format!("-DROUNDS={ROUNDS}"));
    call(compiler.arg("-o").arg(&program).arg(&file))?;
    Ok(program)
}

/// Runs the measured program under callgrind on the library.
fn measure(folder: &Path, program: &Path, library: &Path) -> Result<Profile> {
    let file = folder.join("callgrind.out");
    let _ = fs::remove_file(&file);
    let mut out = std::ffi::OsString::from("--callgrind-out-file=");
    out.push(&file);
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--compress-strings=no", "--compress-pos=no", "--demangle=no"])
        .arg(out)
        .arg(program)
        .env("LD_PRELOAD", library)
        .env_remove("STRATALLOC")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| not_started("valgrind", &error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format_args!("valgrind ended with {}:\n{said}", output.status)));
    }
    let text = fs::read(&file).map_err(|error| Failure::new(format_args!("{}: {error}", file.display())))?;
    Profile::read(&String::from_utf8_lossy(&text)).map_err(Failure::new)
}

/// Prints the table; fails if a limit is broken.
fn report(profile: &Profile, library: &Path) -> Result<()> {
    let symbols = check::symbols(library)?;
    let limited = LIMITS.iter().map(|(function, limit)| (function, Some(*limit)));
    let mut broken = Vec::new();
    print!("{:24}", "instructions for bytes");
    for size in SMALL.iter().chain(BEYOND) {
        print!("{size:>6}");
    }
    println!("{:>7}", "limit");
    for (function, limit) in limited.chain(REPORTED.iter().map(|function| (function, None))) {
        // Equal functions are merged, and the profile may name any of them.
        let address = symbols.iter().find(|symbol| symbol.name == function.symbol).map(|symbol| symbol.address);
        let names: Vec<&str> = symbols
            .iter()
            .filter(|symbol| Some(symbol.address) == address)
            .map(|symbol| symbol.name.as_str())
            .collect();
        print!("{:24}", function.name);
        for (at, size) in SMALL.iter().chain(BEYOND).enumerate() {
            let edge = profile.edge(&format!("measured_{size}"), &names);
            // More calls than these are of functions merged with this one.
            if edge.calls < function.calls * ROUNDS {
                println!();
                return Err(Failure::new(format_args!(
                    "{} calls of {} seen for {size} bytes, {} made: is the library preloaded?",
                    edge.calls,
                    function.symbol,
                    function.calls * ROUNDS,
                )));
            }
            // The `ret` is not counted; rounded to hundredths, as the rare slow paths are in it.
            let hundredths = (edge.cost * 100).div_ceil(edge.calls).saturating_sub(100);
            print!("{:>6}", figure(hundredths));
            let slack = if *size <= ASIDE { SLACK_ASIDE } else { SLACK };
            if limit.is_some_and(|limit| at < SMALL.len() && hundredths > limit * 100 + slack) {
                broken.push(format!("{} of {size} bytes: {}", function.name, figure(hundredths)));
            }
        }
        match limit {
            Some(limit) => println!("{limit:>7}"),
            None => println!("{:>7}", "none"),
        }
    }
    if broken.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format_args!("above the limit:\n  {}", broken.join("\n  "))))
}

/// Hundredths of an instruction that a call may cost above the limit on average: room for the slow
/// path that one call in hundreds takes, too little for one more instruction in the fast one.
const SLACK: u64 = 50;
/// The same for blocks whose frees are set aside, up to [`ASIDE`] bytes: their lists are taken over after some dozens of
/// allocations. One more instruction in the fast path shows itself at the larger sizes.
const SLACK_ASIDE: u64 = 150;
const ASIDE: usize = 128;

/// Hundredths as a decimal number, short if it is whole.
fn figure(hundredths: u64) -> String {
    match hundredths % 100 {
        0 => format!("{}", hundredths / 100),
        rest => format!("{}.{}", hundredths / 100, rest / 10),
    }
}

/// Fails if a call instruction leads to a function that only a jump may enter.
fn entered_by_jumps(library: &Path) -> Result<()> {
    let output = Command::new("objdump")
        .args(["--disassemble", "--no-show-raw-insn", "--wide"])
        .arg(library)
        .output()
        .map_err(|error| not_started("objdump", &error))?;
    if !output.status.success() {
        return Err(Failure::new(format_args!("objdump ended with {}", output.status)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut jumps = 0;
    for line in text.lines().filter(|line| leads_to_slow(line)) {
        let mut words = line.split_whitespace().skip(1);
        let instruction = words.next().unwrap_or_default();
        if instruction.starts_with("call") || instruction == "bl" || instruction == "blr" {
            return Err(Failure::new(format_args!(
                "operator new's throwing path is entered by a call, from a frame that cannot be unwound:\n  {line}"
            )));
        }
        jumps += 1;
    }
    if jumps == 0 {
        return Err(Failure::new("the library's operator new has no throwing path"));
    }
    Ok(())
}

/// Whether an instruction's target is one of [`BY_JUMP`], from another function.
fn leads_to_slow(line: &str) -> bool {
    let Some((_, target)) = line.rsplit_once('<') else {
        return false;
    };
    // `name+0x…` is a jump within the function, `name>:` a label.
    let Some((target, "")) = target.rsplit_once('>') else {
        return false;
    };
    !target.contains('+') && BY_JUMP.iter().any(|name| names(target, name))
}

/// Whether a mangled Rust symbol is of the function `name`: its length stands before it.
fn names(symbol: &str, name: &str) -> bool {
    symbol.contains(&format!("{}{name}", name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(figure(1300), "13");
        assert_eq!(figure(1305), "13.0");
        assert_eq!(figure(1750), "17.5");
    }

    #[test]
    fn targets_are_told_from_labels_and_inner_jumps() {
        let line = "    41c7:\tjae    326c <_ZN10stratalloc8throwing8new_slow17h0a9987a8b06abe2dE>";
        assert!(leads_to_slow(line));
        assert!(!leads_to_slow("000000000000326c <_ZN10stratalloc8throwing8new_slow17h0a9987a8b06abe2dE>:"));
        assert!(!leads_to_slow(
            "    31e0:\tjne    31fe <_ZN10stratalloc8throwing8new_slow17h0a9987a8b06abe2dE+0x32>"
        ));
        assert!(!leads_to_slow("    31d8:\tcall   4040 <_ZN10stratalloc8throwing6refill17h4c4ade76fb5bc233E>"));
    }
}

//! `gcc`: the C compiler on a generated file, once with -O1 and once with -O2.
//!
//! Time and memory are those of the driver and its children: cc1, which does nearly all of it, and the assembler. The object
//! files are the result that must be equal.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use stratalloc_bench_protocol::Outcome;

use super::session::{self, Session};
use crate::random::Random;
use crate::registry::Program;

pub const PROGRAM: Program = Program {
    name: "gcc",
    models: "a compiler with its phases: one generated C file at -O1 and at -O2",
    source: "Debian's gcc; the child cc1 is counted",
    sensitive_to: "process start, obstacks and vectors that grow, much memory that is never freed",
    threads: 1,
    package: "gcc",
    missing,
    run,
};

/// Functions of the file at scale 1.
const FUNCTIONS: u64 = 10;

fn missing() -> Option<String> {
    session::missing("gcc").or_else(|| compiler().err())
}

/// The compiler proper that the driver starts.
fn compiler() -> Result<PathBuf, String> {
    let gcc = session::found("gcc")?;
    let output = std::process::Command::new(&gcc).arg("-print-prog-name=cc1").output();
    let output = output.map_err(|error| format!("{}: {error}", gcc.display()))?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if path.is_absolute() { Ok(path) } else { Err("gcc has no compiler for C (cc1)".to_owned()) }
}

fn run(preload: Option<&Path>, scale: f64) -> Result<Outcome, String> {
    let mut session = Session::new(PROGRAM.name, preload)?;
    let gcc = session::found("gcc")?;
    session.bind(&gcc, &["--version"])?;
    session.bind(&compiler()?, &["--version"])?;
    let functions = ((FUNCTIONS as f64 * scale).round() as u64).max(1);
    let source = session.folder().join("unit.c");
    fs::write(&source, unit(functions)).map_err(|error| format!("{}: {error}", source.display()))?;
    for level in ["-O1", "-O2"] {
        let mut command = session.preloaded(&gcc);
        command.args([level, "-w", "-frandom-seed=1", "-c", "unit.c", "-o", "unit.o"]);
        session.measure(command)?;
        session.check_file(&session.folder().join("unit.o"))?;
    }
    Ok(session.finish(1, 2 * functions))
}

/// A C file with so many functions, each on records, loops, switches and calls of earlier ones.
fn unit(functions: u64) -> String {
    let mut random = Random::new(3);
    let mut text = String::from("typedef unsigned long word;\nextern word input(word);\n");
    for number in 0..functions {
        function(&mut text, number, &mut random).expect("a string takes all");
    }
    text
}

fn function(text: &mut String, number: u64, random: &mut Random) -> std::fmt::Result {
    write!(
        text,
        "struct record_{number} {{ word key; int kind; double weight; struct record_{number} *next; char name["
    )?;
    writeln!(text, "{}]; }};", random.between(4, 40))?;
    writeln!(text, "word work_{number}(struct record_{number} *list, word *table, int n) {{")?;
    writeln!(text, "  word sum = {}, a = input({number}), b = a ^ {};", random.below(100), random.below(1 << 20))?;
    for _ in 0..random.between(3, 6) {
        let (step, shift, bound) = (random.between(1, 3), random.between(1, 13), random.between(8, 64));
        writeln!(text, "  for (int i = 0; i < n && i < {bound}; i += {step}) {{")?;
        writeln!(
            text,
            "    a = a * {} + (table[i] >> {shift}); b ^= a << {};",
            random.below(1000) | 1,
            shift + 2
        )?;
        writeln!(text, "    switch ((a >> {shift}) & 7) {{")?;
        for case in 0..random.between(3, 7) {
            writeln!(text, "    case {case}: sum += {}; break;", expression(random, 3))?;
        }
        writeln!(text, "    default: table[i] = {}; }}", expression(random, 2))?;
        writeln!(
            text,
            "    if (sum > b) {{ sum -= {}; }} else {{ b += {}; }}",
            expression(random, 2),
            expression(random, 2)
        )?;
        writeln!(text, "  }}")?;
    }
    writeln!(text, "  for (struct record_{number} *r = list; r; r = r->next) {{")?;
    writeln!(
        text,
        "    if (r->kind == {}) sum += r->key * r->name[1]; else r->weight = r->weight * 1.5 + a;",
        random.below(9)
    )?;
    writeln!(text, "  }}")?;
    if number > 0 {
        let callee = random.below(number);
        writeln!(text, "  struct record_{callee} other = {{ sum, (int)a, 2.0, 0, \"x\" }};")?;
        writeln!(text, "  sum += work_{callee}(&other, table, n / 2);")?;
    }
    writeln!(text, "  return sum ^ a ^ b;\n}}")
}

fn expression(random: &mut Random, depth: u32) -> String {
    const LEAVES: [&str; 5] = ["a", "b", "sum", "table[i]", "(word)i"];
    if depth == 0 || random.one_in(5) {
        return LEAVES[random.index(LEAVES.len())].to_owned();
    }
    let operator = ["+", "-", "*", "&", "|", "^"][random.index(6)];
    format!("({} {operator} {})", expression(random, depth - 1), expression(random, depth - 1))
}

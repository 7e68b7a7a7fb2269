//! `python`, `lua`, `ruby`, `node`, `sqlite3`: an interpreter and one script that is given an amount of work.
//!
//! Each script churns what its language is made of and prints a digest; its header says what. Work is the same each time: the
//! scripts draw from their own random numbers, and seeds of hash tables are fixed or do not matter. CPython runs with
//! `PYTHONMALLOC=malloc`, as its own pool would hide small blocks from the library. V8 maps the memory of JavaScript's
//! objects by itself, so `node` shows buffers and the runtime only.

use std::fs;
use std::path::Path;

use stratalloc_bench_protocol::Outcome;

use super::session::{self, Session};
use crate::registry::Program;

/// An interpreter.
struct Interpreter {
    name: &'static str,
    program: &'static str,
    version: &'static [&'static str],
    /// Before the script.
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    /// Whether it reads the script as its standard input, and not by name.
    by_input: bool,
    /// `@WORK@` stands for the amount of work.
    script: &'static str,
    /// Units of work at scale 1.
    work: u64,
}

const PYTHON: Interpreter = Interpreter {
    name: "python",
    program: "python3",
    version: &["--version"],
    arguments: &["-S", "-B"],
    environment: &[("PYTHONMALLOC", "malloc"), ("PYTHONHASHSEED", "0")],
    by_input: false,
    script: include_str!("work.py"),
    work: 35,
};

const LUA: Interpreter = Interpreter {
    name: "lua",
    program: "lua5.4",
    version: &["-v"],
    arguments: &["-E"],
    environment: &[],
    by_input: false,
    script: include_str!("work.lua"),
    work: 65,
};

const RUBY: Interpreter = Interpreter {
    name: "ruby",
    program: "ruby",
    version: &["--version"],
    arguments: &["--disable-gems"],
    environment: &[],
    by_input: false,
    script: include_str!("work.rb"),
    work: 75,
};

const NODE: Interpreter = Interpreter {
    name: "node",
    program: "node",
    version: &["--version"],
    arguments: &[],
    environment: &[],
    by_input: false,
    script: include_str!("work.js"),
    work: 160,
};

const SQLITE: Interpreter = Interpreter {
    name: "sqlite3",
    program: "sqlite3",
    version: &["--version"],
    arguments: &["-batch", "-bail", ":memory:"],
    environment: &[],
    by_input: true,
    script: include_str!("work.sql"),
    work: 24_000,
};

pub const PROGRAMS: [Program; 5] = [
    Program {
        name: "python",
        models: "a CPython script on dictionaries, lists, strings, JSON, regular expressions and objects",
        source: "Debian's python3 with PYTHONMALLOC=malloc",
        sensitive_to: "small blocks of short life among many that stay, by one thread",
        threads: 1,
        package: "python3",
        missing: || session::missing("python3"),
        run: |preload, scale| run(&PYTHON, preload, scale),
    },
    Program {
        name: "lua",
        models: "a Lua script on tables, strings and closures under its garbage collector",
        source: "Debian's lua5.4, which asks realloc for everything",
        sensitive_to: "realloc of small blocks, and frees in the order of a sweep",
        threads: 1,
        package: "lua5.4",
        missing: || session::missing("lua5.4"),
        run: |preload, scale| run(&LUA, preload, scale),
    },
    Program {
        name: "ruby",
        models: "a Ruby script on strings, hashes, arrays and objects",
        source: "Debian's ruby",
        sensitive_to: "strings and tables behind a garbage collector's own slots, freed in sweeps",
        threads: 1,
        package: "ruby",
        missing: || session::missing("ruby"),
        run: |preload, scale| run(&RUBY, preload, scale),
    },
    Program {
        name: "node",
        models: "a Node.js script on buffers, compression, JSON and objects",
        source: "Node.js; V8 maps its own heap, buffers come from malloc",
        sensitive_to: "process start with large libraries, buffers cleared and freed by other threads",
        threads: 1,
        package: "nodejs",
        missing: || session::missing("node"),
        run: |preload, scale| run(&NODE, preload, scale),
    },
    Program {
        name: "sqlite3",
        models: "SQL in memory: inserts, indexes, joins, updates, deletes",
        source: "Debian's sqlite3 shell",
        sensitive_to: "pages of 4 KiB among small blocks of statements, sorting in large buffers",
        threads: 1,
        package: "sqlite3",
        missing: || session::missing("sqlite3"),
        run: |preload, scale| run(&SQLITE, preload, scale),
    },
];

fn run(interpreter: &Interpreter, preload: Option<&Path>, scale: f64) -> Result<Outcome, String> {
    let mut session = Session::new(interpreter.name, preload)?;
    let program = session::found(interpreter.program)?;
    session.bind(&program, interpreter.version)?;
    let work = ((interpreter.work as f64 * scale).round() as u64).max(1);
    let script = session.folder().join("script");
    let text = interpreter.script.replace("@WORK@", &work.to_string());
    fs::write(&script, text).map_err(|error| format!("{}: {error}", script.display()))?;

    let mut command = session.preloaded(&program);
    command.envs(interpreter.environment.iter().copied()).args(interpreter.arguments);
    if interpreter.by_input {
        command.stdin(fs::File::open(&script).map_err(|error| format!("{}: {error}", script.display()))?);
    } else {
        command.arg(&script);
    }
    session.measure(command)?;
    Ok(session.finish(1, work))
}

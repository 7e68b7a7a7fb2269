//! `compiler`: trees of small nodes built and dropped in phases, symbol tables, an arena, big vectors that grow.
//!
//! **Models** a compiler that works through units. Of each it makes tokens, a syntax tree of boxed nodes with names as strings,
//! scopes (maps from names to symbols), types in an arena of growing chunks, an intermediate code of blocks with boxed
//! instructions and operand lists, and bit sets for an analysis; each phase frees the result of the one before at once. Machine
//! code, relocations and the table of names live to the end and grow by doubling; the linker then sorts and copies them.
//!
//! **Source**: the phases and region-like lifetimes of 176.gcc in Berger et al. ("Reconsidering custom memory allocation", OOPSLA
//! 2002), with the node types of a compiler written in Rust.
//!
//! **Sensitive to** the cost and packing of blocks of 16 to 128 bytes that die together, to strings of few bytes, and to
//! growth by realloc into the megabytes.

use stratalloc_bench_protocol::Group;

use super::code::{self, Code};
use super::shapes::Map;
use super::syntax::{Expression, Function, Parser, Statement};
use crate::measure::Run;
use crate::random::Random;
use crate::registry::{Parameters, Threads, Workload};

pub const WORKLOAD: Workload = Workload {
    name: "compiler",
    group: Group::Scene,
    models: "syntax trees, scopes, an arena and intermediate code, each phase freed at once, and vectors that grow",
    source: "after 176.gcc in Berger et al. (OOPSLA 2002)",
    sensitive_to: "blocks of 16 to 128 bytes that die together, short strings, growth by realloc",
    threads: Threads::Fixed(1),
    latency: false,
    run,
};

/// Units at scale 1, and functions of each.
const UNITS: u64 = 110;
const FUNCTIONS: usize = 60;

/// What lives as long as the compiler.
#[derive(Default)]
struct Program {
    names: Map<String, u32>,
    code: Vec<u8>,
    /// Place in the code, and the name that belongs there.
    relocations: Vec<(u32, u32)>,
}

/// What the scopes know of a name.
struct Symbol {
    r#type: u32,
    uses: Vec<u32>,
}

fn run(parameters: &Parameters, run: &mut Run) {
    let units = parameters.scaled(UNITS);
    let mut random = Random::new(parameters.seed);
    run.start();
    let sum = {
        let mut program = Program::default();
        for _ in 0..units {
            run.operations(compile(&mut program, &mut random));
        }
        link(program)
    };
    run.stop();
    run.checksum(sum);
}

/// One unit through all phases; how many tokens it had.
fn compile(program: &mut Program, random: &mut Random) -> u64 {
    let mut parser = Parser::new(random);
    let functions: Vec<Function> = (0..FUNCTIONS).map(|_| parser.function()).collect();
    let tokens = parser.tokens.len() as u64;
    drop(parser);

    let mut types = Arena::default();
    for function in &functions {
        let mut scopes = Scopes { names: vec![Map::default()], types: &mut types, at: 0 };
        for parameter in &function.parameters {
            scopes.declare(parameter);
        }
        scopes.body(&function.body);
    }

    let code: Vec<(String, Code)> =
        functions.iter().map(|function| (function.name.clone(), code::lower(function))).collect();
    drop(functions);
    drop(types);

    for (name, mut code) in code {
        code.optimise();
        program.intern(&name);
        let relocations = code.emit(&mut program.code);
        for (place, callee) in relocations {
            let name = program.intern(&callee);
            program.relocations.push((place, name));
        }
    }
    tokens
}

/// Sorts the relocations, applies them to a copy of the code, and sums it up.
fn link(program: Program) -> u64 {
    let mut relocations = program.relocations;
    relocations.sort_unstable_by_key(|&(place, name)| (name, place));
    let mut image = program.code.clone();
    drop(program.code);
    for (place, name) in relocations {
        image[place as usize..][..4].copy_from_slice(&name.to_le_bytes());
    }
    let words = image.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes")));
    words.fold(program.names.len() as u64, crate::random::fold)
}

impl Program {
    /// The number of a name.
    fn intern(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.names.get(name) {
            return number;
        }
        let number = self.names.len() as u32;
        self.names.insert(name.to_owned(), number);
        number
    }
}

/// Small records that are all freed together: chunks, each twice as large as the one before up to a limit.
#[derive(Default)]
struct Arena {
    chunks: Vec<Vec<[u32; 6]>>,
    records: u32,
}

impl Arena {
    /// Keeps a record; the result counts them.
    fn add(&mut self, record: [u32; 6]) -> u32 {
        const FIRST: usize = 64;
        const MOST: usize = 4096;
        if self.chunks.last().is_none_or(|chunk| chunk.len() == chunk.capacity()) {
            let room = self.chunks.last().map_or(FIRST, |chunk| (chunk.capacity() * 2).min(MOST));
            self.chunks.push(Vec::with_capacity(room));
        }
        self.chunks.last_mut().expect("there is a chunk").push(record);
        self.records += 1;
        self.records
    }
}

/// Name resolution: a map of names for each open scope.
struct Scopes<'a> {
    names: Vec<Map<String, Symbol>>,
    types: &'a mut Arena,
    /// Counts uses.
    at: u32,
}

impl Scopes<'_> {
    fn declare(&mut self, name: &str) {
        let r#type = self.types.add([name.len() as u32; 6]);
        let symbol = Symbol { r#type, uses: Vec::new() };
        self.names.last_mut().expect("a scope is open").insert(name.to_owned(), symbol);
    }

    fn body(&mut self, statements: &[Statement]) {
        self.names.push(Map::default());
        for statement in statements {
            match statement {
                Statement::Let { name, value } => {
                    self.expression(value);
                    self.declare(name);
                }
                Statement::Assign { name, value } => {
                    self.expression(value);
                    self.note(name);
                }
                Statement::If { condition, then, otherwise } => {
                    self.expression(condition);
                    self.body(then);
                    self.body(otherwise);
                }
                Statement::While { condition, body } => {
                    self.expression(condition);
                    self.body(body);
                }
                Statement::Return(value) => self.expression(value),
            }
        }
        let scope = self.names.pop().expect("this scope is open");
        self.at += scope.values().map(|symbol| symbol.uses.len() as u32 & symbol.r#type & 1).sum::<u32>();
    }

    fn expression(&mut self, expression: &Expression) {
        self.types.add([self.at; 6]);
        match expression {
            Expression::Number(_) => {}
            Expression::Name(name) => self.note(name),
            Expression::Unary(inner) => self.expression(inner),
            Expression::Binary { left, right, .. } => {
                self.expression(left);
                self.expression(right);
            }
            Expression::Call { arguments, .. } => arguments.iter().for_each(|argument| self.expression(argument)),
        }
    }

    /// Notes a use at the nearest declaration.
    fn note(&mut self, name: &str) {
        self.at += 1;
        if let Some(symbol) = self.names.iter_mut().rev().find_map(|scope| scope.get_mut(name)) {
            symbol.uses.push(self.at);
        }
    }
}

//! The intermediate code of the `compiler` scene: blocks of boxed instructions, an analysis in bit sets, and bytes at the end.

use super::syntax::{Expression, Function, Statement};

/// A function's code.
#[derive(Default)]
pub struct Code {
    blocks: Vec<Block>,
    values: u32,
}

#[derive(Default)]
struct Block {
    #[expect(clippy::vec_box, reason = "compilers keep instructions where they are, as others point to them")]
    instructions: Vec<Box<Instruction>>,
    successors: Vec<u32>,
}

struct Instruction {
    operation: u8,
    result: u32,
    operands: Vec<u32>,
    callee: Option<String>,
}

const CONSTANT: u8 = 200;
const LOAD: u8 = 201;
const NEGATE: u8 = 202;
const CALL: u8 = 203;
const STORE: u8 = 204;
const RETURN: u8 = 205;
const BRANCH: u8 = 206;

/// The code of a function.
pub fn lower(function: &Function) -> Code {
    let mut code = Code::default();
    code.blocks.push(Block::default());
    code.values = function.parameters.len() as u32;
    code.body(&function.body);
    code
}

impl Code {
    fn add(&mut self, operation: u8, operands: Vec<u32>, callee: Option<String>) -> u32 {
        self.values += 1;
        let instruction = Box::new(Instruction { operation, result: self.values, operands, callee });
        self.blocks.last_mut().expect("the entry block").instructions.push(instruction);
        self.values
    }

    /// Ends the current block and begins the next; the result is its number.
    fn branch(&mut self, condition: Option<u32>) -> u32 {
        self.add(BRANCH, condition.into_iter().collect(), None);
        let next = self.blocks.len() as u32;
        self.blocks.last_mut().expect("the entry block").successors.push(next);
        self.blocks.push(Block::default());
        next
    }

    fn body(&mut self, statements: &[Statement]) {
        for statement in statements {
            match statement {
                Statement::Let { name, value } | Statement::Assign { name, value } => {
                    let value = self.value(value);
                    self.add(STORE, vec![value, name.len() as u32], None);
                }
                Statement::Return(value) => {
                    let value = self.value(value);
                    self.add(RETURN, vec![value], None);
                }
                Statement::If { condition, then, otherwise } => {
                    let condition = self.value(condition);
                    let from = self.branch(Some(condition)) - 1;
                    self.body(then);
                    let join = self.branch(None);
                    self.body(otherwise);
                    self.blocks[from as usize].successors.push(join);
                }
                Statement::While { condition, body } => {
                    let head = self.branch(None);
                    let condition = self.value(condition);
                    let exit = self.branch(Some(condition)) - 1;
                    self.body(body);
                    self.blocks.last_mut().expect("the body's last block").successors.push(head);
                    let after = self.branch(None);
                    self.blocks[exit as usize].successors.push(after);
                }
            }
        }
    }

    fn value(&mut self, expression: &Expression) -> u32 {
        match expression {
            Expression::Number(number) => self.add(CONSTANT, vec![*number as u32], None),
            Expression::Name(name) => self.add(LOAD, vec![name.len() as u32], None),
            Expression::Unary(inner) => {
                let inner = self.value(inner);
                self.add(NEGATE, vec![inner], None)
            }
            Expression::Binary { operator, left, right } => {
                let operands = vec![self.value(left), self.value(right)];
                self.add(*operator, operands, None)
            }
            Expression::Call { callee, arguments } => {
                let mut operands = Vec::new();
                for argument in arguments {
                    let value = self.value(argument);
                    operands.push(value);
                }
                self.add(CALL, operands, Some(callee.clone()))
            }
        }
    }

    /// Removes what nobody uses: values that are needed in each block flow backwards until nothing changes, then
    /// each block is rebuilt.
    pub fn optimise(&mut self) {
        let words = self.values as usize / 64 + 1;
        let mut needed: Vec<Vec<u64>> = vec![vec![0; words]; self.blocks.len()];
        loop {
            let mut changed = false;
            for (number, block) in self.blocks.iter().enumerate().rev() {
                let mut set = needed[number].clone();
                for &successor in &block.successors {
                    set.iter_mut().zip(&needed[successor as usize]).for_each(|(to, from)| *to |= from);
                }
                for instruction in block.instructions.iter().rev() {
                    if instruction.has_effect() || has(&set, instruction.result) {
                        instruction.uses().iter().for_each(|&value| set[value as usize / 64] |= 1 << (value % 64));
                    }
                }
                changed |= set != needed[number];
                needed[number] = set;
            }
            if !changed {
                break;
            }
        }
        for (block, needed) in self.blocks.iter_mut().zip(&needed) {
            let kept = std::mem::take(&mut block.instructions).into_iter();
            block.instructions =
                kept.filter(|instruction| instruction.has_effect() || has(needed, instruction.result)).collect();
        }
    }

    /// Appends the machine code; the result is where which name belongs.
    pub fn emit(self, out: &mut Vec<u8>) -> Vec<(u32, String)> {
        let mut relocations = Vec::new();
        for instruction in self.blocks.into_iter().flat_map(|block| block.instructions) {
            let Instruction { operation, result, operands, callee } = *instruction;
            out.extend_from_slice(&[operation, operands.len() as u8]);
            out.extend_from_slice(&result.to_le_bytes()[..2]);
            for operand in operands {
                out.extend_from_slice(&operand.to_le_bytes());
            }
            if let Some(callee) = callee {
                relocations.push((out.len() as u32, callee));
                out.extend_from_slice(&[0; 4]);
            }
        }
        relocations
    }
}

impl Instruction {
    fn has_effect(&self) -> bool {
        matches!(self.operation, CALL | STORE | RETURN | BRANCH)
    }

    /// The operands that are values.
    fn uses(&self) -> &[u32] {
        match self.operation {
            CONSTANT | LOAD => &[],
            STORE => &self.operands[..1],
            _ => &self.operands,
        }
    }
}

fn has(set: &[u64], value: u32) -> bool {
    set[value as usize / 64] >> (value % 64) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_values_go_and_calls_stay() {
        let binary =
            |left, right| Expression::Binary { operator: 3, left: Box::new(left), right: Box::new(right) };
        let call = |callee: &str| Expression::Call { callee: callee.to_owned(), arguments: Vec::new() };
        let value = binary(Expression::Number(1), call("f"));
        let function = Function {
            name: "g".to_owned(),
            parameters: Vec::new(),
            body: vec![
                Statement::While { condition: Box::new(call("h")), body: vec![Statement::Return(value)] },
                Statement::Let { name: "a".to_owned(), value: Expression::Name("b".to_owned()) },
            ],
        };
        let mut code = lower(&function);
        // A value that nobody takes.
        code.add(CONSTANT, vec![9], None);
        let before: usize = code.blocks.iter().map(|block| block.instructions.len()).sum();
        code.optimise();
        assert_eq!(code.blocks.iter().map(|block| block.instructions.len()).sum::<usize>(), before - 1);
        let mut out = Vec::new();
        let names: Vec<String> = code.emit(&mut out).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["h", "f"]);
    }
}

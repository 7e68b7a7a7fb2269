//! The syntax trees of the `compiler` scene, and a parser that makes them of random tokens.
//!
//! Instead of reading a text the parser invents each token where it needs one, with the frequencies of ordinary code: short
//! names, most from a small stock; shallow expressions; bodies of a few statements. The tokens are kept in a vector, those
//! with text as strings of their own, until the unit is parsed.

use crate::random::Random;

pub enum Expression {
    Number(u64),
    Name(String),
    Unary(Box<Expression>),
    Binary { operator: u8, left: Box<Expression>, right: Box<Expression> },
    Call { callee: String, arguments: Vec<Expression> },
}

pub enum Statement {
    Let { name: String, value: Expression },
    Assign { name: String, value: Expression },
    If { condition: Box<Expression>, then: Vec<Statement>, otherwise: Vec<Statement> },
    While { condition: Box<Expression>, body: Vec<Statement> },
    Return(Expression),
}

pub struct Function {
    pub name: String,
    pub parameters: Vec<String>,
    pub body: Vec<Statement>,
}

/// A token with its text, where it has one.
pub struct Token {
    _kind: u8,
    _text: Option<Box<str>>,
}

pub struct Parser<'a> {
    random: &'a mut Random,
    /// All tokens so far.
    pub tokens: Vec<Token>,
}

/// Kinds of token.
const PUNCTUATION: u8 = 0;
const NUMBER: u8 = 1;
const NAME: u8 = 2;

impl<'a> Parser<'a> {
    /// A parser that draws its tokens from `random`.
    pub fn new(random: &'a mut Random) -> Parser<'a> {
        Parser { random, tokens: Vec::new() }
    }

    pub fn function(&mut self) -> Function {
        let name = format!("function_{}", self.random.below(100_000));
        self.token(NAME, Some(&name));
        let parameters = (0..self.random.below(5)).map(|_| self.name()).collect();
        let body = self.body(0);
        Function { name, parameters, body }
    }

    fn body(&mut self, depth: u32) -> Vec<Statement> {
        self.token(PUNCTUATION, None);
        let mut statements = Vec::new();
        for _ in 0..self.random.between(2, 12) >> depth.min(2) {
            statements.push(self.statement(depth));
        }
        statements
    }

    fn statement(&mut self, depth: u32) -> Statement {
        self.token(PUNCTUATION, None);
        match self.random.below(if depth < 4 { 10 } else { 7 }) {
            0..3 => Statement::Let { name: self.name(), value: self.expression(0) },
            3..6 => Statement::Assign { name: self.name(), value: self.expression(0) },
            6 => Statement::Return(self.expression(0)),
            7 | 8 => {
                let condition = Box::new(self.expression(1));
                let then = self.body(depth + 1);
                let otherwise = if self.random.one_in(2) { self.body(depth + 1) } else { Vec::new() };
                Statement::If { condition, then, otherwise }
            }
            _ => Statement::While { condition: Box::new(self.expression(1)), body: self.body(depth + 1) },
        }
    }

    fn expression(&mut self, depth: u32) -> Expression {
        match self.random.below(if depth < 5 { 10 } else { 4 }) {
            0 | 1 => {
                self.token(NUMBER, Some("4711"));
                Expression::Number(self.random.below(1 << 20))
            }
            2 | 3 => Expression::Name(self.name()),
            4 => Expression::Unary(Box::new(self.expression(depth + 1))),
            5..8 => {
                let left = Box::new(self.expression(depth + 1));
                self.token(PUNCTUATION, None);
                let right = Box::new(self.expression(depth + 1));
                Expression::Binary { operator: self.random.below(12) as u8, left, right }
            }
            _ => {
                let callee = format!("function_{}", self.random.log_between(1, 100_000) - 1);
                self.token(NAME, Some(&callee));
                let arguments = (0..self.random.below(4)).map(|_| self.expression(depth + 2)).collect();
                Expression::Call { callee, arguments }
            }
        }
    }

    /// A name: short, mostly one of a few.
    fn name(&mut self) -> String {
        const STEMS: [&str; 8] = ["i", "index", "value", "self", "result", "length_of", "buffer", "next_element"];
        let stem = STEMS[self.random.index(STEMS.len())];
        let name =
            if self.random.one_in(3) { format!("{stem}_{}", self.random.below(50)) } else { stem.to_owned() };
        self.token(NAME, Some(&name));
        name
    }

    fn token(&mut self, kind: u8, text: Option<&str>) {
        self.tokens.push(Token { _kind: kind, _text: text.map(Box::from) });
    }
}

//! Any bytes are a kind of pools with handles and a sequence of operations, done on two of them and on the model: objects
//! are inserted, removed, moved together and between the pools, collected; memory is refused; stale handles and those of
//! objects that are elsewhere are followed.
//!
//! `cargo +nightly fuzz run handle_pool`
#![no_main]

#[path = "../../crates/pool/tests/handle_oracle/mod.rs"]
mod handle_oracle;
#[path = "../../crates/pool/tests/ledger/mod.rs"]
mod ledger;

use handle_oracle::{KINDS, Op, Oracle, options};
use ledger::Watched;
use libfuzzer_sys::fuzz_target;

/// Numbers from the input; 0 when it is used up.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> usize {
        match self.0.split_first() {
            Some((&first, rest)) => {
                self.0 = rest;
                usize::from(first)
            }
            None => 0,
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes(data);
    let source = Watched::default();
    let mut oracle = Oracle::new(options(bytes.byte() % KINDS), &source);
    let mut steps = 0;
    while !bytes.0.is_empty() && steps < 500 {
        steps += 1;
        let kind = bytes.byte();
        let second = kind >= 128;
        oracle.step(match kind % 16 {
            0..5 => Op::Insert(second, bytes.byte() as u32),
            5 | 6 => Op::Remove(bytes.byte()),
            7 => Op::Change(bytes.byte(), bytes.byte() as u32),
            8 | 9 => Op::Link(bytes.byte(), bytes.byte()),
            10 => Op::Stale(bytes.byte()),
            11 | 12 => Op::Migrate(bytes.byte()),
            13 => Op::Refuse(kind / 16 % 4),
            _ => match kind / 16 % 8 {
                0 => Op::Compact(kind % 2 == 0),
                1 => Op::Trim(kind % 2 == 0, bytes.byte()),
                2 => Op::MigrateAll(kind % 2 == 0),
                3 => Op::Retain(kind % 2 == 0, 2 + bytes.byte() as u32 % 3),
                4 => Op::Collect(kind % 2 == 0, 1 + bytes.byte() as u32 % 3),
                5 => Op::Clear(kind % 2 == 0),
                _ => Op::Insert(second, bytes.byte() as u32),
            },
        });
    }
    source.refuse(0);
    oracle.finish();
    assert_eq!(source.bytes(), 0);
});

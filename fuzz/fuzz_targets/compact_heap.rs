//! Any bytes are a kind of compacting heap and a sequence of operations, done on it and on the model.
//!
//! `cargo +nightly fuzz run compact_heap`
#![no_main]

#[path = "../../crates/pool/tests/compact_oracle/mod.rs"]
mod compact_oracle;
#[path = "../../crates/pool/tests/ledger/mod.rs"]
mod ledger;

use compact_oracle::{KINDS, Op, Oracle, options};
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

    /// A bound of a budget: small, a few KiB, or none.
    fn bound(&mut self) -> usize {
        match self.byte() {
            255 => usize::MAX,
            byte if byte < 128 => byte % 16,
            byte => byte << 4,
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
        oracle.step(match kind % 16 {
            0..4 => Op::Insert { len: kind / 16 },
            4 => Op::Insert { len: bytes.byte() },
            5..8 => Op::Remove { object: bytes.byte() },
            8 => Op::Resize { object: bytes.byte(), len: bytes.byte() % 64 },
            9 | 10 => Op::Link { from: bytes.byte(), to: bytes.byte() },
            11 => Op::Stale { object: bytes.byte() },
            12 | 13 => Op::Step { objects: bytes.bound(), bytes: bytes.bound(), visits: bytes.bound() },
            14 => match kind / 16 % 4 {
                0 => Op::Compact,
                1 => Op::Trim { keep: bytes.byte() << 5 },
                2 => Op::Collect { roots: bytes.byte() },
                _ => Op::Clear,
            },
            _ => Op::Refuse { count: kind / 64 },
        });
    }
    source.refuse(0);
    oracle.finish();
    assert_eq!(source.bytes(), 0);
});

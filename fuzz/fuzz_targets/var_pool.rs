//! Any bytes are a kind of variable-size pool and a sequence of operations, done on it and on the model
//! of live ranges.
//!
//! `cargo +nightly fuzz run var_pool`
#![no_main]

#[path = "../../crates/pool/tests/ledger/mod.rs"]
mod ledger;
#[path = "../../crates/pool/tests/var_oracle/mod.rs"]
mod var_oracle;

use ledger::Watched;
use libfuzzer_sys::fuzz_target;
use std::mem::MaybeUninit;
use stratalloc_pool::{Fit, Growth, Source, VarPool};
use var_oracle::{KINDS, Op, Oracle, options};

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

    fn word(&mut self) -> usize {
        self.byte() << 8 | self.byte()
    }

    /// A size of up to 64 KiB, small ones more often.
    fn size(&mut self) -> usize {
        let log = self.byte() % 16;
        self.word() & ((1 << log) - 1 | 15)
    }
}

fn run<A: Source>(mut oracle: Oracle<A>, bytes: &mut Bytes<'_>) {
    let mut steps = 0;
    while !bytes.0.is_empty() && steps < 1000 {
        steps += 1;
        let kind = bytes.byte();
        oracle.step(match kind % 16 {
            0..6 => Op::Allocate { size: bytes.size(), align: 1 },
            6 => Op::Allocate { size: bytes.size(), align: 1 << (bytes.byte() % 18) },
            7..11 => Op::Release { block: bytes.byte() },
            11 => Op::Reallocate { block: bytes.byte(), size: bytes.size(), align: 1 << (kind / 16) },
            12 => Op::ResizeInPlace { block: bytes.byte(), size: bytes.size() },
            13 => Op::Misuse { block: bytes.byte(), offset: bytes.byte() },
            14 if kind < 128 => Op::Coalesce,
            14 => Op::Trim { keep: bytes.word() },
            _ if kind < 240 => Op::Refuse { count: kind / 64 },
            _ => Op::Reset,
        });
    }
    oracle.step(Op::Refuse { count: 0 });
    drop(oracle.finish());
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes(data);
    let options = options(bytes.byte() % KINDS);
    match bytes.byte() {
        slice if slice % 3 == 0 => {
            let mut memory = vec![MaybeUninit::uninit(); bytes.word()];
            let options = options.growth(Growth::Doubling).capacity(0).blocks(slice / 3);
            if let Ok(pool) = VarPool::in_slice(options, &mut memory) {
                // What tags refuse is not checked: the oracle of segregated fit lets refusals be.
                run(Oracle::new(options.fit(Fit::Segregated), pool, |_, _| {}), &mut bytes);
            }
        }
        _ => {
            let source = Watched::default();
            let pool = VarPool::with_options_in(options, &source).unwrap();
            run(Oracle::new(options, pool, |source, count| source.refuse(count)), &mut bytes);
            assert_eq!(source.bytes(), 0);
        }
    }
});

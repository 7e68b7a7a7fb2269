//! Any bytes are a sequence of operations, done on an allocator over the mock and on the oracle.
//!
//! `cargo +nightly fuzz run operations`
#![no_main]

#[path = "../../crates/core/tests/common/mod.rs"]
mod common;

use common::oracle::{HEAPS, Op, Oracle};
use libfuzzer_sys::fuzz_target;
use stratalloc_core::options::Options;
use stratalloc_core::os::Moved;
use stratalloc_os::mock::Call;

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

    /// A size of up to about 2 MiB: a power of two and 16 bits around it.
    fn size(&mut self) -> usize {
        let log = self.byte();
        let base = 1usize << (log % 22);
        match log / 22 % 4 {
            0 => base,
            1 => base - 1,
            2 => base + 1,
            _ => base + self.word() % base,
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes(data);
    let setting = bytes.byte();
    let options = Options::DEFAULT
        .with_parked_heaps([0, 1, 16, 16][setting & 3])
        .with_dirty_min([0, 64 << 10][setting >> 2 & 1])
        .with_count(setting & 8 != 0);
    let page = [4, 16, 64, 4][setting >> 4 & 3] << 10;
    let mut oracle = Oracle::new(page, &options);
    oracle.mock.set_threaded(setting & 64 != 0);
    oracle.mock.remap_as([Moved::SourceZero, Moved::SourceGone, Moved::Refused][bytes.byte() % 3]);
    oracle.faults = setting & 128 != 0;
    // The figures of each step cost most of the time: 200 steps of a kind are enough.
    let mut steps = 0;
    while !bytes.0.is_empty() && steps < 1000 {
        steps += 1;
        let kind = bytes.byte();
        let heap = kind / 16 % HEAPS;
        let op = match kind % 16 {
            0..4 => Op::Alloc { heap, size: bytes.size(), align: 16, zeroed: kind % 2 == 0 },
            4 => Op::Alloc { heap, size: bytes.size(), align: 1 << (bytes.byte() % 21), zeroed: false },
            5..9 => Op::Dealloc { heap, block: bytes.byte() },
            9 | 10 => Op::Realloc { heap, block: bytes.byte(), size: bytes.size() },
            11 => Op::DeallocMany { heap, step: 1 + bytes.byte() % 4 },
            12 => Op::Leave { heap },
            13 => match bytes.byte() % 3 {
                0 => Op::Settle { heap },
                1 => Op::Destroy { heap },
                _ => Op::Count { heap },
            },
            14 => Op::Trim { heap: (kind >= 128).then_some(heap), keep: bytes.word() << 6 },
            _ => {
                if oracle.faults {
                    let call = [Call::Map, Call::Unmap, Call::Purge, Call::Remap, Call::Spawn][bytes.byte() % 5];
                    oracle.mock.fail_nth(call, 1 + bytes.byte() as u64 % 4);
                }
                Op::Pass { ms: 10 * bytes.byte() as u64 }
            }
        };
        oracle.step(&op);
    }
    oracle.finish();
});

#!/bin/sh
# Runs the loom models of the core's protocols: remote lists, tenure, owners that change, the lock, the
# region directory. Every interleaving up to a number of preemptions, and every value that the memory model
# lets a load see.
#
# Takes about 2 minutes on 2 cores, of which a minute is compiling. Each model's header says which
# weakenings of the protocol it was seen to fail with.
set -eu
cd "$(dirname "$0")/.."
RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom" \
    cargo test --package stratalloc-core --release --test 'loom_*'

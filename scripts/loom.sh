#!/bin/sh
# Runs the loom models of the core's protocols (remote lists, available spans, tenure, owners that change, the lock,
# the region directory) and of the pools' (the light lock, waiters, the lock-free stack and its growth, threads that
# leave a tiered pool). Every interleaving up to a number of preemptions, and every value that the memory model lets a
# load see. Then the pools' larger schedules, at random, under shuttle.
#
# Takes about 5 minutes on 2 cores, of which most is compiling. Each model's header says which weakenings of
# the protocol it was seen to fail with.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR="$target/loom" \
    cargo test --package stratalloc-core --release --test 'loom_*'
RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR="$target/loom" \
    cargo test --package stratalloc-pool --release --lib model
RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR="$target/loom" \
    cargo test --package stratalloc-pool --release --test 'loom_*'
RUSTFLAGS="--cfg shuttle" CARGO_TARGET_DIR="$target/shuttle" \
    cargo test --package stratalloc-pool --release --lib model
RUSTFLAGS="--cfg shuttle" CARGO_TARGET_DIR="$target/shuttle" \
    cargo test --package stratalloc-pool --release --test shuttle

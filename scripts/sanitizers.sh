#!/bin/sh
# Runs the core's and the pools' tests under AddressSanitizer and their thread tests under ThreadSanitizer.
#
# Takes about 4 minutes on 2 cores the first time (std is built for ThreadSanitizer), 2 minutes after.
# Needs Linux on x86-64 and, once:  rustup component add rust-src
#
# The sanitizers are unstable options of rustc; RUSTC_BOOTSTRAP lets the stable compiler have them.
# `-Cunsafe-allow-abi-mismatch` admits crates that were compiled without the sanitizer (the std that
# comes with the compiler, for AddressSanitizer). ThreadSanitizer must see std's locks and channels, or it
# takes what they order for races: so std is built along, and for one panic strategy only.
# STRATALLOC_STRESS multiplies the rounds of the stress tests; STRATALLOC_SEED repeats a run.
set -eu
cd "$(dirname "$0")/.."
target=x86_64-unknown-linux-gnu
# Absolute: a test that builds its examples runs elsewhere.
out=${CARGO_TARGET_DIR:-$PWD/target}
export RUSTC_BOOTSTRAP=1 CARGO_PROFILE_DEV_PANIC=unwind

echo "== AddressSanitizer: all integration tests of the core"
# `abort` in a test is a panic that leaves the played allocator as it is: its memory is not a leak.
RUSTFLAGS="--cfg stratalloc_system -Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer" \
ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1" \
CARGO_TARGET_DIR="$out/asan" \
    cargo test --package stratalloc-core --target $target --tests

echo "== AddressSanitizer: all integration tests of the pools"
# One of them runs the examples, which `--tests` leaves out.
for command in "build --examples" "test --tests"; do
    RUSTFLAGS="-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer" \
    ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1" \
    CARGO_TARGET_DIR="$out/asan" \
        cargo $command --package stratalloc-pool --target $target
done

echo "== ThreadSanitizer: threads over one allocator"
RUSTFLAGS="--cfg stratalloc_system -Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" \
TSAN_OPTIONS="halt_on_error=1 history_size=4 suppressions=$PWD/scripts/tsan-suppressions.txt" \
CARGO_TARGET_DIR="$out/tsan" \
    cargo test --package stratalloc-core --target $target -Zbuild-std --test threads --test sleeping -- --test-threads=1

echo "== ThreadSanitizer: threads over one pool"
RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" \
TSAN_OPTIONS="halt_on_error=1 history_size=4" \
CARGO_TARGET_DIR="$out/tsan" \
    cargo test --package stratalloc-pool --target $target -Zbuild-std \
    --test object --test lockfree --test tiered --test tiered_blocks -- --test-threads=1

//! After a phase of load, memory that is free goes back to the system: most by itself, the rest when
//! asked.
//!
//! ```console
//! $ cargo run --release --example trim_after_load
//! ```

use stratalloc::{Stratalloc, snapshot, trim};

#[global_allocator]
static GLOBAL: Stratalloc = Stratalloc;

/// Resident memory of this process, as the system sees it.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

fn show(moment: &str) {
    let figures = snapshot();
    println!(
        "{moment:<12} resident {:>7} KiB, allocated {:>7} KiB, free and resident {:>5} KiB",
        resident_kib(),
        figures.allocated / 1024,
        figures.dirty / 1024,
    );
}

fn main() {
    show("start");
    let mut load: Vec<Vec<u8>> = (0..100_000).map(|n| vec![1; 100 + n % 1500]).collect();
    show("load");
    // One block in a thousand stays: each keeps its span alive.
    let mut n = 0;
    load.retain(|_| {
        n += 1;
        n % 1000 == 0
    });
    show("after load");
    let some = trim(0);
    show("trimmed");
    println!("trim gave {} back; {} blocks stay", if some { "memory" } else { "nothing" }, load.len());
}

//! Options with types: the same as in the environment variable `STRATALLOC`, checked when compiled.
//!
//! ```console
//! $ cargo run --release --example options
//! ```

use stratalloc::{Misuse, Options, Stratalloc, configure};

#[global_allocator]
static GLOBAL: Stratalloc = Stratalloc;

/// A value out of range would be a compile error.
const OPTIONS: Options = Options::DEFAULT
    .with_dirty_min(1 << 20)
    .with_dirty_percent(5)
    .with_purge_delay(200)
    .with_misuse(Misuse::Warn)
    .with_limit(256 << 20);

fn main() {
    assert!(configure(OPTIONS), "another thread configures at this moment");
    println!("{OPTIONS}");

    // The limit holds: what is beyond it is refused, and the program goes on.
    let mut block: Vec<u8> = Vec::new();
    match block.try_reserve(512 << 20) {
        Ok(()) => println!("512 MiB: granted"),
        Err(_) => println!("512 MiB: refused"),
    }
    match block.try_reserve(64 << 20) {
        Ok(()) => println!("64 MiB: granted"),
        Err(_) => println!("64 MiB: refused"),
    }

    // A list as in the environment, with its problems.
    let mut options = Options::DEFAULT;
    options.parse(b"purge_delay=500,dirty_prcent=10", &mut |problem| print!("{}", problem.line().as_str()));
    println!("purge_delay is {}", options.purge_delay);
}

//! Stratalloc as the allocator of a program: one line. Then what it knows of itself.
//!
//! ```console
//! $ cargo run --release --example global
//! ```

#[global_allocator]
static GLOBAL: stratalloc::Stratalloc = stratalloc::Stratalloc;

fn main() {
    let words: Vec<String> = (0..100_000).map(|n| format!("word number {n}")).collect();

    let figures = stratalloc::snapshot();
    println!("{} words", words.len());
    println!("allocated {:>10} bytes in the program's hands", figures.allocated);
    println!("active    {:>10} bytes in spans in use", figures.active);
    println!("mapped    {:>10} bytes from the system", figures.mapped);

    // Where they are: the three classes that hold most.
    let mut classes = figures.classes;
    classes.sort_by_key(|class| std::cmp::Reverse(class.live * class.block_size as u64));
    for class in &classes[..3] {
        println!("  {:>7} blocks of {:>5} bytes in {} spans", class.live, class.block_size, class.spans);
    }
}

//! Any bytes as the text of `STRATALLOC`: nothing panics, values stay in range, each problem is about a
//! piece of the text, and what is printed reads back as the same options.
//!
//! `cargo +nightly fuzz run options`
#![no_main]

use libfuzzer_sys::fuzz_target;
use stratalloc_core::options::{Options, TABLE};

fuzz_target!(|text: &[u8]| {
    let mut options = Options::DEFAULT;
    let mut problems = 0;
    options.parse(text, &mut |problem| {
        problems += 1;
        let line = problem.line();
        assert!(line.as_bytes().ends_with(b"\n") && line.as_bytes().starts_with(b"stratalloc: "));
    });
    let items = text.split(|&byte| byte == b',').filter(|item| !item.trim_ascii().is_empty()).count();
    assert!(problems <= items, "{problems} problems in {items} items");
    assert!(options.dirty_percent <= 100 && options.purge_delay <= 3_600_000 && options.parked_heaps <= 4096);

    let mut printed = String::new();
    options.write_to(&mut printed).unwrap();
    assert_eq!(printed.split(',').count(), TABLE.len());
    let mut again = Options::DEFAULT;
    again.parse(printed.as_bytes(), &mut |problem| {
        // A path that is not UTF-8 is printed with replacement characters, which may be too long.
        assert_eq!(problem.key, b"report", "{printed}");
    });
    if std::str::from_utf8(options.report.as_bytes()).is_ok() {
        assert_eq!(again, options, "{printed}");
    }

    // One option by name: refused, or set as the list would have.
    if let Some(at) = text.iter().position(|&byte| byte == b'=') {
        let (key, value) = (&text[..at], &text[at + 1..]);
        let mut one = Options::DEFAULT;
        if one.set(key, value).is_err() {
            assert_eq!(one, Options::DEFAULT, "a refused value changes nothing");
        }
    }
});

//! Interrupts from the terminal: the first lets the current run end, the second ends it at once. Either way what
//! was measured is kept. Measured processes are in process groups of their own, so the terminal's signal does not
//! reach them.

use std::sync::atomic::{AtomicUsize, Ordering};

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Counts SIGINT, SIGTERM and SIGHUP from now on in place of dying of them. Later calls change nothing.
pub fn watch() {
    // An error only says that a handler is set already: this one.
    let _ = ctrlc::set_handler(|| {
        // Relaxed: the count alone says all, no other memory is read after it.
        COUNT.fetch_add(1, Ordering::Relaxed);
    });
}

/// How many there were.
pub fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}

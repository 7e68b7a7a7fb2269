//! Huge pages as programs get them from the system this runs on.
//!
//! What the system cannot give is said aloud, with the reason, and the rest is checked. Reserved pages are the
//! machine's: they are added for the length of one test, and a watcher process takes them away again, also
//! when the test is killed.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use stratalloc_tests::{Outcome, Run, c, on_library};

/// Reserved pages are the machine's: one test at a time.
static RESERVED: Mutex<()> = Mutex::new(());

fn pages(mode: &str) -> Run {
    on_library(c("huge/pages.c").build()).env("STRATALLOC", format!("show,huge_pages={mode}"))
}

/// Why transparent huge pages cannot be had here, if they cannot.
fn no_transparent() -> Option<String> {
    let file = "/sys/kernel/mm/transparent_hugepage/enabled";
    match fs::read_to_string(file) {
        Err(error) => Some(format!("{file}: {error}")),
        Ok(text) if text.contains("[never]") => Some(format!("{file}: {}", text.trim())),
        Ok(_) => None,
    }
}

/// Says loudly that a part of a test was left out.
fn skipped(what: &str, reason: &str) {
    eprintln!("SKIPPED: {what}: {reason}");
}

/// Reserved pages more than the machine has otherwise; taken back when this is dropped or this process ends.
struct Reserved {
    watcher: Child,
    _turn: MutexGuard<'static, ()>,
}

impl Reserved {
    fn add(kib: usize, pages: usize) -> Result<Reserved, String> {
        let turn = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
        let file = PathBuf::from(format!("/sys/kernel/mm/hugepages/hugepages-{kib}kB/nr_hugepages"));
        let shown = file.display();
        let old = fs::read_to_string(&file).map_err(|error| format!("{shown}: {error}"))?;
        let old: usize = old.trim().parse().map_err(|error| format!("{shown}: {error}"))?;
        // Written to what it is: shows whether it can be written at all.
        fs::write(&file, old.to_string()).map_err(|error| format!("{shown} cannot be written: {error}"))?;
        let script = format!("read line; echo {old} > {shown}");
        let watcher = Command::new("/bin/sh").args(["-c", &script]).stdin(Stdio::piped()).spawn();
        let watcher = watcher.map_err(|error| format!("/bin/sh: {error}"))?;
        let reserved = Reserved { watcher, _turn: turn };
        fs::write(&file, (old + pages).to_string()).map_err(|error| format!("{shown}: {error}"))?;
        let got = fs::read_to_string(&file).map_err(|error| format!("{shown}: {error}"))?;
        if got.trim() != (old + pages).to_string() {
            return Err(format!("the machine has no room for {pages} pages of {kib} KiB more: {}", got.trim()));
        }
        Ok(reserved)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.watcher.stdin.take() {
            // Closing the pipe does the same as the line.
            let _ = stdin.write_all(b"\n");
        }
        self.watcher.wait().expect("the watcher ends");
    }
}

fn assert_said(outcome: &Outcome, text: &str) {
    assert!(outcome.err().contains(text), "`{text}` is not said: {outcome}");
}

#[test]
fn madvise_gives_transparent_huge_pages_and_far_fewer_faults() {
    if let Some(reason) = no_transparent() {
        return skipped("transparent huge pages", &reason);
    }
    let never = pages("never").args(["fill", "100"]).passes();
    for mode in ["madvise", "always"] {
        let outcome = pages(mode).args(["fill", "100"]).passes();
        assert!(outcome.figure("fill_huge ") > 50 << 10, "{outcome}");
        assert!(outcome.figure("fill_faults ") * 4 < never.figure("fill_faults "), "{outcome}{never}");
        assert_said(&outcome, " transparent, 0 B reserved");
        assert!(!outcome.err().contains("than asked"), "{outcome}");
    }
}

#[test]
fn never_gives_none_whatever_the_system_does_by_itself() {
    let outcome = pages("never").args(["fill", "100"]).passes();
    assert_eq!(outcome.figure("fill_huge "), 0, "{outcome}");
}

#[test]
fn small_programs_stay_as_small_as_without() {
    let off = pages("off").args(["fill", "1"]).passes();
    for mode in ["madvise", "hugetlb", "hugetlb1g"] {
        let outcome = pages(mode).args(["fill", "1"]).passes();
        assert_eq!(outcome.figure("fill_huge "), 0, "{outcome}");
        assert!(outcome.figure("fill_rss ") < off.figure("fill_rss ") + 256, "{outcome}{off}");
    }
}

#[test]
fn what_is_freed_here_and_there_goes_back_as_without_huge_pages() {
    for size in [0, 16_000] {
        let [off, huge] = ["off", "madvise"].map(|mode| pages(mode).args(["bloat", "200"]).args([size]).passes());
        if no_transparent().is_none() {
            assert!(huge.figure("full_huge ") > 100 << 10, "{huge}");
        }
        // What is in use is the same; a seventh of it may stay for dense pages, and one page that is being filled.
        let in_use = off.figure("idle_rss ");
        let bound = in_use + in_use / 7 + (6 << 10);
        assert!(huge.figure("idle_rss ") <= bound, "{bound} KiB: {huge}{off}");
        assert!(huge.figure("empty_rss ") <= off.figure("empty_rss ") + (8 << 10), "{huge}{off}");
    }
}

#[test]
fn large_blocks_keep_their_contents_in_every_mode() {
    for mode in ["never", "madvise", "always", "hugetlb", "hugetlb1g"] {
        pages(mode).args(["large", "60"]).passes();
    }
}

#[test]
fn reserved_pages_that_are_not_there_are_replaced_and_the_reason_said() {
    // Before the look at the pool, which another test may have filled.
    let _turn = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = fs::read_to_string("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages").unwrap_or_default();
    if pool.trim() != "0" && !pool.is_empty() {
        return skipped("a machine without reserved pages", &format!("{} are free", pool.trim()));
    }
    let outcome = pages("hugetlb").args(["fill", "50"]).passes();
    assert_said(&outcome, "too few huge pages of 2 MiB are reserved");
    assert_eq!(outcome.figure("fill_hugetlb "), 0);
    if no_transparent().is_none() {
        assert!(outcome.figure("fill_huge ") > 20 << 10, "{outcome}");
    }
}

#[test]
fn reserved_pages_are_used_and_come_back() {
    let reserved = match Reserved::add(2048, 150) {
        Ok(reserved) => reserved,
        Err(reason) => return skipped("reserved pages of 2 MiB", &reason),
    };
    let outcome = pages("hugetlb").args(["fill", "100"]).passes();
    assert!(outcome.figure("fill_hugetlb ") > 90 << 10, "{outcome}");
    assert!(!outcome.err().contains("than asked"), "{outcome}");
    pages("hugetlb").args(["large", "60"]).passes();
    let outcome = pages("hugetlb").args(["bloat", "100", "40000"]).passes();
    assert!(outcome.figure("full_hugetlb ") > 90 << 10, "{outcome}");
    // What the last region has that was never touched may stay beside the dirty minimum.
    assert!(outcome.figure("empty_hugetlb ") * 3 < outcome.figure("full_hugetlb "), "{outcome}");
    drop(reserved);
}

#[test]
fn pages_of_1_gib_are_used_where_reserved() {
    let giant = match Reserved::add(1 << 20, 1) {
        Ok(reserved) => reserved,
        Err(reason) => return skipped("reserved pages of 1 GiB", &reason),
    };
    let outcome = pages("hugetlb1g").args(["fill", "400"]).passes();
    assert!(outcome.figure("fill_hugetlb ") >= 1 << 20, "{outcome}");
    drop(giant);
}

#[test]
fn a_fork_s_child_and_its_parent_write_reserved_pages_apart() {
    // The parent's, and copies of all of them for the child.
    let reserved = match Reserved::add(2048, 120) {
        Ok(reserved) => reserved,
        Err(reason) => return skipped("a fork with reserved pages", &reason),
    };
    let outcome = pages("hugetlb").args(["fork", "60"]).passes();
    assert!(outcome.figure("filled_hugetlb ") > 50 << 10, "{outcome}");
    assert_eq!(outcome.figure("child_signal "), 0, "{outcome}");
    drop(reserved);
}

#[test]
fn reserved_pages_that_run_out_in_a_fork_never_end_the_parent() {
    let reserved = match Reserved::add(2048, 40) {
        Ok(reserved) => reserved,
        Err(reason) => return skipped("a fork with few reserved pages", &reason),
    };
    // The pool has no copies for what the parent writes: the kernel takes the page from the child.
    let outcome = pages("hugetlb").args(["exhaust", "60"]).passes();
    assert!(outcome.figure("filled_hugetlb ") > 50 << 10, "{outcome}");
    drop(reserved);
}

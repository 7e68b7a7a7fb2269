//! Misuse: which of the probes in `tests/c/misuse/probes.c` are detected, by name of the pointer.

use Expected::{Detected, DetectedOrCrash, Harmless, NotDemanded};
use std::collections::BTreeSet;
use std::thread;
use stratalloc_tests::{Outcome, c, on_library};

/// What a probe must end in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// A message that names the pointer, then SIGABRT.
    Detected,
    /// That, or the kernel's SIGSEGV before anything is damaged.
    DetectedOrCrash,
    /// Detected, or nothing at all happens: the program's memory stays intact.
    Harmless,
    /// The C standard leaves it undefined and no cheap check sees it; counted, not demanded.
    NotDemanded,
}

/// Every probe; the program's own list must be the same.
#[rustfmt::skip]
const PROBES: &[(&str, Expected)] = &[
    // Pointers that malloc never gave out.
    ("free_stack", Detected),
    ("free_static", Detected),
    ("free_constant", Detected),
    ("free_code", Detected),
    ("free_mmapped", Detected),
    ("free_mmapped_middle", Detected),
    ("free_libc_owned", Detected),
    ("free_environment", Detected),
    ("free_small_number", Detected),
    ("free_odd_number", Detected),
    // Addresses beyond 2^48: the directory's read may fault before a message can be written.
    ("free_minus_16", DetectedOrCrash),
    ("free_non_canonical", DetectedOrCrash),
    ("realloc_stack", Detected),
    ("realloc_static", Detected),
    ("usable_static", Harmless),
    ("usable_mmapped", Harmless),
    // Pointers into blocks.
    ("free_interior_aligned", Detected),
    ("free_interior_misaligned", Detected),
    ("free_interior_8", Detected),
    ("free_interior_medium", Detected),
    ("free_interior_large", Detected),
    ("free_interior_large_16", Detected),
    ("free_behind_large", Detected),
    ("free_one_before", Detected),
    ("realloc_interior", Detected),
    ("usable_interior_large", Harmless),
    ("free_never_given_out", Detected),
    // Twice freed.
    ("double_free_small", Detected),
    ("double_free_tiny", Detected),
    ("double_free_medium", Detected),
    ("double_free_large", Detected),
    ("double_free_huge", Detected),
    ("double_free_with_neighbours", Detected),
    ("double_free_one_between", Detected),
    ("double_free_many_between", Detected),
    ("double_free_after_reuse_of_others", Detected),
    ("double_free_span_emptied", Detected),
    ("double_free_after_trim", Detected),
    ("double_free_other_thread", Detected),
    ("double_free_both_other_thread", Detected),
    ("double_free_same_other_thread", Detected),
    ("double_free_first_other_thread", Detected),
    ("double_free_large_other_thread", Detected),
    ("double_free_written_between", NotDemanded),
    ("double_free_aligned", Detected),
    ("realloc_freed_small", Detected),
    ("realloc_freed_large", Detected),
    ("free_old_after_realloc", Detected),
    ("free_old_after_large_realloc", DetectedOrCrash),
    ("usable_freed_large", DetectedOrCrash),
    // Written past either end.
    ("overflow_1", NotDemanded),
    ("overflow_8", NotDemanded),
    ("overflow_64", NotDemanded),
    ("overflow_medium_64", NotDemanded),
    ("overflow_large", NotDemanded),
    ("overflow_in_slack", Harmless),
    ("underflow_1", NotDemanded),
    ("underflow_8", NotDemanded),
    ("underflow_64", NotDemanded),
    ("underflow_large", NotDemanded),
    ("overflow_into_freed", NotDemanded),
    // Used after free.
    ("use_after_free_first_word", NotDemanded),
    ("use_after_free_second_word", NotDemanded),
    ("use_after_free_whole", NotDemanded),
    ("use_after_free_middle", Harmless),
    ("use_after_free_medium", NotDemanded),
    ("use_after_free_large", NotDemanded),
    ("read_after_free", NotDemanded),
    // Freed with the wrong size.
    ("free_sized_too_small", Harmless),
    ("free_sized_too_large", Harmless),
    ("free_sized_large_as_small", Harmless),
    ("free_sized_small_as_large", Harmless),
];

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Detected,
    Aborted,
    Crashed,
    Damaged,
    Unnoticed,
}

fn ended(outcome: &Outcome) -> Ended {
    match (outcome.signal(), outcome.status.code()) {
        (libc::SIGABRT, _) => {
            let pointer = outcome.out().lines().find_map(|line| line.strip_prefix("PTR ").map(str::to_owned));
            let named = pointer.is_some_and(|pointer| outcome.err().contains(pointer.as_str()));
            if named { Ended::Detected } else { Ended::Aborted }
        }
        (libc::SIGSEGV | libc::SIGBUS, _) => Ended::Crashed,
        // 4: the probe found nothing to misuse; 5: freed memory reads as something else.
        (0, Some(0 | 4 | 5)) => Ended::Unnoticed,
        _ => Ended::Damaged,
    }
}

fn keeps(expected: Expected, ended: Ended) -> bool {
    match expected {
        Detected => ended == Ended::Detected,
        DetectedOrCrash => matches!(ended, Ended::Detected | Ended::Crashed),
        Harmless => matches!(ended, Ended::Detected | Ended::Unnoticed),
        NotDemanded => true,
    }
}

#[test]
fn the_table_names_every_probe() {
    let listed = on_library(c("misuse/probes.c").build()).arg("list").passes().out();
    let listed: BTreeSet<&str> = listed.lines().collect();
    let here: BTreeSet<&str> = PROBES.iter().map(|(name, _)| *name).collect();
    assert_eq!(listed, here);
}

#[test]
fn misuse_is_detected_where_the_table_says() {
    let program = c("misuse/probes.c").build();
    let (mut detected, mut report, mut broken) = (0, String::new(), Vec::new());
    thread::scope(|scope| {
        let halves: Vec<_> = PROBES
            .chunks(PROBES.len().div_ceil(4))
            .map(|part| {
                let program = &program;
                scope.spawn(move || {
                    part.iter().map(|(name, _)| on_library(program).arg(name).outcome()).collect::<Vec<_>>()
                })
            })
            .collect();
        let outcomes = halves.into_iter().flat_map(|half| half.join().expect("a probing thread"));
        for ((name, expected), outcome) in PROBES.iter().zip(outcomes) {
            let ended = ended(&outcome);
            detected += usize::from(ended == Ended::Detected);
            let first = outcome.err().lines().next().unwrap_or_default().to_owned();
            report += &format!("{name:36} {ended:?} (expected {expected:?}) {first}\n");
            if !keeps(*expected, ended) || outcome.timed_out {
                broken.push(*name);
            }
        }
    });
    println!("{report}detected {detected} of {}", PROBES.len());
    assert!(broken.is_empty(), "not as the table says: {}\n{report}", broken.join(", "));
}

#[test]
fn the_option_warn_goes_on_after_the_message_and_ignore_is_silent() {
    let probe = |option: &str| {
        on_library(c("misuse/probes.c").build()).env("STRATALLOC", option).arg("free_static").outcome()
    };
    let warned = probe("misuse=warn");
    assert!(warned.status.success() && warned.err().contains("not a pointer"), "{warned}");
    let ignored = probe("misuse=ignore");
    assert!(ignored.status.success() && ignored.err().is_empty(), "{ignored}");
}

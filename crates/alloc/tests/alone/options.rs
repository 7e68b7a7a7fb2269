//! Options, typed and from the environment; what is written at exit; what misuse is told.

use crate::run::Case;
use std::alloc::{GlobalAlloc, Layout};
use std::fs;
use std::thread;
use stratalloc::{Options, Stratalloc, configure, snapshot, usable_size};

pub const CASES: &[Case] = &[
    Case::new("problems_in_the_environment_are_reported_once_and_the_rest_holds", reported)
        .options("dirty_mni=4M,dirty_percent=500,count=1,parked_heaps=many")
        .judge(|ended| {
            ended.said(&[
                "stratalloc: option 'dirty_mni' is unknown; did you mean 'dirty_min'?",
                "stratalloc: option 'dirty_percent=500' is out of range (0..=100); the default 12 stands",
                "stratalloc: option 'parked_heaps=many' is not valid (0..=4096); the default 16 stands",
            ]);
        }),
    Case::new("show_prints_the_options_at_start_and_the_statistics_at_exit", allocates)
        .options("show,limit=1G")
        .judge(|ended| {
            assert!(ended.status.success());
            let lines: Vec<&str> = ended.stderr.lines().collect();
            assert_eq!(lines[0], "stratalloc: options");
            assert!(lines[1].starts_with("show=1,report=,") && lines[1].contains(",limit=1G,"), "{}", lines[1]);
            assert_eq!(lines[2], "stratalloc: limits");
            assert_eq!(lines.iter().filter(|line| **line == "stratalloc: statistics").count(), 1);
            assert!(lines.iter().any(|line| line.starts_with("  allocated ")), "{}", ended.stderr);
        }),
    Case::new("a_report_is_written_at_exit", allocates).options("report=%f/report.%p,count=1").judge(|ended| {
        ended.well();
        let report = fs::read_to_string(ended.folder.join(format!("report.{}", ended.id))).expect("a report");
        assert!(report.starts_with("stratalloc-report 1\n") && report.ends_with("\nend\n"), "{report}");
        let figure = |key: &str| -> u64 {
            let line = report.lines().find(|line| line.split(' ').next() == Some(key)).expect("that figure");
            line.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number")
        };
        assert!(figure("allocated") <= figure("active") && figure("active") <= figure("mapped"));
        assert!(figure("rss_peak") > 1 << 20 && figure("minor_faults") > 0);
        // The class of what `allocates` allocated: 1000 blocks of 700 bytes.
        let class = report.lines().find(|line| line.starts_with("class 704 ")).expect("that class");
        let allocs: u64 = class.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a number");
        assert!(allocs >= 1000, "{class}");
    }),
    Case::new("a_report_that_cannot_be_written_is_said_and_changes_nothing_else", allocates)
        .options("report=/nonexistent/report")
        .judge(|ended| {
            ended.said(&["stratalloc: the report could not be written: /nonexistent/report"]);
        }),
    Case::new("configure_beats_the_environment", configured).options("limit=1G"),
    Case::new("a_limit_makes_null_and_what_is_freed_serves_again", limited),
    Case::new("count_counts_every_allocation", counted),
    Case::new("without_parked_heaps_threads_leave_orphans", no_parked).options("parked_heaps=0"),
    Case::new("a_foreign_pointer_aborts", foreign)
        .judge(|ended| ended.aborted("): not a pointer of this allocator (stack, static or another")),
    Case::new("an_interior_pointer_of_another_thread_aborts", interior)
        .judge(|ended| ended.aborted("interior pointer, 32 bytes into the block of 128 bytes at 0x")),
    Case::new("an_interior_pointer_of_a_large_block_aborts", interior_large)
        .judge(|ended| ended.aborted("interior pointer, 70000 bytes into the block of ")),
    Case::new("a_large_block_freed_twice_aborts", twice_large).judge(|ended| ended.aborted("already freed")),
    Case::new("a_resize_of_a_foreign_pointer_aborts", foreign_realloc)
        .judge(|ended| ended.aborted("stratalloc: realloc(0x")),
    Case::new("misuse_warn_says_it_and_goes_on", warned).options("misuse=warn").judge(|ended| {
        assert!(ended.status.success(), "{}", ended.status);
        assert_eq!(ended.stderr.lines().count(), 3, "{}", ended.stderr);
        assert!(ended.stderr.lines().all(|line| line.starts_with("stratalloc: ")));
    }),
    Case::new("misuse_ignore_goes_on", warned).options("misuse=ignore"),
];

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a valid layout")
}

fn allocates() {
    let blocks: Vec<Vec<u8>> = (0..1000).map(|n| vec![n as u8; 700]).collect();
    assert!(blocks.iter().enumerate().all(|(n, block)| block.iter().all(|&byte| byte == n as u8)));
}

fn reported() {
    thread::spawn(allocates).join().expect("no panic");
    // What could be understood is in force.
    assert!(snapshot().classes.iter().any(|class| class.allocs >= 1000));
}

fn configured() {
    assert!(configure(Options::DEFAULT.with_limit(64 << 20)));
    let mut block: Vec<u8> = Vec::new();
    assert!(block.try_reserve_exact(256 << 20).is_err(), "the limit of the environment is in force");
    assert!(configure(Options::DEFAULT));
    assert!(block.try_reserve_exact(256 << 20).is_ok());
}

fn limited() {
    assert!(configure(Options::DEFAULT.with_limit(32 << 20)));
    for _ in 0..3 {
        let mut blocks: Vec<*mut u8> = Vec::with_capacity(1000);
        loop {
            // SAFETY: not an empty layout.
            let block = unsafe { Stratalloc.alloc(layout(100_000)) };
            if block.is_null() {
                break;
            }
            blocks.push(block);
            assert!(blocks.len() < 400, "more than the limit");
        }
        assert!(blocks.len() > 100, "{} blocks", blocks.len());
        assert!(snapshot().mapped <= 32 << 20);
        for block in blocks {
            // SAFETY: freed once with its layout.
            unsafe { Stratalloc.dealloc(block, layout(100_000)) };
        }
    }
}

fn counted() {
    assert!(configure(Options::DEFAULT.with_count(true)));
    let wanted = layout(23_000);
    // SAFETY: freed with its layout.
    let once = move || unsafe {
        let block = Stratalloc.alloc(wanted);
        let size = usable_size(block);
        Stratalloc.dealloc(block, wanted);
        size
    };
    let size = once();
    (0..499).for_each(|_| {
        once();
    });
    thread::spawn(move || (0..500).for_each(|_| assert_eq!(once(), size))).join().expect("no panic");
    let now = snapshot();
    let class = now.classes.iter().find(|class| class.block_size == size).expect("a class");
    assert_eq!(class.allocs, 1000);
    // Of the other thread's heap, what its current span has ready counts as in use.
    assert!(class.live <= class.capacity / class.spans, "{class:?}");
}

fn no_parked() {
    let held: Vec<Vec<Vec<u8>>> = (0..20)
        .map(|_| thread::spawn(|| (0..200).map(|n| vec![1; n * 10]).collect()).join().expect("no panic"))
        .collect();
    let now = snapshot();
    assert_eq!(now.parked, 0);
    assert!(now.orphans > 0);
    // Who needs their classes takes them, and who frees their blocks, too.
    drop(held);
    let blocks: Vec<Vec<u8>> = (0..20_000).map(|n| vec![1; n % 2000]).collect();
    assert!(blocks.iter().all(|block| block.iter().all(|&byte| byte == 1)));
    assert!(snapshot().orphans < now.orphans);
}

fn foreign() {
    let mut own = [0u64; 8];
    // SAFETY: misuse on purpose: the allocator only looks at the address.
    unsafe { Stratalloc.dealloc(own.as_mut_ptr().cast(), layout(64)) };
}

fn interior() {
    // The owner's own frees are not checked: another thread's.
    let block = Box::new([0u8; 104]);
    thread::spawn(move || {
        let block = Box::into_raw(block).cast::<u8>();
        // SAFETY: misuse on purpose, as above.
        unsafe { Stratalloc.dealloc(block.add(32), layout(104)) };
    })
    .join()
    .expect("not reached");
}

fn interior_large() {
    // SAFETY: misuse on purpose, as above.
    unsafe {
        let block = Stratalloc.alloc(layout(1 << 20));
        Stratalloc.dealloc(block.add(70_000), layout(1 << 20));
    }
}

fn twice_large() {
    // SAFETY: misuse on purpose, as above.
    unsafe {
        let block = Stratalloc.alloc(layout(1 << 20));
        Stratalloc.dealloc(block, layout(1 << 20));
        Stratalloc.dealloc(block, layout(1 << 20));
    }
}

fn foreign_realloc() {
    let mut own = [0u64; 8];
    // SAFETY: misuse on purpose, as above.
    unsafe { Stratalloc.realloc(own.as_mut_ptr().cast(), layout(64), 1000) };
}

fn warned() {
    let mut own = [0u64; 8];
    // SAFETY: misuse on purpose, as above.
    unsafe {
        Stratalloc.dealloc(own.as_mut_ptr().cast(), layout(64));
        assert_eq!(usable_size(own.as_ptr().cast()), 0);
        let block = Stratalloc.alloc(layout(1 << 20));
        Stratalloc.dealloc(block.add(4096), layout(1 << 20));
        // The block is as it was.
        block.write_bytes(1, 1 << 20);
        Stratalloc.dealloc(block, layout(1 << 20));
    }
    allocates();
}

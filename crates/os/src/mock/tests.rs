//! The mock does what it says.

use super::*;
use std::format;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::vec;

fn map(mock: &Mock, pages: usize) -> NonNull<u8> {
    mock.map(pages * mock.page_size(), mock.page_size()).unwrap()
}

fn bytes<'a>(start: NonNull<u8>, len: usize) -> &'a mut [u8] {
    // SAFETY: the tests pass what they mapped and hold one slice of it at a time.
    unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), len) }
}

fn message(body: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(body)).expect_err("should panic");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => other.downcast::<&str>().map(|text| String::from(*text)).unwrap_or_default(),
    }
}

#[test]
fn page_sizes_and_alignments_are_honoured() {
    for page in [4 << 10, 16 << 10, 64 << 10] {
        let mock = Mock::new(page);
        assert_eq!(mock.page_size(), page);
        for align in [page, 4 * page, 1 << 24] {
            let start = mock.map(3 * page, align).unwrap();
            assert_eq!(start.as_ptr() as usize % align, 0);
            assert!(bytes(start, 3 * page).iter().all(|&b| b == 0));
        }
        assert_eq!(mock.mapped(), 9 * page);
    }
    assert!(message(|| drop(Mock::new(8 << 20))).contains("page size"));
}

#[test]
fn chosen_calls_fail() {
    let mock = Mock::new(4096);
    mock.fail_nth(Call::Map, 2);
    let got = [(); 4].map(|()| mock.map(4096, 4096).is_some());
    assert_eq!(got, [true, false, true, true]);
    mock.fail_after(Call::Map, 1);
    let got = [(); 4].map(|()| mock.map(4096, 4096).is_some());
    assert_eq!(got, [true, false, false, false]);
    assert_eq!(mock.count(Call::Map), 8);
    mock.heal();
    assert!(mock.map(4096, 4096).is_some());

    let start = map(&mock, 1);
    mock.fail_after(Call::Unmap, 0);
    mock.fail_after(Call::Purge, 0);
    mock.fail_after(Call::Remap, 0);
    mock.fail_after(Call::Spawn, 0);
    let other = map(&mock, 1);
    // SAFETY: mapped above; nothing is used again.
    unsafe {
        assert!(!mock.purge(start, 4096));
        assert_eq!(bytes(start, 4096)[0], 0xA5);
        assert_eq!(mock.remap(start, other, 4096), Moved::Refused);
        assert!(!mock.unmap(start, 4096));
    }
    bytes(start, 4096)[0] = 1;
    assert_eq!(mock.system_calls(), 9 + 2 + 3);
}

#[test]
fn the_limit_counts_mapped_bytes() {
    let mock = Mock::new(4096);
    mock.limit(8192);
    let first = map(&mock, 1);
    let _second = map(&mock, 1);
    assert!(mock.map(4096, 4096).is_none());
    // SAFETY: mapped above, not used again.
    assert!(unsafe { mock.unmap(first, 4096) });
    map(&mock, 1);
    assert_eq!((mock.mapped(), mock.peak()), (8192, 8192));
}

#[test]
fn purging_zeroes_and_is_recorded() {
    let mock = Mock::new(16 << 10);
    let page = 16 << 10;
    let start = map(&mock, 4);
    bytes(start, 4 * page).fill(9);
    // SAFETY: inside the mapping.
    assert!(unsafe { mock.purge(start.add(page), 2 * page) });
    assert!(bytes(start, 4 * page)[page..3 * page].iter().all(|&b| b == 0));
    assert_eq!((bytes(start, 4 * page)[0], bytes(start, 4 * page)[3 * page]), (9, 9));
    assert_eq!(mock.take_purged(), [(start.as_ptr() as usize + page, 2 * page)]);
    assert_eq!(mock.take_purged(), []);
}

#[test]
fn remapping_moves_and_the_source_does_as_told() {
    for outcome in [Moved::SourceZero, Moved::SourceGone, Moved::Refused] {
        let mock = Mock::new(4096);
        mock.remap_as(outcome);
        let (from, to) = (map(&mock, 4), map(&mock, 4));
        bytes(from, 16384).fill(5);
        // SAFETY: mapped above, disjoint.
        assert_eq!(unsafe { mock.remap(from, to, 16384) }, outcome);
        let moved = outcome != Moved::Refused;
        let (source, target) = (from.as_ptr() as usize, to.as_ptr() as usize);
        assert_eq!(mock.take_moved(), if moved { vec![(source, target, 16384)] } else { vec![] });
        assert!(bytes(to, 16384).iter().all(|&b| (b == 5) == moved));
        match outcome {
            Moved::SourceZero => assert!(bytes(from, 16384).iter().all(|&b| b == 0)),
            Moved::SourceGone => assert_eq!(mock.mapped(), 16384),
            Moved::Refused => assert!(bytes(from, 16384).iter().all(|&b| b == 5)),
        }
    }
}

#[test]
fn parts_can_be_unmapped_and_wrong_ranges_panic() {
    let mock = Mock::new(4096);
    let start = map(&mock, 8);
    let at = start.as_ptr() as usize;
    // SAFETY: inside the mapping, not used again; the others are refused by panics.
    unsafe {
        assert!(mock.unmap(start.add(4096), 4096));
        assert_eq!(mock.mapped_ranges(), [(at, 4096), (at + 8192, 6 * 4096)]);
        assert!(message(|| _ = mock.unmap(start.add(4096), 4096)).contains("not mapped"));
        assert!(message(|| _ = mock.purge(start, 8192)).contains("not mapped"));
        assert!(message(|| _ = mock.purge(start, 100)).contains("not whole pages"));
        bytes(start.add(8192), 6 * 4096).fill(1);
        assert!(message(|| mock.assert_all_unmapped()).contains("still mapped"));
        assert!(mock.unmap(start, 4096));
        assert!(mock.unmap(start.add(8192), 6 * 4096));
    }
    mock.assert_all_unmapped();
}

#[test]
fn adjacent_ranges_are_joined() {
    let mut ranges = Ranges::default();
    ranges.insert(100, 10);
    ranges.insert(120, 10);
    ranges.insert(110, 10);
    assert_eq!(ranges.iter().collect::<Vec<_>>(), [(100, 30)]);
    assert!(ranges.covers(105, 25) && !ranges.covers(105, 26) && !ranges.covers(99, 2));
    ranges.remove(110, 5);
    assert_eq!(ranges.iter().collect::<Vec<_>>(), [(100, 10), (115, 15)]);
    assert!(ranges.touches(114, 2) && !ranges.touches(110, 5));
    assert_eq!(ranges.bytes(), 25);
}

#[test]
fn aborting_panics_with_what_was_written() {
    let mock = Mock::new(4096);
    mock.write_err(b"stratalloc: ");
    mock.write_err(b"double free");
    assert_eq!(message(|| mock.abort()), "stratalloc: double free");
    mock.write_err(b"more");
    assert_eq!(mock.take_err(), "more");
}

#[test]
fn time_threads_and_nodes_are_the_tests_to_set() {
    let mock = Mock::new(4096);
    assert_eq!(mock.now_ms(), 1000);
    mock.advance(5);
    assert_eq!(mock.now_ms(), 1005);
    mock.set_time(7);
    assert_eq!(mock.now_ms(), 7);
    assert_eq!([(); 2].map(|()| mock.now_ns()), [7_000_000; 2]);
    mock.touch_takes(300);
    let before = mock.now_ns();
    assert_eq!(mock.now_ns() - before, 300);
    assert_eq!(mock.now_ms(), 7);
    assert!(!mock.is_threaded());
    mock.set_threaded(true);
    assert!(mock.is_threaded());

    let here = mock.thread();
    assert_ne!(here, 0);
    Mock::as_thread(12, || {
        assert_eq!(mock.thread(), 12);
        Mock::as_thread(4, || assert_eq!(mock.thread(), 4));
        assert_eq!(mock.thread(), 12);
    });
    assert_eq!(mock.thread(), here);
    let other = mock.clone();
    assert_ne!(std::thread::spawn(move || other.thread()).join().unwrap(), here);

    mock.set_nodes(4);
    Mock::enter_node(2);
    assert_eq!((mock.node(), mock.nodes()), (2, 4));
    Mock::enter_node(0);
    mock.wait(&AtomicU32::new(0), 0);
    mock.wake(&AtomicU32::new(0));
    mock.yield_now();
    assert_eq!(mock.system_calls(), 3);
}

#[test]
fn the_purge_thread_runs_by_hand() {
    unsafe extern "C" fn tick(left: *mut u8) -> u32 {
        // SAFETY: the test's byte.
        unsafe {
            *left -= 1;
            u32::from(*left)
        }
    }
    let mock = Mock::new(4096);
    assert_eq!(mock.run_purger(), None);
    let mut left = 2u8;
    // SAFETY: the byte outlives the runs below.
    assert!(unsafe { mock.spawn_purger(tick, &raw mut left) });
    assert!(mock.has_purger());
    assert_eq!(mock.run_purger(), Some(1));
    assert_eq!(mock.run_purger(), Some(0));
    assert!(!mock.has_purger());
    assert!(format!("{mock:?}").contains("Mock"));
}

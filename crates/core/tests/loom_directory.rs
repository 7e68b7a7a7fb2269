//! Model of the region directory: two nodes install a window at once, publish spans in it, and readers
//! without a lock look them up by addresses that they got through a message.
//!
//! A window's table is made by the thread that installs it (loom checks that nobody touches it before
//! that can be seen), and what a span's maker writes in its descriptor is a cell. Not modelled: the
//! lookup of an address that nobody handed over (a bad free). It may see the window before its maker's
//! writes, and that a fresh mapping is zero for everybody is not something loom knows.
//!
//! Seen to fail with: `Relaxed` for the `Release` in `install` or the `Acquire` in `window` (the loser
//! of the race writes to a table it has not seen made), `Relaxed` for the message, an entry that is set
//! after the message, a loser that goes on with its own table.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use stratalloc_core::class::SLICE;
use stratalloc_core::directory::{Directory, WINDOW_SHIFT, Window};
use stratalloc_core::span::Span;

struct World {
    directory: Directory,
    spans: [std::cell::UnsafeCell<Span>; 2],
    /// What the maker of each span wrote in its descriptor.
    contents: [UnsafeCell<usize>; 2],
    /// Address of a block of each span, once the program has it.
    messages: [AtomicUsize; 2],
}

// SAFETY: descriptors are written before they are published; `contents` shows it.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

/// The second window, second and third slice.
fn address(index: usize) -> usize {
    (1 << WINDOW_SHIFT) + (index + 1) * SLICE
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(World {
            directory: Directory::new(),
            spans: std::array::from_fn(|_| std::cell::UnsafeCell::new(Span::foreign())),
            contents: std::array::from_fn(|_| UnsafeCell::new(0)),
            messages: std::array::from_fn(|_| AtomicUsize::new(0)),
        })
    }

    /// What `Allocator::add_windows` and `alloc_span` do; returns the table that must live on.
    fn publish(&self, index: usize) -> Option<Box<Window>> {
        let at = address(index);
        let mut installed = None;
        if self.directory.window(at).is_null() {
            let mut table = Box::new(Window::new());
            // SAFETY: the test keeps what was installed until everybody has ended.
            if unsafe { self.directory.install(at, &raw mut *table) } {
                installed = Some(table);
            }
        }
        // SAFETY: loom checks that nobody else is at it.
        self.contents[index].with_mut(|contents| unsafe { *contents = index + 1 });
        // SAFETY: the window is installed; each slice has one writer.
        unsafe { self.directory.set(at, self.spans[index].get()) };
        // The program hands its new block to another thread.
        self.messages[index].store(at + 64, Ordering::Release);
        installed
    }

    /// A free of a block that came from elsewhere.
    fn look_up(&self, index: usize) {
        let block = self.messages[index].load(Ordering::Acquire);
        if block == 0 {
            return;
        }
        // SAFETY: below the end.
        let span = unsafe { self.directory.lookup(block) };
        assert_eq!(span, self.spans[index].get(), "block {block:#x}");
        assert_eq!(self.directory.find(block), span);
        // SAFETY: loom checks it.
        self.contents[index].with(|contents| assert_eq!(unsafe { *contents }, index + 1));
    }

    fn finish(&self) {
        (0..2).for_each(|index| {
            assert_ne!(self.messages[index].load(Ordering::Acquire), 0);
            self.look_up(index);
        });
        for foreign in [0, 64, address(2), address(0) - SLICE] {
            assert!(self.directory.is_foreign(self.directory.find(foreign)));
        }
    }
}

fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(body);
}

#[test]
fn two_who_install_a_window_agree_and_what_they_publish_is_found() {
    model(|| {
        let world = World::new();
        let other = world.clone();
        let second = thread::spawn(move || {
            let table = other.publish(1);
            other.look_up(0);
            table
        });
        let first = world.publish(0);
        world.look_up(1);
        let second = second.join().unwrap();
        assert!(first.is_some() != second.is_some(), "one table is installed");
        world.finish();
    });
}

#[test]
fn a_thread_with_no_part_in_it_finds_a_block_that_it_was_given() {
    model(|| {
        let world = World::new();
        let other = world.clone();
        let publisher = thread::spawn(move || other.publish(0));
        world.look_up(0);
        world.look_up(0);
        let table = publisher.join().unwrap();
        world.look_up(0);
        drop((world, table));
    });
}

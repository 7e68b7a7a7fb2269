//! [`Trace`]: which handles an object holds; and the marks of a collection.
//!
//! Owns the list of objects that were reached and not yet looked into. It is threaded through one word
//! for each place an object can be, so a collection needs no stack and no memory on the way. Used by
//! [`HandlePool`](crate::HandlePool) and [`CompactHeap`](crate::CompactHeap).

use super::id::{Handle, Key};
use crate::source::Source;
use crate::table::{NONE, Table};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// An object that can say which handles it holds, so that what nobody reaches can be collected.
///
/// Safe to get wrong: an object whose handle was not visited may be collected while the handle is still
/// held, and the handle is stale from then on. Handles of other pools are ignored; a cycle
/// through two pools is not collected by either.
///
/// `trace` must not have side effects on the objects: it is called once for each object reached, in no
/// particular order.
///
/// ```
/// use stratalloc_pool::{Handle, HandlePool, Trace, Tracer};
///
/// #[derive(Debug)]
/// struct Node {
///     next: Option<Handle<Node>>,
/// }
///
/// impl Trace for Node {
///     fn trace(&self, tracer: &mut Tracer<'_>) {
///         self.next.trace(tracer);
///     }
/// }
///
/// let mut pool = HandlePool::new();
/// let root = pool.insert(Node { next: None }).unwrap();
/// // Two nodes that hold each other, and nobody else does.
/// let one = pool.insert(Node { next: None }).unwrap();
/// let two = pool.insert(Node { next: Some(one) }).unwrap();
/// pool[one].next = Some(two);
/// assert_eq!(pool.collect([root])?, 2);
/// assert!(pool.contains(root) && !pool.contains(one) && !pool.contains(two));
/// # Ok::<(), stratalloc_pool::AcquireError>(())
/// ```
pub trait Trace {
    /// Visits each handle that the object holds, directly or in parts of it.
    fn trace(&self, tracer: &mut Tracer<'_>);
}

/// Takes note of the handles that objects hold, during a collection.
pub struct Tracer<'a> {
    marks: &'a mut Marks,
    resolve: &'a dyn Fn(Key) -> Option<u32>,
}

impl<'a> Tracer<'a> {
    /// `resolve` gives the place of a handle's object, if it is there.
    pub(crate) fn new(marks: &'a mut Marks, resolve: &'a dyn Fn(Key) -> Option<u32>) -> Self {
        Self { marks, resolve }
    }

    /// The handle's object is reached. Handles that are stale or another pool's are ignored. `O(1)`.
    pub fn visit<T: ?Sized>(&mut self, handle: Handle<T>) {
        if let Some(place) = (self.resolve)(handle.key()) {
            self.marks.push(place);
        }
    }
}

impl fmt::Debug for Tracer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").finish_non_exhaustive()
    }
}

/// The last in the list.
const END: u32 = NONE - 1;

/// A word for each place: `NONE` if its object was not reached; else the next in the list, or `END`.
pub(crate) struct Marks {
    words: Table<u32>,
    first: u32,
}

impl Marks {
    pub(crate) const fn new() -> Self {
        Self { words: Table::new(), first: END }
    }

    /// Bytes of the table.
    pub(crate) fn bytes(&self) -> usize {
        self.words.bytes()
    }

    /// Makes room for `places`. `None`: no memory, and nothing changed.
    ///
    /// # Safety
    /// `source` is the one the table's memory came from.
    pub(crate) unsafe fn reserve<S: Source>(&mut self, source: &S, places: usize) -> Option<()> {
        // SAFETY: the caller's source.
        unsafe { self.words.reserve(source, places) }
    }

    /// Nothing is reached and nothing listed.
    pub(crate) fn begin(&mut self) {
        self.words.fill_up(NONE);
        self.first = END;
    }

    fn push(&mut self, place: u32) {
        let word = &mut self.words[place as usize];
        if *word == NONE {
            *word = self.first;
            self.first = place;
        }
    }

    /// An object that was reached and is to be looked into. It counts as reached from then on too.
    pub(crate) fn pop(&mut self) -> Option<u32> {
        let place = self.first;
        if place == END {
            return None;
        }
        self.first = core::mem::replace(&mut self.words[place as usize], END);
        Some(place)
    }

    /// True when the object at `place` was reached.
    pub(crate) fn is_reached(&self, place: u32) -> bool {
        self.words[place as usize] != NONE
    }

    /// Gives the memory back.
    ///
    /// # Safety
    /// As for [`reserve`](Marks::reserve).
    pub(crate) unsafe fn release<S: Source>(&mut self, source: &S) {
        // SAFETY: the caller's source.
        unsafe { self.words.release(source) };
    }
}

impl<T: ?Sized> Trace for Handle<T> {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        tracer.visit(*self);
    }
}

impl<T: Trace> Trace for Option<T> {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        if let Some(value) = self {
            value.trace(tracer);
        }
    }
}

impl<T: Trace> Trace for [T] {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        for value in self {
            value.trace(tracer);
        }
    }
}

impl<T: Trace, const N: usize> Trace for [T; N] {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        self.as_slice().trace(tracer);
    }
}

impl<T: Trace> Trace for Vec<T> {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        self.as_slice().trace(tracer);
    }
}

impl<T: Trace + ?Sized> Trace for Box<T> {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        (**self).trace(tracer);
    }
}

impl<T: Trace, U: Trace> Trace for (T, U) {
    fn trace(&self, tracer: &mut Tracer<'_>) {
        self.0.trace(tracer);
        self.1.trace(tracer);
    }
}

/// Types that hold no handles.
macro_rules! without_handles {
    ($($type:ty)*) => { $(
        impl Trace for $type {
            fn trace(&self, _: &mut Tracer<'_>) {}
        }
    )* };
}

without_handles!(() bool char u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 String &str);

//! [`Chunks`]: the objects of a [`HandlePool`](crate::HandlePool), at numbered positions.
//!
//! Owns the memory and which positions are live. Chunks have one power of two of positions each, so
//! that a position's place is a shift and a mask away. One row of words for all chunks says who each
//! position belongs to: whoever has a position finds its word by one load, and a walk reads them in a row.
//!
//! ```text
//! chunks  | object 0 | … | object n-1 |   | object n | … | object 2n-1 |   …
//! owners  | word 0 | … | word n-1 | word n | … | word 2n-1 | …
//! ```
//!
//! Invariants: there are as many words as positions that were used since the last compaction; these
//! are live, or in the vacant list, or kept by the pool for a slot; `live` counts the live ones, whose objects are
//! initialised. Positions that were never used are taken only when none is vacant, so there are as many words as
//! objects were live at once.

use crate::addr::addr;
use crate::options::chunk_align;
use crate::source::Source;
use crate::table::{NONE, Table};
use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr::NonNull;

/// Who an object belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A slot of the pool.
    Slot(u32),
    /// An adopted handle.
    Adopted(u32),
    /// Nobody: there is no object. A number for who keeps the vacant positions: the next of a list.
    Vacant(u32),
}

/// The largest number in an owner word.
pub(crate) const NUMBER: u32 = (1 << 30) - 1;
/// Of an owner word: it is an adopted handle's number.
const ADOPTED: u32 = 1 << 30;
/// Of an owner word: there is no object.
const VACANT: u32 = 1 << 31;

impl Owner {
    #[inline(always)]
    fn word(self) -> u32 {
        match self {
            Self::Slot(number) => number,
            Self::Adopted(number) => number | ADOPTED,
            Self::Vacant(number) => number | VACANT,
        }
    }

    #[inline(always)]
    fn of(word: u32) -> Self {
        let number = word & NUMBER;
        match word & (VACANT | ADOPTED) {
            0 => Self::Slot(number),
            ADOPTED => Self::Adopted(number),
            _ => Self::Vacant(number),
        }
    }
}

/// Bytes of a chunk, about.
const CHUNK: usize = 16 << 10;
/// The most positions of a chunk, unless told.
const MOST_STEP: usize = 4096;

/// How many positions of `size` bytes a chunk has, unless told: a power of two.
pub(crate) const fn usual_step(size: usize) -> usize {
    let step = match CHUNK.checked_div(size) {
        Some(0) => 1,
        Some(step) if step < MOST_STEP => step,
        _ => MOST_STEP,
    };
    1 << step.ilog2()
}

/// Objects at positions.
pub(crate) struct Chunks<T> {
    chunks: Table<NonNull<u8>>,
    owners: Table<u32>,
    /// Indices of the chunks by ascending address.
    order: Table<u32>,
    /// `log2` of the positions of a chunk.
    shift: u32,
    /// The layout of a position.
    block: Layout,
    /// The first position of the vacant list; [`NUMBER`]: none.
    vacant: u32,
    /// How many there are in the list.
    vacant_count: u32,
    live: u32,
    marker: PhantomData<T>,
}

impl<T> Chunks<T> {
    /// No chunks yet; each will have `1 << shift` positions of `block`.
    pub(crate) const fn new(block: Layout, shift: u32) -> Self {
        let (chunks, owners, order) = (Table::new(), Table::new(), Table::new());
        Self { chunks, owners, order, shift, block, vacant: NUMBER, vacant_count: 0, live: 0, marker: PhantomData }
    }

    /// How many objects there are.
    #[inline]
    pub(crate) fn live(&self) -> usize {
        self.live as usize
    }

    /// How many there is memory for.
    pub(crate) fn capacity(&self) -> usize {
        self.chunks.len() << self.shift
    }

    /// One past the highest position that may be live; also the most that were live since the last compaction.
    pub(crate) fn end(&self) -> u32 {
        self.owners.len() as u32
    }

    /// Positions of a chunk.
    pub(crate) fn step(&self) -> usize {
        1 << self.shift
    }

    /// Bytes of the chunks and of the tables of them.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.len() * self.layout().size() + self.chunks.bytes() + self.owners.bytes() + self.order.bytes()
    }

    /// The layout of a chunk. It was tried when the pool was made.
    fn layout(&self) -> Layout {
        // Objects without size have an address all the same.
        let size = (self.block.size() << self.shift).max(1);
        Layout::from_size_align(size, chunk_align(self.block)).expect("a chunk's layout")
    }

    /// Adds chunks until there are `count`. `None`: no memory, and what came is kept, vacant.
    ///
    /// # Safety
    /// `source` is the one all memory came from.
    #[cold]
    pub(crate) unsafe fn grow<S: Source>(&mut self, source: &S, count: usize) -> Option<()> {
        while self.chunks.len() < count {
            let chunks = self.chunks.len() + 1;
            // SAFETY: the caller's source.
            unsafe {
                self.chunks.reserve(source, chunks)?;
                self.order.reserve(source, chunks)?;
                self.owners.reserve(source, chunks << self.shift)?;
            }
            let chunk = source.allocate(self.layout())?;
            let at = self
                .order
                .partition_point(|&other| addr(self.chunks[other as usize].as_ptr()) < addr(chunk.as_ptr()));
            self.order.insert(at, self.chunks.len() as u32);
            self.chunks.push(chunk);
        }
        Some(())
    }

    /// Gives chunks back from the end until there are `count`, and their owner words if the source has memory
    /// for a shorter table meanwhile; returns their bytes.
    ///
    /// # Safety
    /// As for [`grow`](Chunks::grow); no position in them was used since the last compaction.
    pub(crate) unsafe fn shrink<S: Source>(&mut self, source: &S, count: usize) -> usize {
        let mut bytes = 0;
        while self.chunks.len() > count {
            let last = self.chunks.len() - 1;
            let chunk = self.chunks.remove(last);
            let at = self.order.iter().position(|&other| other as usize == last).expect("each chunk is in order");
            self.order.remove(at);
            bytes += self.layout().size();
            // SAFETY: allocated with this layout; nobody uses it.
            unsafe { source.deallocate(chunk, self.layout()) };
        }
        let (capacity, had) = (self.capacity(), self.owners.bytes());
        // Not for less than half, so that shrinking and growing in turn does not copy the words each time.
        if capacity <= self.owners.capacity() / 2 {
            // SAFETY: the caller's source. A refusal leaves the table as it was.
            let _ = unsafe { self.owners.resize(source, capacity) };
        }
        bytes + (had - self.owners.bytes())
    }

    /// The object at a position before [`end`](Chunks::end).
    #[inline(always)]
    pub(crate) fn pointer(&self, position: u32) -> NonNull<T> {
        debug_assert!(((position >> self.shift) as usize) < self.chunks.len(), "position {position} has no chunk");
        // SAFETY: a position that is or was used since the last compaction lies in a chunk.
        let chunk = unsafe { *self.chunks.get_unchecked((position >> self.shift) as usize) };
        let offset = (position as usize & (self.step() - 1)) * self.block.size();
        // SAFETY: within the chunk.
        unsafe { chunk.add(offset) }.cast()
    }

    /// `log2` of the positions of a chunk of objects that lie side by side, unless told.
    const USUAL: u32 = usual_step(size_of::<T>()).ilog2();

    /// True when positions are where [`usual_pointer`](Chunks::usual_pointer) looks, also after growth to `limit`.
    pub(crate) fn is_usual(&self, limit: usize) -> bool {
        let one_chunk = self.shift < Self::USUAL && limit <= self.step();
        self.block.size() == size_of::<T>() && (self.shift == Self::USUAL || one_chunk)
    }

    /// As [`pointer`](Chunks::pointer) where chunks and positions have the usual sizes, which the compiler knows.
    ///
    /// # Safety
    /// A position before `end`, where [`is_usual`](Chunks::is_usual).
    #[inline(always)]
    pub(crate) unsafe fn usual_pointer(&self, position: u32) -> NonNull<T> {
        // SAFETY: a position that is or was used since the last compaction lies in a chunk.
        let chunk = unsafe { *self.chunks.get_unchecked((position >> Self::USUAL) as usize) };
        // SAFETY: within the chunk.
        let object = unsafe { chunk.cast::<T>().add(position as usize & ((1 << Self::USUAL) - 1)) };
        debug_assert_eq!(object, self.pointer(position));
        object
    }

    /// Who a position before [`end`](Chunks::end) belongs to.
    #[inline]
    pub(crate) fn owner(&self, position: u32) -> Owner {
        Owner::of(self.owners[position as usize])
    }

    /// The word of a position that is known to be used.
    ///
    /// # Safety
    /// The position is live or vacant.
    #[inline(always)]
    unsafe fn word(&mut self, position: u32) -> &mut u32 {
        debug_assert!(position < self.end(), "position {position} of {}", self.end());
        // SAFETY: there is a word for each position that was used.
        unsafe { self.owners.get_unchecked_mut(position as usize) }
    }

    /// True when there is a position to take.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        (self.live as usize) < self.capacity()
    }

    /// True when the vacant list has a position.
    pub(crate) fn has_vacant(&self) -> bool {
        self.vacant != NUMBER
    }

    /// How many vacant positions the pool keeps.
    pub(crate) fn kept(&self) -> usize {
        (self.end() - self.live - self.vacant_count) as usize
    }

    /// Takes a position from the vacant list, or a new one, where there is room, for who `owner` says; the caller
    /// writes the object.
    pub(crate) fn claim(&mut self, owner: Owner) -> (u32, NonNull<T>) {
        let position = self.vacant;
        if position == NUMBER {
            let position = self.end();
            assert!((position as usize) < self.capacity(), "no room beyond {position} objects");
            self.owners.push(owner.word());
            self.live += 1;
            return (position, self.pointer(position));
        }
        // SAFETY: it is vacant.
        self.vacant = unsafe { self.claim_kept(position, owner) };
        self.vacant_count -= 1;
        (position, self.pointer(position))
    }

    /// Takes a vacant position that the pool kept; the number that was kept with it.
    ///
    /// # Safety
    /// The position is vacant and not in the list.
    #[inline(always)]
    pub(crate) unsafe fn claim_kept(&mut self, position: u32, owner: Owner) -> u32 {
        // SAFETY: it is vacant.
        let word = unsafe { self.word(position) };
        debug_assert!(*word & VACANT != 0, "position {position} is vacant and live");
        let number = *word & NUMBER;
        *word = owner.word();
        self.live += 1;
        number
    }

    /// Makes a live position vacant. The object is the caller's now, where it is until the position is taken.
    ///
    /// # Safety
    /// The position is live.
    pub(crate) unsafe fn vacate(&mut self, position: u32) {
        // SAFETY: it is live.
        unsafe { self.vacate_kept(position, self.vacant) };
        self.vacant = position;
        self.vacant_count += 1;
    }

    /// The same for a position that the pool keeps, with a number up to [`NUMBER`].
    ///
    /// # Safety
    /// The position is live.
    #[inline(always)]
    pub(crate) unsafe fn vacate_kept(&mut self, position: u32, number: u32) {
        // SAFETY: it is live.
        let word = unsafe { self.word(position) };
        debug_assert!(*word & VACANT == 0, "position {position} is vacant already");
        *word = number | VACANT;
        self.live -= 1;
    }

    /// Changes who a position belongs to.
    ///
    /// # Safety
    /// The position is live, and stays so.
    pub(crate) unsafe fn set_owner(&mut self, position: u32, owner: Owner) {
        // SAFETY: it is live.
        *unsafe { self.word(position) } = owner.word();
    }

    /// As [`vacate`](Chunks::vacate) for the highest live position, and lowers `end` to it. The vacant
    /// list is torn until none is left; the pool keeps no positions.
    pub(crate) fn vacate_last(&mut self) -> Option<(u32, Owner)> {
        while let Some(position) = self.end().checked_sub(1) {
            let owner = self.owner(position);
            self.owners.truncate(position as usize);
            if !matches!(owner, Owner::Vacant(_)) {
                self.live -= 1;
                return Some((position, owner));
            }
        }
        (self.vacant, self.vacant_count) = (NUMBER, 0);
        None
    }

    /// Moves objects from the end to vacant positions at the front, of which the pool keeps none, until all are
    /// together; calls
    /// `moved` for each with its owner and where it is now. Walks all positions; returns how many moved.
    pub(crate) fn compact(&mut self, mut moved: impl FnMut(Owner, u32, NonNull<T>)) -> usize {
        let (mut low, mut high, mut count) = (0, self.end(), 0);
        loop {
            while low < high && !matches!(self.owner(low), Owner::Vacant(_)) {
                low += 1;
            }
            while low < high && matches!(self.owner(high - 1), Owner::Vacant(_)) {
                high -= 1;
            }
            if low >= high {
                break;
            }
            high -= 1;
            let owner = self.owner(high);
            let to = self.pointer(low);
            // SAFETY: `high` is live and `low`, another position, is not.
            unsafe { to.copy_from_nonoverlapping(self.pointer(high), 1) };
            self.owners[low as usize] = owner.word();
            moved(owner, low, to);
            count += 1;
        }
        debug_assert_eq!(high, self.live);
        self.owners.truncate(self.live as usize);
        (self.vacant, self.vacant_count) = (NUMBER, 0);
        count
    }

    /// All live positions' objects and owners, by ascending address.
    pub(crate) fn walk(&self) -> Walk<'_, T> {
        Walk { chunks: self, entered: 0, words: [].iter(), object: NonNull::dangling(), left: self.live() }
    }

    /// Gives all memory back. Objects that are live are forgotten.
    ///
    /// # Safety
    /// As for [`grow`](Chunks::grow).
    pub(crate) unsafe fn release<S: Source>(&mut self, source: &S) {
        (self.vacant, self.vacant_count, self.live) = (NUMBER, 0, 0);
        self.owners.truncate(0);
        // SAFETY: the caller's source; there are no positions any more.
        unsafe {
            self.shrink(source, 0);
            self.chunks.release(source);
            self.owners.release(source);
            self.order.release(source);
        }
    }
}

/// Live positions' objects and owners, by ascending address.
///
/// Lends no objects: what a pointer may be used for is the business of who walks.
pub(crate) struct Walk<'a, T> {
    chunks: &'a Chunks<T>,
    /// How many chunks have been entered, in order of address.
    entered: usize,
    /// The owners of the positions of the last of them that are to come.
    words: core::slice::Iter<'a, u32>,
    /// The object at the first of these.
    object: NonNull<u8>,
    /// How many live ones are to come.
    left: usize,
}

impl<T> Walk<'_, T> {
    /// How many are to come.
    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Option<(NonNull<T>, Owner)> {
        loop {
            for &word in self.words.by_ref() {
                let object = self.object;
                // SAFETY: within the chunk, or at its end after its last position.
                self.object = unsafe { object.add(self.chunks.block.size()) };
                if word & VACANT == 0 {
                    self.left -= 1;
                    return Some((object.cast(), Owner::of(word)));
                }
            }
            self.enter()?;
        }
    }

    /// All that are to come, in two loops, in which the compiler sees more than in one that is left and entered again.
    #[inline]
    pub(crate) fn fold<R>(mut self, mut result: R, mut f: impl FnMut(R, NonNull<T>, Owner) -> R) -> R {
        let size = self.chunks.block.size();
        loop {
            let mut object = self.object;
            for &word in self.words.as_slice() {
                if word & VACANT == 0 {
                    result = f(result, object.cast(), Owner::of(word));
                }
                // SAFETY: within the chunk, or at its end after its last position.
                object = unsafe { object.add(size) };
            }
            if self.enter().is_none() {
                return result;
            }
        }
    }

    /// Goes to the next chunk, if there is one.
    #[inline(never)]
    fn enter(&mut self) -> Option<()> {
        let chunks = self.chunks;
        self.words = [].iter();
        let chunk = *chunks.order.get(self.entered)? as usize;
        let (first, end) = (chunk << chunks.shift, (chunk + 1) << chunks.shift);
        self.object = chunks.chunks[chunk];
        // Of the chunks at the end perhaps no position was used yet; they may lie at lower addresses.
        self.words = chunks.owners.get(first..end.min(chunks.owners.len())).unwrap_or_default().iter();
        self.entered += 1;
        Some(())
    }
}

const _: () = assert!(NONE > NUMBER && super::slots::MOST as u32 == NUMBER);

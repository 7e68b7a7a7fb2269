//! [`Chunks`]: the objects of a [`HandlePool`](crate::HandlePool), at numbered positions.
//!
//! Owns the memory and which positions are live. Chunks have one power of two of positions each, so
//! that a position's place is a shift and a mask away. Beside its objects a chunk has a row of words
//! that say who each position belongs to.
//!
//! ```text
//! chunk   | object 0 | object 1 | … | object n-1 | owner 0 | owner 1 | … | owner n-1 |
//! ```
//!
//! Invariants: positions from `fresh` on were never used since the last compaction; those before it
//! are live, or in the vacant list; `live` counts the live ones, whose objects are initialised.

use crate::addr::addr;
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
    /// Nobody: there is no object. The next vacant position, or the number after the largest.
    Vacant(u32),
}

/// The largest number in an owner word.
const NUMBER: u32 = (1 << 30) - 1;

impl Owner {
    fn word(self) -> u32 {
        match self {
            Self::Slot(number) => number,
            Self::Adopted(number) => number | 1 << 30,
            Self::Vacant(number) => number.min(NUMBER) | 2 << 30,
        }
    }

    fn of(word: u32) -> Self {
        let number = word & NUMBER;
        match word >> 30 {
            0 => Self::Slot(number),
            1 => Self::Adopted(number),
            _ => Self::Vacant(number),
        }
    }
}

/// Objects at positions.
pub(crate) struct Chunks<T> {
    chunks: Table<NonNull<u8>>,
    /// Indices of the chunks by ascending address.
    order: Table<u32>,
    /// `log2` of the positions of a chunk.
    shift: u32,
    /// The layout of a position.
    block: Layout,
    vacant: u32,
    fresh: u32,
    live: u32,
    marker: PhantomData<T>,
}

impl<T> Chunks<T> {
    /// No chunks yet; each will have `1 << shift` positions of `block`.
    pub(crate) const fn new(block: Layout, shift: u32) -> Self {
        let (chunks, order) = (Table::new(), Table::new());
        Self { chunks, order, shift, block, vacant: NUMBER, fresh: 0, live: 0, marker: PhantomData }
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

    /// One past the highest position that may be live.
    pub(crate) fn end(&self) -> u32 {
        self.fresh
    }

    /// Positions of a chunk.
    pub(crate) fn step(&self) -> usize {
        1 << self.shift
    }

    /// Chunk numbers by ascending address.
    pub(crate) fn order(&self) -> &[u32] {
        &self.order
    }

    /// Bytes of the chunks and of the tables of them.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.len() * self.layout().size() + self.chunks.bytes() + self.order.bytes()
    }

    fn owners(&self) -> usize {
        (self.block.size() << self.shift).next_multiple_of(align_of::<u32>())
    }

    /// The layout of a chunk. It was tried when the pool was made.
    fn layout(&self) -> Layout {
        let size = self.owners() + (size_of::<u32>() << self.shift);
        Layout::from_size_align(size, self.block.align().max(align_of::<u32>())).expect("a chunk's layout")
    }

    /// Adds chunks until there are `count`. `None`: no memory, and what came is kept, vacant.
    ///
    /// # Safety
    /// `source` is the one all memory came from.
    #[cold]
    pub(crate) unsafe fn grow<S: Source>(&mut self, source: &S, count: usize) -> Option<()> {
        while self.chunks.len() < count {
            // SAFETY: the caller's source.
            unsafe {
                self.chunks.reserve(source, self.chunks.len() + 1)?;
                self.order.reserve(source, self.chunks.len() + 1)?;
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

    /// Gives chunks back from the end until there are `count`; returns their bytes.
    ///
    /// # Safety
    /// As for [`grow`](Chunks::grow); no position in them is live or in the vacant list.
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
        bytes
    }

    /// The object at a position.
    #[inline]
    pub(crate) fn pointer(&self, position: u32) -> NonNull<T> {
        let chunk = self.chunks[(position >> self.shift) as usize];
        let offset = (position as usize & (self.step() - 1)) * self.block.size();
        // SAFETY: within the chunk.
        unsafe { chunk.add(offset) }.cast()
    }

    #[inline]
    fn owner_word(&self, position: u32) -> NonNull<u32> {
        let chunk = self.chunks[(position >> self.shift) as usize];
        let offset = self.owners() + (position as usize & (self.step() - 1)) * size_of::<u32>();
        // SAFETY: within the chunk.
        unsafe { chunk.add(offset) }.cast()
    }

    /// Who a position before [`end`](Chunks::end) belongs to.
    #[inline]
    pub(crate) fn owner(&self, position: u32) -> Owner {
        assert!(position < self.fresh, "position {position} of {}", self.fresh);
        // SAFETY: the words of all positions before `fresh` are initialised.
        Owner::of(unsafe { self.owner_word(position).read() })
    }

    fn set_owner(&mut self, position: u32, owner: Owner) {
        // SAFETY: the word is the chunk's.
        unsafe { self.owner_word(position).write(owner.word()) };
    }

    /// True when there is a position to take.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        (self.live as usize) < self.capacity()
    }

    /// The position that [`put`](Chunks::put) takes next, if there is room.
    #[inline]
    pub(crate) fn next(&self) -> u32 {
        if self.vacant == NUMBER { self.fresh } else { self.vacant }
    }

    /// Writes an object to the next position, where there is room.
    #[inline]
    pub(crate) fn put(&mut self, owner: Owner, object: T) {
        let position = self.claim(owner);
        // SAFETY: a position of ours that holds no object.
        unsafe { self.pointer(position).write(object) };
    }

    /// Takes the next position, where there is room; the caller writes the object.
    #[inline]
    pub(crate) fn claim(&mut self, owner: Owner) -> u32 {
        let position = self.next();
        if position == self.fresh {
            assert!((position as usize) < self.capacity(), "no room beyond {position} objects");
            self.fresh += 1;
        } else {
            let Owner::Vacant(next) = self.owner(position) else {
                unreachable!("position {position} is in the vacant list and live")
            };
            self.vacant = next;
        }
        self.set_owner(position, owner);
        self.live += 1;
        position
    }

    /// Makes a live position vacant. The object is the caller's now, where it is until the next one is put.
    #[inline]
    pub(crate) fn vacate(&mut self, position: u32) {
        self.set_owner(position, Owner::Vacant(self.vacant));
        self.vacant = position;
        self.live -= 1;
    }

    /// As [`vacate`](Chunks::vacate) for the highest live position, and lowers `end` to it. The vacant
    /// list is torn until none is left.
    pub(crate) fn vacate_last(&mut self) -> Option<(u32, Owner)> {
        while self.fresh > 0 {
            let position = self.fresh - 1;
            let owner = self.owner(position);
            self.fresh = position;
            if !matches!(owner, Owner::Vacant(_)) {
                self.live -= 1;
                return Some((position, owner));
            }
        }
        self.vacant = NUMBER;
        None
    }

    /// Moves objects from the end to vacant positions at the front until all are together; calls
    /// `moved` for each with its owner and where it is now. Walks all positions; returns how many moved.
    pub(crate) fn compact(&mut self, mut moved: impl FnMut(Owner, u32)) -> usize {
        let (mut low, mut high, mut count) = (0, self.fresh, 0);
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
            // SAFETY: `high` is live and `low`, another position, is not.
            unsafe { self.pointer(low).copy_from_nonoverlapping(self.pointer(high), 1) };
            self.set_owner(low, owner);
            moved(owner, low);
            count += 1;
        }
        debug_assert_eq!(high, self.live);
        self.fresh = self.live;
        self.vacant = NUMBER;
        count
    }

    /// Gives all memory back. Objects that are live are forgotten.
    ///
    /// # Safety
    /// As for [`grow`](Chunks::grow).
    pub(crate) unsafe fn release<S: Source>(&mut self, source: &S) {
        (self.vacant, self.fresh, self.live) = (NUMBER, 0, 0);
        // SAFETY: the caller's source; there are no positions any more.
        unsafe {
            self.shrink(source, 0);
            self.chunks.release(source);
            self.order.release(source);
        }
    }
}

const _: () = assert!(NONE > NUMBER && super::slots::MOST as u32 == NUMBER);

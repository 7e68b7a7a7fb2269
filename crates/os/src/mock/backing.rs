//! The memory behind a mock system, and the list of what of it is mapped.

use std::collections::BTreeMap;

/// Disjoint ranges of addresses: start to length, adjacent ones joined.
#[derive(Default)]
pub(super) struct Ranges {
    ranges: BTreeMap<usize, usize>,
    bytes: usize,
}

impl Ranges {
    /// Bytes in all ranges.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Start and length of each range, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, usize)> {
        self.ranges.iter().map(|(&start, &len)| (start, len))
    }

    /// The range that `address` lies in.
    fn at(&self, address: usize) -> Option<(usize, usize)> {
        let (&start, &len) = self.ranges.range(..=address).next_back()?;
        (address < start + len).then_some((start, len))
    }

    /// True if all of `start..start+len` is in.
    pub(super) fn covers(&self, start: usize, len: usize) -> bool {
        let end = start.checked_add(len);
        self.at(start).is_some_and(|(from, size)| end.is_some_and(|end| end <= from + size))
    }

    /// True if any of `start..start+len` is in.
    pub(super) fn touches(&self, start: usize, len: usize) -> bool {
        self.ranges.range(..start + len).next_back().is_some_and(|(&from, &size)| from + size > start)
    }

    /// Adds a range, none of which is in.
    pub(super) fn insert(&mut self, mut start: usize, mut len: usize) {
        assert!(!self.touches(start, len), "the host handed memory out twice");
        self.bytes += len;
        if let Some(behind) = self.ranges.remove(&(start + len)) {
            len += behind;
        }
        if let Some((from, size)) = start.checked_sub(1).and_then(|before| self.at(before)) {
            (start, len) = (from, size + len);
        }
        self.ranges.insert(start, len);
    }

    /// Removes a range, all of which is in.
    pub(super) fn remove(&mut self, start: usize, len: usize) {
        let (from, size) = self.at(start).expect("checked before");
        self.bytes -= len;
        self.ranges.remove(&from);
        if start > from {
            self.ranges.insert(from, start - from);
        }
        let (end, from_end) = (start + len, from + size);
        if from_end > end {
            self.ranges.insert(end, from_end - end);
        }
    }
}

/// Memory of the host that was mapped at once; given back when dropped.
pub(super) struct Backing {
    start: usize,
    len: usize,
    whole: usize,
    whole_len: usize,
}

impl Backing {
    /// First address.
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// Bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(unix)]
mod host {
    //! `mmap` through libc.

    use super::Backing;

    const PROTECTION: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;
    const FLAGS: libc::c_int = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;

    impl Backing {
        /// Zeroed memory.
        pub(in super::super) fn new(len: usize, align: usize) -> Option<Self> {
            let whole_len = len.checked_add(align)?;
            // SAFETY: takes free addresses.
            let whole = unsafe { libc::mmap(core::ptr::null_mut(), whole_len, PROTECTION, FLAGS, -1, 0) };
            if whole == libc::MAP_FAILED {
                return None;
            }
            let whole = whole.expose_provenance();
            Some(Self { start: (whole + align - 1) & !(align - 1), len, whole, whole_len })
        }

        /// Makes what of the range lies in this memory inaccessible, as far as the host's pages go.
        pub(in super::super) fn forbid(&self, start: usize, len: usize) {
            let from = start.max(self.start);
            let to = (start + len).min(self.start + self.len);
            if from < to {
                let from = core::ptr::with_exposed_provenance_mut::<libc::c_void>(from);
                // SAFETY: ours, unmapped as far as the test can tell. Refused for ranges that are not
                // whole pages of the host: then they stay accessible.
                unsafe { libc::mprotect(from, to - from.addr(), libc::PROT_NONE) };
            }
        }
    }

    impl Drop for Backing {
        fn drop(&mut self) {
            // SAFETY: mapped by `new`; nothing of it is mapped as far as the test can tell.
            unsafe { libc::munmap(core::ptr::with_exposed_provenance_mut(self.whole), self.whole_len) };
        }
    }

    /// Makes the range read as zero; whole pages of the host are also given back to it.
    ///
    /// # Safety
    /// The range is mapped and nobody uses its contents.
    pub(in super::super) unsafe fn zero(start: usize, len: usize) {
        let range = core::ptr::with_exposed_provenance_mut::<libc::c_void>(start);
        // SAFETY: the caller's range, replaced as a whole.
        let fresh = unsafe { libc::mmap(range, len, PROTECTION, FLAGS | libc::MAP_FIXED, -1, 0) };
        if fresh == libc::MAP_FAILED {
            // SAFETY: the caller's range.
            unsafe { range.cast::<u8>().write_bytes(0, len) };
        }
    }
}

#[cfg(not(unix))]
mod host {
    //! std's allocator.

    use super::Backing;
    use std::alloc::{Layout, alloc_zeroed, dealloc};

    impl Backing {
        /// Zeroed memory.
        pub(in super::super) fn new(len: usize, align: usize) -> Option<Self> {
            let layout = Layout::from_size_align(len, align).ok()?;
            // SAFETY: the size is not 0.
            let whole = unsafe { alloc_zeroed(layout) }.expose_provenance();
            (whole != 0).then_some(Self { start: whole, len, whole, whole_len: align })
        }

        /// Does nothing: memory of an allocator stays accessible.
        pub(in super::super) fn forbid(&self, _start: usize, _len: usize) {}
    }

    impl Drop for Backing {
        fn drop(&mut self) {
            let whole = core::ptr::with_exposed_provenance_mut(self.whole);
            // SAFETY: allocated by `new` with this layout.
            unsafe { dealloc(whole, Layout::from_size_align_unchecked(self.len, self.whole_len)) };
        }
    }

    /// Makes the range read as zero.
    ///
    /// # Safety
    /// The range is mapped and nobody uses its contents.
    pub(in super::super) unsafe fn zero(start: usize, len: usize) {
        // SAFETY: the caller's range.
        unsafe { core::ptr::with_exposed_provenance_mut::<u8>(start).write_bytes(0, len) };
    }
}

pub(super) use host::zero;

/// Leaves rubbish at the start of each 4 KiB, as a purge that failed may (at most 16 MiB of them).
///
/// # Safety
/// The range is mapped and nobody uses its contents.
pub(super) unsafe fn scribble(start: usize, len: usize) {
    for offset in (0..len.min(16 << 20)).step_by(4096) {
        // SAFETY: inside the caller's range.
        unsafe { core::ptr::with_exposed_provenance_mut::<u8>(start + offset).write_bytes(0xA5, 16) };
    }
}

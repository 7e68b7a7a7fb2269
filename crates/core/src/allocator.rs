//! The allocator: all strata of one process, over one operating system.
//!
//! Everything is zero at first, so a `static` of it takes no room in the binary and no work at
//! start; it takes about 1 MiB of address space, of which the directory's few used pages are
//! touched.

use crate::config::Config;
use crate::crowd::Crowd;
use crate::directory::Directory;
use crate::heap::Heap;
use crate::huge::Huge;
use crate::limits::Limits;
use crate::node::Node;
use crate::os::Os;
use crate::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use core::cell::UnsafeCell;

/// NUMA nodes that are told apart; the rest share the last.
pub const MAX_NODES: usize = 64;
/// Bytes of metadata that need no mapping.
const FIRST_META: usize = 64 * 1024;

#[repr(align(4096))]
struct FirstMeta(UnsafeCell<[u8; FIRST_META]>);

/// Figures that are kept outside the node's lock.
#[derive(Debug)]
pub(crate) struct Counters {
    /// System calls for memory.
    pub os_calls: AtomicU64,
    /// Bytes given back.
    pub purged: AtomicU64,
    /// Calls that gave memory back.
    pub purges: AtomicU64,
    /// Bytes of free runs that were moved to where they were needed.
    pub recycled: AtomicU64,
    /// Moves that the system refused.
    pub refused: AtomicU32,
    /// Heaps of living threads and of CPUs, and first-class heaps.
    pub heaps: AtomicU64,
    /// Of these, threads'.
    pub own: AtomicU64,
    /// Threads that have pockets instead.
    pub pockets: AtomicU64,
    /// Slices mapped, or about to be: what the option `limit` limits, over all nodes.
    pub slices: AtomicUsize,
}

/// All strata over `O`; see the module.
#[repr(C)]
pub struct Allocator<O: Os> {
    /// Address to span. First, so that the free path needs one base address for both.
    pub directory: Directory,
    first: Node,
    others: [AtomicPtr<Node>; MAX_NODES],
    first_meta: FirstMeta,
    pub(crate) first_meta_used: AtomicBool,
    /// All heaps ever made, by `next_heap`.
    pub(crate) heaps: AtomicPtr<Heap>,
    /// The heap of threads that have none any more.
    pub(crate) late: AtomicPtr<Heap>,
    /// What threads have that have no heap.
    pub(crate) crowd: Crowd,
    pub(crate) counters: Counters,
    /// 1 while a purge thread runs.
    pub(crate) purger: AtomicU32,
    /// What the process may use, and what follows.
    pub(crate) limits: Limits,
    /// What is known of the system's huge pages.
    pub(crate) huge: Huge,
    /// The options in force.
    pub config: Config,
    /// S3.
    pub os: O,
}

// SAFETY: `first_meta` is handed to the first node's page heap once, under its lock; all else is
// `Sync` by itself.
unsafe impl<O: Os> Sync for Allocator<O> {}

impl<O: Os> Allocator<O> {
    /// An allocator without memory.
    pub const fn new(os: O) -> Self {
        Self {
            directory: Directory::new(),
            first: Node::new(),
            others: [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_NODES],
            first_meta: FirstMeta(UnsafeCell::new([0; FIRST_META])),
            first_meta_used: AtomicBool::new(false),
            heaps: AtomicPtr::new(core::ptr::null_mut()),
            late: AtomicPtr::new(core::ptr::null_mut()),
            crowd: Crowd::new(),
            counters: Counters {
                os_calls: AtomicU64::new(0),
                purged: AtomicU64::new(0),
                purges: AtomicU64::new(0),
                recycled: AtomicU64::new(0),
                refused: AtomicU32::new(0),
                heaps: AtomicU64::new(0),
                own: AtomicU64::new(0),
                pockets: AtomicU64::new(0),
                slices: AtomicUsize::new(0),
            },
            purger: AtomicU32::new(0),
            limits: Limits::new(),
            huge: Huge::new(),
            config: Config::new(),
            os,
        }
    }

    /// The node of that index; node 0 where it was never made.
    #[inline]
    pub fn node(&self, index: usize) -> &Node {
        if index == 0 {
            return &self.first;
        }
        // Acquire pairs with the Release in `node_for`.
        // SAFETY: nodes are never unmapped.
        unsafe { self.others[index % MAX_NODES].load(Ordering::Acquire).as_ref() }.unwrap_or(&self.first)
    }

    /// Calls `visit` with each node and its index.
    pub fn for_each_node(&self, mut visit: impl FnMut(usize, &Node)) {
        visit(0, &self.first);
        for (index, node) in self.others.iter().enumerate() {
            // SAFETY: as in `node`.
            if let Some(node) = unsafe { node.load(Ordering::Acquire).as_ref() } {
                visit(index, node);
            }
        }
    }

    /// Index of the node that serves the calling thread, made at its first use.
    pub(crate) fn node_here(&self) -> usize {
        if self.os.nodes() <= 1 {
            return 0;
        }
        let index = self.os.node().min(MAX_NODES - 1);
        if index == 0 || !self.others[index].load(Ordering::Acquire).is_null() {
            return index;
        }
        let made = self.map(size_of::<Node>().next_multiple_of(crate::class::SLICE), crate::class::SLICE);
        let Some(memory) = made else { return 0 };
        let node = memory.cast::<Node>();
        // SAFETY: zeroed memory of ours; zero is an empty node.
        unsafe { node.as_ref().alone().pages.set_node(index as u8) };
        match self.others[index].compare_exchange(
            core::ptr::null_mut(),
            node.as_ptr(),
            Ordering::Release,
            Ordering::Relaxed,
        ) {
            Ok(_) => index,
            Err(_) => {
                // SAFETY: nobody saw it.
                unsafe { self.unmap(memory, size_of::<Node>().next_multiple_of(crate::class::SLICE)) };
                index
            }
        }
    }

    pub(crate) fn first_meta(&self) -> (usize, usize) {
        (crate::addr::addr(self.first_meta.0.get()), FIRST_META)
    }

    pub(crate) fn map(&self, bytes: usize, align: usize) -> Option<core::ptr::NonNull<u8>> {
        self.counters.os_calls.fetch_add(1, Ordering::Relaxed);
        self.os.map(bytes, align)
    }

    /// Gives pages back, and counts them if the system took them.
    ///
    /// # Safety
    /// As for [`Os::purge`].
    pub(crate) unsafe fn purge_pages(&self, start: core::ptr::NonNull<u8>, bytes: usize) -> bool {
        self.counters.os_calls.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        let purged = unsafe { self.os.purge(start, bytes) };
        if purged {
            self.counters.purged.fetch_add(bytes as u64, Ordering::Relaxed);
            self.counters.purges.fetch_add(1, Ordering::Relaxed);
        }
        purged
    }

    /// # Safety
    /// As for [`Os::unmap`].
    pub(crate) unsafe fn unmap(&self, start: core::ptr::NonNull<u8>, bytes: usize) -> bool {
        self.counters.os_calls.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { self.os.unmap(start, bytes) }
    }
}

impl<O: Os> core::fmt::Debug for Allocator<O> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Allocator").finish_non_exhaustive()
    }
}

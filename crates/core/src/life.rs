//! Heaps come and go: threads, the late, first-class heaps, forks.

use crate::allocator::Allocator;
use crate::heap::{Front, Heap, Role};
use crate::lock::InChild;
use crate::os::Os;
use crate::sync::atomic::Ordering;
use core::ptr::null_mut;

impl<O: Os> Allocator<O> {
    /// A heap for the calling thread: the last that was parked, else a new one. Null: no memory.
    /// No system call in the ordinary case.
    #[cold]
    pub fn adopt(&self) -> *mut Heap {
        self.counters.own.fetch_add(1, Ordering::Relaxed);
        self.adopt_counted()
    }

    /// As [`adopt`](Self::adopt), for a thread that counts as one with a heap already. With null it does not any more.
    ///
    /// It counts first, so that threads that start at once, and wait here for one another, know of each other.
    pub(crate) fn adopt_counted(&self) -> *mut Heap {
        let heap = self.parked_or_new_heap();
        if heap.is_null() {
            self.uncount_own();
        }
        heap
    }

    /// The calling thread has no heap of its own any more. (A fork in a signal handler that interrupted `adopt` forgot that
    /// it was to have one.)
    fn uncount_own(&self) {
        self.recount_own(|own| own.checked_sub(1));
    }

    /// Changes how many threads have heaps of their own. False: `change` leaves it as it is.
    pub(crate) fn recount_own(&self, change: impl Fn(u64) -> Option<u64>) -> bool {
        let own = &self.counters.own;
        let mut now = own.load(Ordering::Relaxed);
        while let Some(next) = change(now) {
            match own.compare_exchange_weak(now, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => now = other,
            }
        }
        false
    }

    fn parked_or_new_heap(&self) -> *mut Heap {
        let node = self.node_here();
        loop {
            let parked = match self.node(node).lock(&self.os, self.os.thread()) {
                Some(mut stores) => stores.pool.unpark(),
                None => return null_mut(),
            };
            if parked.is_null() {
                return self.new_heap(node, Role::Thread);
            }
            // SAFETY: a heap taken out of the pool; whoever looks after it now leaves it soon.
            unsafe {
                while !(*parked).tenure.try_adopt() {
                    if (*parked).tenure.is_dead() {
                        break;
                    }
                    self.os.yield_now();
                }
                if (*parked).tenure.is_owned() {
                    self.counters.heaps.fetch_add(1, Ordering::Relaxed);
                    return parked;
                }
            }
        }
    }

    /// A heap that the caller owns. Null: no memory.
    pub(crate) fn new_heap(&self, node: usize, role: Role) -> *mut Heap {
        let heap: *mut Heap = self.alloc_meta(node, size_of::<Heap>(), align_of::<Heap>()).cast();
        if heap.is_null() {
            return heap;
        }
        // SAFETY: zeroed memory of ours.
        unsafe {
            let heaps = self.counters.heaps.load(Ordering::Relaxed);
            Heap::init(heap, role, node as u8, self.config.count(), heaps);
            let mut first = self.heaps.load(Ordering::Relaxed);
            loop {
                (*heap).next_heap = first;
                // Release pairs with the Acquire of `for_each_heap`.
                match self.heaps.compare_exchange_weak(first, heap, Ordering::Release, Ordering::Relaxed) {
                    Ok(_) => break,
                    Err(now) => first = now,
                }
            }
        }
        self.counters.heaps.fetch_add(1, Ordering::Relaxed);
        heap
    }

    /// Calls `visit` with every heap ever made.
    pub fn for_each_heap(&self, mut visit: impl FnMut(*mut Heap)) {
        let mut heap = self.heaps.load(Ordering::Acquire);
        while !heap.is_null() {
            visit(heap);
            // SAFETY: heaps are never unmapped; `next_heap` is written once.
            heap = unsafe { (*heap).next_heap };
        }
    }

    /// Parks the heap of a thread that leaves. The thread has taken the heap out of its slot.
    ///
    /// # Safety
    /// The caller has the heap's tenure and does not use the heap any more.
    pub unsafe fn park(&self, heap: *mut Heap) {
        // SAFETY: the caller's heap until `leave` succeeds.
        unsafe {
            let node = (*heap).node as usize;
            let parked = match self.node(node).lock(&self.os, self.os.thread()) {
                Some(stores) => stores.pool.parked_count,
                None => return,
            };
            let dissolve = parked >= self.parked_limit();
            if dissolve {
                self.settle(heap, true);
            } else {
                self.flush_batches(heap);
                self.collect_pending(heap);
            }
            let now = self.os.now_ms() as u32;
            // Nobody comes back for what it keeps.
            let keeps = !dissolve && self.keeps_much(&*heap);
            self.uncount_own();
            self.counters.heaps.fetch_sub(1, Ordering::Relaxed);
            self.leave(heap);
            if let Some(mut stores) = self.node(node).lock(&self.os, self.os.thread()) {
                stores.pool.park(heap, dissolve, now);
                drop(stores);
                if keeps {
                    self.start_purger();
                }
            }
        }
    }

    pub(crate) unsafe fn leave(&self, heap: *mut Heap) {
        // SAFETY: the caller has the heap's tenure.
        unsafe {
            while !(*heap).tenure.leave() {
                self.collect_pending(heap);
            }
        }
    }

    /// Runs `work` with the tenure of a heap that is parked between uses: a first-class heap or the
    /// late heap. Waits while another thread has it. `None`: that thread is gone, it did not come
    /// along in a fork, and the heap is buried.
    ///
    /// # Safety
    /// `heap` is such a heap, and the calling thread is not inside it already.
    pub unsafe fn with_tenure<T>(&self, heap: *mut Heap, work: impl FnOnce() -> T) -> Option<T> {
        // SAFETY: a live heap; between `enter` and `leave` it is ours.
        unsafe {
            if !self.enter(heap) {
                return None;
            }
            let result = work();
            self.exit(heap);
            Some(result)
        }
    }

    /// Takes the tenure of such a heap; [`exit`](Self::exit) follows. False: the heap is buried.
    ///
    /// # Safety
    /// As for [`with_tenure`](Self::with_tenure).
    #[inline]
    pub unsafe fn enter(&self, heap: *mut Heap) -> bool {
        let mut spins = 0u32;
        // SAFETY: a live heap.
        unsafe {
            while !(*heap).tenure.try_enter() {
                spins += 1;
                if spins < 64 {
                    core::hint::spin_loop();
                } else if (*heap).tenure.is_dead() {
                    return false;
                } else {
                    self.os.yield_now();
                }
            }
        }
        true
    }

    /// Gives the tenure of such a heap back.
    ///
    /// # Safety
    /// The caller has it from [`enter`](Self::enter).
    pub unsafe fn exit(&self, heap: *mut Heap) {
        // SAFETY: the caller's heap.
        unsafe {
            // Nobody comes back here soon: nothing waits.
            self.flush_batches(heap);
            self.leave(heap);
        }
    }

    /// A first-class heap, parked; null: no memory. To be used through
    /// [`with_tenure`](Self::with_tenure).
    pub fn new_user_heap(&self) -> *mut Heap {
        let node = self.node_here();
        let vacant = match self.node(node).lock(&self.os, self.os.thread()) {
            Some(mut stores) => stores.pool.unpark_vacant(),
            None => null_mut(),
        };
        if !vacant.is_null() {
            // SAFETY: a heap taken out of the pool. A late token may have made it claim an orphan:
            // it starts without spans, or it would end with blocks of others.
            let ready = unsafe {
                self.with_tenure(vacant, || {
                    self.settle(vacant, true);
                    (*vacant).front.role = Role::User;
                })
            };
            if ready.is_some() {
                self.counters.heaps.fetch_add(1, Ordering::Relaxed);
                return vacant;
            }
        }
        let heap = self.new_heap(node, Role::User);
        if !heap.is_null() {
            // SAFETY: ours alone.
            unsafe { self.leave(heap) };
        }
        heap
    }

    /// Ends a first-class heap and frees all its blocks.
    ///
    /// # Safety
    /// Nobody uses the heap or a block of it any more.
    pub unsafe fn destroy_user_heap(&self, heap: *mut Heap) {
        // SAFETY: the caller's heap.
        unsafe {
            if self.with_tenure(heap, || self.release_all(heap)).is_none() {
                return;
            }
            self.retire_heap(heap);
        }
    }

    /// The heap of threads whose own has been parked (destructors that run after the exit hook).
    /// Null: no memory. To be used through [`with_tenure`](Self::with_tenure).
    pub fn late_heap(&self) -> *mut Heap {
        let late = self.late.load(Ordering::Acquire);
        if !late.is_null() {
            return late;
        }
        let heap = self.new_heap(0, Role::Thread);
        if heap.is_null() {
            return heap;
        }
        // SAFETY: ours alone so far.
        unsafe { self.leave(heap) };
        match self.late.compare_exchange(null_mut(), heap, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => heap,
            Err(other) => {
                // SAFETY: nobody else knows it.
                unsafe { self.retire_heap(heap) };
                other
            }
        }
    }

    /// Files a heap without spans for whoever needs one next.
    ///
    /// # Safety
    /// The heap is parked, has no spans, and nobody uses it.
    pub(crate) unsafe fn retire_heap(&self, heap: *mut Heap) {
        self.counters.heaps.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: the caller's heap.
        unsafe {
            // Stale readers of the role only choose between two correct ways to send a block home.
            (*heap).front.role = Role::Thread;
            if let Some(mut stores) = self.node((*heap).node as usize).lock(&self.os, self.os.thread()) {
                stores.pool.park(heap, true, 0);
            }
        }
    }

    // Fork.

    /// Before a fork: closes the nodes' locks, in order, so that what they guard is whole in the
    /// child. A lock that this thread holds already (the fork comes from a signal handler that
    /// interrupted it) is left as it is.
    pub fn fork_prepare(&self) {
        let thread = self.os.thread();
        self.for_each_node(|_, node| node.raw_lock().hold_for_fork(&self.os, thread));
    }

    /// After a fork, in the parent: opens what [`fork_prepare`](Self::fork_prepare) closed.
    pub fn fork_parent(&self) {
        let thread = self.os.thread();
        self.for_each_node(|_, node| node.raw_lock().end_fork(&self.os, thread));
    }

    /// After a fork, in the child: opens the locks, and parks the heaps of the threads that are not
    /// here any more.
    ///
    /// A heap whose thread was in the middle of a slow path is buried: its blocks stay valid, its free
    /// memory is lost to the child. Where a thread was inside the lock, the node's stores begin anew:
    /// spans stay valid, free runs are lost (and shared with the parent, so they cost no memory).
    ///
    /// # Safety
    /// The process has this one thread; `own` is its front.
    pub unsafe fn fork_child(&self, own: *mut Front) {
        self.purger.store(0, Ordering::Relaxed);
        self.limits.in_child(self.os.thread());
        let late = self.late.load(Ordering::Relaxed);
        let thread = self.os.thread();
        let (mut mine, mut torn) = (false, 0u64);
        // SAFETY: alone in the process; a node whose lock is not ours is nobody's.
        unsafe {
            self.for_each_node(|index, node| match node.raw_lock().in_child(thread) {
                InChild::Whole => {}
                InChild::Mine => mine = true,
                InChild::Torn => {
                    let stores = node.alone();
                    stores.pages.begin_anew();
                    stores.pool.begin_anew(stores.pages.generation());
                    torn |= 1 << index;
                }
            });
            self.for_each_heap(|heap| {
                let tenure = &(*heap).tenure;
                let pool = &mut self.node((*heap).node as usize).alone().pool;
                let thread = (*heap).front.role == Role::Thread && heap != late;
                if tenure.is_parked() && thread && torn >> (*heap).node & 1 == 1 {
                    pool.park(heap, false, 0);
                }
                if heap.cast() == own || tenure.is_dead() || tenure.is_parked() {
                    return;
                }
                let settled = !Heap::is_unsettled(heap);
                if settled && thread && tenure.is_owned() && !mine {
                    tenure.orphaned_by_fork();
                    pool.park(heap, false, 0);
                    self.counters.heaps.fetch_sub(1, Ordering::Relaxed);
                } else if settled && !thread {
                    // Entered, but its lists are whole.
                    tenure.orphaned_by_fork();
                } else {
                    tenure.bury();
                    if heap == late {
                        self.late.store(null_mut(), Ordering::Relaxed);
                    }
                }
            });
            // Nobody else is here, nor about to have a heap.
            let has_heap = own.as_ref().is_some_and(|own| own.role == Role::Thread);
            self.counters.own.store(u64::from(has_heap), Ordering::Relaxed);
            if !mine {
                self.for_each_node(|_, node| node.alone().pool.drop_dead());
                self.crowd_in_child(own);
            }
        }
    }
}

/// \file
/// `stratalloc::heap`: a heap of one's own, whose blocks can be freed all at once.
#ifndef STRATALLOC_HEAP_HPP
#define STRATALLOC_HEAP_HPP

#include <stratalloc/detail/config.hpp>

#include <exception>
#include <utility>

namespace stratalloc {

namespace detail {

STRATALLOC_COLD inline void* heap_allocate_slow(strat_heap* heap, std::size_t size, std::size_t alignment) {
    if (heap == nullptr || !is_power_of_two(alignment)) {
        throw_bad_alloc(); // no handler can help
    }
    return retry([=]() noexcept { return strat_heap_aligned_alloc(heap, alignment, size); });
}

/// A block of `heap`. With `alignment` known when compiling, one call.
inline void* heap_allocate(strat_heap* heap, std::size_t size, std::size_t alignment) {
    void* const block = alignment <= min_alignment ? strat_heap_malloc(heap, size)
                                                   : strat_heap_aligned_alloc(heap, alignment, size);
    return STRATALLOC_LIKELY(block != nullptr) ? block : heap_allocate_slow(heap, size, alignment);
}

} // namespace detail

/// A first-class heap: its blocks lie apart from all others, and end with it.
///
/// For what belongs together and ends together: a request, a session, a plug-in. Ending the heap costs a step for each
/// span of 64 KiB and more, not one for each block. Destructors do not run: the memory goes, nothing else.
///
/// - Cost: 3.3 KiB, and for each size class in use a span, of which the touched pages count. A call takes an atomic
///   exchange more than one of the process heap.
/// - Threads: any thread may allocate and free; one is inside at a time. Ending or moving the heap needs it alone.
/// - Ownership: owns its blocks. Allocators and resources that are bound to it hold its handle, which moves with the
///   heap: they stay valid when the heap object is moved, and must not be used after it has ended.
///
/// \code
/// stratalloc::heap heap;
/// std::vector<int, stratalloc::heap_allocator<int>> numbers{heap};
/// numbers.assign(1000, 7);
/// \endcode
class heap {
public:
    /// A new, empty heap.
    /// \throws std::bad_alloc where there is no memory for it.
    heap() : handle_(strat_heap_new()) {
        if (handle_ == nullptr) {
            detail::throw_bad_alloc();
        }
    }

    /// Takes over a heap from strat_heap_new; null is allowed.
    explicit heap(strat_heap* handle) noexcept : handle_(handle) {}

    /// The moved-from heap has no handle: it can be assigned to and ended, nothing else.
    heap(heap&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

    /// Ends this heap with all its blocks, and takes over the other.
    heap& operator=(heap&& other) noexcept {
        if (this != &other) {
            strat_heap_destroy(handle_);
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }

    heap(const heap&) = delete;
    heap& operator=(const heap&) = delete;

    /// Frees every block that is left, and the heap.
    ~heap() { strat_heap_destroy(handle_); }

    /// A block of `size` bytes at a multiple of `alignment`, a power of two. Size 0 is a block like any other.
    /// \throws std::bad_alloc after the new handler gave up.
    [[nodiscard]] void* allocate(std::size_t size, std::size_t alignment = alignof(std::max_align_t)) {
        return detail::heap_allocate(handle_, size, alignment);
    }

    /// As `allocate`, but null where the block cannot be had; the new handler is not asked.
    [[nodiscard]] void* try_allocate(std::size_t size,
                                     std::size_t alignment = alignof(std::max_align_t)) noexcept {
        return alignment <= detail::min_alignment ? strat_heap_malloc(handle_, size)
                                                  : strat_heap_aligned_alloc(handle_, alignment, size);
    }

    /// Ends a block's life; null is allowed. Blocks of any heap are taken, those of this one faster.
    void deallocate(void* block) noexcept { strat_heap_free(handle_, block); }

    /// Whether a live block, by its first byte, lies in this heap.
    [[nodiscard]] bool contains(const void* block) const noexcept {
        return strat_heap_contains(handle_, block);
    }

    /// Calls `visitor(block, usable_size)` for each block in use, until it returns false (a visitor that returns
    /// nothing sees all). True when all were visited. The visitor may free what it is shown by strat_free; of the
    /// heap's own functions it must call none, they would wait for ever. What it throws ends the visit and comes out here.
    ///
    /// \code
    /// stratalloc::heap heap;
    /// void* block = heap.allocate(100);
    /// std::size_t bytes = 0;
    /// heap.visit([&](void*, std::size_t usable) { bytes += usable; });
    /// assert(bytes >= 100);
    /// heap.deallocate(block);
    /// \endcode
    template <class Visitor> bool visit(Visitor&& visitor) {
        visit_state<std::remove_reference_t<Visitor>> state{&visitor};
        const bool all =
            strat_heap_visit(handle_, &visit_state<std::remove_reference_t<Visitor>>::call, &state);
#if STRATALLOC_EXCEPTIONS
        if (state.thrown) {
            std::rethrow_exception(state.thrown);
        }
#endif
        return all;
    }

    /// The heap as the C functions take it; still owned by this object.
    [[nodiscard]] strat_heap* native_handle() const noexcept { return handle_; }

    /// Gives the heap out of this object's hands: strat_heap_destroy is the caller's to call.
    [[nodiscard]] strat_heap* release() noexcept { return std::exchange(handle_, nullptr); }

    friend void swap(heap& a, heap& b) noexcept { std::swap(a.handle_, b.handle_); }

private:
    template <class Visitor> struct visit_state {
        Visitor* visitor;
#if STRATALLOC_EXCEPTIONS
        std::exception_ptr thrown{};
#endif

        static bool call(void* block, std::size_t size, void* argument) {
            auto& self = *static_cast<visit_state*>(argument);
#if STRATALLOC_EXCEPTIONS
            // No exception may pass through the library's frames.
            try {
                return self.invoke(block, size);
            } catch (...) {
                self.thrown = std::current_exception();
                return false;
            }
#else
            return self.invoke(block, size);
#endif
        }

        bool invoke(void* block, std::size_t size) {
            if constexpr (std::is_void_v<std::invoke_result_t<Visitor&, void*, std::size_t>>) {
                (*visitor)(block, size);
                return true;
            } else {
                return static_cast<bool>((*visitor)(block, size));
            }
        }
    };

    strat_heap* handle_;
};

} // namespace stratalloc

#endif

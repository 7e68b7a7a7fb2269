/// \file
/// Allocators for the standard's containers: `allocator<T>` on the process heap, `heap_allocator<T>` on a heap of
/// one's own.
#ifndef STRATALLOC_ALLOCATOR_HPP
#define STRATALLOC_ALLOCATOR_HPP

#include <stratalloc/heap.hpp>

namespace stratalloc {

/// The standard allocator on the process heap, the one that malloc of this library uses.
///
/// Stateless: all are equal, containers swap and move by handing their memory over. In constant evaluation (C++20) it
/// is std::allocator.
///
/// - Cost: one call for each allocation, its size and alignment computed when compiling where they are constant; freed
///   with the size.
/// - Threads: any, also for a block that another thread allocated.
/// - Ownership: the container's.
///
/// \code
/// std::vector<int, stratalloc::allocator<int>> numbers{1, 2, 3};
/// std::map<int, int, std::less<>, stratalloc::allocator<std::pair<const int, int>>> squares{{2, 4}};
/// \endcode
template <class T> class allocator {
    static_assert(std::is_same_v<T, std::remove_cv_t<T>>,
                  "an allocator's value type is neither const nor volatile");

public:
    using value_type = T;
    using size_type = std::size_t;
    using difference_type = std::ptrdiff_t;
    using propagate_on_container_move_assignment = std::true_type;
    using is_always_equal = std::true_type;

    constexpr allocator() noexcept = default;
    template <class U> constexpr allocator(const allocator<U>&) noexcept {}

    /// Memory for `count` elements, none of them constructed.
    /// \throws std::bad_array_new_length where that many have no size, std::bad_alloc after the new handler gave up.
    [[nodiscard]] STRATALLOC_CONSTEXPR20 T* allocate(size_type count) {
        if (STRATALLOC_IS_CONSTANT_EVALUATED()) {
            return std::allocator<T>().allocate(count);
        }
        return static_cast<T*>(detail::allocate(detail::bytes_of<T>(count), alignof(T)));
    }

    /// As `allocate`, and says for how many elements the block really has room. Any count from `count` to the
    /// returned one may be given to `deallocate`. Containers of C++23 ask this on their own; for others see
    /// `stratalloc::reserve`.
    /// \throws As `allocate`.
    [[nodiscard]] STRATALLOC_CONSTEXPR20 allocation_result<T*> allocate_at_least(size_type count) {
        if (STRATALLOC_IS_CONSTANT_EVALUATED()) {
            return {std::allocator<T>().allocate(count), count};
        }
        if constexpr (alignof(T) <= detail::min_alignment) {
            const strat_sized_block got = strat_malloc_at_least(detail::bytes_of<T>(count));
            if (STRATALLOC_LIKELY(got.block != nullptr)) {
                return {static_cast<T*>(got.block), got.size / sizeof(T)};
            }
        }
        T* const block = allocate(count);
        return {block, strat_usable_size(block) / sizeof(T)};
    }

    /// Frees what `allocate(count)` returned.
    STRATALLOC_CONSTEXPR20 void deallocate(T* block, size_type count) noexcept {
        if (STRATALLOC_IS_CONSTANT_EVALUATED()) {
            return std::allocator<T>().deallocate(block, count);
        }
        detail::deallocate(block, count * sizeof(T), alignof(T));
    }
};

/// Always: what one allocates, any other may free.
template <class T, class U> constexpr bool operator==(const allocator<T>&, const allocator<U>&) noexcept {
    return true;
}
template <class T, class U> constexpr bool operator!=(const allocator<T>&, const allocator<U>&) noexcept {
    return false;
}

/// The standard allocator on a `heap`.
///
/// A container stays in the heap it was made in: copy and move assignment keep the target's heap and, between unequal
/// heaps, copy or move element by element, so that nothing which outlives a heap ends up in it by an assignment. A
/// copy-constructed container is in its source's heap. `swap` exchanges the heaps along with the contents, because
/// the standard leaves it undefined otherwise. Splicing list nodes between unequal heaps is undefined, says the
/// standard; `stratalloc::transfer` does what is possible instead.
///
/// - Cost: `allocator`'s, and an atomic exchange a call. One pointer in each container.
/// - Threads: as `heap`: any.
/// - Ownership: does not own the heap, which must outlive every container in it. A container whose elements need no
///   destructor may simply be forgotten before its heap ends.
///
/// \code
/// stratalloc::heap request;
/// using string = std::basic_string<char, std::char_traits<char>, stratalloc::heap_allocator<char>>;
/// string text{"a text too long to fit into the string object itself", request};
/// assert(request.contains(text.data()));
/// \endcode
template <class T> class heap_allocator {
    static_assert(std::is_same_v<T, std::remove_cv_t<T>>,
                  "an allocator's value type is neither const nor volatile");

public:
    using value_type = T;
    using size_type = std::size_t;
    using difference_type = std::ptrdiff_t;
    using propagate_on_container_copy_assignment = std::false_type;
    using propagate_on_container_move_assignment = std::false_type;
    using propagate_on_container_swap = std::true_type;
    using is_always_equal = std::false_type;

    /// On `home`, which must outlive what is allocated.
    heap_allocator(heap& home) noexcept : heap_(home.native_handle()) {}
    /// On a heap from strat_heap_new.
    explicit heap_allocator(strat_heap* home) noexcept : heap_(home) {}
    template <class U> heap_allocator(const heap_allocator<U>& other) noexcept
        : heap_(other.native_handle()) {}

    /// Memory for `count` elements, none of them constructed.
    /// \throws std::bad_array_new_length where that many have no size, std::bad_alloc after the new handler gave up.
    [[nodiscard]] T* allocate(size_type count) {
        return static_cast<T*>(detail::heap_allocate(heap_, detail::bytes_of<T>(count), alignof(T)));
    }

    /// As `allocate`, and says for how many elements the block really has room.
    /// \throws As `allocate`.
    [[nodiscard]] allocation_result<T*> allocate_at_least(size_type count) {
        if constexpr (alignof(T) <= detail::min_alignment) {
            const strat_sized_block got = strat_heap_malloc_at_least(heap_, detail::bytes_of<T>(count));
            if (STRATALLOC_LIKELY(got.block != nullptr)) {
                return {static_cast<T*>(got.block), got.size / sizeof(T)};
            }
        }
        T* const block = allocate(count);
        return {block, strat_usable_size(block) / sizeof(T)};
    }

    /// Frees what `allocate` of any heap's allocator returned.
    void deallocate(T* block, size_type) noexcept { strat_heap_free(heap_, block); }

    /// The heap as the C functions take it.
    [[nodiscard]] strat_heap* native_handle() const noexcept { return heap_; }

private:
    strat_heap* heap_;
};

/// Equal: on the same heap.
template <class T, class U> bool operator==(const heap_allocator<T>& a, const heap_allocator<U>& b) noexcept {
    return a.native_handle() == b.native_handle();
}
template <class T, class U> bool operator!=(const heap_allocator<T>& a, const heap_allocator<U>& b) noexcept {
    return !(a == b);
}

} // namespace stratalloc

#endif

/// \file
/// Many blocks of one size by one call.
#ifndef STRATALLOC_BATCH_HPP
#define STRATALLOC_BATCH_HPP

#include <stratalloc/memory.hpp>

#include <algorithm>
#include <vector>

namespace stratalloc {

/// Fills `blocks` with `count` blocks of `size` bytes at a multiple of `alignment`: all of them or none.
///
/// - Cost: one call; less a block than single allocations.
/// - Ownership: the caller's; each block may be freed alone, or together by `deallocate_batch`.
///
/// \code
/// void* blocks[16];
/// stratalloc::allocate_batch(blocks, 16, 48);
/// stratalloc::deallocate_batch(blocks, 16);
/// \endcode
///
/// \throws std::bad_alloc after the new handler gave up; no block is left then.
inline void allocate_batch(void** blocks, std::size_t count, std::size_t size,
                           std::size_t alignment = alignof(std::max_align_t)) {
    if (!detail::is_power_of_two(alignment)) {
        detail::throw_bad_alloc();
    }
    std::size_t made = 0;
    detail::on_failure undo([&]() noexcept { strat_free_batch(blocks, made); });
    for (;;) {
        made += alignment <= detail::min_alignment
                    ? strat_malloc_batch(size, count - made, blocks + made)
                    : strat_aligned_malloc_batch(alignment, size, count - made, blocks + made);
        if (STRATALLOC_LIKELY(made == count)) {
            undo.dismiss();
            return;
        }
        const std::new_handler handler = std::get_new_handler();
        if (handler == nullptr) {
            detail::throw_bad_alloc();
        }
        handler();
    }
}

/// Frees `count` blocks of any size, by one call. Null entries are allowed.
inline void deallocate_batch(void* const* blocks, std::size_t count) noexcept {
    strat_free_batch(blocks, count);
}

/// `count` objects, each made from the same `arguments`, in blocks that were allocated together. Each is owned alone
/// and may be moved out of the vector. When a constructor throws, all are gone.
///
/// \code
/// auto nodes = stratalloc::make_unique_batch<std::pair<int, int>>(100, 1, 2);
/// assert(nodes.size() == 100 && nodes[99]->second == 2);
/// stratalloc::destroy_batch(nodes);
/// \endcode
///
/// \throws std::bad_alloc, or what the constructor throws.
template <class T, class... Arguments> [[nodiscard]] std::vector<unique_ptr<T>, allocator<unique_ptr<T>>>
make_unique_batch(std::size_t count, const Arguments&... arguments) {
    std::vector<unique_ptr<T>, allocator<unique_ptr<T>>> objects;
    objects.reserve(count);
    constexpr std::size_t room = 64;
    void* blocks[room];
    while (objects.size() < count) {
        const std::size_t wanted = std::min(room, count - objects.size());
        allocate_batch(blocks, wanted, sizeof(T), alignof(T));
        std::size_t used = 0;
        detail::on_failure undo([&]() noexcept { strat_free_batch(blocks + used, wanted - used); });
        for (; used < wanted; ++used) {
            objects.emplace_back(::new (blocks[used]) T(arguments...)); // there is room: it does not throw
        }
        undo.dismiss();
    }
    return objects;
}

/// Destroys what the pointers in `objects` own, frees the blocks together, and leaves the vector empty.
template <class T, class Allocator>
void destroy_batch(std::vector<unique_ptr<T>, Allocator>& objects) noexcept {
    constexpr std::size_t room = 64;
    void* blocks[room];
    std::size_t filled = 0;
    for (unique_ptr<T>& owner : objects) {
        if (T* const object = owner.release()) {
            blocks[filled++] = detail::block_of(object);
            object->~T();
            if (filled == room) {
                strat_free_batch(blocks, filled);
                filled = 0;
            }
        }
    }
    strat_free_batch(blocks, filled);
    objects.clear();
}

} // namespace stratalloc

#endif

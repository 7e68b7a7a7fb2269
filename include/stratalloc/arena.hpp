/// \file
/// Arenas, whose memory is freed as a whole: `monotonic_arena` for what lives a frame or a phase, `pool_arena` for
/// nodes that come and go, and `arena_allocator<T, Arena>` for containers in one without a virtual call.
#ifndef STRATALLOC_ARENA_HPP
#define STRATALLOC_ARENA_HPP

#include <stratalloc/heap.hpp>

#include <algorithm>
#include <functional>
#include <iterator>
#include <utility>

namespace stratalloc {

/// Hands out memory by moving a pointer through chunks, and takes all of it back at once.
///
/// Unlike std::pmr::monotonic_buffer_resource it can be reused: `reset` keeps the chunks, so that a frame loop stops
/// calling the allocator after its first frames, and `mark` with `rewind` give back what a phase took. A block that is
/// freed first after it was allocated last goes back at once. AddressSanitizer reports the use of memory that was
/// rewound.
///
/// - Cost: a few instructions; a chunk from the process heap where the current one is full. Chunks double from
///   the first one's size to 1 MiB; a larger block gets a chunk of its own.
/// - Threads: one at a time.
/// - Ownership: owns its chunks, not the objects: no destructor runs.
///
/// \code
/// stratalloc::monotonic_arena arena;
/// for (int frame = 0; frame < 3; ++frame) {
///     auto* positions = static_cast<float*>(arena.allocate(3000 * sizeof(float), alignof(float)));
///     positions[0] = static_cast<float>(frame);
///     arena.reset();
/// }
/// \endcode
class monotonic_arena {
    struct chunk;

public:
    /// A place in an arena to come back to.
    class marker {
        friend class monotonic_arena;
        chunk* current = nullptr;
        unsigned char* top = nullptr;
    };

    /// The first chunk has `first_chunk` bytes and is taken when it is needed.
    explicit monotonic_arena(std::size_t first_chunk = default_chunk) noexcept
        : next_size_(std::max(first_chunk, smallest_chunk)) {}

    /// Starts in the caller's `buffer` of `size` bytes, which must outlive the arena; chunks follow when it is full.
    monotonic_arena(void* buffer, std::size_t size) noexcept
        : buffer_(static_cast<unsigned char*>(buffer)), buffer_end_(buffer_ + size), top_(buffer_),
          end_(buffer_end_), next_size_(std::clamp(size, default_chunk, largest_chunk)) {
        detail::poison(buffer_, size);
    }

    monotonic_arena(const monotonic_arena&) = delete;
    monotonic_arena& operator=(const monotonic_arena&) = delete;

    ~monotonic_arena() {
        free_chunks(first_);
        detail::unpoison(buffer_, static_cast<std::size_t>(buffer_end_ - buffer_));
    }

    /// `size` bytes at a multiple of `alignment`, a power of two. Of size 0, an address that is nobody's; it may be null.
    /// \throws std::bad_alloc after the new handler gave up.
    [[nodiscard]] void* allocate(std::size_t size, std::size_t alignment = alignof(std::max_align_t)) {
        const std::size_t pad = detail::padding(top_, alignment);
        const auto room = static_cast<std::size_t>(end_ - top_);
        if (STRATALLOC_LIKELY(pad <= room && size <= room - pad)) {
            return take(top_ + pad, size);
        }
        return allocate_slow(size, alignment);
    }

    /// Gives a block back if it was the last one allocated; otherwise it stays until the arena goes back past it.
    void deallocate(void* block, std::size_t size, std::size_t = alignof(std::max_align_t)) noexcept {
        auto* const start = static_cast<unsigned char*>(block);
        detail::poison(start, size);
        if (start + size == top_) {
            top_ = start;
        }
    }

    /// A `T` in the arena. Its destructor will not run, so it must not need one.
    /// \throws std::bad_alloc, or what the constructor throws.
    template <class T, class... Arguments> [[nodiscard]] T* create(Arguments&&... arguments) {
        static_assert(std::is_trivially_destructible_v<T>, "an arena runs no destructors");
        return ::new (allocate(sizeof(T), alignof(T))) T(std::forward<Arguments>(arguments)...);
    }

    /// `count` value-initialised elements in the arena.
    /// \throws std::bad_array_new_length, std::bad_alloc, or what the constructor throws.
    template <class T> [[nodiscard]] T* create_array(std::size_t count) {
        static_assert(std::is_trivially_destructible_v<T>, "an arena runs no destructors");
        auto* const first = static_cast<T*>(allocate(detail::bytes_of<T>(count), alignof(T)));
        std::uninitialized_value_construct_n(first, count);
        return first;
    }

    /// Where the arena is now.
    [[nodiscard]] marker mark() const noexcept {
        marker here;
        here.current = current_;
        here.top = top_;
        return here;
    }

    /// Takes back all that was allocated since `mark` returned this marker, in one step; the chunks are kept. Markers
    /// are used last first: one that was rewound past, or taken before `reset` or `release`, is no good any more.
    void rewind(const marker& place) noexcept {
        // Where blocks from before the mark went back meanwhile, the arena may be below it already.
        if (place.current != current_) {
            poison_after(place.current);
            current_ = place.current;
            end_ = current_ == nullptr ? buffer_end_ : current_->end();
            top_ = place.top;
        } else {
            top_ = std::min(top_, place.top, std::less<unsigned char*>());
        }
        detail::poison(top_, static_cast<std::size_t>(end_ - top_));
    }

    /// Takes back everything; the chunks are kept for what comes next.
    void reset() noexcept {
        current_ = nullptr;
        top_ = buffer_;
        end_ = buffer_end_;
        poison_after(nullptr);
        detail::poison(buffer_, static_cast<std::size_t>(buffer_end_ - buffer_));
    }

    /// Takes back everything and frees the chunks.
    void release() noexcept {
        reset();
        free_chunks(std::exchange(first_, nullptr));
    }

    /// Bytes that the arena has from the allocator, in use or not.
    [[nodiscard]] std::size_t held() const noexcept { return held_; }

    /// Goes back to where the arena was when this was made.
    ///
    /// \code
    /// stratalloc::monotonic_arena arena;
    /// {
    ///     stratalloc::monotonic_arena::scope scratch(arena);
    ///     static_cast<void>(arena.allocate(1000));
    /// } // the thousand bytes are free again
    /// \endcode
    class scope {
    public:
        explicit scope(monotonic_arena& arena) noexcept : arena_(arena), start_(arena.mark()) {}
        scope(const scope&) = delete;
        scope& operator=(const scope&) = delete;
        ~scope() { arena_.rewind(start_); }

    private:
        monotonic_arena& arena_;
        marker start_;
    };

private:
    /// The head of each chunk; its memory follows.
    struct chunk {
        chunk* next;
        std::size_t size; // with the head

        unsigned char* begin() noexcept { return reinterpret_cast<unsigned char*>(this + 1); }
        unsigned char* end() noexcept { return reinterpret_cast<unsigned char*>(this) + size; }
    };

    static constexpr std::size_t smallest_chunk = 256;
    static constexpr std::size_t default_chunk = 4096;
    static constexpr std::size_t largest_chunk = std::size_t{1} << 20;

    void* take(unsigned char* start, std::size_t size) noexcept {
        top_ = start + size;
        detail::unpoison(start, size);
        return start;
    }

    STRATALLOC_COLD void* allocate_slow(std::size_t size, std::size_t alignment) {
        constexpr std::size_t most = std::numeric_limits<std::size_t>::max() / 4; // of each: no sum overflows
        if (!detail::is_power_of_two(alignment) || alignment > most || size > most) {
            detail::throw_bad_alloc();
        }
        const std::size_t need = sizeof(chunk) + size + (alignment > detail::min_alignment ? alignment : 0);
        // A chunk kept from before that is too small makes room for one that is not, so that what is kept stays near
        // what was in use at once.
        chunk** const link = current_ == nullptr ? &first_ : &current_->next;
        while (*link != nullptr && (*link)->size < need) {
            chunk* const small = *link;
            *link = small->next;
            small->next = nullptr;
            free_chunks(small);
        }
        if (*link == nullptr) {
            const std::size_t wanted = std::max(need, next_size_);
            strat_sized_block got = strat_malloc_at_least(wanted);
            if (got.block == nullptr) {
                got.block = detail::allocate_slow(wanted, detail::min_alignment);
                got.size = wanted;
            }
            *link = ::new (got.block) chunk{nullptr, got.size};
            held_ += got.size;
            next_size_ = std::min(next_size_ * 2, largest_chunk);
        }
        current_ = *link;
        end_ = current_->end();
        detail::poison(current_->begin(), static_cast<std::size_t>(end_ - current_->begin()));
        return take(current_->begin() + detail::padding(current_->begin(), alignment), size);
    }

    void free_chunks(chunk* from) noexcept {
        while (from != nullptr) {
            chunk* const next = from->next;
            held_ -= from->size;
            detail::unpoison(from, from->size);
            strat_free_sized(from, from->size);
            from = next;
        }
    }

    /// Under AddressSanitizer, makes the chunks after `place` out of bounds.
    void poison_after([[maybe_unused]] chunk* place) noexcept {
#if STRATALLOC_ASAN
        for (chunk* at = place == nullptr ? first_ : place->next; at != nullptr; at = at->next) {
            detail::poison(at->begin(), static_cast<std::size_t>(at->end() - at->begin()));
        }
#endif
    }

    unsigned char* buffer_ = nullptr;
    unsigned char* buffer_end_ = nullptr;
    unsigned char* top_ = nullptr;
    unsigned char* end_ = nullptr;
    chunk* first_ = nullptr;
    chunk* current_ = nullptr; // null: in the buffer, or nowhere yet
    std::size_t next_size_;
    std::size_t held_ = 0;
};

/// Blocks that come and go, in a heap that ends as a whole: for the nodes of lists, maps and graphs of one thread.
///
/// Blocks up to 1 KiB lie in the order of their first allocation, whatever their size, and go back to a list of their
/// size, from which they are taken again last first. Larger ones are the heap's. Unlike
/// std::pmr::unsynchronized_pool_resource it looks nothing up, neither when it allocates nor when it frees, and its
/// end does not walk its blocks.
///
/// - Cost: a load, a test and a store; a chunk of 4 to 64 KiB from the heap where a list is empty and the chunk full.
/// - Threads: one at a time. For several, `heap` itself is the pool.
/// - Ownership: owns its memory. What was freed is kept for blocks of the same size until `release` or the end.
///
/// \code
/// stratalloc::pool_arena nodes;
/// std::list<int, stratalloc::arena_allocator<int, stratalloc::pool_arena>> queue{nodes};
/// queue.push_back(1);
/// queue.pop_front();
/// \endcode
class pool_arena {
public:
    /// The heap behind is made when it is needed.
    pool_arena() noexcept = default;
    pool_arena(const pool_arena&) = delete;
    pool_arena& operator=(const pool_arena&) = delete;
    ~pool_arena() { release(); }

    /// `size` bytes at a multiple of `alignment`, a power of two.
    /// \throws std::bad_alloc after the new handler gave up.
    [[nodiscard]] void* allocate(std::size_t size, std::size_t alignment = alignof(std::max_align_t)) {
        const std::size_t list = list_of(size);
        if (STRATALLOC_LIKELY(list < lists && alignment <= detail::min_alignment)) {
            if (node* const first = free_[list]) {
                detail::unpoison(first, bytes_in(list));
                free_[list] = first->next;
                return first;
            }
            const std::size_t bytes = bytes_in(list);
            if (static_cast<std::size_t>(end_ - top_) >= bytes) {
                unsigned char* const block = top_;
                top_ += bytes;
                detail::unpoison(block, bytes);
                return block;
            }
        }
        return allocate_slow(size, alignment);
    }

    /// Takes a block back. `size` and `alignment` are those that were asked for.
    void deallocate(void* block, std::size_t size,
                    std::size_t alignment = alignof(std::max_align_t)) noexcept {
        const std::size_t list = list_of(size);
        if (STRATALLOC_LIKELY(list < lists && alignment <= detail::min_alignment)) {
            keep(block, list);
        } else {
            strat_heap_free(heap_, block);
        }
    }

    /// Frees everything at once, live blocks too: a step for each span, none for each block.
    void release() noexcept {
#if STRATALLOC_ASAN
        if (heap_ != nullptr) {
            strat_heap_visit(
                heap_,
                [](void* block, std::size_t size, void*) {
                    detail::unpoison(block, size);
                    return true;
                },
                nullptr);
        }
#endif
        strat_heap_destroy(heap_);
        heap_ = nullptr;
        top_ = end_ = nullptr;
        next_size_ = first_chunk;
        std::fill(std::begin(free_), std::end(free_), nullptr);
    }

private:
    struct node {
        node* next;
    };

    static constexpr std::size_t lists = 64;
    static constexpr std::size_t first_chunk = 4096;
    static constexpr std::size_t largest_chunk = 65536;

    /// Sizes 0 to 16 are in list 0, then 16 bytes a list.
    static constexpr std::size_t list_of(std::size_t size) noexcept {
        return (size - (size != 0)) / detail::min_alignment;
    }
    static constexpr std::size_t bytes_in(std::size_t list) noexcept {
        return (list + 1) * detail::min_alignment;
    }

    void keep(void* block, std::size_t list) noexcept {
        free_[list] = ::new (block) node{free_[list]};
        detail::poison(block, bytes_in(list));
    }

    STRATALLOC_COLD void* allocate_slow(std::size_t size, std::size_t alignment) {
        if (heap_ == nullptr) {
            heap_ = strat_heap_new();
            if (heap_ == nullptr) {
                heap_ = static_cast<strat_heap*>(
                    detail::retry([]() noexcept { return static_cast<void*>(strat_heap_new()); }));
            }
        }
        const std::size_t list = list_of(size);
        if (list >= lists || alignment > detail::min_alignment) {
            return detail::heap_allocate(heap_, size, alignment);
        }
        auto* const chunk =
            static_cast<unsigned char*>(detail::heap_allocate(heap_, next_size_, detail::min_alignment));
        // What is left of the old chunk is a block of its own size.
        if (top_ != end_) {
            detail::unpoison(top_, static_cast<std::size_t>(end_ - top_));
            keep(top_, list_of(static_cast<std::size_t>(end_ - top_)));
        }
        top_ = chunk;
        end_ = chunk + next_size_;
        next_size_ = std::min(next_size_ * 2, largest_chunk);
        detail::poison(top_, static_cast<std::size_t>(end_ - top_));
        const std::size_t bytes = bytes_in(list);
        top_ += bytes;
        detail::unpoison(chunk, bytes);
        return chunk;
    }

    unsigned char* top_ = nullptr;
    unsigned char* end_ = nullptr;
    node* free_[lists] = {};
    strat_heap* heap_ = nullptr;
    std::size_t next_size_ = first_chunk;
};

/// The standard allocator on an arena, or on anything else with `allocate(size, alignment)` and
/// `deallocate(block, size, alignment)`; no virtual call.
///
/// A container stays in its arena, as with `heap_allocator`: assignments between unequal arenas go element by element,
/// `swap` exchanges the arenas too.
///
/// - Cost: the arena's, inlined; one pointer in each container.
/// - Threads: the arena's.
/// - Ownership: does not own the arena, which must outlive every container in it.
///
/// \code
/// stratalloc::monotonic_arena frame;
/// std::vector<int, stratalloc::arena_allocator<int, stratalloc::monotonic_arena>> visible{frame};
/// visible.push_back(3);
/// \endcode
template <class T, class Arena> class arena_allocator {
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
    template <class U> struct rebind { using other = arena_allocator<U, Arena>; };

    /// On `home`, which must outlive what is allocated.
    arena_allocator(Arena& home) noexcept : arena_(&home) {}
    template <class U> arena_allocator(const arena_allocator<U, Arena>& other) noexcept
        : arena_(&other.arena()) {}

    /// Memory for `count` elements, none of them constructed.
    /// \throws std::bad_array_new_length where that many have no size, else as the arena.
    [[nodiscard]] T* allocate(size_type count) {
        return static_cast<T*>(arena_->allocate(detail::bytes_of<T>(count), alignof(T)));
    }

    /// Gives back what `allocate(count)` of an equal allocator returned.
    void deallocate(T* block, size_type count) noexcept {
        arena_->deallocate(block, count * sizeof(T), alignof(T));
    }

    /// The arena.
    [[nodiscard]] Arena& arena() const noexcept { return *arena_; }

private:
    Arena* arena_;
};

/// Equal: on the same arena.
template <class T, class U, class Arena>
bool operator==(const arena_allocator<T, Arena>& a, const arena_allocator<U, Arena>& b) noexcept {
    return &a.arena() == &b.arena();
}
template <class T, class U, class Arena>
bool operator!=(const arena_allocator<T, Arena>& a, const arena_allocator<U, Arena>& b) noexcept {
    return !(a == b);
}

} // namespace stratalloc

#endif

/// \file
/// Memory resources for std::pmr: the process heap, a heap of one's own, and the arenas of `arena.hpp`.
#ifndef STRATALLOC_MEMORY_RESOURCE_HPP
#define STRATALLOC_MEMORY_RESOURCE_HPP

#include <stratalloc/arena.hpp>

#if !defined(__has_include) || !__has_include(<memory_resource>)
#error "stratalloc/memory_resource.hpp needs the standard's <memory_resource>: GCC 9, libc++ 16 or newer"
#endif

#include <memory_resource>

namespace stratalloc {

/// The process heap as a std::pmr resource. All of them are equal; one that lives for ever is `get_memory_resource()`.
///
/// - Cost: `allocator`'s and a virtual call.
/// - Threads: any.
/// - Ownership: none; blocks may also be freed by `strat_free`.
///
/// \code
/// std::pmr::vector<int> numbers{stratalloc::get_memory_resource()};
/// numbers.push_back(1);
/// \endcode
class memory_resource final : public std::pmr::memory_resource {
private:
    void* do_allocate(std::size_t size, std::size_t alignment) override {
        return detail::allocate(size, alignment);
    }
    void do_deallocate(void* block, std::size_t size, std::size_t alignment) override {
        detail::deallocate(block, size, alignment);
    }
    bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
#if STRATALLOC_RTTI
        return this == &other || dynamic_cast<const memory_resource*>(&other) != nullptr;
#else
        return this == &other;
#endif
    }
};

/// The process heap as a resource that is never destroyed: for `std::pmr::set_default_resource`, and for containers
/// that live as long as the process.
inline memory_resource* get_memory_resource() noexcept {
    alignas(memory_resource) static unsigned char place[sizeof(memory_resource)];
    static memory_resource* const resource = ::new (static_cast<void*>(place)) memory_resource;
    return resource;
}

/// A `heap` as a std::pmr resource: a pool for any thread whose blocks go all at once.
///
/// Equal: on the same heap.
///
/// - Cost: `heap_allocator`'s and a virtual call.
/// - Threads: any; the end needs it alone.
/// - Ownership: by default owns a heap of its own, which ends with the resource. Made on a `heap`, it borrows that.
///
/// \code
/// stratalloc::heap_resource request;
/// std::pmr::vector<std::pmr::string> lines{&request};
/// lines.emplace_back("its characters lie in the same heap as the vector's elements");
/// \endcode
class heap_resource final : public std::pmr::memory_resource {
public:
    /// On a heap of its own.
    /// \throws std::bad_alloc where there is no memory for it.
    heap_resource() : heap_(own_.native_handle()) {}
    /// On `home`, which must outlive the resource.
    explicit heap_resource(heap& home) noexcept : own_(nullptr), heap_(home.native_handle()) {}
    heap_resource(const heap_resource&) = delete;
    heap_resource& operator=(const heap_resource&) = delete;

    /// The heap as the C functions take it.
    [[nodiscard]] strat_heap* native_handle() const noexcept { return heap_; }

private:
    void* do_allocate(std::size_t size, std::size_t alignment) override {
        return detail::heap_allocate(heap_, size, alignment);
    }
    void do_deallocate(void* block, std::size_t, std::size_t) override { strat_heap_free(heap_, block); }
    bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
#if STRATALLOC_RTTI
        const auto* const same = dynamic_cast<const heap_resource*>(&other);
        return same != nullptr && same->heap_ == heap_;
#else
        return this == &other;
#endif
    }

    heap own_;
    strat_heap* heap_;
};

/// An arena as a std::pmr resource. Equal: the same one.
///
/// - Cost: the arena's and a virtual call, which compilers leave out where they see the resource.
/// - Threads: one at a time.
/// - Ownership: owns the arena; `arena()` gives it for `reset`, `mark`, `release`.
template <class Arena> class arena_resource final : public std::pmr::memory_resource {
public:
    /// Arguments are the arena's.
    template <class... Arguments> explicit arena_resource(Arguments&&... arguments)
        : arena_(std::forward<Arguments>(arguments)...) {}
    arena_resource(const arena_resource&) = delete;
    arena_resource& operator=(const arena_resource&) = delete;

    /// The arena, which may also be used directly.
    [[nodiscard]] Arena& arena() noexcept { return arena_; }

private:
    void* do_allocate(std::size_t size, std::size_t alignment) override {
        return arena_.allocate(size, alignment);
    }
    void do_deallocate(void* block, std::size_t size, std::size_t alignment) override {
        arena_.deallocate(block, size, alignment);
    }
    bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
        return this == &other;
    }

    Arena arena_;
};

/// A `monotonic_arena` for std::pmr: unlike std::pmr::monotonic_buffer_resource it can be reset and rewound.
///
/// \code
/// stratalloc::monotonic_resource frame;
/// for (int number = 0; number < 3; ++number) {
///     {
///         std::pmr::vector<int> visible{&frame};
///         visible.assign(100, number);
///     }
///     frame.arena().reset();
/// }
/// \endcode
using monotonic_resource = arena_resource<monotonic_arena>;

/// A `pool_arena` for std::pmr: in place of std::pmr::unsynchronized_pool_resource. For several threads, take a
/// `heap_resource`.
///
/// \code
/// stratalloc::pool_resource pool;
/// std::pmr::map<int, std::pmr::string> names{&pool};
/// names.emplace(1, "one");
/// \endcode
using pool_resource = arena_resource<pool_arena>;

} // namespace stratalloc

#endif

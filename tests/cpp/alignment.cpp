// Over-aligned types from every entry point, and the types against false sharing.
#include "check.hpp"

#include <atomic>
#include <cstring>
#include <list>
#include <map>
#include <vector>

namespace {

template <std::size_t Alignment> struct alignas(Alignment) wide {
    std::uint64_t value = Alignment;
    wide() { CHECK(check::aligned(this, Alignment)); }
    wide(const wide& other) : value(other.value) { CHECK(check::aligned(this, Alignment)); }
    wide& operator=(const wide&) = default;
    ~wide() { CHECK(check::aligned(this, Alignment) && value == Alignment); }
};

// At least one of these blocks would lie wrong if the alignment were lost: they differ in size and are many.
template <class Type, class Allocate> void many(Allocate allocate) {
    for (std::size_t count = 1; count < 70; ++count) {
        CHECK(check::aligned(allocate(count), alignof(Type)));
    }
}

template <std::size_t Alignment> void everywhere() {
    using type = wide<Alignment>;
    stratalloc::heap heap;
    std::vector<type, stratalloc::allocator<type>> numbers;
    std::list<type, stratalloc::heap_allocator<type>> nodes(heap);
    stratalloc::pool_arena pool;
    stratalloc::monotonic_arena monotonic;
    std::map<int, type, std::less<>,
             stratalloc::arena_allocator<std::pair<const int, type>, stratalloc::pool_arena>>
        map(pool);
    std::vector<type, stratalloc::arena_allocator<type, stratalloc::monotonic_arena>> arena(monotonic);
    for (int i = 0; i < 40; ++i) {
        numbers.emplace_back();
        nodes.emplace_back();
        map[i];
        arena.emplace_back();
        static_cast<void>(monotonic.allocate(3, 1)); // what comes next starts at an odd place
    }
    many<type>([&](std::size_t count) {
        stratalloc::allocator<type> from;
        type* const block = from.allocate(count);
        from.deallocate(block, count);
        const auto roomy = from.allocate_at_least(count);
        CHECK(check::aligned(roomy.ptr, Alignment) && roomy.count >= count);
        from.deallocate(roomy.ptr, roomy.count);
        return block;
    });
    many<type>([&](std::size_t) { return monotonic.allocate(1, Alignment); });
    auto one = stratalloc::make_unique<type>();
    auto several = stratalloc::make_unique<type[]>(7);
    auto there = stratalloc::make_unique_in<type>(heap);
    auto shared = stratalloc::make_shared<type>();
    CHECK(check::aligned(&several[3], Alignment));
    auto batch = stratalloc::make_unique_batch<type>(100);
    stratalloc::destroy_batch(batch);
    stratalloc::fixed_object_pool<type> fixed;
    auto a = fixed.acquire(), b = fixed.acquire();
    stratalloc::object_pool<type> objects;
    auto c = objects.acquire(), d = objects.acquire();
    std::shared_ptr<type> e = objects.acquire_shared();
#if __has_include(<memory_resource>)
    std::pmr::vector<type> on_process(stratalloc::get_memory_resource());
    stratalloc::heap_resource heap_resource;
    std::pmr::list<type> on_heap(&heap_resource);
    stratalloc::pool_resource pool_resource;
    std::pmr::list<type> on_pool(&pool_resource);
    for (int i = 0; i < 10; ++i) {
        on_process.emplace_back();
        on_heap.emplace_back();
        on_pool.emplace_back();
    }
#endif
}

} // namespace

TEST(types_aligned_to_16) { everywhere<16>(); }
TEST(types_aligned_to_32) { everywhere<32>(); }
TEST(types_aligned_to_64) { everywhere<64>(); }
TEST(types_aligned_to_a_page) { everywhere<4096>(); }

TEST(cache_aligned_objects_share_no_line) {
    using counter = stratalloc::cache_aligned<std::atomic<int>>;
    static_assert(alignof(counter) == stratalloc::cache_line && sizeof(counter) == stratalloc::cache_line);
    static_assert(alignof(stratalloc::cache_aligned<wide<4096>>) == 4096);
    static_assert(std::is_trivially_copyable_v<stratalloc::cache_aligned<int>>);
    std::vector<counter, stratalloc::allocator<counter>> counters(8);
    for (counter& one : counters) {
        CHECK(check::aligned(&one, stratalloc::cache_line));
        one->fetch_add(2);
        *one += 1;
        CHECK(one.value == 3);
    }
    const stratalloc::cache_aligned<std::pair<int, int>> pair{{1, 2}};
    CHECK(pair->first == 1 && (*pair).second == 2);
}

TEST(aligned_buffers_own_their_bytes) {
    for (std::size_t alignment = 1; alignment <= 65536; alignment *= 2) {
        for (const std::size_t size :
             {std::size_t{0}, std::size_t{1}, std::size_t{100}, std::size_t{70000}}) {
            stratalloc::aligned_buffer buffer(size, alignment);
            CHECK(check::aligned(buffer.data(), alignment) && buffer.size() == size);
            CHECK(buffer.alignment() == alignment && buffer.empty() == (size == 0));
            std::memset(buffer.data(), 0x5a, size);
            stratalloc::aligned_buffer moved(std::move(buffer));
            CHECK(buffer.data() == nullptr && buffer.empty()); // what moving leaves behind is documented
            CHECK(size == 0 || moved[size - 1] == std::byte{0x5a});
            buffer = stratalloc::aligned_buffer::zeroed(size, alignment);
            for (const std::byte byte : buffer) {
                CHECK(byte == std::byte{0});
            }
            swap(buffer, moved);
            CHECK(moved.size() == size && buffer.size() == size);
        }
    }
    THROWS(std::bad_alloc, stratalloc::aligned_buffer(100, check::hide(std::size_t{48})));
    THROWS(std::bad_alloc, stratalloc::aligned_buffer(100, check::hide(std::size_t{0})));
}

// What throws, and that nothing is lost when it does: constructors that throw in every place that constructs, memory
// that cannot be had, counts that overflow, the new handler.
#include "check.hpp"

#include <cstdint>
#include <list>
#include <map>
#include <vector>

using check::counted;

namespace {

constexpr std::size_t too_many = SIZE_MAX / 2;   // elements of 4 bytes: no size
constexpr std::size_t too_large = SIZE_MAX / 16; // bytes: no memory

int handler_calls = 0;

void gives_up_at_the_third_call() {
    if (++handler_calls == 3) {
        std::set_new_handler(nullptr);
    }
}

struct from_handler {};
void throws_its_own() { throw from_handler(); }

// Throws std::bad_alloc, and asked the new handler three times first.
template <class Call> void runs_out(Call call) {
    handler_calls = 0;
    std::set_new_handler(gives_up_at_the_third_call);
    THROWS(std::bad_alloc, call());
    CHECK(handler_calls == 3);
    std::set_new_handler(throws_its_own);
    THROWS(from_handler, call());
    std::set_new_handler(nullptr);
}

// Runs `call` with the constructor throwing at each of its constructions in turn, until it gets through. Nothing of
// the type may be alive after any of these.
template <class Call> void throws_at_every_construction(Call call) {
    for (int at = 0;; ++at) {
        CHECK(at < 1000);
        counted::throw_at = at;
        bool thrown = false;
        try {
            call();
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        const bool used = counted::throw_at == -1;
        counted::throw_at = -1;
        CHECK(counted::living == 0);
        CHECK(thrown == used);
        if (!thrown) {
            CHECK(at > 0); // it did construct something
            return;
        }
    }
}

} // namespace

TEST(memory_that_cannot_be_had_is_bad_alloc) {
    stratalloc::heap heap;
    stratalloc::monotonic_arena monotonic;
    stratalloc::pool_arena pool;
    const std::size_t size = check::hide(too_large);
    runs_out([&] { static_cast<void>(stratalloc::allocator<char>().allocate(size)); });
    runs_out([&] { static_cast<void>(stratalloc::allocator<char>().allocate_at_least(size)); });
    runs_out([&] {
        static_cast<void>(stratalloc::allocator<stratalloc::cache_aligned<char>>().allocate(size / 128));
    });
    runs_out([&] { static_cast<void>(stratalloc::heap_allocator<char>(heap).allocate(size)); });
    runs_out([&] { static_cast<void>(heap.allocate(size, 4096)); });
    runs_out([&] { static_cast<void>(monotonic.allocate(size)); });
    runs_out([&] { static_cast<void>(pool.allocate(size)); });
    runs_out([&] { static_cast<void>(stratalloc::make_unique<char[]>(size)); });
    runs_out([&] { static_cast<void>(stratalloc::make_unique_in<char[]>(heap, size)); });
    runs_out([&] { stratalloc::aligned_buffer buffer(size, 64); });
    void* blocks[3] = {};
    runs_out([&] { stratalloc::allocate_batch(blocks, 3, size); });
#if __has_include(<memory_resource>)
    runs_out([&] { static_cast<void>(stratalloc::get_memory_resource()->allocate(size)); });
    stratalloc::heap_resource resource;
    runs_out([&] { static_cast<void>(resource.allocate(size, 64)); });
#endif
    CHECK(heap.try_allocate(size) == nullptr && heap.try_allocate(size, 4096) == nullptr);
    CHECK(check::blocks_in(heap.native_handle()) == 0);
    // All of them still work.
    CHECK(monotonic.allocate(10) != nullptr && pool.allocate(10) != nullptr);
}

TEST(counts_without_a_size_are_bad_array_new_length) {
    stratalloc::heap heap;
    stratalloc::pool_arena pool;
    stratalloc::monotonic_arena monotonic;
    const std::size_t count = check::hide(too_many);
    THROWS(std::bad_array_new_length, stratalloc::allocator<int>().allocate(count));
    THROWS(std::bad_array_new_length, stratalloc::allocator<int>().allocate_at_least(count));
    THROWS(std::bad_array_new_length, stratalloc::heap_allocator<int>(heap).allocate(count));
    THROWS(std::bad_array_new_length,
           stratalloc::arena_allocator<int, stratalloc::pool_arena>(pool).allocate(count));
    THROWS(std::bad_array_new_length, monotonic.create_array<int>(count));
    THROWS(std::bad_array_new_length, stratalloc::make_unique<int[]>(count));
    THROWS(std::bad_array_new_length, stratalloc::make_unique_for_overwrite<int[]>(count));
    THROWS(std::bad_array_new_length, stratalloc::make_unique_in<int[]>(heap, count));
}

TEST(alignments_that_are_no_powers_of_two_are_bad_alloc) {
    stratalloc::heap heap;
    stratalloc::monotonic_arena monotonic;
    stratalloc::pool_arena pool;
    void* block = nullptr;
    std::set_new_handler(throws_its_own); // must not be asked: it cannot help
    THROWS(std::bad_alloc, heap.allocate(10, check::hide(std::size_t{24})));
    THROWS(std::bad_alloc, monotonic.allocate(1 << 20, check::hide(std::size_t{24})));
    THROWS(std::bad_alloc, monotonic.allocate(1, check::hide(SIZE_MAX / 2 + 1)));
    THROWS(std::bad_alloc, pool.allocate(10, check::hide(std::size_t{24})));
    THROWS(std::bad_alloc, stratalloc::allocate_batch(&block, 1, 10, check::hide(std::size_t{24})));
    std::set_new_handler(nullptr);
}

TEST(a_batch_is_whole_or_not_there) {
    // Fails after some of the blocks were made: the address space ends before they do.
    const std::size_t size = check::hide(std::size_t{1} << 40);
    std::vector<void*> blocks(1000);
    THROWS(std::bad_alloc, stratalloc::allocate_batch(blocks.data(), blocks.size(), size));
    stratalloc::allocate_batch(blocks.data(), blocks.size(), 64);
    for (void* const block : blocks) {
        CHECK(block != nullptr && strat_usable_size(block) >= 64);
    }
    stratalloc::deallocate_batch(blocks.data(), blocks.size());
}

TEST(constructors_that_throw_leak_nothing) {
    throws_at_every_construction([] { static_cast<void>(stratalloc::make_unique<counted>(1)); });
    throws_at_every_construction([] { static_cast<void>(stratalloc::make_unique<counted[]>(20)); });
    throws_at_every_construction([] { static_cast<void>(stratalloc::make_unique_for_overwrite<counted>()); });
    throws_at_every_construction(
        [] { static_cast<void>(stratalloc::make_unique_for_overwrite<counted[]>(20)); });
    throws_at_every_construction([] { static_cast<void>(stratalloc::make_shared<counted>(1)); });
    throws_at_every_construction([] {
        auto batch = stratalloc::make_unique_batch<counted>(150, 3); // three runs of blocks
        stratalloc::destroy_batch(batch);
    });
    throws_at_every_construction([] { std::vector<counted, stratalloc::allocator<counted>> numbers(30); });

    stratalloc::heap heap;
    throws_at_every_construction([&] { static_cast<void>(stratalloc::make_unique_in<counted>(heap, 1)); });
    throws_at_every_construction([&] { static_cast<void>(stratalloc::make_unique_in<counted[]>(heap, 20)); });
    throws_at_every_construction([&] { static_cast<void>(stratalloc::make_shared_in<counted>(heap, 1)); });
    throws_at_every_construction([&] {
        std::list<counted, stratalloc::heap_allocator<counted>> nodes(heap);
        std::map<int, counted, std::less<>, stratalloc::heap_allocator<std::pair<const int, counted>>> map(
            heap);
        for (int i = 0; i < 10; ++i) {
            nodes.emplace_back(i);
            map.try_emplace(i, i);
        }
    });
    CHECK(check::blocks_in(heap.native_handle()) == 0);
}

TEST(pools_survive_constructors_that_throw) {
    stratalloc::fixed_object_pool<counted> fixed(3);
    throws_at_every_construction([&] {
        auto a = fixed.acquire(1), b = fixed.acquire(2);
        std::shared_ptr<counted> c = fixed.acquire_shared(3);
    });
    CHECK(fixed.live() == 0);
    {
        auto a = fixed.acquire(1), b = fixed.acquire(2), c = fixed.acquire(3);
        THROWS(std::bad_alloc, fixed.acquire(4));
        CHECK(fixed.try_acquire(4) == nullptr && counted::living == 3);
    }
    CHECK(counted::living == 0 && fixed.live() == 0);

    // Of a pool that is limited to two, failed attempts must not count against the limit.
    stratalloc::object_pool<counted> objects([] { return counted(7); }, 2);
    for (int i = 0; i < 5; ++i) {
        counted::throw_at = 0;
        THROWS(std::runtime_error, objects.acquire());
    }
    {
        auto a = objects.acquire(), b = objects.try_acquire();
        CHECK(a && b && objects.try_acquire() == nullptr && objects.size() == 2);
    }
    CHECK(objects.idle() == 2 && objects.shrink() == 2 && counted::living == 0 && objects.size() == 0);
}

TEST(a_reset_that_throws_or_refuses_destroys_the_object) {
    enum class mood { keeps, refuses, throws };
    static mood now = mood::keeps;
    stratalloc::object_pool<counted> objects([] { return counted(7); },
                                             [](counted&) {
                                                 if (now == mood::throws) {
                                                     throw std::runtime_error("reset");
                                                 }
                                                 return now == mood::keeps;
                                             });
    objects.acquire().reset();
    CHECK(objects.idle() == 1 && counted::living == 1);
    now = mood::refuses;
    objects.acquire().reset();
    CHECK(objects.idle() == 0 && objects.size() == 0 && counted::living == 0);
    now = mood::throws;
    objects.acquire().reset();
    CHECK(objects.idle() == 0 && objects.size() == 0 && counted::living == 0);
}

TEST(what_cannot_throw_says_so) {
    using alloc = stratalloc::allocator<int>;
    static_assert(noexcept(std::declval<alloc&>().deallocate(nullptr, 1)));
    static_assert(std::is_nothrow_move_constructible_v<stratalloc::heap> &&
                  std::is_nothrow_move_assignable_v<stratalloc::heap>);
    static_assert(std::is_nothrow_move_constructible_v<stratalloc::aligned_buffer> &&
                  std::is_nothrow_move_assignable_v<stratalloc::aligned_buffer>);
    static_assert(std::is_nothrow_move_constructible_v<stratalloc::object_pool<int>> &&
                  std::is_nothrow_move_constructible_v<stratalloc::fixed_object_pool<int>>);
    static_assert(noexcept(std::declval<stratalloc::monotonic_arena&>().reset())&& noexcept(
        std::declval<stratalloc::pool_arena&>().release()));
    static_assert(!noexcept(std::declval<alloc&>().allocate(1)));
    static_assert(std::is_nothrow_default_constructible_v<stratalloc::monotonic_arena> &&
                  std::is_nothrow_default_constructible_v<stratalloc::pool_arena>);
}

// Arenas: blocks do not overlap, reset and rewind give memory back without giving chunks back, and what is kept stays
// near what was in use. A model of live ranges is the oracle.
#include "check.hpp"

#include <cstring>
#include <list>
#include <map>
#include <vector>

namespace {

using stratalloc::monotonic_arena;
using stratalloc::pool_arena;

// Live blocks by address, each filled with a byte of its own.
class model {
public:
    void add(void* block, std::size_t size, std::size_t alignment) {
        CHECK(check::aligned(block, alignment));
        auto* const start = static_cast<unsigned char*>(block);
        if (size == 0) {
            return;
        }
        const auto after = blocks_.lower_bound(start);
        CHECK(after == blocks_.end() || start + size <= after->first);
        CHECK(after == blocks_.begin() || std::prev(after)->first + std::prev(after)->second.size <= start);
        const auto byte = static_cast<unsigned char>(++count_);
        std::memset(start, byte, size);
        blocks_[start] = {size, alignment, byte};
    }

    // Takes a block out after looking at its bytes.
    template <class Free> void remove(std::size_t index, Free free) {
        auto at = std::next(blocks_.begin(), static_cast<std::ptrdiff_t>(index));
        verify(*at);
        free(at->first, at->second.size, at->second.alignment);
        blocks_.erase(at);
    }

    void forget() {
        for (const auto& block : blocks_) {
            verify(block);
        }
        blocks_.clear();
    }

    std::size_t size() const { return blocks_.size(); }

private:
    struct about {
        std::size_t size;
        std::size_t alignment;
        unsigned char byte;
    };
    static void verify(const std::pair<unsigned char* const, about>& block) {
        for (std::size_t i = 0; i < block.second.size; ++i) {
            CHECK(block.first[i] == block.second.byte);
        }
    }
    std::map<unsigned char*, about> blocks_;
    unsigned count_ = 0;
};

std::size_t some_size(check::random& random) { return random.below(std::size_t{1} << random.below(14)); }

template <class Arena> void random_blocks(Arena& arena, std::uint64_t seed, bool pooled) {
    check::random random(seed);
    model live;
    for (int round = 0; round < 4000; ++round) {
        if (live.size() == 0 || random.below(5) < 3) {
            const std::size_t size = some_size(random);
            const std::size_t alignment = std::size_t{1} << random.below(pooled && size > 0 ? 9 : 5);
            live.add(arena.allocate(size, alignment), size, alignment);
        } else {
            live.remove(random.below(live.size()), [&](void* block, std::size_t size, std::size_t alignment) {
                arena.deallocate(block, size, alignment);
            });
        }
    }
    live.forget();
}

} // namespace

TEST(monotonic_blocks_do_not_overlap) {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        monotonic_arena arena(std::size_t{64} << seed);
        random_blocks(arena, seed, false);
        arena.reset();
        random_blocks(arena, seed + 10, false);
    }
}

TEST(pool_blocks_do_not_overlap) {
    pool_arena arena;
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        random_blocks(arena, seed, true);
        arena.release();
    }
}

TEST(a_reset_arena_serves_the_same_frame_without_the_allocator) {
    monotonic_arena arena;
    const auto frame = [&](std::uint64_t seed) {
        check::random random(seed);
        model live;
        for (int i = 0; i < 500; ++i) {
            const std::size_t size = some_size(random);
            live.add(arena.allocate(size, 8), size, 8);
        }
        live.forget();
    };
    frame(1);
    const std::size_t held = arena.held();
    CHECK(held > 0);
    for (int round = 0; round < 20; ++round) {
        arena.reset();
        frame(1);
        CHECK(arena.held() == held);
    }
    arena.release();
    CHECK(arena.held() == 0);
}

TEST(what_a_reset_arena_keeps_is_bounded) {
    monotonic_arena arena;
    std::size_t most_in_use = 0;
    for (std::size_t size = 1000; size < 4000000; size += size / 7) {
        arena.reset();
        static_cast<void>(arena.allocate(100));
        static_cast<void>(arena.allocate(size)); // larger than ever before: fits into no chunk that is kept
        most_in_use = size + 100;
        CHECK(arena.held() <= 4 * most_in_use + 16384);
    }
}

TEST(rewinding_gives_back_what_came_after_the_mark) {
    monotonic_arena arena(256);
    auto* const kept = static_cast<char*>(arena.allocate(100));
    std::memset(kept, 'k', 100);
    const monotonic_arena::marker place = arena.mark();
    void* const first_after = arena.allocate(50);
    for (int i = 0; i < 100; ++i) {
        static_cast<void>(arena.allocate(1000)); // through several chunks
    }
    const std::size_t held = arena.held();
    arena.rewind(place);
    CHECK(arena.allocate(50) == first_after); // the same place again
    for (int i = 0; i < 100; ++i) {
        std::memset(arena.allocate(1000), 'x', 1000);
    }
    CHECK(arena.held() == held);
    for (int i = 0; i < 100; ++i) {
        CHECK(kept[i] == 'k');
    }
}

TEST(scopes_nest) {
    monotonic_arena arena(1024);
    std::vector<void*> seen;
    for (int round = 0; round < 3; ++round) {
        monotonic_arena::scope outer(arena);
        void* const a = arena.allocate(64);
        {
            monotonic_arena::scope inner(arena);
            static_cast<void>(arena.allocate(5000));
        }
        void* const b = arena.allocate(64);
        CHECK(b == static_cast<char*>(a) + 64);
        seen.push_back(a);
    }
    CHECK(seen[0] == seen[1] && seen[1] == seen[2]);
}

TEST(a_mark_below_which_the_arena_went_does_not_bring_it_up) {
    monotonic_arena arena(1024);
    void* const first = arena.allocate(100, 16);
    const monotonic_arena::marker place = arena.mark();
    arena.deallocate(first, 100, 16); // the last block: goes back at once
    arena.rewind(place);
    CHECK(arena.allocate(100, 16) == first);
}

TEST(the_last_block_goes_back_at_once) {
    monotonic_arena arena(4096);
    void* const first = arena.allocate(16);
    for (int i = 0; i < 100000; ++i) {
        arena.deallocate(arena.allocate(1000), 1000);
    }
    CHECK(arena.held() <= 8192);
    CHECK(static_cast<char*>(arena.allocate(16)) == static_cast<char*>(first) + 16);
}

TEST(an_arena_starts_in_the_callers_buffer) {
    alignas(16) unsigned char buffer[512];
    {
        monotonic_arena arena(buffer, sizeof buffer);
        auto* const a = static_cast<unsigned char*>(arena.allocate(400));
        CHECK(a >= buffer && a + 400 <= buffer + sizeof buffer && arena.held() == 0);
        auto* const b = static_cast<unsigned char*>(arena.allocate(400));
        CHECK((b < buffer || b >= buffer + sizeof buffer) && arena.held() >= 400);
        arena.reset();
        CHECK(arena.allocate(400) == a);
        const monotonic_arena::marker place = arena.mark();
        static_cast<void>(arena.allocate(1000));
        arena.rewind(place);
        CHECK(arena.allocate(8) == buffer + 400);
    }
    std::memset(buffer, 1, sizeof buffer); // the caller's again
    CHECK(buffer[511] == 1);
}

TEST(objects_are_created_in_an_arena) {
    struct point {
        int x, y;
        point(int with_x, int with_y) : x(with_x), y(with_y) {}
    };
    monotonic_arena arena;
    const point* const p = arena.create<point>(3, 4);
    CHECK(p->x == 3 && p->y == 4);
    std::memset(arena.allocate(8000), 0xff, 8000);
    arena.reset();
    const int* const zeros = arena.create_array<int>(2000);
    for (int i = 0; i < 2000; ++i) {
        CHECK(zeros[i] == 0);
    }
}

TEST(a_pool_uses_freed_blocks_again) {
    pool_arena arena;
    std::vector<void*> blocks;
    for (int i = 0; i < 1000; ++i) {
        blocks.push_back(arena.allocate(40));
    }
    const std::vector<void*> first = blocks;
    for (int round = 0; round < 10; ++round) {
        for (void* const block : blocks) {
            arena.deallocate(block, 40);
        }
        for (std::size_t i = 0; i < 1000; ++i) {
            blocks[i] = arena.allocate(33 + i % 16);                 // the same list
            CHECK(blocks[i] == first[round % 2 == 0 ? 999 - i : i]); // last in, first out
        }
    }
}

TEST(a_pool_that_is_released_gives_all_back) {
    struct strat_stats before = {}, after = {};
    before.size = after.size = sizeof before;
    pool_arena arena;
    CHECK(strat_stats_get(&before) == 0);
    for (int round = 0; round < 50; ++round) {
        for (int i = 0; i < 20000; ++i) {
            static_cast<void>(arena.allocate(48));
        }
        static_cast<void>(arena.allocate(1 << 20));
        arena.release();
    }
    CHECK(strat_stats_get(&after) == 0);
    CHECK(after.allocated <= before.allocated + 4096);
}

// Under AddressSanitizer the use of memory that went back is an error, which ends the program: the driver runs these
// by name and expects it.
#if STRATALLOC_ASAN
TEST(asan_sees_the_use_of_a_rewound_block) {
    if (std::getenv("EXPECT_DEATH") == nullptr) {
        return;
    }
    monotonic_arena arena;
    auto* const block = static_cast<volatile char*>(arena.allocate(100));
    arena.reset();
    block[50] = 1;
}

TEST(asan_sees_the_use_of_a_freed_pool_block) {
    if (std::getenv("EXPECT_DEATH") == nullptr) {
        return;
    }
    pool_arena arena;
    auto* const block = static_cast<volatile char*>(arena.allocate(100));
    arena.deallocate(const_cast<char*>(block), 100);
    block[50] = 1;
}

TEST(asan_sees_an_overflow_within_an_arena) {
    if (std::getenv("EXPECT_DEATH") == nullptr) {
        return;
    }
    monotonic_arena arena;
    auto* const block = static_cast<volatile char*>(arena.allocate(100));
    block[check::hide(100)] = 1; // the rest of the chunk was not handed out
}
#endif

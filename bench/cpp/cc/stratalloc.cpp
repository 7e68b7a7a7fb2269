// Ours, each of the ways in which a C++ program can have it. The library is linked in, so it is malloc here.
#include <stratalloc/allocator.hpp>
#include <stratalloc/memory_resource.hpp>

#include "run.hpp"

namespace {

using namespace bench;

// The library linked in and nothing else changed.
struct Linked : Stateless {
    static constexpr auto name = "strat-std", group = "threads", party = "ours";
    struct Store {
        explicit Store(Shared&) {}
        template <class T> std::allocator<T> get() { return {}; }
        void rewind() {}
    };
};

struct Strat : Stateless {
    static constexpr auto name = "strat", group = "threads", party = "ours";
    struct Store {
        explicit Store(Shared&) {}
        template <class T> stratalloc::allocator<T> get() { return {}; }
        void rewind() {}
    };
};

struct Pmr : Stateless {
    static constexpr auto name = "strat-pmr", group = "threads", party = "ours";
    struct Store {
        explicit Store(Shared&) {}
        template <class T> std::pmr::polymorphic_allocator<T> get() { return stratalloc::get_memory_resource(); }
        void rewind() {}
    };
};

// A heap of its own for each thread's container.
struct Heap : Stateless {
    static constexpr auto name = "strat-heap", group = "own", party = "ours";
    struct Store {
        explicit Store(Shared&) {}
        template <class T> stratalloc::heap_allocator<T> get() { return heap; }
        void rewind() {}
        stratalloc::heap heap;
    };
};

struct HeapPmr : Stateless {
    static constexpr auto name = "strat-heap-pmr", group = "own", party = "ours";
    struct Store {
        explicit Store(Shared&) {}
        template <class T> std::pmr::polymorphic_allocator<T> get() { return &heap; }
        void rewind() {}
        stratalloc::heap_resource heap;
    };
};

struct Pool : Stateless {
    static constexpr auto name = "strat-pool", group = "own", party = "ours";
    struct Store {
        explicit Store(Shared&) {}
        template <class T> stratalloc::arena_allocator<T, stratalloc::pool_arena> get() { return pool; }
        void rewind() {}
        stratalloc::pool_arena pool;
    };
};

struct PoolPmr : Stateless {
    static constexpr auto name = "strat-pool-pmr", group = "own", party = "ours";
    struct Store {
        explicit Store(Shared&) {}
        template <class T> std::pmr::polymorphic_allocator<T> get() { return &pool; }
        void rewind() {}
        stratalloc::pool_resource pool;
    };
};

struct Built : Stateless {
    static constexpr bool takes(const Case& what) { return what.kind.verb == Verb::build; }
};

struct Monotonic : Built {
    static constexpr auto name = "strat-mono", group = "arena", party = "ours";
    struct Store {
        explicit Store(Shared&) {}
        template <class T> stratalloc::arena_allocator<T, stratalloc::monotonic_arena> get() { return arena; }
        void rewind() { arena.reset(); }
        stratalloc::monotonic_arena arena;
    };
};

struct MonotonicPmr : Built {
    static constexpr auto name = "strat-mono-pmr", group = "arena", party = "ours";
    struct Store {
        explicit Store(Shared&) {}
        template <class T> std::pmr::polymorphic_allocator<T> get() { return &arena; }
        // As the standard's, whose only way back this is.
        void rewind() { arena.arena().release(); }
        stratalloc::monotonic_resource arena;
    };
};

}  // namespace

int main(int count, char** words) {
    return program<Linked, Strat, Pmr, Heap, HeapPmr, Pool, PoolPmr, Monotonic, MonotonicPmr>(
        count, words, "stratalloc " + std::string(strat_version()), Bound::here);
}

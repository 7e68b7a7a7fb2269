// On the C library's malloc: the standard allocator, the standard memory resources, and Boost's pools.
#include <gnu/libc-version.h>

#include <boost/pool/pool_alloc.hpp>
#include <boost/version.hpp>
#include <memory_resource>

#include "run.hpp"

namespace {

using namespace bench;

struct Std : Stateless {
    static constexpr auto name = "std", group = "threads", party = "other";
    struct Store {
        explicit Store(Shared&) {}
        template <class T> std::allocator<T> get() { return {}; }
        void rewind() {}
    };
};

// The price of the virtual call alone.
struct PmrNew : Stateless {
    static constexpr auto name = "pmr-new", group = "threads", party = "other";
    struct Store {
        explicit Store(Shared&) {}
        template <class T> std::pmr::polymorphic_allocator<T> get() { return std::pmr::new_delete_resource(); }
        void rewind() {}
    };
};

struct PmrSync : Stateless {
    static constexpr auto name = "pmr-sync-pool", group = "threads", party = "other";
    struct Shared {
        std::pmr::synchronized_pool_resource pool{std::pmr::new_delete_resource()};
    };
    struct Store {
        explicit Store(Shared& shared) : shared(shared) {}
        template <class T> std::pmr::polymorphic_allocator<T> get() { return &shared.pool; }
        void rewind() {}
        Shared& shared;
    };
};

struct PmrUnsync : Stateless {
    static constexpr auto name = "pmr-unsync-pool", group = "own", party = "other";
    struct Store {
        explicit Store(Shared&) {}
        template <class T> std::pmr::polymorphic_allocator<T> get() { return &pool; }
        void rewind() {}
        std::pmr::unsynchronized_pool_resource pool{std::pmr::new_delete_resource()};
    };
};

struct PmrMonotonic : Stateless {
    static constexpr auto name = "pmr-monotonic", group = "arena", party = "other";
    static constexpr bool takes(const Case& what) { return what.kind.verb == Verb::build; }
    struct Store {
        explicit Store(Shared&) {}
        template <class T> std::pmr::polymorphic_allocator<T> get() { return &arena; }
        void rewind() { arena.release(); }
        std::pmr::monotonic_buffer_resource arena{std::pmr::new_delete_resource()};
    };
};

// Boost's pools are singletons, one for each size, under a mutex unless told otherwise. They never give memory back.
// Several objects at once, as a hash table's buckets are, come by a walk over the free list: one that is built over and
// over takes 20 microseconds an element, and is left out.
constexpr bool boost_takes(const Case& what) {
    return what.kind.shape == Shape::nodes && (what.kind.name != "umap-build" || what.extent.size > 100'000);
}

template <class T, class Mutex>
using Fast = boost::fast_pool_allocator<T, boost::default_user_allocator_new_delete, Mutex>;

struct BoostFast : Stateless {
    static constexpr auto name = "boost-fast", group = "threads", party = "other";
    static constexpr bool takes(const Case& what) { return boost_takes(what); }
    struct Store {
        explicit Store(Shared&) {}
        template <class T> Fast<T, boost::details::pool::default_mutex> get() { return {}; }
        void rewind() {}
    };
};

struct BoostFastOwn : Stateless {
    static constexpr auto name = "boost-fast-nolock", group = "own", party = "other";
    // Without its mutex the one pool of the process is one thread's.
    static constexpr bool takes(const Case& what) {
        return boost_takes(what) && what.extent.threads == 1;
    }
    struct Store {
        explicit Store(Shared&) {}
        template <class T> Fast<T, boost::details::pool::null_mutex> get() { return {}; }
        void rewind() {}
    };
};

// The one of the two that is meant for contiguous memory. A free walks the free list: nothing for long tables.
struct BoostPool : Stateless {
    static constexpr auto name = "boost-pool", group = "threads", party = "other";
    static constexpr bool takes(const Case& what) {
        return what.kind.shape == Shape::array && what.extent.size <= 100;
    }
    struct Store {
        explicit Store(Shared&) {}
        template <class T> boost::pool_allocator<T, boost::default_user_allocator_new_delete> get() { return {}; }
        void rewind() {}
    };
};

}  // namespace

int main(int count, char** words) {
    const std::string version = std::string("glibc ") + gnu_get_libc_version() + ", libstdc++ of GCC " + __VERSION__ +
                                ", Boost " + BOOST_LIB_VERSION;
    return program<Std, PmrNew, PmrSync, PmrUnsync, PmrMonotonic, BoostFast, BoostFastOwn, BoostPool>(
        count, words, version, Bound::system);
}

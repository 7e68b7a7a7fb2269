// jemalloc, which has no allocator for containers of its own: one over its sized calls, as a user would write it. Its
// functions carry a prefix here, so the C library keeps malloc.
#include <jemalloc/jemalloc.h>

#include <limits>

#include "run.hpp"

namespace {

using namespace bench;

template <class T>
struct Sized {
    using value_type = T;

    Sized() = default;
    template <class U> Sized(const Sized<U>&) noexcept {}

    T* allocate(std::size_t count) {
        if (count > std::numeric_limits<std::size_t>::max() / sizeof(T)) throw std::bad_array_new_length();
        void* block = _rjem_mallocx(count * sizeof(T), flags);
        if (block == nullptr) throw std::bad_alloc();
        return static_cast<T*>(block);
    }
    void deallocate(T* block, std::size_t count) noexcept { _rjem_sdallocx(block, count * sizeof(T), flags); }

    template <class U> bool operator==(const Sized<U>&) const noexcept { return true; }

private:
    static constexpr int flags = alignof(T) > alignof(std::max_align_t) ? MALLOCX_ALIGN(alignof(T)) : 0;
};

struct Je : Stateless {
    static constexpr auto name = "jemalloc", group = "threads", party = "other";
    struct Store {
        explicit Store(Shared&) {}
        template <class T> Sized<T> get() { return {}; }
        void rewind() {}
    };
};

}  // namespace

int main(int count, char** words) {
    return program<Je>(count, words, "jemalloc " JEMALLOC_VERSION, Bound::system);
}

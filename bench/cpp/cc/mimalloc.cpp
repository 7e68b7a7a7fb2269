// mimalloc's allocators for the standard containers, from its own header. It does not take malloc's place here.
// Compiled once for each version, with NAME and NAME_HEAP as what it is called.
#include <mimalloc.h>

#include "run.hpp"

namespace {

using namespace bench;

struct Mi : Stateless {
    static constexpr auto name = NAME, group = "threads", party = "other";
    struct Store {
        explicit Store(Shared&) {}
        template <class T> mi_stl_allocator<T> get() { return {}; }
        void rewind() {}
    };
};

// A heap of its own for each thread's container.
struct MiHeap : Stateless {
    static constexpr auto name = NAME_HEAP, group = "own", party = "other";
    struct Store {
        explicit Store(Shared&) {}
        template <class T> mi_heap_stl_allocator<T> get() { return mi_heap_stl_allocator<T>(base); }
        void rewind() {}
        mi_heap_stl_allocator<char> base;
    };
};

}  // namespace

int main(int count, char** words) {
    const int number = mi_version();  // two digits for each part
    const auto part = [&](int unit) { return std::to_string(number / unit % 100); };
    const std::string version = "mimalloc " + part(10'000) + "." + part(100) + "." + part(1);
    return program<Mi, MiHeap>(count, words, version, Bound::system);
}

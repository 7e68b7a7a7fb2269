// The headers without exceptions and without run-time type information: everything that does not throw works, and
// what would have to throw says why and aborts. Ends with status 0 where nothing is asked of it.
#include <stratalloc/stratalloc.hpp>

#include <cstring>
#include <list>
#include <map>
#include <string>
#include <vector>

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                     \
            std::_Exit(1);                                                                                   \
        }                                                                                                    \
    } while (false)

static void works() {
    std::vector<int, stratalloc::allocator<int>> numbers(1000, 1);
    CHECK(stratalloc::reserve(numbers, 2000) >= 2000 && numbers[999] == 1);
    stratalloc::heap heap;
    std::map<int, int, std::less<>, stratalloc::heap_allocator<std::pair<const int, int>>> map(heap);
    map[1] = 2;
    CHECK(heap.visit([](void*, std::size_t) {}));
    stratalloc::monotonic_arena monotonic;
    stratalloc::pool_arena pool;
    std::list<int, stratalloc::arena_allocator<int, stratalloc::pool_arena>> list({1, 2}, pool);
    CHECK(*monotonic.create<int>(4) == 4 && list.size() == 2);
    auto one = stratalloc::make_unique<std::string>("text");
    auto several = stratalloc::make_unique<int[]>(10);
    auto shared = stratalloc::make_shared<int>(4);
    auto batch = stratalloc::make_unique_batch<int>(10, 5);
    CHECK(*one == "text" && several[9] == 0 && *shared == 4 && *batch[9] == 5);
    stratalloc::destroy_batch(batch);
    stratalloc::fixed_object_pool<std::string> fixed(1);
    auto fixed_one = fixed.acquire("text");
    CHECK(fixed.try_acquire() == nullptr);
    stratalloc::object_pool<std::string> objects([] { return std::string("made"); },
                                                 [](std::string& text) { text = "reset"; });
    objects.acquire().reset();
    CHECK(*objects.acquire() == "reset");
    stratalloc::aligned_buffer buffer(100, 4096);
    CHECK(buffer.size() == 100);
    stratalloc::memory_resource first, second;
    stratalloc::heap_resource on_heap(heap);
    stratalloc::pool_resource on_pool;
    std::pmr::vector<int> pmr({1, 2, 3}, &on_pool), copy(pmr, &on_heap), last(copy, &first);
    // Without type information, a resource is equal to itself only: no block is freed by the wrong one.
    CHECK(last[2] == 3 && first == first && first != second && on_heap == on_heap && on_heap != on_pool);
}

int main(int argc, char** argv) {
    volatile std::size_t huge = SIZE_MAX / 2;
    if (argc == 1) {
        works();
    } else if (std::strcmp(argv[1], "memory") == 0) {
        static_cast<void>(stratalloc::allocator<char>().allocate(huge));
    } else if (std::strcmp(argv[1], "count") == 0) {
        static_cast<void>(stratalloc::allocator<int>().allocate(huge));
    }
    return 0;
}

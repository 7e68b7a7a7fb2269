/* The same in C++: a container on the installed headers. */
#include <cstdio>
#include <stratalloc/allocator.hpp>
#include <vector>

int main() {
    std::vector<int, stratalloc::allocator<int>> numbers;
    for (int i = 0; i < 1000; i++)
        numbers.push_back(i);
    std::printf("%zu numbers, version %s\n", numbers.size(), strat_version());
    return strat_usable_size(numbers.data()) >= 4000 ? 0 : 1;
}

// What the C++ tests share: a registry of tests, checks that say what differs, types that count or throw.
//
// A test is a function; one program holds all of them and runs them in order of registration. It prints each name
// before it runs, and at the end how many ran. A failed CHECK says where and ends the program with status 1.
#ifndef CHECK_HPP
#define CHECK_HPP

#include <stratalloc/stratalloc.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace check {

struct test {
    const char* name;
    void (*run)();
};

inline std::vector<test>& tests() {
    static std::vector<test> all;
    return all;
}

struct registered {
    registered(const char* name, void (*run)()) { tests().push_back({name, run}); }
};

[[noreturn]] inline void fail(const char* file, int line, const char* condition) {
    std::fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
    std::_Exit(1);
}

// splitmix64; the state is the seed.
class random {
public:
    explicit random(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    std::size_t below(std::size_t limit) { return static_cast<std::size_t>(next() % limit); }

private:
    std::uint64_t state_;
};

// Counts its living instances, and throws from the constructor when `throw_at` more were made.
struct counted {
    static inline int living = 0;
    static inline int throw_at = -1;
    int value;

    static void count() {
        if (throw_at >= 0 && throw_at-- == 0) {
            throw std::runtime_error("counted");
        }
        ++living;
    }
    explicit counted(int with = 0) : value(with) { count(); }
    counted(const counted& other) : value(other.value) { count(); }
    counted& operator=(const counted&) = default;
    ~counted() { --living; }
};

// How many blocks of a heap are in use.
inline std::size_t blocks_in(strat_heap* heap) {
    std::size_t blocks = 0;
    const bool all = strat_heap_visit(
        heap,
        [](void*, std::size_t, void* argument) {
            ++*static_cast<std::size_t*>(argument);
            return true;
        },
        &blocks);
    if (!all) {
        fail(__FILE__, __LINE__, "the heap can be visited");
    }
    return blocks;
}

// Whether an address lies in a block of the heap, not only at its start: an element in its node.
inline bool lies_in(stratalloc::heap& heap, const void* address) {
    const auto wanted = reinterpret_cast<std::uintptr_t>(address);
    return !heap.visit([wanted](void* block, std::size_t size) {
        const auto start = reinterpret_cast<std::uintptr_t>(block);
        return wanted < start || wanted - start >= size;
    });
}

inline bool aligned(const volatile void* address, std::size_t alignment) {
    return reinterpret_cast<std::uintptr_t>(address) % alignment == 0;
}

// Keeps a value from being computed when compiling, and a call from being left out.
template <class T> T hide(T value) {
    __asm__ volatile("" : "+r"(value) : : "memory");
    return value;
}

} // namespace check

#define TEST(name)                                                                                           \
    static void name();                                                                                      \
    static const check::registered name##_registered{#name, &name};                                          \
    static void name()

#define CHECK(...)                                                                                           \
    do {                                                                                                     \
        if (!(__VA_ARGS__))                                                                                  \
            check::fail(__FILE__, __LINE__, #__VA_ARGS__);                                                   \
    } while (false)

// That `expression` throws exactly what it should.
#define THROWS(exception, ...)                                                                               \
    do {                                                                                                     \
        bool thrown = false;                                                                                 \
        try {                                                                                                \
            static_cast<void>(__VA_ARGS__);                                                                  \
        } catch (const exception&) {                                                                         \
            thrown = true;                                                                                   \
        }                                                                                                    \
        if (!thrown)                                                                                         \
            check::fail(__FILE__, __LINE__, #__VA_ARGS__ " throws " #exception);                             \
    } while (false)

#endif

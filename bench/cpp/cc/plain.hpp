// What the measured loops need besides containers: random numbers, memory of their own, clocks.
//
// None of it uses malloc: tables of keys and iterators are mapped, so that the contender's blocks are the container's
// and nobody else's, and the same in every program.
#pragma once

#include <sys/mman.h>
#include <time.h>

#include <barrier>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>

namespace bench {

[[noreturn]] inline void fail(const char* what) {
    std::fprintf(stderr, "%s\n", what);
    std::exit(1);
}

// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): 64 good bits for a few
// instructions, the same sequence for the same seed everywhere.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next() {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }

    // Below `bound`, which is not 0: the high half of a product, no division.
    std::size_t below(std::size_t bound) {
        return static_cast<std::size_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
    }

private:
    std::uint64_t state_;
};

// `count` objects of T, mapped and zeroed. T is constructed and destroyed by whoever uses the slots.
template <class T>
class Plain {
public:
    explicit Plain(std::size_t count) : bytes_(count * sizeof(T)) {
        void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) fail("no memory for a table of the bench's own");
        // Touched now: its page faults are not the contender's.
        std::memset(memory, 0, bytes_);
        slots_ = static_cast<T*>(memory);
    }
    ~Plain() { munmap(static_cast<void*>(slots_), bytes_); }
    Plain(const Plain&) = delete;
    Plain& operator=(const Plain&) = delete;

    T& operator[](std::size_t index) { return slots_[index]; }
    T* slot(std::size_t index) { return slots_ + index; }

private:
    std::size_t bytes_;
    T* slots_ = nullptr;
};

inline double nanoseconds(clockid_t clock) {
    timespec time;
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

// Where the threads of a measurement wait for each other; null where there is one.
using Gate = std::barrier<>;

// A checksum in which order counts: FNV over words.
struct Digest {
    void note(std::uint64_t word) { value = (value ^ word) * 0x100000001b3u; }
    std::uint64_t value = 0xcbf29ce484222325u;
};

// The timed part of one thread's work, and what it computed.
class Lap {
public:
    explicit Lap(Gate* gate) : gate_(gate) {}

    void start() {
        if (gate_ != nullptr) gate_->arrive_and_wait();
        wall -= nanoseconds(CLOCK_MONOTONIC);
        cpu -= nanoseconds(CLOCK_THREAD_CPUTIME_ID);
    }

    void stop(std::uint64_t done) {
        cpu += nanoseconds(CLOCK_THREAD_CPUTIME_ID);
        wall += nanoseconds(CLOCK_MONOTONIC);
        operations += done;
    }
    double wall = 0;
    double cpu = 0;
    std::uint64_t operations = 0;
    Digest digest;

private:
    Gate* gate_;
};

// What a list or a map holds: an order, a session, a row.
struct Item {
    std::uint64_t id;
    std::uint64_t time;
    double price;
    std::uint32_t quantity;
    std::uint32_t side;
    std::uint64_t owner;

    explicit Item(std::uint64_t value)
        : id(value), time(value >> 1), price(static_cast<double>(value & 0xffff)),
          quantity(static_cast<std::uint32_t>(value >> 7)), side(static_cast<std::uint32_t>(value & 1)),
          owner(value >> 20) {}

    std::uint64_t digest() const { return id + quantity + owner; }
};
static_assert(sizeof(Item) == 40 && std::is_trivially_copyable_v<Item>);

}  // namespace bench

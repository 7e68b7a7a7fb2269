// A frame arena: what a game or a simulation needs for one frame only comes from an arena that is reset at the end
// of the frame. After the first frames no allocator is called any more, whatever the frames build.
//
// Lasting state (the bodies) lives in ordinary containers; the grid for finding neighbours, the list of hits and the
// scratch of each phase live in the arena, the last inside a scope that ends with the phase.
//
//   c++ -std=c++17 -O2 frame_arena.cpp -lstratalloc && ./a.out
#include <stratalloc/allocator.hpp>
#include <stratalloc/arena.hpp>

#include <cstdint>
#include <cstdio>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

template <class T> using frame_allocator = stratalloc::arena_allocator<T, stratalloc::monotonic_arena>;
template <class T> using frame_vector = std::vector<T, frame_allocator<T>>;

struct body {
    int x, y, dx, dy; // positions and speeds in whole units, so that every machine computes the same
    int hits = 0;
};

using cells = std::unordered_map<int, frame_vector<int>, std::hash<int>, std::equal_to<int>,
                                 frame_allocator<std::pair<const int, frame_vector<int>>>>;

constexpr int world = 4096;
constexpr int cell = 64;

class simulation {
public:
    explicit simulation(std::size_t count) {
        std::uint32_t state = 1;
        const auto random = [&](int limit) {
            state = state * 1664525u + 1013904223u;
            return static_cast<int>(state >> 16) % limit;
        };
        for (std::size_t i = 0; i < count; ++i) {
            bodies_.push_back({random(world), random(world), random(9) - 4, random(9) - 4});
        }
    }

    /// One frame. Everything temporary comes from `frame`.
    std::size_t step(stratalloc::monotonic_arena& frame) {
        for (body& each : bodies_) {
            each.x = (each.x + each.dx + world) % world;
            each.y = (each.y + each.dy + world) % world;
        }
        const frame_vector<std::pair<int, int>> hits = find_hits(frame);
        for (const auto& [a, b] : hits) {
            std::swap(bodies_[static_cast<std::size_t>(a)].dx, bodies_[static_cast<std::size_t>(b)].dx);
            std::swap(bodies_[static_cast<std::size_t>(a)].dy, bodies_[static_cast<std::size_t>(b)].dy);
            ++bodies_[static_cast<std::size_t>(a)].hits;
        }
        return hits.size();
    }

    std::uint64_t fingerprint() const {
        std::uint64_t sum = 0;
        for (const body& each : bodies_) {
            sum = sum * 31 + static_cast<std::uint64_t>(each.x * world + each.y + each.hits);
        }
        return sum;
    }

private:
    frame_vector<std::pair<int, int>> find_hits(stratalloc::monotonic_arena& frame) const {
        frame_vector<std::pair<int, int>> hits(frame);
        hits.reserve(bodies_.size()); // before the scope: it outlives it
        stratalloc::monotonic_arena::scope scratch(frame);
        cells grid(bodies_.size() / 2, std::hash<int>(), std::equal_to<int>(), frame);
        for (std::size_t i = 0; i < bodies_.size() && hits.size() < hits.capacity(); ++i) {
            const int number = static_cast<int>(i);
            const int key = bodies_[i].y / cell * (world / cell) + bodies_[i].x / cell;
            frame_vector<int>& here = grid.try_emplace(key, frame).first->second;
            for (const int other : here) {
                const body& there = bodies_[static_cast<std::size_t>(other)];
                const int x = bodies_[i].x - there.x, y = bodies_[i].y - there.y;
                if (x * x + y * y < 25 && hits.size() < hits.capacity()) {
                    hits.emplace_back(other, number);
                }
            }
            here.push_back(number);
        }
        return hits;
    } // the grid's memory is free again here, the hits' is not

    std::vector<body, stratalloc::allocator<body>> bodies_;
};

} // namespace

int main() {
    simulation game(5000);
    stratalloc::monotonic_arena frame(64 * 1024);
    std::size_t hits = 0, held = 0;
    int last_growth = 0;
    for (int number = 1; number <= 120; ++number) {
        hits += game.step(frame);
        frame.reset();
        if (frame.held() > held) {
            held = frame.held();
            last_growth = number;
        }
    }
    std::printf("120 frames, %zu hits, fingerprint %016llx\n", hits,
                static_cast<unsigned long long>(game.fingerprint()));
    std::printf("the arena called the allocator after frame 10: %s; it holds less than 2 MiB: %s\n",
                last_growth > 10 ? "yes" : "no", held < 2 * 1024 * 1024 ? "yes" : "no");
}

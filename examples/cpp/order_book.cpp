// An order book on std::pmr: price levels, orders and the index by order number in one pool, which goes as a whole
// when the trading day ends.
//
// An exchange's book makes and drops a node for nearly every message, in three containers, on one thread. A
// `pool_resource` serves those nodes without a lock, orders that came together lie together, and closing the book
// frees no node by itself.
//
//   c++ -std=c++17 -O2 order_book.cpp -lstratalloc && ./a.out
#include <stratalloc/memory_resource.hpp>

#include <cstdint>
#include <cstdio>
#include <list>
#include <map>
#include <unordered_map>

namespace {

enum class side { buy, sell };

using price = std::int64_t; // in cents
using quantity = std::int64_t;
using order_number = std::uint64_t;

struct order {
    order_number number;
    side from;
    price at;
    quantity open;
};

class order_book {
public:
    /// All memory of the book comes from `memory`, which must outlive it.
    explicit order_book(std::pmr::memory_resource* memory) : bids_(memory), asks_(memory), orders_(memory) {}

    /// Matches an order against the other side, best price first and oldest order first; what is left rests in
    /// the book. Returns the quantity that was traded.
    quantity add(order incoming) {
        const quantity wanted = incoming.open;
        if (incoming.from == side::buy) {
            match(incoming, asks_, [&](price best) { return best <= incoming.at; });
        } else {
            match(incoming, bids_, [&](price best) { return best >= incoming.at; });
        }
        if (incoming.open > 0) {
            rest(incoming);
        }
        return wanted - incoming.open;
    }

    /// Takes an order out. False: it is not there (any more).
    bool cancel(order_number number) {
        const auto found = orders_.find(number);
        if (found == orders_.end()) {
            return false;
        }
        const auto resting = found->second;
        if (resting->from == side::buy) {
            remove(bids_, resting);
        } else {
            remove(asks_, resting);
        }
        orders_.erase(found);
        return true;
    }

    std::size_t resting() const { return orders_.size(); }
    std::size_t levels() const { return bids_.size() + asks_.size(); }
    price best_bid() const { return bids_.empty() ? 0 : bids_.begin()->first; }
    price best_ask() const { return asks_.empty() ? 0 : asks_.begin()->first; }

private:
    using level = std::pmr::list<order>; // the oldest order first

    template <class Levels, class Crosses> void match(order& incoming, Levels& levels, Crosses crosses) {
        while (incoming.open > 0 && !levels.empty() && crosses(levels.begin()->first)) {
            level& best = levels.begin()->second;
            order& oldest = best.front();
            const quantity traded = oldest.open < incoming.open ? oldest.open : incoming.open;
            incoming.open -= traded;
            oldest.open -= traded;
            if (oldest.open == 0) {
                orders_.erase(oldest.number);
                best.pop_front();
                if (best.empty()) {
                    levels.erase(levels.begin());
                }
            }
        }
    }

    void rest(const order& incoming) {
        // The list takes the map's resource: no allocator is named here.
        level& queue = incoming.from == side::buy ? bids_[incoming.at] : asks_[incoming.at];
        queue.push_back(incoming);
        orders_.emplace(incoming.number, std::prev(queue.end()));
    }

    template <class Levels> void remove(Levels& levels, level::iterator resting) {
        const auto at = levels.find(resting->at);
        at->second.erase(resting);
        if (at->second.empty()) {
            levels.erase(at);
        }
    }

    std::pmr::map<price, level, std::greater<>> bids_;
    std::pmr::map<price, level> asks_;
    std::pmr::unordered_map<order_number, level::iterator> orders_;
};

} // namespace

int main() {
    stratalloc::pool_resource memory;
    for (int day = 1; day <= 3; ++day) {
        {
            order_book book(&memory);
            quantity traded = 0;
            std::size_t cancelled = 0, most = 0;
            std::uint64_t state = static_cast<std::uint64_t>(day);
            for (order_number number = 1; number <= 200000; ++number) {
                state = state * 6364136223846793005u +
                        1442695040888963407u; // made-up messages, the same each time
                const std::uint64_t random = state >> 33;
                if (random % 8 < 3) {
                    cancelled += book.cancel(number - random % 3000 - 1) ? 1u : 0u;
                } else {
                    const side from = random % 2 == 0 ? side::buy : side::sell;
                    const price spread = static_cast<price>(random / 16 % 200);
                    const price at = from == side::buy ? 10050 - spread : 9950 + spread;
                    traded += book.add({number, from, at, static_cast<quantity>(1 + random / 4096 % 100)});
                }
                most = book.resting() > most ? book.resting() : most;
            }
            std::printf("day %d: traded %lld, cancelled %zu, at most %zu orders in the book\n", day,
                        static_cast<long long>(traded), cancelled, most);
            std::printf("       bid %.2f, ask %.2f, %zu orders left at %zu prices\n",
                        static_cast<double>(book.best_bid()) / 100,
                        static_cast<double>(book.best_ask()) / 100, book.resting(), book.levels());
        }
        memory.arena().release(); // everything of the day, at once
    }
}

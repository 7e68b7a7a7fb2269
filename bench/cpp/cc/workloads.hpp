// The measured loops: each for any contender, any size, any seed.
//
// A contender is a type with
//     Shared                      what all threads share (a pool, or nothing)
//     Store(Shared&)              what one thread's container stands on (a heap, a pool, or nothing)
//     store.get<T>()              an allocator of T for this thread's container
//     store.rewind()              everything was freed; an arena begins anew, others do nothing
//     takes(const Case&)          whether it is made for such a container
//
// The work depends on size, operations and seed only. What was in a container when it goes is part of the checksum.
//
// Each loop is a function of its own that the compiler inlines nowhere, with all that it needs in local variables that
// no call can reach: what the compiler knows about one allocator's functions and not about another's shall change
// the container's code, not the loop around it.
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plain.hpp"

namespace bench {

struct Order {
    std::size_t size;
    std::uint64_t operations;
    std::uint64_t seed;
};

template <class C, class T>
using Alloc = decltype(std::declval<typename C::Store&>().template get<T>());

template <class C> using Words = std::vector<std::uint64_t, Alloc<C, std::uint64_t>>;
template <class C> using Row = std::vector<std::uint32_t, Alloc<C, std::uint32_t>>;
template <class C> using Queue = std::deque<Item, Alloc<C, Item>>;
template <class C> using Text = std::basic_string<char, std::char_traits<char>, Alloc<C, char>>;
template <class C> using List = std::list<Item, Alloc<C, Item>>;
template <class C> using Set = std::set<std::uint64_t, std::less<std::uint64_t>, Alloc<C, std::uint64_t>>;
template <class C>
using Map = std::map<std::uint64_t, Item, std::less<std::uint64_t>, Alloc<C, std::pair<const std::uint64_t, Item>>>;
template <class C>
using Table = std::unordered_map<std::uint64_t, std::uint64_t, std::hash<std::uint64_t>, std::equal_to<std::uint64_t>,
                                 Alloc<C, std::pair<const std::uint64_t, std::uint64_t>>>;

// An empty container on a store.
template <class Container, class Store>
Container empty(Store& store) {
    return Container(typename Container::allocator_type(store.template get<typename Container::value_type>()));
}

inline std::uint64_t digest(std::uint64_t word) { return word; }
inline std::uint64_t digest(const Item& item) { return item.digest(); }
template <class K, class V>
std::uint64_t digest(const std::pair<K, V>& pair) { return pair.first + digest(pair.second); }

// Everything in a container, in its order.
template <class Container>
void note_all(Lap& lap, const Container& container) {
    lap.digest.note(container.size());
    for (const auto& value : container) lap.digest.note(digest(value));
}

// One element more, each container in its way.
template <class... A> void add(std::list<Item, A...>& list, std::uint64_t value) { list.emplace_back(value); }
template <class... A> void add(std::set<std::uint64_t, A...>& set, std::uint64_t value) { set.insert(value); }
template <class... A> void add(std::map<std::uint64_t, Item, A...>& map, std::uint64_t value) {
    map.emplace(value, value);
}
template <class... A>
void add(std::unordered_map<std::uint64_t, std::uint64_t, A...>& table, std::uint64_t value) {
    table.emplace(value, value);
}
template <class A> void add(std::vector<std::uint64_t, A>& words, std::uint64_t value) { words.push_back(value); }

template <class Container>
[[gnu::always_inline]] inline void fill(Container& container, std::size_t size, Random& random) {
    for (std::size_t i = 0; i < size; ++i) add(container, random.next());
}

// How often a container of this size is built for so many elements in all; at least once.
inline std::uint64_t repetitions(const Order& order) {
    const std::uint64_t times = order.operations / order.size;
    return times == 0 ? 1 : times;
}

// Built from nothing, element by element, and torn down; over and over. An operation is an element.
template <class C, class Container>
[[gnu::noinline]] void build(typename C::Shared& shared, const Order order, Lap& lap) {
    typename C::Store store(shared);
    Random random(order.seed);
    const std::uint64_t times = repetitions(order);
    Digest sum;
    for (std::uint64_t i = 0; i < times / 8 + 1; ++i) {
        {
            auto container = empty<Container>(store);
            fill(container, order.size, random);
            note_all(lap, container);
        }
        store.rewind();
    }
    lap.start();
    for (std::uint64_t i = 0; i < times; ++i) {
        {
            auto container = empty<Container>(store);
            fill(container, order.size, random);
            sum.note(container.size() + digest(*container.begin()));
        }
        store.rewind();
    }
    lap.stop(times * order.size);
    lap.digest.note(sum.value);
}

// A container is copied and the copy torn down; over and over. An operation is an element.
template <class C, class Container>
[[gnu::noinline]] void copy(typename C::Shared& shared, const Order order, Lap& lap) {
    typename C::Store store(shared);
    Random random(order.seed);
    auto original = empty<Container>(store);
    fill(original, order.size, random);
    const std::uint64_t times = repetitions(order);
    Digest sum;
    for (std::uint64_t i = 0; i < times / 8 + 1; ++i) note_all(lap, Container(original, original.get_allocator()));
    lap.start();
    for (std::uint64_t i = 0; i < times; ++i) {
        const Container twin(original, original.get_allocator());
        sum.note(twin.size() + digest(*twin.begin()));
    }
    lap.stop(times * order.size);
    lap.digest.note(sum.value);
}

// Takes as many steps as asked for; before the clock starts a quarter as many, and at least the container's size up to
// 100,000: what is measured is not a freshly built container but one that has lived.
// What the steps return is part of the checksum.
template <class Step>
[[gnu::always_inline]] inline void churn(const Order order, Lap& lap, Random& random, Step&& step) {
    const std::uint64_t least = order.size < 100'000 ? order.size : 100'000;
    const std::uint64_t before = order.operations / 4 < least ? least : order.operations / 4;
    const std::uint64_t last = before + order.operations;
    Random own = random;
    Digest sum;
    for (std::uint64_t i = 0; i < last; ++i) {
        if (i == before) [[unlikely]] lap.start();
        sum.note(step(own));
    }
    lap.stop(order.operations);
    lap.digest.note(sum.value);
    random = own;
}

// A table of vectors of 1 to 64 numbers, filled by push_back; a random one is replaced. An operation is a vector.
template <class C>
[[gnu::noinline]] void vector_churn(typename C::Shared& shared, const Order order, Lap& lap) {
    typename C::Store store(shared);
    Random random(order.seed);
    Plain<Row<C>> rows(order.size);
    const auto make = [&](Row<C>* slot, Random& random) __attribute__((always_inline)) {
        Row<C>* row = std::construct_at(slot, empty<Row<C>>(store));
        const std::uint64_t bits = random.next();
        const std::uint32_t length = 1 + (bits & 63);
        for (std::uint32_t i = 0; i < length; ++i) row->push_back(static_cast<std::uint32_t>(bits >> 32) + i);
    };
    for (std::size_t i = 0; i < order.size; ++i) make(rows.slot(i), random);
    churn(order, lap, random, [&](Random& random) __attribute__((always_inline)) {
        Row<C>* row = rows.slot(random.below(order.size));
        const std::uint64_t seen = row->front() + row->size();
        std::destroy_at(row);
        make(row, random);
        return seen;
    });
    for (std::size_t i = 0; i < order.size; ++i) {
        lap.digest.note(rows[i].back());
        std::destroy_at(rows.slot(i));
    }
}

// A queue of constant length: one in at the back, one out at the front. An operation is such a pair.
template <class C>
[[gnu::noinline]] void deque_churn(typename C::Shared& shared, const Order order, Lap& lap) {
    typename C::Store store(shared);
    Random random(order.seed);
    auto queue = empty<Queue<C>>(store);
    for (std::size_t i = 0; i < order.size; ++i) queue.emplace_back(random.next());
    churn(order, lap, random, [&](Random& random) __attribute__((always_inline)) {
        queue.emplace_back(random.next());
        const std::uint64_t seen = queue.front().digest();
        queue.pop_front();
        return seen;
    });
    note_all(lap, queue);
}

// A table of strings of 16 to 255 characters; a random one is replaced. An operation is a string.
template <class C>
[[gnu::noinline]] void string_churn(typename C::Shared& shared, const Order order, Lap& lap) {
    typename C::Store store(shared);
    Random random(order.seed);
    Plain<Text<C>> texts(order.size);
    const auto make = [&](Text<C>* slot, Random& random) __attribute__((always_inline)) {
        const std::uint64_t bits = random.next();
        const std::size_t length = 16 + bits % 240;
        std::construct_at(slot, length, static_cast<char>('a' + (bits >> 32) % 26),
                          typename Text<C>::allocator_type(store.template get<char>()));
    };
    for (std::size_t i = 0; i < order.size; ++i) make(texts.slot(i), random);
    churn(order, lap, random, [&](Random& random) __attribute__((always_inline)) {
        Text<C>* text = texts.slot(random.below(order.size));
        const std::uint64_t seen = text->size() + static_cast<unsigned char>(text->back());
        std::destroy_at(text);
        make(text, random);
        return seen;
    });
    for (std::size_t i = 0; i < order.size; ++i) {
        lap.digest.note(texts[i].size());
        std::destroy_at(texts.slot(i));
    }
}

// A random element is erased, and another inserted before a random one. An operation is such a pair.
template <class C>
[[gnu::noinline]] void list_churn(typename C::Shared& shared, const Order order, Lap& lap) {
    typename C::Store store(shared);
    Random random(order.seed);
    using Place = typename List<C>::iterator;
    static_assert(std::is_trivially_copyable_v<Place>);
    Plain<Place> places(order.size);
    auto list = empty<List<C>>(store);
    for (std::size_t i = 0; i < order.size; ++i) places[i] = list.emplace(list.end(), random.next());
    churn(order, lap, random, [&](Random& random) __attribute__((always_inline)) {
        const std::size_t leaves = random.below(order.size), before = random.below(order.size);
        const std::uint64_t seen = places[leaves]->digest();
        const Place next = list.erase(places[leaves]);
        places[leaves] = list.emplace(before == leaves ? next : places[before], random.next());
        return seen;
    });
    note_all(lap, list);
}

// A random key leaves, a new one comes. An operation is such a pair. For sets, maps and hash tables.
template <class C, class Container>
[[gnu::noinline]] void keys_churn(typename C::Shared& shared, const Order order, Lap& lap) {
    typename C::Store store(shared);
    Random random(order.seed);
    Plain<std::uint64_t> keys(order.size);
    auto container = empty<Container>(store);
    for (std::size_t i = 0; i < order.size; ++i) add(container, keys[i] = random.next());
    churn(order, lap, random, [&](Random& random) __attribute__((always_inline)) {
        std::uint64_t& key = keys[random.below(order.size)];
        const std::uint64_t left = container.erase(key);
        add(container, key = random.next());
        return left;
    });
    note_all(lap, container);
}

}  // namespace bench

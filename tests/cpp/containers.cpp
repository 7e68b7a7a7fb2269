// Every container of the standard on every allocator: random operations, done alike on the same container with
// std::allocator, which is the oracle; and nothing is left in the heap when the container has gone.
#include "check.hpp"

#include <deque>
#include <forward_list>
#include <functional>
#include <future>
#include <iterator>
#include <list>
#include <map>
#include <queue>
#include <set>
#include <sstream>
#include <stack>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace {

// ---- allocators under test: each kind makes allocators and says what is left over ----

struct on_process {
    template <class T> using alloc = stratalloc::allocator<T>;
    template <class T> alloc<T> get() { return {}; }
    std::size_t left() { return 0; }
};

struct on_heap {
    template <class T> using alloc = stratalloc::heap_allocator<T>;
    template <class T> alloc<T> get() { return heap; }
    std::size_t left() { return check::blocks_in(heap.native_handle()); }
    stratalloc::heap heap;
};

template <class Arena> struct on_arena {
    template <class T> using alloc = stratalloc::arena_allocator<T, Arena>;
    template <class T> alloc<T> get() { return arena; }
    std::size_t left() { return 0; }
    Arena arena;
};

#if __has_include(<memory_resource>)
// Counts what goes through, and that each block comes back with the size and alignment it was asked for.
class watched final : public std::pmr::memory_resource {
public:
    explicit watched(std::pmr::memory_resource* behind) : behind_(behind) {}
    std::size_t left() const { return blocks_.size(); }

private:
    void* do_allocate(std::size_t size, std::size_t alignment) override {
        void* const block = behind_->allocate(size, alignment);
        blocks_[block] = {size, alignment};
        return block;
    }
    void do_deallocate(void* block, std::size_t size, std::size_t alignment) override {
        const auto found = blocks_.find(block);
        CHECK(found != blocks_.end());
        CHECK(found->second == std::make_pair(size, alignment));
        blocks_.erase(found);
        behind_->deallocate(block, size, alignment);
    }
    bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
        return this == &other;
    }

    std::pmr::memory_resource* behind_;
    std::map<void*, std::pair<std::size_t, std::size_t>> blocks_;
};

template <class Resource> struct on_pmr {
    template <class T> using alloc = std::pmr::polymorphic_allocator<T>;
    template <class T> alloc<T> get() { return &watch; }
    std::size_t left() { return watch.left(); }
    Resource resource;
    watched watch{&resource};
};
#endif

// ---- values: numbers, and text that is sometimes too long for the string object ----

template <class T> T value_of(std::uint64_t number) {
    if constexpr (std::is_same_v<T, std::string>) {
        return std::string(number % 40, static_cast<char>('a' + number % 26)) + std::to_string(number);
    } else {
        return static_cast<T>(number);
    }
}

template <class A, class B> bool same(const A& ours, const B& oracle) {
    return std::equal(std::begin(ours), std::end(ours), std::begin(oracle), std::end(oracle));
}

constexpr int rounds = 600;

// ---- operations ----

template <class Ours, class Oracle> void exercise_sequence(Ours& ours, Oracle& oracle, std::uint64_t seed) {
    using T = typename Oracle::value_type;
    check::random random(seed);
    for (int round = 0; round < rounds; ++round) {
        const std::uint64_t number = random.next();
        const auto at = static_cast<std::ptrdiff_t>(oracle.empty() ? 0 : random.below(oracle.size()));
        switch (random.below(7)) {
        case 0:
        case 1:
            ours.push_back(value_of<T>(number));
            oracle.push_back(value_of<T>(number));
            break;
        case 2:
            ours.insert(std::next(ours.begin(), at), value_of<T>(number));
            oracle.insert(std::next(oracle.begin(), at), value_of<T>(number));
            break;
        case 3:
            ours.insert(std::next(ours.begin(), at), number % 9, value_of<T>(number));
            oracle.insert(std::next(oracle.begin(), at), number % 9, value_of<T>(number));
            break;
        case 4:
            if (!oracle.empty()) {
                ours.erase(std::next(ours.begin(), at));
                oracle.erase(std::next(oracle.begin(), at));
            }
            break;
        case 5:
            if (!oracle.empty()) {
                ours.erase(std::next(ours.begin(), at), ours.end());
                oracle.erase(std::next(oracle.begin(), at), oracle.end());
            }
            break;
        default:
            ours.resize(oracle.size() + number % 20, value_of<T>(number));
            oracle.resize(oracle.size() + number % 20, value_of<T>(number));
        }
        CHECK(same(ours, oracle));
    }
    Ours copy(ours);
    Ours moved(std::move(ours));
    CHECK(same(copy, oracle) && same(moved, oracle));
    ours = copy;
    CHECK(same(ours, oracle));
    ours.clear();
}

template <class Ours, class Oracle>
void exercise_associative(Ours& ours, Oracle& oracle, std::uint64_t seed) {
    using K = typename Oracle::key_type;
    check::random random(seed);
    const auto element = [](std::uint64_t number) {
        if constexpr (std::is_same_v<K, typename Oracle::value_type>) {
            return value_of<K>(number);
        } else {
            return typename Oracle::value_type(value_of<K>(number),
                                               value_of<typename Oracle::mapped_type>(number));
        }
    };
    for (int round = 0; round < rounds; ++round) {
        const std::uint64_t number = random.below(200);
        if (random.below(3) != 0) {
            ours.insert(element(number));
            oracle.insert(element(number));
        } else {
            CHECK(ours.erase(value_of<K>(number)) == oracle.erase(value_of<K>(number)));
        }
        CHECK(ours.size() == oracle.size());
        CHECK(ours.count(value_of<K>(number)) == oracle.count(value_of<K>(number)));
    }
    const auto check_all = [&](const Ours& container) {
        CHECK(container.size() == oracle.size());
        for (const auto& item : oracle) {
            if constexpr (std::is_same_v<K, typename Oracle::value_type>) {
                CHECK(container.count(item) == oracle.count(item));
            } else {
                CHECK(container.find(item.first) != container.end());
            }
        }
    };
    Ours copy(ours);
    Ours moved(std::move(ours));
    check_all(copy);
    check_all(moved);
    ours = copy;
    check_all(ours);
    ours.clear();
}

template <class Kind, class T> void sequences(std::uint64_t seed) {
    Kind kind;
    {
        std::vector<T, typename Kind::template alloc<T>> ours(kind.template get<T>());
        std::vector<T> oracle;
        exercise_sequence(ours, oracle, seed);
    }
    {
        std::deque<T, typename Kind::template alloc<T>> ours(kind.template get<T>());
        std::deque<T> oracle;
        exercise_sequence(ours, oracle, seed + 1);
    }
    {
        std::list<T, typename Kind::template alloc<T>> ours(kind.template get<T>());
        std::list<T> oracle;
        exercise_sequence(ours, oracle, seed + 2);
    }
    {
        std::forward_list<T, typename Kind::template alloc<T>> ours(kind.template get<T>());
        std::forward_list<T> oracle;
        check::random random(seed + 3);
        for (int round = 0; round < rounds; ++round) {
            const std::uint64_t number = random.next();
            if (oracle.empty() || number % 3 != 0) {
                ours.push_front(value_of<T>(number));
                oracle.push_front(value_of<T>(number));
            } else if (number % 2 == 0) {
                ours.pop_front();
                oracle.pop_front();
            } else {
                ours.insert_after(ours.begin(), number % 5, value_of<T>(number));
                oracle.insert_after(oracle.begin(), number % 5, value_of<T>(number));
            }
        }
        CHECK(same(ours, oracle));
    }
    CHECK(kind.left() == 0);
}

template <class Kind, class K, class V> void associatives(std::uint64_t seed) {
    using pair = std::pair<const K, V>;
    Kind kind;
    using key_alloc = typename Kind::template alloc<K>;
    using pair_alloc = typename Kind::template alloc<pair>;
    using less = std::less<K>;
    using hash = std::hash<K>;
    using equal = std::equal_to<K>;
    const auto run = [&](auto ours, auto oracle) { exercise_associative(ours, oracle, ++seed); };
    run(std::set<K, less, key_alloc>(kind.template get<K>()), std::set<K>());
    run(std::multiset<K, less, key_alloc>(kind.template get<K>()), std::multiset<K>());
    run(std::map<K, V, less, pair_alloc>(kind.template get<pair>()), std::map<K, V>());
    run(std::multimap<K, V, less, pair_alloc>(kind.template get<pair>()), std::multimap<K, V>());
    run(std::unordered_set<K, hash, equal, key_alloc>(kind.template get<K>()), std::unordered_set<K>());
    run(std::unordered_multiset<K, hash, equal, key_alloc>(kind.template get<K>()),
        std::unordered_multiset<K>());
    run(std::unordered_map<K, V, hash, equal, pair_alloc>(kind.template get<pair>()),
        std::unordered_map<K, V>());
    run(std::unordered_multimap<K, V, hash, equal, pair_alloc>(kind.template get<pair>()),
        std::unordered_multimap<K, V>());
    CHECK(kind.left() == 0);
}

// vector<bool>, strings, string streams, adaptors, shared states.
template <class Kind> void others() {
    Kind kind;
    {
        std::vector<bool, typename Kind::template alloc<bool>> bits(kind.template get<bool>());
        for (int i = 0; i < 5000; ++i) {
            bits.push_back(i % 3 == 0);
        }
        bits.erase(bits.begin() + 1, bits.begin() + 2);
        CHECK(bits[0] && !bits[1] && bits[2] && bits.size() == 4999);
    }
    {
        using alloc = typename Kind::template alloc<char>;
        using string = std::basic_string<char, std::char_traits<char>, alloc>;
        string text("short", kind.template get<char>());
        std::string oracle = "short";
        for (int i = 0; i < 300; ++i) {
            text += string(" and longer", kind.template get<char>());
            oracle += " and longer";
            if (i % 7 == 0) {
                text.erase(3, 5);
                oracle.erase(3, 5);
            }
        }
        CHECK(std::string_view(text) == oracle);
        std::basic_ostringstream<char, std::char_traits<char>, alloc> stream(text);
        stream << text << 42;
        CHECK(stream.str().size() == text.size() + 2);
        std::basic_string<char16_t, std::char_traits<char16_t>, typename Kind::template alloc<char16_t>> wide(
            1000, u'x', kind.template get<char16_t>());
        CHECK(wide.size() == 1000 && wide[999] == u'x');
    }
    {
        using deque = std::deque<int, typename Kind::template alloc<int>>;
        using vector = std::vector<int, typename Kind::template alloc<int>>;
        std::stack<int, deque> stack(kind.template get<int>());
        std::queue<int, deque> queue(kind.template get<int>());
        std::priority_queue<int, vector> heap(std::less<int>(), kind.template get<int>());
        for (int i = 0; i < 1000; ++i) {
            stack.push(i);
            queue.push(i);
            heap.push(i * 7 % 1000);
        }
        CHECK(stack.top() == 999 && queue.front() == 0 && heap.top() == 999);
        stack.pop();
        queue.pop();
        heap.pop();
        CHECK(stack.top() == 998 && queue.front() == 1 && heap.top() == 998);
    }
    {
        std::promise<int> promise(std::allocator_arg, kind.template get<char>());
        std::future<int> future = promise.get_future();
        promise.set_value(5);
        CHECK(future.get() == 5);
    }
    {
        std::shared_ptr<std::string> text =
            std::allocate_shared<std::string>(kind.template get<int>(), 50, 'x');
        std::weak_ptr<std::string> weak = text;
        CHECK(text->size() == 50);
        text.reset();
        CHECK(weak.expired());
    }
    CHECK(kind.left() == 0);
}

template <class Kind> void every_container() {
    sequences<Kind, int>(1);
    sequences<Kind, std::string>(11);
    associatives<Kind, int, std::string>(21);
    associatives<Kind, std::string, int>(31);
    others<Kind>();
}

} // namespace

TEST(every_container_on_allocator) { every_container<on_process>(); }
TEST(every_container_on_heap_allocator) { every_container<on_heap>(); }
TEST(every_container_on_a_monotonic_arena) { every_container<on_arena<stratalloc::monotonic_arena>>(); }
TEST(every_container_on_a_pool_arena) { every_container<on_arena<stratalloc::pool_arena>>(); }

#if __has_include(<memory_resource>)
// The process heap under pmr needs an object of its own for each kind: all are equal.
TEST(every_container_on_pmr_with_the_process_heap) { every_container<on_pmr<stratalloc::memory_resource>>(); }
TEST(every_container_on_pmr_with_a_heap) { every_container<on_pmr<stratalloc::heap_resource>>(); }
TEST(every_container_on_pmr_with_a_monotonic_arena) {
    every_container<on_pmr<stratalloc::monotonic_resource>>();
}
TEST(every_container_on_pmr_with_a_pool_arena) { every_container<on_pmr<stratalloc::pool_resource>>(); }
#endif

#if defined(__cpp_lib_constexpr_vector)
// In constant evaluation the allocator is std::allocator.
constexpr int sum_at_compile_time() {
    std::vector<int, stratalloc::allocator<int>> numbers;
    for (int i = 1; i <= 100; ++i) {
        numbers.push_back(i);
    }
    int sum = 0;
    for (int number : numbers) {
        sum += number;
    }
    return sum;
}
static_assert(sum_at_compile_time() == 5050);
#endif

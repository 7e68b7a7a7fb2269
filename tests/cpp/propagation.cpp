// What containers on unequal allocators do on copy, move, swap, splice and merge: where the elements end up, and
// whether they were moved one by one or handed over. Issue line 4, "allocator-propagation cases".
#include "check.hpp"

#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <scoped_allocator>
#include <string>
#include <unordered_map>
#include <vector>

using stratalloc::heap;
using stratalloc::heap_allocator;

namespace {

using vector = std::vector<int, heap_allocator<int>>;
using list = std::list<int, heap_allocator<int>>;
using text = std::basic_string<char, std::char_traits<char>, heap_allocator<char>>;
using map = std::map<int, int, std::less<>, heap_allocator<std::pair<const int, int>>>;
using hash_map =
    std::unordered_map<int, int, std::hash<int>, std::equal_to<>, heap_allocator<std::pair<const int, int>>>;

// ---- what the standard asks of allocators, as far as a compiler can check it ----

template <class A> using traits = std::allocator_traits<A>;

template <class A> constexpr bool meets_requirements() {
    using T = typename A::value_type;
    using rebound = typename traits<A>::template rebind_alloc<std::pair<T, T>>;
    static_assert(std::is_same_v<typename traits<rebound>::template rebind_alloc<T>, A>);
    static_assert(std::is_nothrow_copy_constructible_v<A> && std::is_nothrow_move_constructible_v<A>);
    static_assert(std::is_nothrow_copy_assignable_v<A> && std::is_nothrow_move_assignable_v<A>);
    static_assert(std::is_nothrow_constructible_v<rebound, const A&> && std::is_convertible_v<A, rebound>);
    static_assert(noexcept(std::declval<A&>() == std::declval<A&>())&& noexcept(std::declval<A&>() !=
                                                                                std::declval<rebound&>()));
    static_assert(noexcept(std::declval<A&>().deallocate(nullptr, 1)));
    static_assert(std::is_same_v<typename traits<A>::pointer, T*>);
    return true;
}

static_assert(meets_requirements<stratalloc::allocator<int>>() && meets_requirements<heap_allocator<int>>() &&
              meets_requirements<stratalloc::arena_allocator<int, stratalloc::pool_arena>>());

using process = traits<stratalloc::allocator<int>>;
static_assert(std::is_empty_v<stratalloc::allocator<int>> && process::is_always_equal::value &&
              process::propagate_on_container_move_assignment::value &&
              std::is_trivially_copyable_v<stratalloc::allocator<int>>);
static_assert(sizeof(std::vector<int, stratalloc::allocator<int>>) == sizeof(std::vector<int>));
static_assert(std::is_nothrow_move_assignable_v<std::vector<int, stratalloc::allocator<int>>>);

using bound = traits<heap_allocator<int>>;
static_assert(!bound::is_always_equal::value && !bound::propagate_on_container_copy_assignment::value &&
              !bound::propagate_on_container_move_assignment::value &&
              bound::propagate_on_container_swap::value);
static_assert(sizeof(heap_allocator<int>) == sizeof(void*));
static_assert(!std::is_default_constructible_v<heap_allocator<int>>); // which heap would it be?

// An element that may be incomplete where the container is named.
struct tree {
    std::vector<tree, stratalloc::allocator<tree>> children;
};

// Counts copies and moves; each kind must be of the expected number.
struct traced {
    static inline int copies = 0;
    static inline int moves = 0;
    int value;
    traced(int with) : value(with) {}
    traced(const traced& other) : value(other.value) { ++copies; }
    traced(traced&& other) noexcept : value(other.value) { ++moves; }
    traced& operator=(const traced& other) {
        value = other.value;
        ++copies;
        return *this;
    }
    traced& operator=(traced&& other) noexcept {
        value = other.value;
        ++moves;
        return *this;
    }
    ~traced() = default;
    static void forget() { copies = moves = 0; }
};

} // namespace

TEST(rebound_allocators_free_each_others_blocks) {
    stratalloc::allocator<int> ints;
    stratalloc::allocator<double> doubles(ints);
    CHECK(ints == doubles && !(ints != doubles));
    int* const block = ints.allocate(100);
    stratalloc::allocator<int>(doubles).deallocate(block, 100);

    heap home;
    heap_allocator<int> bound_ints(home);
    heap_allocator<double> bound_doubles(bound_ints);
    CHECK(bound_ints == bound_doubles);
    int* const bound_block = bound_ints.allocate(100);
    CHECK(home.contains(bound_block));
    heap_allocator<int>(bound_doubles).deallocate(bound_block, 100);
    CHECK(check::blocks_in(home.native_handle()) == 0);

    heap other;
    CHECK(heap_allocator<int>(home) != heap_allocator<double>(other));
}

TEST(incomplete_elements_are_allowed) {
    tree root;
    root.children.resize(3);
    root.children[1].children.resize(2);
    CHECK(root.children[1].children.size() == 2);
}

TEST(copies_are_made_in_the_source_heap) {
    heap a;
    const vector source({1, 2, 3}, a);
    const vector copy(source);
    CHECK(copy == source && copy.get_allocator() == source.get_allocator() && a.contains(copy.data()));
}

TEST(copies_go_to_another_heap_when_asked) {
    heap a, b;
    const vector source({1, 2, 3}, a);
    const vector copy(source, b);
    CHECK(copy == source && b.contains(copy.data()) && copy.get_allocator() == heap_allocator<int>(b));
    const map pairs({{1, 2}, {3, 4}}, a);
    const map pairs_copy(pairs, heap_allocator<std::pair<const int, int>>(b));
    CHECK(pairs == pairs_copy && check::lies_in(b, &*pairs_copy.begin()));
}

TEST(copy_assignment_keeps_the_target_heap) {
    heap a, b;
    const vector source({1, 2, 3}, a);
    vector target({9}, b);
    target = source;
    CHECK(target == source && b.contains(target.data()) && target.get_allocator() == heap_allocator<int>(b));
    text from(100, 'x', a), to("y", b);
    to = from;
    CHECK(to == from && b.contains(to.data()));
}

TEST(move_construction_hands_memory_over) {
    heap a;
    vector source({1, 2, 3}, a);
    const int* const data = source.data();
    const vector moved(std::move(source));
    CHECK(moved.data() == data && moved.get_allocator() == heap_allocator<int>(a));
}

TEST(move_construction_into_another_heap_moves_elements) {
    heap a, b;
    std::vector<traced, heap_allocator<traced>> source({1, 2, 3}, a);
    traced::forget();
    const std::vector<traced, heap_allocator<traced>> moved(std::move(source), b);
    CHECK(traced::moves == 3 && traced::copies == 0);
    CHECK(moved.size() == 3 && moved[2].value == 3 && b.contains(moved.data()));

    hash_map table({{1, 2}, {3, 4}}, 8, {}, {}, a);
    const hash_map table_moved(std::move(table), heap_allocator<std::pair<const int, int>>(b));
    CHECK(table_moved.size() == 2 && table_moved.at(3) == 4 && check::lies_in(b, &*table_moved.find(3)));
}

TEST(move_assignment_between_equal_heaps_hands_memory_over) {
    heap a;
    vector source({1, 2, 3}, a), target({9}, a);
    const int* const data = source.data();
    target = std::move(source);
    CHECK(target.data() == data && target.size() == 3);
    list nodes({1, 2}, a), nodes_target(a);
    const int* const node = &nodes.front();
    nodes_target = std::move(nodes);
    CHECK(&nodes_target.front() == node);
}

TEST(move_assignment_between_unequal_heaps_moves_elements) {
    heap a, b;
    std::vector<traced, heap_allocator<traced>> source({1, 2, 3}, a), target(b);
    traced::forget();
    target = std::move(source);
    CHECK(traced::moves == 3 && traced::copies == 0);
    CHECK(target.size() == 3 && b.contains(target.data()));
    list nodes({1, 2}, a), nodes_target({5}, b);
    nodes_target = std::move(nodes);
    CHECK(nodes_target == list({1, 2}, b) && check::lies_in(b, &nodes_target.front()));
    map pairs({{1, 2}}, a), pairs_target(b);
    pairs_target = std::move(pairs);
    CHECK(pairs_target.at(1) == 2 && check::lies_in(b, &*pairs_target.begin()));
}

TEST(what_outlives_a_heap_never_ends_up_in_it) {
    heap lasting;
    vector kept(lasting);
    text name(lasting);
    {
        heap request;
        vector local({1, 2, 3}, request);
        text local_name(100, 'n', request);
        kept = std::move(local);
        name = std::move(local_name);
    }
    CHECK(kept.size() == 3 && kept[2] == 3 && name == text(100, 'n', lasting));
}

TEST(swap_of_unequal_heaps_exchanges_heaps_too) {
    heap a, b;
    vector first({1, 2, 3}, a), second({4}, b);
    const int* const data = first.data();
    swap(first, second);
    CHECK(second.data() == data && second.get_allocator() == heap_allocator<int>(a));
    CHECK(first.size() == 1 && b.contains(first.data()));
    first.push_back(5); // both are still able to grow, each in its new heap
    second.insert(second.end(), 1000, 6);
    CHECK(b.contains(first.data()) && a.contains(second.data()));
    map left({{1, 1}}, a), right({{2, 2}}, b);
    left.swap(right);
    CHECK(left.at(2) == 2 && check::lies_in(a, &*right.begin()));
    text x(50, 'x', a), y(60, 'y', b);
    x.swap(y);
    CHECK(x.size() == 60 && a.contains(y.data()));
    hash_map hash_left({{1, 1}}, 8, {}, {}, a), hash_right({{2, 2}}, 8, {}, {}, b);
    hash_left.swap(hash_right);
    CHECK(hash_left.at(2) == 2 && check::lies_in(a, &*hash_right.find(1)));
}

TEST(splice_and_merge_between_equal_heaps_keep_nodes) {
    heap a;
    list to({1, 5}, a), from({2, 3}, a);
    const int* const node = &from.front();
    to.splice(std::next(to.begin()), from);
    CHECK(to == list({1, 2, 3, 5}, a) && &*std::next(to.begin()) == node && from.empty());
    list sorted({4, 6}, a);
    const int* const merged = &sorted.front();
    to.merge(sorted);
    CHECK(to == list({1, 2, 3, 4, 5, 6}, a) && &*std::next(to.begin(), 3) == merged);
    std::list<int, stratalloc::allocator<int>> x{1}, y{2};
    x.splice(x.end(), y);
    CHECK(x.size() == 2 && y.empty());
    map left({{1, 1}}, a), right({{2, 2}, {3, 3}}, a);
    const auto* const kept = &*right.begin();
    left.merge(right);
    CHECK(left.size() == 3 && &*left.find(2) == kept);
    auto handle = left.extract(1);
    right.insert(std::move(handle));
    CHECK(right.at(1) == 1 && left.size() == 2);
}

TEST(transfer_between_unequal_heaps_moves_elements) {
    heap a, b;
    {
        std::list<traced, heap_allocator<traced>> to({1, 4}, a), from({2, 3}, b);
        traced::forget();
        stratalloc::transfer(to, std::next(to.begin()), from);
        CHECK(traced::moves == 2 && traced::copies == 0 && from.empty() && to.size() == 4);
        int expected = 1;
        for (const traced& item : to) {
            CHECK(item.value == expected++ && check::lies_in(a, &item));
        }
        std::list<traced, heap_allocator<traced>> more(a);
        more.emplace_back(5);
        const traced* const node = &more.front();
        traced::forget();
        stratalloc::transfer(to, to.end(), more); // equal: the node itself
        CHECK(traced::moves == 0 && &to.back() == node);
    }
    CHECK(check::blocks_in(a.native_handle()) == 0 && check::blocks_in(b.native_handle()) == 0);
}

TEST(scoped_allocators_bring_elements_into_the_heap) {
    heap a;
    using inner = std::vector<text, std::scoped_allocator_adaptor<heap_allocator<text>>>;
    inner lines{std::scoped_allocator_adaptor<heap_allocator<text>>(a)};
    lines.emplace_back(200, 'x');
    CHECK(a.contains(lines.data()) && a.contains(lines.front().data()));
}

TEST(a_heap_that_moves_keeps_its_containers) {
    heap third(nullptr), second(nullptr), first; // they outlive what is in them
    vector numbers({1, 2, 3}, first);
    second = std::move(first);
    numbers.insert(numbers.end(), 1000, 4);
    CHECK(second.contains(numbers.data()) && first.native_handle() == nullptr);
    heap moved(std::move(second));
    CHECK(moved.contains(numbers.data()));
    swap(third, moved);
    CHECK(third.contains(numbers.data()) && moved.native_handle() == nullptr);
}

TEST(a_heap_ends_with_what_is_forgotten_in_it) {
    for (int round = 0; round < 200; ++round) {
        heap request;
        auto* const forgotten = static_cast<vector*>(request.allocate(sizeof(vector)));
        ::new (static_cast<void*>(forgotten)) vector(10000, 7, request);
        CHECK(check::blocks_in(request.native_handle()) == 2);
    }
}

TEST(a_heap_is_visited_by_any_callable) {
    heap a;
    vector numbers({1, 2, 3}, a), more(100, 1, a);
    std::size_t bytes = 0;
    CHECK(a.visit([&](void*, std::size_t size) { bytes += size; }));
    CHECK(bytes >= 103 * sizeof(int));
    int seen = 0;
    CHECK(!a.visit([&](void*, std::size_t) { return ++seen < 1; }));
    CHECK(seen == 1);
    THROWS(std::runtime_error,
           a.visit([](void*, std::size_t) { throw std::runtime_error("from the visitor"); }));
}

#if __has_include(<memory_resource>)
TEST(pmr_containers_stay_in_their_resource) {
    stratalloc::heap_resource a, b;
    std::pmr::vector<std::pmr::string> source({"one", "two, too long for the string object itself"}, &a);
    std::pmr::vector<std::pmr::string> target(&b);
    target = source;
    CHECK(target == source && strat_heap_contains(b.native_handle(), target[1].data()));
    target = std::move(source);
    CHECK(strat_heap_contains(b.native_handle(), target.data()));
    CHECK(strat_heap_contains(b.native_handle(), target[1].data()));
    const std::pmr::vector<std::pmr::string> copy(target);
    CHECK(copy.get_allocator().resource() == std::pmr::get_default_resource());
    std::pmr::list<int> to({1}, &a), from({2}, &b);
    const std::size_t nodes_before = check::blocks_in(a.native_handle());
    stratalloc::transfer(to, to.end(), from);
    CHECK(to.size() == 2 && check::blocks_in(a.native_handle()) == nodes_before + 1);
}

TEST(resources_are_equal_where_one_frees_what_the_other_allocated) {
    stratalloc::memory_resource one, two;
    std::pmr::memory_resource* const for_ever = stratalloc::get_memory_resource();
    CHECK(one == two && one == *for_ever && *for_ever == two);
    CHECK(one != *std::pmr::new_delete_resource());
    two.deallocate(one.allocate(100, 64), 100, 64);
    std::pmr::list<int> left({1}, &one), right({2}, &two);
    left.splice(left.end(), right); // equal resources: defined
    CHECK(left.size() == 2);

    heap shared;
    stratalloc::heap_resource a(shared), b(shared), own;
    CHECK(a == b && a != own && a != one);
    b.deallocate(a.allocate(100), 100);
    CHECK(check::blocks_in(shared.native_handle()) == 0);

    stratalloc::pool_resource x, y;
    CHECK(x == x && x != y);
    stratalloc::monotonic_resource m(std::size_t{1024}), n;
    CHECK(m != n && m == m);
}

TEST(the_process_heap_can_be_the_default_resource) {
    std::pmr::memory_resource* const before =
        std::pmr::set_default_resource(stratalloc::get_memory_resource());
    {
        std::pmr::vector<int> numbers(1000, 5);
        CHECK(numbers.get_allocator().resource() == stratalloc::get_memory_resource());
        CHECK(strat_usable_size(numbers.data()) >= 4000);
    }
    std::pmr::set_default_resource(before);
}
#endif

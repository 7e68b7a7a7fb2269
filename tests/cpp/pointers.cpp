// Smart pointers, batches, capacities: who owns what, what deleters convert to, and that every block comes back.
#include "check.hpp"

#include <deque>
#include <list>
#include <string>
#include <thread>
#include <vector>

using check::counted;
using stratalloc::heap;

namespace {

struct animal {
    static inline int living = 0;
    animal() { ++living; }
    animal(const animal&) = delete;
    animal& operator=(const animal&) = delete;
    virtual ~animal() { --living; }
    virtual int legs() const = 0;
    std::uint64_t weight = 1;
};
struct named {
    virtual ~named() = default;
    std::string name = "a name that does not fit into the string object";
};
// As a `named`, it begins in the middle of its block.
struct dog final : animal, named {
    int legs() const override { return 4; }
    std::uint64_t room[10] = {};
};

struct plain {
    int x;
};
struct derived_plain : plain {
    int y[20];
};

template <class From, class To> constexpr bool converts =
    std::is_convertible_v<stratalloc::unique_ptr<From>, stratalloc::unique_ptr<To>>;

} // namespace

static_assert(sizeof(stratalloc::unique_ptr<int>) == sizeof(void*));
static_assert(converts<int, const int> && !converts<const int, int>);
static_assert(converts<dog, animal> == bool{STRATALLOC_RTTI} && !converts<animal, dog>);
// Without a virtual destructor the deleter would destroy the wrong type: refused when compiling.
static_assert(!converts<derived_plain, plain>);
static_assert(converts<int[], const int[]> && !converts<derived_plain[], plain[]>);

TEST(unique_pointers_destroy_and_free) {
    heap home;
    {
        auto one = stratalloc::make_unique_in<counted>(home, 5);
        auto several = stratalloc::make_unique_in<counted[]>(home, 10);
        CHECK(one->value == 5 && counted::living == 11 && check::blocks_in(home.native_handle()) == 2);
        CHECK(several.get_deleter().size() == 10 && home.contains(one.get()));
        auto moved = std::move(several);
        CHECK(!several && moved[9].value == 0);
    }
    CHECK(counted::living == 0 && check::blocks_in(home.native_handle()) == 0);
    auto none = stratalloc::make_unique<counted[]>(0);
    CHECK(none.get() != nullptr && counted::living == 0);
    stratalloc::unique_ptr<counted[]> empty;
    CHECK(!empty);
    auto raw = stratalloc::make_unique_for_overwrite<int[]>(100);
    raw[99] = 1;
    const stratalloc::unique_ptr<const int> constant = stratalloc::make_unique<int>(3);
    CHECK(*constant == 3);
}

TEST(a_derived_object_is_freed_through_its_bases) {
    heap home;
    {
        stratalloc::unique_ptr<animal> first = stratalloc::make_unique_in<dog>(home);
        CHECK(first->legs() == 4 && animal::living == 1);
        // The pointer is not the block's start.
        stratalloc::unique_ptr<dog> whole = stratalloc::make_unique_in<dog>(home);
        void* const block = whole.get();
        stratalloc::unique_ptr<named> second = std::move(whole);
        CHECK(static_cast<void*>(second.get()) != block && animal::living == 2);
        std::shared_ptr<animal> shared = stratalloc::make_unique_in<dog>(home);
        CHECK(animal::living == 3);
    }
    CHECK(animal::living == 0 && check::blocks_in(home.native_handle()) == 0);
}

TEST(pointers_may_go_on_another_thread) {
    std::vector<stratalloc::unique_ptr<std::string>> texts;
    for (int i = 0; i < 1000; ++i) {
        texts.push_back(stratalloc::make_unique<std::string>(static_cast<std::size_t>(i), 'x'));
    }
    std::thread([mine = std::move(texts)]() mutable { mine.clear(); }).join();
}

TEST(shared_pointers_lie_in_their_heap) {
    heap home;
    {
        const std::shared_ptr<counted> object = stratalloc::make_shared_in<counted>(home, 4);
        std::weak_ptr<counted> weak = object;
        CHECK(weak.lock()->value == 4 && check::blocks_in(home.native_handle()) == 1);
    }
    CHECK(counted::living == 0 && check::blocks_in(home.native_handle()) == 0);
    CHECK(*stratalloc::make_shared<std::string>("text") == "text");
#if defined(__cpp_lib_shared_ptr_arrays) && __cpp_lib_shared_ptr_arrays >= 201707L
    const auto array = stratalloc::make_shared<counted[]>(std::size_t{10});
    CHECK(counted::living == 10 && array[9].value == 0);
#endif
}

TEST(blocks_of_all_kinds_are_freed_by_any_of_them) {
    heap home;
    stratalloc::allocator<int> ints;
    strat_free(ints.allocate(10));
    strat_free(home.allocate(10));
    strat_free(stratalloc::make_unique<int>(4).release());
    home.deallocate(ints.allocate(10));
    ints.deallocate(static_cast<int*>(strat_malloc(400)), 100);
    CHECK(check::blocks_in(home.native_handle()) == 0);
}

#if !STRATALLOC_ASAN // whose malloc and operator new are its own
TEST(blocks_of_malloc_and_operator_new_are_of_the_same_kind) {
    strat_free(std::malloc(check::hide(std::size_t{100})));
    std::free(strat_malloc(100));
    std::free(stratalloc::allocator<int>().allocate(10));
    ::operator delete(strat_malloc(100));
    strat_free(::operator new(100));
    strat_free(::operator new (100, std::align_val_t{64}));
    auto* const text = ::new (strat_malloc(sizeof(std::string))) std::string(100, 'x');
    delete text;
    CHECK(strat_usable_size(std::unique_ptr<int[]>(new int[100]).get()) >= 400);
}
#endif

TEST(batches_are_separate_blocks) {
    for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{64}, std::size_t{1000}}) {
        auto objects = stratalloc::make_unique_batch<counted>(count, 6);
        CHECK(objects.size() == count && counted::living == static_cast<int>(count));
        for (const auto& object : objects) {
            CHECK(object->value == 6);
        }
        if (count > 1) {
            objects[0].reset(); // one alone
            stratalloc::unique_ptr<counted> taken = std::move(objects[1]);
        }
        stratalloc::destroy_batch(objects);
        CHECK(counted::living == 0 && objects.empty());
    }
    void* blocks[200];
    stratalloc::allocate_batch(blocks, 200, 24);
    for (void* const block : blocks) {
        CHECK(strat_usable_size(block) >= 24);
        *static_cast<int*>(block) = 1;
    }
    std::swap(blocks[0], blocks[100]);
    strat_free(std::exchange(blocks[7], nullptr));
    stratalloc::deallocate_batch(blocks, 200);
}

TEST(reserve_fills_the_block) {
    for (std::size_t count = 1; count < 100000; count += count / 3 + 1) {
        std::vector<int, stratalloc::allocator<int>> numbers;
        const std::size_t capacity = stratalloc::reserve(numbers, count);
        CHECK(capacity >= count && capacity == numbers.capacity());
        CHECK(capacity == strat_good_size(count * sizeof(int)) / sizeof(int)); // all of the block
        CHECK(stratalloc::reserve(numbers, count) == capacity);
        std::basic_string<char, std::char_traits<char>, stratalloc::allocator<char>> text;
        const std::size_t room = stratalloc::reserve(text, count + 40);
        CHECK(room >= count + 40 && room == text.capacity());
        text.assign(room, 'x');
        CHECK(text.capacity() == room && strat_usable_size(text.data()) >= room + 1);
        CHECK(room + 1 == strat_good_size(count + 40 + 1));
    }
    std::vector<int, stratalloc::allocator<int>> numbers;
    THROWS(std::length_error, stratalloc::reserve(numbers, check::hide(SIZE_MAX)));
    THROWS(std::length_error, stratalloc::reserve(numbers, check::hide(numbers.max_size()) + 1));
    THROWS(std::bad_alloc, stratalloc::reserve(numbers, check::hide(std::size_t{1} << 60))); // it has a size
    numbers.resize(10);
    THROWS(std::length_error, stratalloc::reserve_more(numbers, check::hide(SIZE_MAX - 4)));
}

TEST(reserving_more_and_more_stays_linear) {
    std::vector<int, stratalloc::allocator<int>> numbers;
    int moves = 0;
    const int* last = nullptr;
    for (int i = 0; i < 100000; ++i) {
        stratalloc::reserve_more(numbers, 1);
        moves += numbers.data() != last;
        last = numbers.data();
        numbers.push_back(i);
    }
    CHECK(moves < 30 && numbers[99999] == 99999);
}

TEST(allocate_at_least_tells_the_whole_block) {
    for (std::size_t count = 1; count < 5000; ++count) {
        stratalloc::allocator<char> chars;
        const auto roomy = chars.allocate_at_least(count);
        CHECK(roomy.count >= count && roomy.count >= strat_good_size(count) &&
              roomy.count <= strat_usable_size(roomy.ptr));
        roomy.ptr[roomy.count - 1] = 'x';
        chars.deallocate(roomy.ptr, count + (roomy.count - count) / 2); // any count in between is right
    }
    heap home;
    stratalloc::heap_allocator<double> doubles(home);
    const auto roomy = doubles.allocate_at_least(1001);
    CHECK(roomy.count * sizeof(double) >= strat_good_size(1001 * sizeof(double)) && home.contains(roomy.ptr));
    doubles.deallocate(roomy.ptr, roomy.count);
}

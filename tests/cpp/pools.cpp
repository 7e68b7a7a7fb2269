// Pools of objects: limits, reuse, waiting, objects that outlive their pool, and pointers that let go on other threads.
#include "check.hpp"

#include <atomic>
#include <chrono>
#include <future>
#include <set>
#include <string>
#include <thread>
#include <vector>

using check::counted;
using stratalloc::fixed_object_pool;
using stratalloc::object_pool;

namespace {

// Counts its instances on any thread; notices when two threads use one at once.
struct shared_thing {
    static inline std::atomic<int> living{0};
    static inline std::atomic<int> made{0};
    std::atomic<int> users{0};
    int uses = 0; // not atomic: handing it from thread to thread is the pool's to order
    shared_thing() {
        ++living;
        ++made;
    }
    shared_thing(const shared_thing&) = delete;
    shared_thing& operator=(const shared_thing&) = delete;
    ~shared_thing() {
        CHECK(users == 0);
        --living;
    }
    void use() {
        CHECK(users.fetch_add(1) == 0);
        ++uses;
        CHECK(users.fetch_sub(1) == 1);
    }
};

template <class Work> void on_threads(int count, Work work) {
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i) {
        threads.emplace_back(work, i);
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
}

} // namespace

TEST(fixed_pools_keep_their_limit_and_reuse_blocks) {
    fixed_object_pool<counted> pool(4);
    pool.reserve(4);
    THROWS(std::bad_alloc, pool.reserve(5));
    std::set<const void*> places;
    for (int round = 0; round < 10; ++round) {
        std::vector<fixed_object_pool<counted>::pointer> held;
        for (int i = 0; i < 4; ++i) {
            held.push_back(pool.acquire(i));
            places.insert(held.back().get());
            CHECK(held.back()->value == i);
        }
        CHECK(pool.live() == 4 && pool.try_acquire(9) == nullptr);
        THROWS(std::bad_alloc, pool.acquire(9));
    }
    CHECK(places.size() == 4 && counted::living == 0 && pool.live() == 0);
    const auto figures = pool.stats();
    CHECK(figures.live == 0 && figures.free >= 4 && figures.capacity >= 4 && figures.peak == 4);
    CHECK(pool.shrink() >= 4 && pool.stats().capacity == 0);
}

TEST(fixed_pool_objects_outlive_the_pool) {
    std::shared_ptr<counted> shared;
    fixed_object_pool<counted>::pointer unique;
    std::weak_ptr<counted> weak;
    {
        fixed_object_pool<counted> pool;
        shared = pool.acquire_shared(1);
        unique = pool.acquire(2);
        weak = shared;
        pool.acquire(3).reset();
    }
    CHECK(counted::living == 2 && shared->value == 1 && unique->value == 2);
    unique.reset();
    CHECK(weak.lock()->value == 1);
    shared.reset();
    CHECK(counted::living == 0 && weak.expired());
}

TEST(fixed_pools_move) {
    fixed_object_pool<counted> first(2);
    auto object = first.acquire(1);
    fixed_object_pool<counted> second(std::move(first));
    auto another = second.acquire(2);
    CHECK(second.live() == 2 && second.try_acquire(3) == nullptr);
    second = fixed_object_pool<counted>(1);
    CHECK(object->value == 1 && another->value == 2 && second.live() == 0);
}

TEST(destructors_may_use_the_pool_they_come_from) {
    struct tree {
        using pool = fixed_object_pool<tree, std::mutex>;
        pool::pointer left, right;
    };
    fixed_object_pool<tree, std::mutex> pool;
    auto root = pool.acquire();
    root->left = pool.acquire();
    root->left->left = pool.acquire();
    root->right = pool.acquire();
    CHECK(pool.live() == 4);
    root.reset();
    CHECK(pool.live() == 0);
}

TEST(a_fixed_pool_with_a_mutex_is_for_all_threads) {
    constexpr int threads = 4;
    {
        fixed_object_pool<shared_thing, std::mutex> pool(2 * threads);
        on_threads(threads, [&](int) {
            for (int i = 0; i < 5000; ++i) {
                auto a = pool.acquire();
                std::shared_ptr<shared_thing> b = pool.acquire_shared();
                a->use();
                b->use();
            }
        });
        CHECK(pool.live() == 0);
    }
    CHECK(shared_thing::living == 0);
}

TEST(object_pools_keep_objects_for_the_next_user) {
    int made = 0, reset = 0;
    object_pool<std::string> pool(
        [&] {
            ++made;
            return std::string(1000, 'x');
        },
        [&](std::string& text) {
            ++reset;
            text.clear();
        });
    for (int i = 0; i < 100; ++i) {
        auto text = pool.acquire();
        CHECK(text->empty() == (i > 0) && text->capacity() >= 1000);
        text->append("used");
    }
    CHECK(made == 1 && reset == 100 && pool.idle() == 1 && pool.size() == 1);
    auto text = pool.acquire();
    object_pool<std::string>::discard(std::move(text)); // broken: not to be used again
    CHECK(pool.size() == 0 && pool.idle() == 0 && reset == 100);
    object_pool<std::string>::discard(nullptr);
    auto next = pool.acquire();
    CHECK(made == 2 && next->size() == 1000);
}

TEST(object_pools_take_types_that_do_not_move) {
    object_pool<shared_thing> pool(3);
    const int before = shared_thing::made;
    for (int i = 0; i < 10; ++i) {
        auto a = pool.acquire(), b = pool.acquire(), c = pool.acquire();
        a->use();
        CHECK(pool.try_acquire() == nullptr);
    }
    CHECK(shared_thing::made - before == 3 && pool.shrink(1) == 2 && pool.idle() == 1 && pool.size() == 1);
}

TEST(object_pool_objects_outlive_the_pool) {
    std::shared_ptr<counted> shared;
    object_pool<counted>::pointer unique;
    int resets = 0;
    {
        object_pool<counted> pool([] { return counted(7); }, [&](counted&) { ++resets; });
        auto idle = pool.acquire();
        shared = pool.acquire_shared();
        unique = pool.acquire();
        idle.reset();
        CHECK(counted::living == 3);
    }
    CHECK(counted::living == 2 && shared->value == 7 &&
          unique->value == 7); // the idle one went with the pool
    unique.reset();
    CHECK(counted::living == 1);
    shared.reset();
    CHECK(counted::living == 0 && resets == 3);
}

TEST(an_object_pool_at_its_limit_waits_for_who_gives_back) {
    using namespace std::chrono_literals;
    object_pool<int> pool([] { return 1; }, 1);
    auto held = pool.acquire();
    CHECK(pool.acquire_for(20ms) == nullptr && pool.acquire_for(-1h) == nullptr);
    auto waiting = std::async(std::launch::async, [&] { return *pool.acquire(); });
    CHECK(waiting.wait_for(50ms) == std::future_status::timeout);
    *held = 42;
    held.reset();
    CHECK(waiting.get() == 42); // the same object

    held = pool.acquire();
    auto for_a_new_one = std::async(std::launch::async, [&] { return *pool.acquire(); });
    std::this_thread::sleep_for(20ms);
    object_pool<int>::discard(std::move(held)); // room for another
    CHECK(for_a_new_one.get() == 1);
    CHECK(*pool.acquire_for(std::chrono::hours::max()) == 1); // longer than the clock counts
}

TEST(nobody_waits_for_ever) {
    // More threads than objects, all of which wait again and again; a lost wake-up would end in the time limit.
    constexpr int threads = 8;
    object_pool<shared_thing> pool(2);
    on_threads(threads, [&](int number) {
        for (int i = 0; i < 2000; ++i) {
            auto thing = pool.acquire();
            thing->use();
            if (i % 50 == number) {
                object_pool<shared_thing>::discard(std::move(thing));
            }
        }
    });
    CHECK(pool.size() <= 2 && pool.idle() == pool.size());
}

TEST(shared_pointers_from_a_pool_cross_threads) {
    constexpr int threads = 4;
    constexpr int rounds = 3000;
    std::atomic<int> uses{0};
    {
        object_pool<shared_thing> pool;
        // Each thread acquires, and lets go what the thread before it acquired.
        std::vector<std::shared_ptr<shared_thing>> slots(threads);
        std::vector<std::mutex> locks(threads);
        on_threads(threads, [&](int number) {
            for (int i = 0; i < rounds; ++i) {
                std::shared_ptr<shared_thing> mine = pool.acquire_shared();
                mine->use();
                ++uses;
                const auto next = static_cast<std::size_t>((number + i) % threads);
                std::lock_guard<std::mutex> guard(locks[next]);
                slots[next].swap(mine);
            }
        });
        CHECK(pool.size() <= 2 * threads + threads);
        slots.clear();
        CHECK(pool.idle() == pool.size());
    }
    CHECK(shared_thing::living == 0 && uses == threads * rounds);
}

TEST(a_pool_ends_while_other_threads_let_objects_go) {
    for (int round = 0; round < 300; ++round) {
        std::vector<object_pool<shared_thing>::pointer> objects;
        std::vector<std::shared_ptr<shared_thing>> shared;
        {
            object_pool<shared_thing> pool;
            for (int i = 0; i < 8; ++i) {
                objects.push_back(pool.acquire());
                shared.push_back(pool.acquire_shared());
            }
            std::vector<std::thread> threads;
            std::atomic<bool> go{false};
            threads.emplace_back([&] {
                while (!go) {
                }
                objects.clear();
            });
            threads.emplace_back([&] {
                while (!go) {
                }
                shared.clear();
            });
            go = true;
            { object_pool<shared_thing> ends_here = std::move(pool); }
            for (std::thread& thread : threads) {
                thread.join();
            }
        }
        CHECK(shared_thing::living == 0);
    }
}

TEST(producers_and_consumers_do_not_grow_the_pool) {
    // One thread always acquires, another always lets go: objects must find their way back.
    object_pool<shared_thing> pool(64);
    const int before = shared_thing::made;
    std::vector<object_pool<shared_thing>::pointer> box;
    std::mutex mutex;
    std::atomic<bool> done{false};
    std::thread consumer([&] {
        while (!done) {
            std::vector<object_pool<shared_thing>::pointer> taken;
            {
                std::lock_guard<std::mutex> guard(mutex);
                taken.swap(box);
            }
            std::this_thread::yield();
        }
    });
    for (int i = 0; i < 20000; ++i) {
        auto thing = pool.acquire(); // waits when all 64 are in the box
        thing->use();
        std::lock_guard<std::mutex> guard(mutex);
        box.push_back(std::move(thing));
    }
    done = true;
    consumer.join();
    box.clear();
    CHECK(shared_thing::made - before <= 64 && pool.idle() == pool.size());
}

TEST(pools_of_other_threads_end_on_this_one) {
    object_pool<counted>::pointer kept;
    std::thread([&] {
        object_pool<counted> pool([] { return counted(3); });
        kept = pool.acquire();
    }).join();
    CHECK(kept->value == 3);
    kept.reset();
    CHECK(counted::living == 0);
}

/// \file
/// Pools of objects whose pointers give the object back on their own: `fixed_object_pool<T>` constructs at each
/// acquisition in memory it has at hand, `object_pool<T>` keeps objects constructed for the next user.
#ifndef STRATALLOC_OBJECT_POOL_HPP
#define STRATALLOC_OBJECT_POOL_HPP

#include <stratalloc/aligned.hpp>
#include <stratalloc/memory.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace stratalloc {

/// A mutex that is none: for pools that one thread uses at a time.
struct unsynchronized {
    void lock() noexcept {}
    void unlock() noexcept {}
};

/// Objects of one type in blocks of exactly their size, at most `limit` of them at once; each is constructed when it is
/// acquired and destroyed when its pointer lets go.
///
/// An object may outlive the pool: it stays valid, and the last one to go takes the pool's memory with it.
///
/// - Cost: a constant; no call of the allocator while memory is at hand (see `reserve`). A pointer takes two words.
/// - Threads: with `unsynchronized`, one at a time, and that goes for letting objects go as well. With std::mutex
///   or another one in its place, any. Constructors and destructors run outside the mutex and may use the pool.
/// - Ownership: pointers own their objects, pool and objects together the memory.
///
/// \code
/// stratalloc::fixed_object_pool<std::string> pool(100);
/// auto name = pool.acquire("xxx");
/// assert(*name == "xxx" && pool.live() == 1);
/// name.reset();
/// std::shared_ptr<std::string> shared = pool.acquire_shared("shared");
/// \endcode
template <class T, class Mutex = unsynchronized> class fixed_object_pool {
    struct state;

public:
    /// Destroys an object and gives its block back, also when the pool is gone.
    class returner {
    public:
        returner() noexcept = default;
        void operator()(T* object) const noexcept { home_->give_back(object); }

    private:
        friend class fixed_object_pool;
        explicit returner(state* home) noexcept : home_(home) {}
        state* home_ = nullptr;
    };

    /// Owner of an object of the pool.
    using pointer = std::unique_ptr<T, returner>;

    /// At most `limit` objects at once; 0: as many as memory holds.
    /// \throws std::bad_alloc
    explicit fixed_object_pool(std::size_t limit = 0)
        : state_(stratalloc::make_unique<state>(limit).release()) {}

    fixed_object_pool(fixed_object_pool&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    fixed_object_pool& operator=(fixed_object_pool&& other) noexcept {
        fixed_object_pool taken(std::move(other));
        std::swap(state_, taken.state_);
        return *this;
    }
    fixed_object_pool(const fixed_object_pool&) = delete;
    fixed_object_pool& operator=(const fixed_object_pool&) = delete;

    /// Objects that are still out keep the memory until the last of them is back.
    ~fixed_object_pool() {
        if (state_ != nullptr) {
            state_->close();
        }
    }

    /// A new object, made from `arguments`.
    /// \throws std::bad_alloc where the limit is reached or memory is out, or what the constructor throws; the block
    /// is back in the pool then.
    template <class... Arguments> [[nodiscard]] pointer acquire(Arguments&&... arguments) {
        pointer object = try_acquire(std::forward<Arguments>(arguments)...);
        if (object == nullptr) {
            detail::throw_bad_alloc();
        }
        return object;
    }

    /// As `acquire`, but an empty pointer where the limit is reached or memory is out.
    /// \throws What the constructor throws.
    template <class... Arguments> [[nodiscard]] pointer try_acquire(Arguments&&... arguments) {
        void* const block = state_->take();
        if (block == nullptr) {
            return pointer();
        }
        detail::on_failure undo([this, block]() noexcept { state_->release(block); });
        T* const object = ::new (block) T(std::forward<Arguments>(arguments)...);
        undo.dismiss();
        return pointer(object, returner(state_));
    }

    /// As `acquire`, shared; the counts are a small block of the process heap. A plain `pointer` converts to a
    /// std::shared_ptr too.
    /// \throws As `acquire`; the object is destroyed and back when the counts cannot be had.
    template <class... Arguments> [[nodiscard]] std::shared_ptr<T> acquire_shared(Arguments&&... arguments) {
        pointer object = acquire(std::forward<Arguments>(arguments)...);
        return std::shared_ptr<T>(object.release(), returner(state_), allocator<T>());
    }

    /// Gets memory for at least `more` objects beyond the live ones, so that acquiring them calls no allocator.
    /// \throws std::bad_alloc, also where the limit does not allow as many.
    void reserve(std::size_t more) {
        std::lock_guard<Mutex> guard(state_->mutex);
        if (!strat_fixed_pool_reserve(state_->blocks, more)) {
            detail::throw_bad_alloc();
        }
    }

    /// Gives memory without a live object back, as long as room for `keep` objects stays. Returns for how many
    /// objects it was.
    std::size_t shrink(std::size_t keep = 0) noexcept {
        std::lock_guard<Mutex> guard(state_->mutex);
        return strat_fixed_pool_shrink(state_->blocks, keep);
    }

    /// Objects that are out now.
    [[nodiscard]] std::size_t live() const noexcept {
        std::lock_guard<Mutex> guard(state_->mutex);
        return state_->live;
    }

    /// The figures of the pool's memory.
    [[nodiscard]] struct strat_pool_stats stats() const noexcept {
        struct strat_pool_stats figures = {};
        figures.size = sizeof figures;
        std::lock_guard<Mutex> guard(state_->mutex);
        strat_fixed_pool_stats(state_->blocks, &figures);
        return figures;
    }

private:
    /// Lives as long as the pool and as each object that is out.
    struct state {
        Mutex mutex;
        strat_fixed_pool* blocks;
        std::size_t live = 0;
        bool closed = false;

        explicit state(std::size_t limit) : blocks(strat_fixed_pool_new(sizeof(T), alignof(T), limit)) {
            if (blocks == nullptr) {
                detail::throw_bad_alloc();
            }
        }
        state(const state&) = delete;
        state& operator=(const state&) = delete;
        ~state() { strat_fixed_pool_destroy(blocks); }

        void* take() noexcept {
            std::lock_guard<Mutex> guard(mutex);
            void* const block = strat_fixed_pool_acquire(blocks);
            live += block != nullptr;
            return block;
        }

        void release(void* block) noexcept {
            bool last;
            {
                std::lock_guard<Mutex> guard(mutex);
                strat_fixed_pool_release(blocks, block);
                --live;
                last = closed && live == 0;
            }
            if (last) {
                deleter<state>()(this);
            }
        }

        void give_back(T* object) noexcept {
            void* const block = const_cast<std::remove_cv_t<T>*>(object);
            object->~T();
            release(block);
        }

        void close() noexcept {
            bool last;
            {
                std::lock_guard<Mutex> guard(mutex);
                closed = true;
                last = live == 0;
            }
            if (last) {
                deleter<state>()(this);
            }
        }
    };

    state* state_;
};

namespace detail {

/// A lock for a handful of instructions.
class spin_lock {
public:
    void lock() noexcept {
        for (unsigned spins = 0; locked_.exchange(true, std::memory_order_acquire); ++spins) {
            if (spins >= 64) {
                std::this_thread::yield(); // its holder may wait for this processor
            }
        }
    }
    void unlock() noexcept { locked_.store(false, std::memory_order_release); }

private:
    std::atomic<bool> locked_{false};
};

/// Numbers threads in the order in which they ask first.
inline std::size_t thread_number() noexcept {
    static std::atomic<std::size_t> next{0};
    thread_local const std::size_t number =
        next.fetch_add(1, std::memory_order_relaxed); // only has to differ
    return number;
}

/// In how many parts an object pool keeps its idle objects: a power of two, as many as processors, at most 16.
inline std::size_t pool_stripes() noexcept {
    static const std::size_t stripes = [] {
        std::size_t power = 1;
        while (power < 16 && power < std::thread::hardware_concurrency()) {
            power *= 2;
        }
        return power;
    }();
    return stripes;
}

} // namespace detail

/// Objects that are dear to make, kept constructed for whoever comes next: connections, buffers, parsers.
///
/// An object is made where none is idle, reset when its pointer lets go, and then idle. With a limit, whoever asks
/// while all are out waits. An object may outlive the pool: it stays valid, and is destroyed where it would have
/// become idle.
///
/// - Cost: an exchange and a store, under a lock for a few instructions that threads rarely share: idle objects are
///   kept in as many parts as there are processors. 16 bytes an object. A pointer takes one word.
/// - Threads: any, both for acquiring and for letting go. Neither `make` nor `reset` nor a destructor runs under a
///   lock; they may use the pool. The pool itself must not end while a thread is inside one of its functions.
/// - Ownership: pointers own their objects, the pool the idle ones. As many are kept as were out at once; see `shrink`.
///
/// \code
/// stratalloc::object_pool<std::vector<int>> buffers(
///     [] { return std::vector<int>(1000); },                       // make
///     [](std::vector<int>& buffer) { buffer.clear(); return true; }, // reset: keep it?
///     8);                                                          // at most
/// auto buffer = buffers.acquire();
/// assert(buffer->capacity() >= 1000);
/// std::shared_ptr<std::vector<int>> shared = buffers.acquire_shared();
/// \endcode
template <class T> class object_pool {
    struct node;
    struct state;

public:
    /// Resets an object and gives it back; destroys it where the pool is gone or `reset` says so or throws.
    class returner {
    public:
        void operator()(T* object) const noexcept { node::of(object)->home->give_back(object); }
    };

    /// Owner of an object of the pool.
    using pointer = std::unique_ptr<T, returner>;

    /// Objects are value-initialised, used again as they come back, and at most `limit` at once (0: no limit).
    /// \throws std::bad_alloc
    explicit object_pool(std::size_t limit = 0) : object_pool([] { return T(); }, limit) {}

    /// `make()` returns an object.
    /// \throws std::bad_alloc
    template <class Make, std::enable_if_t<std::is_invocable_r_v<T, Make&>, int> = 0>
    explicit object_pool(Make make, std::size_t limit = 0)
        : state_(stratalloc::make_unique<state>(std::move(make), nullptr, limit).release()) {}

    /// `make()` returns an object. `reset(object)` makes a used one ready for the next user, on the thread that lets it
    /// go; where it returns false or throws, the object is destroyed.
    /// \throws std::bad_alloc
    template <class Make, class Reset,
              std::enable_if_t<std::is_invocable_r_v<T, Make&> && std::is_invocable_v<Reset&, T&>, int> = 0>
    object_pool(Make make, Reset reset, std::size_t limit = 0)
        : state_(
              stratalloc::make_unique<state>(std::move(make), answering(std::move(reset)), limit).release()) {
    }

    object_pool(object_pool&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    object_pool& operator=(object_pool&& other) noexcept {
        object_pool taken(std::move(other));
        std::swap(state_, taken.state_);
        return *this;
    }
    object_pool(const object_pool&) = delete;
    object_pool& operator=(const object_pool&) = delete;

    /// Destroys the idle objects. Those that are out stay valid until their pointers let go.
    ~object_pool() {
        if (state_ != nullptr) {
            state_->close();
        }
    }

    /// An idle object, or a new one; waits where the limit is reached.
    /// \throws std::bad_alloc, or what `make` throws.
    [[nodiscard]] pointer acquire() { return own(state_->acquire(nullptr)); }

    /// As `acquire`, but an empty pointer at the limit.
    /// \throws As `acquire`.
    [[nodiscard]] pointer try_acquire() { return own(state_->take_or_make()); }

    /// As `acquire`, but waits no longer than `patience`; an empty pointer then.
    /// \throws As `acquire`.
    template <class Rep, class Period>
    [[nodiscard]] pointer acquire_for(const std::chrono::duration<Rep, Period>& patience) {
        using seconds = std::chrono::duration<double>;
        const auto now = clock::now();
        if (seconds(patience) >= seconds(clock::time_point::max() - now)) {
            return acquire(); // beyond the end of the clock
        }
        const auto deadline = now + std::chrono::duration_cast<clock::duration>(patience);
        return own(state_->acquire(&deadline));
    }

    /// As `acquire`, shared.
    /// \throws As `acquire`.
    [[nodiscard]] std::shared_ptr<T> acquire_shared() { return share(acquire()); }

    /// Makes a pointer a shared one; the counts are a small block of the process heap.
    /// \throws std::bad_alloc; the object is back in the pool then.
    [[nodiscard]] static std::shared_ptr<T> share(pointer object) {
        if (object == nullptr) {
            return nullptr;
        }
        return std::shared_ptr<T>(object.release(), returner(), allocator<T>());
    }

    /// Destroys an object instead of giving it back: a connection that broke. Null is allowed.
    static void discard(pointer object) noexcept {
        if (T* const last = object.release()) {
            node::of(last)->home->destroy(node::of(last));
        }
    }

    /// Destroys idle objects, as long as `keep` stay idle. Returns how many went.
    std::size_t shrink(std::size_t keep = 0) noexcept { return state_->shrink(keep); }

    /// Objects that wait in the pool; of the past already where other threads use it.
    [[nodiscard]] std::size_t idle() const noexcept { return state_->idle(); }

    /// Objects that exist, idle or out; of the past already where other threads use it.
    [[nodiscard]] std::size_t size() const noexcept { return state_->made.load(std::memory_order_relaxed); }

private:
    using clock = std::chrono::steady_clock;

    /// An object with the pool it belongs to. `next` is for idle ones.
    struct node {
        state* home;
        node* next;
        alignas(T) unsigned char storage[sizeof(T)];

        T* object() noexcept { return std::launder(reinterpret_cast<T*>(storage)); }
        static node* of(T* object) noexcept {
            return reinterpret_cast<node*>(reinterpret_cast<unsigned char*>(object) -
                                           offsetof(node, storage));
        }
    };

    /// A part of the idle objects. `count` is written under the lock, and read without it as a hint.
    struct alignas(cache_line) stripe {
        detail::spin_lock lock;
        bool closed = false;
        node* first = nullptr;
        std::atomic<std::size_t> count{0};

        node* pop() noexcept {
            node* const taken = first;
            if (taken != nullptr) {
                first = taken->next;
                count.store(count.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
            }
            return taken;
        }
    };

    /// What pool and objects share. It ends with the last reference: the pool has one, each object one.
    struct state {
        std::function<T()> make;
        std::function<bool(T&)> reset;
        const std::size_t limit;
        const std::size_t mask = detail::pool_stripes() - 1;
        const unique_ptr<stripe[]> stripes = stratalloc::make_unique<stripe[]>(mask + 1);
        std::atomic<std::size_t> references{1};
        std::atomic<std::size_t> made{0};
        // For those who wait at the limit. Who waits counts itself, then looks at every stripe under its lock; who
        // gives back looks at the count under the lock of its stripe: one of the two sees the other.
        std::atomic<std::size_t> waiting{0};
        std::mutex mutex;
        std::condition_variable returned;

        template <class Make, class Reset> state(Make&& make_with, Reset&& reset_with, std::size_t most)
            : make(std::forward<Make>(make_with)), reset(std::forward<Reset>(reset_with)), limit(most) {}

        stripe& own_stripe() noexcept { return stripes[detail::thread_number() & mask]; }

        /// An idle object, looked for by the hints or, when `every` is set, under every lock.
        node* take(bool every) noexcept {
            const std::size_t own = detail::thread_number();
            for (std::size_t step = 0; step <= mask; ++step) {
                stripe& part = stripes[(own + step) & mask];
                if (every || part.count.load(std::memory_order_relaxed) != 0) {
                    std::lock_guard<detail::spin_lock> guard(part.lock);
                    if (node* const taken = part.pop()) {
                        return taken;
                    }
                }
            }
            return nullptr;
        }

        /// Counts an object that is about to be made, where the limit allows one.
        bool count_up() noexcept {
            std::size_t now = made.load();
            do {
                if (limit != 0 && now >= limit) {
                    return false;
                }
            } while (!made.compare_exchange_weak(now, now + 1));
            references.fetch_add(1, std::memory_order_relaxed); // the caller holds one: the pool's
            return true;
        }

        /// Takes a counted object off the count, and lets somebody who waits make one.
        void count_down() noexcept {
            made.fetch_sub(1);
            if (waiting.load() != 0) {
                notify();
            }
            drop_reference();
        }

        /// Makes an object that `count_up` has counted.
        node* make_counted() {
            detail::on_failure uncount([this]() noexcept { count_down(); });
            void* const block = detail::allocate(sizeof(node), alignof(node));
            detail::on_failure free(
                [block]() noexcept { detail::deallocate(block, sizeof(node), alignof(node)); });
            node* const fresh = ::new (block) node;
            fresh->home = this;
            ::new (static_cast<void*>(fresh->storage)) T(make());
            free.dismiss();
            uncount.dismiss();
            return fresh;
        }

        node* take_or_make() {
            if (node* const idle_one = take(false)) {
                return idle_one;
            }
            return count_up() ? make_counted() : take(true);
        }

        node* acquire(const clock::time_point* deadline) {
            node* const at_once = take_or_make();
            return at_once != nullptr ? at_once : wait(deadline);
        }

        STRATALLOC_COLD node* wait(const clock::time_point* deadline) {
            std::unique_lock<std::mutex> lock(mutex);
            waiting.fetch_add(1);
            detail::on_failure leave([this]() noexcept { waiting.fetch_sub(1); });
            for (bool late = false;;) {
                if (node* const idle_one = take(true)) {
                    return idle_one;
                }
                if (count_up()) {
                    lock.unlock();
                    return make_counted();
                }
                if (late) {
                    return nullptr;
                }
                if (deadline == nullptr) {
                    returned.wait(lock);
                } else {
                    late = returned.wait_until(lock, *deadline) == std::cv_status::timeout;
                }
            }
        }

        void notify() noexcept {
            // Whoever waits has the mutex from before it looks until it sleeps.
            { std::lock_guard<std::mutex> guard(mutex); }
            returned.notify_one();
        }

        bool ready_again(T& object) noexcept {
            if (!reset) {
                return true;
            }
#if STRATALLOC_EXCEPTIONS
            try {
                return reset(object);
            } catch (...) {
                return false;
            }
#else
            return reset(object);
#endif
        }

        void give_back(T* object) noexcept {
            node* const item = node::of(object);
            if (ready_again(*object) && put(item)) {
                return;
            }
            destroy(item);
        }

        /// Makes an object idle. False: the pool is closed.
        bool put(node* item) noexcept {
            stripe& part = own_stripe();
            bool somebody_waits;
            {
                std::lock_guard<detail::spin_lock> guard(part.lock);
                if (part.closed) {
                    return false;
                }
                item->next = part.first;
                part.first = item;
                part.count.store(part.count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
                somebody_waits = waiting.load() != 0;
                if (somebody_waits) {
                    // From here on the object may go at any time, and the pool with it.
                    references.fetch_add(1, std::memory_order_relaxed);
                }
            }
            if (somebody_waits) {
                notify();
                drop_reference();
            }
            return true;
        }

        void destroy(node* item) noexcept {
            item->object()->~T();
            detail::deallocate(item, sizeof(node), alignof(node));
            count_down();
        }

        std::size_t idle() const noexcept {
            std::size_t sum = 0;
            for (std::size_t index = 0; index <= mask; ++index) {
                sum += stripes[index].count.load(std::memory_order_relaxed);
            }
            return sum;
        }

        std::size_t shrink(std::size_t keep) noexcept {
            std::size_t gone = 0;
            while (idle() > keep) {
                node* const item = take(true);
                if (item == nullptr) {
                    break;
                }
                destroy(item);
                ++gone;
            }
            return gone;
        }

        void close() noexcept {
            for (std::size_t index = 0; index <= mask; ++index) {
                stripe& part = stripes[index];
                node* list;
                {
                    std::lock_guard<detail::spin_lock> guard(part.lock);
                    part.closed = true;
                    list = std::exchange(part.first, nullptr);
                    part.count.store(0, std::memory_order_relaxed);
                }
                while (list != nullptr) {
                    destroy(std::exchange(list, list->next));
                }
            }
            drop_reference();
        }

        void drop_reference() noexcept {
            if (references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
                deleter<state>()(this);
            }
        }
    };

    explicit object_pool(state* from) noexcept : state_(from) {}

    static pointer own(node* item) noexcept { return pointer(item == nullptr ? nullptr : item->object()); }

    /// A reset that returns nothing keeps every object.
    template <class Reset> static std::function<bool(T&)> answering(Reset reset) {
        if constexpr (std::is_void_v<std::invoke_result_t<Reset&, T&>>) {
            return [reset = std::move(reset)](T& object) mutable {
                reset(object);
                return true;
            };
        } else {
            return [reset = std::move(reset)](T& object) mutable { return static_cast<bool>(reset(object)); };
        }
    }

    state* state_;
};

} // namespace stratalloc

#endif

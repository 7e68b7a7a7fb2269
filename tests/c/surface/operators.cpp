// Every operator new and delete: plain, array, nothrow, aligned, sized, and their mixtures. When
// memory is out the new_handler runs until it gives up, then std::bad_alloc is thrown (nothrow forms
// return null); blocks of any form are freed by the matching delete, sized or not.
// anchors.md "operator new(-1) aborting instead of throwing", issue line 3. Runs with libstdc++ and
// libc++. Links nothing of the library: the operators come by interposition.
#include "surface/entry.h"
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static int handler_calls;
static size_t impossible = SIZE_MAX / 2 - 100;

static void handler_that_gives_up() {
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

static void handler_that_throws() {
    handler_calls++;
    throw std::bad_alloc();
}

template <class Call> static void throws(const char *what, Call call) {
    handler_calls = 0;
    std::set_new_handler(handler_that_gives_up);
    bool thrown = false;
    try {
        void *block = call();
        CHECK(hide(block) == nullptr, "%s gave a block", what);
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    CHECK(thrown, "%s did not throw std::bad_alloc", what);
    CHECK(handler_calls == 3, "%s ran the new_handler %d times", what, handler_calls);
}

template <class Call> static void returns_null(const char *what, Call call) {
    handler_calls = 0;
    std::set_new_handler(handler_that_gives_up);
    CHECK(call() == nullptr, "%s gave a block", what);
    CHECK(handler_calls == 3, "%s ran the new_handler %d times", what, handler_calls);
    std::set_new_handler(handler_that_throws); // a throwing handler must not escape a nothrow form
    CHECK(call() == nullptr, "%s gave a block", what);
    std::set_new_handler(nullptr);
}

static void check_block(void *block, size_t size, size_t align) {
    CHECK(block != nullptr && (uintptr_t)block % align == 0, "new of %zu at %zu gave %p", size, align, block);
    fill(block, size, 4);
    CHECK(malloc_usable_size(block) >= size, "usable size");
}

int main() {
    Dl_info ours, news;
    CHECK(dladdr(dlsym(RTLD_DEFAULT, "malloc"), &ours) && dladdr(dlsym(RTLD_DEFAULT, "_Znwm"), &news), "dladdr");
    CHECK(getenv("STRATALLOC_EXPECT") == nullptr || strcmp(ours.dli_fname, news.dli_fname) == 0,
          "operator new is that of %s", news.dli_fname);
    const std::align_val_t a64{64};
    for (size_t size = 0; size < 3 * MIB; size = size * 2 + 1) {
        void *block;
        check_block(block = ::operator new(size), size, 16), ::operator delete(block);
        check_block(block = ::operator new(size), size, 16), ::operator delete(block, size);
        check_block(block = ::operator new[](size), size, 16), ::operator delete[](block);
        check_block(block = ::operator new[](size), size, 16), ::operator delete[](block, size);
        check_block(block = ::operator new(size, std::nothrow), size, 16), ::operator delete(block, std::nothrow);
        check_block(block = ::operator new[](size, std::nothrow), size, 16), ::operator delete[](block, std::nothrow);
        for (size_t align = 16; align <= 64 * KIB; align *= 4) {
            std::align_val_t at{align};
            check_block(block = ::operator new(size, at), size, align), ::operator delete(block, at);
            check_block(block = ::operator new(size, at), size, align), ::operator delete(block, size, at);
            check_block(block = ::operator new[](size, at), size, align), ::operator delete[](block, at);
            check_block(block = ::operator new[](size, at), size, align), ::operator delete[](block, size, at);
            check_block(block = ::operator new(size, at, std::nothrow), size, align);
            ::operator delete(block, at, std::nothrow);
            check_block(block = ::operator new[](size, at, std::nothrow), size, align);
            ::operator delete[](block, at, std::nothrow);
        }
        ::operator delete(nullptr), ::operator delete[](nullptr), ::operator delete(nullptr, size);
        ::operator delete(nullptr, a64), ::operator delete[](nullptr, size, a64);
    }
    size_t size = hide_size(impossible);
    throws("operator new", [=] { return ::operator new(size); });
    throws("operator new[]", [=] { return ::operator new[](size); });
    throws("aligned operator new", [=] { return ::operator new(size, a64); });
    throws("aligned operator new[]", [=] { return ::operator new[](size, a64); });
    throws("operator new(-1)", [=] { return ::operator new(hide_size(SIZE_MAX)); });
    throws("aligned operator new(-1)", [=] { return ::operator new(hide_size(SIZE_MAX), a64); });
    returns_null("nothrow new", [=] { return ::operator new(size, std::nothrow); });
    returns_null("nothrow new[]", [=] { return ::operator new[](size, std::nothrow); });
    returns_null("aligned nothrow new", [=] { return ::operator new(size, a64, std::nothrow); });
    returns_null("aligned nothrow new[]", [=] { return ::operator new[](size, a64, std::nothrow); });
    std::set_new_handler(nullptr);
    bool thrown = false;
    try {
        std::vector<char> vector;
        vector.reserve(hide_size(PTRDIFF_LIMIT));
    } catch (const std::bad_alloc &) {
        thrown = true;
    } catch (const std::length_error &) {
        thrown = true;
    }
    CHECK(thrown, "an impossible vector");
    // Ordinary use from several threads, objects crossing between them.
    std::vector<std::unique_ptr<std::map<std::string, std::vector<int>>>> maps(8);
    std::vector<std::thread> threads;
    for (size_t t = 0; t < maps.size(); t++)
        threads.emplace_back([&maps, t] {
            maps[t] = std::make_unique<std::map<std::string, std::vector<int>>>();
            for (int i = 0; i < 2000; i++)
                (*maps[t])["key number " + std::to_string(i)].assign(static_cast<size_t>(i % 50), i);
        });
    for (auto &thread : threads)
        thread.join();
    for (auto &map : maps) {
        CHECK(map->size() == 2000 && map->at("key number 1999")[0] == 1999, "a map changed");
        map.reset();
    }
    struct alignas(256) Wide {
        char bytes[300];
    };
    for (int i = 0; i < 100; i++) {
        auto wide = std::make_unique<Wide>();
        auto wides = std::make_unique<Wide[]>(5);
        CHECK((uintptr_t)wide.get() % 256 == 0 && (uintptr_t)wides.get() % 256 == 0, "an over-aligned object");
    }
    return 0;
}

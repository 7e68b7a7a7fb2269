/*
 * Shows: operator new and delete in all variants - alignment, nothrow, sized; what happens when
 * memory is out: the new handler runs, again and again until it helps, throws or is gone; then
 * std::bad_alloc is thrown, or null returned by nothrow new even if the handler throws; exceptions
 * leave no count behind and destructors on the way run.
 * Build with C++17 or later, libstdc++ or libc++. Exit 0 = pass; each failure is named on stderr.
 */
#include "expect.h"
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include <sys/resource.h>

/* Beyond the compiler's sight: it may elide news that it can see. */
static volatile std::size_t most = SIZE_MAX / 2, zero = 0, uneven = 48;
static const std::align_val_t a64{64};
static std::align_val_t odd() { return std::align_val_t(uneven); }
static std::align_val_t none() { return std::align_val_t(zero); }

static int calls;
struct Other {
    std::string text;
};
static void gives_up_after_three() {
    if (++calls == 3)
        std::set_new_handler(nullptr);
}
static void throws_bad_alloc() {
    ++calls;
    throw std::bad_alloc();
}
struct Derived : std::bad_alloc {};
static void throws_derived() {
    ++calls;
    throw Derived();
}
static void throws_other() {
    ++calls;
    throw Other{"a string that is long enough for a block of its own"};
}
static bool help;
static void *volatile reserve;
static void frees() {
    ++calls;
    ::operator delete(reserve);
    reserve = nullptr;
    help = true;
}

struct Counted {
    static int alive;
    Counted() { ++alive; }
    ~Counted() { --alive; }
};
int Counted::alive;

template <class Exception, class Call> static bool thrown(Call call) {
    try {
        Counted on_the_way;
        call();
    } catch (const Exception &) {
        EXPECT(Counted::alive == 0);
        EXPECT(std::uncaught_exceptions() == 0);
        return true;
    } catch (...) {
        std::fprintf(stderr, "another exception\n");
    }
    return false;
}

static void *plain() { return ::operator new(most); }
static void *array() { return ::operator new[](most); }
static void *plain64() { return ::operator new(most, a64); }
static void *array64() { return ::operator new[](most, a64); }
static void *nothrow() { return ::operator new(most, std::nothrow); }
static void *nothrow_array() { return ::operator new[](most, std::nothrow); }
static void *nothrow64() { return ::operator new(most, a64, std::nothrow); }
static void *nothrow_array64() { return ::operator new[](most, a64, std::nothrow); }
static void *(*const throwing[])() = {plain, array, plain64, array64};
static void *(*const quiet[])() = {nothrow, nothrow_array, nothrow64, nothrow_array64};

/* Deletes what it gets; wrapped so that the pairs are one line each. */
template <class Delete> static void pair(void *block, std::size_t align, Delete end) {
    EXPECT(block != nullptr && reinterpret_cast<std::uintptr_t>(block) % align == 0);
    end(block);
}

int main() {
    for (std::size_t n : {std::size_t(zero), std::size_t(1), std::size_t(100), std::size_t(5000), std::size_t(1000000)}) {
        pair(::operator new(n), 16, [](void *p) { ::operator delete(p); });
        pair(::operator new(n), 16, [n](void *p) { ::operator delete(p, n); });
        pair(::operator new(n), 16, [](void *p) { ::operator delete(p, std::nothrow); });
        pair(::operator new[](n), 16, [](void *p) { ::operator delete[](p); });
        pair(::operator new[](n), 16, [n](void *p) { ::operator delete[](p, n); });
        pair(::operator new[](n), 16, [](void *p) { ::operator delete[](p, std::nothrow); });
        pair(::operator new(n, std::nothrow), 16, [](void *p) { ::operator delete(p); });
        pair(::operator new[](n, std::nothrow), 16, [](void *p) { ::operator delete[](p); });
        pair(::operator new(n, a64), 64, [](void *p) { ::operator delete(p, a64); });
        pair(::operator new(n, a64), 64, [n](void *p) { ::operator delete(p, n, a64); });
        pair(::operator new(n, a64), 64, [](void *p) { ::operator delete(p, a64, std::nothrow); });
        pair(::operator new[](n, a64), 64, [](void *p) { ::operator delete[](p, a64); });
        pair(::operator new[](n, a64), 64, [n](void *p) { ::operator delete[](p, n, a64); });
        pair(::operator new[](n, a64), 64, [](void *p) { ::operator delete[](p, a64, std::nothrow); });
        pair(::operator new(n, a64, std::nothrow), 64, [](void *p) { ::operator delete(p, a64); });
        pair(::operator new[](n, a64, std::nothrow), 64, [](void *p) { ::operator delete[](p, a64); });
    }
    ::operator delete(nullptr);
    ::operator delete[](nullptr, a64);

    /* No handler. */
    std::set_new_handler(nullptr);
    for (auto call : throwing) {
        errno = 0;
        EXPECT(thrown<std::bad_alloc>(call));
        EXPECT(errno == ENOMEM);
    }
    for (auto call : quiet) {
        errno = 0;
        EXPECT(call() == nullptr);
        EXPECT(errno == ENOMEM);
    }

    /* An alignment that is none: at once, no handler can help. */
    std::set_new_handler(throws_other);
    EXPECT(thrown<std::bad_alloc>([] { return ::operator new(8, odd()); }));
    EXPECT(thrown<std::bad_alloc>([] { return ::operator new[](8, odd()); }));
    EXPECT(thrown<std::bad_alloc>([] { return ::operator new(8, none()); }));
    EXPECT(::operator new(8, odd(), std::nothrow) == nullptr);
    EXPECT(::operator new[](8, none(), std::nothrow) == nullptr);

    /* A handler that gives up at its third call. */
    for (auto call : throwing) {
        calls = 0;
        std::set_new_handler(gives_up_after_three);
        EXPECT(thrown<std::bad_alloc>(call));
        EXPECT(calls == 3);
    }
    for (auto call : quiet) {
        calls = 0;
        std::set_new_handler(gives_up_after_three);
        EXPECT(call() == nullptr);
        EXPECT(calls == 3);
    }

    /* Handlers that throw: many times, so that a leak or a broken stack would show. */
    for (int round = 0; round < 1000; ++round) {
        calls = 0;
        std::set_new_handler(throws_bad_alloc);
        for (auto call : throwing)
            EXPECT(thrown<std::bad_alloc>(call));
        for (auto call : quiet)
            EXPECT(call() == nullptr && std::uncaught_exceptions() == 0 && !std::current_exception());
        std::set_new_handler(throws_derived);
        for (auto call : throwing)
            EXPECT(thrown<Derived>(call));
        for (auto call : quiet)
            EXPECT(call() == nullptr);
        std::set_new_handler(throws_other);
        for (auto call : throwing)
            EXPECT(thrown<Other>(call));
        for (auto call : quiet)
            EXPECT(call() == nullptr && !std::current_exception());
        EXPECT(calls == 24);
    }

    /* Nothrow new in a handler of another exception: that one stays the current one. */
    try {
        throw Other{"outer"};
    } catch (const Other &outer) {
        std::set_new_handler(throws_bad_alloc);
        EXPECT(nothrow() == nullptr);
        EXPECT(outer.text == "outer");
        EXPECT(std::current_exception() != nullptr);
    }

    /* A handler that finds memory, in an address space of 1 GiB (an emulator may not enforce it). */
    rlimit limit{std::size_t(1) << 30, RLIM_INFINITY};
    setrlimit(RLIMIT_AS, &limit);
    bool limited = std::malloc(std::size_t(2) << 30) == nullptr;
    calls = 0;
    std::vector<void *> held;
    held.reserve(2048);
    reserve = ::operator new(8 << 20);
    std::set_new_handler(frees);
    while (!help && held.size() < held.capacity())
        held.push_back(::operator new(1 << 20));
    EXPECT(!limited || (calls == 1 && help && held.back() != nullptr));
    for (void *block : held)
        ::operator delete(block);
    std::set_new_handler(nullptr);

    try {
        std::string text(most - 100, 'x');
        EXPECT(false);
    } catch (const std::exception &) {
    }
    return failures != 0;
}

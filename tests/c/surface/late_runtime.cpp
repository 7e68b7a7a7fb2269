/*
 * Shows: the C++ runtime is found also when it comes late and privately: a C program (compile this
 * file with -x c -DHOST) loads this file's other half as a plugin with RTLD_LOCAL, which brings the
 * runtime along. There, new throws, nothrow new catches, a pthread_exit in a handler goes through.
 * Host: argument 1 is the plugin (-shared -fPIC). Exit 0 = pass; each failure is named on stderr.
 */
#ifdef HOST
#include "loaded.h"
#include <stdio.h>
int main(int argc, char **argv) {
    if (argc < 2 || dlsym(RTLD_DEFAULT, "_ZSt15get_new_handlerv") != NULL) {
        fprintf(stderr, "usage: host PLUGIN, without a C++ runtime at start\n");
        return 2;
    }
    void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (plugin == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    int (*run)(void) = (int (*)(void))dlsym(plugin, "run");
    return run();
}
#else
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <new>
#include <pthread.h>

static int failures;
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            ++failures;                                                                            \
            std::fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                           \
        }                                                                                          \
    } while (0)

static volatile std::size_t most = SIZE_MAX / 2;
static int calls;
static bool unwound;

static void throws() {
    ++calls;
    throw 42;
}
static void leaves() {
    ++calls;
    pthread_exit(&calls);
}
struct Unwound {
    ~Unwound() { unwound = true; }
};
static void *quiet_thread(void *) {
    Unwound object;
    return ::operator new(most, std::nothrow);
}
static void *throwing_thread(void *) {
    Unwound object;
    return ::operator new(most);
}

extern "C" int run() {
    try {
        ::operator delete(::operator new(most));
        CHECK(!"reached");
    } catch (const std::bad_alloc &) {
    }
    CHECK(::operator new(most, std::nothrow) == nullptr);
    std::set_new_handler(throws);
    try {
        ::operator delete(::operator new(most));
        CHECK(!"reached");
    } catch (int value) {
        CHECK(value == 42);
    }
    CHECK(calls == 1);
    CHECK(::operator new(most, std::nothrow) == nullptr);
    CHECK(calls == 2);

#ifdef __GLIBCXX__
    /* Not with LLVM's unwinder: glibc ends threads by GCC's, and the two do not read each other's
     * frames, with any allocator. */
    std::set_new_handler(leaves);
    for (auto start : {throwing_thread, quiet_thread}) {
        pthread_t thread;
        void *result = nullptr;
        unwound = false;
        CHECK(pthread_create(&thread, nullptr, start, nullptr) == 0);
        CHECK(pthread_join(thread, &result) == 0 && result == &calls);
        // The compiler may know that nothrow new does not throw, and then keep no way out for Unwound.
        CHECK(unwound || start == quiet_thread);
    }
    CHECK(calls == 4);
#endif
    return failures != 0;
}
#endif

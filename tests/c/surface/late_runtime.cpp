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
#include "expect.h"
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <new>
#include <pthread.h>

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
        EXPECT(!"reached");
    } catch (const std::bad_alloc &) {
    }
    EXPECT(::operator new(most, std::nothrow) == nullptr);
    std::set_new_handler(throws);
    try {
        ::operator delete(::operator new(most));
        EXPECT(!"reached");
    } catch (int value) {
        EXPECT(value == 42);
    }
    EXPECT(calls == 1);
    EXPECT(::operator new(most, std::nothrow) == nullptr);
    EXPECT(calls == 2);

#ifdef __GLIBCXX__
    /* Not with LLVM's unwinder: glibc ends threads by GCC's, and the two do not read each other's
     * frames, with any allocator. */
    std::set_new_handler(leaves);
    for (auto start : {throwing_thread, quiet_thread}) {
        pthread_t thread;
        void *result = nullptr;
        unwound = false;
        EXPECT(pthread_create(&thread, nullptr, start, nullptr) == 0);
        EXPECT(pthread_join(thread, &result) == 0 && result == &calls);
        // The compiler may know that nothrow new does not throw, and then keep no way out for Unwound.
        EXPECT(unwound || start == quiet_thread);
    }
    EXPECT(calls == 4);
#endif
    return failures != 0;
}
#endif

/*
 * The program that `cargo xtask gate` measures: for each size a warm-up function and a measured one,
 * so that the profile tells their calls apart by the caller's name. Eight blocks stay live while the
 * measured ones come and go, and some were freed before: a thread that is at work, not one that allocates its first
 * blocks of a class. The first rounds of all use up the frees that a new heap checks one by one. A fifth allocation in each round, which is
 * not measured, lets those that find their list empty fall on all of the others alike.
 * xtask defines ROUNDS and writes one SIZE(n) for each size, and its call, where SIZES and RUN stand.
 */
#include <stddef.h>
#include <stdlib.h>

void *_Znwm(size_t) __attribute__((weak));
void _ZdlPv(void *) __attribute__((weak));
void _ZdlPvm(void *, size_t) __attribute__((weak));

#define LIVE 8
#define SOME 64

static void *volatile live[LIVE];

#define MEASURE(name, n)                                                                           \
    __attribute__((noinline)) static void name##_##n(int rounds) {                                 \
        for (int i = 0; i < rounds; ++i) {                                                         \
            free(malloc(n));                                                                       \
            _ZdlPv(_Znwm(n));                                                                      \
            _ZdlPvm(_Znwm(n), n);                                                                  \
            free(calloc(1, n));                                                                    \
            live[0] = realloc(live[0], n);                                                         \
            free(aligned_alloc(16, n));                                                            \
        }                                                                                          \
    }

#define SIZE(n)                                                                                    \
    MEASURE(warm, n)                                                                               \
    MEASURE(measured, n)                                                                           \
    static void size_##n(void) {                                                                   \
        static void *some[SOME];                                                                   \
        for (int i = 0; i < SOME; ++i)                                                             \
            some[i] = malloc(n);                                                                   \
        for (int i = 0; i < LIVE; ++i)                                                             \
            live[i] = malloc(n);                                                                   \
        for (int i = 0; i < SOME; ++i)                                                             \
            free(some[i]);                                                                         \
        warm_##n(100);                                                                             \
        measured_##n(ROUNDS);                                                                      \
        for (int i = 0; i < LIVE; ++i)                                                             \
            free(live[i]);                                                                         \
    }

SIZES

int main(void) {
    if (!_Znwm || !_ZdlPv || !_ZdlPvm)
        return 1;
    for (int i = 0; i < 4096; ++i)
        free(malloc(16));
    RUN
    return 0;
}

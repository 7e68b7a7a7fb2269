/* The callback of the soft limit: after everything free has gone back, once for each excursion, outside all
 * locks, with errno kept. Issue 4, line 6.
 *
 * Arguments: the soft limit that must be in force, KiB; 0: none, nothing must be called. Bytes to touch of each
 * MiB: all, unless the kernel slows down who touches more than the limit (memory.high). */
#include "check.h"
#include "../../include/stratalloc.h"
#include <malloc.h>

#pragma weak strat_on_soft_limit

/* Volatile: the compiler knows malloc as a function that calls nothing of this file. */
static volatile struct {
    size_t calls, held, limit, dirty, rss;
    int depth, allocated;
} seen;
static int argument;

static void on_soft_limit(size_t held, size_t limit, void *given) {
    CHECK(given == &argument, "the argument");
    CHECK(seen.depth++ == 0, "entered twice");
    seen.calls++;
    seen.held = held;
    seen.limit = limit;
    seen.dirty = mallinfo2().keepcost;
    seen.rss = (size_t)rss_kib();
    /* Allocation is allowed, of any size, and calls nothing. */
    void *small = malloc(100), *large = malloc(hide_size(4 * MIB));
    seen.allocated += small != NULL && large != NULL;
    free(small);
    free(large);
    errno = 4711;
    seen.depth--;
}

static size_t touched;

/* MiB blocks. */
static size_t grow(char **blocks, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        errno = 17;
        blocks[i] = malloc(MIB);
        CHECK(blocks[i] != NULL && errno == 17, "block %zu, errno %d", i, errno);
        memset(blocks[i], 1, touched);
    }
    return to;
}

int main(int argc, char **argv) {
    static char *blocks[256];
    size_t limit = (size_t)number_arg(argc, argv, 1, 0) * KIB, mib = limit / MIB;
    touched = (size_t)number_arg(argc, argv, 2, MIB);
    CHECK(strat_on_soft_limit != NULL, "strat_on_soft_limit is exported");
    strat_on_soft_limit(on_soft_limit, &argument);
    if (limit == 0) {
        grow(blocks, 0, 100);
        CHECK(seen.calls == 0, "%zu calls without a limit", seen.calls);
        puts("CALLS 0");
        return 0;
    }
    /* Some of what is free is resident when the limit is crossed. */
    size_t count = grow(blocks, 0, mib - 6);
    for (size_t i = 0; i < 8; i += 2) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
    CHECK(mallinfo2().keepcost > 0, "nothing was kept");
    CHECK(seen.calls == 0, "called at %zu MiB", mib - 6);
    char *odd = malloc(hide_size(3 * MIB + MIB / 2));
    memset(odd, 1, touched);
    count = grow(blocks, count, mib + 8);
    CHECK(seen.calls == 1, "%zu calls in one excursion", seen.calls);
    CHECK(seen.limit == limit, "the limit is %zu, not %zu", seen.limit, limit);
    CHECK(seen.held > limit && seen.held <= limit + 2 * MIB, "called at %zu", seen.held);
    CHECK(seen.dirty == 0, "%zu bytes were free and resident at the call", seen.dirty);
    CHECK(seen.allocated == 1, "no allocation inside");
    /* Just below the limit is the same excursion. */
    while (count > mib - 2)
        free(blocks[--count]);
    count = grow(blocks, count, mib + 4);
    CHECK(seen.calls == 1, "%zu calls without coming far down", seen.calls);
    while (count > mib / 2)
        free(blocks[--count]);
    malloc_trim(0);
    free(malloc(hide_size(64 * KIB)));
    count = grow(blocks, count, mib + 4);
    CHECK(seen.calls == 2, "%zu calls in two excursions", seen.calls);
    strat_on_soft_limit(NULL, NULL);
    printf("CALLS %zu LIMIT %zu HELD %zu\n", seen.calls, seen.limit, seen.held);
    return 0;
}

/* What the programs of this folder share: checks, memory figures, a random generator.
 *
 * A program ends with status 0 when it passed; a failed CHECK says why on stderr and ends it with
 * status 1. Nothing here allocates, so that the figures are the program's own. */
#ifndef CHECK_H
#define CHECK_H

#include "loaded.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

#define KIB 1024L
#define MIB (1024L * 1024L)

#define CHECK(condition, ...)                                      \
    do {                                                           \
        if (!(condition))                                          \
            check_fail(__FILE__, __LINE__, #condition, __VA_ARGS__); \
    } while (0)

/* Writes the reason and ends the program at once, without exit hooks. */
__attribute__((noreturn, format(printf, 4, 5), unused)) static void check_fail(
    const char *file, int line, const char *condition, const char *format, ...) {
    char text[512];
    int length = snprintf(text, sizeof text, "%s:%d: %s: ", file, line, condition);
    va_list args;
    va_start(args, format);
    if (length > 0 && (size_t)length < sizeof text - 1)
        length += vsnprintf(text + length, sizeof text - (size_t)length - 1, format, args);
    va_end(args);
    if ((size_t)length > sizeof text - 2)
        length = (int)sizeof text - 2;
    text[length++] = '\n';
    ssize_t ignored = write(2, text, (size_t)length);
    (void)ignored;
    _exit(1);
}

/* Hides a value from the optimiser, so that no allocation is elided and no misuse is warned about. */
__attribute__((unused)) static void *hide(const volatile void *pointer) {
    void *result = (void *)(uintptr_t)pointer;
    __asm__ volatile("" : "+r"(result) : : "memory");
    return result;
}

__attribute__((unused)) static size_t hide_size(size_t value) {
    __asm__ volatile("" : "+r"(value));
    return value;
}

/* Reads `file` and returns the number after `key`, or -1. */
__attribute__((unused)) static long proc_figure(const char *file, const char *key) {
    char text[8192];
    size_t used = 0;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    for (;;) {
        ssize_t got = read(fd, text + used, sizeof text - 1 - used);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    close(fd);
    text[used] = 0;
    const char *at = strstr(text, key);
    return at == NULL ? -1 : strtol(at + strlen(key), NULL, 10);
}

/* Resident memory in KiB, exact: the kernel walks the page tables. */
__attribute__((unused)) static long rss_kib(void) {
    long rss = proc_figure("/proc/self/smaps_rollup", "Rss:");
    CHECK(rss > 0, "no Rss in /proc/self/smaps_rollup");
    return rss;
}

/* Highest resident memory so far, KiB. */
__attribute__((unused)) static long peak_kib(void) {
    return proc_figure("/proc/self/status", "VmHWM:");
}

/* Page faults so far that needed no disk. */
__attribute__((unused)) static long page_faults(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

__attribute__((unused)) static void sleep_ms(long ms) {
    struct timespec left = {ms / 1000, (ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

/* Waits, without any allocator call, until resident memory is at most `limit` KiB or `seconds`
 * have passed; returns the last figure. */
__attribute__((unused)) static long rss_settles_below(long limit, int seconds) {
    long rss = rss_kib();
    for (int i = 0; i < seconds * 20 && rss > limit; i++) {
        sleep_ms(50);
        rss = rss_kib();
    }
    return rss;
}

/* splitmix64: one 64-bit state a thread. */
__attribute__((unused)) static uint64_t random_next(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A size below `limit`, small ones far more often than large ones; at least 1. */
__attribute__((unused)) static size_t random_size(uint64_t *state, size_t limit) {
    unsigned bits = 1, top = 0;
    while (((size_t)1 << (top + 1)) < limit)
        top++;
    bits = 1 + (unsigned)(random_next(state) % (top + 1));
    size_t size = 1 + (size_t)(random_next(state) & (((uint64_t)1 << bits) - 1));
    return size < limit ? size : limit;
}

/* The seed from SEED, else from the clock; always printed. */
__attribute__((unused)) static uint64_t seed_printed(void) {
    const char *given = getenv("SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0)
                                  : (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u + (uint64_t)now.tv_sec;
    char text[64];
    int length = snprintf(text, sizeof text, "SEED=%llu\n", (unsigned long long)seed);
    ssize_t ignored = write(1, text, (size_t)length);
    (void)ignored;
    return seed;
}

/* Argument `index` as a number, or `otherwise`. */
__attribute__((unused)) static long number_arg(int argc, char **argv, int index, long otherwise) {
    return index < argc ? strtol(argv[index], NULL, 0) : otherwise;
}

/* A block's contents as a function of a key, so that any block can be checked later. */
__attribute__((unused)) static void fill(void *block, size_t size, uint64_t key) {
    unsigned char *bytes = (unsigned char *)block;
    size_t i = 0;
    uint64_t word = key * 0x9e3779b97f4a7c15u + 1;
    for (; i + 8 <= size; i += 8, word += 0x0101010101010101u)
        memcpy(bytes + i, &word, 8);
    for (; i < size; i++)
        bytes[i] = (unsigned char)(word >> (i % 8 * 8));
}

/* True when the first `size` bytes are those that `fill` wrote for the same key. */
__attribute__((unused)) static int filled(const void *block, size_t size, uint64_t key) {
    const unsigned char *bytes = (const unsigned char *)block;
    size_t i = 0;
    uint64_t word = key * 0x9e3779b97f4a7c15u + 1;
    for (; i + 8 <= size; i += 8, word += 0x0101010101010101u)
        if (memcmp(bytes + i, &word, 8) != 0)
            return 0;
    for (; i < size; i++)
        if (bytes[i] != (unsigned char)(word >> (i % 8 * 8)))
            return 0;
    return 1;
}

#endif

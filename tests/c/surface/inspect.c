/*
 * Shows: mallinfo, mallinfo2, mallopt, malloc_trim, malloc_stats and malloc_info are the library's
 * own and tell the truth: figures grow by what is allocated and shrink by what is freed.
 * Prints malloc_info's XML on stdout. Exit 0 = pass; each failure is named on stderr.
 */
#include "expect.h"
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static void *volatile small[1000];
static void *volatile large;

int main(void) {
    struct mallinfo2 before = mallinfo2();
    size_t total = 0;
    for (int i = 0; i < 1000; ++i) {
        small[i] = malloc(40 + i / 2);
        total += 40 + i / 2;
    }
    large = malloc((size_t)64 << 20);
    EXPECT(large != NULL);
    struct mallinfo2 during = mallinfo2();
    EXPECT(during.uordblks >= before.uordblks + total);
    EXPECT(during.uordblks < before.uordblks + 2 * total + 65536);
    EXPECT(during.hblks == before.hblks + 1);
    EXPECT(during.hblkhd >= before.hblkhd + ((size_t)64 << 20));
    EXPECT(during.arena == during.uordblks + during.fordblks);
    EXPECT(during.smblks == 0 && during.fsmblks == 0 && during.usmblks == 0);
    struct mallinfo narrow = mallinfo();
    EXPECT(narrow.uordblks >= 0 && (size_t)narrow.uordblks == mallinfo2().uordblks);
    EXPECT(narrow.hblks == (int)during.hblks);
    void *volatile huge = malloc((size_t)5 << 30);
    if (huge) {
        EXPECT(mallinfo().hblkhd == INT_MAX);
        EXPECT(mallinfo2().hblkhd >= (size_t)5 << 30);
    }
    free(huge);
    for (int i = 0; i < 1000; ++i)
        free(small[i]);
    free(large);
    struct mallinfo2 after = mallinfo2();
    EXPECT(after.uordblks < during.uordblks);
    EXPECT(after.uordblks <= before.uordblks + 65536);
    EXPECT(after.hblks == before.hblks && after.hblkhd == before.hblkhd);

    EXPECT(mallopt(M_CHECK_ACTION, 1) == 1);
    EXPECT(mallopt(M_MMAP_MAX, 64 * 1024) == 1);
    EXPECT(mallopt(M_MMAP_THRESHOLD, 64 * 1024) == 1);
    EXPECT(mallopt(M_MXFAST, 0) == 1);
    EXPECT(mallopt(M_MXFAST, 160) == 1);
    EXPECT(mallopt(M_MXFAST, 161) == 0);
    EXPECT(mallopt(M_MXFAST, -1) == 0);
    EXPECT(mallopt(M_PERTURB, 0xa5) == 1);
    EXPECT(mallopt(M_TOP_PAD, 64 * 1024) == 1);
    EXPECT(mallopt(M_TRIM_THRESHOLD, -1) == 1);
    EXPECT(mallopt(M_ARENA_MAX, 1) == 1);
    EXPECT(mallopt(12345, 1) == 0);
    EXPECT(malloc(1) != NULL);

    int trimmed = malloc_trim(0);
    EXPECT(trimmed == 0 || trimmed == 1);

    /* malloc_stats writes to stderr: look at it through a file. */
    char name[] = "/tmp/capi_inspect_XXXXXX";
    int file = mkstemp(name), saved = dup(2);
    unlink(name);
    fflush(stderr);
    dup2(file, 2);
    malloc_stats();
    dup2(saved, 2);
    char text[8192];
    ssize_t got = pread(file, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = 0;
    EXPECT(strstr(text, "Arena 0:\nsystem bytes     = ") != NULL);
    EXPECT(strstr(text, "\nTotal (incl. mmap):\nsystem bytes     = ") != NULL);
    EXPECT(strstr(text, "\nmax mmap regions = ") != NULL);

    EXPECT(malloc_info(1, stdout) == EINVAL);
    EXPECT(malloc_info(0, stdout) == 0);
    FILE *full = fopen("/dev/full", "w");
    if (full) {
        setvbuf(full, NULL, _IONBF, 0);
        EXPECT(malloc_info(0, full) == -1);
        fclose(full);
    }
    return failures != 0;
}

/*
 * Shows: what each function of the C family does at its edges - errno, return value, size 0,
 * overflow, alignments - as POSIX, C23 and glibc 2.41 document it.
 * Run under preload or linked. Exit 0 = pass; each failure is named on stderr.
 */
#include "expect.h"
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MARK 7777

/* Beyond the compiler's sight: it knows these functions and folds calls to them. */
static volatile size_t zero = 0, one = 1, most = SIZE_MAX, half = (size_t)PTRDIFF_MAX + 1;

static void fails(void *got, int with, int line) {
    int now = errno;
    if (got != NULL || now != with) {
        ++failures;
        fprintf(stderr, "line %d: got %p and errno %d, not null and %d\n", line, got, now, with);
    }
    errno = MARK;
}
static void works(void *got, size_t align, int line) {
    int now = errno;
    if (got == NULL || (uintptr_t)got % align != 0 || now != MARK) {
        ++failures;
        fprintf(stderr, "line %d: got %p (align %zu) and errno %d\n", line, got, align, now);
    }
    free(got);
    errno = MARK;
}
#define FAILS(call, with) (errno = MARK, fails((call), (with), __LINE__))
#define WORKS(call, align) (errno = MARK, works((call), (align), __LINE__))

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t), *__libc_valloc(size_t), *__libc_pvalloc(size_t);
extern void __libc_free(void *);
__attribute__((weak)) extern void free_sized(void *, size_t), free_aligned_sized(void *, size_t, size_t);
__attribute__((weak)) extern size_t malloc_good_size(size_t);

int main(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    /* malloc, calloc */
    WORKS(malloc(zero), 16);
    for (size_t n = 1; n < 100000; n += n / 8 + 1)
        WORKS(malloc(n), 16);
    void *a = malloc(zero), *b = malloc(zero);
    EXPECT(a != b);
    free(a);
    free(b);
    FAILS(malloc(most), ENOMEM);
    FAILS(malloc(half), ENOMEM);
    FAILS(malloc(half - 1), ENOMEM);
    FAILS(malloc(-page), ENOMEM);
    WORKS(calloc(zero, most), 16);
    WORKS(calloc(most, zero), 16);
    FAILS(calloc(most, 2), ENOMEM);
    FAILS(calloc((size_t)1 << 33, (size_t)1 << 33), ENOMEM);
    FAILS(calloc(most, one), ENOMEM);
    unsigned char *dirty = malloc(5000);
    memset(dirty, 0xff, 5000);
    free(dirty);
    unsigned char *clean = calloc(50, 100);
    for (int i = 0; i < 5000; ++i)
        EXPECT(clean[i] == 0);
    free(clean);

    /* realloc, reallocarray */
    WORKS(realloc(NULL, zero), 16);
    WORKS(realloc(NULL, 100), 16);
    FAILS(realloc(NULL, most), ENOMEM);
    char *kept = malloc(100);
    strcpy(kept, "kept");
    FAILS(realloc(kept, most), ENOMEM);
    FAILS(realloc(kept, half), ENOMEM);
    FAILS(reallocarray(kept, most, 2), ENOMEM);
    EXPECT(strcmp(kept, "kept") == 0);
    kept = realloc(kept, 100000);
    EXPECT(kept && strcmp(kept, "kept") == 0);
    kept = realloc(kept, 5);
    EXPECT(kept && strcmp(kept, "kept") == 0);
    FAILS(realloc(kept, zero), MARK);
    WORKS(reallocarray(NULL, 10, 10), 16);
    WORKS(reallocarray(NULL, zero, most), 16);
    FAILS(reallocarray(malloc(10), 10, zero), MARK);

    /* aligned */
    WORKS(aligned_alloc(1, 1), 16);
    WORKS(aligned_alloc(64, 1), 64);
    WORKS(aligned_alloc(64, zero), 64);
    WORKS(aligned_alloc(2 << 20, 3), 2 << 20);
    FAILS(aligned_alloc(zero, 64), EINVAL);
    FAILS(aligned_alloc(48, 64), EINVAL);
    FAILS(aligned_alloc(most, 64), EINVAL);
    FAILS(aligned_alloc(64, most), ENOMEM);
    FAILS(aligned_alloc(half, 1), ENOMEM);
    WORKS(memalign(zero, 1), 1);
    WORKS(memalign(3, 1), 4);
    WORKS(memalign(48, 100), 64);
    WORKS(memalign(257, 1000), 512);
    WORKS(memalign(0x100, 10), 0x100);
    WORKS(memalign(sizeof(void *), zero), 16);
    FAILS(memalign(most, page), EINVAL);
    FAILS(memalign(half + 1, one), EINVAL);
    FAILS(memalign(half, one), ENOMEM);
    FAILS(memalign(page, -page), ENOMEM);
    FAILS(memalign(8, most), ENOMEM);
    WORKS(valloc(zero), page);
    WORKS(valloc(page + 1), page);
    FAILS(valloc(most), ENOMEM);
    FAILS(valloc(-page), ENOMEM);
    WORKS(pvalloc(zero), page);
    FAILS(pvalloc(most), ENOMEM);
    FAILS(pvalloc(-page), ENOMEM);
    void *pages = pvalloc(page + 1);
    EXPECT(malloc_usable_size(pages) >= 2 * page);
    free(pages);

    void *out = &page;
    errno = MARK;
    EXPECT(posix_memalign(&out, zero, 8) == EINVAL && out == &page && errno == MARK);
    EXPECT(posix_memalign(&out, 4, 8) == EINVAL && out == &page && errno == MARK);
    EXPECT(posix_memalign(&out, 24, 8) == EINVAL && out == &page && errno == MARK);
    EXPECT(posix_memalign(&out, 8, most) == ENOMEM && out == &page && errno == ENOMEM);
    EXPECT(posix_memalign(&out, half, 8) == ENOMEM && out == &page && errno == ENOMEM);
    errno = MARK;
    for (size_t align = 8; align <= (size_t)1 << 24; align *= 2) {
        EXPECT(posix_memalign(&out, align, 100) == 0 && (uintptr_t)out % align == 0 && errno == MARK);
        memset(out, 1, 100);
        free(out);
    }
    EXPECT(posix_memalign(&out, 64, zero) == 0 && out != NULL);
    free(out);

    /* free and sizes */
    errno = MARK;
    free(NULL);
    EXPECT(errno == MARK);
    for (size_t n = 1; n < (size_t)1 << 28; n *= 4) {
        void *block = malloc(n);
        EXPECT(block && malloc_usable_size(block) >= n);
        errno = MARK;
        free(block);
        EXPECT(errno == MARK);
    }
    EXPECT(malloc_usable_size(NULL) == 0);
    if (malloc_good_size)
        for (size_t n = 1; n < 300000; n += n / 3 + 1) {
            void *block = malloc(n);
            EXPECT(malloc_good_size(n) >= n && malloc_good_size(n) <= malloc_usable_size(block));
            free(block);
        }
    if (free_sized && free_aligned_sized) {
        errno = MARK;
        free_sized(malloc(100), 100);
        free_sized(NULL, 0);
        free_aligned_sized(aligned_alloc(256, 512), 256, 512);
        free_aligned_sized(NULL, 16, 0);
        EXPECT(errno == MARK);
    }

    /* glibc's second names */
    WORKS(__libc_malloc(100), 16);
    WORKS(__libc_calloc(10, 10), 16);
    WORKS(__libc_realloc(NULL, 100), 16);
    WORKS(__libc_memalign(64, 100), 64);
    WORKS(__libc_valloc(1), page);
    WORKS(__libc_pvalloc(1), page);
    __libc_free(malloc(10));
    __libc_free(__libc_malloc(10));
    FAILS(__libc_malloc(most), ENOMEM);
    FAILS(__libc_calloc(most, 2), ENOMEM);

    /* memory really out */
    struct rlimit limit = {.rlim_cur = (size_t)256 << 20, .rlim_max = RLIM_INFINITY};
    setrlimit(RLIMIT_AS, &limit);
    size_t big = (size_t)1 << 30;
    FAILS(malloc(big), ENOMEM);
    FAILS(calloc(1, big), ENOMEM);
    FAILS(realloc(NULL, big), ENOMEM);
    FAILS(aligned_alloc(4096, big), ENOMEM);
    FAILS(valloc(big), ENOMEM);
    FAILS(pvalloc(big), ENOMEM);
    errno = MARK;
    EXPECT(posix_memalign(&out, 4096, big) == ENOMEM && errno == ENOMEM);
    static void *small[1 << 16];
    int count = 0;
    errno = MARK;
    while (count < 1 << 16 && (small[count] = malloc(16 << 10)) != NULL)
        ++count;
    EXPECT(count > 1000 && count < 1 << 16 && errno == ENOMEM);
    errno = MARK;
    for (int i = 0; i < count; ++i)
        free(small[i]);
    EXPECT(errno == MARK);
    WORKS(malloc(16 << 10), 16);
    return failures != 0;
}

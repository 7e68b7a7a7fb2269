/* The errno table: every entry point with every kind of request that cannot be met. Null (or the
 * error number) comes back, errno is ENOMEM, or EINVAL where the standard says so, nothing is freed
 * or moved, and nothing crashes. Half of the fast allocators fail here: errno left alone, SIZE_MAX
 * succeeding, SIGFPE. anchors.md "Where drop-in mallocs fail today", trap 2, issue line 3. */
#include "entry.h"
#include <sys/mman.h>

static size_t huge[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX - 16, SIZE_MAX - 4095, SIZE_MAX - 4096,
                        SIZE_MAX - 65535, SIZE_MAX - (1ul << 30), SIZE_MAX / 2 + 1, SIZE_MAX / 2 + 2,
                        SIZE_MAX / 4 * 3, 1ul << 63, (1ul << 63) + 4096};

#define FAILS_WITH(number, call)                                                              \
    do {                                                                                      \
        errno = 0;                                                                            \
        void *got = (call);                                                                   \
        int after = errno;                                                                    \
        CHECK(got == NULL, "%s with size %#zx gave a block", #call, size);                    \
        CHECK(after == (number), "%s with size %#zx: errno %d, not %d", #call, size, after, number); \
    } while (0)

int main(void) {
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        size_t size = hide_size(huge[i]);
        FAILS_WITH(ENOMEM, malloc(size));
        FAILS_WITH(ENOMEM, calloc(size, 1));
        FAILS_WITH(ENOMEM, calloc(1, size));
        FAILS_WITH(ENOMEM, realloc(NULL, size));
        FAILS_WITH(ENOMEM, reallocarray(NULL, size, 1));
        FAILS_WITH(ENOMEM, reallocarray(NULL, 1, size));
        FAILS_WITH(ENOMEM, valloc(size));
        FAILS_WITH(ENOMEM, pvalloc(size));
        for (size_t align = 1; align != 0 && align <= 1ul << 62; align *= 2) {
            FAILS_WITH(ENOMEM, memalign(align, size));
            FAILS_WITH(ENOMEM, aligned_alloc(align, size));
        }
        for (size_t align = sizeof(void *); align != 0; align *= 2) {
            void *block = &huge;
            errno = 77;
            CHECK(posix_memalign(&block, align, size) == ENOMEM, "posix_memalign(%#zx, %#zx)", align, size);
            CHECK(block == &huge, "a failed posix_memalign changed its result");
            CHECK(errno == ENOMEM, "posix_memalign left errno %d", errno);
        }
        for (size_t old = 1; old < 4 * MIB; old = old * 3 + 5) {
            char *block = malloc(old);
            CHECK(block != NULL, "malloc(%zu)", old);
            fill(block, old, old);
            FAILS_WITH(ENOMEM, realloc(hide(block), size));
            FAILS_WITH(ENOMEM, reallocarray(hide(block), size, 1));
            FAILS_WITH(ENOMEM, reallocarray(hide(block), size, 16));
            CHECK(filled(block, old, old), "a failed realloc changed its block of %zu", old);
            free(block);
        }
    }
    /* Products that overflow to something small must not succeed. */
    for (unsigned shift = 1; shift < 64; shift++) {
        size_t size = hide_size((1ul << (64 - shift)) + 1), count = 1ul << shift;
        FAILS_WITH(ENOMEM, calloc(count, size));
        FAILS_WITH(ENOMEM, calloc(size, count));
        FAILS_WITH(ENOMEM, reallocarray(NULL, count, size));
        FAILS_WITH(ENOMEM, reallocarray(NULL, size, count));
    }
    /* Huge alignments of small sizes: what no address space can hold is refused, what fits may come. */
    for (unsigned shift = 20; shift < 64; shift++) {
        size_t align = hide_size(1ul << shift), sizes[] = {0, 1, 100, 40 * KIB, MIB};
        for (int i = 0; i < 5; i++) {
            size_t size = sizes[i];
            errno = 0;
            void *block = memalign(align, size);
            CHECK(block != NULL || errno == ENOMEM || errno == EINVAL, "memalign(2^%u, %zu): errno %d", shift, size, errno);
            CHECK((uintptr_t)block % align == 0, "memalign(2^%u, %zu) gave %p", shift, size, block);
            free(block);
            block = NULL;
            int error = posix_memalign(&block, align, size);
            CHECK(error == 0 || error == ENOMEM, "posix_memalign(2^%u, %zu): %d", shift, size, error);
            CHECK(error != 0 || (uintptr_t)block % align == 0, "posix_memalign(2^%u, %zu) gave %p", shift, size, block);
            free(block);
            CHECK(shift < 48 || error == ENOMEM, "posix_memalign(2^%u, %zu) succeeded", shift, size);
        }
    }
    /* EINVAL where the standard says so. */
    for (size_t align = 0; align < 70000; align = align < 300 ? align + 1 : align + 977) {
        size_t size = 64;
        int power = align != 0 && (align & (align - 1)) == 0;
        void *block = &huge;
        int error = posix_memalign(&block, align, size);
        if (power && align % sizeof(void *) == 0) {
            CHECK(error == 0 && (uintptr_t)block % align == 0, "posix_memalign(%zu)", align);
            free(block);
        } else {
            CHECK(error == EINVAL && block == &huge, "posix_memalign(%zu) returned %d", align, error);
        }
        if (power) {
            block = aligned_alloc(align, size);
            CHECK(block != NULL && (uintptr_t)block % align == 0, "aligned_alloc(%zu)", align);
            free(block);
        }
        /* glibc's memalign rounds any alignment up to a power of two, as long as there is one. */
        block = memalign(align, size);
        CHECK(block != NULL && (uintptr_t)block % 16 == 0, "memalign(%zu, 64)", align);
        if (align != 0)
            for (size_t up = 1;; up *= 2)
                if (up >= align) {
                    CHECK((uintptr_t)block % up == 0, "memalign(%zu, 64) gave %p", align, block);
                    break;
                }
        free(block);
    }
    size_t size = 64;
    FAILS_WITH(EINVAL, memalign(hide_size((1ul << 63) + 1), size));
    /* C's own limit: no object larger than PTRDIFF_MAX. */
    size = hide_size(PTRDIFF_LIMIT + 1);
    FAILS_WITH(ENOMEM, malloc(size));
    FAILS_WITH(ENOMEM, calloc(1, size));
    free(malloc(1));
    return 0;
}

/* Requests of no bytes and null arguments: malloc(0) gives unique blocks that can be freed,
 * realloc(p, 0) frees and returns null (glibc's documented behaviour), everything takes null.
 * anchors.md "realloc(p, 0) returning a block", issue line 3. */
#include "entry.h"
#include <sys/mman.h>

int main(void) {
    void *blocks[1000];
    size_t zero = hide_size(0);
    for (int i = 0; i < 1000; i++) {
        switch (i % 8) {
        case 0: blocks[i] = malloc(zero); break;
        case 1: blocks[i] = calloc(zero, 10); break;
        case 2: blocks[i] = calloc(10, zero); break;
        case 3: blocks[i] = realloc(NULL, zero); break;
        case 4: blocks[i] = memalign(64, zero); break;
        case 5: CHECK(posix_memalign(&blocks[i], 64, zero) == 0, "posix_memalign"); break;
        case 6: blocks[i] = valloc(zero); break;
        default: blocks[i] = aligned_alloc(32, zero);
        }
        CHECK(blocks[i] != NULL, "entry point %d with size 0", i % 8);
        for (int j = 0; j < i; j++)
            CHECK(blocks[i] != blocks[j], "two blocks of size 0 are one");
    }
    for (int i = 0; i < 1000; i++)
        free(blocks[i]);
    for (size_t size = 0; size < 3 * MIB; size = size * 2 + 3) {
        void *block = malloc(size);
        CHECK(block != NULL, "malloc(%zu)", size);
        errno = 77;
        CHECK(realloc(hide(block), zero) == NULL, "realloc(p, 0) of %zu bytes returned a block", size);
        CHECK(errno == 77, "realloc(p, 0) set errno %d", errno);
        block = malloc(size);
        CHECK(reallocarray(hide(block), zero, 8) == NULL, "reallocarray(p, 0, 8) returned a block");
        block = malloc(size);
        CHECK(reallocarray(hide(block), 8, zero) == NULL, "reallocarray(p, 8, 0) returned a block");
    }
    /* realloc(p, 0) that freed nothing would grow without bound. */
    long base = 0;
    for (int i = 0; i < 200000; i++) {
        if (i == 20000)
            base = rss_kib();
        CHECK(realloc(hide(malloc(1000)), zero) == NULL, "realloc(p, 0)");
    }
    CHECK(rss_kib() - base < 4096, "realloc(p, 0) does not free: %ld KiB more", rss_kib() - base);
    errno = 77;
    free(NULL);
    CHECK(malloc_usable_size(NULL) == 0, "malloc_usable_size(NULL)");
    if (HAS(cfree))
        cfree(NULL);
    if (HAS(free_sized))
        free_sized(NULL, 0);
    if (HAS(free_aligned_sized))
        free_aligned_sized(NULL, 64, 0);
    CHECK(errno == 77, "freeing null set errno %d", errno);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *block = pvalloc(zero);
    CHECK(block != NULL && (uintptr_t)block % page == 0, "pvalloc(0) gave %p", block);
    free(block);
    return 0;
}

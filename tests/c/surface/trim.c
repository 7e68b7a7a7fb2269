/* malloc_trim(0) gives back what is free, at once, although a live block pins the top of the heap;
 * it says 1 when it gave something back and 0 when there was nothing. Issue line 3, users.md line 1. */
#include "entry.h"
#include <sys/mman.h>

int main(int argc, char **argv) {
    enum { COUNT = 100000 };
    long allowed = number_arg(argc, argv, 1, 4096);
    static void *blocks[COUNT];
    memset(blocks, 1, sizeof blocks);
    free(malloc(1));
    long start = rss_kib();
    for (int i = 0; i < COUNT; i++) {
        size_t size = 200 + (size_t)i % 1000;
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL, "malloc");
        memset(blocks[i], 1, size);
    }
    for (int i = 0; i < COUNT - 1; i++)
        free(blocks[i]);
    long before = rss_kib();
    int result = malloc_trim(0);
    long after = rss_kib();
    printf("RSS at start %ld KiB, before the trim %ld, after %ld\n", start, before, after);
    CHECK(result == 0 || result == 1, "malloc_trim returned %d", result);
    CHECK(result == 1 || before - after < 1024, "malloc_trim said 0 but gave back %ld KiB", before - after);
    CHECK(after <= start + allowed, "%ld KiB are held after the trim", after - start);
    malloc_trim(0);
    CHECK(malloc_trim(0) == 0, "the third trim in a row still gave something back");
    CHECK(malloc_trim(hide_size(SIZE_MAX)) == 0 || rss_kib() <= start + allowed, "malloc_trim(SIZE_MAX)");
    free(blocks[COUNT - 1]);
    return 0;
}

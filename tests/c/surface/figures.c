/* mallinfo, mallinfo2, malloc_stats and mallopt answer for the allocator that serves malloc: known
 * allocations show, frees show, large blocks show; no figure is negative or absurd. Allocators that
 * do not export them leave glibc's answer for its own empty heap. Issue line 3, users.md line 26. */
#include "entry.h"

static size_t in_use(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

int main(void) {
    enum { COUNT = 20000, SIZE = 1000, LARGE = 16 };
    static void *blocks[COUNT], *large[LARGE];
    free(malloc(1));
    size_t start = in_use();
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = malloc(SIZE);
        CHECK(blocks[i] != NULL, "malloc");
    }
    size_t small = in_use() - start;
    CHECK(small >= (size_t)COUNT * SIZE, "%zu bytes in use after %d of %d bytes", small, COUNT, SIZE);
    CHECK(small <= (size_t)COUNT * SIZE * 5 / 4 + MIB, "%zu bytes in use after %d of %d bytes", small, COUNT, SIZE);
    for (int i = 0; i < LARGE; i++) {
        large[i] = malloc(4 * MIB);
        CHECK(large[i] != NULL, "malloc(4 MiB)");
    }
    size_t both = in_use() - start;
    CHECK(both >= small + (size_t)LARGE * 4 * MIB, "%zu bytes in use with 64 MiB of large blocks", both);
    CHECK(both <= small + (size_t)LARGE * 4 * MIB * 5 / 4 + MIB, "%zu bytes in use with 64 MiB of large blocks", both);
    struct mallinfo2 info = mallinfo2();
    CHECK(info.arena + info.hblkhd >= both, "the whole heap (%zu + %zu) is smaller than what is in use (%zu)",
          info.arena, info.hblkhd, both);
    CHECK(info.arena + info.hblkhd <= 4ul * 1024 * MIB, "the heap has %zu bytes", info.arena + info.hblkhd);
    struct mallinfo narrow = mallinfo();
    CHECK(narrow.uordblks == (int)info.uordblks && narrow.hblkhd == (int)info.hblkhd, "mallinfo disagrees with mallinfo2");
    malloc_stats();
    for (int i = 0; i < LARGE; i++)
        free(large[i]);
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    size_t end = in_use();
    CHECK(end <= start + 128 * KIB, "%zu bytes in use at the start, %zu at the end", start, end);
    info = mallinfo2();
    CHECK(info.fordblks <= info.arena, "more is free than there is");
    CHECK(mallopt(M_TRIM_THRESHOLD, 1024 * 1024) == 1, "mallopt(M_TRIM_THRESHOLD)");
    CHECK(mallopt(M_MMAP_THRESHOLD, 1024 * 1024) == 1, "mallopt(M_MMAP_THRESHOLD)");
    CHECK(mallopt(M_ARENA_MAX, 2) == 1, "mallopt(M_ARENA_MAX)");
    CHECK(mallopt(M_MXFAST, 64) == 1, "mallopt(M_MXFAST)");
    CHECK(mallopt(M_MXFAST, 1 << 20) == 0, "mallopt(M_MXFAST, 1 MiB) is out of range");
    free(malloc(100));
    return 0;
}

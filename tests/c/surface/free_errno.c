/* free keeps errno: for small and large blocks, when memory is purged or unmapped by it, and when
 * the kernel refuses to split another mapping (vm.max_map_count). POSIX 2024, glibc 2.33; anchors.md
 * "free aborting when munmap fails", issue line 3. */
#include "entry.h"
#include <sys/mman.h>

static void free_keeps(void *block, size_t size) {
    errno = 1234;
    free(block);
    CHECK(errno == 1234, "free of %zu bytes set errno %d", size, errno);
}

int main(void) {
    for (size_t size = 0; size < 300 * MIB; size = size * 2 + 1) {
        char *block = malloc(size);
        CHECK(block != NULL, "malloc(%zu)", size);
        memset(block, 1, size);
        free_keeps(block, size);
        void *aligned = memalign(64 * KIB, size);
        CHECK(aligned != NULL, "memalign");
        free_keeps(aligned, size);
    }
    void *many[2000];
    for (int i = 0; i < 2000; i++) {
        many[i] = malloc(40000);
        memset(many[i], 1, 40000);
    }
    for (int i = 0; i < 2000; i++)
        free_keeps(many[i], 40000);
    /* Use up the process's mappings: alternating protections cannot be merged. */
    void *large[32];
    for (int i = 0; i < 32; i++) {
        large[i] = malloc(8 * MIB);
        CHECK(large[i] != NULL, "malloc(8 MiB)");
        memset(large[i], 1, 8 * MIB);
    }
    long limit = proc_figure("/proc/sys/vm/max_map_count", "");
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    CHECK(limit > 0, "max_map_count");
    if (limit > 200000)
        limit = 200000;
    char *area = mmap(NULL, page * (size_t)limit * 2, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(area != MAP_FAILED, "mmap");
    for (long i = 0; i < limit; i++)
        if (mprotect(area + (size_t)i * 2 * page, page, PROT_READ) != 0)
            break;
    for (int i = 0; i < 32; i += 2)
        free_keeps(large[i], 8 * MIB);
    for (int i = 0; i < 10000; i++)
        free_keeps(malloc((size_t)i), (size_t)i);
    for (int i = 1; i < 32; i += 2)
        free_keeps(large[i], 8 * MIB);
    errno = 0;
    void *block = malloc(100); /* may fail for want of a mapping, but then says so */
    CHECK(block != NULL || errno == ENOMEM, "malloc: errno %d", errno);
    free_keeps(block, 100);
    munmap(area, page * (size_t)limit * 2);
    block = malloc(64 * MIB);
    CHECK(block != NULL, "malloc after the mappings came back");
    free_keeps(block, 64 * MIB);
    return 0;
}

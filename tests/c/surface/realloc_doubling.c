/* Models: a Vec that doubles to 1 GiB. Above the large threshold pages move or grow in place; not a
 * byte is copied. A copy would fault in every page of the new block during realloc and hold old and
 * new at once, so both the faults inside realloc and the peak of resident memory are bounded.
 * Issue line 5. Arguments: final MiB, first size in KiB from which nothing may be copied. */
#include "entry.h"

int main(int argc, char **argv) {
    size_t last = (size_t)number_arg(argc, argv, 1, 1024) * MIB;
    size_t threshold = (size_t)number_arg(argc, argv, 2, 128) * KIB;
    size_t size = 4 * KIB;
    long start = rss_kib();
    uint64_t *block = malloc(size);
    void *neighbours[64];
    int count = 0;
    CHECK(block != NULL, "malloc");
    for (size_t i = 0; i < size; i += 4096)
        block[i / 8] = i;
    while (size < last) {
        /* A neighbour behind the block, so that growing in place is not always possible. */
        neighbours[count++] = malloc(size < MIB ? size : (size_t)MIB);
        long before = page_faults();
        block = realloc(block, size * 2);
        long faults = page_faults() - before;
        CHECK(block != NULL, "realloc to %zu", size * 2);
        if (size >= threshold)
            CHECK(faults <= (long)(size / 4096 / 8 + 24), "realloc from %zu KiB took %ld page faults", size / 1024, faults);
        for (size_t i = 0; i < size; i += 4096)
            CHECK(block[i / 8] == i, "page %zu of %zu changed", i / 4096, size / 4096);
        for (size_t i = size; i < size * 2; i += 4096)
            block[i / 8] = i;
        size *= 2;
    }
    long peak = peak_kib() - start, full = (long)(size / 1024);
    printf("peak RSS %ld KiB over the start for %ld KiB\n", peak, full);
    CHECK(peak <= full + full / 10, "peak %ld KiB for %ld KiB", peak, full);
    /* Shrinking gives the tail back at once or by the purge policy, and keeps the head. */
    block = realloc(block, size / 16);
    CHECK(block != NULL, "realloc down");
    for (size_t i = 0; i < size / 16; i += 4096)
        CHECK(block[i / 8] == i, "page %zu changed by shrinking", i / 4096);
    long end = rss_settles_below(start + full / 16 + full / 8, 30);
    CHECK(end <= start + full / 16 + full / 8, "%ld KiB are held after shrinking", end - start);
    free(block);
    while (count > 0)
        free(neighbours[--count]);
    return 0;
}

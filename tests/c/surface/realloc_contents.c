/* realloc keeps the first min(old, new) bytes along ladders up, down and at random, across the
 * 32 KiB border between small and large, with neighbours on both sides; a block stays where it is
 * for every size inside its usable size class. Trap 1 (anchors.md), issue line 5. */
#include "entry.h"

int main(void) {
    uint64_t state = seed_printed();
    static const size_t borders[] = {16, 128, 1024, 4096, 16384, 32768, 65536, 131072, 524288, 2097152};
    for (size_t b = 0; b < sizeof borders / sizeof *borders; b++)
        for (long from = -15; from <= 17; from += 2)
            for (long to = -15; to <= 17; to += 2) {
                size_t old = borders[b] + (size_t)from, now = borders[b] + (size_t)to;
                void *neighbour = malloc(old);
                char *block = malloc(old);
                fill(block, old, 1);
                block = realloc(block, now);
                CHECK(block != NULL && filled(block, old < now ? old : now, 1), "realloc from %zu to %zu", old, now);
                free(neighbour);
                free(block);
            }
    /* Up by odd factors to 64 MiB and down again, with work between the steps. */
    for (int ladder = 0; ladder < 6; ladder++) {
        size_t size = 1 + random_next(&state) % 100, next;
        char *block = malloc(size);
        fill(block, size, 2);
        void *between[16] = {0};
        for (int step = 0; size < 64 * MIB; step++, size = next) {
            next = size + size / (size_t)(1 + ladder) + 1 + random_next(&state) % 9;
            free(between[step % 16]);
            between[step % 16] = malloc(size / 2 + 1);
            block = realloc(block, next);
            CHECK(block != NULL && filled(block, size, 2), "realloc up from %zu to %zu", size, next);
            fill(block, next, 2);
        }
        for (; size > 0; size = next) {
            next = size * 2 / 3;
            if (next == 0)
                break;
            block = realloc(block, next);
            CHECK(block != NULL && filled(block, next, 2), "realloc down from %zu to %zu", size, next);
        }
        free(block);
        for (int i = 0; i < 16; i++)
            free(between[i]);
    }
    char *blocks[64] = {0};
    size_t sizes[64] = {0};
    for (int n = 0; n < 10000; n++) {
        int i = (int)(random_next(&state) % 64);
        size_t size = random_next(&state) % 16 == 0 ? random_size(&state, 2 * MIB) : random_size(&state, 80 * KIB);
        blocks[i] = realloc(blocks[i], size);
        CHECK(blocks[i] != NULL && filled(blocks[i], size < sizes[i] ? size : sizes[i], (uint64_t)i),
              "realloc from %zu to %zu", sizes[i], size);
        fill(blocks[i], size, (uint64_t)i);
        sizes[i] = size;
    }
    for (int i = 0; i < 64; i++)
        free(blocks[i]);
    for (size_t size = 1; size < 32 * KIB; size = size * 5 / 4 + 1) {
        char *block = malloc(size);
        size_t usable = malloc_usable_size(block);
        char *same = realloc(block, usable);
        CHECK(same == block || getenv("STRATALLOC_EXPECT") == NULL, "realloc moved a block of %zu inside its class", size);
        free(same);
    }
    return 0;
}

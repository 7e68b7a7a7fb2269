/* calloc gives zeroes although every byte of the memory was dirty before: small, page-sized and
 * large blocks, after frees in every order, after realloc grew and shrank, after a trim.
 * Issue lines 3 and 4. */
#include "entry.h"

static void check_zero(const unsigned char *block, size_t size) {
    for (size_t i = 0; i < size; i++)
        CHECK(block[i] == 0, "calloc(%zu): byte %zu is %#x", size, i, block[i]);
}

int main(void) {
    uint64_t state = seed_printed();
    unsigned char *blocks[512] = {0};
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 512; i++) {
            size_t size = i % 100 == 0 ? random_size(&state, 3 * MIB) : random_size(&state, 20000);
            size_t usable;
            blocks[i] = calloc(size % 7 + 1, size / (size % 7 + 1) + 1);
            CHECK(blocks[i] != NULL, "calloc(%zu)", size);
            usable = malloc_usable_size(blocks[i]);
            check_zero(blocks[i], (size % 7 + 1) * (size / (size % 7 + 1) + 1));
            memset(blocks[i], 0xa5, usable);
            if (i % 5 == 0) {
                blocks[i] = realloc(blocks[i], usable * 2 + 1);
                CHECK(blocks[i] != NULL, "realloc");
                memset(blocks[i], 0x5a, malloc_usable_size(blocks[i]));
            } else if (i % 5 == 1) {
                blocks[i] = realloc(blocks[i], usable / 2 + 1);
                CHECK(blocks[i] != NULL, "realloc");
            }
        }
        for (int i = 0; i < 512; i++) { /* forwards, backwards, in steps */
            int slot = round % 3 == 0 ? i : round % 3 == 1 ? 511 - i : i * 37 % 512;
            free(blocks[slot]);
        }
        if (round % 10 == 9)
            malloc_trim(0);
    }
    for (size_t size = 32 * KIB; size < 64 * MIB; size = size * 3 / 2) {
        unsigned char *dirty = malloc(size);
        CHECK(dirty != NULL, "malloc");
        memset(dirty, 0xff, size);
        free(dirty);
        unsigned char *clean = calloc(1, size);
        CHECK(clean != NULL, "calloc");
        check_zero(clean, size);
        free(clean);
    }
    return 0;
}

/* malloc_usable_size: at least the request, writable to its last byte without touching a neighbour,
 * kept over realloc up to it, and stable. malloc_good_size agrees. C23 sized frees take the same
 * sizes. Issue line 3. */
#include "entry.h"

int main(void) {
    enum { PAIRS = 4 };
    for (size_t size = 0; size < 9 * MIB; size = size < 2100 ? size + 1 : size + size / 12 + 11) {
        void *blocks[PAIRS];
        size_t usable[PAIRS];
        for (int i = 0; i < PAIRS; i++) {
            blocks[i] = malloc(size);
            CHECK(blocks[i] != NULL, "malloc(%zu)", size);
            usable[i] = malloc_usable_size(blocks[i]);
            CHECK(usable[i] >= size, "usable size %zu of %zu", usable[i], size);
            fill(blocks[i], usable[i], (uint64_t)i + size);
        }
        for (int i = 0; i < PAIRS; i++) {
            CHECK(malloc_usable_size(blocks[i]) == usable[i], "the usable size changed");
            CHECK(filled(blocks[i], usable[i], (uint64_t)i + size), "usable bytes of two blocks of %zu overlap", size);
        }
        void *same = realloc(blocks[0], usable[0] > 0 ? usable[0] : 1);
        CHECK(same != NULL && filled(same, usable[0], size), "realloc to the usable size lost bytes");
        free(same);
        if (HAS(malloc_good_size))
            CHECK(malloc_good_size(size) >= size, "malloc_good_size(%zu) is %zu", size, malloc_good_size(size));
        if (HAS(free_sized))
            free_sized(blocks[1], size);
        else
            free(blocks[1]);
        void *aligned = aligned_alloc(64, size);
        CHECK(aligned != NULL, "aligned_alloc(64, %zu)", size);
        if (HAS(free_aligned_sized))
            free_aligned_sized(aligned, 64, size);
        else
            free(aligned);
        void *zeroed = calloc(1, size);
        if (HAS(free_sized))
            free_sized(zeroed, size);
        else
            free(zeroed);
        if (HAS(cfree))
            cfree(blocks[2]);
        else
            free(blocks[2]);
        free(blocks[3]);
    }
    return 0;
}

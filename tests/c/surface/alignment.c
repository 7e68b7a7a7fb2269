/* Every size from 0 to 5000, and a ladder beyond, is aligned to 16 bytes from every entry point;
 * memalign, posix_memalign, aligned_alloc, valloc and pvalloc keep their alignment for odd sizes;
 * blocks do not overlap. anchors.md "misaligned results of valloc/memalign", issue line 3. */
#include "entry.h"

static void *held[4096];
static size_t held_size[4096], held_count;

/* Keeps the block a while, so that neighbours exist and overlap shows as changed contents. */
static void keep(void *block, size_t size) {
    size_t slot = held_count++ % 4096;
    CHECK(held[slot] == NULL || filled(held[slot], held_size[slot], slot), "a block of %zu changed", held_size[slot]);
    free(held[slot]);
    held[slot] = block;
    held_size[slot] = size;
    fill(block, size, slot);
}

#define ALIGNED(call, align)                                                                      \
    do {                                                                                          \
        void *result = (call);                                                                    \
        CHECK(result != NULL, "%s with size %zu", #call, size);                                   \
        CHECK((uintptr_t)result % (align) == 0, "%s with size %zu, alignment %zu: %p", #call, size, \
              (size_t)(align), result);                                                           \
        CHECK(malloc_usable_size(result) >= size, "usable size of %s with size %zu", #call, size); \
        keep(result, size);                                                                       \
    } while (0)

int main(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t size = 0; size < 200000; size = size < 5000 ? size + 1 : size + size / 16 + 7) {
        ALIGNED(malloc(size), 16);
        ALIGNED(calloc(1, size), 16);
        ALIGNED(realloc(NULL, size), 16);
        ALIGNED(realloc(malloc(10), size + 1), 16);
        ALIGNED(reallocarray(NULL, size, 1), 16);
        size_t first = size < 200 ? 1 : size % 13 == 0 ? 8 : 4096;
        for (size_t align = first; align <= 64 * KIB; align *= 2) {
            void *block = NULL;
            ALIGNED(memalign(align, size), align);
            ALIGNED(aligned_alloc(align, size), align);
            if (align >= sizeof(void *)) {
                CHECK(posix_memalign(&block, align, size) == 0, "posix_memalign(%zu, %zu)", align, size);
                ALIGNED(block, align);
            }
        }
        if (size % 7 == 0) {
            ALIGNED(valloc(size), page);
            ALIGNED(pvalloc(size), page);
        }
    }
    for (size_t i = 0; i < 4096; i++)
        free(held[i]);
    for (size_t align = 128 * KIB; align <= 1024 * MIB; align *= 2)
        for (size_t size = 0; size < 4 * MIB; size = size * 5 + 1) {
            char *block = memalign(align, size);
            CHECK(block != NULL && (uintptr_t)block % align == 0, "memalign(%zu, %zu) gave %p", align, size, block);
            if (size > 0)
                block[0] = block[size - 1] = 1;
            CHECK(malloc_usable_size(block) >= size, "usable size");
            char *moved = realloc(block, size + size / 2 + 1);
            CHECK(moved != NULL && (size == 0 || moved[0] == 1), "realloc of an aligned block");
            free(moved);
        }
    return 0;
}

/* The strat_ functions of blocks: what each returns, errno on failure and on success, bad arguments, overflow, size 0,
 * growing in place, batches. */
#include "../check.h"
#include "../../../include/stratalloc.h"

#define REFUSED(call, code)                                                    \
    do {                                                                       \
        errno = 0;                                                             \
        CHECK((call) == 0 && errno == (code), "errno %d", errno);              \
    } while (0)

static void single_blocks(void) {
    errno = 7;
    for (size_t size = 0; size < 200000; size += size < 300 ? 1 : size / 7) {
        unsigned char *block = strat_malloc(hide_size(size));
        CHECK(block != NULL && (uintptr_t)block % 16 == 0, "strat_malloc(%zu)", size);
        size_t usable = strat_usable_size(block);
        CHECK(usable >= size && strat_good_size(size) >= size && strat_good_size(size) <= usable, "%zu: %zu", size, usable);
        fill(block, usable, size);
        unsigned char *grown = strat_realloc(block, size * 2 + 1);
        CHECK(grown != NULL && filled(grown, size, size), "strat_realloc(%zu)", size);
        strat_free(grown);

        block = strat_calloc(size, 3);
        for (size_t i = 0; i < size * 3; i++)
            CHECK(block[i] == 0, "strat_calloc: byte %zu of %zu", i, size * 3);
        strat_free_sized(block, size * 3);

        for (size_t alignment = 1; alignment <= 65536; alignment *= 8) {
            block = strat_aligned_alloc(alignment, size);
            CHECK(block != NULL && (uintptr_t)block % alignment == 0 && strat_usable_size(block) >= size,
                  "strat_aligned_alloc(%zu, %zu)", alignment, size);
            strat_free_aligned_sized(block, alignment, size);
        }

        struct strat_sized_block sized = strat_malloc_at_least(size);
        CHECK(sized.block != NULL && sized.size >= size && sized.size <= strat_usable_size(sized.block),
              "strat_malloc_at_least(%zu): %zu", size, sized.size);
        fill(sized.block, sized.size, 1);
        strat_free_sized(sized.block, sized.size);
    }
    CHECK(errno == 7, "calls that succeed leave errno alone, not %d", errno);
    /* Of one kind with malloc's. */
    free(strat_malloc(100));
    strat_free(malloc(100));
    free(strat_aligned_alloc(64, 100));
    strat_free(strat_reallocarray(malloc(10), 10, 10));
}

static void refusals(void) {
    REFUSED(strat_malloc(hide_size(SIZE_MAX)), ENOMEM);
    REFUSED(strat_malloc(hide_size(PTRDIFF_MAX)), ENOMEM);
    REFUSED(strat_calloc(hide_size(SIZE_MAX / 2), 3), ENOMEM);
    REFUSED(strat_calloc(hide_size(SIZE_MAX), SIZE_MAX), ENOMEM);
    REFUSED(strat_aligned_alloc(0, 10), EINVAL);
    REFUSED(strat_aligned_alloc(24, 10), EINVAL);
    REFUSED(strat_aligned_alloc(16, hide_size(SIZE_MAX - 8)), ENOMEM);
    REFUSED(strat_aligned_alloc((size_t)1 << 62, 10), ENOMEM);
    struct strat_sized_block none = strat_malloc_at_least(hide_size(SIZE_MAX));
    CHECK(none.block == NULL && none.size == 0, "nothing at least");
    char *block = strat_malloc(50);
    fill(block, 50, 1);
    REFUSED(strat_realloc(block, hide_size(SIZE_MAX)), ENOMEM);
    REFUSED(strat_reallocarray(block, hide_size(SIZE_MAX / 4), 5), ENOMEM);
    CHECK(filled(block, 50, 1), "a refused realloc leaves the block");
    errno = 7;
    CHECK(strat_realloc(block, 0) == NULL && errno == 7, "realloc to 0 frees, errno %d", errno);
    strat_free(NULL);
    strat_free_sized(NULL, 10);
    strat_free_aligned_sized(NULL, 16, 10);
    CHECK(strat_usable_size(NULL) == 0 && !strat_expand(NULL, 1), "null has no bytes");
    CHECK(strat_good_size(hide_size(SIZE_MAX)) == SIZE_MAX, "a size that cannot be met is good as it is");
    CHECK(errno == 7, "errno %d", errno);
    block = strat_realloc(NULL, 100);
    CHECK(block != NULL, "realloc of null");
    strat_free(block);
}

static void in_place(void) {
    errno = 7;
    char *small = strat_malloc(100);
    size_t usable = strat_usable_size(small);
    CHECK(strat_expand(small, 0) && strat_expand(small, usable) && !strat_expand(small, usable + 1), "small");
    CHECK(strat_usable_size(small) == usable, "a small block stays as it is");
    strat_free(small);
    /* Room behind a large block: what was there is freed. */
    char *low = strat_malloc(1 << 20);
    char *high = strat_malloc(1 << 20);
    if (high < low) {
        char *swap = low;
        low = high;
        high = swap;
    }
    CHECK(high > low && strat_expand(low, (1 << 20) - 5), "within the block");
    if (high == low + (1 << 20)) {
        CHECK(!strat_expand(low, (1 << 20) + 1), "somebody else is there");
        strat_free(high);
        fill(low, 1 << 20, 3);
        CHECK(strat_expand(low, 2 << 20), "now there is room");
        CHECK(strat_usable_size(low) >= 2 << 20 && filled(low, 1 << 20, 3), "in place, contents kept");
        fill(low, 2 << 20, 4);
    } else {
        strat_free(high);
    }
    CHECK(!strat_expand(low, hide_size(SIZE_MAX)) && !strat_expand(low, hide_size(PTRDIFF_MAX)), "too much");
    strat_free(low);
    CHECK(errno == 7, "errno %d", errno);
}

static int by_address(const void *a, const void *b) {
    uintptr_t x = (uintptr_t) * (void *const *)a, y = (uintptr_t) * (void *const *)b;
    return (x > y) - (x < y);
}

static void batches(void) {
    enum { MOST = 5000 };
    static void *blocks[MOST];
    uint64_t seed = seed_printed();
    for (int round = 0; round < 300; round++) {
        size_t size = random_size(&seed, round % 10 == 0 ? 200000 : 3000);
        size_t count = random_next(&seed) % (size > 30000 ? 20 : MOST);
        size_t alignment = (size_t)1 << random_next(&seed) % 10;
        errno = 7;
        size_t got = round % 2 ? strat_malloc_batch(size, count, blocks)
                               : strat_aligned_malloc_batch(alignment, size, count, blocks);
        CHECK(got == count && errno == 7, "%zu of %zu blocks of %zu, errno %d", got, count, size, errno);
        for (size_t i = 0; i < count; i++) {
            CHECK((uintptr_t)blocks[i] % (round % 2 ? 16 : alignment) == 0 && strat_usable_size(blocks[i]) >= size, "block");
            fill(blocks[i], size, i);
        }
        for (size_t i = 0; i < count; i++)
            CHECK(filled(blocks[i], size, i), "block %zu of %zu overlaps", i, count);
        qsort(blocks, count, sizeof *blocks, by_address);
        for (size_t i = 1; i < count; i++)
            CHECK(blocks[i - 1] != blocks[i], "handed out twice");
        if (count > 2) {
            /* A hole: null entries do nothing. */
            size_t hole = random_next(&seed) % count;
            strat_free(blocks[hole]);
            blocks[hole] = NULL;
        }
        strat_free_batch(blocks, count);
    }
    CHECK(strat_malloc_batch(10, 0, NULL) == 0 && errno == 7, "nothing asked for");
    REFUSED(strat_malloc_batch(10, 1, NULL), EINVAL);
    REFUSED(strat_aligned_malloc_batch(24, 10, 1, blocks), EINVAL);
    REFUSED(strat_aligned_malloc_batch(0, 10, 1, blocks), EINVAL);
    blocks[0] = (void *)blocks;
    REFUSED(strat_malloc_batch(hide_size(SIZE_MAX), 3, blocks), ENOMEM);
    REFUSED(strat_malloc_batch(hide_size(PTRDIFF_MAX), SIZE_MAX, blocks), ENOMEM);
    CHECK(blocks[0] == (void *)blocks, "what was not filled is as before");
    strat_free_batch(NULL, 5);
    strat_free_batch(blocks, 0);
    /* Less than asked for, at the limit: nothing more is mapped, and what is mapped already is less than 5000 MiB. */
    CHECK(strat_option_set("limit", "32M") == 0, "a limit");
    errno = 0;
    size_t got = strat_malloc_batch(MIB, MOST, blocks);
    CHECK(got > 4 && got < MOST && errno == ENOMEM, "%zu blocks of a MiB at a limit of 32 MiB", got);
    strat_free_batch(blocks, got);
    CHECK(strat_option_set("limit", "0") == 0, "no limit");
}

int main(void) {
    single_blocks();
    refusals();
    in_place();
    batches();
    return 0;
}

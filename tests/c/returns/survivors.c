/* Models: a cache that shrank: of each stretch of memory a block or two live on, so that no span is empty, but
 * most pages between them are. users.md lines 1 and 2.
 * Arguments: `trim` (malloc_trim gives the pages back) or `clock` (the process goes on with blocks of another size, and
 * they go back in time); MiB; one block in so many survives; seconds to wait. */
#include "check.h"
#include <malloc.h>

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "trim";
    long mib = number_arg(argc, argv, 2, 128), every = number_arg(argc, argv, 3, 64);
    long seconds = number_arg(argc, argv, 4, 10);
    uint64_t seed = seed_printed(), state = seed;
    size_t count = (size_t)(mib * MIB / 1000);
    char **blocks = calloc(count, sizeof *blocks);
    size_t *sizes = calloc(count, sizeof *sizes);
    CHECK(blocks != NULL && sizes != NULL, "calloc");
    long start = rss_kib();
    for (size_t i = 0; i < count; i++) {
        sizes[i] = 500 + random_next(&state) % 1000;
        blocks[i] = malloc(sizes[i]);
        CHECK(blocks[i] != NULL, "malloc(%zu)", sizes[i]);
        fill(blocks[i], sizes[i], i);
    }
    long full = rss_kib();
    long survivors = 0;
    for (size_t i = 0; i < count; i++) {
        if (random_next(&state) % (uint64_t)every == 0) {
            survivors++;
            continue;
        }
        free(blocks[i]);
        blocks[i] = NULL;
    }
    long freed = rss_kib();
    /* A survivor keeps the pages that it lies in, two at most. Slack: the current span of each class, what may stay dirty. */
    long limit = start + survivors * 8 + 8192;
    CHECK(limit < full / 2 && freed > limit, "%ld survivors, %ld KiB then %ld: not what this test is about", survivors,
          full, freed);
    long now = freed;
    if (strcmp(how, "trim") == 0) {
        malloc_trim(0);
        now = rss_kib();
    } else {
        /* A hundred spans of another class at a time, used and freed. */
        for (int turn = 0; now > limit && turn < 20 * seconds; turn++) {
            void *passing[1600];
            for (int i = 0; i < 1600; i++)
                CHECK((passing[i] = malloc(4000)) != NULL, "malloc(4000)");
            for (int i = 0; i < 1600; i++)
                free(passing[i]);
            sleep_ms(50);
            now = rss_kib();
        }
    }
    printf("RSS %ld full %ld freed %ld survivors %ld limit %ld KiB\n", now, full, freed, survivors, limit);
    CHECK(now <= limit, "%ld KiB stay of %ld, limit %ld (%ld survivors)", now, full, limit, survivors);
    /* All of it may be used again. */
    for (size_t i = 0; i < count; i++) {
        if (blocks[i] != NULL) {
            CHECK(filled(blocks[i], sizes[i], i), "survivor %zu changed", i);
            continue;
        }
        blocks[i] = malloc(sizes[i]);
        CHECK(blocks[i] != NULL, "malloc(%zu)", sizes[i]);
        fill(blocks[i], sizes[i], i);
    }
    for (size_t i = 0; i < count; i++) {
        CHECK(filled(blocks[i], sizes[i], i), "block %zu changed", i);
        free(blocks[i]);
    }
    free(blocks);
    free(sizes);
    return 0;
}

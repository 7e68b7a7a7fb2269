/* Models: worker threads that build something, hand it over and exit; their blocks are freed later
 * by a thread that never knew them, and the next worker needs the same classes again. A tenth of
 * each round's blocks survives into the next round, so that spans are orphaned while partly full.
 * Issue line 6. Arguments: rounds, allowed growth in KiB after the first fifth. */
#include "check.h"
#include <pthread.h>

#define BLOCKS 40000

static void *fresh[BLOCKS], *old[BLOCKS / 10];

static void *worker(void *seed) {
    uint64_t state = (uintptr_t)seed;
    for (int i = 0; i < BLOCKS; i++) {
        size_t size = random_size(&state, 2048);
        fresh[i] = malloc(size);
        CHECK(fresh[i] != NULL, "malloc(%zu)", size);
        memset(fresh[i], 1, size);
    }
    return NULL;
}

int main(int argc, char **argv) {
    long rounds = number_arg(argc, argv, 1, 100), growth = number_arg(argc, argv, 2, 8192);
    uint64_t seed = seed_printed();
    long base = 0;
    for (long round = 0; round < rounds; round++) {
        pthread_t thread;
        if (round == rounds / 5)
            base = peak_kib();
        CHECK(pthread_create(&thread, NULL, worker, (void *)(uintptr_t)(seed + (uint64_t)round)) == 0, "create");
        pthread_join(thread, NULL);
        for (int i = 0; i < BLOCKS; i++)
            if (i % 10 != 0)
                free(fresh[i]);
        for (int i = 0; i < BLOCKS / 10; i++) {
            free(old[i]);
            old[i] = fresh[i * 10];
        }
    }
    long end = peak_kib();
    printf("peak RSS after a fifth of the rounds %ld KiB, at the end %ld KiB\n", base, end);
    CHECK(end - base <= growth, "grew by %ld KiB, allowed %ld", end - base, growth);
    return 0;
}

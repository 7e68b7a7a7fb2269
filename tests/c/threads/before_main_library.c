/* The library of before_main.c: its constructor runs before the program's and starts threads. */
#include "check.h"
#include <pthread.h>

static pthread_t threads[4];
static void *results[4][64];
static volatile int stop;

static void *work(void *slot) {
    void **mine = slot;
    uint64_t state = (uintptr_t)slot;
    while (!stop)
        for (int i = 0; i < 64; i++) {
            size_t size = random_size(&state, 4096);
            free(mine[i]);
            mine[i] = malloc(size);
            CHECK(mine[i] != NULL, "malloc(%zu)", size);
            memset(mine[i], 1, size);
        }
    return NULL;
}

__attribute__((constructor)) static void start(void) {
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, work, results[i]) == 0, "pthread_create");
}

/* Ends the library's threads; the caller frees what they left. */
void library_stop(void *(**left)[64]) {
    stop = 1;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    *left = results;
}

__attribute__((destructor)) static void last(void) {
    void *block = malloc(100);
    CHECK(block != NULL, "malloc in a library's destructor");
    free(block);
}

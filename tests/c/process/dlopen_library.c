/* A plugin for dlopen_loop.c: allocates in its constructor, frees in its destructor, keeps a
 * thread-specific value, and hands blocks to the program that outlive it. */
#include "check.h"
#include <pthread.h>

static void *kept;
static __thread char *per_thread;

__attribute__((constructor)) static void start(void) {
    kept = malloc(10000);
    CHECK(kept != NULL, "malloc in a plugin's constructor");
    fill(kept, 10000, 3);
}

__attribute__((destructor)) static void end(void) {
    CHECK(filled(kept, 10000, 3), "the plugin's block changed");
    free(kept);
}

/* Works a little, frees `given`, returns a block of 5000 bytes filled with key 5. */
void *plugin_work(void *given) {
    free(given);
    void *blocks[100];
    for (size_t i = 0; i < 100; i++) {
        blocks[i] = malloc(i * 300);
        CHECK(blocks[i] != NULL, "malloc");
        memset(blocks[i], 1, i * 300);
    }
    per_thread = malloc(50);
    free(per_thread);
    for (int i = 0; i < 100; i++)
        free(blocks[i]);
    char *large = malloc(8 * MIB);
    CHECK(large != NULL, "malloc(8 MiB)");
    memset(large, 1, 8 * MIB);
    free(large);
    void *result = malloc(5000);
    CHECK(result != NULL, "malloc");
    fill(result, 5000, 5);
    return result;
}

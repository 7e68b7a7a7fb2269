/* Models: a server that starts a thread for each request, 100,000 of them, four at a time. Every
 * thread allocates, frees most of it, frees a block of main's and leaves one for main to free.
 * Issue line 6; trap: heaps of leaving threads that are neither adopted nor dissolved.
 * Arguments: threads, allowed growth in KiB after the first tenth. */
#include "check.h"
#include <pthread.h>

#define AT_ONCE 4

static void *request(void *from_main) {
    void *mine[16];
    uint64_t state = (uintptr_t)&mine ^ (uintptr_t)from_main;
    free(from_main);
    for (int i = 0; i < 16; i++) {
        size_t size = random_size(&state, 8192);
        mine[i] = malloc(size);
        CHECK(mine[i] != NULL, "malloc(%zu)", size);
        memset(mine[i], i, size);
    }
    if (random_next(&state) % 64 == 0) {
        char *large = malloc(200 * KIB);
        CHECK(large != NULL, "malloc(200 KiB)");
        memset(large, 1, 200 * KIB);
        free(large);
    }
    for (int i = 1; i < 16; i++)
        free(mine[i]);
    return mine[0];
}

int main(int argc, char **argv) {
    long threads = number_arg(argc, argv, 1, 100000), growth = number_arg(argc, argv, 2, 4096);
    long base = 0;
    for (long done = 0; done < threads; done += AT_ONCE) {
        pthread_t ids[AT_ONCE];
        if (done >= threads / 10 && base == 0)
            base = rss_kib();
        for (int i = 0; i < AT_ONCE; i++) {
            void *gift = malloc(100 + 50 * (size_t)i);
            CHECK(gift != NULL, "malloc");
            CHECK(pthread_create(&ids[i], NULL, request, gift) == 0, "pthread_create %ld", done + i);
        }
        for (int i = 0; i < AT_ONCE; i++) {
            void *left = NULL;
            CHECK(pthread_join(ids[i], &left) == 0 && left != NULL, "pthread_join");
            free(left);
        }
    }
    long end = rss_kib();
    printf("RSS after a tenth of the threads %ld KiB, at the end %ld KiB\n", base, end);
    CHECK(end - base <= growth, "grew by %ld KiB, allowed %ld", end - base, growth);
    return 0;
}

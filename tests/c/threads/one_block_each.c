/* Models: a program with a thread a connection, each holding one block. Prints its resident memory
 * with all threads alive, to be compared with the same run on the C library's malloc.
 * Issue line 13. Argument: threads. */
#include "check.h"
#include <limits.h>
#include <pthread.h>

static pthread_barrier_t all_hold, measured;

static void *body(void *unused) {
    char *block = malloc(100);
    CHECK(block != NULL, "malloc");
    memset(block, 1, 100);
    pthread_barrier_wait(&all_hold);
    pthread_barrier_wait(&measured);
    free(block);
    return unused;
}

int main(int argc, char **argv) {
    long threads = number_arg(argc, argv, 1, 1000);
    pthread_t *ids = malloc((size_t)threads * sizeof *ids);
    pthread_attr_t small;
    CHECK(ids != NULL, "malloc");
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 128 * KIB);
    pthread_barrier_init(&all_hold, NULL, (unsigned)threads + 1);
    pthread_barrier_init(&measured, NULL, (unsigned)threads + 1);
    for (long i = 0; i < threads; i++)
        CHECK(pthread_create(&ids[i], &small, body, NULL) == 0, "pthread_create(%ld)", i);
    pthread_barrier_wait(&all_hold);
    long rss = rss_kib();
    pthread_barrier_wait(&measured);
    for (long i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    free(ids);
    printf("RSS %ld\n", rss);
    return 0;
}

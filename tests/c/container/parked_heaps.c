/* Threads that run at the same time and leave: how many of their heaps wait for the next is the container's
 * CPUs' business. Issue 4, line 6. Argument: threads. The report says what became of them. */
#include "check.h"
#include <pthread.h>

static pthread_barrier_t all_there;

static void *work(void *unused) {
    void *block = malloc(hide_size(1000));
    CHECK(block != NULL, "a block");
    pthread_barrier_wait(&all_there);
    free(block);
    return unused;
}

int main(int argc, char **argv) {
    pthread_t threads[64];
    unsigned count = (unsigned)number_arg(argc, argv, 1, 24);
    CHECK(count <= 64, "%u threads", count);
    /* Large enough that limits count. */
    char *large = malloc(hide_size(20 * MIB));
    CHECK(large != NULL, "20 MiB");
    pthread_barrier_init(&all_there, NULL, count);
    for (unsigned i = 0; i < count; i++)
        CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0, "thread %u", i);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    free(large);
    return 0;
}

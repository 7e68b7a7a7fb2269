/* Models: a pipeline whose consumer thread only ever frees what a producer allocated (mimalloc#1364:
 * 437 MiB became 1.8 GiB). 4 million blocks pass; at most 40,000 live at once, as they do before the consumer
 * begins: later peaks do not depend on which thread ran first. Issue line 6. Arguments: rounds, allowed growth in KiB after the first tenth. */
#include "check.h"
#include <pthread.h>
#include <semaphore.h>

#define BATCH 20000

static void *batch[2][BATCH];
static sem_t filled_batches, empty_batches, begin;
static long rounds;

static void *consumer(void *unused) {
    while (sem_wait(&begin) != 0) {
    }
    for (long round = 0; round < rounds; round++) {
        while (sem_wait(&filled_batches) != 0) {
        }
        for (int i = 0; i < BATCH; i++)
            free(batch[round % 2][i]);
        sem_post(&empty_batches);
    }
    return unused;
}

int main(int argc, char **argv) {
    uint64_t state = seed_printed();
    long base = 0, growth = number_arg(argc, argv, 2, 8192);
    pthread_t thread;
    rounds = number_arg(argc, argv, 1, 200);
    sem_init(&filled_batches, 0, 0);
    sem_init(&empty_batches, 0, 2);
    sem_init(&begin, 0, 0);
    CHECK(pthread_create(&thread, NULL, consumer, NULL) == 0, "pthread_create");
    for (long round = 0; round < rounds; round++) {
        while (sem_wait(&empty_batches) != 0) {
        }
        if (round == rounds / 10)
            base = peak_kib();
        for (int i = 0; i < BATCH; i++) {
            size_t size = 16 + random_next(&state) % 1009;
            void *block = malloc(size);
            CHECK(block != NULL, "malloc(%zu)", size);
            memset(block, 1, size);
            batch[round % 2][i] = block;
        }
        sem_post(&filled_batches);
        if (round == (rounds > 1))
            sem_post(&begin);
    }
    pthread_join(thread, NULL);
    long end = peak_kib();
    printf("peak RSS after a tenth of the rounds %ld KiB, at the end %ld KiB\n", base, end);
    CHECK(end - base <= growth, "grew by %ld KiB, allowed %ld", end - base, growth);
    return 0;
}

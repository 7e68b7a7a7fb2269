/* Models: a worker that filled a cache and then waits for work for ever, while another thread
 * empties the cache. What is wholly free must come back although the owner never runs again.
 * Issue line 6 and users.md line 5. Arguments: MiB to allocate, allowed KiB over the start, seconds,
 * `small`, `mixed` or `large`. */
#include "check.h"
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>

static void **blocks;
static long count;
static size_t total;
static uint64_t state;
static const char *kind;
static sem_t ready, never;

static size_t next_size(void) {
    if (strcmp(kind, "small") == 0)
        return 16 + random_next(&state) % 500;
    if (strcmp(kind, "large") == 0)
        return 64 * KIB + random_next(&state) % (900 * KIB);
    return random_size(&state, 256 * KIB);
}

static void *owner(void *unused) {
    size_t sum = 0;
    while (sum < total) {
        size_t size = next_size();
        void *block = malloc(size);
        CHECK(block != NULL, "malloc(%zu)", size);
        memset(block, 1, size);
        blocks[count++] = block;
        sum += size;
    }
    sem_post(&ready);
    while (sem_wait(&never) != 0) {
    }
    return unused;
}

int main(int argc, char **argv) {
    pthread_t thread;
    total = (size_t)number_arg(argc, argv, 1, 200) * MIB;
    long allowed = number_arg(argc, argv, 2, 4096);
    int seconds = (int)number_arg(argc, argv, 3, 30);
    kind = argc > 4 ? argv[4] : "small";
    state = seed_printed();
    blocks = mmap(NULL, total / 16 * sizeof *blocks, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(blocks != MAP_FAILED, "mmap");
    sem_init(&ready, 0, 0);
    sem_init(&never, 0, 0);
    long start = rss_kib();
    CHECK(pthread_create(&thread, NULL, owner, NULL) == 0, "pthread_create");
    while (sem_wait(&ready) != 0) {
    }
    long full = rss_kib();
    for (long i = 0; i < count; i++)
        free(blocks[i]);
    munmap(blocks, total / 16 * sizeof *blocks);
    long end = rss_settles_below(start + allowed, seconds);
    printf("RSS at start %ld KiB, full %ld, freed by another thread %ld\n", start, full, end);
    CHECK(end <= start + allowed, "%ld KiB are still held, allowed %ld", end - start, allowed);
    return 0;
}

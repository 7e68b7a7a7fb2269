/* Models: a process that had a busy phase and then idles without any further allocator call: what it
 * freed must come back by itself. users.md lines 1 and 2, issue line 8.
 * Arguments: `small`, `mixed` or `large`; `one` (main alone), `idle` (four threads that stay) or
 * `exited` (four threads that leave); MiB; share kept in percent (freed and kept in runs);
 * allowed KiB beyond the start and what the kept blocks hold; seconds to wait.
 *
 * What kept blocks hold is their bytes, an eighth for the rounding to a class, and for each kept run
 * two spans of each class: where a run begins and where it ends, a span has live and freed blocks,
 * and it cannot go back. How full those are is the seed's chance. */
#include "check.h"
#include <pthread.h>
#include <sys/mman.h>

#define THREADS 4
#define RUN 16384 /* blocks freed or kept together when a share is kept: some spans of each class */
#define SMALL_CLASSES 32 /* of the sizes that `small` asks for: 8 to 128 bytes, 8 a doubling to 1024 */
#define SPAN_KIB 64

static const char *kind;
static size_t share;
static long keep_percent;
static long kept_kib, kept_runs;
static int stays;
static pthread_barrier_t full, freed, never;
static uint64_t seed;

static size_t next_size(uint64_t *state) {
    if (strcmp(kind, "small") == 0)
        return 16 + random_next(state) % 1000;
    if (strcmp(kind, "large") == 0)
        return 64 * KIB + random_next(state) % (4 * MIB);
    return random_next(state) % 16 == 0 ? random_size(state, MIB) : random_size(state, 32 * KIB);
}

/* Allocates `share` bytes, waits, frees all but the kept runs. */
static void life(uint64_t number) {
    uint64_t state = seed + number;
    size_t bytes = share / 8 * sizeof(void *);
    size_t count = 0, sum = 0, kept = 0;
    struct entry {
        char *block;
        size_t size;
    } *table = mmap(NULL, bytes * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(table != MAP_FAILED, "mmap");
    while (sum < share) {
        struct entry entry = {NULL, next_size(&state)};
        entry.block = malloc(entry.size);
        CHECK(entry.block != NULL, "malloc(%zu)", entry.size);
        memset(entry.block, 1, entry.size);
        table[count++] = entry;
        sum += entry.size;
    }
    pthread_barrier_wait(&full);
    size_t keep_every = keep_percent == 0 ? 0 : 100 / (size_t)keep_percent;
    for (size_t i = 0; i < count; i++) {
        int keeps = keep_every != 0 && i / RUN % keep_every == 0;
        if (keeps)
            kept += table[i].size;
        if (keeps && i % RUN == 0)
            __atomic_fetch_add(&kept_runs, 1, __ATOMIC_RELAXED);
        if (!keeps)
            free(table[i].block);
    }
    __atomic_fetch_add(&kept_kib, (long)(kept / 1024), __ATOMIC_RELAXED);
    munmap(table, bytes * 2);
    pthread_barrier_wait(&freed);
    if (stays)
        pthread_barrier_wait(&never);
}

static void *body(void *number) {
    life((uintptr_t)number);
    return NULL;
}

int main(int argc, char **argv) {
    kind = argc > 1 ? argv[1] : "small";
    const char *threads = argc > 2 ? argv[2] : "one";
    int several = strcmp(threads, "one") != 0;
    share = (size_t)number_arg(argc, argv, 3, 200) * MIB / (several ? THREADS : 1);
    keep_percent = number_arg(argc, argv, 4, 0);
    long allowed = number_arg(argc, argv, 5, 4096);
    int seconds = (int)number_arg(argc, argv, 6, 30);
    seed = seed_printed();
    stays = strcmp(threads, "idle") == 0;
    pthread_t ids[THREADS];
    pthread_barrier_init(&full, NULL, several ? THREADS + 1 : 1);
    pthread_barrier_init(&freed, NULL, several ? THREADS + 1 : 1);
    pthread_barrier_init(&never, NULL, THREADS + 1);
    long start = rss_kib(), top;
    if (several) {
        for (uintptr_t i = 0; i < THREADS; i++)
            CHECK(pthread_create(&ids[i], NULL, body, (void *)i) == 0, "pthread_create");
        pthread_barrier_wait(&full);
        top = peak_kib();
        pthread_barrier_wait(&freed);
        if (!stays)
            for (int i = 0; i < THREADS; i++)
                pthread_join(ids[i], NULL);
    } else {
        life(0);
        top = peak_kib();
    }
    long limit = start + kept_kib + kept_kib / 8 + kept_runs * 2 * SMALL_CLASSES * SPAN_KIB + allowed;
    long end = rss_settles_below(limit, seconds);
    printf("RSS at start %ld KiB, peak %ld, kept %ld, idle %ld\n", start, top, kept_kib, end);
    CHECK(end <= limit, "%ld KiB are still held, allowed %ld", end - start, limit - start);
    return 0;
}

/* Models: everything at once. Threads allocate by every entry point, sizes 1 B to 1 MiB, write a
 * pattern over each block's whole usable size, pass blocks to each other through queues, check the
 * pattern before every realloc and free. Two owners of the same byte show as a changed pattern.
 * Issue line 12. Arguments: threads, operations a thread. Prints SEED; SEED in the environment
 * repeats a run's sizes and choices (not its interleaving). */
#include "check.h"
#include <malloc.h>
#include <pthread.h>

#define MINE 512
#define QUEUE 256

struct block {
    unsigned char *at;
    size_t size; /* usable */
    uint64_t key;
};

static struct {
    pthread_mutex_t lock;
    struct block blocks[QUEUE];
    size_t count;
} queues[64];

static long threads, operations;
static uint64_t seed;
static size_t live, live_limit = 256 * MIB;

static void verify(const struct block *block, const char *before) {
    CHECK(filled(block->at, block->size, block->key), "block %p of %zu usable bytes changed before %s",
          (void *)block->at, block->size, before);
}

static void adopt(struct block *block, void *at, size_t size, size_t align, uint64_t *state) {
    CHECK(at != NULL, "no memory for %zu bytes at alignment %zu", size, align);
    CHECK((uintptr_t)at % align == 0, "%p is not aligned to %zu", at, align);
    block->at = at;
    block->size = malloc_usable_size(at);
    block->key = random_next(state);
    CHECK(block->size >= size, "usable size %zu of a block of %zu", block->size, size);
    CHECK(block->size <= size * 2 + 65536 + align, "usable size %zu of a block of %zu", block->size, size);
    fill(at, block->size, block->key);
    __atomic_fetch_add(&live, block->size, __ATOMIC_RELAXED);
}

static void allocate(struct block *block, uint64_t *state) {
    size_t limit = __atomic_load_n(&live, __ATOMIC_RELAXED) > live_limit ? 2048 : (size_t)MIB;
    size_t size = random_size(state, limit), align = (size_t)16 << random_next(state) % 12;
    void *at = NULL;
    switch (random_next(state) % 8) {
    case 0:
        at = calloc(1, size);
        if (at != NULL)
            for (size_t i = 0; i < size; i++)
                CHECK(((char *)at)[i] == 0, "calloc(%zu) is not zero at %zu", size, i);
        align = 16;
        break;
    case 1:
        at = memalign(align, size);
        break;
    case 2:
        CHECK(posix_memalign(&at, align, size) == 0, "posix_memalign(%zu, %zu)", align, size);
        break;
    case 3:
        at = aligned_alloc(align, (size + align - 1) / align * align);
        break;
    case 4:
        at = realloc(NULL, size);
        align = 16;
        break;
    default:
        at = malloc(size);
        align = 16;
    }
    adopt(block, at, size, align, state);
}

static void release(struct block *block) {
    verify(block, "free");
    __atomic_fetch_sub(&live, block->size, __ATOMIC_RELAXED);
    free(block->at);
    block->at = NULL;
}

static void resize(struct block *block, uint64_t *state) {
    verify(block, "realloc");
    size_t size = random_next(state) % 2 ? block->size + random_next(state) % (block->size + 1)
                                         : 1 + random_next(state) % block->size;
    if (size > 2 * MIB)
        size = 2 * MIB;
    size_t kept = size < block->size ? size : block->size;
    void *moved = realloc(block->at, size);
    CHECK(moved != NULL && filled(moved, kept, block->key), "realloc from %zu to %zu", block->size, size);
    __atomic_fetch_sub(&live, block->size, __ATOMIC_RELAXED);
    adopt(block, moved, size, 16, state);
}

/* Swaps one block with a random thread's queue: gives when there is room, else takes. */
static void exchange(struct block *block, uint64_t *state) {
    size_t to = random_next(state) % (uint64_t)threads;
    pthread_mutex_lock(&queues[to].lock);
    if (queues[to].count < QUEUE && random_next(state) % 2) {
        queues[to].blocks[queues[to].count++] = *block;
        block->at = NULL;
    } else if (queues[to].count > 0) {
        struct block taken = queues[to].blocks[random_next(state) % queues[to].count];
        for (size_t i = 0; i < queues[to].count; i++)
            if (queues[to].blocks[i].at == taken.at)
                queues[to].blocks[i] = *block;
        *block = taken;
    }
    pthread_mutex_unlock(&queues[to].lock);
}

static void *body(void *number) {
    uint64_t state = seed + (uintptr_t)number;
    static __thread struct block mine[MINE];
    for (long n = 0; n < operations; n++) {
        struct block *block = &mine[random_next(&state) % MINE];
        if (block->at == NULL)
            allocate(block, &state);
        else
            switch (random_next(&state) % 4) {
            case 0:
                resize(block, &state);
                break;
            case 1:
                exchange(block, &state);
                break;
            default:
                release(block);
            }
        if (n % 20000 == 0)
            malloc_trim(0);
    }
    for (int i = 0; i < MINE; i++)
        if (mine[i].at != NULL)
            release(&mine[i]);
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t ids[64];
    threads = number_arg(argc, argv, 1, 8);
    operations = number_arg(argc, argv, 2, 20000);
    seed = seed_printed();
    CHECK(threads >= 1 && threads <= 64, "1 to 64 threads");
    for (long i = 0; i < threads; i++)
        pthread_mutex_init(&queues[i].lock, NULL);
    for (int generation = 0; generation < 2; generation++) { /* the second adopts what the first left */
        for (long i = 0; i < threads; i++)
            CHECK(pthread_create(&ids[i], NULL, body, (void *)(uintptr_t)(i + 100 * generation)) == 0, "create");
        for (long i = 0; i < threads; i++)
            pthread_join(ids[i], NULL);
    }
    for (long i = 0; i < threads; i++)
        for (size_t j = 0; j < queues[i].count; j++)
            release(&queues[i].blocks[j]);
    CHECK(live == 0, "%zu bytes are unaccounted for", live);
    return 0;
}

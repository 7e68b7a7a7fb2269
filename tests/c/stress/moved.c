/* Models: pages that move. Threads replace large blocks of all sizes, most of which fit no free run, grow them, and free
 * small blocks in between, so that pages of free runs are moved into new blocks and huge pages are opened; now and
 * then a thread forks, and the child goes on with what it has. A stamp in each page of each block tells whose it is:
 * one that was moved while in use, or that two blocks have, shows as a wrong stamp.
 * Arguments: threads, operations a thread. Prints SEED; SEED in the environment repeats a run's sizes and choices (not
 * its interleaving). */
#include "check.h"
#include "../../../include/stratalloc.h"
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>

#define LARGE 20
#define SMALL 40000
#define PAGE 4096

struct block {
    unsigned char *at;
    size_t size;
    uint64_t key;
};

static long threads, operations;
static uint64_t seed;

static uint64_t *stamp(const struct block *block, size_t page) {
    return (uint64_t *)(block->at + page * PAGE + block->key % (PAGE / 8) * 8);
}

static void write_stamps(struct block *block, size_t from) {
    for (size_t page = from; page < block->size / PAGE; page++)
        *stamp(block, page) = block->key ^ page;
}

static void check_stamps(const struct block *block, const char *when) {
    for (size_t page = 0; page < block->size / PAGE; page++)
        CHECK(*stamp(block, page) == (block->key ^ page), "page %zu of the %zu bytes at %p changed before %s", page,
              block->size, (void *)block->at, when);
}

static void take(struct block *block, uint64_t *state) {
    block->size = 256 * KIB + random_next(state) % (6 * MIB) / PAGE * PAGE;
    block->key = random_next(state);
    if (random_next(state) % 8 == 0) {
        block->at = calloc(1, block->size);
        CHECK(block->at != NULL, "no memory for %zu bytes", block->size);
        for (size_t i = 0; i < block->size; i += 64)
            CHECK(block->at[i] == 0, "calloc(%zu) is not zero at %zu", block->size, i);
    } else {
        block->at = malloc(block->size);
        CHECK(block->at != NULL, "no memory for %zu bytes", block->size);
    }
    write_stamps(block, 0);
}

static void grow(struct block *block, uint64_t *state) {
    size_t old = block->size;
    check_stamps(block, "realloc");
    block->size += (PAGE + random_next(state) % (2 * MIB)) / PAGE * PAGE;
    block->at = realloc(block->at, block->size);
    CHECK(block->at != NULL, "no memory for %zu bytes", block->size);
    write_stamps(block, old / PAGE);
}

static void drop(struct block *block) {
    check_stamps(block, "free");
    free(block->at);
    block->at = NULL;
}

/* The child has the blocks of the thread that forked; those of others may be in the middle of something. */
static void go_on_in_a_child(struct block *blocks, uint64_t state) {
    pid_t child = fork();
    CHECK(child >= 0, "fork");
    if (child == 0) {
        for (int i = 0; i < LARGE; i++)
            if (blocks[i].at != NULL)
                drop(&blocks[i]);
        for (int i = 0; i < LARGE; i++)
            take(&blocks[i], &state);
        for (int i = 0; i < LARGE; i++)
            drop(&blocks[i]);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0,
          "the child ended with status %d", status);
}

static void *body(void *number) {
    uint64_t state = seed + (uintptr_t)number;
    struct block large[LARGE] = {{0}};
    void **small = calloc(SMALL, sizeof *small);
    for (long n = 0; n < operations; n++) {
        struct block *block = &large[random_next(&state) % LARGE];
        if (block->at == NULL)
            take(block, &state);
        else if (random_next(&state) % 4 == 0 && block->size < 8 * MIB)
            grow(block, &state);
        else
            drop(block);
        for (int i = 0; i < 400; i++) {
            void **one = &small[random_next(&state) % SMALL];
            free(*one);
            *one = malloc(64 + random_next(&state) % 1200);
            memset(*one, (int)n, 64);
        }
        if (random_next(&state) % 200 == 0)
            go_on_in_a_child(large, state);
        if (random_next(&state) % 500 == 0)
            malloc_trim(0);
    }
    for (int i = 0; i < LARGE; i++)
        if (large[i].at != NULL)
            drop(&large[i]);
    for (int i = 0; i < SMALL; i++)
        free(small[i]);
    free(small);
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t ids[64];
    threads = number_arg(argc, argv, 1, 4);
    operations = number_arg(argc, argv, 2, 1500);
    seed = seed_printed();
    CHECK(threads >= 1 && threads <= 64, "1 to 64 threads");
    for (long i = 0; i < threads; i++)
        CHECK(pthread_create(&ids[i], NULL, body, (void *)(uintptr_t)i) == 0, "create");
    for (long i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    struct strat_stats stats = {.size = sizeof stats};
    int (*get)(struct strat_stats *) = (int (*)(struct strat_stats *))dlsym(RTLD_DEFAULT, "strat_stats_get");
    CHECK(get != NULL && get(&stats) == 0, "statistics");
    CHECK(stats.recycled > 64 * (uint64_t)MIB, "only %zu KiB were moved", (size_t)(stats.recycled / KIB));
    printf("%zu MiB moved\n", (size_t)(stats.recycled / MIB));
    return 0;
}

/* First-class heaps from C: what they serve, bad arguments, whole heaps that go at once, visits against a table of
 * what is in use, threads, a destroy that waits, and a fork's child. */
#include "../check.h"
#include "../../../include/stratalloc.h"

#include <pthread.h>
#include <sys/wait.h>

#define REFUSED(call, code)                                                    \
    do {                                                                       \
        errno = 0;                                                             \
        CHECK((call) == 0 && errno == (code), "errno %d", errno);              \
    } while (0)

enum { SLOTS = 4096 };

struct table {
    void *blocks[SLOTS];
    size_t sizes[SLOTS];
    unsigned seen[SLOTS];
    size_t count, shown;
};

static bool check_one(void *block, size_t size, void *argument) {
    struct table *table = argument;
    for (size_t i = 0; i < SLOTS; i++)
        if (table->blocks[i] == block) {
            CHECK(size == strat_usable_size(block) && table->seen[i]++ == 0, "shown twice, or with %zu", size);
            table->shown++;
            return true;
        }
    CHECK(false, "%p is not in use", block);
    return false;
}

static void visit_matches(struct strat_heap *heap, struct table *table) {
    memset(table->seen, 0, sizeof table->seen);
    table->shown = 0;
    CHECK(strat_heap_visit(heap, check_one, table), "the visit ended early");
    CHECK(table->shown == table->count, "%zu shown of %zu", table->shown, table->count);
}

static bool stop_at_once(void *block, size_t size, void *argument) {
    (void)block, (void)size;
    ++*(int *)argument;
    return false;
}

static bool free_it(void *block, size_t size, void *argument) {
    (void)size;
    ++*(int *)argument;
    strat_free(block);
    return true;
}

static void random_work(void) {
    static struct table table;
    struct strat_heap *heap = strat_heap_new();
    CHECK(heap != NULL, "a heap");
    uint64_t seed = seed_printed();
    for (int round = 0; round < 30000; round++) {
        size_t slot = random_next(&seed) % SLOTS;
        size_t size = random_size(&seed, round % 200 == 0 ? 300000 : 2000);
        if (table.blocks[slot] == NULL) {
            void *block;
            switch (round % 3) {
            case 0:
                block = strat_heap_malloc(heap, size);
                break;
            case 1:
                block = strat_heap_aligned_alloc(heap, (size_t)1 << round % 13, size);
                CHECK((uintptr_t)block % ((size_t)1 << round % 13) == 0, "alignment");
                break;
            default:
                block = strat_heap_calloc(heap, 1, size);
                CHECK(block != NULL && ((char *)block)[0] == 0 && ((char *)block)[size - 1] == 0, "not zero");
            }
            CHECK(block != NULL && strat_heap_contains(heap, block), "a block of the heap");
            table.blocks[slot] = block, table.sizes[slot] = size, table.count++;
            fill(block, size, slot);
        } else if (round % 4 == 0) {
            void *moved = strat_heap_realloc(heap, table.blocks[slot], size);
            CHECK(moved != NULL && filled(moved, size < table.sizes[slot] ? size : table.sizes[slot], slot), "contents");
            table.blocks[slot] = moved, table.sizes[slot] = size;
            fill(moved, size, slot);
        } else {
            CHECK(filled(table.blocks[slot], table.sizes[slot], slot), "somebody wrote to the block");
            if (round % 2)
                strat_free(table.blocks[slot]);
            else
                strat_heap_free(heap, table.blocks[slot]);
            table.blocks[slot] = NULL, table.count--;
        }
        if (round % 1000 == 0)
            visit_matches(heap, &table);
    }
    visit_matches(heap, &table);
    int seen = 0;
    CHECK(!strat_heap_visit(heap, stop_at_once, &seen) && seen == 1, "ended by the visitor");
    strat_heap_free_batch(heap, table.blocks, SLOTS);
    memset(table.blocks, 0, sizeof table.blocks);
    table.count = 0;
    visit_matches(heap, &table);
    void *some[300];
    CHECK(strat_heap_malloc_batch(heap, 100, 200, some) == 200, "a batch");
    CHECK(strat_heap_aligned_malloc_batch(heap, 256, 100, 100, some + 200) == 100, "an aligned batch");
    CHECK((uintptr_t)some[250] % 256 == 0 && strat_heap_contains(heap, some[299]), "aligned, of the heap");
    seen = 0;
    CHECK(strat_heap_visit(heap, free_it, &seen) && seen == 300, "%d freed by the visitor", seen);
    visit_matches(heap, &table);
    struct strat_sized_block sized = strat_heap_malloc_at_least(heap, 1000);
    CHECK(sized.block != NULL && sized.size >= 1000 && sized.size <= strat_usable_size(sized.block), "at least");
    strat_heap_destroy(heap);
}

static void refusals(void) {
    struct strat_heap *heap = strat_heap_new();
    void *out[2];
    int seen = 0;
    REFUSED(strat_heap_malloc(heap, hide_size(SIZE_MAX)), ENOMEM);
    REFUSED(strat_heap_calloc(heap, hide_size(SIZE_MAX / 2), 3), ENOMEM);
    REFUSED(strat_heap_aligned_alloc(heap, 24, 1), EINVAL);
    REFUSED(strat_heap_aligned_alloc(heap, 0, 1), EINVAL);
    REFUSED(strat_heap_malloc_at_least(heap, hide_size(SIZE_MAX)).block, ENOMEM);
    REFUSED(strat_heap_malloc_batch(heap, hide_size(SIZE_MAX), 2, out), ENOMEM);
    REFUSED(strat_heap_malloc_batch(heap, 1, 2, NULL), EINVAL);
    REFUSED(strat_heap_aligned_malloc_batch(heap, 3, 1, 2, out), EINVAL);
    REFUSED(strat_heap_visit(heap, NULL, NULL), EINVAL);
    /* No heap. */
    REFUSED(strat_heap_malloc(NULL, 1), EINVAL);
    REFUSED(strat_heap_calloc(NULL, 1, 1), EINVAL);
    REFUSED(strat_heap_aligned_alloc(NULL, 16, 1), EINVAL);
    REFUSED(strat_heap_realloc(NULL, NULL, 1), EINVAL);
    REFUSED(strat_heap_malloc_at_least(NULL, 1).block, EINVAL);
    REFUSED(strat_heap_malloc_batch(NULL, 1, 2, out), EINVAL);
    REFUSED(strat_heap_visit(NULL, stop_at_once, &seen), EINVAL);
    void *block = strat_heap_malloc(heap, 100);
    REFUSED(strat_heap_realloc(NULL, block, 200), EINVAL);
    REFUSED(strat_heap_realloc(heap, block, hide_size(SIZE_MAX)), ENOMEM);
    errno = 7;
    CHECK(!strat_heap_contains(NULL, block) && !strat_heap_contains(heap, NULL) && !strat_heap_contains(heap, out), "contains");
    CHECK(strat_heap_realloc(heap, block, 0) == NULL && errno == 7, "realloc to 0");
    strat_heap_free(heap, NULL);
    strat_heap_free(NULL, NULL);
    strat_heap_free(NULL, strat_heap_malloc(heap, 10));
    strat_heap_free(heap, malloc(10));
    strat_heap_free_batch(heap, NULL, 3);
    strat_heap_free_batch(NULL, out, 0);
    strat_heap_destroy(NULL);
    /* From one heap, or none, to another. */
    struct strat_heap *other = strat_heap_new();
    block = strat_heap_malloc(other, 100);
    fill(block, 100, 1);
    block = strat_heap_realloc(heap, block, 5000);
    CHECK(strat_heap_contains(heap, block) && !strat_heap_contains(other, block) && filled(block, 100, 1), "moved");
    strat_heap_destroy(other);
    CHECK(filled(block, 100, 1), "still there");
    CHECK(strat_heap_malloc(heap, 0) != strat_heap_malloc(heap, 0), "blocks of size 0 are blocks");
    CHECK(errno == 7, "errno %d", errno);
    strat_heap_destroy(heap);
}

static void whole_heaps_go(void) {
    struct strat_stats before = {.size = sizeof before}, during = before, after = before;
    CHECK(strat_stats_get(&before) == 0, "figures");
    for (int round = 0; round < 20; round++) {
        struct strat_heap *heap = strat_heap_new();
        for (size_t bytes = 0, n = 0; bytes < 32 * MIB; n++) {
            size_t size = n % 500 == 0 ? 1 << 20 : 16 + n * 7 % 4000;
            CHECK(strat_heap_malloc(heap, size) != NULL, "memory");
            bytes += size;
        }
        CHECK(strat_stats_get(&during) == 0 && during.allocated >= before.allocated + 32 * MIB, "%zu", during.allocated);
        strat_heap_destroy(heap);
    }
    CHECK(strat_stats_get(&after) == 0 && after.allocated < before.allocated + MIB, "%zu then %zu", before.allocated, after.allocated);
    CHECK(after.large_live == before.large_live && after.heaps == before.heaps, "large blocks or heaps are left");
}

static struct strat_heap *shared;

static void *use_shared(void *argument) {
    uint64_t seed = (uintptr_t)argument;
    void *blocks[100] = {NULL};
    for (int round = 0; round < 20000; round++) {
        size_t slot = random_next(&seed) % 100;
        if (blocks[slot] != NULL) {
            CHECK(filled(blocks[slot], 50, slot + (uintptr_t)argument), "somebody else wrote to the block");
            if (round % 2)
                free(blocks[slot]);
            else
                strat_heap_free(shared, blocks[slot]);
            blocks[slot] = NULL;
        } else {
            blocks[slot] = strat_heap_malloc(shared, 50 + random_next(&seed) % 3000);
            fill(blocks[slot], 50, slot + (uintptr_t)argument);
        }
    }
    strat_free_batch(blocks, 100);
    return NULL;
}

static bool never(void *block, size_t size, void *argument) {
    (void)block, (void)size, (void)argument;
    return false;
}

static void many_threads(void) {
    pthread_t threads[4];
    shared = strat_heap_new();
    for (uintptr_t i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, use_shared, (void *)(i + 1)) == 0, "a thread");
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK(strat_heap_visit(shared, never, NULL), "all was freed");
    strat_heap_destroy(shared);
}

/* A visit that lasts until it is told to end. */
static int inside[2], go_on[2];

static bool wait_inside(void *block, size_t size, void *argument) {
    (void)block, (void)size, (void)argument;
    char byte = 1;
    CHECK(write(inside[1], &byte, 1) == 1 && read(go_on[0], &byte, 1) == 1, "pipe");
    return false;
}

static void *visit_shared(void *argument) {
    (void)argument;
    strat_heap_visit(shared, wait_inside, NULL);
    return NULL;
}

static pthread_t enter_shared(void) {
    pthread_t thread;
    char byte;
    CHECK(pipe(inside) == 0 && pipe(go_on) == 0, "pipes");
    CHECK(pthread_create(&thread, NULL, visit_shared, NULL) == 0, "a thread");
    CHECK(read(inside[0], &byte, 1) == 1, "pipe");
    return thread;
}

static void *destroy_shared(void *argument) {
    strat_heap_destroy(shared);
    *(volatile int *)argument = 1;
    return NULL;
}

static void destroy_waits(void) {
    shared = strat_heap_new();
    strat_heap_malloc(shared, 100);
    pthread_t visitor = enter_shared(), destroyer;
    volatile int done = 0;
    CHECK(pthread_create(&destroyer, NULL, destroy_shared, (void *)&done) == 0, "a thread");
    sleep_ms(50);
    CHECK(!done, "the heap went while a thread was inside");
    CHECK(write(go_on[1], "x", 1) == 1, "pipe");
    pthread_join(visitor, NULL);
    pthread_join(destroyer, NULL);
    CHECK(done, "the heap is gone");
}

static void forks(void) {
    shared = strat_heap_new();
    struct strat_heap *own = strat_heap_new();
    void *ours = strat_heap_malloc(own, 1000), *theirs = strat_heap_malloc(shared, 1000);
    fill(ours, 1000, 5);
    fill(theirs, 1000, 6);
    pthread_t thread = enter_shared();
    pid_t child = fork();
    CHECK(child >= 0, "fork");
    if (child == 0) {
        int seen = 0;
        alarm(60);
        CHECK(filled(ours, 1000, 5) && filled(theirs, 1000, 6), "contents");
        CHECK(strat_heap_malloc(own, 100) != NULL && strat_heap_visit(own, free_it, &seen) && seen == 2, "a heap at rest");
        strat_heap_destroy(own);
        /* The other thread was in a visit, which changes nothing: the heap is whole, and serves. */
        errno = 0;
        void *block = strat_heap_malloc(shared, 100);
        CHECK(block != NULL || errno == ENOMEM, "errno %d", errno);
        strat_heap_free(shared, theirs);
        strat_heap_destroy(shared);
        struct strat_heap *fresh = strat_heap_new();
        CHECK(fresh != NULL && strat_heap_malloc(fresh, 100) != NULL, "a new heap");
        strat_heap_destroy(fresh);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0, "the child ended with %d", status);
    CHECK(write(go_on[1], "x", 1) == 1, "pipe");
    pthread_join(thread, NULL);
    CHECK(filled(ours, 1000, 5) && filled(theirs, 1000, 6), "the parent's blocks");
    strat_heap_destroy(own);
    strat_heap_destroy(shared);
}

int main(void) {
    random_work();
    refusals();
    whole_heaps_go();
    many_threads();
    destroy_waits();
    forks();
    return 0;
}

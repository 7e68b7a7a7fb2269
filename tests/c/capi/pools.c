/* Fixed and tiered pools from C: blocks, limits, figures, bad arguments; threads that pass blocks around and end, also
 * in destructors of their own that run later than the library's; pools that go before threads; a fork's child. */
#include "../check.h"
#include "../../../include/stratalloc.h"

#include <pthread.h>
#include <sys/wait.h>

#define REFUSED(call, code)                                                    \
    do {                                                                       \
        errno = 0;                                                             \
        CHECK((call) == 0 && errno == (code), "errno %d", errno);              \
    } while (0)

enum { MANY = 1000 };

/* The same life for both kinds. */
#define LIFE(kind)                                                                                                  \
    static struct strat_pool_stats kind##_figures(struct strat_##kind##_pool *pool) {                              \
        struct strat_pool_stats stats = {.size = sizeof stats};                                                    \
        CHECK(strat_##kind##_pool_stats(pool, &stats) == 0 && stats.size == sizeof stats, "figures");              \
        CHECK(stats.live + stats.free == stats.capacity && stats.peak >= stats.live, "sums");                      \
        CHECK(stats.bytes >= stats.waste, "waste");                                                                \
        return stats;                                                                                              \
    }                                                                                                              \
    static void kind##_life(void) {                                                                                \
        static const size_t sizes[] = {0, 1, 8, 24, 100, 1000, 10000}, alignments[] = {1, 8, 64, 4096, 65536};     \
        static unsigned char *blocks[MANY];                                                                        \
        for (size_t s = 0; s < 7; s++)                                                                             \
            for (size_t a = 0; a < 5; a++) {                                                                       \
                struct strat_##kind##_pool *pool = strat_##kind##_pool_new(sizes[s], alignments[a], 0);            \
                CHECK(pool != NULL, "a pool");                                                                     \
                size_t many = alignments[a] > 64 ? 100 : MANY;                                                     \
                CHECK(strat_##kind##_pool_try_acquire(pool) == NULL, "no memory yet");                             \
                CHECK(strat_##kind##_pool_reserve(pool, many / 2), "room");                                        \
                CHECK(kind##_figures(pool).capacity >= many / 2, "room");                                          \
                for (size_t i = 0; i < many; i++) {                                                                \
                    blocks[i] = i < many / 2 ? strat_##kind##_pool_try_acquire(pool)                               \
                                             : strat_##kind##_pool_acquire(pool);                                  \
                    CHECK(blocks[i] != NULL && (uintptr_t)blocks[i] % alignments[a] == 0, "block %zu", i);         \
                    fill(blocks[i], sizes[s], i);                                                                  \
                }                                                                                                  \
                struct strat_pool_stats stats = kind##_figures(pool);                                              \
                CHECK(stats.live == many && stats.misses == many && stats.hits == 0, "%zu live", stats.live);      \
                for (size_t i = 0; i < many; i++) {                                                                \
                    CHECK(filled(blocks[i], sizes[s], i), "overlap");                                              \
                    strat_##kind##_pool_release(pool, blocks[i]);                                                  \
                }                                                                                                  \
                CHECK(kind##_figures(pool).live == 0 && kind##_figures(pool).peak == many, "peak");                \
                CHECK(strat_##kind##_pool_acquire(pool) != NULL && kind##_figures(pool).hits == 1, "used again");  \
                CHECK(strat_##kind##_pool_shrink(pool, 0) <= stats.capacity, "shrunk");                            \
                CHECK(kind##_figures(pool).live == 1, "a live block stays");                                       \
                strat_##kind##_pool_destroy(pool);                                                                 \
            }                                                                                                      \
        REFUSED(strat_##kind##_pool_new(8, 24, 0), EINVAL);                                                        \
        REFUSED(strat_##kind##_pool_new(8, 0, 0), EINVAL);                                                         \
        REFUSED(strat_##kind##_pool_new(8, 131072, 0), EINVAL);                                                    \
        REFUSED(strat_##kind##_pool_new(hide_size(SIZE_MAX), 8, 0), ENOMEM);                                       \
        struct strat_##kind##_pool *pool = strat_##kind##_pool_new(hide_size((size_t)1 << 61), 16, 0);             \
        if (pool != NULL) {                                                                                        \
            REFUSED(strat_##kind##_pool_acquire(pool), ENOMEM);                                                    \
            REFUSED(strat_##kind##_pool_reserve(pool, SIZE_MAX), ENOMEM);                                          \
        }                                                                                                          \
        strat_##kind##_pool_destroy(pool);                                                                         \
        pool = strat_##kind##_pool_new(32, 8, 5);                                                                  \
        for (int i = 0; i < 5; i++)                                                                                \
            CHECK((blocks[i] = strat_##kind##_pool_acquire(pool)) != NULL, "below the limit");                     \
        REFUSED(strat_##kind##_pool_acquire(pool), ENOMEM);                                                        \
        REFUSED(strat_##kind##_pool_reserve(pool, 1), ENOMEM);                                                     \
        errno = 7;                                                                                                 \
        CHECK(strat_##kind##_pool_try_acquire(pool) == NULL && errno == 7, "errno %d", errno);                     \
        strat_##kind##_pool_release(pool, blocks[2]);                                                              \
        CHECK(strat_##kind##_pool_acquire(pool) == blocks[2], "the one that came back");                           \
        strat_##kind##_pool_release(pool, NULL);                                                                   \
        strat_##kind##_pool_release(NULL, blocks[0]);                                                              \
        CHECK(strat_##kind##_pool_shrink(NULL, 0) == 0 && errno == 7, "errno %d", errno);                          \
        struct strat_pool_stats stats = {.size = sizeof(size_t)};                                                  \
        CHECK(strat_##kind##_pool_stats(pool, &stats) == EINVAL && strat_##kind##_pool_stats(pool, NULL) == EINVAL, "no room"); \
        CHECK(strat_##kind##_pool_stats(NULL, &stats) == EINVAL && errno == 7, "no pool");                         \
        REFUSED(strat_##kind##_pool_acquire(NULL), EINVAL);                                                        \
        REFUSED(strat_##kind##_pool_try_acquire(NULL), EINVAL);                                                    \
        REFUSED(strat_##kind##_pool_reserve(NULL, 1), EINVAL);                                                     \
        strat_##kind##_pool_destroy(pool);                                                                         \
        strat_##kind##_pool_destroy(NULL);                                                                         \
    }

LIFE(fixed)
LIFE(tiered)

static struct strat_tiered_pool *pool;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *bag[64];
static pthread_key_t late;

/* Runs after the library's own destructor: postponed to the last rounds. */
static void release_late(void *block) {
    static __thread int round;
    if (++round < 4) {
        pthread_setspecific(late, block);
        return;
    }
    strat_tiered_pool_release(pool, block);
    strat_tiered_pool_release(pool, strat_tiered_pool_acquire(pool));
}

static void *pass_around(void *argument) {
    uint64_t seed = (uintptr_t)argument * 77;
    pthread_setspecific(late, strat_tiered_pool_acquire(pool));
    for (int round = 0; round < 5000; round++) {
        uint64_t *block = strat_tiered_pool_acquire(pool);
        CHECK(block != NULL, "a block");
        fill(block, 40, (uintptr_t)argument + (uint64_t)round);
        if (round % 5 == 0)
            sched_yield();
        CHECK(filled(block, 40, (uintptr_t)argument + (uint64_t)round), "in two hands");
        size_t slot = random_next(&seed) % 64;
        pthread_mutex_lock(&lock);
        void *other = bag[slot];
        bag[slot] = block;
        pthread_mutex_unlock(&lock);
        strat_tiered_pool_release(pool, other);
    }
    return NULL;
}

static void threads_come_and_go(void) {
    CHECK(pthread_key_create(&late, release_late) == 0, "a key");
    pool = strat_tiered_pool_new(40, 8, 0);
    for (int wave = 0; wave < 30; wave++) {
        pthread_t threads[4];
        for (uintptr_t i = 0; i < 4; i++)
            CHECK(pthread_create(&threads[i], NULL, pass_around, (void *)(i + 1 + (uintptr_t)wave * 4)) == 0, "a thread");
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
    }
    size_t live = 0;
    for (int i = 0; i < 64; i++)
        live += bag[i] != NULL;
    struct strat_pool_stats stats = tiered_figures(pool);
    CHECK(stats.live == live, "%zu live, %zu in the bag", stats.live, live);
    CHECK(stats.hits + stats.misses == 30 * 4 * 5002, "%llu", (unsigned long long)(stats.hits + stats.misses));
    /* Ended threads keep nothing: all that is free can go. */
    for (int i = 0; i < 64; i++)
        strat_tiered_pool_release(pool, bag[i]);
    strat_tiered_pool_shrink(pool, 0);
    stats = tiered_figures(pool);
    CHECK(stats.capacity == 0 && stats.live == 0, "%zu blocks are kept somewhere", stats.capacity);
    strat_tiered_pool_destroy(pool);
}

static void pools_go_first(void) {
    for (int round = 0; round < 200; round++) {
        struct strat_tiered_pool *several[5];
        for (int i = 0; i < 5; i++) {
            several[i] = strat_tiered_pool_new(16 * (size_t)(i + 1), 16, 0);
            void *block = strat_tiered_pool_acquire(several[i]);
            CHECK(block != NULL, "a block");
            fill(block, 16 * (size_t)(i + 1), 1);
            strat_tiered_pool_release(several[i], block);
            CHECK(tiered_figures(several[i]).misses == 1, "a cache of an earlier pool was taken for this one's");
        }
        for (int i = 0; i < 5; i++)
            strat_tiered_pool_destroy(several[(i + round) % 5]);
    }
}

static void *hold_some(void *argument) {
    void **blocks = argument;
    for (int i = 0; i < 10; i++)
        blocks[i] = strat_tiered_pool_acquire(pool);
    for (int i = 0; i < 5; i++)
        strat_tiered_pool_release(pool, blocks[i]);
    pause();
    return NULL;
}

static void forks(void) {
    static void *volatile theirs[10];
    pool = strat_tiered_pool_new(64, 8, 0);
    void *ours = strat_tiered_pool_acquire(pool);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, hold_some, (void *)theirs) == 0, "a thread");
    while (tiered_figures(pool).live != 6 || theirs[9] == NULL)
        sched_yield();
    for (int round = 0; round < 20; round++) {
        pid_t child = fork();
        CHECK(child >= 0, "fork");
        if (child == 0) {
            alarm(60);
            CHECK(tiered_figures(pool).live == 6, "%zu", tiered_figures(pool).live);
            strat_tiered_pool_release(pool, ours);
            strat_tiered_pool_release(pool, (void *)theirs[9]);
            for (int i = 0; i < 1000; i++)
                CHECK(strat_tiered_pool_acquire(pool) != NULL, "a block");
            strat_tiered_pool_destroy(pool);
            pool = strat_tiered_pool_new(64, 8, 0);
            CHECK(pool != NULL && strat_tiered_pool_acquire(pool) != NULL, "a new pool");
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0, "the child ended with %d", status);
    }
    /* The thread lives on; its pool does not. */
    strat_tiered_pool_destroy(pool);
}

/* Pools come and go on another thread while this one forks: the register of pools is whole in each child. */
static volatile int stop;

static void *make_and_end(void *argument) {
    (void)argument;
    while (!stop)
        strat_tiered_pool_destroy(strat_tiered_pool_new(8, 8, 0));
    return NULL;
}

static void forks_while_pools_come_and_go(void) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, make_and_end, NULL) == 0, "a thread");
    for (int round = 0; round < 300; round++) {
        pid_t child = fork();
        CHECK(child >= 0, "fork");
        if (child == 0) {
            alarm(60);
            struct strat_tiered_pool *own = strat_tiered_pool_new(8, 8, 0);
            _exit(own != NULL && strat_tiered_pool_acquire(own) != NULL ? 0 : 1);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0, "the child ended with %d", status);
    }
    stop = 1;
    pthread_join(thread, NULL);
}

int main(void) {
    fixed_life();
    tiered_life();
    threads_come_and_go();
    pools_go_first();
    forks_while_pools_come_and_go();
    forks();
    return 0;
}

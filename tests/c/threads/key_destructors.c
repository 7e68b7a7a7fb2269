/* Models: libraries whose thread-exit hooks free and allocate after the allocator's own hook has
 * run, in each of the four rounds of destructors that POSIX allows.
 * Trap 4 (anchors.md), issue line 6. Arguments: threads, allowed growth in KiB. */
#include "check.h"
#include <limits.h>
#include <pthread.h>

#define KEYS 3
#define AT_ONCE 4

static pthread_key_t keys[KEYS];
static long rounds_seen[PTHREAD_DESTRUCTOR_ITERATIONS + 1];

struct tale {
    int rounds;
    int key;
    char *text; /* allocated by an earlier round or by the thread's body */
};

static void destructor(void *value) {
    struct tale *tale = value;
    tale->rounds++;
    __atomic_fetch_add(&rounds_seen[tale->rounds], 1, __ATOMIC_RELAXED);
    CHECK(filled(tale->text, 100, (uint64_t)tale->key), "a block changed before round %d", tale->rounds);
    free(tale->text);
    void *scratch = malloc(3000);
    CHECK(scratch != NULL, "malloc in round %d", tale->rounds);
    memset(scratch, 1, 3000);
    free(scratch);
    if (tale->rounds == PTHREAD_DESTRUCTOR_ITERATIONS) {
        free(tale);
        return;
    }
    tale->text = calloc(1, 100);
    CHECK(tale->text != NULL, "calloc in round %d", tale->rounds);
    fill(tale->text, 100, (uint64_t)tale->key);
    CHECK(pthread_setspecific(keys[tale->key], tale) == 0, "pthread_setspecific");
}

static void *body(void *unused) {
    for (int i = 0; i < KEYS; i++) {
        struct tale *tale = malloc(sizeof *tale);
        CHECK(tale != NULL, "malloc");
        *tale = (struct tale){0, i, malloc(100)};
        CHECK(tale->text != NULL, "malloc");
        fill(tale->text, 100, (uint64_t)i);
        CHECK(pthread_setspecific(keys[i], tale) == 0, "pthread_setspecific");
    }
    return unused;
}

/* One key is older than any hook that the allocator could register in main. */
__attribute__((constructor(101))) static void first_key(void) {
    CHECK(pthread_key_create(&keys[0], destructor) == 0, "pthread_key_create");
}

int main(int argc, char **argv) {
    long threads = number_arg(argc, argv, 1, 4000), growth = number_arg(argc, argv, 2, 2048);
    long base = 0;
    for (int i = 1; i < KEYS; i++)
        CHECK(pthread_key_create(&keys[i], destructor) == 0, "pthread_key_create");
    for (long done = 0; done < threads; done += AT_ONCE) {
        pthread_t ids[AT_ONCE];
        if (done >= threads / 4 && base == 0)
            base = rss_kib();
        for (int i = 0; i < AT_ONCE; i++)
            CHECK(pthread_create(&ids[i], NULL, body, NULL) == 0, "pthread_create");
        for (int i = 0; i < AT_ONCE; i++)
            pthread_join(ids[i], NULL);
    }
    long end = rss_kib();
    for (int round = 1; round <= PTHREAD_DESTRUCTOR_ITERATIONS; round++)
        CHECK(rounds_seen[round] == threads * KEYS, "round %d ran %ld times", round, rounds_seen[round]);
    printf("RSS after a quarter of the threads %ld KiB, at the end %ld KiB\n", base, end);
    CHECK(end - base <= growth, "grew by %ld KiB, allowed %ld", end - base, growth);
    return 0;
}

/* Models: a process whose libraries used up the first 32 pthread keys, so that glibc's
 * pthread_setspecific itself calls calloc, also as a thread's very first allocation and inside
 * destructors. Trap 4 (anchors.md), issue line 6. */
#include "check.h"
#include <pthread.h>

#define KEYS 600
#define THREADS 200

static pthread_key_t keys[KEYS];
static long destroyed;

static void destructor(void *value) {
    free(value);
    __atomic_fetch_add(&destroyed, 1, __ATOMIC_RELAXED);
}

static void *body(void *first) {
    static char not_a_block;
    /* Key order differs by thread: some take the highest key (a calloc inside libc) first. */
    int start = first != NULL ? KEYS - 1 : 0;
    CHECK(pthread_setspecific(keys[start], &not_a_block) == 0, "pthread_setspecific");
    for (int i = 0; i < KEYS; i++) {
        void *block = malloc(10 + (size_t)i);
        CHECK(block != NULL, "malloc");
        memset(block, i, 10 + (size_t)i);
        CHECK(pthread_setspecific(keys[i], block) == 0, "pthread_setspecific(%d)", i);
    }
    for (int i = 0; i < KEYS; i++) {
        unsigned char *block = pthread_getspecific(keys[i]);
        CHECK(block != NULL && block[9] == (unsigned char)i, "key %d lost its value", i);
    }
    return NULL;
}

int main(void) {
    for (int i = 0; i < KEYS; i++)
        CHECK(pthread_key_create(&keys[i], destructor) == 0, "pthread_key_create(%d)", i);
    for (int round = 0; round < THREADS / 4; round++) {
        pthread_t ids[4];
        for (int i = 0; i < 4; i++)
            CHECK(pthread_create(&ids[i], NULL, body, i % 2 ? keys : NULL) == 0, "pthread_create");
        for (int i = 0; i < 4; i++)
            pthread_join(ids[i], NULL);
    }
    CHECK(destroyed == (long)THREADS * KEYS, "%ld destructors ran", destroyed);
    return 0;
}

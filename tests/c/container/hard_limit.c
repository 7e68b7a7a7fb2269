/* The option `limit`: beyond it allocations return null with ENOMEM, after all that is free was tried, and
 * serve again when something is freed. Issue 4, line 6. Run with STRATALLOC=limit=64M. */
#include "check.h"
#include <pthread.h>

#define COUNT 100000

static char *blocks[COUNT];

/* A thread's heap keeps an empty span for each size when it leaves. */
static void *leave_spans(void *unused) {
    for (size_t size = 4 * KIB; size <= 32 * KIB; size += 2 * KIB)
        free(malloc(hide_size(size)));
    return unused;
}

static size_t fill_up(size_t size) {
    size_t count = 0;
    while (count < COUNT) {
        errno = 0;
        blocks[count] = malloc(size);
        if (blocks[count] == NULL)
            break;
        memset(blocks[count++], 1, size);
    }
    CHECK(count < COUNT && errno == ENOMEM, "%zu blocks of %zu bytes, errno %d", count, size, errno);
    return count;
}

int main(void) {
    pthread_t threads[8];
    for (size_t i = 0; i < 8; i++)
        CHECK(pthread_create(&threads[i], NULL, leave_spans, NULL) == 0, "thread %zu", i);
    for (size_t i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    size_t sizes[] = {1000, MIB, 124 * KIB, 32 * KIB, 700};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        /* What another size used before is free again for this one: nine tenths of the limit serve. */
        size_t size = sizes[i], count = fill_up(size);
        CHECK(count * size > 64 * MIB / 10 * 9, "%zu blocks of %zu bytes were all", count, size);
        errno = 0;
        CHECK(malloc(hide_size(2 * MIB)) == NULL && errno == ENOMEM, "2 MiB more");
        CHECK(realloc(blocks[0], hide_size(60 * MIB)) == NULL && errno == ENOMEM, "growth to 60 MiB");
        free(blocks[--count]);
        CHECK((blocks[count++] = malloc(size)) != NULL, "what was just freed");
        while (count > 0)
            free(blocks[--count]);
    }
    char *large = malloc(hide_size(56 * MIB));
    CHECK(large != NULL, "56 MiB when all is free");
    free(large);
    puts("LIMITED");
    return 0;
}

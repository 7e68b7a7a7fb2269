/* Models: a static executable linked against libstratalloc.a: there is no dynamic linker, so the
 * archive's malloc, its start-up, its thread exit and its fork handlers must all work by themselves.
 * Issue line 7. */
#define STATIC_EXECUTABLE
#include "check.h"
#include <malloc.h>
#include <pthread.h>
#include <sys/wait.h>

static void *churn(void *seed) {
    uint64_t state = (uintptr_t)seed;
    void *mine[256] = {0};
    size_t sizes[256] = {0};
    for (int n = 0; n < 100000; n++) {
        int i = (int)(random_next(&state) % 256);
        CHECK(mine[i] == NULL || filled(mine[i], sizes[i], (uint64_t)i), "a block changed");
        free(mine[i]);
        sizes[i] = random_next(&state) % 200 == 0 ? random_size(&state, 500 * KIB) : random_size(&state, 2000);
        mine[i] = malloc(sizes[i]);
        CHECK(mine[i] != NULL, "malloc(%zu)", sizes[i]);
        fill(mine[i], sizes[i], (uint64_t)i);
    }
    for (int i = 0; i < 256; i++)
        free(mine[i]);
    return NULL;
}

int main(void) {
    uint64_t seed = seed_printed();
    for (int round = 0; round < 4; round++) {
        pthread_t ids[4];
        for (int i = 0; i < 4; i++)
            CHECK(pthread_create(&ids[i], NULL, churn, (void *)(uintptr_t)(seed + (uint64_t)i)) == 0, "create");
        pid_t child = fork();
        CHECK(child >= 0, "fork");
        if (child == 0) {
            alarm(60);
            churn((void *)(uintptr_t)seed);
            exit(0);
        }
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child && status == 0, "child: status 0x%x", status);
        for (int i = 0; i < 4; i++)
            pthread_join(ids[i], NULL);
    }
    char *text = strdup("interposed");
    CHECK(text != NULL && strcmp(text, "interposed") == 0, "strdup");
    CHECK(malloc_usable_size(text) >= 11, "usable size");
    free(text);
    errno = 0;
    CHECK(malloc(hide_size(SIZE_MAX)) == NULL && errno == ENOMEM, "malloc(SIZE_MAX)");
    return 0;
}

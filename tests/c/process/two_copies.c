/* Models: a process that runs on the preloaded library while a plugin brings its own copy of it.
 * Both are used at once from several threads, each block freed where it came from; the process forks
 * with both. users.md lines 14 and 16, issue line 7. Argument: the second copy (another file). */
#include "check.h"
#include <pthread.h>
#include <sys/wait.h>

static void *(*other_malloc)(size_t);
static void (*other_free)(void *);

static void *churn(void *seed) {
    uint64_t state = (uintptr_t)seed;
    void *first[128] = {0}, *second[128] = {0};
    size_t sizes[128] = {0};
    for (int n = 0; n < 50000; n++) {
        int i = (int)(random_next(&state) % 128);
        CHECK(first[i] == NULL || filled(first[i], sizes[i], (uint64_t)i), "a block of the first copy changed");
        CHECK(second[i] == NULL || filled(second[i], sizes[i], (uint64_t)i + 1000), "a block of the second copy changed");
        free(first[i]);
        other_free(second[i]);
        sizes[i] = random_next(&state) % 200 == 0 ? random_size(&state, 500 * KIB) : random_size(&state, 2000);
        first[i] = malloc(sizes[i]);
        second[i] = other_malloc(sizes[i]);
        CHECK(first[i] != NULL && second[i] != NULL, "malloc(%zu)", sizes[i]);
        fill(first[i], sizes[i], (uint64_t)i);
        fill(second[i], sizes[i], (uint64_t)i + 1000);
    }
    for (int i = 0; i < 128; i++) {
        free(first[i]);
        other_free(second[i]);
    }
    return NULL;
}

int main(int argc, char **argv) {
    CHECK(argc > 1, "the second copy's path is missing");
    uint64_t seed = seed_printed();
    for (int flags = 0; flags < 2; flags++) {
        void *copy = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | (flags ? RTLD_DEEPBIND : 0));
        CHECK(copy != NULL, "dlopen: %s", dlerror());
        other_malloc = (void *(*)(size_t))dlsym(copy, "malloc");
        other_free = (void (*)(void *))dlsym(copy, "free");
        CHECK(other_malloc != NULL && other_free != NULL, "dlsym: %s", dlerror());
        CHECK(other_malloc != (void *(*)(size_t))dlsym(RTLD_DEFAULT, "malloc"), "the copies are one");
        pthread_t ids[4];
        for (int i = 0; i < 4; i++)
            CHECK(pthread_create(&ids[i], NULL, churn, (void *)(uintptr_t)(seed + (uint64_t)i)) == 0, "create");
        for (int i = 0; i < 20; i++) {
            pid_t child = fork();
            CHECK(child >= 0, "fork");
            if (child == 0) {
                alarm(120);
                churn((void *)(uintptr_t)seed);
                exit(0);
            }
            int status = 0;
            CHECK(waitpid(child, &status, 0) == child && status == 0, "child: status 0x%x", status);
        }
        for (int i = 0; i < 4; i++)
            pthread_join(ids[i], NULL);
        CHECK(dlclose(copy) == 0, "dlclose: %s", dlerror());
    }
    free(malloc(100));
    return 0;
}

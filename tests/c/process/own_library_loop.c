/* Models: a host that loads a malloc library at run time as if it were a plugin, without preloading
 * it, uses it by address, unloads it and idles. Threads that used it leave before and after the
 * unload; the process forks with it loaded; the C library's own malloc stays in use beside it.
 * users.md lines 13, 14 and 16, issue line 7. Arguments: library, rounds. */
#include "check.h"
#include <pthread.h>
#include <semaphore.h>
#include <sys/wait.h>

struct api {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
};

static sem_t used, unloaded;

static void churn(const struct api *api, uint64_t state) {
    void *theirs[64] = {0}, *own[64] = {0};
    size_t sizes[64] = {0};
    for (int n = 0; n < 20000; n++) {
        int i = (int)(random_next(&state) % 64);
        CHECK(theirs[i] == NULL || filled(theirs[i], sizes[i], (uint64_t)i), "a block changed");
        api->free(theirs[i]);
        free(own[i]);
        sizes[i] = random_next(&state) % 100 == 0 ? random_size(&state, 500 * KIB) : random_size(&state, 4000);
        theirs[i] = random_next(&state) % 2 ? api->malloc(sizes[i]) : api->calloc(1, sizes[i]);
        own[i] = malloc(sizes[i] % 1000);
        CHECK(theirs[i] != NULL && own[i] != NULL && theirs[i] != own[i], "malloc(%zu)", sizes[i]);
        if (random_next(&state) % 4 == 0) {
            sizes[i] += 1000;
            theirs[i] = api->realloc(theirs[i], sizes[i]);
            CHECK(theirs[i] != NULL, "realloc(%zu)", sizes[i]);
        }
        fill(theirs[i], sizes[i], (uint64_t)i);
    }
    for (int i = 0; i < 64; i++) {
        api->free(theirs[i]);
        free(own[i]);
    }
}

static void *user(void *api) {
    churn(api, (uintptr_t)&api);
    return NULL;
}

static void *user_that_stays(void *api) {
    churn(api, (uintptr_t)&api);
    sem_post(&used);
    while (sem_wait(&unloaded) != 0) {
    }
    return NULL;
}

static void *symbol(void *library, const char *name) {
    void *address = dlsym(library, name);
    CHECK(address != NULL, "dlsym(%s): %s", name, dlerror());
    return address;
}

int main(int argc, char **argv) {
    CHECK(argc > 1, "the library's path is missing");
    long rounds = number_arg(argc, argv, 2, 20);
    uint64_t state = seed_printed();
    sem_init(&used, 0, 0);
    sem_init(&unloaded, 0, 0);
    for (long round = 0; round < rounds; round++) {
        pthread_t ids[3];
        int flags = round % 2 ? RTLD_DEEPBIND : 0;
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | flags);
        CHECK(library != NULL, "dlopen: %s", dlerror());
        struct api api = {(void *(*)(size_t))symbol(library, "malloc"),
                          (void *(*)(size_t, size_t))symbol(library, "calloc"),
                          (void *(*)(void *, size_t))symbol(library, "realloc"),
                          (void (*)(void *))symbol(library, "free")};
        CHECK((void *)api.malloc != dlsym(RTLD_DEFAULT, "malloc"), "the library's malloc is the C library's");
        for (int i = 0; i < 2; i++)
            CHECK(pthread_create(&ids[i], NULL, user, &api) == 0, "pthread_create");
        CHECK(pthread_create(&ids[2], NULL, user_that_stays, &api) == 0, "pthread_create");
        churn(&api, random_next(&state));
        pid_t child = fork();
        CHECK(child >= 0, "fork");
        if (child == 0) {
            alarm(60);
            churn(&api, random_next(&state));
            exit(0);
        }
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child && status == 0, "child: status 0x%x", status);
        for (int i = 0; i < 2; i++)
            pthread_join(ids[i], NULL);
        while (sem_wait(&used) != 0) {
        }
        CHECK(dlclose(library) == 0, "dlclose: %s", dlerror());
        sem_post(&unloaded);
        pthread_join(ids[2], NULL);
    }
    sleep_ms(3000);
    free(malloc(100));
    pid_t child = fork(); /* fork handlers of an unloaded library must not run */
    CHECK(child >= 0, "fork");
    if (child == 0)
        exit(0);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && status == 0, "child after unload: status 0x%x", status);
    return 0;
}

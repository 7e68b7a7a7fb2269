/* Models: a host that loads and unloads plugins. Each plugin allocates in its constructor, in calls
 * from several threads and in its destructor; its blocks outlive it. After the last unload the
 * process idles, so that a background thread whose code went away would crash, and a thread that
 * called into the plugin exits only then. users.md line 14, issue line 7.
 * Arguments: plugin, rounds, allowed growth in KiB after the first fifth. */
#include "check.h"
#include <pthread.h>
#include <semaphore.h>

typedef void *work_fn(void *);

static sem_t called, unloaded;

static void *call(void *work) {
    return ((work_fn *)(uintptr_t)work)(malloc(100));
}

static void *call_and_stay(void *work) {
    void *result = call(work);
    sem_post(&called);
    while (sem_wait(&unloaded) != 0) {
    }
    return result;
}

static void take(void *block) {
    CHECK(block != NULL && filled(block, 5000, 5), "the plugin's block changed");
    free(block);
}

int main(int argc, char **argv) {
    CHECK(argc > 1, "the plugin's path is missing");
    long rounds = number_arg(argc, argv, 2, 200), growth = number_arg(argc, argv, 3, 2048), base = 0;
    sem_init(&called, 0, 0);
    sem_init(&unloaded, 0, 0);
    for (long round = 0; round < rounds; round++) {
        pthread_t ids[3];
        void *results[3];
        if (round == rounds / 5) {
            sleep_ms(3000); /* what is free has gone back */
            base = rss_kib();
        }
        void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        CHECK(plugin != NULL, "dlopen: %s", dlerror());
        void *work = dlsym(plugin, "plugin_work");
        CHECK(work != NULL, "dlsym: %s", dlerror());
        void *mine = call(work);
        for (int i = 0; i < 2; i++)
            CHECK(pthread_create(&ids[i], NULL, call, work) == 0, "pthread_create");
        CHECK(pthread_create(&ids[2], NULL, call_and_stay, work) == 0, "pthread_create");
        for (int i = 0; i < 2; i++)
            pthread_join(ids[i], &results[i]);
        while (sem_wait(&called) != 0) {
        }
        CHECK(dlclose(plugin) == 0, "dlclose: %s", dlerror());
        sem_post(&unloaded);
        pthread_join(ids[2], &results[2]);
        take(mine);
        for (int i = 0; i < 3; i++)
            take(results[i]);
    }
    sleep_ms(3000);
    long end = rss_settles_below(base + growth, 30);
    printf("RSS after a fifth of the rounds %ld KiB, at the end %ld KiB\n", base, end);
    CHECK(end - base <= growth, "grew by %ld KiB, allowed %ld", end - base, growth);
    return 0;
}

/* Models: threads started before main, by a library's constructor and by the program's own, that
 * allocate while the rest of the process is still starting up; blocks cross to main; exit hooks and
 * destructors still allocate. Issue line 6. */
#include "check.h"
#include <pthread.h>

void library_stop(void *(**left)[64]);

static pthread_t thread;
static void *early;

static void *first(void *from_constructor) {
    free(from_constructor);
    return strdup("from a thread older than main");
}

__attribute__((constructor(103))) static void start(void) {
    early = malloc(5000);
    CHECK(early != NULL, "malloc in a constructor");
    fill(early, 5000, 1);
    CHECK(pthread_create(&thread, NULL, first, strdup("from a constructor")) == 0, "pthread_create");
}

static void at_exit(void) {
    free(early);
    early = calloc(1, 100);
    CHECK(early != NULL, "calloc at exit");
}

__attribute__((destructor)) static void end(void) {
    free(early);
    free(malloc(100 * KIB));
}

int main(void) {
    void *text = NULL;
    void *(*left)[64];
    CHECK(pthread_join(thread, &text) == 0, "pthread_join");
    CHECK(strcmp(text, "from a thread older than main") == 0, "the thread's string changed");
    free(text);
    CHECK(filled(early, 5000, 1), "the constructor's block changed");
    for (int i = 0; i < 10000; i++)
        free(malloc((size_t)i));
    library_stop(&left);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 64; j++)
            free(left[i][j]);
    atexit(at_exit);
    return 0;
}

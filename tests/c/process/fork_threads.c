/* Models: a threaded server that forks while its threads are inside malloc and free. The child
 * allocates, frees blocks of every thread of its parent, starts threads, forks again and execs; a
 * lock that stayed locked in the child shows as a hang, which the child's alarm turns into a failure.
 * users.md line 15, issue line 7. Argument: forks. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#define THREADS 8
#define SLOTS 4096

/* Blocks change hands by atomic exchange alone, so that the table needs no lock across fork. */
static void *slots[SLOTS];
static int stop;

static void churn(uint64_t *state, long operations) {
    for (long i = 0; i < operations; i++) {
        size_t size = random_next(state) % 64 == 0 ? random_size(state, 600 * KIB) : random_size(state, 4096);
        char *block = random_next(state) % 8 == 0 ? calloc(1, size) : malloc(size);
        CHECK(block != NULL, "malloc(%zu)", size);
        block[0] = 1;
        block[size - 1] = 1;
        if (random_next(state) % 8 == 0) {
            block = realloc(block, size * 2);
            CHECK(block != NULL, "realloc(%zu)", size * 2);
        }
        free(__atomic_exchange_n(&slots[random_next(state) % SLOTS], block, __ATOMIC_ACQ_REL));
    }
}

static void *worker(void *seed) {
    uint64_t state = (uintptr_t)seed;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
        churn(&state, 100);
    return NULL;
}

static void *short_worker(void *seed) {
    uint64_t state = (uintptr_t)seed;
    churn(&state, 500);
    return NULL;
}

static void wait_for(pid_t child, const char *what) {
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child, "waitpid");
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: status 0x%x%s", what, status,
          WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? " (it hung)" : "");
}

__attribute__((noreturn)) static void child_life(char **argv, uint64_t state, int depth) {
    alarm(60);
    churn(&state, 1000);
    for (int i = 0; i < SLOTS; i++)
        if (random_next(&state) % 2 == 0)
            free(__atomic_exchange_n(&slots[i], NULL, __ATOMIC_ACQ_REL));
    pthread_t ids[2];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&ids[i], NULL, short_worker, (void *)(uintptr_t)(state + (uint64_t)i)) == 0,
              "pthread_create in a child");
    if (depth < 2) {
        pid_t grandchild = fork();
        CHECK(grandchild >= 0, "fork");
        if (grandchild == 0)
            child_life(argv, state + 1, depth + 1);
        wait_for(grandchild, "grandchild");
    }
    for (int i = 0; i < 2; i++)
        pthread_join(ids[i], NULL);
    for (int i = 0; i < SLOTS; i++)
        free(slots[i]);
    if (state % 3 == 0) {
        execl("/proc/self/exe", argv[0], "exec", (char *)NULL);
        CHECK(0, "execl: %s", strerror(errno));
    }
    if (state % 3 == 1)
        exit(0);
    _exit(0);
}

int main(int argc, char **argv) {
    pthread_t ids[THREADS];
    if (argc > 1 && strcmp(argv[1], "exec") == 0) {
        free(malloc(1000));
        return 0;
    }
    long forks = number_arg(argc, argv, 1, 200);
    uint64_t state = seed_printed();
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&ids[i], NULL, worker, (void *)(uintptr_t)(state + (uint64_t)i)) == 0, "create");
    for (long i = 0; i < forks; i++) {
        uint64_t child_state = random_next(&state);
        churn(&state, 50);
        pid_t child = fork();
        CHECK(child >= 0, "fork");
        if (child == 0)
            child_life(argv, child_state, 0);
        wait_for(child, "child");
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < THREADS; i++)
        pthread_join(ids[i], NULL);
    for (int i = 0; i < SLOTS; i++)
        free(slots[i]);
    return 0;
}

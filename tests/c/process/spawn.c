/* Models: programs that start others by vfork, posix_spawn, system and popen while threads allocate.
 * A vfork child shares its parent's memory until it execs: whatever the allocator keeps per process
 * or per thread must survive that. Issue line 7. Argument: rounds. */
#include "check.h"
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;
static int stop;

static void *churn(void *seed) {
    uint64_t state = (uintptr_t)seed;
    void *mine[64] = {0};
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        int i = (int)(random_next(&state) % 64);
        size_t size = random_size(&state, 100 * KIB);
        free(mine[i]);
        mine[i] = malloc(size);
        CHECK(mine[i] != NULL, "malloc(%zu)", size);
        *(char *)mine[i] = 1;
    }
    for (int i = 0; i < 64; i++)
        free(mine[i]);
    return NULL;
}

static void wait_for(pid_t child, const char *what) {
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child, "waitpid after %s", what);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: status 0x%x", what, status);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "child") == 0) {
        free(malloc(100));
        return 0;
    }
    volatile long rounds = number_arg(argc, argv, 1, 100);
    uint64_t seed = seed_printed();
    pthread_t ids[4];
    char *child_argv[] = {argv[0], "child", NULL};
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&ids[i], NULL, churn, (void *)(uintptr_t)(seed + (uint64_t)i)) == 0, "create");
    for (long round = 0; round < rounds; round++) {
        char line[32];
        void *before = malloc(1000);
        pid_t child = vfork();
        CHECK(child >= 0, "vfork");
        if (child == 0) {
            execve("/proc/self/exe", child_argv, environ);
            _exit(1);
        }
        free(before);
        wait_for(child, "vfork and exec");
        child = vfork();
        if (child == 0)
            _exit(0);
        wait_for(child, "vfork and _exit");
        CHECK(posix_spawn(&child, "/proc/self/exe", NULL, NULL, child_argv, environ) == 0, "posix_spawn");
        wait_for(child, "posix_spawn");
        CHECK(posix_spawn(&child, "/nonexistent/program", NULL, NULL, child_argv, environ) == ENOENT, "spawned nothing");
        if (round % 10 == 0) {
            CHECK(system("exit 0") == 0, "system");
            FILE *pipe = popen("echo through a pipe", "r");
            CHECK(pipe != NULL && fgets(line, sizeof line, pipe) != NULL, "popen");
            CHECK(strcmp(line, "through a pipe\n") == 0, "popen read %s", line);
            CHECK(pclose(pipe) == 0, "pclose");
        }
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 4; i++)
        pthread_join(ids[i], NULL);
    return 0;
}

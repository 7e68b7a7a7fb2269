/* Models: a threaded program that forks while some threads read lines (a stream's lock held, malloc
 * called) and others flush all streams (the list's lock held, each stream's lock wanted). fork itself
 * takes the list's lock. An allocator whose fork handler holds a lock that getline's malloc needs
 * closes the circle: fork waits for the list, the flusher for the stream, the reader for malloc.
 * Trap of lock order with the C library's own locks; issue line 7. Argument: forks by each of the
 * forking threads. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { FORKERS = 4, READERS = 4, FLUSHERS = 1 };

static long forks;
static int stop;
static char path[32];

static void *fork_often(void *unused) {
    for (long i = 0; i < forks; i++) {
        pid_t child = fork();
        CHECK(child >= 0, "fork: %s", strerror(errno));
        if (child == 0) {
            alarm(60);
            char *text = malloc(40000);
            if (text == NULL)
                _exit(1);
            memset(text, 1, 40000);
            free(text);
            _exit(0);
        }
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child && status == 0, "child: status 0x%x%s", status,
              WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? " (it hung)" : "");
    }
    return unused;
}

static void *read_lines(void *unused) {
    FILE *stream = fopen(path, "r");
    CHECK(stream != NULL, "fopen: %s", strerror(errno));
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        char *line = NULL;
        size_t room = 0;
        rewind(stream);
        CHECK(getline(&line, &room, stream) == 50001, "getline");
        free(line);
    }
    fclose(stream);
    return unused;
}

static void *flush_all(void *unused) {
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        CHECK(fflush(NULL) == 0, "fflush: %s", strerror(errno));
        usleep(50); /* the list's lock is not fair: forks must get it too */
    }
    return unused;
}

int main(int argc, char **argv) {
    pthread_t forkers[FORKERS], others[READERS + FLUSHERS];
    forks = number_arg(argc, argv, 1, 25);
    /* A file without a name: nothing is left behind when a hang is killed. */
    char text[50001];
    int fd = (int)syscall(SYS_memfd_create, "lines", 0u);
    CHECK(fd >= 0, "memfd_create: %s", strerror(errno));
    memset(text, 'x', 50000);
    text[50000] = '\n';
    CHECK(write(fd, text, sizeof text) == (ssize_t)sizeof text, "write");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    for (int i = 0; i < READERS + FLUSHERS; i++)
        CHECK(pthread_create(&others[i], NULL, i < READERS ? read_lines : flush_all, NULL) == 0, "create");
    for (int i = 0; i < FORKERS; i++)
        CHECK(pthread_create(&forkers[i], NULL, fork_often, NULL) == 0, "create");
    for (int i = 0; i < FORKERS; i++)
        pthread_join(forkers[i], NULL);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < READERS + FLUSHERS; i++)
        pthread_join(others[i], NULL);
    close(fd);
    return 0;
}

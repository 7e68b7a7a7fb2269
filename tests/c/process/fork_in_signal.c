/* Models: runtimes and crash reporters that fork inside a signal handler, where the signal may have
 * interrupted malloc or free. The handler's child either exits at once or returns from the handler,
 * finishes the interrupted call and goes on allocating; the parent goes on in both cases. Half of
 * today's allocators hang here. Issue line 7, anchors.md "fork inside a signal handler".
 * Arguments: `one`     one thread, fork(), a timer and a sibling process send the signals;
 *            `threads` four threads under a pthread_kill storm, _Fork() (async-signal-safe);
 *            `locking` four threads, fork() with its handlers: more than POSIX promises;
 *            then the number of forks. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#define THREADS 4

static volatile sig_atomic_t forks_left, child_goes_on;
static volatile int in_child, use_raw_fork;
static __thread volatile long child_operations;

static void handler(int signal) {
    int saved = errno;
    (void)signal;
    if (in_child || __atomic_load_n(&forks_left, __ATOMIC_RELAXED) <= 0) {
        errno = saved;
        return;
    }
    long number = __atomic_fetch_sub(&forks_left, 1, __ATOMIC_RELAXED);
    pid_t child = use_raw_fork ? _Fork() : fork();
    if (child == 0) {
        alarm(60);
        if (number % 2 == 0 && child_goes_on) {
            in_child = 1;
            child_operations = 1; /* return into the interrupted call; the loop ends the process */
            errno = saved;
            return;
        }
        _exit(0);
    }
    CHECK(child > 0, "fork: %s", strerror(errno));
    int status = 0;
    pid_t got;
    do
        got = waitpid(child, &status, 0);
    while (got == -1 && errno == EINTR);
    CHECK(got == child, "waitpid: %s", strerror(errno));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child: status 0x%x%s", status,
          WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? " (it hung)" : "");
    errno = saved;
}

static void *work(void *seed) {
    void *mine[64] = {0};
    uint64_t state = (uintptr_t)seed;
    while (__atomic_load_n(&forks_left, __ATOMIC_RELAXED) > 0 || in_child) {
        int i = (int)(random_next(&state) % 64);
        size_t size = random_next(&state) % 32 == 0 ? random_size(&state, 300 * KIB) : random_size(&state, 3000);
        free(mine[i]);
        mine[i] = malloc(size);
        CHECK(mine[i] != NULL, "malloc(%zu)", size);
        *(char *)mine[i] = 1;
        if (child_operations > 0 && ++child_operations > 200)
            _exit(0);
    }
    for (int i = 0; i < 64; i++)
        free(mine[i]);
    return NULL;
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "one";
    uint64_t seed = seed_printed();
    int threaded = strcmp(mode, "one") != 0;
    forks_left = number_arg(argc, argv, 2, 1000);
    /* A child of a threaded parent may, by POSIX, only call async-signal-safe functions. */
    child_goes_on = !threaded;
    use_raw_fork = strcmp(mode, "threads") == 0;
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGUSR1);
    sigaddset(&action.sa_mask, SIGALRM);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
    if (!threaded) {
        pid_t self = getpid();
        pid_t sibling = fork();
        CHECK(sibling >= 0, "fork");
        if (sibling == 0) {
            while (kill(self, SIGUSR1) == 0 && getppid() == self)
                usleep(200);
            _exit(0);
        }
        CHECK(sigaction(SIGALRM, &action, NULL) == 0, "sigaction");
        struct itimerval often = {{0, 700}, {0, 700}}, never = {{0, 0}, {0, 0}};
        CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0, "setitimer");
        work((void *)(uintptr_t)seed);
        setitimer(ITIMER_REAL, &never, NULL);
        kill(sibling, SIGKILL);
        waitpid(sibling, NULL, 0);
        return 0;
    }
    pthread_t ids[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&ids[i], NULL, work, (void *)(uintptr_t)(seed + (uint64_t)i)) == 0, "create");
    for (int i = 0; __atomic_load_n(&forks_left, __ATOMIC_RELAXED) > 0; i++) {
        pthread_kill(ids[i % THREADS], SIGUSR1);
        usleep(300);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(ids[i], NULL);
    return 0;
}

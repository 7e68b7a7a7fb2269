/* Models: a container or a judge that limits a process's address space to 64 MiB before it starts.
 * The library must start at all (reservations fit), give out most of what is there, answer null with
 * ENOMEM at the end, and work again after frees, from several threads too. Allocators with large
 * reservations fail here. Trap 8 (anchors.md), users.md line 11, issue line 7.
 * Arguments: limit in MiB, threads (0: main alone), MiB that must be available to main alone. */
#include "check.h"
#include <pthread.h>
#include <sys/mman.h>

static const size_t sizes[] = {100, 1000, 5000, 30000, 100000, 1000000};

struct chain {
    struct chain *next;
};

/* Allocates blocks of `size` until null; returns the bytes obtained and links them in `*head`. */
static size_t exhaust(size_t size, struct chain **head) {
    size_t total = 0;
    for (;;) {
        errno = 0;
        struct chain *block = malloc(size);
        if (block == NULL) {
            CHECK(errno == ENOMEM, "malloc(%zu) failed with errno %d", size, errno);
            return total;
        }
        memset(block, 1, size);
        block->next = *head;
        *head = block;
        total += size;
    }
}

static void release(struct chain *head) {
    while (head != NULL) {
        struct chain *next = head->next;
        free(head);
        head = next;
    }
}

static void *worker(void *sum) {
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct chain *head = NULL;
        __atomic_fetch_add((size_t *)sum, exhaust(sizes[i], &head), __ATOMIC_RELAXED);
        errno = 0;
        CHECK(calloc(1, 100 * MIB) == NULL && errno == ENOMEM, "calloc above the limit, errno %d", errno);
        CHECK(realloc(head, 100 * MIB) == NULL && errno == ENOMEM, "realloc above the limit");
        release(head);
    }
    return NULL;
}

int main(int argc, char **argv) {
    long limit = number_arg(argc, argv, 1, 64), threads = number_arg(argc, argv, 2, 0);
    long wanted = number_arg(argc, argv, 3, 24);
    struct rlimit now;
    getrlimit(RLIMIT_AS, &now);
    if (now.rlim_cur != (rlim_t)(limit * MIB)) {
        now.rlim_cur = (rlim_t)(limit * MIB);
        CHECK(setrlimit(RLIMIT_AS, &now) == 0, "setrlimit");
        execv("/proc/self/exe", argv);
        CHECK(0, "execv: %s", strerror(errno));
    }
    size_t first[8] = {0};
    if (threads == 0) {
        for (int round = 0; round < 3; round++)
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
                struct chain *head = NULL;
                size_t got = exhaust(sizes[i], &head);
                release(head);
                printf("round %d: %zu KiB in blocks of %zu\n", round, got / 1024, sizes[i]);
                fflush(stdout);
                if (round == 0)
                    first[i] = got;
                CHECK(got >= (size_t)(wanted * MIB), "only %zu KiB in blocks of %zu", got / 1024, sizes[i]);
                CHECK(got >= first[i] / 10 * 8, "%zu KiB at first, %zu KiB now", first[i] / 1024, got / 1024);
            }
    } else {
        pthread_t ids[64];
        pthread_attr_t small;
        size_t sum = 0;
        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, 256 * KIB);
        for (int round = 0; round < 5; round++) {
            for (long i = 0; i < threads; i++)
                CHECK(pthread_create(&ids[i], &small, worker, &sum) == 0, "pthread_create %ld", i);
            for (long i = 0; i < threads; i++)
                pthread_join(ids[i], NULL);
        }
        CHECK(sum >= (size_t)(wanted * MIB), "the threads got only %zu KiB", sum / 1024);
        struct chain *head = NULL;
        size_t after = exhaust(1000, &head);
        release(head);
        printf("threads got %zu KiB in all; main after them %zu KiB\n", sum / 1024, after / 1024);
        CHECK(after >= (size_t)(wanted * MIB), "only %zu KiB after the threads", after / 1024);
    }
    return 0;
}

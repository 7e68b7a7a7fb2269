/* Models: what a program sees of huge pages. Issue 4, line 5. The table of blocks is the program's own
 * mapping, so that the figures are the allocator's. Arguments:
 *
 * `fill MIB`           blocks of 4 to 60 KiB, all written; then figures.
 * `bloat MIB SIZE`     blocks of SIZE bytes (0: 16 B to 48 KiB), 19 of 20 freed at random places, then rest without a
 *                      call for a second; then all freed, and rest.
 * `large MIB`          blocks of 1 to 8 MiB replaced at random, resized, contents checked; then figures.
 * `chase MIB STEPS`    a random walk over blocks of 1 KiB: one TLB miss a step where pages are small.
 * `fork MIB`           fills, forks; both write all blocks and look at them; the child ends, the parent looks again.
 * `exhaust MIB`        as `fork`, but the child only leaves: what the parent writes must never end the parent. */
#include "check.h"
#include <sys/mman.h>
#include <sys/wait.h>

struct entry {
    unsigned char *block;
    size_t size;
};

static struct entry *table;
static size_t count;
static uint64_t state;

static size_t bytes_of(void) {
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += table[i].block == NULL ? 0 : table[i].size;
    return sum;
}

static void add(size_t size) {
    unsigned char *block = malloc(size);
    CHECK(block != NULL, "malloc(%zu)", size);
    memset(block, (int)(1 + count % 250), size);
    table[count++] = (struct entry){block, size};
}

static void look(void) {
    for (size_t i = 0; i < count; i++) {
        struct entry entry = table[i];
        if (entry.block != NULL) {
            unsigned char byte = (unsigned char)(1 + i % 250);
            CHECK(entry.block[0] == byte && entry.block[entry.size - 1] == byte, "block %zu", i);
        }
    }
}

static void figures(const char *when) {
    const char *rollup = "/proc/self/smaps_rollup";
    /* The kernel counts a page of 1 GiB as shared at times, whoever maps it. */
    long hugetlb = proc_figure(rollup, "Private_Hugetlb:") + proc_figure(rollup, "Shared_Hugetlb:");
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%s_rss %ld\n%s_huge %ld\n%s_hugetlb %ld\n%s_faults %ld\n%s_live %zu\n", when, rss_kib(), when,
           proc_figure(rollup, "AnonHugePages:"), when, hugetlb, when, usage.ru_minflt, when, bytes_of() / 1024);
    fflush(stdout);
}

static void add_all(size_t total, size_t least, size_t most) {
    for (size_t sum = 0; sum < total; sum += table[count - 1].size)
        add(least + random_next(&state) % (most - least + 1));
}

static void release(size_t i) {
    free(table[i].block);
    table[i].block = NULL;
}

static void bloat(size_t total, size_t size) {
    for (size_t sum = 0; sum < total; sum += table[count - 1].size)
        if (size != 0)
            add(size);
        else
            add(random_next(&state) % 2 == 0 ? 16 + random_next(&state) % 1000 : random_size(&state, 48 * KIB));
    figures("full");
    for (size_t i = 0; i < count; i++)
        if (random_next(&state) % 20 != 0)
            release(i);
    figures("freed");
    sleep_ms(1000);
    figures("idle");
    look();
    for (size_t i = 0; i < count; i++)
        if (table[i].block != NULL)
            release(i);
    sleep_ms(1000);
    figures("empty");
}

static void large(size_t total) {
    size_t places = total / (5 * MIB);
    for (count = 0; count < places;)
        add(MIB + random_next(&state) % (7 * MIB));
    for (int round = 0; round < 400; round++) {
        size_t i = random_next(&state) % places, size = MIB + random_next(&state) % (7 * MIB);
        int byte = (int)(1 + i % 250);
        if (round % 2 == 0) {
            size_t old = table[i].size;
            unsigned char *block = realloc(table[i].block, size);
            CHECK(block != NULL, "realloc(%zu)", size);
            CHECK(block[0] == byte && block[(old < size ? old : size) - 1] == byte, "block %zu moved", i);
            memset(block, byte, size);
            table[i] = (struct entry){block, size};
        } else {
            release(i);
            unsigned char *block = calloc(1, size);
            CHECK(block != NULL, "calloc(%zu)", size);
            for (size_t at = 0; at < size; at += 64)
                CHECK(block[at] == 0, "calloc: byte %zu", at);
            memset(block, byte, size);
            table[i] = (struct entry){block, size};
        }
        if (round % 100 == 0)
            look();
    }
    figures("large");
}

static void chase(size_t total, long steps) {
    while (count < total / KIB)
        add(KIB);
    /* One cycle through all blocks in random order (Sattolo). */
    size_t *order = mmap(NULL, count * sizeof *order, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(order != MAP_FAILED, "mmap");
    for (size_t i = 0; i < count; i++)
        order[i] = i;
    for (size_t i = count - 1; i > 0; i--) {
        size_t j = random_next(&state) % i, swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    /* Not always at the block's start: else all hops fall into a sixteenth of the cache's sets. */
    for (size_t i = 0; i < count; i++) {
        size_t next = order[(i + 1) % count];
        void *link = table[next].block + next % 15 * 64;
        memcpy(table[order[i]].block + order[i] % 15 * 64, &link, sizeof link);
    }
    munmap(order, count * sizeof *order);
    void *at = table[0].block;
    struct timespec start, end;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    for (long step = 0; step < steps; step++)
        at = *(void **)at;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    hide(at);
    double ns = (double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec);
    double set_up = (double)start.tv_sec * 1e3 + (double)start.tv_nsec / 1e6;
    printf("ns_per_step %.1f\nset_up_ms %.0f\n", ns / (double)steps, set_up);
    figures("chase");
}

static void write_all(void) {
    for (size_t i = 0; i < count; i++)
        memset(table[i].block, (int)(1 + i % 250), table[i].size);
}

static void forks(size_t total, int child_writes) {
    add_all(total, 4 * KIB, 60 * KIB);
    figures("filled");
    int ready[2];
    CHECK(pipe(ready) == 0, "pipe");
    pid_t child = fork();
    CHECK(child >= 0, "fork");
    char byte = 0;
    if (child == 0) {
        if (child_writes) {
            write_all();
            for (size_t i = 0; i < count; i += 2)
                release(i);
            add_all(total / 4, 4 * KIB, 60 * KIB);
            look();
        } else {
            /* Waits until the parent has written what both share. */
            CHECK(read(ready[0], &byte, 1) == 1, "read");
        }
        _exit(0);
    }
    write_all();
    look();
    CHECK(write(ready[1], &byte, 1) == 1, "write");
    int status;
    CHECK(waitpid(child, &status, 0) == child, "waitpid");
    printf("child_signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == 0, "the child failed");
    write_all();
    look();
    figures("forked");
}

int main(int argc, char **argv) {
    CHECK(argc >= 3, "arguments");
    size_t total = strtoul(argv[2], NULL, 10) * MIB, third = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    table = mmap(NULL, (64UL << 20) * sizeof *table, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(table != MAP_FAILED, "mmap");
    state = seed_printed();
    if (strcmp(argv[1], "fill") == 0) {
        add_all(total, 4 * KIB, 60 * KIB);
        look();
        figures("fill");
    } else if (strcmp(argv[1], "bloat") == 0) {
        bloat(total, third);
    } else if (strcmp(argv[1], "large") == 0) {
        large(total);
    } else if (strcmp(argv[1], "chase") == 0) {
        chase(total, (long)third);
    } else if (strcmp(argv[1], "fork") == 0) {
        forks(total, 1);
    } else {
        CHECK(strcmp(argv[1], "exhaust") == 0, "unknown: %s", argv[1]);
        forks(total, 0);
    }
    return 0;
}

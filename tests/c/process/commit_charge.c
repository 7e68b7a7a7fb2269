/* Models: strict overcommit (vm.overcommit_memory=2), where every writable private mapping counts
 * against the machine's limit, touched or not, and MAP_NORESERVE is ignored. Adds up what the
 * kernel charges this process (mappings with the VmFlags entry `ac`) at start, in use and after
 * frees. Trap 8 (anchors.md), users.md line 11, issue line 7.
 * Arguments: allowed charge in MiB beyond the program's own blocks, at start and in use. */
#include "check.h"
#include <pthread.h>

/* Sum of the accountable mappings' sizes, KiB; reads smaps line by line without allocating. */
static long charged_kib(void) {
    static char text[65536];
    long sum = 0, size = 0;
    size_t used = 0;
    int fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0, "smaps");
    for (;;) {
        ssize_t got = read(fd, text + used, sizeof text - 1 - used);
        used += got > 0 ? (size_t)got : 0;
        text[used] = 0;
        char *line = text, *end;
        while ((end = strchr(line, '\n')) != NULL) {
            *end = 0;
            if (strncmp(line, "Size:", 5) == 0)
                size = strtol(line + 5, NULL, 10);
            else if (strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " ac") != NULL)
                sum += size;
            line = end + 1;
        }
        used -= (size_t)(line - text);
        memmove(text, line, used);
        if (got <= 0)
            break;
    }
    close(fd);
    return sum;
}

static void *body(void *unused) {
    free(malloc(1000));
    return unused;
}

#define BLOCKS 40000

int main(int argc, char **argv) {
    long allowed = number_arg(argc, argv, 1, 32) * 1024;
    long mode = proc_figure("/proc/sys/vm/overcommit_memory", "");
    static void *blocks[BLOCKS];
    long total = 0;
    uint64_t state = seed_printed();
    long start = charged_kib();
    for (int i = 0; i < BLOCKS; i++) {
        size_t size = random_next(&state) % 500 == 0 ? random_size(&state, 4 * MIB) : random_size(&state, 8192);
        blocks[i] = malloc(size);
        CHECK(blocks[i] != NULL, "malloc(%zu) under strict overcommit", size);
        memset(blocks[i], 1, size);
        total += (long)size;
    }
    long full = charged_kib();
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    pthread_t id;
    for (int i = 0; i < 100; i++) {
        CHECK(pthread_create(&id, NULL, body, NULL) == 0, "pthread_create");
        pthread_join(id, NULL);
    }
    errno = 0;
    CHECK(malloc(hide_size(1ul << 46)) == NULL && errno == ENOMEM, "64 TiB");
    printf("mode %ld charged %ld KiB at start, %ld KiB with %ld KiB allocated\n", mode, start, full, total / 1024);
    CHECK(start <= allowed + 10240, "charged %ld KiB at start", start);
    CHECK(full - start <= total / 1024 * 3 / 2 + allowed, "charged %ld KiB for %ld", full - start, total / 1024);
    return 0;
}

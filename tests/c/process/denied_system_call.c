/* Models: a sandbox whose seccomp filter answers EPERM to madvise or to mremap. Purging and moving
 * then cannot work; memory must stay correct (zeroed where promised, contents kept) and no free may
 * abort. anchors.md "free aborting when munmap/madvise/mmap fails", issue line 7.
 * Argument: `madvise`, `mremap` or `munmap`. */
#include "check.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static void deny(unsigned number) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "prctl: %s", strerror(errno));
    CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0,
          "seccomp: %s", strerror(errno));
}

static void *work(void *seed) {
    uint64_t state = (uintptr_t)seed;
    char *blocks[64] = {0};
    size_t sizes[64] = {0};
    for (int n = 0; n < 4000; n++) {
        int i = (int)(random_next(&state) % 64);
        size_t size = random_next(&state) % 4 == 0 ? random_size(&state, 4 * MIB) : random_size(&state, 100 * KIB);
        switch (random_next(&state) % 4) {
        case 0:
            free(blocks[i]);
            blocks[i] = calloc(1, size);
            CHECK(blocks[i] != NULL, "calloc(%zu)", size);
            for (size_t at = 0; at < size; at += 512)
                CHECK(blocks[i][at] == 0, "calloc(%zu) is not zero at %zu", size, at);
            break;
        case 1:
            free(blocks[i]);
            blocks[i] = malloc(size);
            CHECK(blocks[i] != NULL, "malloc(%zu)", size);
            break;
        case 2:
            blocks[i] = realloc(blocks[i], size);
            CHECK(blocks[i] != NULL, "realloc(%zu)", size);
            size_t kept = size < sizes[i] ? size : sizes[i];
            CHECK(filled(blocks[i], kept, (uint64_t)i), "realloc lost the contents");
            break;
        default:
            errno = 77;
            free(blocks[i]);
            CHECK(errno == 77, "free changed errno to %d", errno);
            blocks[i] = NULL;
            size = 0;
        }
        sizes[i] = size;
        fill(blocks[i], size, (uint64_t)i);
        if (n % 500 == 0)
            malloc_trim(0);
    }
    for (int i = 0; i < 64; i++)
        free(blocks[i]);
    return NULL;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "madvise";
    uint64_t seed = seed_printed();
    unsigned number = strcmp(what, "mremap") == 0 ? SYS_mremap : strcmp(what, "munmap") == 0 ? SYS_munmap : SYS_madvise;
    deny(number);
    if (number == SYS_madvise) {
        void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(madvise(page, 4096, MADV_DONTNEED) == -1 && errno == EPERM, "the filter does not work");
    }
    pthread_t ids[3];
    work((void *)(uintptr_t)seed);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&ids[i], NULL, work, (void *)(uintptr_t)(seed + (uint64_t)i + 1)) == 0, "create");
    for (int i = 0; i < 3; i++)
        pthread_join(ids[i], NULL);
    /* A Vec-like doubling to 64 MiB must keep its contents whether or not pages can move. */
    size_t size = 1000;
    char *block = malloc(size);
    CHECK(block != NULL, "malloc");
    for (fill(block, size, 9); size < 64 * MIB; size *= 2) {
        block = realloc(block, size * 2);
        CHECK(block != NULL && filled(block, size, 9), "realloc from %zu", size);
        fill(block, size * 2, 9);
    }
    free(block);
    sleep_ms(1500); /* a delayed purge meets the filter too */
    free(malloc(100 * KIB));
    return 0;
}

/* aligned_alloc with alignments that are not powers of two: glibc since 2.38 and C17's DR 460 refuse
 * them with EINVAL; older C libraries round up. Never a misaligned block, never a crash.
 * Argument: `strict` demands the refusal. Issue line 3. */
#include "entry.h"

int main(int argc, char **argv) {
    int strict = argc > 1 && strcmp(argv[1], "strict") == 0;
    for (size_t align = 0; align < 9000; align++) {
        if (align != 0 && (align & (align - 1)) == 0)
            continue;
        errno = 0;
        void *block = aligned_alloc(hide_size(align), 100);
        CHECK(block != NULL || errno == EINVAL, "aligned_alloc(%zu, 100): errno %d", align, errno);
        CHECK(!strict || block == NULL, "aligned_alloc(%zu, 100) gave a block", align);
        CHECK((uintptr_t)block % 16 == 0, "aligned_alloc(%zu, 100) gave %p", align, block);
        free(block);
    }
    errno = 0;
    CHECK(aligned_alloc(hide_size(SIZE_MAX), 100) == NULL && errno != 0, "aligned_alloc(SIZE_MAX, 100)");
    return 0;
}

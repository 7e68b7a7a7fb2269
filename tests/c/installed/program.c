/* A user's program against an installation: says which library its malloc is in, and uses a heap. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <stratalloc.h>
#include <string.h>

int main(void) {
    struct strat_heap *heap = strat_heap_new();
    char *block = strat_heap_malloc(heap, 100);
    char *other = malloc(100);
    if (block == NULL || other == NULL || !strat_heap_contains(heap, block) || strat_usable_size(other) < 100)
        return 1;
    strcpy(block, "on a heap");
    Dl_info info;
    if (dladdr((void *)(size_t)&malloc, &info) == 0)
        return 2;
    printf("%s, version %s, malloc in %s\n", block, strat_version(), info.dli_fname);
    free(other);
    strat_heap_destroy(heap);
    return 0;
}

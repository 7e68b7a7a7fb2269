/*
 * Shows: a program whose malloc, calloc, realloc and free are its own gets its own blocks back from what is made of them:
 * reallocarray, which allocators do not define (mozjemalloc, jemalloc). Exit 0 = pass; each failure is named on stderr.
 */
#define LOADED_NAME "reallocarray"
#include "loaded.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>

static _Alignas(64) char arena[64 << 20];
static size_t used;

/* Each block has its size before it. */
void *malloc(size_t size) {
    size_t bytes = (size + 31) / 16 * 16;
    if (size > sizeof arena || bytes > sizeof arena - used) {
        errno = ENOMEM;
        return NULL;
    }
    size_t *block = (size_t *)(arena + used + 16);
    block[-1] = size;
    used += bytes;
    return block;
}

void free(void *block) {
    if (block != NULL)
        ((size_t *)block)[-1] = 0;
}

void *calloc(size_t count, size_t size) { return malloc(count * size); }

void *realloc(void *block, size_t size) {
    void *moved = malloc(size);
    if (block != NULL && moved != NULL) {
        size_t old = ((size_t *)block)[-1];
        memcpy(moved, block, old < size ? old : size);
        free(block);
    }
    return moved;
}

static int is_own(const void *block) {
    return (const char *)block >= arena && (const char *)block < arena + sizeof arena;
}

int main(void) {
    char *text = strdup("a text");
    text = reallocarray(text, 50, 20);
    if (!is_own(text) || strcmp(text, "a text") != 0)
        return fprintf(stderr, "reallocarray left the program's malloc\n"), 1;
    errno = 0;
    if (reallocarray(text, SIZE_MAX / 2, 3) != NULL || errno != ENOMEM || strcmp(text, "a text") != 0)
        return fprintf(stderr, "reallocarray of too much\n"), 1;
    free(text);
    return 0;
}

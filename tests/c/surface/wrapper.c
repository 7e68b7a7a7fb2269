/*
 * Shows: a program that defines malloc, calloc, realloc and free itself and calls glibc's second
 * names underneath (__libc_malloc, ...) gets the library's functions there, not its own again, and
 * the library's other functions do not come back to the program's, but for reallocarray, which is
 * realloc, as in glibc. Run under preload. Exit 0 = pass.
 */
#define LOADED_NAME "__libc_malloc"
#include "loaded.h"
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void __libc_free(void *);

static volatile int mine, depth;
static void enter(void) {
    ++mine;
    if (++depth > 2)
        abort();
}
void *malloc(size_t n) {
    enter();
    void *p = __libc_malloc(n);
    --depth;
    return p;
}
void *calloc(size_t n, size_t m) {
    enter();
    void *p = __libc_calloc(n, m);
    --depth;
    return p;
}
void *realloc(void *p, size_t n) {
    enter();
    p = __libc_realloc(p, n);
    --depth;
    return p;
}
void free(void *p) {
    enter();
    __libc_free(p);
    --depth;
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

int main(void) {
    mine = 0;
    char *volatile text = strdup("a string");
    CHECK(mine == 1);
    text = realloc(text, 1000);
    text = reallocarray(text, 100, 100);
    int before = mine;
    void *volatile page = valloc(1), *volatile line = memalign(64, 1), *volatile other = aligned_alloc(64, 64);
    CHECK(mine == before);
    other = reallocarray(other, 2, 64);
    CHECK(mine == ++before);
    CHECK(strcmp(text, "a string") == 0);
    free(text);
    free(page);
    free(line);
    free(other);
    void *volatile zeros = calloc(10, 10);
    CHECK(mine == before + 5);
    free(zeros);
    return 0;
}

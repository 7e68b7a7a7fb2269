/* A library for deepbind.c: blocks pass from it to the program and back. */
#include <stdlib.h>
#include <string.h>

/* The free that this library calls. */
void *its_free(void) {
    return (void *)free;
}

/* Frees the program's block, and returns one of 5000 bytes, each of them 5, for the program to free. */
void *exchange(void *given) {
    free(given);
    void *result = realloc(strdup("one block"), 5000);
    return result == NULL ? NULL : memset(result, 5, 5000);
}

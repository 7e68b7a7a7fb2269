/* malloc_info writes XML about the allocator that serves malloc; its figures move with the program.
 * Prints the document; the harness parses it. Issue line 3. */
#include "entry.h"
#include <pthread.h>

static void *body(void *unused) {
    free(malloc(1000));
    return unused;
}

int main(void) {
    char *text = NULL;
    size_t length = 0;
    pthread_t id;
    void *small = malloc(10000), *large = malloc(10 * MIB);
    CHECK(small != NULL && large != NULL, "malloc");
    pthread_create(&id, NULL, body, NULL);
    pthread_join(id, NULL);

    CHECK(malloc_info(1, stdout) != 0, "malloc_info takes no option");
    FILE *stream = open_memstream(&text, &length);
    CHECK(stream != NULL && malloc_info(0, stream) == 0, "malloc_info");
    CHECK(fclose(stream) == 0 && length > 50 && strlen(text) == length, "the document has %zu bytes", length);
    fwrite(text, 1, length, stdout);
    free(text);
    free(small);
    free(large);
    return 0;
}

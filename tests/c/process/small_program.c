/* A program that does next to nothing: prints its resident memory. Used for the cost of start-up
 * (issue line 13) and for the messages about options (issue line 9). */
#include "check.h"

int main(void) {
    void *block = malloc(100);
    CHECK(block != NULL, "malloc");
    memset(block, 1, 100);
    long rss = rss_kib();
    free(block);
    printf("RSS %ld\n", rss);
    return 0;
}

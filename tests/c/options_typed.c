/* Options set from C: the names of the environment variable, effective at once; what is misspelt or out
 * of range is refused and changes nothing. Issue line 9. */
#include "check.h"
#include "../../include/stratalloc.h"
#include <errno.h>

/* Resolved at run time, so that the program also starts where the library is missing. */
#pragma weak strat_option_set

int main(void) {
    CHECK(strat_option_set != NULL, "strat_option_set is exported");
    CHECK(strat_option_set("limit", "64M") == 0, "limit=64M");
    CHECK(malloc(hide_size(128 * MIB)) == NULL && errno == ENOMEM, "128 MiB beyond a limit of 64");
    char *block = malloc(hide_size(8 * MIB));
    CHECK(block != NULL, "8 MiB within the limit");
    free(block);
    CHECK(strat_option_set("limti", "1M") == EINVAL, "an unknown name");
    CHECK(strat_option_set("limit", "many") == EINVAL, "a bad value");
    CHECK(strat_option_set("dirty_percent", "101") == EINVAL, "out of range");
    CHECK(strat_option_set(NULL, "1") == EINVAL && strat_option_set("limit", NULL) == EINVAL, "null");
    CHECK(malloc(hide_size(128 * MIB)) == NULL, "the limit stands");
    CHECK(strat_option_set("limit", "0") == 0, "no limit");
    block = malloc(hide_size(128 * MIB));
    CHECK(block != NULL, "128 MiB without a limit");
    free(block);
    return 0;
}

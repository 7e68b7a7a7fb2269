/* A check after which the program goes on: each failure is named on stderr with the errno of that moment, and main returns
 * whether there was one. (CHECK of check.h ends the program.) */
#ifndef EXPECT_H
#define EXPECT_H

#include "../loaded.h"

#include <errno.h>
#include <stdio.h>

static int failures;
#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        int now = errno;                                                                           \
        if (!(condition)) {                                                                        \
            ++failures;                                                                            \
            fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #condition, now);                \
        }                                                                                          \
    } while (0)

#endif

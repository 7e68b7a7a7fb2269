/* Entry points of the C family that this C library's headers may not declare yet (C23, older and
 * other systems' names). Weak, so that the same programs also run on a malloc that lacks them; under
 * the library under test each must be there. */
#ifndef ENTRY_H
#define ENTRY_H

#include "check.h"
#include <malloc.h>

#ifdef __cplusplus
extern "C" {
#endif
__attribute__((weak)) void free_sized(void *, size_t);
__attribute__((weak)) void free_aligned_sized(void *, size_t, size_t);
__attribute__((weak)) void cfree(void *);
__attribute__((weak)) size_t malloc_good_size(size_t);
#ifdef __cplusplus
}
#endif

/* True when the entry point exists; its absence is only forgiven where no library is expected. */
#define HAS(entry) (entry_exists((void *)(entry), #entry))

__attribute__((unused)) static int entry_exists(void *entry, const char *name) {
    CHECK(entry != NULL || getenv("STRATALLOC_EXPECT") == NULL, "%s is not exported", name);
    return entry != NULL;
}

#define PTRDIFF_LIMIT ((size_t)PTRDIFF_MAX)

#endif

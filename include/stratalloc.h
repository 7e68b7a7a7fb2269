/* Stratalloc for C and C++: what libstratalloc offers beyond malloc and its family, which the headers
 * of the C library declare. Link with -lstratalloc. */
#ifndef STRATALLOC_H
#define STRATALLOC_H

#ifdef __cplusplus
extern "C" {
#endif

/* Sets one option: the names and texts of the environment variable STRATALLOC, as `stratalloc options`
 * lists them. Returns 0, or EINVAL after a message on stderr that names the nearest valid key or the
 * range; nothing is changed then. Best called first thing in main. */
int strat_option_set(const char *name, const char *value);

#ifdef __cplusplus
}
#endif

#endif

/* Proof that a program of this folder really runs on the library under test.
 *
 * The harness names the library in STRATALLOC_EXPECT. Before main, the `malloc` that the dynamic
 * linker bound is looked up and must lie in that very file; otherwise the program ends with status
 * 97 and nothing is measured by mistake on the C library's own malloc. A program that has a malloc of
 * its own defines LOADED_NAME, a function of the library's instead. Without the variable, or in
 * a static executable (-DSTATIC_EXECUTABLE), nothing is checked. */
#ifndef LOADED_H
#define LOADED_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef LOADED_NAME
#define LOADED_NAME "malloc"
#endif

#ifndef STATIC_EXECUTABLE
static void loaded_fail(const char *what, const char *name) {
    ssize_t ignored = write(2, what, strlen(what));
    ignored = write(2, name, strlen(name));
    ignored = write(2, "\n", 1);
    (void)ignored;
    _exit(97);
}

__attribute__((constructor(102))) static void loaded_check(void) {
    const char *expected = getenv("STRATALLOC_EXPECT");
    struct stat want, have;
    Dl_info info;
    if (expected == NULL)
        return;
    if (stat(expected, &want) != 0)
        loaded_fail("the library under test does not exist: ", expected);
    if (dladdr(dlsym(RTLD_DEFAULT, LOADED_NAME), &info) == 0 || info.dli_fname == NULL)
        loaded_fail(LOADED_NAME " lies in no library; expected ", expected);
    if (stat(info.dli_fname, &have) != 0 || have.st_ino != want.st_ino || have.st_dev != want.st_dev)
        loaded_fail(LOADED_NAME " is not the library's but that of ", info.dli_fname);
}
#endif

#endif

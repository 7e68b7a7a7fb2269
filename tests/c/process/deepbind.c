/* Models: PHP, which loads its extensions with RTLD_DEEPBIND: names are looked up in the extension and what it depends
 * on before the program, so that its malloc and free are the C library's unless somebody sees to that, while blocks
 * pass both ways. The library is found by the program's own search path, as the C library's dlopen does it for whoever
 * calls. Arguments: the library's file name, whose folder is in the program's RUNPATH; "shared" where it must use the
 * program's malloc, "own" where it must use the C library's. */
#include "check.h"
#include <dlfcn.h>

int main(int argc, char **argv) {
    CHECK(argc == 3, "usage: deepbind LIBRARY shared|own");
    CHECK(dlopen("libnosuchlibrary.so", RTLD_NOW | RTLD_DEEPBIND) == NULL, "a library that is not there");
    const char *error = dlerror();
    CHECK(error != NULL && strstr(error, "libnosuchlibrary.so") != NULL, "dlerror: %s", error);
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    CHECK(library != NULL, "dlopen: %s", dlerror());
    void *(*its_free)(void) = (void *(*)(void))dlsym(library, "its_free");
    void *(*exchange)(void *) = (void *(*)(void *))dlsym(library, "exchange");
    CHECK(its_free != NULL && exchange != NULL, "dlsym: %s", dlerror());
    int same = its_free() == (void *)free;
    CHECK(same == (strcmp(argv[2], "shared") == 0), "the library's free is %s program's", same ? "the" : "not the");
    for (int i = 0; same && i < 1000; i++) {
        char *block = exchange(malloc((size_t)i * 40));
        CHECK(block != NULL && block[0] == 5 && memcmp(block, block + 1, 4999) == 0, "not the library's block");
        free(block);
    }
    CHECK(dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) == library, "RTLD_NOLOAD does not find it");
    CHECK(dlclose(library) == 0 && dlclose(library) == 0, "dlclose: %s", dlerror());
    return 0;
}

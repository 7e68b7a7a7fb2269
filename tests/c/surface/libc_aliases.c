/* The names under which glibc also exports its malloc (`__libc_malloc` …): old binaries and other
 * libraries call them, and a block of one name is freed by the other. Issue line 3, users.md line 16. */
#include "entry.h"

static void *symbol(const char *name) {
    void *address = dlsym(RTLD_DEFAULT, name);
    Dl_info info, malloc_info_;
    CHECK(address != NULL, "%s is not exported", name);
    CHECK(dladdr(address, &info) != 0 && dladdr(dlsym(RTLD_DEFAULT, "malloc"), &malloc_info_) != 0, "dladdr");
    CHECK(strcmp(info.dli_fname, malloc_info_.dli_fname) == 0, "%s is that of %s", name, info.dli_fname);
    return address;
}

int main(void) {
    void *(*libc_malloc)(size_t) = (void *(*)(size_t))symbol("__libc_malloc");
    void *(*libc_calloc)(size_t, size_t) = (void *(*)(size_t, size_t))symbol("__libc_calloc");
    void *(*libc_realloc)(void *, size_t) = (void *(*)(void *, size_t))symbol("__libc_realloc");
    void *(*libc_memalign)(size_t, size_t) = (void *(*)(size_t, size_t))symbol("__libc_memalign");
    void (*libc_free)(void *) = (void (*)(void *))symbol("__libc_free");
    for (size_t size = 0; size < 2 * MIB; size = size * 2 + 1) {
        libc_free(malloc(size));
        free(libc_malloc(size));
        char *block = libc_calloc(1, size);
        CHECK(block != NULL && (size == 0 || (block[0] == 0 && block[size - 1] == 0)), "__libc_calloc(%zu)", size);
        fill(block, size, 1);
        block = libc_realloc(block, size * 2 + 1);
        CHECK(block != NULL && filled(block, size, 1), "__libc_realloc");
        block = realloc(block, size + 1);
        libc_free(block);
        block = libc_memalign(256, size);
        CHECK((uintptr_t)block % 256 == 0, "__libc_memalign");
        free(block);
    }
    /* These two exist in some versions of glibc only; where they do, they must be ours. */
    const char *optional[] = {"__libc_valloc", "__libc_pvalloc", "__posix_memalign"};
    for (int i = 0; i < 3; i++)
        if (dlsym(RTLD_DEFAULT, optional[i]) != NULL)
            symbol(optional[i]);
    return 0;
}

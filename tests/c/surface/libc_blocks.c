/* Blocks that the C library allocates for the program (strdup, getline, asprintf, open_memstream,
 * realpath, getcwd, scandir, qsort's temporary array …) come through interposition and are freed by
 * our free; they grow through our realloc. Issue line 3, users.md line 16. */
#include "entry.h"
#include <dirent.h>
#include <search.h>
#include <wchar.h>

static int compare(const void *a, const void *b) {
    const unsigned *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void own(void *block, size_t size, const char *what) {
    CHECK(block != NULL, "%s failed", what);
    CHECK(malloc_usable_size(block) >= size, "usable size %zu of %s", malloc_usable_size(block), what);
    block = realloc(block, size + 5000);
    CHECK(block != NULL, "realloc of %s", what);
    free(block);
}

int main(void) {
    for (int round = 0; round < 200; round++) {
        own(strdup("a string"), 9, "strdup");
        own(strndup("a string", 4), 5, "strndup");
        own(wcsdup(L"a string"), 9 * sizeof(wchar_t), "wcsdup");
        char *text = NULL;
        int length = asprintf(&text, "%0*d", round * 20 + 1, round);
        CHECK(length == round * 20 + 1, "asprintf wrote %d", length);
        own(text, (size_t)length + 1, "asprintf");

        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);
        CHECK(stream != NULL, "open_memstream");
        for (int i = 0; i < 3000; i++)
            fprintf(stream, "line %d\n", i);
        fclose(stream);
        stream = fmemopen(text, size, "r");
        CHECK(stream != NULL, "fmemopen");
        char *line = NULL;
        size_t room = 0;
        int lines = 0;
        while (getline(&line, &room, stream) > 0)
            CHECK(atoi(line + 5) == lines++, "line %d reads %s", lines, line);
        CHECK(lines == 3000, "%d lines", lines);
        fclose(stream);
        own(line, room, "getline");
        own(text, size + 1, "open_memstream");

        own(realpath("/", NULL), 2, "realpath");
        own(getcwd(NULL, 0), 2, "getcwd");
    }
    /* Larger than qsort's stack buffer, so that it allocates. */
    uint64_t state = seed_printed();
    size_t count = 200000;
    unsigned *numbers = malloc(count * sizeof *numbers);
    CHECK(numbers != NULL, "malloc");
    for (size_t i = 0; i < count; i++)
        numbers[i] = (unsigned)random_next(&state);
    qsort(numbers, count, sizeof *numbers, compare);
    for (size_t i = 1; i < count; i++)
        CHECK(numbers[i - 1] <= numbers[i], "qsort left %zu out of order", i);
    free(numbers);

    struct dirent **names = NULL;
    int entries = scandir("/proc/self", &names, NULL, alphasort);
    CHECK(entries > 5, "scandir found %d", entries);
    for (int i = 0; i < entries; i++)
        free(names[i]);
    own(names, (size_t)entries * sizeof *names, "scandir");

    void *root = NULL;
    static unsigned keys[1000];
    for (unsigned i = 0; i < 1000; i++) {
        keys[i] = i * 37 % 1000;
        CHECK(tsearch(&keys[i], &root, compare) != NULL, "tsearch");
    }
    for (unsigned i = 0; i < 1000; i++)
        CHECK(tdelete(&keys[i], &root, compare) != NULL, "tdelete");
    CHECK(root == NULL, "the tree is not empty");
    return 0;
}

/* Misuses of malloc, one a run, chosen by name. Each ends in one of three ways: the allocator names
 * the pointer and aborts (detected); the program finds its own memory damaged (silent corruption,
 * status 3); or nothing shows (status 0). What is expected of each stands in tests/misuse.rs.
 * Before the misuse the program prints `PTR <address>` of the pointer that a message should name.
 * Issue line 10. `list` prints all names. */
#include "check.h"
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>

static char global_array[4096] __attribute__((aligned(64)));
static const char constant[64] __attribute__((aligned(64))) = "constant";

static void *announce(const volatile void *pointer) {
    char text[64];
    int length = snprintf(text, sizeof text, "PTR %#lx\n", (unsigned long)(uintptr_t)pointer);
    ssize_t ignored = write(1, text, (size_t)length);
    (void)ignored;
    return hide(pointer);
}

static void *block_of(size_t size) {
    char *block = malloc(size);
    CHECK(block != NULL, "malloc(%zu)", size);
    memset(block, 'b', size);
    return hide(block);
}

/* Works on after an undetected misuse, as a program would, and looks for damage: two live blocks
 * that overlap, or one whose contents change. */
static void go_on(size_t size) {
    enum { COUNT = 4000 };
    static struct {
        char *at;
        size_t size;
    } live[COUNT];
    uint64_t state = 1;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) {
            live[i].size = i % 2 ? size : random_size(&state, 3000);
            live[i].at = malloc(live[i].size);
            if (live[i].at == NULL)
                _exit(3);
            fill(live[i].at, live[i].size, (uint64_t)i);
        }
        for (int i = 0; i < COUNT; i++)
            if (!filled(live[i].at, live[i].size, (uint64_t)i))
                _exit(3);
        for (int i = 0; i < COUNT; i++)
            free(live[i * 7 % COUNT].at);
    }
}

static void *free_it(void *block) {
    free(block);
    return NULL;
}

static void in_thread(void *(*what)(void *), void *argument) {
    pthread_t id;
    CHECK(pthread_create(&id, NULL, what, argument) == 0, "pthread_create");
    pthread_join(id, NULL);
}

/* Pointers that malloc never gave out. */
static void free_stack(void) {
    char local[256] __attribute__((aligned(64)));
    free(announce(hide(local)));
}
static void free_static(void) { free(announce(global_array)); }
static void free_constant(void) { free(announce(constant)); }
static void free_code(void) { free(announce((void *)(uintptr_t)&free_static)); }
static void free_mmapped(void) {
    free(announce(mmap(NULL, 64 * KIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
}
static void free_mmapped_middle(void) {
    free(announce((char *)mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 4 * MIB + 64));
}
static void free_libc_owned(void) { free(announce(stdout)); }
static void free_environment(void) { free(announce(getenv("PATH"))); }
static void free_small_number(void) { free(announce((void *)0x1000)); }
static void free_odd_number(void) { free(announce((void *)0x1234567)); }
static void free_minus_16(void) { free(announce((void *)-16l)); }
static void free_non_canonical(void) { free(announce((void *)0x5a5a5a5a5a5a5a50)); }
static void realloc_stack(void) {
    char local[256] __attribute__((aligned(64)));
    announce(hide(local));
    free(realloc(hide(local), 500));
}
static void realloc_static(void) { free(realloc(announce(global_array), 100)); }
static void usable_static(void) { CHECK(malloc_usable_size(announce(global_array)) <= sizeof global_array, "usable size"); }
static void usable_mmapped(void) {
    malloc_usable_size(announce(mmap(NULL, 64 * KIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
}

/* Pointers into blocks. */
static void interior(size_t size, size_t at) {
    char *block = block_of(size);
    free(announce(block + at));
    go_on(size);
}
static void free_interior_aligned(void) { interior(200, 16); }
static void free_interior_misaligned(void) { interior(200, 1); }
static void free_interior_8(void) { interior(200, 8); }
static void free_interior_medium(void) { interior(20000, 4096); }
static void free_interior_large(void) { interior(4 * MIB, 64 * KIB); }
static void free_interior_large_16(void) { interior(4 * MIB, 16); }
static void free_behind_large(void) { interior(4 * MIB, 4 * MIB); }
static void free_one_before(void) { interior(200, (size_t)-16); }
static void realloc_interior(void) {
    char *block = block_of(200);
    free(realloc(announce(block + 16), 500));
    go_on(200);
}
static void usable_interior_large(void) { malloc_usable_size(announce((char *)block_of(4 * MIB) + 128 * KIB)); }
static void free_never_given_out(void) {
    /* A block-shaped address in a span, beyond what was handed out so far. */
    char *block = block_of(1000);
    free(announce((char *)(((uintptr_t)block & ~(uintptr_t)0xffff) + 60000 / 1024 * 1024)));
    go_on(1000);
}

/* Twice freed. */
static void double_free(size_t size) {
    char *block = block_of(size);
    free(block);
    free(announce(block));
    go_on(size);
}
static void double_free_small(void) { double_free(100); }
static void double_free_tiny(void) { double_free(1); }
static void double_free_medium(void) { double_free(10000); }
static void double_free_large(void) { double_free(MIB); }
static void double_free_huge(void) { double_free(256 * MIB); }
static void double_free_with_neighbours(void) {
    char *before = block_of(100), *block = block_of(100), *after = block_of(100);
    free(block);
    free(announce(block));
    memset(before, 1, 100);
    memset(after, 1, 100);
    go_on(100);
}
static void double_free_one_between(void) {
    char *block = block_of(100), *other = block_of(100);
    free(block);
    free(other);
    free(announce(block));
    go_on(100);
}
static void double_free_many_between(void) {
    char *others[1000], *block = block_of(100);
    for (int i = 0; i < 1000; i++)
        others[i] = block_of(100);
    free(block);
    for (int i = 0; i < 1000; i++)
        free(others[i]);
    free(announce(block));
    go_on(100);
}
static void double_free_after_reuse_of_others(void) {
    char *block = block_of(100);
    free(block);
    for (int i = 0; i < 100; i++)
        free(block_of(500));
    free(announce(block));
    go_on(100);
}
static void double_free_span_emptied(void) {
    enum { COUNT = 100000 };
    static char *blocks[COUNT];
    for (int i = 0; i < COUNT; i++)
        blocks[i] = block_of(100);
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    free(announce(blocks[COUNT / 2]));
    go_on(100);
}
static void double_free_after_trim(void) {
    enum { COUNT = 100000 };
    static char *blocks[COUNT];
    for (int i = 0; i < COUNT; i++)
        blocks[i] = block_of(100);
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    malloc_trim(0);
    free(announce(blocks[COUNT / 2]));
    go_on(100);
}
static void double_free_other_thread(void) {
    char *block = block_of(100);
    free(block);
    in_thread(free_it, announce(block));
    go_on(100);
}
static void double_free_both_other_thread(void) {
    char *block = block_of(100);
    in_thread(free_it, block);
    in_thread(free_it, announce(block));
    go_on(100);
}
static void *free_twice(void *block) {
    free(block);
    free(announce(block));
    return NULL;
}
static void double_free_same_other_thread(void) {
    in_thread(free_twice, block_of(100));
    go_on(100);
}
static void double_free_first_other_thread(void) {
    char *block = block_of(100);
    in_thread(free_it, block);
    free(announce(block));
    go_on(100);
}
static void double_free_large_other_thread(void) {
    char *block = block_of(MIB);
    in_thread(free_it, block);
    free(announce(block));
    go_on(MIB);
}
static void double_free_written_between(void) {
    char *block = block_of(100);
    free(block);
    memset(block, 'x', 100);
    free(announce(block));
    go_on(100);
}
static void double_free_aligned(void) {
    char *block = hide(memalign(4096, 5000));
    free(block);
    free(announce(block));
    go_on(5000);
}
static void realloc_freed_small(void) {
    char *block = block_of(100);
    free(block);
    free(realloc(announce(block), 5000));
    go_on(100);
}
static void realloc_freed_large(void) {
    char *block = block_of(MIB);
    free(block);
    free(realloc(announce(block), 2 * MIB));
    go_on(MIB);
}
static void free_old_after_realloc(void) {
    char *block = block_of(100);
    char *moved = hide(realloc(block, 50000));
    free(announce(block));
    free(moved);
    go_on(100);
}
static void free_old_after_large_realloc(void) {
    char *block = block_of(MIB);
    void *pin = block_of(MIB);
    char *moved = hide(realloc(block, 64 * MIB));
    if (moved == block)
        _exit(4); /* it grew in place: nothing to probe */
    free(announce(block));
    free(moved);
    free(pin);
    go_on(MIB);
}
static void usable_freed_large(void) {
    char *block = block_of(MIB);
    free(block);
    malloc_usable_size(announce(block));
}

/* Written past either end. */
static void overflow(size_t size, long from, size_t count) {
    char *before = block_of(size), *block = block_of(size), *after = block_of(size);
    size_t usable = malloc_usable_size(block);
    announce(block);
    memset(hide(block + (from < 0 ? from : (long)usable + from)), 'o', count);
    free(block);
    free(after);
    free(before);
    go_on(size);
}
static void overflow_1(void) { overflow(100, 0, 1); }
static void overflow_8(void) { overflow(100, 0, 8); }
static void overflow_64(void) { overflow(100, 0, 64); }
static void overflow_medium_64(void) { overflow(5000, 0, 64); }
static void overflow_large(void) { overflow(MIB, 0, 16); }
static void overflow_in_slack(void) {
    char *block = block_of(hide_size(97));
    announce(block);
    block[97] = 'o';
    free(block);
    go_on(97);
}
static void underflow_1(void) { overflow(100, -1, 1); }
static void underflow_8(void) { overflow(100, -8, 8); }
static void underflow_64(void) { overflow(100, -64, 64); }
static void underflow_large(void) { overflow(MIB, -16, 16); }

/* Overwrites a freed neighbour, so that the free list runs through the writer's bytes. */
static void overflow_into_freed(void) {
    char *blocks[64];
    for (int i = 0; i < 64; i++)
        blocks[i] = block_of(100);
    size_t usable = malloc_usable_size(blocks[20]);
    free(blocks[21]);
    announce(blocks[20]);
    memset(hide(blocks[20] + usable), 'o', 32);
    for (int i = 0; i < 64; i++)
        if (i != 21)
            free(blocks[i]);
    go_on(100);
}

/* Used after free. */
static void after_free(size_t size, size_t at, size_t count) {
    char *block = block_of(size);
    free(block);
    announce(block);
    memset(hide(block + at), 'u', count);
    go_on(size);
}
static void use_after_free_first_word(void) { after_free(100, 0, 8); }
static void use_after_free_second_word(void) { after_free(100, 8, 8); }
static void use_after_free_whole(void) { after_free(100, 0, 100); }
static void use_after_free_middle(void) { after_free(100, 48, 8); }
static void use_after_free_medium(void) { after_free(20000, 0, 64); }
static void use_after_free_large(void) { after_free(MIB, 0, 64); }
static void read_after_free(void) {
    char *block = block_of(100);
    free(block);
    announce(block);
    if (hide(block) != NULL && block[50] == 'b')
        _exit(0);
    _exit(5); /* the contents are gone: a reader would notice */
}

/* Freed by the wrong function or with the wrong size. */
extern void free_sized(void *, size_t) __attribute__((weak));
extern void free_aligned_sized(void *, size_t, size_t) __attribute__((weak));
static void free_sized_too_small(void) {
    if (free_sized == NULL)
        _exit(4);
    free_sized(announce(block_of(1000)), hide_size(10));
    go_on(1000);
}
static void free_sized_too_large(void) {
    if (free_sized == NULL)
        _exit(4);
    free_sized(announce(block_of(100)), hide_size(10000));
    go_on(100);
}
static void free_sized_large_as_small(void) {
    if (free_sized == NULL)
        _exit(4);
    free_sized(announce(block_of(MIB)), hide_size(100));
    go_on(MIB);
}
static void free_sized_small_as_large(void) {
    if (free_sized == NULL)
        _exit(4);
    free_sized(announce(block_of(100)), hide_size(MIB));
    go_on(100);
}

static const struct {
    const char *name;
    void (*run)(void);
} probes[] = {
#define PROBE(name) {#name, name}
    PROBE(free_stack), PROBE(free_static), PROBE(free_constant), PROBE(free_code), PROBE(free_mmapped),
    PROBE(free_mmapped_middle), PROBE(free_libc_owned), PROBE(free_environment), PROBE(free_small_number),
    PROBE(free_odd_number), PROBE(free_minus_16), PROBE(free_non_canonical), PROBE(realloc_stack),
    PROBE(realloc_static), PROBE(usable_static), PROBE(usable_mmapped),
    PROBE(free_interior_aligned), PROBE(free_interior_misaligned), PROBE(free_interior_8),
    PROBE(free_interior_medium), PROBE(free_interior_large), PROBE(free_interior_large_16),
    PROBE(free_behind_large), PROBE(free_one_before), PROBE(realloc_interior), PROBE(usable_interior_large),
    PROBE(free_never_given_out),
    PROBE(double_free_small), PROBE(double_free_tiny), PROBE(double_free_medium), PROBE(double_free_large),
    PROBE(double_free_huge), PROBE(double_free_with_neighbours), PROBE(double_free_one_between),
    PROBE(double_free_many_between), PROBE(double_free_after_reuse_of_others), PROBE(double_free_span_emptied),
    PROBE(double_free_after_trim), PROBE(double_free_other_thread), PROBE(double_free_both_other_thread),
    PROBE(double_free_same_other_thread), PROBE(double_free_first_other_thread),
    PROBE(double_free_large_other_thread), PROBE(double_free_written_between), PROBE(double_free_aligned),
    PROBE(realloc_freed_small), PROBE(realloc_freed_large), PROBE(free_old_after_realloc),
    PROBE(free_old_after_large_realloc), PROBE(usable_freed_large),
    PROBE(overflow_1), PROBE(overflow_8), PROBE(overflow_64), PROBE(overflow_medium_64), PROBE(overflow_large),
    PROBE(overflow_in_slack), PROBE(underflow_1), PROBE(underflow_8), PROBE(underflow_64), PROBE(underflow_large),
    PROBE(overflow_into_freed),
    PROBE(use_after_free_first_word), PROBE(use_after_free_second_word), PROBE(use_after_free_whole),
    PROBE(use_after_free_middle), PROBE(use_after_free_medium), PROBE(use_after_free_large), PROBE(read_after_free),
    PROBE(free_sized_too_small), PROBE(free_sized_too_large), PROBE(free_sized_large_as_small),
    PROBE(free_sized_small_as_large),
};

int main(int argc, char **argv) {
    const char *wanted = argc > 1 ? argv[1] : "list";
    free(malloc(100)); /* the allocator has started */
    for (size_t i = 0; i < sizeof probes / sizeof *probes; i++) {
        if (strcmp(wanted, "list") == 0)
            printf("%s\n", probes[i].name);
        else if (strcmp(wanted, probes[i].name) == 0) {
            probes[i].run();
            _exit(0);
        }
    }
    CHECK(strcmp(wanted, "list") == 0, "no probe is named %s", wanted);
    return 0;
}

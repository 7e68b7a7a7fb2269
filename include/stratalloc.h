/* Stratalloc for C and C++: what libstratalloc offers beyond malloc and its family, which the headers of the C
 * library declare.
 *
 * Every function may be called by any thread at any time, unless its comment says otherwise. None throws, and none
 * changes errno unless it says so. A block is aligned to 16 bytes at least. A block of size 0 is a block like any
 * other. Blocks of malloc, operator new and of these functions are of one kind: each may be given to free,
 * strat_free, operator delete, strat_realloc and the others, on any thread; only the blocks of pools go back to their
 * pool.
 *
 * Generated from the Rust sources by `cargo xtask header`: not to be edited. */

#ifndef STRATALLOC_H
#define STRATALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STRAT_VERSION_MAJOR 0
#define STRAT_VERSION_MINOR 1
#define STRAT_VERSION_PATCH 0

#ifdef __cplusplus
#define STRAT_NOEXCEPT noexcept
#else
#define STRAT_NOEXCEPT
#endif

/* A heap of one's own. */
struct strat_heap;

/* Blocks of one size and alignment, for one thread at a time. */
struct strat_fixed_pool;

/* Blocks of one size and alignment, for all threads, with a cache for each. */
struct strat_tiered_pool;

/* A block and the bytes that may be used in it. */
struct strat_sized_block {
    /* The block, or null. */
    void *block;
    /* Its usable bytes; 0 where the block is null. */
    size_t size;
};

/* Called for each block in use; false ends the visit. */
typedef bool (*strat_visitor)(void *block, size_t size, void *argument);

/* Figures of the process. The caller sets `size` to sizeof(struct strat_stats) before each call. */
struct strat_stats {
    /* Before the call: bytes of the caller's struct. After it: bytes that the library filled. */
    size_t size;
    /* In the program's hands, rounded up to block sizes. */
    size_t allocated;
    /* In spans that hold at least one block, or that a heap keeps for its next allocation. */
    size_t active;
    /* Of `active`, what was handed out at least once: close to what of it is resident. */
    size_t touched;
    /* In free spans whose pages are still backed by memory. */
    size_t dirty;
    /* In free spans given back to the system, or never touched. */
    size_t clean;
    /* Mapped for spans: active + dirty + clean. */
    size_t mapped;
    /* Mapped for the allocator's own tables (address space; little of it is touched). */
    size_t metadata;
    /* Highest `active` so far. */
    size_t peak_active;
    /* Highest `active + dirty` so far. */
    size_t peak_dirty;
    /* Given back to the system since start. */
    uint64_t purged;
    /* Calls that gave memory back. */
    uint64_t purges;
    /* System calls for memory since start. */
    uint64_t os_calls;
    /* Large blocks in the program's hands. */
    uint64_t large_live;
    /* Bytes of them. */
    size_t large_bytes;
    /* Large allocations since start. */
    uint64_t large_allocs;
    /* Heaps of living threads and first-class heaps. */
    uint64_t heaps;
    /* Heaps of threads that left, waiting for the next thread. */
    uint64_t parked;
};

/* Figures of a pool. The caller sets `size` to sizeof(struct strat_pool_stats) before each call. */
struct strat_pool_stats {
    /* Before the call: bytes of the caller's struct. After it: bytes that the library filled. */
    size_t size;
    /* Blocks that the pool has memory for. */
    size_t capacity;
    /* Blocks handed out now. */
    size_t live;
    /* Blocks that wait in the pool. */
    size_t free;
    /* Acquisitions served by a block that was used before. */
    uint64_t hits;
    /* Acquisitions that took a fresh block. */
    uint64_t misses;
    /* The most blocks that were live at once. */
    size_t peak;
    /* Bytes of the pool's memory that no block uses. */
    size_t waste;
    /* Bytes that the pool has from the allocator. */
    size_t bytes;
};

#ifdef __cplusplus
extern "C" {
#endif

/* ---- blocks ---- */

/* malloc: a block of at least `size` bytes, or null with errno ENOMEM. */
void *strat_malloc(size_t size) STRAT_NOEXCEPT;
/* A zeroed block of `count * size` bytes, or null with errno ENOMEM, also where the product overflows. */
void *strat_calloc(size_t count, size_t size) STRAT_NOEXCEPT;
/* Resizes a block, moving it if needed. A null block: strat_malloc. Size 0: frees the block and returns null, errno
 * unchanged. On failure null with errno ENOMEM, and the old block stays as it was. */
void *strat_realloc(void *block, size_t size) STRAT_NOEXCEPT;
/* strat_realloc to `count * size` bytes; null with ENOMEM also where the product overflows. */
void *strat_reallocarray(void *block, size_t count, size_t size) STRAT_NOEXCEPT;
/* Ends a block's life. Null is allowed. */
void strat_free(void *block) STRAT_NOEXCEPT;
/* strat_free with the size that was asked for. */
void strat_free_sized(void *block, size_t size) STRAT_NOEXCEPT;
/* A block at a multiple of `alignment`, any power of two (otherwise null with errno EINVAL); `size` need not be a
 * multiple. Null with errno ENOMEM. */
void *strat_aligned_alloc(size_t alignment, size_t size) STRAT_NOEXCEPT;
/* strat_free with the alignment and the size that were asked for. */
void strat_free_aligned_sized(void *block, size_t alignment, size_t size) STRAT_NOEXCEPT;
/* Bytes that may be used in a block: at least those asked for. 0 for null. */
size_t strat_usable_size(const void *block) STRAT_NOEXCEPT;
/* Usable size of a block that strat_malloc(size) would return; 0 where `size` cannot be met at all. */
size_t strat_good_size(size_t size) STRAT_NOEXCEPT;
/* Makes a block hold at least `size` bytes where it is: true when it now does (strat_usable_size says how many),
 * false when it would have to move; nothing is changed then, errno neither. False for null. Never shrinks. */
bool strat_expand(void *block, size_t size) STRAT_NOEXCEPT;
/* As strat_malloc, and says how many bytes may be used. */
struct strat_sized_block strat_malloc_at_least(size_t size) STRAT_NOEXCEPT;
/* Fills `out` with up to `count` blocks of `size` bytes each; returns how many. Fewer than `count`: errno ENOMEM. */
size_t strat_malloc_batch(size_t size, size_t count, void **out) STRAT_NOEXCEPT;
/* The same at a multiple of `alignment`; 0 with errno EINVAL where that is no power of two. */
size_t strat_aligned_malloc_batch(size_t alignment, size_t size, size_t count, void **out) STRAT_NOEXCEPT;
/* Frees `count` blocks. Null entries are allowed. */
void strat_free_batch(void *const *blocks, size_t count) STRAT_NOEXCEPT;

/* ---- heaps ---- */

/* A new, empty heap, or null with errno ENOMEM. To be ended by strat_heap_destroy. */
struct strat_heap *strat_heap_new(void) STRAT_NOEXCEPT;
/* Frees all blocks of the heap, and the heap. Null is allowed. No thread may be using the heap or its blocks. */
void strat_heap_destroy(struct strat_heap *heap) STRAT_NOEXCEPT;
/* As the functions of the same names without `heap`, from the heap. A null heap: null with errno EINVAL. */
void *strat_heap_malloc(struct strat_heap *heap, size_t size) STRAT_NOEXCEPT;
void *strat_heap_calloc(struct strat_heap *heap, size_t count, size_t size) STRAT_NOEXCEPT;
void *strat_heap_aligned_alloc(struct strat_heap *heap, size_t alignment, size_t size) STRAT_NOEXCEPT;
void *strat_heap_realloc(struct strat_heap *heap, void *block, size_t size) STRAT_NOEXCEPT;
struct strat_sized_block strat_heap_malloc_at_least(struct strat_heap *heap, size_t size) STRAT_NOEXCEPT;
size_t strat_heap_malloc_batch(struct strat_heap *heap, size_t size, size_t count, void **out) STRAT_NOEXCEPT;
size_t strat_heap_aligned_malloc_batch(struct strat_heap *heap, size_t alignment, size_t size, size_t count,
                                       void **out) STRAT_NOEXCEPT;
/* Ends a block's life. Faster than strat_free for blocks of `heap`; blocks of any other heap are allowed too, and a
 * null heap. */
void strat_heap_free(struct strat_heap *heap, void *block) STRAT_NOEXCEPT;
/* Frees `count` blocks; one entry into the heap for all. Null entries are allowed. */
void strat_heap_free_batch(struct strat_heap *heap, void *const *blocks, size_t count) STRAT_NOEXCEPT;
/* Whether a live block lies in the heap. False for null. */
bool strat_heap_contains(const struct strat_heap *heap, const void *block) STRAT_NOEXCEPT;
/* Calls `visitor` for every block of the heap that is in use, with its usable size and `argument`. True when all were
 * visited; false when the visitor returned false, or an argument is null (errno EINVAL). */
bool strat_heap_visit(struct strat_heap *heap, strat_visitor visitor, void *argument) STRAT_NOEXCEPT;

/* ---- process ---- */

/* Gives unused memory back to the system, all but about `keep` bytes: true if some went back. */
bool strat_trim(size_t keep) STRAT_NOEXCEPT;
/* Sets one option: the names and texts of the environment variable STRATALLOC. Returns 0, or EINVAL after a message
 * on stderr that names the nearest valid key or the range; nothing is changed then. */
int strat_option_set(const char *name, const char *value) STRAT_NOEXCEPT;
/* Writes an option's value as strat_option_set takes it: at most `room - 1` bytes and a NUL, and returns the length of
 * the whole text without NUL (as snprintf does), or -1 with errno EINVAL where the name is unknown or null. */
ptrdiff_t strat_option_get(const char *name, char *value, size_t room) STRAT_NOEXCEPT;
/* Fills in the figures of this moment. Returns 0, or EINVAL where `stats` is null or `stats->size` too small. */
int strat_stats(struct strat_stats *stats) STRAT_NOEXCEPT;
/* Writes all figures as one JSON document: at most `room - 1` bytes and a NUL; returns the length of the whole text
 * without NUL, as snprintf does. `text` may be null where `room` is 0. */
size_t strat_stats_json(char *text, size_t room) STRAT_NOEXCEPT;
/* The library's version, "MAJOR.MINOR.PATCH". */
const char *strat_version(void) STRAT_NOEXCEPT;

/* ---- fixed pools: one thread at a time in a pool ---- */

/* A pool of blocks of `size` bytes at a multiple of `alignment` (a power of two up to 65536), at most `limit` of them
 * (0: no limit). Null with errno EINVAL (alignment) or ENOMEM. */
struct strat_fixed_pool *strat_fixed_pool_new(size_t size, size_t alignment, size_t limit) STRAT_NOEXCEPT;
/* Frees the pool and the memory of all its blocks, live ones too. Null is allowed. */
void strat_fixed_pool_destroy(struct strat_fixed_pool *pool) STRAT_NOEXCEPT;
/* A block, uninitialised; the pool grows if it must. Null with errno ENOMEM, also at the limit. */
void *strat_fixed_pool_acquire(struct strat_fixed_pool *pool) STRAT_NOEXCEPT;
/* A block that the pool has memory for already, or null, errno unchanged: calls no allocator. */
void *strat_fixed_pool_try_acquire(struct strat_fixed_pool *pool) STRAT_NOEXCEPT;
/* Takes back a live block of this pool. Null is allowed. */
void strat_fixed_pool_release(struct strat_fixed_pool *pool, void *block) STRAT_NOEXCEPT;
/* Makes room for at least `more` blocks beyond the live ones. False with errno ENOMEM, also beyond the limit. */
bool strat_fixed_pool_reserve(struct strat_fixed_pool *pool, size_t more) STRAT_NOEXCEPT;
/* Gives memory without a live block back, as long as `keep` blocks stay free. Returns how many blocks went. */
size_t strat_fixed_pool_shrink(struct strat_fixed_pool *pool, size_t keep) STRAT_NOEXCEPT;
/* Fills in the figures. Returns 0, or EINVAL where an argument is null or `stats->size` too small. */
int strat_fixed_pool_stats(const struct strat_fixed_pool *pool, struct strat_pool_stats *stats) STRAT_NOEXCEPT;

/* ---- tiered pools: any thread, with a cache for each ---- */

/* As strat_fixed_pool_new. */
struct strat_tiered_pool *strat_tiered_pool_new(size_t size, size_t alignment, size_t limit) STRAT_NOEXCEPT;
/* Frees the pool and the memory of all its blocks, live ones too. Null is allowed. No thread may be using the pool. */
void strat_tiered_pool_destroy(struct strat_tiered_pool *pool) STRAT_NOEXCEPT;
void *strat_tiered_pool_acquire(struct strat_tiered_pool *pool) STRAT_NOEXCEPT;
void *strat_tiered_pool_try_acquire(struct strat_tiered_pool *pool) STRAT_NOEXCEPT;
/* Takes back a live block of this pool, on any thread. Null is allowed. */
void strat_tiered_pool_release(struct strat_tiered_pool *pool, void *block) STRAT_NOEXCEPT;
bool strat_tiered_pool_reserve(struct strat_tiered_pool *pool, size_t more) STRAT_NOEXCEPT;
size_t strat_tiered_pool_shrink(struct strat_tiered_pool *pool, size_t keep) STRAT_NOEXCEPT;
int strat_tiered_pool_stats(const struct strat_tiered_pool *pool, struct strat_pool_stats *stats) STRAT_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif

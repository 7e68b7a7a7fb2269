/* Stratalloc for C and C++: what libstratalloc offers beyond malloc and its family, which the headers of the C
 * library declare. Link with -lstratalloc.
 *
 * Every function may be called by any thread at any time, unless its comment says otherwise. None throws, and none
 * changes errno but where its comment says so. A block is aligned to 16 bytes at least, and one of size 0 is a block
 * like any other. The blocks of malloc, operator new and strat_malloc, and of heaps, are of one kind: each may be
 * given to free, strat_free, operator delete, strat_realloc and the others, on any thread. Blocks of pools go back to
 * their pool.
 *
 * In a fork's child everything may be used at once; what heaps and pools say about that is with their types.
 *
 * Made from the library's source by `cargo xtask header`: not to be edited. */

#ifndef STRATALLOC_H
#define STRATALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STRAT_VERSION_MAJOR 0
#define STRAT_VERSION_MINOR 1
#define STRAT_VERSION_PATCH 0

/* None of these functions throws. */
#if defined(__cplusplus) && __cplusplus >= 201103L
#define STRAT_NOEXCEPT noexcept
#else
#define STRAT_NOEXCEPT
#endif

/**
 * A pool of raw blocks of one size and alignment, for one thread at a time.
 *
 * Taking and giving back are some ten instructions. The pool and its blocks may go from thread to thread; two
 * threads must not be in its functions at once. Memory comes from strat_malloc in chunks that double.
 */
struct strat_fixed_pool;

/**
 * A heap of one's own: its blocks lie apart from all others and can be freed all at once.
 *
 * Any thread may use it; one at a time is inside, the others wait for the few nanoseconds that takes. Its blocks
 * may also be freed by strat_free and free, on any thread. In a fork's child, a heap that another thread was in
 * the middle of is refused like memory that cannot be had, and what is freed there is lost; all others serve the
 * child.
 */
struct strat_heap;

/**
 * A pool of raw blocks of one size and alignment, for all threads, with a cache of 64 blocks for each.
 *
 * A block comes from the calling thread's cache, mostly, without lock or atomic read-modify-write; the rest goes
 * through shared stripes. A block may be released on any thread. A thread's cache returns to the pool when the
 * thread ends. In a fork's child, what other threads' caches held stays unused until the pool is destroyed, and a
 * pool that another thread was inside of must not be used, as with a mutex.
 */
struct strat_tiered_pool;

/** A block and the bytes that may be used in it. */
struct strat_sized_block {
    /** The block, or null. */
    void *block;
    /** Its usable bytes; 0 where the block is null. */
    size_t size;
};

/** Called for each block in use, with its usable bytes and the argument of strat_heap_visit. False ends the visit. */
typedef bool (*strat_visitor)(void *block, size_t size, void *argument);

/**
 * Figures of a pool. Those of a tiered pool may be out of step with each other by the operations in progress.
 *
 * The struct grows at its end. The caller sets `size` to sizeof(struct strat_pool_stats), so that a program works
 * with a library that knows more figures, or fewer.
 */
struct strat_pool_stats {
    /** Before the call: bytes of the caller's struct. After it: bytes that were filled. */
    size_t size;
    /** Blocks that the pool has memory for. */
    size_t capacity;
    /** Blocks handed out now. */
    size_t live;
    /** Blocks that wait in the pool: capacity - live. */
    size_t free;
    /** Acquisitions served by a block that was used before. */
    uint64_t hits;
    /** Acquisitions that took a fresh block. */
    uint64_t misses;
    /** The most blocks that were live at once. */
    size_t peak;
    /** Bytes of the pool's memory that no block uses: padding, headers, lists. */
    size_t waste;
    /** Bytes that the pool has from the allocator. */
    size_t bytes;
};

/**
 * Figures of the process, in bytes unless said otherwise. None is ever negative, and allocated <= touched <=
 * active <= mapped; a sum may be off by the few operations that other threads have under way.
 *
 * The struct grows at its end. The caller sets `size` to sizeof(struct strat_stats), so that a program works with
 * a library that knows more figures, or fewer.
 */
struct strat_stats {
    /** Before the call: bytes of the caller's struct. After it: bytes that were filled. */
    size_t size;
    /** In the program's hands, rounded up to block sizes. */
    size_t allocated;
    /** In spans that hold at least one block, or that a heap keeps for its next allocation. */
    size_t active;
    /** Of `active`, what was handed out at least once: close to what of it is resident. */
    size_t touched;
    /** In free spans whose pages are still backed by memory. */
    size_t dirty;
    /** In free spans given back to the system, or never touched. */
    size_t clean;
    /** Mapped for spans: active + dirty + clean. */
    size_t mapped;
    /** Mapped for the allocator's own tables (address space; little of it is touched). */
    size_t metadata;
    /** Highest `active` so far. */
    size_t peak_active;
    /** Highest `active + dirty` so far: close to the peak of resident memory. */
    size_t peak_dirty;
    /** Given back to the system since start. */
    uint64_t purged;
    /** Calls that gave memory back. */
    uint64_t purges;
    /** System calls for memory since start. */
    uint64_t os_calls;
    /** Number of large blocks in the program's hands. */
    uint64_t large_live;
    /** Bytes of them. */
    size_t large_bytes;
    /** Number of large allocations since start. */
    uint64_t large_allocs;
    /** Number of heaps: of living threads and of CPUs, and first-class ones. */
    uint64_t heaps;
    /** Number of heaps of threads that left, waiting for the next thread. */
    uint64_t parked;
    /** Moved since start from free spans to large blocks that needed pages, instead of being given back. */
    uint64_t recycled;
    /** Number of living threads that share the heaps of CPUs. */
    uint64_t pockets;
};

/** Called beyond the soft limit with the bytes held, the limit, and the argument of strat_on_soft_limit. */
typedef void (*strat_soft_limit_callback)(size_t held, size_t limit, void *argument);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * A block of at least `size` bytes: malloc. Null with errno ENOMEM.
 *
 * The block is the caller's until a free or a realloc of any kind, on any thread.
 */
void *strat_malloc(size_t size) STRAT_NOEXCEPT;

/**
 * A zeroed block of `count * size` bytes: calloc. Null with errno ENOMEM, also where the product overflows.
 *
 * Memory that is known to be zero is not written. Ownership as for strat_malloc; any thread.
 */
void *strat_calloc(size_t count, size_t size) STRAT_NOEXCEPT;

/**
 * Resizes a block, moving it if needed: realloc. On failure null with errno ENOMEM, and the block is as before.
 *
 * A null block makes it strat_malloc. Size 0 frees the block and returns null, errno unchanged. After success only
 * the result is the caller's. A block that moves is aligned to 16 bytes, whatever it was. Any thread, one at a
 * time on a block.
 */
void *strat_realloc(void *block, size_t size) STRAT_NOEXCEPT;

/**
 * strat_realloc to `count * size` bytes. Null with errno ENOMEM also where the product overflows; the block is
 * then as before.
 */
void *strat_reallocarray(void *block, size_t count, size_t size) STRAT_NOEXCEPT;

/**
 * Ends a block's life: free. Null is allowed.
 *
 * Takes any block of this library but those of pools, on any thread. A pointer that is no block in use is reported
 * on stderr and aborts where it shows (see the option misuse).
 */
void strat_free(void *block) STRAT_NOEXCEPT;

/** strat_free with the size that was asked for, or any size up to the usable one. Null is allowed. */
void strat_free_sized(void *block, size_t size) STRAT_NOEXCEPT;

/**
 * A block of at least `size` bytes at a multiple of `alignment`. Null with errno EINVAL where `alignment` is no
 * power of two, or ENOMEM.
 *
 * Any power of two goes, and `size` need not be a multiple of it. Ownership as for strat_malloc; any thread.
 */
void *strat_aligned_alloc(size_t alignment, size_t size) STRAT_NOEXCEPT;

/** strat_free with the alignment and the size that were asked for. Null is allowed. */
void strat_free_aligned_sized(void *block, size_t alignment, size_t size) STRAT_NOEXCEPT;

/**
 * Bytes that may be used in a block: at least those asked for. 0 for null.
 *
 * Any thread that may use the block. A pointer that is no block is reported as by strat_free, and gives 0.
 */
size_t strat_usable_size(const void *block) STRAT_NOEXCEPT;

/**
 * Bytes that may be used in a block of strat_malloc(size), at the least: the size to ask for if all of a block is
 * to be used. `size` itself where it cannot be met.
 */
size_t strat_good_size(size_t size) STRAT_NOEXCEPT;

/**
 * Makes a block hold at least `size` bytes where it is. False: it would have to move, or is null; nothing changed.
 *
 * After true, strat_usable_size says how many bytes it has. A block never shrinks by this, and errno never
 * changes. Small blocks have what their size class has; those above 32 KiB grow where the memory behind them is
 * free. Any thread that may use the block.
 */
bool strat_expand(void *block, size_t size) STRAT_NOEXCEPT;

/** As strat_malloc, and says how many bytes of the block may be used. Null and 0 with errno ENOMEM. */
struct strat_sized_block strat_malloc_at_least(size_t size) STRAT_NOEXCEPT;

/**
 * Fills `out` with `count` blocks of at least `size` bytes each; returns how many. Fewer than `count`: errno
 * ENOMEM, and the rest of `out` is as before; EINVAL and 0 where `out` is null and `count` is not 0.
 *
 * Faster than as many calls of strat_malloc: what the thread has at hand is taken in one go, and blocks that were
 * never used go out untouched. Each is a block of its own, freed by itself or with others. Any thread.
 */
size_t strat_malloc_batch(size_t size, size_t count, void **out) STRAT_NOEXCEPT;

/** strat_malloc_batch with blocks at multiples of `alignment`. 0 with errno EINVAL where that is no power of two. */
size_t strat_aligned_malloc_batch(size_t alignment, size_t size, size_t count, void **out) STRAT_NOEXCEPT;

/** Frees `count` blocks, each as strat_free does. Null entries are allowed, and a null array. */
void strat_free_batch(void *const *blocks, size_t count) STRAT_NOEXCEPT;

/**
 * A new, empty heap. Null with errno ENOMEM. The caller's, to be ended by strat_heap_destroy. Any thread.
 *
 * Costs some 3.5 KiB, and for each size class in use a span of its own, of which the pages in use count.
 */
struct strat_heap *strat_heap_new(void) STRAT_NOEXCEPT;

/**
 * Ends a heap and frees all its blocks, those in use too. Null is allowed.
 *
 * A call that another thread is inside of is waited for; a call that begins later, and any use of a block of the
 * heap afterwards, is the program's error. Any thread.
 */
void strat_heap_destroy(struct strat_heap *heap) STRAT_NOEXCEPT;

/** strat_malloc from a heap. Null with errno ENOMEM, or EINVAL where the heap is null. Any thread. */
void *strat_heap_malloc(struct strat_heap *heap, size_t size) STRAT_NOEXCEPT;

/**
 * strat_calloc from a heap. Null with errno ENOMEM, also where the product overflows, or EINVAL where the heap is
 * null. Any thread.
 */
void *strat_heap_calloc(struct strat_heap *heap, size_t count, size_t size) STRAT_NOEXCEPT;

/**
 * strat_aligned_alloc from a heap. Null with errno EINVAL where `alignment` is no power of two or the heap is
 * null, or ENOMEM. Any thread.
 */
void *strat_heap_aligned_alloc(struct strat_heap *heap, size_t alignment, size_t size) STRAT_NOEXCEPT;

/**
 * strat_realloc in a heap: a block that moves, or a new one, is of `heap`, whichever heap it was of. Null with
 * errno ENOMEM, or EINVAL where the heap is null; the block is then as before. Any thread, one at a time on a
 * block.
 */
void *strat_heap_realloc(struct strat_heap *heap, void *block, size_t size) STRAT_NOEXCEPT;

/** strat_malloc_at_least from a heap. Null and 0 with errno ENOMEM, or EINVAL where the heap is null. Any thread. */
struct strat_sized_block strat_heap_malloc_at_least(struct strat_heap *heap, size_t size) STRAT_NOEXCEPT;

/**
 * strat_malloc_batch from a heap: one entry into the heap for all. Fewer than `count`: errno ENOMEM; EINVAL and 0
 * where the heap or the array is null. Any thread.
 */
size_t strat_heap_malloc_batch(struct strat_heap *heap, size_t size, size_t count, void **out) STRAT_NOEXCEPT;

/**
 * strat_heap_malloc_batch with blocks at multiples of `alignment`. 0 with errno EINVAL where that is no power of
 * two.
 */
size_t strat_heap_aligned_malloc_batch(struct strat_heap *heap, size_t alignment, size_t size, size_t count,
        void **out) STRAT_NOEXCEPT;

/**
 * Ends the life of a block of any heap. Null is allowed.
 *
 * Blocks of `heap` go straight back; those of other heaps go to theirs. With a null heap, strat_free. Any thread.
 */
void strat_heap_free(struct strat_heap *heap, void *block) STRAT_NOEXCEPT;

/**
 * Frees `count` blocks with one entry into the heap. Null entries are allowed, and a null array; with a null heap,
 * strat_free_batch. Any thread.
 */
void strat_heap_free_batch(struct strat_heap *heap, void *const *blocks, size_t count) STRAT_NOEXCEPT;

/**
 * Whether a block in use lies in the heap. False where either is null, or the pointer is no block. errno stays.
 * Any thread.
 */
bool strat_heap_contains(const struct strat_heap *heap, const void *block) STRAT_NOEXCEPT;

/**
 * Calls `visitor` with every block of the heap that is in use, in no order, until it returns false.
 *
 * True: all were shown. False: the visitor returned false; or the heap or the visitor is null (errno EINVAL); or
 * the heap is one that a fork's child cannot use (errno ENOMEM).
 *
 * The heap is entered for the whole visit: other threads that allocate from it wait, and a visitor that calls a
 * function on this heap waits for ever. It must return, not throw or jump. It may call everything else, and may
 * free blocks of the heap, the one it is shown too, by strat_free. What is freed meanwhile, by the visitor or on
 * other threads, is shown if it was not yet; a free on another thread that is under way when the visit begins may
 * be seen or not. Blocks whose free came before it are not shown. Costs a step for each block that was ever handed
 * out.
 */
bool strat_heap_visit(struct strat_heap *heap, strat_visitor visitor, void *argument) STRAT_NOEXCEPT;

/**
 * A pool of blocks of `size` bytes at multiples of `alignment`, a power of two up to 65536; at most `limit`
 * blocks, live and free together, or without a limit where that is 0.
 *
 * Null with errno EINVAL (the alignment) or ENOMEM. The caller's, to be ended by strat_fixed_pool_destroy. No
 * memory for blocks is taken yet. Any thread.
 */
struct strat_fixed_pool *strat_fixed_pool_new(size_t size, size_t alignment, size_t limit) STRAT_NOEXCEPT;

/**
 * Ends a pool and frees the memory of all its blocks, live ones too. Null is allowed. No other call on the pool
 * may be under way or follow.
 */
void strat_fixed_pool_destroy(struct strat_fixed_pool *pool) STRAT_NOEXCEPT;

/**
 * A block, uninitialised, the caller's until it is released; the pool grows if it must. Null with errno ENOMEM,
 * also at the limit, or EINVAL where the pool is null. One thread at a time.
 */
void *strat_fixed_pool_acquire(struct strat_fixed_pool *pool) STRAT_NOEXCEPT;

/**
 * A block that the pool has memory for already: calls no allocator. Null where there is none, errno unchanged, or
 * where the pool is null, with errno EINVAL. One thread at a time.
 */
void *strat_fixed_pool_try_acquire(struct strat_fixed_pool *pool) STRAT_NOEXCEPT;

/** Takes back a live block of this pool. Null is allowed. errno stays. One thread at a time. */
void strat_fixed_pool_release(struct strat_fixed_pool *pool, void *block) STRAT_NOEXCEPT;

/**
 * Makes room for at least `more` blocks beyond the live ones, in one chunk. False with errno ENOMEM, also beyond
 * the limit, or EINVAL where the pool is null. One thread at a time.
 */
bool strat_fixed_pool_reserve(struct strat_fixed_pool *pool, size_t more) STRAT_NOEXCEPT;

/**
 * Gives chunks without a live block back, as long as `keep` blocks stay free. Returns how many blocks' memory
 * went; 0 for a null pool. One thread at a time.
 */
size_t strat_fixed_pool_shrink(struct strat_fixed_pool *pool, size_t keep) STRAT_NOEXCEPT;

/**
 * Fills in the figures, exact ones. Returns 0, or EINVAL where a pointer is null or `stats->size` less than two
 * words; errno stays. One thread at a time.
 */
int strat_fixed_pool_stats(const struct strat_fixed_pool *pool,
        struct strat_pool_stats *stats) STRAT_NOEXCEPT;

/**
 * As strat_fixed_pool_new, for all threads. Null with errno EINVAL (the alignment) or ENOMEM. The caller's, to be
 * ended by strat_tiered_pool_destroy. Any thread.
 *
 * Since free blocks may sit in other threads' caches, an acquisition can be refused at the limit although some are
 * free; those threads then return theirs at their next release. Choose a limit above live blocks plus 64 a thread.
 */
struct strat_tiered_pool *strat_tiered_pool_new(size_t size, size_t alignment, size_t limit) STRAT_NOEXCEPT;

/**
 * Ends a pool and frees the memory of all its blocks, live ones too. Null is allowed.
 *
 * Threads that used the pool may live on, and may be ending right now; what their caches hold is taken. No other
 * call on the pool may be under way or follow. Any thread.
 */
void strat_tiered_pool_destroy(struct strat_tiered_pool *pool) STRAT_NOEXCEPT;

/**
 * A block, uninitialised, the caller's until it is released; the pool grows if it must. Null with errno ENOMEM,
 * also at the limit, or EINVAL where the pool is null. Any thread.
 */
void *strat_tiered_pool_acquire(struct strat_tiered_pool *pool) STRAT_NOEXCEPT;

/**
 * A block that the pool has memory for already: calls no allocator, but for a thread's first cache. Null where
 * there is none, errno unchanged, or where the pool is null, with errno EINVAL. Any thread.
 */
void *strat_tiered_pool_try_acquire(struct strat_tiered_pool *pool) STRAT_NOEXCEPT;

/** Takes back a live block of this pool, whichever thread acquired it. Null is allowed. errno stays. Any thread. */
void strat_tiered_pool_release(struct strat_tiered_pool *pool, void *block) STRAT_NOEXCEPT;

/**
 * Makes room for at least `more` blocks beyond those that exist, in one chunk. False with errno ENOMEM, also
 * beyond the limit, or EINVAL where the pool is null. Any thread.
 */
bool strat_tiered_pool_reserve(struct strat_tiered_pool *pool, size_t more) STRAT_NOEXCEPT;

/**
 * Gives chunks without a live block back until about `keep` blocks wait: what is in the calling thread's cache and
 * in the stripes at once, what is in other threads' when they next release a block. Returns how many blocks'
 * memory went; 0 for a null pool. Any thread.
 */
size_t strat_tiered_pool_shrink(struct strat_tiered_pool *pool, size_t keep) STRAT_NOEXCEPT;

/**
 * Fills in the figures. Returns 0, or EINVAL where a pointer is null or `stats->size` less than two words; errno
 * stays. Any thread.
 */
int strat_tiered_pool_stats(const struct strat_tiered_pool *pool,
        struct strat_pool_stats *stats) STRAT_NOEXCEPT;

/**
 * Fills in the figures of this moment. Returns 0, or EINVAL where `stats` is null or its `size` less than two
 * words; errno stays.
 *
 * Does not allocate. Walks all spans: some 10 us for each 100 MiB of small blocks. Any thread.
 */
int strat_stats_get(struct strat_stats *stats) STRAT_NOEXCEPT;

/**
 * Writes all figures, with those of the size classes in use and of the process, as one JSON object.
 *
 * As snprintf does: at most `room - 1` bytes and a NUL, and returns the length of the whole text without NUL; so a
 * result of `room` or more says that it was cut. A null `text` counts only. The length may differ from call to
 * call, as figures do. Does not allocate, and errno stays. Any thread.
 */
size_t strat_stats_json(char *text, size_t room) STRAT_NOEXCEPT;

/**
 * Gives memory that is not used back to the system, all but about `keep` bytes: true if some went back.
 *
 * What the calling thread's heap and those of threads that left hold without need goes back too. System calls in
 * proportion to the free stretches; no lock is held during them, and errno stays. Any thread.
 */
bool strat_trim(size_t keep) STRAT_NOEXCEPT;

/**
 * Sets one option: the names and texts of the environment variable STRATALLOC, as `stratalloc options` lists them.
 *
 * Returns 0; or EINVAL after a message on stderr that names the nearest valid name or the range, or where an
 * argument is null, or while another thread is setting one. Nothing is changed then. errno stays. Best called
 * first thing in main.
 */
int strat_option_set(const char *name, const char *value) STRAT_NOEXCEPT;

/**
 * Sets what is called when the memory that the allocator holds (in use, and free but still resident) crosses the
 * soft limit and giving back all that is free was not enough; NULL for nothing.
 *
 * The soft limit is the option soft_limit, or follows the cgroup: memory.high, or seven eighths of memory.max.
 * The callback runs on the thread whose allocation crossed the limit, before that allocation returns, outside all
 * locks of the allocator: once for each excursion, again only after what is held fell below seven eighths of the
 * limit. It may allocate, free and call all functions of this header; it is never entered twice at a time. The
 * program may hold its own locks around an allocation: take none in it. It must not throw or longjmp out. errno is
 * kept.
 *
 * Compilers know malloc as a function that calls nothing of theirs: what the callback writes for its own source
 * file to read must be volatile or atomic.
 *
 * Waits while another thread is in the callback; afterwards the old one runs no more. Any thread.
 */
void strat_on_soft_limit(strat_soft_limit_callback callback, void *argument) STRAT_NOEXCEPT;

/**
 * Writes the value of an option in force, as strat_option_set takes it: at most `room - 1` bytes and a NUL.
 *
 * Returns the length of the whole text without NUL, as snprintf does; or -1 with errno EINVAL where the name is
 * null or unknown. A null `value` counts only. Any thread.
 */
ptrdiff_t strat_option_get(const char *name, char *value, size_t room) STRAT_NOEXCEPT;

/**
 * The version of the library that is loaded, "MAJOR.MINOR.PATCH": a string that stays. STRAT_VERSION_MAJOR and its
 * kin are those of the header. Any thread.
 */
const char *strat_version(void) STRAT_NOEXCEPT;

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* STRATALLOC_H */

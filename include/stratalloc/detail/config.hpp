/// \file
/// What the headers share: the language they need, exceptions or none, and how memory that cannot be had is reported.
/// Nothing here is for users.
#ifndef STRATALLOC_DETAIL_CONFIG_HPP
#define STRATALLOC_DETAIL_CONFIG_HPP

#if !defined(__cplusplus) || __cplusplus < 201703L
#error "stratalloc's C++ headers need C++17 or newer: compile with -std=c++17"
#endif

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <type_traits>

#if __cplusplus >= 202002L
#include <version>
#endif

#include <stratalloc.h>

/// 1 where exceptions are on. Without them (-fno-exceptions) what would throw says why on stderr and aborts.
#if defined(__cpp_exceptions)
#define STRATALLOC_EXCEPTIONS 1
#else
#define STRATALLOC_EXCEPTIONS 0
#endif

/// 1 where run-time type information is on.
#if defined(__cpp_rtti)
#define STRATALLOC_RTTI 1
#else
#define STRATALLOC_RTTI 0
#endif

/// `constexpr` where the standard asks it of allocators: from C++20 on.
#if defined(__cpp_lib_is_constant_evaluated) && defined(__cpp_constexpr_dynamic_alloc)
#define STRATALLOC_CONSTEXPR20 constexpr
#define STRATALLOC_IS_CONSTANT_EVALUATED() (std::is_constant_evaluated())
#else
#define STRATALLOC_CONSTEXPR20
#define STRATALLOC_IS_CONSTANT_EVALUATED() (false)
#endif

#if defined(__GNUC__) || defined(__clang__)
#define STRATALLOC_COLD __attribute__((cold, noinline))
#define STRATALLOC_LIKELY(condition) __builtin_expect(static_cast<bool>(condition), 1)
#else
#define STRATALLOC_COLD
#define STRATALLOC_LIKELY(condition) (condition)
#endif

#if defined(__SANITIZE_ADDRESS__)
#define STRATALLOC_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STRATALLOC_ASAN 1
#endif
#endif
#ifndef STRATALLOC_ASAN
#define STRATALLOC_ASAN 0
#endif
#if STRATALLOC_ASAN
#include <sanitizer/asan_interface.h>
#endif

/// The C++ face of Stratalloc: allocators, memory resources, smart pointers, arenas and pools over libstratalloc.
namespace stratalloc {

/// What no user calls.
namespace detail {

/// Every block is a multiple of this, whatever was asked for.
inline constexpr std::size_t min_alignment = 16;

constexpr bool is_power_of_two(std::size_t number) noexcept {
    return number != 0 && (number & (number - 1)) == 0;
}

/// Bytes from `address` up to the next multiple of `alignment`, a power of two.
inline std::size_t padding(const void* address, std::size_t alignment) noexcept {
    return static_cast<std::size_t>(-reinterpret_cast<std::uintptr_t>(address)) & (alignment - 1);
}

[[noreturn]] STRATALLOC_COLD inline void throw_bad_alloc() {
#if STRATALLOC_EXCEPTIONS
    throw std::bad_alloc();
#else
    std::fputs("stratalloc: out of memory, and exceptions are off\n", stderr);
    std::abort();
#endif
}

[[noreturn]] STRATALLOC_COLD inline void throw_bad_array_new_length() {
#if STRATALLOC_EXCEPTIONS
    throw std::bad_array_new_length();
#else
    std::fputs("stratalloc: more elements than memory has bytes, and exceptions are off\n", stderr);
    std::abort();
#endif
}

/// `count * sizeof(T)`.
/// \throws std::bad_array_new_length where the product overflows.
template <class T> constexpr std::size_t bytes_of(std::size_t count) {
    if constexpr (sizeof(T) > 1) {
        if (count > std::numeric_limits<std::size_t>::max() / sizeof(T)) {
            throw_bad_array_new_length();
        }
    }
    return count * sizeof(T);
}

/// What operator new does when memory is out: runs the new handler until it has found some or there is none.
/// \throws std::bad_alloc, or what the handler throws.
template <class Attempt> void* retry(Attempt attempt) {
    for (;;) {
        const std::new_handler handler = std::get_new_handler();
        if (handler == nullptr) {
            throw_bad_alloc();
        }
        handler();
        if (void* const block = attempt()) {
            return block;
        }
    }
}

STRATALLOC_COLD inline void* allocate_slow(std::size_t size, std::size_t alignment) {
    if (!is_power_of_two(alignment)) {
        throw_bad_alloc(); // no handler can help
    }
    return retry([=]() noexcept { return strat_aligned_alloc(alignment, size); });
}

/// A block of the process heap. With `alignment` known when compiling, one call.
inline void* allocate(std::size_t size, std::size_t alignment) {
    void* const block =
        alignment <= min_alignment ? strat_malloc(size) : strat_aligned_alloc(alignment, size);
    return STRATALLOC_LIKELY(block != nullptr) ? block : allocate_slow(size, alignment);
}

/// Frees a block of any heap, of which size and alignment are those asked for.
inline void deallocate(void* block, std::size_t size, std::size_t alignment) noexcept {
    if (alignment <= min_alignment) {
        strat_free_sized(block, size);
    } else {
        strat_free_aligned_sized(block, alignment, size);
    }
}

/// Under AddressSanitizer, an access of these bytes is an error from now on.
inline void poison([[maybe_unused]] const void* start, [[maybe_unused]] std::size_t size) noexcept {
#if STRATALLOC_ASAN
// GCC thinks that the bytes are read.
#if !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
    __asan_poison_memory_region(start, size);
#if !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#endif
}

/// These bytes may be used again.
inline void unpoison([[maybe_unused]] const void* start, [[maybe_unused]] std::size_t size) noexcept {
#if STRATALLOC_ASAN
    __asan_unpoison_memory_region(start, size);
#endif
}

/// Runs `undo` when it goes out of scope, unless `dismiss` was called: what is to happen when something throws.
template <class Undo> class on_failure {
public:
    explicit on_failure(Undo undo) noexcept : undo_(undo) {}
    on_failure(const on_failure&) = delete;
    on_failure& operator=(const on_failure&) = delete;
    ~on_failure() {
        if (armed_) {
            undo_();
        }
    }
    void dismiss() noexcept { armed_ = false; }

private:
    Undo undo_;
    bool armed_ = true;
};

/// Destroys `count` elements, last first, as arrays are.
template <class T> void destroy_backwards(T* first, std::size_t count) noexcept {
    if constexpr (!std::is_trivially_destructible_v<T>) {
        while (count > 0) {
            first[--count].~T();
        }
    } else {
        static_cast<void>(first);
        static_cast<void>(count);
    }
}

} // namespace detail

/// What `allocate_at_least` returns: `std::allocation_result` where the library has it, else the same fields.
#if defined(__cpp_lib_allocate_at_least)
template <class Pointer> using allocation_result = std::allocation_result<Pointer>;
#else
template <class Pointer> struct allocation_result {
    Pointer ptr;       ///< The first element.
    std::size_t count; ///< How many there is room for: at least as many as were asked for.
};
#endif

} // namespace stratalloc

#endif

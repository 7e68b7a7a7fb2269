/// \file
/// Against false sharing: `cache_aligned<T>`, and `aligned_buffer` for bytes at any alignment.
#ifndef STRATALLOC_ALIGNED_HPP
#define STRATALLOC_ALIGNED_HPP

#include <stratalloc/detail/config.hpp>

#include <cstring>
#include <utility>

namespace stratalloc {

/// Bytes that two threads should not share when both write: 128 where processors fetch lines in pairs or have long
/// ones (x86-64, 64-bit ARM), else 64. A constant of the platform, not of compiler flags, so it may be part of an ABI;
/// std::hardware_destructive_interference_size may not.
#if defined(__x86_64__) || defined(__aarch64__) || defined(__powerpc64__)
inline constexpr std::size_t cache_line = 128;
#else
inline constexpr std::size_t cache_line = 64;
#endif

/// A `T` with its cache lines to itself. An aggregate: as trivial as `T` is.
///
/// - Cost: its size is rounded up to a multiple of `cache_line`.
/// - Threads: the `T`'s.
///
/// \code
/// std::vector<stratalloc::cache_aligned<std::atomic<int>>> counters(4); // one for each thread
/// *counters[2] += 1;
/// assert(counters[2]->load() == 1);
/// \endcode
template <class T> struct alignas(cache_line > alignof(T) ? cache_line : alignof(T)) cache_aligned {
    T value{}; ///< The object.

    constexpr T& operator*() noexcept { return value; }
    constexpr const T& operator*() const noexcept { return value; }
    constexpr T* operator->() noexcept { return std::addressof(value); }
    constexpr const T* operator->() const noexcept { return std::addressof(value); }
};

/// Bytes at an alignment that is chosen at run time: for vector units, direct I/O, rings shared with a device.
///
/// - Cost: one call to make, one to end.
/// - Threads: as an array of bytes.
/// - Ownership: owns its block; moves, does not copy.
///
/// \code
/// stratalloc::aligned_buffer page(8192, 4096);
/// assert(reinterpret_cast<std::uintptr_t>(page.data()) % 4096 == 0 && page.size() == 8192);
/// \endcode
class aligned_buffer {
public:
    /// No bytes.
    aligned_buffer() noexcept = default;

    /// `size` uninitialised bytes at a multiple of `alignment`, a power of two.
    /// \throws std::bad_alloc after the new handler gave up, or where `alignment` is no power of two.
    explicit aligned_buffer(std::size_t size, std::size_t alignment = cache_line)
        : data_(static_cast<std::byte*>(detail::allocate(size, checked(alignment)))), size_(size),
          alignment_(alignment) {}

    /// The same, all bytes zero.
    [[nodiscard]] static aligned_buffer zeroed(std::size_t size, std::size_t alignment = cache_line) {
        aligned_buffer buffer(size, alignment);
        std::memset(buffer.data_, 0, size);
        return buffer;
    }

    /// The moved-from buffer has no bytes.
    aligned_buffer(aligned_buffer&& other) noexcept { swap(*this, other); }
    aligned_buffer& operator=(aligned_buffer&& other) noexcept {
        aligned_buffer taken(std::move(other));
        swap(*this, taken);
        return *this;
    }
    aligned_buffer(const aligned_buffer&) = delete;
    aligned_buffer& operator=(const aligned_buffer&) = delete;
    ~aligned_buffer() { detail::deallocate(data_, size_, alignment_); }

    /// The first byte; null where there is no buffer.
    [[nodiscard]] std::byte* data() noexcept { return data_; }
    [[nodiscard]] const std::byte* data() const noexcept { return data_; }
    /// Bytes.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// What the first byte's address is a multiple of.
    [[nodiscard]] std::size_t alignment() const noexcept { return alignment_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

    [[nodiscard]] std::byte& operator[](std::size_t index) noexcept { return data_[index]; }
    [[nodiscard]] const std::byte& operator[](std::size_t index) const noexcept { return data_[index]; }
    [[nodiscard]] std::byte* begin() noexcept { return data_; }
    [[nodiscard]] std::byte* end() noexcept { return data_ + size_; }
    [[nodiscard]] const std::byte* begin() const noexcept { return data_; }
    [[nodiscard]] const std::byte* end() const noexcept { return data_ + size_; }

    friend void swap(aligned_buffer& a, aligned_buffer& b) noexcept {
        std::swap(a.data_, b.data_);
        std::swap(a.size_, b.size_);
        std::swap(a.alignment_, b.alignment_);
    }

private:
    static std::size_t checked(std::size_t alignment) {
        if (!detail::is_power_of_two(alignment)) {
            detail::throw_bad_alloc();
        }
        return alignment;
    }

    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t alignment_ = 1;
};

} // namespace stratalloc

#endif

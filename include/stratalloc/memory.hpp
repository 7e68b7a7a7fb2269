/// \file
/// Smart pointers to objects in blocks of Stratalloc: `unique_ptr<T>` with its `deleter<T>`, `make_unique`,
/// `make_shared`, and the same in a heap.
#ifndef STRATALLOC_MEMORY_HPP
#define STRATALLOC_MEMORY_HPP

#include <stratalloc/allocator.hpp>

#include <utility>

namespace stratalloc {

namespace detail {

/// Whether a `T*` may point to an object of a derived class that begins elsewhere and is of another size.
template <class T> inline constexpr bool may_be_derived = std::is_polymorphic_v<T> && !std::is_final_v<T>;

/// The block that an object lies in.
template <class T> void* block_of(T* object) noexcept {
#if STRATALLOC_RTTI
    if constexpr (may_be_derived<T>) {
        return const_cast<void*>(dynamic_cast<const volatile void*>(object));
    }
#endif
    return const_cast<void*>(static_cast<const volatile void*>(object));
}

/// Whether a deleter of `U` may become one of `T`: what `deleter<T>` does is right for a `U`.
template <class U, class T>
inline constexpr bool deletes_as = std::is_convertible_v<U*, T*> &&
                                   (std::is_same_v<std::remove_cv_t<U>, std::remove_cv_t<T>> ||
                                    (STRATALLOC_RTTI && std::has_virtual_destructor_v<T>));

} // namespace detail

/// Destroys an object that `make_unique` made and frees its block.
///
/// A deleter of a derived class converts to one of a base with a virtual destructor, as std::default_delete does;
/// without run-time type information (-fno-rtti) it does not.
///
/// - Cost: the destructor and one call; the size is passed on where the type is exact. Takes no room in a unique_ptr.
/// - Threads: any.
template <class T> class deleter {
public:
    constexpr deleter() noexcept = default;
    template <class U, std::enable_if_t<detail::deletes_as<U, T>, int> = 0>
    constexpr deleter(const deleter<U>&) noexcept {}

    /// Null is not allowed; unique_ptr does not ask.
    void operator()(T* object) const noexcept {
        static_assert(sizeof(T) > 0, "the type is incomplete here");
        void* const block = detail::block_of(object);
        object->~T();
        if constexpr (STRATALLOC_RTTI && detail::may_be_derived<T>) {
            strat_free(block);
        } else {
            detail::deallocate(block, sizeof(T), alignof(T));
        }
    }
};

/// Destroys an array that `make_unique` made, last element first, and frees its block. It knows the count.
template <class T> class deleter<T[]> {
public:
    constexpr deleter() noexcept = default;
    /// For an array of `count` elements.
    constexpr explicit deleter(std::size_t count) noexcept : count_(count) {}
    template <class U, std::enable_if_t<std::is_convertible_v<U (*)[], T (*)[]>, int> = 0>
    constexpr deleter(const deleter<U[]>& other) noexcept : count_(other.size()) {}

    void operator()(T* first) const noexcept {
        static_assert(sizeof(T) > 0, "the type is incomplete here");
        detail::destroy_backwards(first, count_);
        detail::deallocate(const_cast<std::remove_cv_t<T>*>(first), count_ * sizeof(T), alignof(T));
    }

    /// How many elements the array has.
    [[nodiscard]] constexpr std::size_t size() const noexcept { return count_; }

private:
    std::size_t count_ = 0;
};

/// Owner of an object, or an array, in a block of Stratalloc: of the process heap or of any other.
template <class T> using unique_ptr = std::unique_ptr<T, deleter<T>>;

namespace detail {

/// Constructs a `T` in a block of its size; frees the block when that throws.
template <class T, class Construct> unique_ptr<T> adopt_object(void* block, Construct construct) {
    on_failure undo([block]() noexcept { deallocate(block, sizeof(T), alignof(T)); });
    T* const object = construct(block);
    undo.dismiss();
    return unique_ptr<T>(object);
}

/// Constructs `count` elements in a block of their size; frees the block when that throws.
template <class T, class Construct>
unique_ptr<T[]> adopt_array(void* block, std::size_t count, Construct construct) {
    on_failure undo([=]() noexcept { deallocate(block, count * sizeof(T), alignof(T)); });
    auto* const first = static_cast<std::remove_cv_t<T>*>(block);
    construct(first, count);
    undo.dismiss();
    return unique_ptr<T[]>(first, deleter<T[]>(count));
}

template <class T> using element = std::remove_extent_t<T>;
template <class T> using if_object = std::enable_if_t<!std::is_array_v<T>, int>;
template <class T> using if_array = std::enable_if_t<std::is_array_v<T> && std::extent_v<T> == 0, int>;

struct value_construct {
    template <class T> void operator()(T* first, std::size_t count) const {
        std::uninitialized_value_construct_n(first, count);
    }
};

struct default_construct {
    template <class T> void operator()(T* first, std::size_t count) const {
        std::uninitialized_default_construct_n(first, count);
    }
};

} // namespace detail

/// A `T` made from `arguments`, in a block of the process heap. When the constructor throws, the block is freed.
///
/// \code
/// auto point = stratalloc::make_unique<std::pair<int, int>>(3, 4);
/// auto zeros = stratalloc::make_unique<double[]>(1000);
/// assert(point->second == 4 && zeros[999] == 0 && zeros.get_deleter().size() == 1000);
/// \endcode
///
/// \throws std::bad_alloc after the new handler gave up, or what the constructor throws.
template <class T, class... Arguments, detail::if_object<T> = 0>
[[nodiscard]] unique_ptr<T> make_unique(Arguments&&... arguments) {
    return detail::adopt_object<T>(detail::allocate(sizeof(T), alignof(T)), [&](void* block) {
        return ::new (block) T(std::forward<Arguments>(arguments)...);
    });
}

/// An array of `count` value-initialised elements; `make_unique<T[]>(count)`. Elements that were made are destroyed
/// when the constructor of a later one throws.
/// \throws std::bad_array_new_length, std::bad_alloc, or what a constructor throws.
template <class T, detail::if_array<T> = 0> [[nodiscard]] unique_ptr<T> make_unique(std::size_t count) {
    using E = detail::element<T>;
    return detail::adopt_array<E>(detail::allocate(detail::bytes_of<E>(count), alignof(E)), count,
                                  detail::value_construct{});
}

/// As `make_unique<T>()`, default-initialised: numbers are left as they are.
template <class T, detail::if_object<T> = 0> [[nodiscard]] unique_ptr<T> make_unique_for_overwrite() {
    return detail::adopt_object<T>(detail::allocate(sizeof(T), alignof(T)),
                                   [](void* block) { return ::new (block) T; });
}

/// As `make_unique<T[]>(count)`, default-initialised: numbers are left as they are.
template <class T, detail::if_array<T> = 0>
[[nodiscard]] unique_ptr<T> make_unique_for_overwrite(std::size_t count) {
    using E = detail::element<T>;
    return detail::adopt_array<E>(detail::allocate(detail::bytes_of<E>(count), alignof(E)), count,
                                  detail::default_construct{});
}

/// As `make_unique`, in `home`. The same type of pointer, which must go before the heap does.
///
/// \code
/// stratalloc::heap session;
/// stratalloc::unique_ptr<int> number = stratalloc::make_unique_in<int>(session, 5);
/// assert(session.contains(number.get()));
/// \endcode
template <class T, class... Arguments, detail::if_object<T> = 0>
[[nodiscard]] unique_ptr<T> make_unique_in(heap& home, Arguments&&... arguments) {
    return detail::adopt_object<T>(home.allocate(sizeof(T), alignof(T)), [&](void* block) {
        return ::new (block) T(std::forward<Arguments>(arguments)...);
    });
}

/// As `make_unique<T[]>(count)`, in `home`.
template <class T, detail::if_array<T> = 0>
[[nodiscard]] unique_ptr<T> make_unique_in(heap& home, std::size_t count) {
    using E = detail::element<T>;
    return detail::adopt_array<E>(home.allocate(detail::bytes_of<E>(count), alignof(E)), count,
                                  detail::value_construct{});
}

/// std::allocate_shared on the process heap: object and counts in one block. Takes what std::make_shared takes, from
/// C++20 on arrays too.
///
/// \code
/// std::shared_ptr<std::string> name = stratalloc::make_shared<std::string>(40, 'x');
/// assert(name->size() == 40);
/// \endcode
template <class T, class... Arguments>
[[nodiscard]] std::shared_ptr<T> make_shared(Arguments&&... arguments) {
    return std::allocate_shared<T>(allocator<unsigned char>(), std::forward<Arguments>(arguments)...);
}

/// std::allocate_shared in `home`, which must outlive the object and every weak_ptr to it.
template <class T, class... Arguments>
[[nodiscard]] std::shared_ptr<T> make_shared_in(heap& home, Arguments&&... arguments) {
    return std::allocate_shared<T>(heap_allocator<unsigned char>(home),
                                   std::forward<Arguments>(arguments)...);
}

} // namespace stratalloc

#endif

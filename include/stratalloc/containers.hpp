/// \file
/// Helpers for containers: capacities that fill their blocks, and list nodes that change heaps.
#ifndef STRATALLOC_CONTAINERS_HPP
#define STRATALLOC_CONTAINERS_HPP

#include <stratalloc/detail/config.hpp>

#include <algorithm>
#include <iterator>

namespace stratalloc {

namespace detail {

/// Elements that a container allocates beyond its capacity: a string's terminator.
template <class Container, class = void> inline constexpr std::size_t terminator = 0;
template <class Container>
inline constexpr std::size_t terminator<Container, std::void_t<typename Container::traits_type>> = 1;

} // namespace detail

/// How many elements of `T` fit into the block that `count` of them get: at least `count`.
///
/// \code
/// assert(stratalloc::good_capacity<char>(100) >= 100);
/// \endcode
template <class T> [[nodiscard]] std::size_t good_capacity(std::size_t count) noexcept {
    if (count > std::numeric_limits<std::size_t>::max() / sizeof(T)) {
        return count; // cannot be had: whoever asks for it is told so
    }
    return std::max(count, strat_good_size(count * sizeof(T)) / sizeof(T));
}

/// Reserves room for at least `count` elements in a vector or string, and for as many more as the block has room for
/// anyway. Returns the capacity.
///
/// For containers on `allocator`, `heap_allocator` and the resources of this library. Containers of C++23 do it on
/// their own when they grow.
///
/// \code
/// std::vector<int, stratalloc::allocator<int>> numbers;
/// assert(stratalloc::reserve(numbers, 1000) >= 1000);
/// \endcode
///
/// \throws What the container's `reserve` throws.
template <class Container> std::size_t reserve(Container& container, std::size_t count) {
    if (count > container.capacity()) {
        constexpr std::size_t extra = detail::terminator<Container>;
        const std::size_t most = container.max_size();
        container.reserve(
            count >= most
                ? count
                : std::min(most, good_capacity<typename Container::value_type>(count + extra) - extra));
    }
    return container.capacity();
}

/// Makes room for `more` elements beyond those that are there, and at least doubles the capacity when it must grow:
/// calling it again and again stays linear. Returns the capacity.
/// \throws What the container's `reserve` throws.
template <class Container> std::size_t reserve_more(Container& container, std::size_t more) {
    const std::size_t size = container.size();
    const std::size_t capacity = container.capacity();
    if (more <= capacity - size) {
        return capacity;
    }
    const std::size_t most = container.max_size();
    if (more > most - size) {
        return reserve(container, std::numeric_limits<std::size_t>::max()); // the container says length_error
    }
    return reserve(container, std::max(size + more, capacity < most / 2 ? capacity * 2 : most));
}

/// Moves all elements of `from` to `to`, before `position`: nodes and all where the allocators are equal (`splice`),
/// otherwise element by element into nodes of `to`'s allocator. `from` is empty then. For std::list.
///
/// Where it throws, both lists have their nodes; elements may have been moved from, if moving is what threw.
///
/// \code
/// stratalloc::heap a, b;
/// using list = std::list<int, stratalloc::heap_allocator<int>>;
/// list to({1, 2}, a), from({3}, b);
/// stratalloc::transfer(to, to.end(), from);
/// assert(to.back() == 3 && from.empty());
/// \endcode
template <class List> void transfer(List& to, typename List::const_iterator position, List& from) {
    if (to.get_allocator() == from.get_allocator()) {
        to.splice(position, from);
        return;
    }
    List moved(std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()),
               to.get_allocator());
    to.splice(position, moved);
    from.clear();
}

} // namespace stratalloc

#endif

/// \file
/// All of Stratalloc's C++ face. Where the standard library has no <memory_resource>, without `memory_resource.hpp`.
#ifndef STRATALLOC_STRATALLOC_HPP
#define STRATALLOC_STRATALLOC_HPP

#include <stratalloc/aligned.hpp>
#include <stratalloc/allocator.hpp>
#include <stratalloc/arena.hpp>
#include <stratalloc/batch.hpp>
#include <stratalloc/containers.hpp>
#include <stratalloc/heap.hpp>
#include <stratalloc/memory.hpp>
#include <stratalloc/object_pool.hpp>
#if __has_include(<memory_resource>)
#include <stratalloc/memory_resource.hpp>
#endif

#endif

/*
 * Shows: a program with operators new and delete of its own gets them from every form that the standard makes of
 * them ([new.delete.single], [new.delete.array]): arrays, sized, nothrow, and with -DALIGNED those with an alignment. Theirs
 * put 64 bytes before each block, so that a form which goes to the library instead hands it the middle of a block.
 * Their exceptions come out as null where the form promises not to throw. Also linked with the archive.
 * Exit 0 = pass; each failure is named on stderr.
 */
#include "loaded.h"
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

static constexpr std::size_t HEAD = 64, TOO_MUCH = 1 << 20;
static long live, news;
static int failures;

static void check(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        failures++;
    }
}

static void *make(std::size_t size, std::size_t align) {
    if (size > TOO_MUCH)
        throw std::bad_alloc();
    void *block = nullptr;
    if (posix_memalign(&block, align < HEAD ? HEAD : align, size + (align < HEAD ? HEAD : align)) != 0)
        throw std::bad_alloc();
    live++;
    news++;
    return static_cast<char *>(block) + (align < HEAD ? HEAD : align);
}

static void end(void *block, std::size_t align) {
    if (block != nullptr) {
        live--;
        free(static_cast<char *>(block) - (align < HEAD ? HEAD : align));
    }
}

void *operator new(std::size_t size) { return make(size, HEAD); }
void operator delete(void *block) noexcept { end(block, HEAD); }
#ifdef ALIGNED
void *operator new(std::size_t size, std::align_val_t align) { return make(size, std::size_t(align)); }
void operator delete(void *block, std::align_val_t align) noexcept { end(block, std::size_t(align)); }
#endif

/* Whether the pair of calls went to the program's operators, and left nothing. */
template <class New, class Delete> static void goes_here(const char *what, New &&make_one, Delete &&end_one) {
    long before = news, were = live;
    void *block = make_one();
    check(block != nullptr && news == before + 1 && live == were + 1, what);
    end_one(block);
    check(live == were, what);
}

int main() {
    auto none = std::nothrow;
    using std::align_val_t;
    goes_here("new, delete", [] { return operator new(100); }, [](void *p) { operator delete(p); });
    goes_here("new, sized delete", [] { return operator new(100); }, [](void *p) { operator delete(p, 100); });
    goes_here("new[], delete[]", [] { return operator new[](100); }, [](void *p) { operator delete[](p); });
    goes_here("new[], sized delete[]", [] { return operator new[](100); }, [](void *p) { operator delete[](p, 100); });
    goes_here("nothrow", [&] { return operator new(100, none); }, [&](void *p) { operator delete(p, none); });
    goes_here("nothrow[]", [&] { return operator new[](100, none); }, [&](void *p) { operator delete[](p, none); });
    check(operator new(2 * TOO_MUCH, none) == nullptr, "nothrow new of too much");
    check(operator new[](2 * TOO_MUCH, none) == nullptr, "nothrow new[] of too much");
    try {
        (void)operator new[](2 * TOO_MUCH);
        check(false, "new[] of too much returned");
    } catch (const std::bad_alloc &) {
    }
#ifdef ALIGNED
    auto al = align_val_t(256);
    goes_here("aligned", [&] { return operator new(100, al); }, [&](void *p) { operator delete(p, al); });
    goes_here("aligned, sized", [&] { return operator new(100, al); }, [&](void *p) { operator delete(p, 100, al); });
    goes_here("aligned[]", [&] { return operator new[](100, al); }, [&](void *p) { operator delete[](p, al); });
    goes_here("aligned[], sized", [&] { return operator new[](100, al); }, [&](void *p) { operator delete[](p, 100, al); });
    goes_here("aligned nothrow", [&] { return operator new(100, al, none); }, [&](void *p) { operator delete(p, al, none); });
    goes_here("aligned nothrow[]", [&] { return operator new[](100, al, none); }, [&](void *p) { operator delete[](p, al, none); });
    check(operator new(2 * TOO_MUCH, al, none) == nullptr, "aligned nothrow new of too much");
    check(operator new[](2 * TOO_MUCH, al, none) == nullptr, "aligned nothrow new[] of too much");
#else
    /* Not the program's: both halves are the library's. */
    struct alignas(256) Wide {
        char bytes[256];
    };
    long before = news;
    delete new Wide;
    delete[] new Wide[3];
    check(news == before, "an aligned new went to the unaligned one");
#endif
    {
        std::map<std::string, std::vector<std::unique_ptr<int[]>>> map;
        for (int i = 0; i < 2000; i++)
            map[std::to_string(i % 300) + " and a text that is too long to lie in the string"].emplace_back(new int[i % 50 + 1]);
    }
    check(live == 0, "blocks are left");
    return failures != 0;
}

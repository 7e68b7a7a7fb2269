// One measurement, in this process: what every contender's program does.
//
//     PROGRAM list                           the contenders and cases that it has, a line each
//     PROGRAM version                        of what it measures
//     PROGRAM one CONTENDER CASE SCALE       measures; one line of JSON
//
// Before anything is measured the program looks from where `malloc` and `operator new` come. A program of a library
// that takes malloc's place must have them itself; any other must have the C library's and libstdc++'s.
#pragma once

#include <dlfcn.h>

#include <cinttypes>
#include <cstring>
#include <new>
#include <optional>
#include <string_view>
#include <thread>

#include "workloads.hpp"

namespace bench {

// Contiguous memory that grows, or a block for each element.
enum class Shape { array, nodes };
enum class Verb { build, churn, copy };

struct Kind {
    std::string_view name;
    Shape shape;
    Verb verb;
};

inline constexpr Kind kinds[] = {
    {"vector-build", Shape::array, Verb::build}, {"vector-churn", Shape::array, Verb::churn},
    {"deque-churn", Shape::array, Verb::churn},  {"string-churn", Shape::array, Verb::churn},
    {"list-build", Shape::nodes, Verb::build},   {"list-churn", Shape::nodes, Verb::churn},
    {"set-churn", Shape::nodes, Verb::churn},    {"map-build", Shape::nodes, Verb::build},
    {"map-churn", Shape::nodes, Verb::churn},    {"map-copy", Shape::nodes, Verb::copy},
    {"umap-build", Shape::nodes, Verb::build},   {"umap-churn", Shape::nodes, Verb::churn},
    {"umap-copy", Shape::nodes, Verb::copy},
};

struct Extent {
    std::string_view name;
    std::size_t size;
    unsigned threads;
};

inline constexpr Extent extents[] = {
    {"100", 100, 1},
    {"10k", 10'000, 1},
    {"1m", 1'000'000, 1},
    {"10k-t2", 10'000, 2},
};

struct Case {
    Kind kind;
    Extent extent;

    bool is(std::string_view name) const {
        return name.size() == kind.name.size() + 1 + extent.name.size() && name.starts_with(kind.name) &&
               name[kind.name.size()] == '-' && name.ends_with(extent.name);
    }

    // Steps at scale 1: a few hundredths to a few tenths of a second.
    std::uint64_t operations() const {
        const bool large = extent.size >= 1'000'000;
        if (kind.name == "vector-build") return 20'000'000;
        if (kind.name == "deque-churn") return 10'000'000;
        if (kind.verb == Verb::churn) return large ? 200'000 : 1'000'000;
        return large ? 1'000'000 : 3'000'000;
    }
};

template <class C>
void work(const Case& what, typename C::Shared& shared, const Order& order, Lap& lap) {
    const auto is = [&](std::string_view name) { return what.kind.name == name; };
    if (is("vector-build")) return build<C, Words<C>>(shared, order, lap);
    if (is("vector-churn")) return vector_churn<C>(shared, order, lap);
    if (is("deque-churn")) return deque_churn<C>(shared, order, lap);
    if (is("string-churn")) return string_churn<C>(shared, order, lap);
    if (is("list-build")) return build<C, List<C>>(shared, order, lap);
    if (is("list-churn")) return list_churn<C>(shared, order, lap);
    if (is("set-churn")) return keys_churn<C, Set<C>>(shared, order, lap);
    if (is("map-build")) return build<C, Map<C>>(shared, order, lap);
    if (is("map-churn")) return keys_churn<C, Map<C>>(shared, order, lap);
    if (is("map-copy")) return copy<C, Map<C>>(shared, order, lap);
    if (is("umap-build")) return build<C, Table<C>>(shared, order, lap);
    if (is("umap-churn")) return keys_churn<C, Table<C>>(shared, order, lap);
    if (is("umap-copy")) return copy<C, Table<C>>(shared, order, lap);
    fail("a kind of case without its loop");
}

// The process' highest resident memory, KiB. Not `getrusage`, whose peak begins with that of the process that forked.
inline long peak_resident() {
    std::FILE* status = std::fopen("/proc/self/status", "r");
    if (status == nullptr) fail("/proc/self/status cannot be read");
    char line[256];
    long peak = -1;
    while (peak < 0 && std::fgets(line, sizeof line, status) != nullptr) std::sscanf(line, "VmHWM: %ld", &peak);
    std::fclose(status);
    if (peak < 0) fail("/proc/self/status says nothing of the peak");
    return peak;
}

template <class C>
void measure(const Case& what, double scale) {
    typename C::Shared shared;
    const auto operations = static_cast<std::uint64_t>(static_cast<double>(what.operations()) * scale);
    const Order first{what.extent.size, operations == 0 ? 1 : operations, 20'261'122};
    Lap sum(nullptr);
    if (what.extent.threads == 1) {
        work<C>(what, shared, first, sum);
    } else {
        Gate gate(2);
        Lap laps[] = {Lap(&gate), Lap(&gate)};
        {
            std::jthread other([&] {
                Order order = first;
                order.seed += 1;
                work<C>(what, shared, order, laps[1]);
            });
            work<C>(what, shared, first, laps[0]);
        }
        for (const Lap& lap : laps) {
            sum.wall += lap.wall;
            sum.cpu += lap.cpu;
            sum.operations += lap.operations;
            sum.digest.note(lap.digest.value);
        }
    }
    const auto each = static_cast<double>(sum.operations);
    std::printf("{\"wall_ns\": %.4f, \"cpu_ns\": %.4f, \"operations\": %" PRIu64 ", \"peak_kib\": %ld, \"checksum\": "
                "\"%016" PRIx64 "\"}\n",
                sum.wall / each, sum.cpu / each, sum.operations, peak_resident(), sum.digest.value);
}

// The file that holds the function at an address, as the loader knows it.
inline std::string_view origin(const void* address) {
    Dl_info info{};
    if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return "nowhere";
    return info.dli_fname;
}

// Where malloc and operator new must come from.
enum class Bound { system, here };

inline void check_malloc(Bound bound) {
    const std::string_view self = origin(reinterpret_cast<const void*>(&check_malloc));
    const struct {
        const char* name;
        const char* symbol;
        std::string_view system;
    } functions[] = {
        {"malloc", "malloc", "libc.so"},
        {"free", "free", "libc.so"},
        {"operator new", "_Znwm", "libstdc++.so"},
        {"operator delete", "_ZdlPvm", "libstdc++.so"},
    };
    for (const auto& function : functions) {
        const void* address = dlsym(RTLD_DEFAULT, function.symbol);
        const std::string_view file = address == nullptr ? "nowhere" : origin(address);
        const bool here = file == self, system = file.find(function.system) != file.npos;
        if (bound == Bound::here ? here : system) continue;
        std::fprintf(stderr, "%s comes from %.*s, and should from %s\n", function.name, static_cast<int>(file.size()),
                     file.data(), bound == Bound::here ? "this program" : function.system.data());
        std::exit(1);
    }
}

template <class C>
void list() {
    for (const Extent& extent : extents) {
        for (const Kind& kind : kinds) {
            if (!C::takes(Case{kind, extent})) continue;
            std::printf("%s %s %s %.*s-%.*s\n", C::name, C::group, C::party, static_cast<int>(kind.name.size()),
                        kind.name.data(), static_cast<int>(extent.name.size()), extent.name.data());
        }
    }
}

template <class C>
bool one(std::string_view contender, std::string_view name, double scale) {
    if (contender != C::name) return false;
    for (const Extent& extent : extents) {
        for (const Kind& kind : kinds) {
            const Case what{kind, extent};
            if (!what.is(name) || !C::takes(what)) continue;
            measure<C>(what, scale);
            return true;
        }
    }
    return false;
}

// The program of these contenders.
template <class... C>
int program(int count, char** words, std::string_view version, Bound bound) {
    check_malloc(bound);
    const std::string_view verb = count > 1 ? words[1] : "";
    if (verb == "list" && count == 2) {
        (list<C>(), ...);
        return 0;
    }
    if (verb == "version" && count == 2) {
        std::printf("%.*s\n", static_cast<int>(version.size()), version.data());
        return 0;
    }
    if (verb == "one" && count == 5) {
        char* end = nullptr;
        const double scale = std::strtod(words[4], &end);
        if (end == words[4] || *end != 0 || !(scale > 0 && scale <= 1000)) fail("the scale is a number up to 1000");
        if ((one<C>(words[2], words[3], scale) || ...)) return 0;
        std::fprintf(stderr, "no contender %s in a case %s; `list` names them\n", words[2], words[3]);
        return 1;
    }
    std::fprintf(stderr, "%s list, version, or one CONTENDER CASE SCALE\n", words[0]);
    return 1;
}

// Most contenders need nothing of these.
struct Stateless {
    struct Shared {};
    static constexpr bool takes(const Case&) { return true; }
};

}  // namespace bench

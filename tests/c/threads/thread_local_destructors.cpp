// Models: C++ thread_local objects whose destructors free and allocate while a thread leaves, mixed
// with pthread keys (which run after them) and with objects first touched inside a destructor.
// glibc registers each through __cxa_thread_atexit_impl, which itself calls calloc.
// Trap 4 (anchors.md), issue line 6. Arguments: threads, allowed growth in KiB.
#include "check.h"
#include <memory>
#include <pthread.h>
#include <string>
#include <vector>

static long late_objects, key_destructors;
static pthread_key_t key;

struct Late {
    std::vector<std::string> words;
    Late() : words(20, std::string(100, 'l')) {}
    ~Late() {
        words.push_back(std::string(500, 'x'));
        for (auto &word : words)
            CHECK(word[0] == 'l' || word[0] == 'x', "a string changed");
        __atomic_fetch_add(&late_objects, 1, __ATOMIC_RELAXED);
    }
};

static Late &late() {
    static thread_local Late object;
    return object;
}

struct Early {
    std::unique_ptr<char[]> block{new char[4000]};
    Early() { fill(block.get(), 4000, 7); }
    ~Early() {
        CHECK(filled(block.get(), 4000, 7), "a block changed before its destructor");
        std::string text(3000, 'x');
        late().words.push_back(text); // registers another destructor while the hooks run
    }
};

static thread_local Early early;
static thread_local std::vector<int> numbers;

static void key_destructor(void *value) {
    std::string *text = static_cast<std::string *>(value);
    CHECK(text->size() == 1000, "the key's string changed");
    *text += std::string(5000, 'k');
    delete text;
    __atomic_fetch_add(&key_destructors, 1, __ATOMIC_RELAXED);
}

static void *body(void *unused) {
    for (int i = 0; i < 1000; i++)
        numbers.push_back(i);
    CHECK(filled(early.block.get(), 4000, 7), "a fresh object is wrong");
    pthread_setspecific(key, new std::string(1000, 'k'));
    return unused;
}

int main(int argc, char **argv) {
    long threads = number_arg(argc, argv, 1, 4000), growth = number_arg(argc, argv, 2, 2048), base = 0;
    CHECK(pthread_key_create(&key, key_destructor) == 0, "pthread_key_create");
    for (long done = 0; done < threads; done += 4) {
        pthread_t ids[4];
        if (done >= threads / 4 && base == 0)
            base = rss_kib();
        for (auto &id : ids)
            CHECK(pthread_create(&id, nullptr, body, nullptr) == 0, "pthread_create");
        for (auto &id : ids)
            pthread_join(id, nullptr);
    }
    long end = rss_kib();
    CHECK(late_objects == threads && key_destructors == threads, "%ld and %ld destructors of %ld threads",
          late_objects, key_destructors, threads);
    printf("RSS after a quarter of the threads %ld KiB, at the end %ld KiB\n", base, end);
    CHECK(end - base <= growth, "grew by %ld KiB, allowed %ld", end - base, growth);
    body(nullptr); // main's own objects are destroyed by exit
    return 0;
}

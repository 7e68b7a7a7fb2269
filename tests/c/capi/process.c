/* Figures, options, trim and version from C: structs of other sizes, texts that do not fit, bad arguments. The JSON
 * goes to standard output, for the test to read. */
#include "../check.h"
#include "../../../include/stratalloc.h"

static void figures(void) {
    struct strat_stats now;
    strat_free(strat_malloc(1)); /* A process that never allocated has no heap. */
    memset(&now, 0xee, sizeof now);
    now.size = sizeof now;
    errno = 7;
    CHECK(strat_stats_get(&now) == 0 && now.size == sizeof now, "filled %zu", now.size);
    CHECK(now.allocated <= now.touched && now.touched <= now.active && now.active <= now.mapped, "order");
    CHECK(now.active + now.dirty + now.clean == now.mapped && now.heaps >= 1 && now.os_calls >= 1, "sums");
    struct strat_stats then = now;
    char *block = strat_malloc(10 * MIB);
    CHECK(strat_stats_get(&now) == 0 && now.allocated >= then.allocated + 10 * MIB, "%zu more", now.allocated - then.allocated);
    CHECK(now.large_live == then.large_live + 1 && now.large_bytes >= then.large_bytes + 10 * MIB, "a large block");
    CHECK(now.large_allocs == then.large_allocs + 1 && now.peak_active >= now.active, "counted");
    memset(block, 1, 10 * MIB);
    strat_free(block);
    CHECK(strat_trim(0), "10 MiB go back");
    CHECK(strat_stats_get(&now) == 0 && now.dirty == 0 && now.purged > then.purged && now.purges > then.purges, "%zu dirty", now.dirty);
    CHECK(!strat_trim(0), "nothing is left to go back");

    /* An older program's struct, and a newer one's. */
    struct {
        struct strat_stats stats;
        char more[64];
    } larger;
    memset(&larger, 0x77, sizeof larger);
    larger.stats.size = sizeof larger;
    CHECK(strat_stats_get(&larger.stats) == 0 && larger.stats.size == sizeof(struct strat_stats), "%zu", larger.stats.size);
    for (size_t i = 0; i < sizeof larger.more; i++)
        CHECK(larger.more[i] == 0x77, "written beyond what the library knows");
    memset(&now, 0x77, sizeof now);
    now.size = offsetof(struct strat_stats, dirty);
    CHECK(strat_stats_get(&now) == 0 && now.size == offsetof(struct strat_stats, dirty), "%zu", now.size);
    CHECK(now.allocated <= now.touched && now.dirty == (size_t)0x7777777777777777, "written beyond the struct");
    now.size = sizeof(size_t);
    CHECK(strat_stats_get(&now) == EINVAL && strat_stats_get(NULL) == EINVAL, "no struct");
    CHECK(errno == 7, "errno %d", errno);
}

static void json(void) {
    char text[65536], cut[65536];
    void *block = strat_malloc(100); /* So that a class is in use. */
    size_t length = strat_stats_json(text, sizeof text);
    CHECK(length < sizeof text && strlen(text) == length, "%zu", length);
    CHECK(text[0] == '{' && text[length - 1] == '}', "not an object");
    size_t counted = strat_stats_json(NULL, 0);
    CHECK(counted > length / 2 && counted < length * 2, "counted %zu, written %zu", counted, length);
    for (size_t room = 0; room < 200; room++) {
        memset(cut, 'x', sizeof cut);
        CHECK(strat_stats_json(cut, room) > 200, "the whole length");
        CHECK(room == 0 || (strlen(cut) == room - 1 && memcmp(cut, text, room < 10 ? room - 1 : 9) == 0), "cut at %zu", room);
        CHECK(cut[room] == 'x', "written beyond %zu", room);
    }
    puts(text);
    strat_free(block);
}

static void options(void) {
    char value[64];
    CHECK(strat_option_get("dirty_min", value, sizeof value) == 2 && strcmp(value, "2M") == 0, "%s", value);
    CHECK(strat_option_set("purge_delay", "250") == 0, "set");
    CHECK(strat_option_get("purge_delay", value, sizeof value) == 3 && strcmp(value, "250") == 0, "%s", value);
    CHECK(strat_option_get("purge_delay", value, 2) == 3 && strcmp(value, "2") == 0, "%s", value);
    CHECK(strat_option_get("purge_delay", NULL, 0) == 3, "counted");
    CHECK(strat_option_get("report", value, sizeof value) == 0 && value[0] == 0, "empty");
    CHECK(strat_option_get("misuse", value, sizeof value) == 5 && strcmp(value, "abort") == 0, "%s", value);
    /* What one gives, the other takes. */
    CHECK(strat_option_set("misuse", value) == 0 && strat_option_set("dirty_min", "3M") == 0, "back");
    strcpy(value, "as before");
    errno = 0;
    CHECK(strat_option_get("purge_dealy", value, sizeof value) == -1 && errno == EINVAL, "errno %d", errno);
    errno = 0;
    CHECK(strat_option_get(NULL, value, sizeof value) == -1 && errno == EINVAL, "errno %d", errno);
    CHECK(strcmp(value, "as before") == 0, "%s", value);
}

int main(void) {
    figures();
    json();
    options();
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", STRAT_VERSION_MAJOR, STRAT_VERSION_MINOR, STRAT_VERSION_PATCH);
    CHECK(strcmp(strat_version(), version) == 0, "header %s, library %s", version, strat_version());
    return 0;
}

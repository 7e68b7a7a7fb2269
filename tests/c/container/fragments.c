/* Holes that no larger block fits into, then larger blocks: what is free and resident must go before the
 * container's limit is reached. Models a service that loads many small records, drops half of them, and
 * builds large tables next. Issue 4, line 6.
 *
 * Arguments: MiB of records, MiB of tables. Half of the records stay. */
#include "check.h"

int main(int argc, char **argv) {
    /* Two blocks of 60 KiB do not fit into one hole of 64 KiB. */
    size_t record = 60 * KIB, count = (size_t)number_arg(argc, argv, 1, 80) * MIB / record;
    size_t tables = (size_t)number_arg(argc, argv, 2, 70);
    char **records = calloc(count, sizeof *records);
    CHECK(records != NULL, "the table of records");
    for (size_t i = 0; i < count; i++) {
        records[i] = malloc(record);
        CHECK(records[i] != NULL, "record %zu", i);
        fill(records[i], record, i);
    }
    for (size_t i = 0; i < count; i += 2)
        free(records[i]);
    printf("RSS after records: %ld KiB\n", rss_kib());
    fflush(stdout);
    for (size_t i = 0; i < tables; i++) {
        char *table = malloc(MIB);
        CHECK(table != NULL, "table %zu", i);
        memset(table, 1, MIB);
    }
    for (size_t i = 1; i < count; i += 2)
        CHECK(filled(records[i], record, i), "record %zu", i);
    printf("RSS at the end: %ld KiB\n", rss_kib());
    return 0;
}

/* table.c: libFuzzer over tables: CSV, TSV and JSON lines, by the first byte.
 *
 * Any bytes end in a message, or in rows of as many cells as there are columns, each of which may be read.
 */
#include "tasks/table.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const char *const names[] = { "fuzz.csv", "fuzz.tsv", "fuzz.jsonl" };
    if (size == 0) return 0;
    wk__table table;
    char *text = wk_alloc(size);
    if (!text) abort();
    memcpy(text, bytes + 1, size - 1);
    static volatile size_t sink;
    if (wk__table_parse(&table, names[bytes[0] % 3], text, size - 1, bytes[0] & 64) == WK_OK) {
        for (int64_t i = 0; i < table.rows * table.columns; i++) sink = sink + strlen(table.cell[i]);
        for (int64_t i = 0; i < table.columns; i++) sink = sink + strlen(table.name[i]);
        for (int64_t i = 0; i < table.rows; i++)
            if (table.line[i] < 1 || (i && table.line[i] < table.line[i - 1])) abort();
    } else if (wk_error_code() != WK_FORMAT) {
        abort();
    }
    wk_clear_error();
    wk__table_free(&table);
    return 0;
}

/* runs.c: libFuzzer over rows of metrics, as CSV and as lines of JSON. */
#include "train/runs/run.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void expect(bool holds) {
    if (!holds) abort();
}

/* The first byte says which of the two. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (size < 1) return 0;
    char *text = malloc(size);
    expect(text != NULL);
    memcpy(text, bytes + 1, size - 1);
    text[size - 1] = '\0';
    wk__run_table table;
    wk_status status = wk__run_table_parse(&table, text, bytes[0] == 'j');
    expect((status == WK_OK) != wk_failed());
    double sum = 0;
    for (int64_t i = 0; status == WK_OK && i < table.rows * table.columns; i++) sum += table.cell[i];
    (void)sum; /* every cell was read */
    if (status == WK_OK && table.columns) expect(wk__run_table_column(&table, table.column[0]) == 0);
    wk_clear_error();
    wk__run_table_free(&table);
    free(text);
    return 0;
}

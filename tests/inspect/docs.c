/* The op reference in docs/ops is what the table and the headers say now. */
#include "support/program.h"
#include "wick/inspect.h"
#include "wick/op.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS    WICK_SOURCE_DIR "/include/wick/ops"
#define CHECKED_IN WICK_SOURCE_DIR "/docs/ops"

static char *page_of(const char *folder, const char *name) {
    char path[600];
    size_t size;
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return read_bytes(path, &size);
}

static int count_pages(const char *folder) {
    DIR *open = opendir(folder);
    cr_assert_not_null(open, "%s", folder);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(open));) {
        size_t length = strlen(entry->d_name);
        count += length > 3 && strcmp(entry->d_name + length - 3, ".md") == 0;
    }
    (void)closedir(open);
    return count;
}

static void expect_page(const char *written, const char *name) {
    char *now = page_of(written, name), *before = page_of(CHECKED_IN, name);
    cr_expect(before && strcmp(now, before) == 0, "docs/ops/%s is out of date: run `build/bin/wick op --docs docs/ops`",
              name);
    free(now);
    free(before);
}

Test(op_reference, is_up_to_date) {
    const char *folder = fresh_folder("op_docs");
    cr_assert_eq(wk_op_docs_write(folder, HEADERS), WK_OK, "%s", wk_message());
    expect_page(folder, "README.md");
    for (int id = 0; id < wk_op_count(); id++) {
        const wk_op_def *op = wk_op_get(id);
        bool first = !op->internal;
        for (int before = 0; before < id && first; before++)
            first = wk_op_get(before)->internal || strcmp(wk_op_family(wk_op_get(before)), wk_op_family(op)) != 0;
        char name[80];
        (void)snprintf(name, sizeof name, "%s.md", wk_op_family(op));
        if (first) expect_page(folder, name);
    }
    cr_expect_eq(count_pages(folder), count_pages(CHECKED_IN), "docs/ops holds a page of no family");
    remove_folder(folder);
}

/* Rows that are reached by functions of another name. */
static bool has_other_name(const char *row) {
    return strcmp(row, "copy") == 0 || strcmp(row, "lstm_projected") == 0 || strcmp(row, "weighted_bincount") == 0;
}

Test(op_reference, is_complete) {
    const char *folder = fresh_folder("op_docs");
    cr_assert_eq(wk_op_docs_write(folder, HEADERS), WK_OK, "%s", wk_message());
    for (int id = 0; id < wk_op_count(); id++) {
        const wk_op_def *op = wk_op_get(id);
        if (op->internal) continue;
        char page[80], heading[120], function[120];
        (void)snprintf(page, sizeof page, "%s.md", wk_op_family(op));
        (void)snprintf(heading, sizeof heading, "\n## %s\n", op->name);
        (void)snprintf(function, sizeof function, "wk_%s(", op->name);
        char *text = page_of(folder, page);
        const char *section = strstr(text, heading);
        cr_expect(section, "%s is not in %s", op->name, page);
        cr_expect(has_other_name(op->name) || (section && strstr(section, function)), "%s: no declaration was found",
                  op->name);
        free(text);
    }
    remove_folder(folder);
}

Test(op_reference, needs_the_headers) {
    cr_assert_eq(wk_op_docs_write(fresh_folder("op_docs"), "/nowhere"), WK_IO);
    cr_expect_str_eq(wk_message(), "/nowhere: cannot be read; run this at the root of Wick's sources");
    wk_clear_error();
}

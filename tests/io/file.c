/* file.c: files that appear whole: large ones past the page cache, where the file system lets them, and all others. */
#define WK_NO_CALL_SITES
#include "io/file.h"
#include "support/program.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { SIZE = 3 << 20, ODD = 123 };

static wk__pages make_pages(size_t size) {
    wk__pages pages = { 0 };
    cr_assert_eq(wk__pages_make(&pages, size), WK_OK);
    for (size_t i = 0; i < size; i++) pages.bytes[i] = (char)(i * 31 + i / 4096);
    return pages;
}

static void expect_written(const char *path, const char *bytes, size_t size) {
    size_t read = 0;
    cr_assert_eq(wk__write_file(path, bytes, size), WK_OK, "%s", wk_message());
    char *found = wk__read_file(path, SIZE + 4096, &read);
    cr_assert_not_null(found, "%s", wk_message());
    cr_expect(read == size && memcmp(found, bytes, size) == 0, "%s: %zu bytes, expected %zu", path, read, size);
    wk_free(found);
}

Test(file, large_and_small_whole_and_odd) {
    char folder[400], path[500];
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("file"));
    (void)snprintf(path, sizeof path, "%s/bytes", folder);
    wk__pages pages = make_pages(SIZE + ODD);
    expect_written(path, pages.bytes, SIZE);
    expect_written(path, pages.bytes, SIZE + ODD);
    expect_written(path, pages.bytes + 1, SIZE); /* begins on no page */
    expect_written(path, pages.bytes, ODD);
    expect_written(path, pages.bytes, 0);
    wk__pages_free(&pages);
    remove_folder(folder);
}

Test(file, pages_are_used_again) {
    wk__pages pages = make_pages(SIZE);
    cr_expect_eq((size_t)pages.bytes % 4096, 0);
    const void *block = pages.block;
    cr_assert_eq(wk__pages_make(&pages, ODD), WK_OK);
    cr_expect(pages.block == block && pages.size == ODD);
    cr_assert_eq(wk__pages_make(&pages, SIZE), WK_OK);
    cr_expect(pages.block == block && pages.size == SIZE);
    cr_assert_eq(wk__pages_make(&pages, SIZE + 1), WK_OK);
    cr_expect_eq((size_t)pages.bytes % 4096, 0);
    wk__pages_free(&pages);
    cr_expect_null(pages.bytes);
}

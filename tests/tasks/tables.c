/* tables.c: the example of a table, whole, and what a table may not be; the recipes of Fashion-MNIST, two steps each.
 */
#include "tasks/support.h"

#include "base/base.h"
#include "support/allocator.h"
#include "wick/text.h"
#include "wick/train.h"

#include <stdlib.h>
#include <string.h>

TestSuite(tables, .init = task_set_up, .fini = task_tear_down);
TestSuite(tokens, .init = task_set_up, .fini = task_tear_down);

#define HOUSES "data.args.file=" WICK_SOURCE_DIR "/examples/csv_regression/houses.csv"

Test(tables, prices_are_learned) {
    free(task_train(EXAMPLE("csv_regression"), WORDS("-o", HOUSES)));
    cr_expect_gt(task_metric("val_r2", false), 0.95, "%g", task_metric("val_r2", false));
    cr_expect_lt(task_metric("val_mae", false), 0.2, "%g of a deviation", task_metric("val_mae", false));
}

static wk_status read_args(const char *args, wk_dataset **train, wk_dataset **evaluation) {
    return task_data("csv", args, train, evaluation);
}

/* Of one that is written, with more args. */
static wk_status read_table(const char *text, const char *args, wk_dataset **train, wk_dataset **evaluation) {
    char all[1200];
    write_bytes(task_path("t.csv"), text, strlen(text));
    (void)snprintf(all, sizeof all, "file: %s, %s", task_path("t.csv"), args);
    return read_args(all, train, evaluation);
}

static void refused(const char *text, const char *args, const char *expected) {
    wk_dataset *train = NULL, *evaluation = NULL;
    cr_expect_neq(read_table(text, args, &train, &evaluation), WK_OK);
    cr_expect(strstr(wk_message(), expected), "%s", wk_message());
    wk_clear_error();
}

Test(tables, numbers_categories_and_what_is_missing) {
    static const char table[] = "a,b,y\n1,red,10\n3,blue,20\n,red,30\n5,blue,\n";
    wk_dataset *train = NULL, *evaluation = NULL;
    cr_assert_eq(read_table("a,b,y\n1,red,10\n3,blue,20\n,red,30\n",
                            "target: y, categories: [b], missing: mean, val_part: 0", &train, &evaluation),
                 WK_OK, "%s", wk_message());
    cr_assert_eq(train->count, 3);
    cr_assert_null(evaluation);
    float in[9], out[3]; /* a by mean 2 and deviation 1, blue, red */
    const float expected[9] = { -1, 0, 1, 1, 1, 0, 0, 0, 1 };
    cr_assert_eq(train->class_->fetch(train, (int64_t[]){ 0, 1, 2 }, 3, in, out), WK_OK);
    for (int i = 0; i < 9; i++) cr_expect_float_eq(in[i], expected[i], 1e-6, "%d: %g", i, in[i]);
    cr_expect_float_eq(out[2], 30, 1e-6);
    wk_dataset_destroy(train);

    cr_assert_eq(read_table(table,
                            "target: b, features: a, task: classes, missing: drop, normalise: false, val_part: 0.3",
                            &train, &evaluation),
                 WK_OK, "%s", wk_message());
    cr_expect_eq(train->count, 2);
    cr_expect_eq(evaluation->count, 1);
    cr_expect_eq(train->classes, 2);
    wk_dataset_destroy(train);
    wk_dataset_destroy(evaluation);

    refused(table, "target: y, categories: [b]", "t.csv:4: a value is missing; missing: drop leaves such rows out");
    refused(table, "target: y, categories: [b], missing: mean", "t.csv:5: the value to predict is missing");
    refused(table, "target: y, missing: drop",
            "t.csv:2: column \"b\": \"red\" is no number (a name? list the column under categories)");
    refused(table, "target: z", "no column \"z\" (there are: a, b, y)");
    refused(table, "target: y, categories: [c]", "no column \"c\"");
    refused(table, "target: [a, b, y]", "there are 0 columns to predict from and 3 to predict");
    refused("a,y\n1,2\n1\n", "target: y", "t.csv:3: 1 values, expected 2");
}

/* Rows of many kinds: quoted cells with line breaks, empty lines, gaps; read from memory and from the file. */
static char *make_rows(int64_t rows) {
    wk_text text = { 0 };
    static const char *const colours[] = { "red", "\"deep\n\"\"blue\"\"\"", "green", "\"a,b\"" };
    wk_text_puts(&text, "\xEF\xBB\xBF"
                        "size,colour,price,kind\r\n");
    for (int64_t i = 0; i < rows; i++) {
        const bool gap = i % 17 == 3;
        char size[32];
        (void)snprintf(size, sizeof size, "%.3f", (double)(i * 37 % 101) / 7);
        wk_text_printf(&text, "%s,%s,%lld,%s\r\n%s", gap ? "" : size, colours[i * i % 4], (long long)(i * 11 % 53),
                       i % 3 ? "x" : "y", i % 29 == 0 ? "\n" : "");
    }
    return text.data;
}

static void expect_same(const wk_dataset *a, const wk_dataset *b, int64_t b_first) {
    float in[2][16], out[2][4] = { { 0 }, { 0 } };
    cr_assert_eq(a->input_dims.size[0], b->input_dims.size[0]);
    cr_assert_eq(a->classes, b->classes);
    for (int64_t i = 0; i < a->count; i++) {
        const int64_t other = b_first + i;
        cr_assert_eq(wk_dataset_fetch(a, (wk_moment){ 0 }, &i, 1, in[0], out[0]), WK_OK, "%s", wk_message());
        cr_assert_eq(wk_dataset_fetch(b, (wk_moment){ 0 }, &other, 1, in[1], out[1]), WK_OK);
        cr_assert_arr_eq(in[0], in[1], (size_t)a->input_dims.size[0] * sizeof(float), "row %lld", (long long)i);
        cr_assert_arr_eq(out[0], out[1], sizeof out[0], "row %lld", (long long)i);
    }
}

Test(tables, a_file_read_row_by_row_has_the_same_items) {
    static const char *const args[] = {
        "target: price, categories: [colour, kind], missing: drop, normalise_target: true, val_part: 0",
        "target: [price, size], features: [colour, kind], categories: [colour, kind], missing: drop, val_part: 0",
        "target: kind, features: [colour, size, price], categories: colour, task: classes, missing: mean, val_part: 0",
    };
    for (int64_t rows = 1; rows <= 300; rows += rows == 1 ? 62 : rows < 66 ? 1 : 234) {
        char *text = make_rows(rows + 9); /* two words of each column at least */
        for (int i = 0; i < 3; i++) {
            wk_dataset *whole = NULL, *streamed = NULL, *none = NULL;
            char more[300];
            (void)snprintf(more, sizeof more, "%s, stream: true", args[i]);
            cr_assert_eq(read_table(text, args[i], &whole, &none), WK_OK, "%s", wk_message());
            cr_assert_eq(read_table(text, more, &streamed, &none), WK_OK, "%s", wk_message());
            cr_assert_eq(streamed->count, whole->count);
            expect_same(streamed, whole, 0);
            cr_expect_eq(streamed->block, 8192);
            wk_dataset_destroy(whole);
            wk_dataset_destroy(streamed);
        }
        wk_free(text);
    }
    /* The last rows are those to evaluate on. */
    wk_dataset *whole = NULL, *train = NULL, *evaluation = NULL, *none = NULL;
    char *text = make_rows(200);
    cr_assert_eq(read_table(text,
                            "target: price, features: [colour], categories: colour, normalise: false, val_part: 0",
                            &whole, &none),
                 WK_OK);
    cr_assert_eq(
        read_table(
            text,
            "target: price, features: [colour], categories: colour, normalise: false, val_part: 0.25, stream: true",
            &train, &evaluation),
        WK_OK, "%s", wk_message());
    cr_assert_eq(train->count, 150);
    cr_assert_eq(evaluation->count, 50);
    expect_same(train, whole, 0);
    expect_same(evaluation, whole, 150);
    wk_dataset_destroy(whole);
    wk_dataset_destroy(train);
    wk_dataset_destroy(evaluation);
    wk_free(text);
    refused("a,y\n1,2\n1\n", "target: y, stream: true", "t.csv:3: 1 values, expected 2");
    refused("a,y\n1,2\n\"1,2\n", "target: y, stream: true", "t.csv:3: a quote is opened and not closed");
    refused("a,y\n1,2\nx,2\n", "target: y, stream: true", "t.csv:3: column \"a\": \"x\" is no number");
    refused("a,y\n1,2\n,2\n", "target: y, stream: true", "t.csv:3: a value is missing");
    refused("a,y\n", "target: y, stream: true", "there are no rows in it");
    refused("\n\n", "target: y, stream: true", "the file is empty, expected a header");
}

/* What is held does not grow with the file. */
Test(tables, a_file_read_row_by_row_needs_little_memory) {
    wk_dataset *d = NULL, *none = NULL;
    allocator_watch();
    for (int turn = 0; turn < 2; turn++) {
        char *text = make_rows(turn ? 60000 : 15000);
        const size_t size = strlen(text);
        cr_assert_gt(size, turn ? 1000000 : 250000);
        write_bytes(task_path("large.csv"), text, size);
        wk_free(text);
        char args[700];
        (void)snprintf(args, sizeof args,
                       "file: %s, target: price, categories: [colour, kind], missing: drop, stream: true, val_part: 0",
                       task_path("large.csv"));
        (void)allocator_peak();
        cr_assert_eq(read_args(args, &d, &none), WK_OK, "%s", wk_message());
        wk_loader *loader =
            wk_loader_create(d, (wk_loader_opts){ .batch_size = 500, .workers = 2, .sampler = { .shuffle = true } });
        wk_batch batch;
        int64_t items = 0;
        cr_assert_eq(wk_loader_start(loader, 0, 0), WK_OK);
        for (int i = 0; i < 10 && wk_loader_next(loader, &batch); i++) items += batch.size;
        cr_expect_eq(items, 5000, "%s", wk_message());
        wk_loader_destroy(loader);
        wk_dataset_destroy(d);
        cr_expect_lt(allocator_peak(), 700000, "a file of %zu bytes", size);
    }
}

/* ---- tokens ---- */

/* A file of numbers gives the windows that a text of those characters gives. */
Test(tokens, windows_are_those_of_the_text) {
    char text[4001], args[700];
    uint16_t narrow[4 + 4000];
    int32_t wide[4000];
    for (int i = 0; i < 4000; i++) text[i] = (char)('a' + (i * i + i / 7) % 26);
    text[4000] = '\0';
    wk_tokenizer *tokenizer = wk_tokenizer_characters(text, 4000);
    wk_encoding *encoding =
        wk_tokenizer_encode_bytes(tokenizer, text, 4000, NULL, 0, (wk_encode_opts){ .plain = true });
    cr_assert_eq(encoding->count, 4000);
    for (int i = 0; i < 4000; i++) narrow[4 + i] = (uint16_t)(wide[i] = encoding->ids[i]);
    wk_encoding_free(encoding);
    wk_tokenizer_destroy(tokenizer);
    write_bytes(task_path("text.txt"), text, 4000);
    write_bytes(task_path("tokens.bin"), narrow, sizeof narrow);
    write_bytes(task_path("wide.bin"), wide, sizeof wide);
    wk_dataset *whole[2] = { NULL, NULL };
    (void)snprintf(args, sizeof args, "file: %s, length: 16, stride: 5", task_path("text.txt"));
    cr_assert_eq(task_data("text", args, &whole[0], &whole[1]), WK_OK, "%s", wk_message());
    for (int turn = 0; turn < 2; turn++) {
        wk_dataset *mapped[2] = { NULL, NULL };
        (void)snprintf(args, sizeof args, "file: %s, length: 16, stride: 5, vocabulary: 26, %s",
                       task_path(turn ? "wide.bin" : "tokens.bin"),
                       turn ? "dtype: i32, shuffle_block: 32" : "header: 8");
        cr_assert_eq(task_data("tokens", args, &mapped[0], &mapped[1]), WK_OK, "%s", wk_message());
        cr_expect_eq(mapped[0]->block, turn ? 32 : 0);
        for (int part = 0; part < 2; part++) {
            cr_assert_eq(mapped[part]->count, whole[part]->count);
            for (int64_t i = 0; i < mapped[part]->count; i++) {
                int64_t a[2][16], b[2][16];
                cr_assert_eq(wk_dataset_fetch(mapped[part], (wk_moment){ 0 }, &i, 1, a[0], a[1]), WK_OK);
                cr_assert_eq(wk_dataset_fetch(whole[part], (wk_moment){ 0 }, &i, 1, b[0], b[1]), WK_OK);
                cr_assert_arr_eq(a, b, sizeof a, "window %lld", (long long)i);
            }
            wk_dataset_destroy(mapped[part]);
        }
    }
    for (int part = 0; part < 2; part++) wk_dataset_destroy(whole[part]);
}

Test(tokens, files_that_do_not_fit) {
    const uint16_t numbers[] = { 1, 2, 30, 4, 5, 6, 7, 8, 9 };
    wk_dataset *d = NULL, *none = NULL;
    char args[700];
    write_bytes(task_path("few.bin"), numbers, sizeof numbers);
    (void)snprintf(args, sizeof args, "file: %s, length: 4, vocabulary: 26, val_part: 0", task_path("few.bin"));
    cr_assert_eq(task_data("tokens", args, &d, &none), WK_OK, "%s", wk_message());
    int64_t in[4], out[4], item = 0;
    cr_expect_eq(wk_dataset_fetch(d, (wk_moment){ 0 }, &item, 1, in, out), WK_FORMAT);
    cr_expect(strstr(wk_message(), "few.bin: token 2 is 30, expected 0 to 25"), "%s", wk_message());
    wk_clear_error();
    wk_dataset_destroy(d);
    (void)snprintf(args, sizeof args, "file: %s, length: 4, vocabulary: 26, dtype: u32", task_path("few.bin"));
    cr_expect_neq(task_data("tokens", args, &d, &none), WK_OK);
    cr_expect(strstr(wk_message(), "few.bin: 18 bytes are no header of 0 and whole tokens of 4"), "%s", wk_message());
    wk_clear_error();
    (void)snprintf(args, sizeof args, "file: %s, length: 40, vocabulary: 26", task_path("few.bin"));
    cr_expect_neq(task_data("tokens", args, &d, &none), WK_OK);
    cr_expect(strstr(wk_message(), "there are 9 tokens"), "%s", wk_message());
    wk_clear_error();
}

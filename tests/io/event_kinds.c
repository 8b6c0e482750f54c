/* event_kinds.c: text, histograms, images and hyperparameters in event files, against TensorBoard's own messages
 * (tests/golden/events.py). */
#include "io/event_file.h"
#include "support/program.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* The data of record `index` is the golden line's. */
static void expect(const wk_text *records, int index, const char *name) {
    char *golden = read_bytes(WICK_SOURCE_DIR "/tests/golden/events.txt", NULL), *at = strstr(golden, name);
    cr_assert(at && (at == golden || at[-1] == '\n'), "%s is missing", name);
    at += strlen(name) + 1;
    const unsigned char *record = (const unsigned char *)records->data;
    uint64_t size = 0;
    for (;; index--) {
        memcpy(&size, record, 8);
        if (index == 0) break;
        record += size + 16;
    }
    cr_assert_eq(strcspn(at, "\n"), 2 * size, "%s has %zu bytes, expected %zu", name, (size_t)size,
                 strcspn(at, "\n") / 2);
    for (uint64_t i = 0; i < size; i++) {
        char byte[3] = { at[2 * i], at[2 * i + 1], '\0' };
        cr_assert_eq(record[12 + i], strtoul(byte, NULL, 16), "%s: byte %zu is %02x, expected %s", name, (size_t)i,
                     record[12 + i], byte);
    }
    free(golden);
}

Test(event_kinds, text) {
    wk_text records = { 0 };
    wk__event_text(&records, 1.5, 3, "note", "*hello*");
    expect(&records, 0, "text");
    wk_text_free(&records);
}

Test(event_kinds, histogram) {
    static const double values[] = { 0.5, 0.51, -2.0, 3.0, 3.0, 1e-3 };
    wk_text records = { 0 };
    wk__event_histogram(&records, 1.5, 7, "w", values, 6);
    expect(&records, 0, "histogram");
    wk_text_free(&records);
    wk__event_histogram(&records, 1.5, 7, "w", NULL, 0);
    cr_expect(!records.failed && records.size > 0, "of nothing too");
    wk_text_free(&records);
}

Test(event_kinds, pr_curve) {
    float rows[18];
    for (int i = 0; i < 18; i++) rows[i] = (float)i / 4;
    wk_text records = { 0 };
    wk__event_pr_curve(&records, 1.5, 9, "curve", rows, 3);
    expect(&records, 0, "pr_curve");
    wk_text_free(&records);
}

Test(event_kinds, layout) {
    static const wk__board_chart charts[] = { { "losses", "both", "loss" },
                                              { "losses", "val", "val_.*" },
                                              { "rates", "lr", "lr" } };
    wk_text records = { 0 };
    wk__event_layout(&records, 1.5, charts, 3);
    expect(&records, 0, "layout");
    wk_text_free(&records);
}

Test(event_kinds, hparams) {
    static const wk__hparam lr = { "lr", "0.25", WK__HPARAM_NUMBER };
    static const char *const metrics[] = { "hp_metric" };
    wk_text records = { 0 };
    wk__event_hparams(&records, 1.5, &lr, 1, metrics, 1);
    wk__event_session_end(&records, 1.5, WK__SESSION_SUCCESS);
    expect(&records, 0, "experiment");
    expect(&records, 1, "session_start_info");
    expect(&records, 2, "session_end_info");
    wk_text_free(&records);
}

Test(event_kinds, audio) {
    static const float samples[] = { 0.5F, -0.25F, 1, -1, 3, 1e-4F };
    wk_text records = { 0 };
    wk__event_audio(&records, 1.5, 4, "beep", samples, 3, 2, 8000);
    expect(&records, 0, "audio");
    wk_text_free(&records);
}

Test(event_kinds, mesh) {
    static const float faces[] = { 0, 1, 2 };
    float points[12], colours[12];
    for (int i = 0; i < 12; i++) points[i] = (float)i, colours[i] = (float)(20 * i);
    const wk__mesh mesh = { .points = points, .faces = faces, .colours = colours, 1, 4, 1, NULL };
    wk_text records = { 0 };
    wk__event_mesh(&records, 1.5, 5, "shape", &mesh);
    expect(&records, 0, "mesh_points");
    expect(&records, 1, "mesh_faces");
    expect(&records, 2, "mesh_colours");
    wk_text_free(&records);
}

Test(event_kinds, graph) {
    static const char *const weight = "fc/weight", *const linear = "fc/linear";
    const wk_dims of_weight = WK_DIMS(3, 4), of_linear = WK_DIMS(2, 3), of_sum = { 0 };
    const wk__graph_part parts[] = { { weight, "parameter", NULL, 0, &of_weight, 1 },
                                     { linear, "linear", &weight, 1, &of_linear, 1 },
                                     { "sum", "sum", &linear, 1, &of_sum, 1 } };
    wk_text records = { 0 };
    wk__event_graph(&records, 1.5, parts, 3);
    expect(&records, 0, "graph");
    wk_text_free(&records);
}

static uint32_t big(const unsigned char *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The PNG inside is read back: sizes, checksums of its parts, and every pixel. */
Test(event_kinds, image) {
    unsigned char pixels[5 * 3 * 3], rows[5 * (3 * 3 + 1)];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (unsigned char)(i * 5);
    wk_text records = { 0 };
    cr_assert_eq(wk__event_image(&records, 1.5, 1, "picture", pixels, 5, 3, 3), WK_OK);
    const unsigned char *png = memmem(records.data, records.size, "\x89PNG\r\n\x1a\n", 8);
    cr_assert_not_null(png);
    cr_expect_not_null(memmem(records.data, records.size, "images", 6));
    const unsigned char *at = png + 8;
    cr_expect_eq(big(at + 8), 3);
    cr_expect_eq(big(at + 12), 5);
    cr_expect(at[16] == 8 && at[17] == 2, "eight bits, RGB");
    for (int part = 0; part < 3; part++) {
        uint32_t size = big(at);
        cr_expect_eq(big(at + 8 + size), (uint32_t)crc32(0, at + 4, size + 4), "the checksum of part %d", part);
        uLongf unpacked = sizeof rows;
        if (part == 1) cr_expect_eq(uncompress(rows, &unpacked, at + 8, size), Z_OK);
        at += size + 12;
    }
    for (int y = 0; y < 5; y++) {
        cr_expect_eq(rows[y * 10], 0);
        cr_expect_eq(memcmp(rows + y * 10 + 1, pixels + y * 9, 9), 0, "row %d", y);
    }
    wk_text_free(&records);
}

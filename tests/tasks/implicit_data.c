/* implicit_data.c: what LIIF learns from: coarse parts, places, and the colours there. */
#define WK_NO_CALL_SITES
#include "tasks/support.h"

#include "tasks/tasks.h"
#include "train/config.h"
#include "wick/ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

TestSuite(implicit_data, .init = task_set_up, .fini = task_tear_down);

/* The training half of a section `data`, given as flow YAML. */
static wk_dataset *data_of(const char *spec) {
    wk_dataset *train = NULL, *others = NULL;
    wk__run_config config;
    FILE *f = fopen(task_path("data.yaml"), "w");
    cr_assert_not_null(f);
    (void)fprintf(f, "data: %s\nmodel: { name: mlp }\noptimizer: { name: SGD, args: { lr: 1 } }\noutput: unused\n",
                  spec);
    (void)fclose(f);
    cr_assert_eq(wk__run_config_load(&config, task_path("data.yaml"), NULL, 0), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_make_data(&config.root, "data", &train, &others), WK_OK, "%s", wk_message());
    wk_dataset_destroy(others);
    wk__run_config_free(&config);
    return train;
}

typedef struct item {
    int64_t queries, high, wide; /* of the coarse picture */
    wk_tensor *input, *target;   /* (3, h, w), (Q, 7); scoped */
} item;
static item item_of(const wk_dataset *data, int64_t index) {
    const int64_t *in = data->input_dims.size, *out = data->target_dims.size;
    item it = { out[0], in[1], in[2], wk_empty(WK_F32, WK_DIMS(3, in[1], in[2])),
                wk_empty(WK_F32, WK_DIMS(out[0], 7)) };
    cr_assert_eq(out[1], 7);
    cr_assert_eq(data->class_->fetch(data, &index, 1, wk_data(it.input), wk_data(it.target)), WK_OK, "%s",
                 wk_message());
    return it;
}

/* The fine picture (1, 3, H, W) from all of its queries, which name each pixel once. */
static wk_tensor *fine_of(const item *it, int64_t high, int64_t wide) {
    wk_tensor *fine = wk_full(WK_F32, WK_DIMS(1, 3, high, wide), -1);
    const float *q = wk_data(it->target);
    float *pixel = wk_data(fine);
    cr_assert_eq(it->queries, high * wide);
    for (int64_t i = 0; i < it->queries; i++, q += 7) {
        const double row = ((double)q[0] + 1) * (double)high / 2 - 0.5,
                     column = ((double)q[1] + 1) * (double)wide / 2 - 0.5;
        const int64_t y = (int64_t)round(row), x = (int64_t)round(column);
        cr_assert(fabs(row - (double)y) < 1e-3 && fabs(column - (double)x) < 1e-3, "%g %g", row, column);
        cr_assert_float_eq(q[2], 2 / (double)high, 1e-6);
        cr_assert_float_eq(q[3], 2 / (double)wide, 1e-6);
        for (int c = 0; c < 3; c++) pixel[(c * high + y) * wide + x] = q[4 + c];
    }
    for (int64_t i = 0; i < wk_count(fine); i++) cr_assert_geq(pixel[i], 0, "a pixel without a query");
    return fine;
}

/* PIL.Image.fromarray(0.5 + 0.4 sin(0.7 i + 0.2), mode "F").resize((3, 4), BICUBIC) of 9 rows and 7 columns. */
Test(implicit_data, shrunk_as_pillow_does_it) {
    static const int64_t from[] = { 9, 7 }, to[] = { 4, 3 };
    static const double wanted[] = { 0.4257517, 0.7035577, 0.5831567, 0.5202972, 0.3208566, 0.4718628,
                                     0.4938538, 0.6803799, 0.5140402, 0.4564525, 0.2861501, 0.5341886 };
    float picture[2 * 63], coarse[2 * 12];
    for (int i = 0; i < 126; i++) picture[i] = (float)(0.5 + 0.4 * sin((i % 63) * 0.7 + 0.2));
    cr_assert_eq(wk__shrink(picture, 2, from, to, coarse), WK_OK);
    for (int i = 0; i < 24; i++) cr_expect_float_eq(coarse[i], wanted[i % 12], 2e-6, "%d: %.7g", i, (double)coarse[i]);
}

/* The coarse picture is all of the fine one, shrunk. */
Test(implicit_data, whole_pictures) {
    static const int64_t from[] = { 25, 25 }, to[] = { 10, 10 };
    wk_scope scope = wk_scope_begin();
    wk_dataset *data =
        data_of("{ name: sr-implicit-downsampled, args: { dataset: { name: pictures, args: { image_size: "
                "25 } }, scale_min: 2.5 } }");
    for (int64_t i = 0; i < 3; i++) {
        const item it = item_of(data, i);
        float wanted[300];
        cr_assert(it.high == 10 && it.wide == 10);
        cr_assert_eq(wk__shrink(wk_data(fine_of(&it, 25, 25)), 3, from, to, wanted), WK_OK);
        cr_expect_eq(memcmp(wk_data(it.input), wanted, sizeof wanted), 0, "picture %lld", (long long)i);
    }
    wk_dataset_destroy(data);
    wk_scope_end(scope);
}

/* Parts of pairs, turned, are still of one place: each coarse pixel is about the mean of its fine ones. */
Test(implicit_data, pairs_stay_together) {
    wk_scope scope = wk_scope_begin();
    wk_dataset *data = data_of("{ name: sr-implicit-paired, args: { dataset: { name: pictures, args: { image_size: 24, "
                               "scale: 2 } }, inp_size: 9, augment: true } }");
    for (int64_t i = 0; i < 6; i++) {
        const item it = item_of(data, i);
        wk_tensor *mean = wk_avg_pool2d(fine_of(&it, 18, 18), (wk_pool_opts){ .kernel = { 2, 2 } });
        wk_tensor *error = wk_mean(wk_abs(wk_sub(wk_reshape(mean, WK_DIMS(3, 9, 9)), it.input)), (wk_reduce_opts){ 0 });
        cr_expect_lt(wk_item(error), 0.03, "item %lld: %g", (long long)i, wk_item(error));
    }
    wk_dataset_destroy(data);
    wk_scope_end(scope);
}

/* An item is the same whenever it is asked for, alone or among others; `repeat` makes others of one picture. */
Test(implicit_data, items_are_functions_of_their_numbers) {
    wk_scope scope = wk_scope_begin();
    wk_dataset *data =
        data_of("{ name: sr-implicit-downsampled, args: { dataset: { name: pictures, args: { count: 3, "
                "image_size: 40 } }, inp_size: 8, scale_max: 4, sample_q: 30, augment: true, repeat: 2 } }");
    const int64_t both[] = { 5, 2 };
    float input[2][3 * 64], target[2][30 * 7];
    cr_assert_eq(data->count, 6);
    cr_assert_eq(data->class_->fetch(data, both, 2, input, target), WK_OK, "%s", wk_message());
    for (int k = 0; k < 2; k++) {
        const item it = item_of(data, both[k]);
        cr_expect_eq(memcmp(wk_data(it.input), input[k], sizeof input[k]), 0);
        cr_expect_eq(memcmp(wk_data(it.target), target[k], sizeof target[k]), 0);
        for (int q = 0; q < 30; q++)
            for (int other = 0; other < q; other++)
                cr_expect(memcmp(target[k] + 7 * q, target[k] + 7 * other, 2 * sizeof(float)) != 0, "asked twice");
        cr_expect(target[k][2] >= 2.0F / 32 && target[k][2] <= 2.0F / 8, "%g", (double)target[k][2]);
    }
    cr_expect(memcmp(input[0], input[1], sizeof input[0]) != 0, "5 and 2 are parts of one picture");
    wk_dataset_destroy(data);
    wk_scope_end(scope);
}

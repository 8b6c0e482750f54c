/* errors_rows.c: rows called with attributes as `wick op` and plug-ins may set them, past the functions that resolve
 * them. */
#include "support/refused.h"
#include "wick/op.h"
#include "wick/ops.h"

#include <string.h>

SCOPED_SUITE(errors_rows);

static void expect_refusal(const char *row, wk_tensor **in, int n_in, const void *attrs, const char *wanted) {
    wk_tensor *out[WK_MAX_OUT];
    cr_assert_neq(wk_op_run(wk_op_find(row), in, n_in, out, attrs), WK_OK, "%s", row);
    cr_expect(strncmp(wk_message(), wanted, strlen(wanted)) == 0, "message \"%s\"\n  expected \"%s\"", wk_message(),
              wanted);
    wk_clear_error();
}

Test(errors_rows, an_axis_that_nobody_resolved) {
    wk_tensor *x = wk_zeros(WK_F32, WK_DIMS(2, 3)), *rows = wk_zeros(WK_I64, WK_DIMS(2));
    wk_tensor *index = wk_zeros(WK_I64, WK_DIMS(2, 3));
    const wk_index_opts last = { -1 };
    expect_refusal("index_select", (wk_tensor *[]){ x, rows }, 2, &last, "index_select: axis -1 of a tensor of rank 2");
    expect_refusal("gather", (wk_tensor *[]){ x, index }, 2, &last,
                   "gather: index (2, 3) i64 for x (2, 3) f32 along axis -1: ranks must agree");
    expect_refusal("scatter", (wk_tensor *[]){ x, index, x }, 3, &last,
                   "scatter: x (2, 3) f32, index (2, 3) i64, source (2, 3) f32 along axis -1: ranks must agree");
    expect_refusal("concat", (wk_tensor *[]){ x, x }, 2, &(wk_concat_opts){ -5 }, "concat: axis -5");
}

/* An axis of 2^32 is not axis 0. */
Test(errors_rows, an_axis_beyond_an_int) {
    wk_tensor *x = wk_zeros(WK_F32, WK_DIMS(2, 3));
    static const char *const cases[][2] = { { "flatten", "first_axis" }, { "transpose", "axis_a" },
                                            { "select", "axis" },        { "unbind", "axis" },
                                            { "unsqueeze", "axis" },     { "stack", "axis" } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const wk_op_def *row = wk_op_find(cases[i][0]);
        int64_t attrs[8] = { 0 };
        char wanted[80];
        cr_assert_leq(row->attrs_size, sizeof attrs);
        cr_assert_eq(wk_op_set_attr(row, attrs, cases[i][1], "4294967296"), WK_OK, "%s", wk_message());
        (void)snprintf(wanted, sizeof wanted, "%s: ", row->name);
        expect_refusal(row->name, &x, 1, attrs, wanted);
        wk_clear_error();
    }
}

Test(errors_rows, numbers_that_name_nothing) {
    wk_tensor *x = wk_zeros(WK_F32, WK_DIMS(2, 3));
    const wk_expand_opts less = { { .rank = -3 } }, more = { { .rank = 9 } };
    expect_refusal("expand", &x, 1, &less, "expand: dims has -3 numbers, expected at most 8");
    expect_refusal("expand", &x, 1, &more, "expand: dims has 9 numbers, expected at most 8");
    const wk_cast_opts nothing = { (wk_dtype)12 };
    expect_refusal("cast", &x, 1, &nothing, "cast: 12 is no dtype");
    const wk_pad_opts mode = { .mode = 7 };
    expect_refusal("pad", &x, 1, &mode, "pad: mode is 7, expected one of 0 to 3: constant|reflect|replicate|circular");
    cr_expect_eq(wk_op_outputs(wk_op_find("split"), &x, 1, NULL), -1, "a size of 0");
    wk_clear_error();
}

Test(errors_rows, a_composite_names_itself) {
    wk_tensor *x = wk_zeros(WK_I64, WK_DIMS(3));
    expect_refusal("one_hot", &x, 1, &(wk_one_hot_opts){ INT64_C(1) << 60 },
                   "one_hot: 1152921504606846976 classes of 3 indices");
    wk_tensor *y = wk_zeros(WK_F32, WK_DIMS(2, 3));
    const wk_diag_embed_opts far = { INT64_C(1) << 61 };
    expect_refusal("diag_embed", &y, 1, &far, "diag_embed: offset 2305843009213693952, expected one between");
    const wk_diag_embed_opts least = { INT64_MIN };
    expect_refusal("diag_embed", &y, 1, &least, "diag_embed: offset -9223372036854775808, expected one between");
}

Test(errors_rows, numbers_whose_sums_overflow) {
    wk_tensor *x = wk_zeros(WK_F32, WK_DIMS(1, 4, 9));
    const wk_fold_opts fold = { .size = { 4, 4 }, .windows = { .kernel = { 2, INT64_MIN } } };
    expect_refusal(
        "fold", &x, 1, &fold,
        "fold: size 4, kernel -9223372036854775808, stride 0, padding 0, dilation 0: expected numbers from 0");
    wk_tensor *image = wk_zeros(WK_F32, WK_DIMS(1, 1, 4, 4)), *matrix = wk_zeros(WK_F32, WK_DIMS(3, 4));
    wk_tensor *volume = wk_permute(wk_zeros(WK_F32, WK_DIMS(1, 3, 4, 5, 2)), WK_DIMS(0, 4, 1, 2, 3));
    const wk_conv2d_opts far = { .padding = { INT64_MAX, 0 } };
    expect_refusal("conv2d", (wk_tensor *[]){ image, image, NULL }, 3, &far,
                   "conv2d: stride 1, dilation 1, padding 9223372036854775807, groups 1: expected at most 1048575");
    const wk_adaptive_pool_opts vast = { .size = { 2, INT64_C(1) << 31, INT64_C(1) << 40 } };
    expect_refusal("adaptive_max_pool3d_with_indices", &volume, 1, &vast,
                   "adaptive_max_pool3d_with_indices: the sizes multiply to more elements than memory can hold");
    const wk_pad_opts cut = { .before = WK_DIMS(INT64_MIN), .after = WK_DIMS(0) };
    expect_refusal("pad", &matrix, 1, &cut, "pad: more is cut off axis 1 than its size 4");
    const wk_diagonal_opts below = { .offset = INT64_MIN };
    expect_refusal("diagonal", &matrix, 1, &below, "diagonal: offset -9223372036854775808, expected one between");
    const wk_windows_opts step = { .axis = 0, .size = 2, .step = INT64_MAX };
    expect_refusal("windows", &matrix, 1, &step, "windows: size 2, step 9223372036854775807, dilation 1: expected");
    wk_tensor *none = wk_zeros(WK_F32, WK_DIMS(0));
    const wk_reshape_opts huge = { WK_DIMS(0, INT64_MAX, 3) };
    expect_refusal("reshape", &none, 1, &huge, "reshape: the sizes multiply to more elements than memory can hold");
    cr_expect_eq(wk_size(wk_slice(matrix, 0, 0, 3, INT64_MAX), 0), 1, "%s", wk_message());
    const wk_split_opts whole = { .size = INT64_MAX };
    cr_expect_eq(wk_op_outputs(wk_op_find("split"), &matrix, 1, &whole), 1);
}

/* sparse.c: gradients of tables as rows, and SparseAdam (tests/golden/sparse.py). */
#define WK_NO_CALL_SITES
#include "support/golden.h"
#include "support/refused.h"
#include "wick/autograd.h"
#include "wick/nn.h"
#include "wick/optim.h"

#include <math.h>
#include <string.h>

enum { ROWS = 11, WIDTH = 3, USED = 6 };
static const wk_embedding_opts as_rows = { .sparse = true };

SCOPED_SUITE(sparse);

static wk_tensor *table_of(wk_dtype dtype) {
    wk_tensor *t = wk_kept_zeros(WK_F64, WK_DIMS(ROWS, WIDTH));
    for (int64_t i = 0; i < wk_count(t); i++) ((double *)wk_data(t))[i] = sin((double)i * 0.7 + 0.2);
    wk_tensor *cast = wk_keep(wk_contiguous(wk_cast(t, dtype)));
    wk_release(t);
    return wk_require_grad(cast, true);
}
static wk_named_tensors only(wk_tensor *const *table) {
    static const char *const name = "table";
    return (wk_named_tensors){ table, &name, 1 };
}
static wk_tensor *index_of(int64_t step) {
    int64_t index[USED];
    for (int64_t i = 0; i < USED; i++) index[i] = (i * (step + 2) + step * step) % (ROWS - 1);
    return wk_from_array(WK_I64, WK_DIMS(USED), index);
}

static wk_status run_step(wk_tensor *table, int64_t step) {
    double wanted[USED * WIDTH];
    for (int i = 0; i < USED * WIDTH; i++) wanted[i] = cos((double)i + (double)step);
    wk_embedding_opts opts = { .padding_idx = WK_SET(3), .sparse = true };
    wk_tensor *y = wk_embedding(table, index_of(step), opts);
    wk_tensor *d = wk_sub(y, wk_from_array(WK_F64, WK_DIMS(USED, WIDTH), wanted));
    return wk_backward(wk_sum(wk_mul(d, d), (wk_reduce_opts){ 0 }));
}

Test(sparse, adam_as_pytorch) {
    wk_safetensors *file = golden_open("sparse.safetensors");
    wk_tensor *table = table_of(WK_F64), *rows, *values;
    wk_optim *optim = wk_sparse_adam(
        only(&table), (wk_sparse_adam_opts){ .lr = 0.05, .beta1 = WK_SET(0.8), .beta2 = WK_SET(0.95), .eps = 1e-6 });
    for (int64_t step = 0; step < 50; step++) {
        wk_scope scope = wk_scope_begin();
        wk_zero_grad(optim);
        cr_assert_eq(run_step(table, step), WK_OK, "%s", wk_message());
        if (step == 0) {
            cr_assert_eq(wk_gradient_rows(table, &rows, &values), WK_OK, "%s", wk_message());
            golden_expect_equal(rows, golden_get(file, "rows"), "rows");
            golden_expect_close(values, golden_get(file, "values"), 1e-14, "values");
        }
        cr_assert_eq(wk_optim_step(optim), WK_OK, "%s", wk_message());
        if (step == 0) golden_expect_close(wk_detach(table), golden_get(file, "table.1"), 1e-14, "after one step");
        wk_scope_end(scope);
    }
    golden_expect_close(wk_detach(table), golden_get(file, "table.50"), 1e-12, "after fifty steps");
    wk_named_tensors state = wk_optim_state(optim);
    for (int i = 0; i < state.count; i++)
        for (int k = 0; k < 2; k++) {
            const char *name = k ? "exp_avg_sq" : "exp_avg";
            const char *end = strrchr(state.name[i], '.') ? strrchr(state.name[i], '.') + 1 : state.name[i];
            if (strcmp(end, name) == 0) golden_expect_close(state.tensor[i], golden_get(file, "%s", name), 1e-12, name);
        }
    cr_expect_eq(wk_optim_steps(optim), 50);
    wk_optim_destroy(optim);
    wk_release(table);
    wk_safetensors_close(file);
}

/* Rows twice, rows and then a whole tensor, and asking for the tensor: the sum is that of plain embeddings. */
Test(sparse, rows_and_whole_tensors_add_up) {
    wk_tensor *a = table_of(WK_F32), *b = table_of(WK_F32), *rows, *values;
    for (int form = 0; form < 2; form++) {
        wk_tensor *table = form ? b : a;
        const wk_embedding_opts opts = { .sparse = form == 1 };
        wk_tensor *y = wk_add(wk_embedding(table, index_of(0), opts), wk_exp(wk_embedding(table, index_of(3), opts)));
        wk_tensor *total = wk_sum(wk_mul(y, y), (wk_reduce_opts){ 0 });
        cr_assert_eq(wk_backward(total), WK_OK, "%s", wk_message());
        cr_assert_eq(wk_gradient_rows(table, &rows, &values), WK_OK);
        cr_expect_eq(rows != NULL, form == 1);
        wk_tensor *whole = wk_sum(wk_mul(table, table), (wk_reduce_opts){ 0 });
        cr_assert_eq(wk_backward(whole), WK_OK, "%s", wk_message());
        cr_assert_eq(wk_gradient_rows(table, &rows, &values), WK_OK);
        cr_expect_null(rows, "a whole tensor from then on");
        cr_assert_eq(wk_backward(wk_sum(wk_embedding(table, index_of(1), opts), (wk_reduce_opts){ 0 })), WK_OK);
    }
    golden_expect_close(wk_gradient(b), wk_gradient(a), 1e-6, "sum");
    wk_clear_grad(b);
    cr_expect_null(wk_gradient(b));
    cr_assert_eq(wk_backward(wk_sum(wk_embedding(b, index_of(1), as_rows), (wk_reduce_opts){ 0 })), WK_OK);
    cr_expect_not_null(wk_gradient(b), "whoever asks for a tensor gets one");
    wk_release(a);
    wk_release(b);
}

/* Optimizers that know no rows see the tensor; a table of bf16 has a master here too. */
Test(sparse, other_optimizers_and_halves) {
    wk_tensor *a = table_of(WK_F32), *b = table_of(WK_F32), *half = table_of(WK_BF16);
    wk_optim *of_a = wk_adam(only(&a), (wk_adam_opts){ .lr = 0.1 }),
             *of_b = wk_adam(only(&b), (wk_adam_opts){ .lr = 0.1 });
    wk_optim *of_half = wk_sparse_adam(only(&half), (wk_sparse_adam_opts){ .lr = 0.1 });
    wk_tensor *before = wk_contiguous(wk_cast(wk_detach(half), WK_F32));
    for (int step = 0; step < 3; step++) {
        (void)wk_backward(
            wk_sum(wk_embedding(a, index_of(step), (wk_embedding_opts){ .sparse = false }), (wk_reduce_opts){ 0 }));
        (void)wk_backward(wk_sum(wk_embedding(b, index_of(step), as_rows), (wk_reduce_opts){ 0 }));
        (void)wk_backward(wk_sum(wk_embedding(half, index_of(step), as_rows), (wk_reduce_opts){ 0 }));
        cr_assert_eq(wk_optim_step(of_a), WK_OK, "%s", wk_message());
        cr_assert_eq(wk_optim_step(of_b), WK_OK, "%s", wk_message());
        cr_assert_eq(wk_optim_step(of_half), WK_OK, "%s", wk_message());
    }
    golden_expect_equal(wk_detach(b), wk_detach(a), "Adam");
    wk_tensor *after = wk_contiguous(wk_cast(wk_detach(half), WK_F32));
    for (int64_t i = 0; i < WIDTH; i++) {
        cr_expect_eq(wk_at(after, (ROWS - 1) * WIDTH + i), wk_at(before, (ROWS - 1) * WIDTH + i), "a row not used");
        cr_expect_lt(wk_at(after, i), wk_at(before, i) - 0.05, "a row used");
    }
    wk_optim_destroy(of_a);
    wk_optim_destroy(of_b);
    wk_optim_destroy(of_half);
    wk_release(a);
    wk_release(b);
    wk_release(half);
}

Test(sparse, what_is_refused) {
    wk_tensor *table = table_of(WK_F32), *index = index_of(0);
    wk_optim *optim = wk_sparse_adam(only(&table), (wk_sparse_adam_opts){ 0 });
    (void)wk_backward(wk_sum(wk_mul(table, table), (wk_reduce_opts){ 0 }));
    cr_expect_eq(wk_optim_step(optim), WK_UNSUPPORTED);
    cr_expect_str_eq(wk_message(),
                     "SparseAdam: the gradient of \"table\" is a whole tensor, expected rows (wk_embedding "
                     "with sparse); use another optimizer for it");
    wk_clear_error();
    wk_zero_grad(optim);
    (void)wk_backward(wk_sum(wk_embedding(table, index, as_rows), (wk_reduce_opts){ 0 }));
    cr_expect_eq(wk_clip_grad_norm(optim, 1, NULL), WK_UNSUPPORTED);
    cr_expect_str_eq(wk_message(), "SparseAdam: gradients that are rows are neither clipped nor unscaled");
    wk_clear_error();
    wk_optim_destroy(optim);
    wk_release(table);
}

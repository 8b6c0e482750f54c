/* attention.c: attention of halves in heads of 64 and 128 elements, which tensor cores make, held against f64 on the
 * CPU: y and the gradients of q, k and v, twice bit for bit. */
#include "device/other.h"
#include "support/sample.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RESULTS = 4 };
typedef enum masks { NO_MASK, BOOL_MASK, HALF_MASK, F32_MASK } masks;
typedef struct form {
    const char *name;
    int batches, heads, kv_heads, queries, keys;
    masks mask;
    wk_attention_opts opts;
    double scale; /* 0: the operation's own */
    bool packed;  /* q, k and v are parts of one matrix (B, T, 3 · H · D) */
} form;

static const form forms[] = {
    { "plain", 1, 2, 2, 64, 64, .mask = NO_MASK },
    { "ragged", 2, 1, 1, 77, 150, .mask = NO_MASK },
    { "one query", 1, 2, 2, 1, 130, .mask = NO_MASK },
    { "causal", 1, 1, 1, 200, 200, .opts = { .causal = true } },
    { "causal with a past", 1, 1, 1, 70, 101, .opts = { .causal = true, .offset = 31 } },
    { "queries that see nothing", 1, 1, 1, 90, 90, .opts = { .causal = true, .offset = -70 } },
    { "groups", 1, 4, 2, 40, 80, .opts = { .causal = true, .offset = 40 } },
    { "scaled", 1, 1, 1, 20, 30, .scale = 0.5 },
    { "bool mask", 2, 1, 1, 65, 66, .mask = BOOL_MASK },
    { "half mask", 1, 2, 2, 33, 70, .mask = HALF_MASK },
    { "f32 mask", 1, 1, 1, 33, 70, .mask = F32_MASK },
    { "dropout", 1, 2, 2, 70, 90, .opts = { .dropout = 0.3 } },
    { "packed", 2, 2, 2, 66, 66, .opts = { .causal = true }, .packed = true },
};

/* Numbers between -1 and 1 that a half holds exactly, so both sides begin with the same. */
static wk_tensor *numbers(wk_dtype dtype, wk_dims dims, uint32_t seed, bool as_f64) {
    wk_tensor *x = wk_empty(WK_F64, dims);
    for (int64_t i = 0; x && i < wk_count(x); i++) {
        seed = seed * 1664525 + 1013904223;
        ((double *)wk_data(x))[i] = (double)(seed >> 24) / 128 - 1;
    }
    return as_f64 ? x : wk_cast(x, dtype);
}

static wk_tensor *mask_of(const form *f, wk_dtype dtype, bool as_f64) {
    if (f->mask == NO_MASK) return NULL;
    wk_tensor *x =
        numbers(f->mask == F32_MASK ? WK_F32 : dtype, WK_DIMS(f->batches, 1, f->queries, f->keys), 9, as_f64);
    return f->mask == BOOL_MASK ? wk_cast(wk_relu(x), WK_BOOL) : x;
}

static wk_tensor *heads_of(wk_tensor *packed, const form *f, int part, int width) {
    wk_tensor *own = wk_slice(packed, 2, part * f->heads * width, (part + 1) * f->heads * width, 1);
    return wk_transpose(wk_reshape(own, WK_DIMS(f->batches, f->queries, f->heads, width)), 1, 2);
}

/* y, dq, dk and dv (of packed operands y and the gradient of all three), on the CPU. */
static void attend(const form *f, wk_dtype dtype, int width, wk_device where, bool as_f64,
                   wk_tensor *results[RESULTS]) {
    const wk_device was = wk_device_use(where);
    const wk_dims dims[3] = { WK_DIMS(f->batches, f->heads, f->queries, width),
                              WK_DIMS(f->batches, f->kv_heads, f->keys, width),
                              WK_DIMS(f->batches, f->kv_heads, f->keys, width) };
    wk_attention_opts opts = f->opts;
    if (f->scale != 0) opts.scale = WK_SET(f->scale);
    wk_tensor *leaf[3] = { 0 }, *in[3], *mask, *dy, *key;
    (void)wk_device_use(WK_CPU);
    for (int i = 0; i < (f->packed ? 1 : 3); i++) {
        const wk_dims whole = WK_DIMS(f->batches, f->queries, 3 * f->heads * width);
        wk_tensor *x = numbers(dtype, f->packed ? whole : dims[i], 3 + (uint32_t)i, as_f64);
        leaf[i] = wk_require_grad(wk_keep(wk_to_device(x, where)), true);
    }
    mask = mask_of(f, dtype, as_f64);
    key = f->opts.dropout > 0 ? wk_from_array(WK_I64, WK_DIMS(2), (const int64_t[]){ 5, 6 }) : NULL;
    dy = wk_to_device(numbers(dtype, dims[0], 7, as_f64), where);
    (void)wk_device_use(where);
    for (int i = 0; i < 3; i++) in[i] = f->packed ? heads_of(leaf[0], f, i, width) : leaf[i];
    results[0] =
        wk_scaled_dot_product_attention(in[0], in[1], in[2], mask ? wk_to_device(mask, where) : NULL, key, opts);
    cr_assert_eq(wk_backward(wk_sum(wk_mul(results[0], dy), (wk_reduce_opts){ 0 })), WK_OK, "%s: %s", f->name,
                 wk_message());
    for (int i = 0; i < 3; i++) results[i + 1] = leaf[i] ? wk_to_device(wk_detach(wk_gradient(leaf[i])), WK_CPU) : NULL;
    results[0] = wk_to_device(results[0], WK_CPU);
    for (int i = 0; i < 3; i++) wk_release(leaf[i]);
    (void)wk_device_use(was);
}

/* Weights and slopes are rounded to halves before they are summed: errors are of the size of the largest results. */
static void compare(const char *name, wk_dtype dtype, int width, int k, wk_tensor *got, wk_tensor *wanted) {
    const double unit = dtype == WK_BF16 ? 0x1p-8 : 0x1p-11;
    double *a = tensor_values(got), *b = tensor_values(wanted), most = 0, worst = 0;
    for (int64_t i = 0; i < wk_count(wanted); i++) most = fmax(most, fabs(b[i]));
    for (int64_t i = 0; i < wk_count(wanted); i++) {
        const double error = fabs(a[i] - b[i]);
        worst = isnan(error) ? INFINITY : fmax(worst, error / (most * unit));
    }
    cr_expect_leq(worst, 2, "%s, %s, heads of %d, result %d: an error of %g units of the largest", name,
                  wk_dtype_name(dtype), width, k, worst);
    free(a);
    free(b);
}

static void hold_together(const form *f, wk_dtype dtype, int width) {
    wk_tensor *there[RESULTS], *again[RESULTS], *here[RESULTS];
    wk_scope scope = wk_scope_begin();
    attend(f, dtype, width, other(), false, there);
    attend(f, dtype, width, other(), false, again);
    attend(f, dtype, width, WK_CPU, true, here);
    for (int k = 0; k < RESULTS; k++) {
        if (!here[k]) continue;
        compare(f->name, dtype, width, k, there[k], here[k]);
        cr_expect(same_bits(there[k], again[k]), "%s: a second run differs in result %d", f->name, k);
    }
    wk_scope_end(scope);
}

Test(device_attention, of_halves_in_heads_of_64) {
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        hold_together(&forms[i], WK_BF16, 64);
        hold_together(&forms[i], WK_F16, 64);
    }
}

Test(device_attention, of_halves_in_heads_of_128) {
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) hold_together(&forms[i], i % 2 ? WK_F16 : WK_BF16, 128);
}

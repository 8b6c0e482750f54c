/* sample.c: deterministic inputs, for tests and benchmarks.
 *
 * With a margin, values follow the golden-ratio sequence: any two that stand near each other differ by a known
 * distance, so that no comparison, maximum or rectifier is asked about a tie, which neither a finite difference nor a
 * low precision would survive.
 */
#define WK_NO_CALL_SITES
#include "tensor/sample.h"

#include "wick/ops.h"

#include <math.h>
#include <string.h>

static double unit(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15); /* splitmix64 */
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static double away_from_zero(double t, double low, double high, double margin) {
    double negative = low < 0 ? -low / (high - low) : 0;
    if (t < negative) return low + t / negative * (-margin - low);
    return margin + (t - negative) / (1 - negative) * (high - margin);
}

static double uniform(const wk_sample_in *in, int slot, int64_t i, uint64_t *state) {
    double low = in->low, high = in->high;
    if (low == 0 && high == 0) low = -2, high = 2;
    double t = unit(state);
    if (in->margin <= 0) return low + t * (high - low);
    t = fmod(0.618033988749895 * (double)(i + 1) + 0.31 * slot + 0.07, 1.0);
    return away_from_zero(t, low, high, in->margin);
}

/* Integers get sixteen values, so that sums and products fit eight bits. */
static double drawn_value(const wk_sample_in *in, int slot, wk_dtype dtype, int64_t i, uint64_t *state) {
    if (in->kind == WK_SAMPLE_INDEX) return floor(in->low + unit(state) * (in->high - in->low));
    if (in->kind == WK_SAMPLE_BOOL) return unit(state) < 0.5;
    if (in->kind == WK_SAMPLE_SIGN) return unit(state) < 0.5 ? -1 : 1;
    double value = uniform(in, slot, i, state);
    if (wk_dtype_is_float(dtype)) return value;
    if (dtype == WK_BOOL) return value > 0;
    return dtype == WK_U8 ? floor(fabs(value) * 7) : floor(value * 4);
}

wk_tensor *wk__sample_lay_out(wk_tensor *values, wk__sample_layout layout) {
    int rank = wk_rank(values);
    if (layout == WK__SAMPLE_AS_SAID || rank == 0 || wk_count(values) == 0) return values;
    wk_dims reversed = { .rank = rank }, back = { .rank = rank };
    for (int axis = 0; axis < rank; axis++) {
        reversed.size[axis] = wk_size(values, rank - 1 - axis);
        back.size[axis] = rank - 1 - axis;
    }
    if (layout == WK__SAMPLE_GAPS) reversed.size[rank - 1] *= 2;
    wk_tensor *memory = wk_zeros(wk_dtype_get(values), reversed);
    wk_tensor *view = wk_permute(memory, back);
    if (layout == WK__SAMPLE_GAPS) view = wk_slice(view, 0, 0, wk_size(view, 0), 2);
    return view && wk_copy_into(view, values) == WK_OK ? view : NULL;
}

/* Uniform matrices X become X Xᵀ / n + 1. */
static void make_definite(double *values, int64_t count, int64_t n) {
    double product[32 * 32];
    for (double *x = values; n > 0 && n <= 32 && x < values + count; x += n * n) {
        for (int64_t i = 0; i < n * n; i++) {
            product[i] = i / n == i % n;
            for (int64_t k = 0; k < n; k++) product[i] += x[i / n * n + k] * x[i % n * n + k] / (double)n;
        }
        memcpy(x, product, (size_t)(n * n) * sizeof *x);
    }
}

/* The nearest number of eight significant bits: the same in every float type. */
static double eight_bits(double value) {
    int exponent;
    double fraction = frexp(value, &exponent);
    return ldexp(rint(ldexp(fraction, 8)), exponent - 8);
}

static wk_tensor *draw(const wk_sample_in *in, int slot, wk_dtype dtype, wk__sample_layout layout, bool exact) {
    if (in->kind == WK_SAMPLE_ABSENT) return NULL;
    wk_tensor *values = wk_empty(dtype, in->dims), *wide = wk_empty(WK_F64, in->dims);
    if (!values || !wide) return NULL;
    uint64_t state = 1000003u * (uint64_t)(slot + 1) + (uint64_t)wk_count(values);
    for (int64_t i = 0; i < wk_count(wide); i++) ((double *)wide->data)[i] = drawn_value(in, slot, dtype, i, &state);
    if (in->kind == WK_SAMPLE_SPD)
        make_definite(wk_data(wide), wk_count(wide), in->dims.rank ? in->dims.size[in->dims.rank - 1] : 0);
    for (int64_t i = 0; exact && i < wk_count(wide); i++)
        ((double *)wide->data)[i] = eight_bits(((double *)wide->data)[i]);
    if (wk_copy_into(values, wide) != WK_OK) return NULL;
    if (in->kind == WK_SAMPLE_INDEX && in->dims.rank < 2) return values;
    return wk__sample_lay_out(values, layout == WK__SAMPLE_AS_SAID && in->strided ? WK__SAMPLE_GAPS : layout);
}

wk_tensor *wk__sample_draw(const wk_sample_in *in, int slot, wk_dtype dtype, wk__sample_layout layout) {
    return draw(in, slot, dtype, layout, false);
}
wk_tensor *wk__sample_draw_exact(const wk_sample_in *in, int slot, wk_dtype dtype, wk__sample_layout layout) {
    return draw(in, slot, dtype, layout, wk_dtype_is_float(dtype));
}

static bool is_one_of(const char *name, const char *const *names) {
    for (; *names; names++)
        if (strcmp(name, *names) == 0) return true;
    return false;
}

bool wk__sample_is_step(const wk_op_def *row) {
    const char *end = strstr(row->name, "_step");
    return row->n_in == WK_LIST && row->mutates && end && !end[5];
}

bool wk__sample_serves(const wk_op_def *row, wk_dtype dtype) {
    if (wk__sample_is_step(row)) return (WK_F32_F64 >> dtype & 1) != 0; /* its shape rule says so */
    int key = row->n_in == WK_LIST ? 0 : row->key;
    if (row->dtype.allowed[key]) return (row->dtype.allowed[key] >> dtype & 1) != 0;
    return row->n_in != WK_LIST || !row->mutates || wk_dtype_is_float(dtype);
}

wk_dtype wk__sample_dtype(const wk_op_def *row, const wk_sample_in *in, int slot, wk_dtype dtype) {
    wk_dtype_set allowed = row->n_in == WK_LIST ? 0 : row->dtype.allowed[slot];
    if (in->kind == WK_SAMPLE_BOOL) return WK_BOOL;
    if (in->kind == WK_SAMPLE_INDEX) return allowed && !(allowed >> WK_I64 & 1) ? WK_U8 : WK_I64;
    /* Statistics and losses are kept in f32 for the half types; an optimizer's scalars are always f64. */
    static const char *const norms[] = { "batch_norm_backward", "batch_norm", NULL };
    static const char *const losses[] = { "cross_entropy_backward", NULL };
    wk_dtype wide = dtype == WK_F64 ? WK_F64 : WK_F32;
    if (row->n_in == WK_LIST && row->mutates) return slot == 0 || in->dims.rank == 0 ? WK_F64 : dtype;
    if (allowed == WK_F32_F64) return wide;
    if (allowed == (WK_SET_OF(WK_BF16) | WK_SET_OF(WK_F16))) return dtype == WK_F16 ? WK_F16 : WK_BF16;
    if (is_one_of(row->name, norms) && slot >= (row->n_out == 3 && row->key == 1 ? 2 : 1)) return wide;
    if (is_one_of(row->name, losses) && (slot == 0 || slot == 3)) return wide;
    return dtype;
}

bool wk__sample_stays(const wk_op_def *row, wk_tensor *const *in, int n_in, const void *attrs, int slot) {
    const wk_call call = { .op = row, .in = in, .attrs = attrs, .n_in = n_in };
    if (row->n_in == WK_LIST) return row->host_in_list && row->host_in_list(&call, slot);
    return (row->host_in >> slot & 1) != 0;
}

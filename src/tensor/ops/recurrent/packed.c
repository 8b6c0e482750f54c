/* packed.c: sequences of different lengths, with their padding and without.
 *
 * Both ways are one selection of rows: which step of which sequence stands at each place of the packed data is counted
 * here, from lengths or from batch sizes.  Those are small and lie on the CPU, wherever the data does.
 */
#define WK_NO_CALL_SITES
#include "tensor/registry.h"
#include "wick/ops.h"

#include <string.h>

static wk_status bad(const char *who, const char *what, const wk_tensor *t) {
    char text[160];
    return wk__bad_argument(who, WK_SHAPE, "%s is %s, expected i64 of rank 1, row major", what,
                            wk_describe(t, text, sizeof text));
}

/* Zeros on the CPU; NULL with an error pending. */
static wk_tensor *counters(int64_t count) {
    wk_tensor *zeros = wk__empty_on(0, WK_I64, WK_DIMS(count));
    if (zeros && count) memset(zeros->data, 0, (size_t)count * sizeof(int64_t));
    return zeros;
}

static bool is_vector(const wk_tensor *t) {
    return t->dtype == WK_I64 && t->rank == 1 && (t->flags & WK_TENSOR_CONTIGUOUS) != 0;
}

/* Places of the packed steps in (T · N) or (N · T) rows; order[k] is the sequence at place k of each step. */
static wk_tensor *places(const int64_t *sizes, int64_t steps, const int64_t *order, int64_t batch, int64_t padded_steps,
                         bool batch_first) {
    int64_t total = 0;
    for (int64_t t = 0; t < steps; t++) total += sizes[t];
    wk_tensor *index = wk__empty_on(0, WK_I64, WK_DIMS(total));
    int64_t *at = index ? index->data : NULL;
    for (int64_t t = 0; index && t < steps; t++)
        for (int64_t k = 0; k < sizes[t]; k++) {
            int64_t n = order ? order[k] : k;
            *at++ = batch_first ? n * padded_steps + t : t * batch + n;
        }
    return index;
}

/* (T, N, …) as (T · N, …) */
static wk_tensor *as_rows(wk_tensor *x) {
    wk_dims dims = wk__dims(x);
    dims.rank--;
    dims.size[0] = x->shape[0] * x->shape[1];
    for (int i = 1; i < dims.rank; i++) dims.size[i] = x->shape[i + 1];
    return wk_reshape(x, dims);
}

/* Longest first; equal ones keep their order.  sizes[t] sequences are longer than t steps, so those of t steps begin at
 * place sizes[t]. */
static wk_status sort_lengths(const int64_t *lengths, int64_t count, const int64_t *sizes, int64_t steps,
                              int64_t *order) {
    int64_t *next = wk_alloc((size_t)(steps + 1) * sizeof *next);
    if (!next) return WK_NO_MEMORY;
    for (int64_t t = 0; t < steps; t++) next[t] = sizes[t];
    for (int64_t i = 0; i < count; i++) order[next[lengths[i]]++] = i;
    wk_free(next);
    return WK_OK;
}

static wk_status check_lengths(const wk_tensor *padded, const wk_tensor *lengths, wk_pack_opts opts) {
    static const char who[] = "pack_padded_sequence";
    char one[160], two[160];
    if (!padded || !lengths)
        return wk_failed() ? wk_error_code() : wk__bad_argument(who, WK_INVALID, "an operand is NULL");
    if (!is_vector(lengths)) return bad(who, "lengths", lengths);
    if (padded->rank < 2 || padded->shape[opts.batch_first ? 0 : 1] != lengths->count)
        return wk__bad_argument(who, WK_SHAPE, "padded %s, lengths %s: expected %s",
                                wk_describe(padded, one, sizeof one), wk_describe(lengths, two, sizeof two),
                                opts.batch_first ? "(N, T, …) and (N)" : "(T, N, …) and (N)");
    const int64_t *each = lengths->data, steps = padded->shape[opts.batch_first ? 1 : 0];
    for (int64_t n = 0; n < lengths->count; n++) {
        if (each[n] < 1 || each[n] > steps)
            return wk__bad_argument(who, WK_INVALID, "length %lld at position %lld, expected 1 to %lld",
                                    (long long)each[n], (long long)n, (long long)steps);
        if (opts.sorted && n && each[n] > each[n - 1])
            return wk__bad_argument(who, WK_INVALID,
                                    "length %lld at position %lld follows %lld: expected falling lengths",
                                    (long long)each[n], (long long)n, (long long)each[n - 1]);
    }
    return WK_OK;
}

wk_status wk_pack_padded_sequence(wk_tensor *padded, wk_tensor *lengths, wk_pack_opts opts, wk_packed *packed) {
    *packed = (wk_packed){ 0 };
    lengths = wk__on_host(lengths);
    WK_TRY(check_lengths(padded, lengths, opts));
    int64_t batch = lengths->count, steps = 0, padded_steps = padded->shape[opts.batch_first ? 1 : 0];
    const int64_t *each = lengths->data;
    for (int64_t n = 0; n < batch; n++) steps = each[n] > steps ? each[n] : steps;
    packed->batch_sizes = counters(steps);
    if (!opts.sorted) packed->sorted = counters(batch), packed->unsorted = counters(batch);
    if (wk_failed()) return wk_error_code();
    int64_t *sizes = packed->batch_sizes->data, *order = opts.sorted ? NULL : packed->sorted->data;
    for (int64_t n = 0; n < batch; n++)
        for (int64_t t = 0; t < each[n]; t++) sizes[t]++;
    if (order) {
        WK_TRY(sort_lengths(each, batch, sizes, steps, order));
        for (int64_t k = 0; k < batch; k++) ((int64_t *)packed->unsorted->data)[order[k]] = k;
    }
    wk_tensor *index = places(sizes, steps, order, batch, padded_steps, opts.batch_first);
    packed->data = wk_index_select(as_rows(padded), wk_to_device(index, padded->device), 0);
    return packed->data ? WK_OK : wk_error_code();
}

static wk_status check_packed(const wk_packed *p) {
    static const char who[] = "pad_packed_sequence";
    if (!p->data || !p->batch_sizes)
        return wk_failed() ? wk_error_code() : wk__bad_argument(who, WK_INVALID, "data or batch_sizes is NULL");
    if (!is_vector(p->batch_sizes)) return bad(who, "batch_sizes", p->batch_sizes);
    const int64_t *sizes = p->batch_sizes->data;
    int64_t total = 0, steps = p->batch_sizes->count;
    for (int64_t t = 0; t < steps; t++) {
        if (sizes[t] < 1 || (t && sizes[t] > sizes[t - 1]))
            return wk__bad_argument(who, WK_INVALID,
                                    "batch_sizes has %lld at position %lld, expected falling numbers above 0",
                                    (long long)sizes[t], (long long)t);
        total += sizes[t];
    }
    char text[160];
    if (p->data->rank < 1 || p->data->shape[0] != total)
        return wk__bad_argument(who, WK_SHAPE, "data %s, batch_sizes add up to %lld",
                                wk_describe(p->data, text, sizeof text), (long long)total);
    if (p->sorted && (!is_vector(p->sorted) || !steps || p->sorted->count != sizes[0]))
        return bad(who, "sorted", p->sorted);
    for (int64_t k = 0; p->sorted && k < sizes[0]; k++)
        if (((int64_t *)p->sorted->data)[k] < 0 || ((int64_t *)p->sorted->data)[k] >= sizes[0])
            return wk__bad_argument(who, WK_INVALID, "sorted names sequence %lld of %lld",
                                    (long long)((int64_t *)p->sorted->data)[k], (long long)sizes[0]);
    return WK_OK;
}

wk_status wk_pad_packed_sequence(wk_packed packed, bool batch_first, double value, wk_tensor **padded,
                                 wk_tensor **lengths) {
    *padded = NULL;
    if (lengths) *lengths = NULL;
    packed.batch_sizes = wk__on_host(packed.batch_sizes), packed.sorted = wk__on_host(packed.sorted);
    WK_TRY(check_packed(&packed));
    const int64_t *sizes = packed.batch_sizes->data, *order = packed.sorted ? packed.sorted->data : NULL;
    int64_t steps = packed.batch_sizes->count, batch = steps ? sizes[0] : 0;
    wk_dims dims = wk__dims(packed.data), whole = { .rank = dims.rank + 1 };
    whole.size[0] = batch_first ? batch : steps, whole.size[1] = batch_first ? steps : batch;
    for (int i = 1; i < dims.rank; i++) whole.size[i + 1] = dims.size[i];
    dims.size[0] = steps * batch;
    wk_tensor *index = wk_to_device(places(sizes, steps, order, batch, steps, batch_first), packed.data->device);
    wk_tensor *empty = wk__empty_on(packed.data->device, (wk_dtype)packed.data->dtype, dims);
    if (!index || !empty || wk__fill_dense(empty, value) != WK_OK) return wk_error_code();
    *padded = wk_reshape(wk_index_copy(empty, index, packed.data, 0), whole);
    if (!lengths) return *padded ? WK_OK : wk_error_code();
    *lengths = counters(batch);
    for (int64_t t = 0; *lengths && t < steps; t++)
        for (int64_t k = 0; k < sizes[t]; k++) ((int64_t *)(*lengths)->data)[order ? order[k] : k]++;
    return wk_failed() ? wk_error_code() : WK_OK;
}

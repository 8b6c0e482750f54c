/* shot.c: which row, which sizes, which attributes.
 *
 * Random shapes and attributes alone would be refused nearly always, so a call begins as one of the row's own samples.
 * Sizes are then renamed, the same way in all operands (every 4 becomes a 7, say), which keeps most calls valid; and
 * attributes are replaced by odd ones, which makes most invalid.
 */
#include "fuzz_ops/fuzz_ops.h"

#include "support/sample.h"

#include <math.h>
#include <string.h>

/* ---- a sample ---- */

typedef struct choice {
    chance *c;
    shot *into;
    int64_t seen;
} choice;

static void consider(wk_sampler *sampler, const char *label, const wk_sample_in *in, int n_in, const void *attrs) {
    choice *at = sampler->context;
    if (strstr(label, "large") || n_in > MOST_OPERANDS || draw_below(at->c, ++at->seen) != 0) return;
    shot *s = at->into;
    memcpy(s->in, in, (size_t)n_in * sizeof *in);
    s->n_in = n_in;
    memset(s->attrs.bytes, 0, sizeof s->attrs.bytes);
    if (attrs) memcpy(s->attrs.bytes, attrs, s->row->attrs_size);
}

static wk_dtype draw_dtype(chance *c, const wk_op_def *row) {
    wk_dtype dtype = WK_F32;
    for (int tries = 0; tries < 30; tries++) {
        dtype = (wk_dtype)draw_below(c, happens(c, 60) ? 2 : WK_DTYPE_COUNT);
        if (wk__sample_serves(row, dtype)) break;
    }
    return dtype;
}

/* ---- sizes ---- */

static void rename_sizes(chance *c, shot *s) {
    static const int64_t sizes[] = { 0, 1, 1, 2, 2, 3, 4, 5, 6, 7, 9, 17 };
    int64_t from[8], to[8];
    int known = 0;
    for (int i = 0; i < s->n_in; i++)
        for (int axis = 0; axis < s->in[i].dims.rank; axis++) {
            int64_t size = s->in[i].dims.size[axis];
            int k = 0;
            while (k < known && from[k] != size) k++;
            if (k == 8) continue;
            if (k == known) {
                from[known] = size;
                to[known++] = size != 1 && happens(c, 50) ? sizes[draw_below(c, 12)] : size;
            }
            s->in[i].dims.size[axis] = to[k];
        }
    for (int i = 0; i < s->n_in; i++)
        for (int k = 0; k < known; k++)
            if (s->in[i].kind == WK_SAMPLE_INDEX && s->in[i].high == (double)from[k]) {
                s->in[i].high = (double)to[k];
                break;
            }
}

/* ---- attributes ---- */

static int64_t odd_int(chance *c) {
    static const int64_t values[] = { 0,  1,       -1,        2,         -2,           3,         7,        8, 64,
                                      -9, 1 << 20, 1LL << 31, 1LL << 40, -(1LL << 31), INT64_MAX, INT64_MIN };
    return happens(c, 60) ? draw_below(c, 12) - 4 : values[draw_below(c, 16)];
}

static double odd_float(chance *c) {
    static const double values[] = { 0, 1, -1, 0.5, -0.5, 2, 1e-300, 1e300, -1e300, HUGE_VAL, -HUGE_VAL, 1e10 };
    if (happens(c, 15)) return NAN;
    return happens(c, 50) ? 4 * draw_unit(c) - 1 : values[draw_below(c, 12)];
}

static void write_text(chance *c, const wk_attr_def *attr, char *text) {
    static const char letters[] = "ijkab,.->A 0\x7f";
    size_t length = strlen(text);
    if (happens(c, 30)) length = (size_t)draw_below(c, attr->length);
    for (size_t i = 0; i < length; i++)
        if (!text[i] || happens(c, 20)) text[i] = letters[draw_below(c, (int64_t)sizeof letters - 1)];
    text[length] = '\0';
}

static void write_odd(chance *c, const wk_attr_def *attr, char *at) {
    int64_t whole = odd_int(c);
    double number = odd_float(c);
    wk_dims *dims = (wk_dims *)(void *)at;
    switch (attr->type) {
    case WK_ATTR_INT: memcpy(at, &whole, sizeof whole); break;
    case WK_ATTR_FLOAT: memcpy(at, &number, sizeof number); break;
    case WK_ATTR_BOOL: *(bool *)at = happens(c, 50); break;
    case WK_ATTR_ENUM:
        *(int *)(void *)at = happens(c, 70) ? (int)draw_below(c, 5) : (int)(int32_t)(whole & 0x7fffffff) - 5;
        break;
    case WK_ATTR_DTYPE: *(wk_dtype *)(void *)at = (wk_dtype)draw_below(c, WK_DTYPE_COUNT + 2); break;
    case WK_ATTR_INTS:
        for (int i = 0; i < attr->length; i++)
            ((int64_t *)(void *)at)[i] = happens(c, 50) ? ((int64_t *)(void *)at)[i] : odd_int(c);
        break;
    case WK_ATTR_DIMS:
        if (happens(c, 50)) dims->rank = happens(c, 80) ? (int)draw_below(c, 6) : (int)draw_below(c, 14) - 3;
        for (int i = 0; i < WK_MAX_RANK; i++)
            if (happens(c, 50)) dims->size[i] = odd_int(c);
        break;
    case WK_ATTR_OPTIONAL:
        *(wk_optional *)(void *)at = WK_SET(happens(c, 50) ? number : (double)draw_below(c, 12) - 4);
        break;
    case WK_ATTR_TEXT: write_text(c, attr, at); break;
    }
}

shot draw_shot(chance *c) {
    shot s = { .as_meant = true };
    choice at = { c, &s, 0 };
    while (at.seen == 0) {
        s.row = wk_op_get((int)draw_below(c, wk_op_count()));
        if (s.row->internal) continue; /* its callers are rules, whose operands fit; gradients lead there */
        s.row->samples(&(wk_sampler){ .emit = consider, .context = &at });
    }
    s.dtype = draw_dtype(c, s.row);
    if (happens(c, 50)) rename_sizes(c, &s);
    if (s.row->n_attrs && happens(c, 35)) {
        s.as_meant = false;
        for (int count = happens(c, 70) ? 1 : 3; count > 0; count--) {
            const wk_attr_def *attr = &s.row->attrs[draw_below(c, s.row->n_attrs)];
            write_odd(c, attr, s.attrs.bytes + attr->offset);
        }
    }
    return s;
}

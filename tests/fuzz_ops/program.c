/* program.c: one program: a chain of calls over a growing pool of tensors, then a backward.
 *
 * A call must give what the naive reference gives, where the row has one and the call is as its samples are; or
 * succeed; or leave one error whose message begins with the operation's name.  Anything else is a finding.
 */
#define WK_NO_CALL_SITES
#include "fuzz_ops/fuzz_ops.h"

#include "support/agree.h"
#include "support/sample.h"
#include "wick/autograd.h"
#include "wick/ops.h"
#include "wick/random.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_POOL = 160, MOST_LEAVES = 96, MOST_OUT = 24, MOST_ELEMENTS = 1 << 16 };

typedef struct program {
    chance c;
    outcome *result;
    wk_tensor *pool[MOST_POOL], *leaf[MOST_LEAVES];
    int in_pool, leaves;
    bool loud, differentiates;
} program;

/* ---- what happened ---- */

static void wrong(program *p, const char *format, ...) {
    if (p->result->wrong[0]) return;
    va_list list;
    va_start(list, format);
    (void)vsnprintf(p->result->wrong, sizeof p->result->wrong, format, list);
    va_end(list);
}

static uint64_t mix(uint64_t hash, const void *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) hash = (hash ^ ((const unsigned char *)bytes)[i]) * UINT64_C(0x100000001B3);
    return hash;
}

static uint64_t bits_of(uint64_t hash, const wk_tensor *t) {
    if (!t) return mix(hash, "none", 4);
    hash = mix(mix(hash, &t->dtype, 1), t->shape, t->rank * sizeof t->shape[0]);
    size_t size = wk_dtype_size((wk_dtype)t->dtype);
    for (int64_t i = 0; i < t->count && t->count <= MOST_ELEMENTS; i++)
        hash = mix(hash, (const char *)t->data + element_offset(t, i) * (int64_t)size, size);
    return hash;
}

static void note(program *p, const char *row, uint64_t bits) {
    outcome *o = p->result;
    if (o->steps == 2 * MOST_STEPS) return;
    o->row[o->steps] = row;
    o->bits[o->steps++] = bits;
}

/* ---- operands ---- */

static void remember(program *p, wk_tensor *t) {
    if (t && p->in_pool < MOST_POOL && t->count <= MOST_ELEMENTS) p->pool[p->in_pool++] = t;
}

static wk_tensor *maybe_leaf(program *p, wk_tensor *t) {
    if (!t || !p->differentiates || !wk_dtype_is_float((wk_dtype)t->dtype) || p->leaves == MOST_LEAVES) return t;
    if (!happens(&p->c, 50)) return t;
    return p->leaf[p->leaves++] = wk_require_grad(wk_keep(t), true);
}

/* A pooled tensor of this dtype (and of these dims, unless any will do), or NULL. */
static wk_tensor *from_pool(program *p, const wk_dims *dims, wk_dtype dtype) {
    int64_t start = p->in_pool ? draw_below(&p->c, p->in_pool) : 0;
    for (int i = 0; i < p->in_pool; i++) {
        wk_tensor *t = p->pool[(start + i) % p->in_pool];
        if (t->dtype != dtype || (dims && t->rank != dims->rank)) continue;
        if (!dims || memcmp(t->shape, dims->size, t->rank * sizeof t->shape[0]) == 0) return t;
    }
    return NULL;
}

static wk_tensor *choose(program *p, shot *s, int i) {
    const wk_sample_in *in = &s->in[i];
    if (happens(&p->c, 2)) return NULL;
    if (happens(&p->c, 2)) return s->as_meant = false, draw_any(&p->c);
    if (happens(&p->c, 2) && p->in_pool) return s->as_meant = false, p->pool[draw_below(&p->c, p->in_pool)];
    if (in->kind == WK_SAMPLE_ABSENT) return NULL;
    wk_dtype dtype = wk__sample_dtype(s->row, in, i, s->dtype);
    wk_tensor *t = NULL;
    if (in->kind == WK_SAMPLE_UNIFORM && happens(&p->c, 60)) t = from_pool(p, &in->dims, dtype);
    if (!t && s->row->n_in == 1 && happens(&p->c, 50)) t = from_pool(p, NULL, dtype);
    if (t) return t;
    t = maybe_leaf(p, draw_operand(&p->c, in, dtype));
    remember(p, t);
    return t;
}

/* ---- against the reference ---- */

/* Values for which references and tolerances are meant: finite, neither huge nor of mixed float types. */
static bool is_comparable(const shot *s, wk_tensor *const *in, wk_dtype *working) {
    int floats = -1;
    if (!s->as_meant || s->row->n_out == WK_LIST || s->n_in > REFERENCE_MOST_IN || wk__sample_is_step(s->row))
        return false;
    for (int i = 0; i < s->n_in; i++) {
        if (!in[i]) continue;
        for (int64_t k = 0; k < in[i]->count; k++)
            if (!(fabs(element_value(in[i]->data, (wk_dtype)in[i]->dtype, element_offset(in[i], k))) <= 30))
                return false;
        if (!wk_dtype_is_float((wk_dtype)in[i]->dtype)) continue;
        if (floats >= 0 && floats != in[i]->dtype) return false;
        floats = in[i]->dtype;
    }
    *working = floats == WK_F64 ? WK_F64 : WK_F32;
    return true;
}

typedef struct comparison {
    const ref_row *row;
    ref_tensor in[REFERENCE_MOST_IN];
    ref_call call;
    wk_dtype working;
} comparison;

static comparison prepare(const shot *s, wk_tensor *const *in) {
    comparison k = { .row = reference_of(s->row->name) };
    if (k.row && !is_comparable(s, in, &k.working)) k.row = NULL;
    for (int i = 0; k.row && i < s->n_in; i++)
        if (in[i]) k.in[i] = ref_dense(in[i]);
    return k;
}

static void compare(program *p, const shot *s, comparison *k, wk_tensor *const *out) {
    char text[300] = "";
    k->call = (ref_call){ .n_in = s->n_in, .n_out = s->row->n_out, .attrs = s->attrs.bytes, .terms = 1 };
    for (int i = 0; i < s->n_in; i++) k->call.in[i] = k->in[i].v ? &k->in[i] : NULL;
    for (int o = 0; o < s->row->n_out; o++) k->call.out[o] = ref_dense(out[o]);
    k->row->run(&k->call);
    for (int o = 0; o < s->row->n_out; o++) {
        if (k->call.out[o].known
            && !ref_agrees(&k->call, k->row, k->working, out[o], &k->call.out[o], text, sizeof text))
            wrong(p, "%s in %s, output %d: %s", s->row->name, wk_dtype_name(s->dtype), o, text);
        ref_free(&k->call.out[o]);
    }
    p->result->compared++;
}

static void drop(comparison *k) {
    for (int i = 0; i < REFERENCE_MOST_IN; i++) ref_free(&k->in[i]);
}

/* ---- steps ---- */

/* The message begins with the operation's name, or says which one it stands in. */
static bool names_op(const char *message, const char *row) {
    char inside[120];
    size_t length = strlen(row);
    (void)snprintf(inside, sizeof inside, " in %s", row);
    return (strncmp(message, row, length) == 0 && message[length] == ':') || strstr(message, inside);
}

static void print_step(const shot *s, wk_tensor *const *in) {
    char one[160], value[200];
    (void)printf("%s(", s->row->name);
    for (int i = 0; i < s->n_in; i++)
        (void)printf("%s%s", i ? ", " : "", in[i] ? wk_describe(in[i], one, sizeof one) : "NULL");
    (void)printf(")");
    for (int i = 0; i < s->row->n_attrs; i++)
        if (s->row->attrs[i].type != WK_ATTR_ENUM && s->row->attrs[i].type != WK_ATTR_DIMS
            && wk_op_get_attr(s->row, s->attrs.bytes, i, value, sizeof value) == WK_OK)
            (void)printf(" %s=%s", s->row->attrs[i].name, value);
    (void)printf("\n");
    (void)fflush(stdout);
}

static void take_results(program *p, const shot *s, comparison *k, wk_tensor **in, wk_tensor **out, int n_out) {
    uint64_t bits = 7;
    for (int o = 0; o < n_out; o++) bits = bits_of(bits, out[o]);
    for (int i = 0; i < s->n_in; i++)
        if (s->row->mutates && in[i]) bits = bits_of(bits, in[i]);
    note(p, s->row->name, bits);
    if (k->row && out[0]->count <= MOST_ELEMENTS) compare(p, s, k, out);
    for (int o = 0; o < n_out; o++) remember(p, out[o]);
}

static void one_step(program *p, void (*on_step)(const char *row)) {
    shot s = draw_shot(&p->c);
    wk_tensor *in[MOST_OPERANDS] = { NULL }, *out[MOST_OUT] = { NULL };
    on_step(s.row->name);
    for (int i = 0; i < s.n_in; i++) in[i] = choose(p, &s, i);
    if (wk_failed()) {
        wrong(p, "%s: its operands cannot be made: %s", s.row->name, wk_message());
        return;
    }
    if (p->loud) print_step(&s, in);
    comparison k = prepare(&s, in);
    int n_out = wk_op_outputs(s.row, in, s.n_in, s.attrs.bytes);
    if (n_out > MOST_OUT) goto done;
    p->result->calls++;
    if (n_out >= 0 && wk_op_run(s.row, in, s.n_in, out, s.attrs.bytes) == WK_OK) {
        if (wk_failed()) wrong(p, "%s succeeded with an error pending: %s", s.row->name, wk_message());
        take_results(p, &s, &k, in, out, n_out);
    } else {
        if (!wk_failed()) wrong(p, "%s failed without an error", s.row->name);
        if (p->loud) (void)printf("    %s\n", wk_message());
        if (!names_op(wk_message(), s.row->name)) wrong(p, "%s: its message is \"%s\"", s.row->name, wk_message());
        note(p, s.row->name, mix(3, wk_message(), strlen(wk_message())));
        p->result->refused++;
    }
done:
    wk_clear_error();
    drop(&k);
}

/* ---- backward ---- */

static wk_tensor *pick_result(program *p) {
    for (int tries = 0; tries < 40 && p->in_pool; tries++) {
        wk_tensor *t = p->pool[draw_below(&p->c, p->in_pool)];
        if (wk_requires_grad(t) && !t->leaf) return t;
    }
    return NULL;
}

static void note_failure(program *p, const char *what) {
    if (!wk_failed() || !*wk_message()) wrong(p, "%s failed without a message", what);
    note(p, what, mix(5, wk_message(), strlen(wk_message())));
    if (p->loud) (void)printf("    %s: %s\n", what, wk_message());
    wk_clear_error();
}

static void run_backward(program *p, void (*on_step)(const char *row)) {
    wk_tensor *y = pick_result(p);
    if (!y) return;
    on_step("backward");
    p->result->backward++;
    wk_tensor *dy = wk_full((wk_dtype)y->dtype, wk_dims_get(y), 0.5);
    if (happens(&p->c, 30) && p->leaves) {
        wk_tensor *x = p->leaf[draw_below(&p->c, p->leaves)], *dx = NULL;
        wk_grad_opts twice = { .create_graph = true, .allow_unused = true };
        if (wk_gradients(&y, 1, &dy, &x, 1, &dx, twice) != WK_OK) {
            note_failure(p, "gradients");
            return;
        }
        note(p, "gradients", bits_of(11, dx));
        if (!dx || !wk_requires_grad(dx)) return;
        y = dx;
        dy = wk_full((wk_dtype)y->dtype, wk_dims_get(y), -0.25);
    }
    if (wk_backward_from(y, dy, (wk_backward_opts){ 0 }) != WK_OK) {
        note_failure(p, "backward");
        return;
    }
    uint64_t bits = 13;
    for (int i = 0; i < p->leaves; i++) bits = bits_of(bits, wk_gradient(p->leaf[i]));
    note(p, "backward", bits);
}

void run_program_of_ops(uint64_t seed, uint64_t number, bool loud, void (*on_step)(const char *row), outcome *result) {
    program p = { .c = chance_of(seed, number), .result = result, .loud = loud };
    *result = (outcome){ 0 };
    wk_manual_seed(number);
    wk_set_threads(1);
    wk_scope scope = wk_scope_begin();
    p.differentiates = happens(&p.c, 50);
    for (int64_t steps = 3 + draw_below(&p.c, MOST_STEPS - 2); steps > 0 && !result->wrong[0]; steps--)
        one_step(&p, on_step);
    if (p.differentiates && !result->wrong[0]) run_backward(&p, on_step);
    for (int i = 0; i < p.leaves; i++) wk_release(p.leaf[i]);
    wk_scope_end(scope);
    if (wk_failed()) wrong(&p, "an error is left over: %s", wk_message());
    wk_clear_error();
}

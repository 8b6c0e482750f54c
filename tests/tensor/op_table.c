/* op_table.c: every row of the op table × every sample × every dtype × three layouts, against the references; twice,
 * and on one thread and two, bit for bit.
 *
 * A row that is new fails here until it has a reference; a dtype that a row allows and no kernel serves fails until it
 * is either served or listed below with the reason.
 */
#define WK_NO_CALL_SITES
#include "tensor/reference.h"
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

#include "support/agree.h"
#include "support/brief.h"
#include "support/golden_rows.h"
#include "support/sample.h"
#include "wick/ops.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is known to be otherwise ---- */

typedef struct exception {
    const char *row, *reason;
} exception;
/* Rows that need one layout: views of arbitrary strides have no reshape, optimizer state is row major. */
static const exception one_layout[] = {
    { "reshape", "a view of gaps has no other shape" }, { "global_norm", "gradients are row major" },
    { "any_nonfinite", "gradients are row major" },     { "adjust_list", "gradients are row major" },
    { "clip_factor", "numbers have one layout" },       { NULL, NULL },
};

/* Rows that allow a dtype which the CPU does not serve. */
static const exception not_served[] = {
    { NULL, NULL },
};

static bool is_listed(const exception *list, const char *row) {
    for (; list->row; list++)
        if (strcmp(list->row, row) == 0) return true;
    return false;
}

/* ---- one case ---- */

typedef struct walk {
    const wk_op_def *row;
    const ref_row *reference;
    wk_dtype dtype;
    wk__sample_layout layout;
    int cases, unsupported;
} walk;

enum { MOST_OUT = 32 };
typedef struct trial {
    wk_tensor *in[REFERENCE_MOST_IN], *out[MOST_OUT];
    int n_in, n_out;
    wk_status status;
} trial;

static bool writes(const wk_op_def *row, int i) {
    return row->n_in == WK_LIST ? row->mutates && i > 0 : (row->mutates >> i & 1) != 0;
}

/* Parameters, states and gradients of an optimizer's step are row major. */
static bool has_one_layout(const wk_op_def *row) {
    return wk__sample_is_step(row) || is_listed(one_layout, row->name);
}

/* Samples cannot say that nothing overflowed: rate, factor, found_inf, weight decay, and options that fit every rule.
 */
static void set_scalars(const walk *w, wk_tensor *scalars) {
    static const double values[WK_STEP_SCALARS] = { 0.01, 0.5, 0, 0.1, 0.6, 0.8, 0.01, 0.5, 0.4 };
    if (wk__sample_is_step(w->row)) memcpy(wk_data(scalars), values, sizeof values);
}

static trial run_once(const walk *w, const wk_sample_in *in, int n_in, const void *attrs, int threads) {
    trial t = { .n_in = n_in };
    for (int i = 0; i < n_in; i++)
        t.in[i] = wk__sample_draw(&in[i], i, wk__sample_dtype(w->row, &in[i], i, w->dtype), w->layout);
    if (t.in[0]) set_scalars(w, t.in[0]);
    wk_set_threads(threads);
    t.n_out = wk_op_outputs(w->row, t.in, n_in, attrs);
    cr_assert_leq(t.n_out, MOST_OUT, "%s", w->row->name);
    t.status = t.n_out < 0 ? wk_error_code() : wk_op_run(w->row, t.in, n_in, t.out, attrs);
    wk_set_threads(0);
    return t;
}

static bool trials_agree(const wk_op_def *row, const trial *a, const trial *b) {
    if (a->n_out != b->n_out) return false;
    for (int k = 0; k < a->n_out; k++)
        if (!same_bits(a->out[k], b->out[k])) return false;
    for (int i = 0; i < a->n_in; i++)
        if (a->in[i] && writes(row, i) && !same_bits(a->in[i], b->in[i])) return false;
    return true;
}

/* ---- against the reference ---- */

static wk_dtype working_dtype(const walk *w) {
    return w->dtype == WK_F64 ? WK_F64 : WK_F32;
}

static void compare(const walk *w, const char *label, const trial *t, ref_call *call) {
    static const char *const layouts[] = { "as said", "permuted", "gaps" };
    char text[200] = "";
    for (int k = 0; k < w->row->n_out; k++)
        if (call->out[k].known)
            cr_expect(ref_agrees(call, w->reference, working_dtype(w), t->out[k], &call->out[k], text, sizeof text),
                      "%s \"%s\" %s (%s), output %d: %s", w->row->name, label, wk_dtype_name(w->dtype),
                      layouts[w->layout], k, text);
        else
            cr_expect(w->row->internal_out >> k & 1, "%s: the reference leaves output %d open", w->row->name, k);
    for (int i = 0; i < t->n_in; i++)
        if (t->in[i] && writes(w->row, i))
            cr_expect(ref_agrees(call, w->reference, working_dtype(w), t->in[i], call->in[i], text, sizeof text),
                      "%s \"%s\" %s, changed input %d: %s", w->row->name, label, wk_dtype_name(w->dtype), i, text);
}

static void check_values(const walk *w, const char *label, const wk_sample_in *in, const trial *t, const void *attrs) {
    ref_tensor inputs[REFERENCE_MOST_IN];
    ref_call call = { .n_in = t->n_in, .n_out = w->row->n_out, .attrs = attrs, .terms = 1 };
    for (int i = 0; i < t->n_in; i++) {
        if (!t->in[i]) continue;
        /* Rows that write in place have changed what they were given: draw it again. */
        wk_tensor *fresh = wk__sample_draw(&in[i], i, (wk_dtype)t->in[i]->dtype, w->layout);
        if (i == 0) set_scalars(w, fresh);
        inputs[i] = ref_dense(fresh);
        call.in[i] = &inputs[i];
    }
    for (int k = 0; k < w->row->n_out; k++) call.out[k] = ref_dense(t->out[k]);
    w->reference->run(&call);
    compare(w, label, t, &call);
    for (int i = 0; i < t->n_in; i++)
        if (call.in[i]) ref_free(call.in[i]);
    for (int k = 0; k < w->row->n_out; k++) ref_free(&call.out[k]);
}

/* ---- the walk ---- */

static bool is_unsupported(walk *w, const char *label, const trial *t) {
    if (t->status != WK_UNSUPPORTED) return false;
    char expected[120];
    (void)snprintf(expected, sizeof expected, "%s: %s is not supported on cpu (inputs ", w->row->name,
                   wk_dtype_name(w->dtype));
    cr_expect(strncmp(wk_message(), expected, strlen(expected)) == 0, "%s \"%s\": message \"%s\"", w->row->name, label,
              wk_message());
    wk_clear_error();
    w->unsupported++;
    return true;
}

static void one_case(wk_sampler *sampler, const char *label, const wk_sample_in *in, int n_in, const void *attrs) {
    walk *w = sampler->context;
    const bool is_large = strstr(label, "large") != NULL;
    if (is_large && w->layout != WK__SAMPLE_AS_SAID) return; /* what layouts can do wrong shows in the small ones */
    if (is_large && tests_are_brief() && w->dtype != WK_F32) return;
    wk_scope scope = wk_scope_begin();
    trial first = run_once(w, in, n_in, attrs, 1);
    if (first.status != WK_OK) {
        if (!is_unsupported(w, label, &first))
            cr_expect(false, "%s \"%s\" %s: %s", w->row->name, label, wk_dtype_name(w->dtype), wk_message());
        wk_clear_error();
        wk_scope_end(scope);
        return;
    }
    w->cases++;
    if (!tests_are_brief()) {
        trial again = run_once(w, in, n_in, attrs, 1);
        cr_expect(again.status == WK_OK && trials_agree(w->row, &first, &again), "%s \"%s\" %s: a second run differs",
                  w->row->name, label, wk_dtype_name(w->dtype));
    }
    trial two = run_once(w, in, n_in, attrs, 2);
    bool same = two.status == WK_OK && trials_agree(w->row, &first, &two);
    cr_expect(same || w->row->thread_dependent, "%s \"%s\" %s: two threads give other bits than one", w->row->name,
              label, wk_dtype_name(w->dtype));
    if (w->reference) check_values(w, label, in, &first, attrs);
    wk_scope_end(scope);
}

static walk walk_row(const wk_op_def *row) {
    walk w = { .row = row, .reference = reference_of(row->name) };
    wk_sampler sampler = { .emit = one_case, .context = &w };
    for (int dtype = 0; dtype < WK_DTYPE_COUNT; dtype++) {
        if (!wk__sample_serves(row, (wk_dtype)dtype)) continue;
        w.dtype = (wk_dtype)dtype;
        for (int layout = 0; layout < (has_one_layout(row) ? 1 : WK__SAMPLE_LAYOUTS); layout++) {
            w.layout = (wk__sample_layout)layout;
            row->samples(&sampler);
        }
    }
    return w;
}

/* Every part-th row, so that the walk spreads over the processes of the test runner. */
static void walk_rows(int part, int parts) {
    for (int id = part; id < wk_op_count(); id += parts) {
        const wk_op_def *row = wk_op_get(id);
        /* Values of a gradient's row are pinned as the gradient of its row. */
        cr_expect(row->random || row->internal || reference_of(row->name) || golden_rows_has(row->name),
                  "row %s has neither a reference nor goldens (tests/golden/make_rows.py)", row->name);
        walk w = walk_row(row);
        cr_expect(w.cases > 0, "row %s: no case ran", row->name);
        cr_expect((w.unsupported > 0) == is_listed(not_served, row->name), "row %s: %d cases are not supported",
                  row->name, w.unsupported);
        cr_log_info("%s: %d cases, %d not supported", row->name, w.cases, w.unsupported);
    }
}
Test(op_table, values_a) {
    walk_rows(0, 4);
}
Test(op_table, values_b) {
    walk_rows(1, 4);
}
Test(op_table, values_c) {
    walk_rows(2, 4);
}
Test(op_table, values_d) {
    walk_rows(3, 4);
}

/* ---- what each row must declare ---- */

static void check_attr(const wk_op_def *row, const wk_attr_def *attr) {
    static const size_t sizes[] = {
        [WK_ATTR_INT] = sizeof(int64_t),  [WK_ATTR_FLOAT] = sizeof(double),         [WK_ATTR_BOOL] = sizeof(bool),
        [WK_ATTR_ENUM] = sizeof(int),     [WK_ATTR_DTYPE] = sizeof(wk_dtype),       [WK_ATTR_INTS] = sizeof(int64_t),
        [WK_ATTR_DIMS] = sizeof(wk_dims), [WK_ATTR_OPTIONAL] = sizeof(wk_optional), [WK_ATTR_TEXT] = 1
    };
    cr_assert_lt((size_t)attr->type, sizeof sizes / sizeof sizes[0], "%s.%s", row->name, attr->name);
    size_t size =
        sizes[attr->type] * (size_t)(attr->type == WK_ATTR_INTS || attr->type == WK_ATTR_TEXT ? attr->length : 1);
    cr_expect(size > 0 && attr->offset + size <= row->attrs_size, "%s.%s lies outside the attributes", row->name,
              attr->name);
    cr_expect(attr->offset % _Alignof(int) == 0 || attr->type == WK_ATTR_BOOL || attr->type == WK_ATTR_TEXT,
              "%s.%s is not aligned", row->name, attr->name);
    cr_expect(attr->otherwise == 0 || attr->type == WK_ATTR_OPTIONAL, "%s.%s: default %g, expected 0", row->name,
              attr->name, attr->otherwise);
    cr_expect((attr->choices != NULL) == (attr->type == WK_ATTR_ENUM), "%s.%s: choices", row->name, attr->name);
    cr_expect(attr->doc && *attr->doc, "%s.%s has no doc", row->name, attr->name);
}

Test(op_table, rows_are_complete) {
    cr_assert_gt(wk_op_count(), 60);
    for (int id = 0; id < wk_op_count(); id++) {
        const wk_op_def *row = wk_op_get(id);
        const char *lacks = wk__row_lacks(row);
        cr_expect_null(lacks, "%s lacks %s", row->name, lacks);
        cr_expect_eq(wk_op_find(row->name), row, "%s stands twice", row->name);
        for (int i = 0; i < row->n_attrs; i++) check_attr(row, &row->attrs[i]);
        cr_expect(row->n_in == WK_LIST || row->n_in <= WK_MAX_IN, "%s", row->name);
        cr_expect(row->n_out <= WK_MAX_OUT || (row->composite && row->n_out == WK_LIST && row->outputs), "%s",
                  row->name);
        cr_expect_leq(row->attrs_size, 512, "%s: dispatch holds no larger block of defaults", row->name);
        cr_expect(!row->composite || !row->grad, "%s: a composite row's gradient is that of its parts", row->name);
        cr_expect(row->internal || !strstr(row->name, "_backward"), "%s: a gradient's row is internal", row->name);
    }
}

Test(op_table, an_incomplete_row_is_refused) {
    static wk_op_def row = { .name = "nothing", .doc = "no shape rule" };
    cr_assert_eq(wk_op_register(&row), WK_INVALID);
    cr_assert_str_eq(wk_message(), "wk_op_register: row \"nothing\" lacks a shape rule");
    wk_clear_error();
}

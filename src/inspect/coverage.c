/* coverage.c: how each row of the op table runs on the emulated device: docs/cuda-coverage.md.
 *
 * Every sample of a row is run in every dtype, but for the large ones; so the table says what does run and not what a
 * file promises.  A call that took no step through the row's parts ran by a kernel.
 */
#include "base/base.h"
#include "tensor/backend.h"
#include "tensor/sample.h"
#include "wick/autograd.h"
#include "wick/inspect.h"

#include <string.h>

enum { MOST_IN = 16, MOST_OUT = 32 };

/* What happened with the samples in one dtype. */
typedef struct outcome {
    int by_kernel, by_parts, refused, failed;
    int idle; /* results without elements: nothing ran */
} outcome;

typedef struct walk {
    const wk_op_def *row;
    wk_device device;
    wk_dtype dtype;
    outcome result;
} walk;

static bool are_empty(wk_tensor *const *out, int count) {
    for (int i = 0; i < count; i++)
        if (out[i] && wk_count(out[i]) > 0) return false;
    return true;
}

static void run(walk *w, const wk_sample_in *in, int n_in, const void *attrs) {
    wk_tensor *operand[MOST_IN] = { NULL }, *out[MOST_OUT] = { NULL };
    for (int i = 0; i < n_in; i++) {
        wk_dtype dtype = wk__sample_dtype(w->row, &in[i], i, w->dtype);
        operand[i] = wk__sample_draw(&in[i], i, dtype, WK__SAMPLE_AS_SAID);
        if (operand[i] && !wk__sample_stays(w->row, operand, n_in, attrs, i))
            operand[i] = wk_to_device(operand[i], w->device);
    }
    wk_device was = wk_device_use(w->device);
    uint32_t before = wk__count_decompositions();
    int outputs = wk_op_outputs(w->row, operand, n_in, attrs);
    wk_status status =
        outputs < 0 || outputs > MOST_OUT ? wk_error_code() : wk_op_run(w->row, operand, n_in, out, attrs);
    (void)wk_device_use(was);
    bool by_parts = w->row->composite || wk__count_decompositions() != before;
    if (status == WK_UNSUPPORTED)
        w->result.refused++;
    else if (status != WK_OK)
        w->result.failed++;
    else if (by_parts)
        w->result.by_parts++;
    else if (are_empty(out, outputs))
        w->result.idle++;
    else
        w->result.by_kernel++;
    wk_clear_error();
}

static void one_sample(wk_sampler *sampler, const char *label, const wk_sample_in *in, int n_in, const void *attrs) {
    walk *w = sampler->context;
    if (strstr(label, "large") || n_in > MOST_IN) return;
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    run(w, in, n_in, attrs);
    wk_no_grad_end(was);
    wk_scope_end(scope);
}

static outcome look(const wk_op_def *row, wk_device device, wk_dtype dtype) {
    walk w = { .row = row, .device = device, .dtype = dtype };
    wk_sampler sampler = { .emit = one_sample, .context = &w };
    row->samples(&sampler);
    return w.result;
}

static void add_name(wk_text *text, const char *name) {
    wk_text_printf(text, "%s%s", text->size ? " " : "", name);
}

/* A row's line: dtypes by how they run, and where its kernel stands. */
static void add_row(wk_text *page, const wk_op_def *row, wk_device device, int counts[3]) {
    wk_text kernel = { 0 }, parts = { 0 }, none = { 0 };
    const char *table = NULL;
    for (int d = 0; d < WK_DTYPE_COUNT; d++) {
        if (!wk__sample_serves(row, (wk_dtype)d)) continue;
        const outcome o = look(row, device, (wk_dtype)d);
        const char *name = wk_dtype_name((wk_dtype)d);
        const char *in = wk__kernel_table(row, device, (wk_dtype)d);
        const bool has_kernel = o.by_kernel || (o.idle && in);
        if (has_kernel) add_name(&kernel, name);
        if (o.by_parts) add_name(&parts, name);
        if (o.refused || o.failed || (!has_kernel && !o.by_parts)) add_name(&none, name);
        if (!table) table = in;
    }
    counts[none.size ? 2 : kernel.size ? 0 : 1]++;
    wk_text_printf(page, "| `%s` | %s | %s | %s | %s |\n", row->name, wk_text_get(&kernel), table ? table : "",
                   wk_text_get(&parts), wk_text_get(&none));
    wk_text_free(&kernel);
    wk_text_free(&parts);
    wk_text_free(&none);
}

static const char opening[] =
    "# What runs on CUDA\n\n"
    "Written by `wick op --coverage docs/cuda-coverage.md` and held to the kernels by a test "
    "(`tests/inspect/coverage.c`).\n"
    "Each row of the op table runs its samples on the emulated device. *kernel*: dtypes (of the row's key tensor) that "
    "a\n"
    "kernel of `kernels/cuda` takes, *table*: the file it stands in (`blas`: cuBLASLt), *by parts*: dtypes in which "
    "some\n"
    "samples run as the row's parts, *not yet*: those in which some do not run; such a call is an error by name.\n"
    "None of it has been seen on hardware.\n";

static char *make_page(wk_device device) {
    wk_text page = { 0 }, rows = { 0 };
    int counts[3] = { 0 };
    const char *family = "";
    for (int id = 0; id < wk_op_count(); id++) {
        const wk_op_def *row = wk_op_get(id);
        if (strcmp(family, wk_op_family(row)) != 0) {
            family = wk_op_family(row);
            wk_text_printf(&rows, "\n## %s\n\n| row | kernel | table | by parts | not yet |\n|---|---|---|---|---|\n",
                           family);
        }
        add_row(&rows, row, device, counts);
    }
    wk_text_puts(&page, opening);
    wk_text_printf(&page, "\n%d rows by kernels, %d by parts alone, %d with a hole.\n", counts[0], counts[1],
                   counts[2]);
    wk_text_puts(&page, wk_text_get(&rows));
    wk_text_free(&rows);
    return page.data;
}

char *wk_op_coverage(void) {
    wk_device device;
    if (wk_device_parse("cudaemu", &device) != WK_OK) return NULL;
    wk_scope scope = wk_scope_begin();
    char *page = make_page(device);
    wk_scope_end(scope);
    return page;
}

/* summary.c: what each layer makes of an example, as a table. */
#define WK_NO_CALL_SITES
#include "nn/nn.h"
#include "tensor/tensor.h"

#include <string.h>

enum { MOST_ROWS = 4096 };

typedef struct row {
    const wk_module *module;
    char shape[80];
    double operations, bytes;
    int64_t parameters;
    wk_hook before, after;
    double started;
} row;
typedef struct table {
    row *rows;
    int count;
    wk_module *root;
} table;

static row *row_of(table *t, const wk_module *module) {
    for (int i = 0; i < t->count; i++)
        if (t->rows[i].module == module) return &t->rows[i];
    return NULL;
}

static wk_status before(void *context, wk_module *module, wk_args *in) {
    (void)in;
    row_of(context, module)->started = wk_cost_so_far().operations;
    return WK_OK;
}

static wk_status after(void *context, wk_module *module, const wk_args *in, wk_args *out) {
    (void)in;
    row *r = row_of(context, module);
    const wk_tensor *y = out->slot[0].tensor;
    r->operations += wk_cost_so_far().operations - r->started;
    (void)wk_describe(y, r->shape, sizeof r->shape);
    for (int i = 0; i < out->count; i++) {
        const wk_tensor *one = out->slot[i].tensor;
        r->bytes += (double)one->count * (double)wk_dtype_size((wk_dtype)one->dtype);
    }
    return WK_OK;
}

/* Layers are the modules without children. */
static void watch(void *context, wk_module *module) {
    table *t = context;
    if (wk_module_count(module) > 0 || t->count == MOST_ROWS || wk_failed()) return;
    t->rows[t->count] = (row){ .module = module, .parameters = wk_parameter_count(module) };
    t->rows[t->count].before = wk_on_forward_pre(module, before, t);
    t->rows[t->count].after = wk_on_forward(module, after, t);
    t->count++;
}

/* 1,234,567 */
static const char *grouped(double value, char *buffer, size_t size) {
    char digits[40];
    int length = snprintf(digits, sizeof digits, "%.0f", value), used = 0;
    for (int i = 0; i < length && (size_t)used + 2 < size; i++) {
        if (i && (length - i) % 3 == 0) buffer[used++] = ',';
        buffer[used++] = digits[i];
    }
    buffer[used] = '\0';
    return buffer;
}

static const char *memory(double bytes, char *buffer, size_t size) {
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    int unit = 0;
    for (; bytes >= 1024 && unit < 4; unit++) bytes /= 1024;
    (void)snprintf(buffer, size, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return buffer;
}

static void print_line(wk_text *text, const char *name, const char *shape, double parameters, double operations,
                       double bytes) {
    char numbers[2][40], amount[40];
    wk_text_printf(text, "%-32s %-26s %12s %16s %10s\n", name, shape, grouped(parameters, numbers[0], 40),
                   grouped(operations, numbers[1], 40), memory(bytes, amount, sizeof amount));
}

static void print_table(const table *t, double operations, wk_text *text) {
    double bytes = 0;
    wk_text_printf(text, "%-32s %-26s %12s %16s %10s\n", "layer", "output", "parameters", "operations", "memory");
    for (int i = 0; i < t->count; i++) {
        const row *r = &t->rows[i];
        char name[120];
        const char *path = r->module->path + strlen(t->root->path);
        (void)snprintf(name, sizeof name, "%s%s%s", *path == '.' ? path + 1 : path, *path ? ": " : "",
                       r->module->class_->name);
        print_line(text, name, *r->shape ? r->shape : "not run", (double)r->parameters, r->operations, r->bytes);
        bytes += r->bytes;
    }
    print_line(text, "total", "", (double)wk_parameter_count(t->root), operations, bytes);
}

char *wk_module_table(wk_module *module, wk_tensor *example) {
    if (!module || !example || wk_failed()) return NULL;
    table t = { .rows = wk_alloc(MOST_ROWS * sizeof(row)), .root = module };
    if (!t.rows) return NULL;
    bool was_training = module->training, was = wk_no_grad_begin();
    wk_scope scope = wk_scope_begin();
    wk_module_train(module, false);
    wk_module_apply(module, watch, &t);
    wk_cost_begin();
    wk_tensor *y = wk_forward(module, example);
    wk_cost cost = wk_cost_end();
    wk_module_train(module, was_training);
    wk_scope_end(scope);
    wk_no_grad_end(was);
    for (int i = 0; i < t.count; i++) {
        wk_module_unhook((wk_module *)(uintptr_t)t.rows[i].module, t.rows[i].before);
        wk_module_unhook((wk_module *)(uintptr_t)t.rows[i].module, t.rows[i].after);
    }
    wk_text text = { 0 };
    if (y) print_table(&t, cost.operations, &text);
    if (text.failed) wk_text_free(&text);
    wk_free(t.rows);
    return text.data;
}

/* registry.c: the op table: Wick's own rows and those that users add, and the kernels found for them.
 *
 * Own rows get their numbers before main runs, so that dispatch needs neither lock nor once-flag; what is written to
 * disk is always the name.
 */
#include "tensor/registry.h"

#include <pthread.h>
#include <string.h>

enum { MOST_OPS = 1024 };

static wk_op_def *table[MOST_OPS];
static const char *families[MOST_OPS];
static atomic_int count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* What is known of a kernel: not looked up yet (NULL), known to be missing, or the kernel. */
static _Atomic(wk_kernel) kernels[WK__BACKENDS][MOST_OPS][WK_DTYPE_COUNT];

static wk_status missing(wk_kernel_ctx *ctx, const wk_call *call) {
    (void)ctx, (void)call;
    return WK_UNSUPPORTED;
}

static void add(wk_op_def *op, const char *family) {
    int id = atomic_load_explicit(&count, memory_order_relaxed);
    op->id = id;
    wk__autocast_classify(op);
    table[id] = op;
    families[id] = family;
    atomic_store_explicit(&count, id + 1, memory_order_release);
}

__attribute__((constructor)) static void add_own_rows(void) {
#define FAMILY(folder, file) \
    for (wk_op_def *const *row = wk__rows_##file; *row; row++) add(*row, #folder);
    WK__ROW_FAMILIES(FAMILY)
#undef FAMILY
}

/* What is missing from a row, or NULL. */
const char *wk__row_lacks(const wk_op_def *op) {
    if (!op->name || !*op->name) return "a name";
    if (!op->doc) return "a doc";
    if (op->composite && !op->decompose) return "the parts that a composite row is made of";
    if (!op->composite && !op->shape) return "a shape rule";
    if (!op->samples) return "samples";
    if (!op->cost) return "a cost";
    if (op->composite) return NULL;
    if (!op->grad && !op->not_differentiable) return "a gradient rule, or the reason why there is none";
    return NULL;
}

wk_status wk_op_register(wk_op_def *op) {
    const char *lacks = wk__row_lacks(op);
    if (lacks) return wk_fail(WK_INVALID, "wk_op_register: row \"%s\" lacks %s", op->name ? op->name : "", lacks);
    (void)pthread_mutex_lock(&lock);
    wk_status status = WK_OK;
    if (wk_op_find(op->name))
        status = wk_fail(WK_EXISTS, "wk_op_register: there is a row \"%s\" already", op->name);
    else if (atomic_load(&count) == MOST_OPS)
        status = wk_fail(WK_STATE, "wk_op_register: the table is full (%d)", MOST_OPS);
    else
        add(op, "");
    (void)pthread_mutex_unlock(&lock);
    return status;
}

int wk_op_count(void) {
    return atomic_load_explicit(&count, memory_order_acquire);
}

const wk_op_def *wk_op_get(int id) {
    return id >= 0 && id < wk_op_count() ? table[id] : NULL;
}

const char *wk_op_family(const wk_op_def *op) {
    return wk_op_get(op->id) == op ? families[op->id] : "";
}

const wk_op_def *wk_op_find(const char *name) {
    for (int id = 0; id < wk_op_count(); id++)
        if (strcmp(table[id]->name, name) == 0) return table[id];
    return NULL;
}

wk_kernel wk__kernel_for(const wk_op_def *op, int device, wk_dtype dtype) {
    const int backend = wk__backend_index(device);
    wk_kernel kernel = atomic_load_explicit(&kernels[backend][op->id][dtype], memory_order_acquire);
    if (WK_UNLIKELY(!kernel)) {
        kernel = op->run ? op->run : wk__backend_at(backend)->kernel(op->name, dtype);
        if (!kernel) kernel = missing;
        atomic_store_explicit(&kernels[backend][op->id][dtype], kernel, memory_order_release);
    }
    return kernel == missing ? NULL : kernel;
}

const char *wk__kernel_table(const wk_op_def *op, wk_device device, wk_dtype dtype) {
    const wk_backend *backend = wk__backend_of(device);
    return backend && backend->kernel_table ? backend->kernel_table(op->name, dtype) : NULL;
}

wk_kernel wk__cpu_roof(const char *name, wk_dtype dtype) {
    return wk__cpu_backend()->kernel(name, dtype);
}

wk_status wk__cpu_device_info(wk_device_info *info) {
    return wk__cpu_backend()->device_info(0, info);
}

wk_status wk_op_register_kernel(const char *op, const char *backend, wk_dtype_set dtypes, wk_kernel kernel) {
    const wk_op_def *row = wk_op_find(op);
    if (!row) return wk_fail(WK_NOT_FOUND, "wk_op_register_kernel: there is no row \"%s\"", op);
    int index = wk__backend_open(backend);
    if (index < 0) {
        wk_error_prefix("wk_op_register_kernel");
        return wk_error_code();
    }
    if (!kernel) return wk_fail(WK_INVALID, "wk_op_register_kernel: %s: the kernel is NULL", op);
    for (int dtype = 0; dtype < WK_DTYPE_COUNT; dtype++)
        if (!dtypes || (dtypes >> dtype & 1))
            atomic_store_explicit(&kernels[index][row->id][dtype], kernel, memory_order_release);
    return WK_OK;
}

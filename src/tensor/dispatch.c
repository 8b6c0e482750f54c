/* dispatch.c: the one place that sees every call.
 *
 * Check the operands, convert where the row promotes, ask the shape rule, take memory, run the kernel, record on the
 * tape. Nothing here locks, hashes or allocates from the system in a steady step.
 */
#include "tensor/registry.h"
#include "tensor/op_attrs.h"

#include <string.h>

enum { MOST_ATTRS = 512 }; /* bytes of a row's attributes; a test holds the table to it */

static atomic_uint decompositions;
static const char defaults[MOST_ATTRS];

uint32_t wk__count_decompositions(void) {
    return atomic_load(&decompositions);
}

/* ---- messages ---- */

/* " in huber_loss (layer "fc1")  [train.c:12]": where the call stands, as far as it is known. */
static const char *where(const wk_context *context, const char *op, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    if (context->composite && strcmp(context->composite, op) != 0)
        used = (size_t)snprintf(text, size, " in %s", context->composite);
    if (context->layer && used < size)
        used += (size_t)snprintf(text + used, size - used, " (layer \"%s\")", context->layer);
    if (context->call_site && used < size) {
        const char *slash = strrchr(context->call_site, '/');
        (void)snprintf(text + used, size - used, "  [%s]", slash ? slash + 1 : context->call_site);
    }
    return text;
}

static wk_status fail_list(const char *op, wk_status code, const char *format, va_list list) {
    wk_context *context = wk__context();
    if (!context || wk_failed()) return code;
    char what[600], place[320];
    (void)vsnprintf(what, sizeof what, format, list);
    return wk_fail(code, "%s: %s%s", op, what, where(context, op, place, sizeof place));
}

wk_status wk_bad_call(const wk_call *call, wk_status code, const char *format, ...) {
    va_list list;
    va_start(list, format);
    (void)fail_list(call->op->name, code, format, list);
    va_end(list);
    return code;
}

wk_status wk__bad_argument(const char *op, wk_status code, const char *format, ...) {
    va_list list;
    va_start(list, format);
    (void)fail_list(op, code, format, list);
    va_end(list);
    return code;
}

/* Kernels know neither layer nor line: they are added to what a kernel said. */
static void add_place(const wk_context *context) {
    char *message = context->pending->message, place[320];
    size_t used = strlen(message), size = sizeof context->pending->message;
    if (used && message[used - 1] != ']')
        (void)snprintf(message + used, size - used, "%s", where(context, "", place, sizeof place));
}

/* What gives out memory, or makes a tensor in a composite row, knows no operation. */
static void add_op(const wk_context *context, const wk_op_def *op) {
    if (strstr(context->pending->message, op->name)) return;
    wk_error_prefix("%s", op->name);
    add_place(context);
}

static const char *describe_inputs(const wk_call *call, char *buffer, size_t size) {
    size_t used = 0;
    buffer[0] = '\0';
    for (int i = 0; i < call->n_in && i < 4; i++) {
        char one[160];
        int more =
            snprintf(buffer + used, size - used, "%s%s", i ? ", " : "", wk_describe(call->in[i], one, sizeof one));
        if (more < 0 || (used += (size_t)more) >= size) break;
    }
    return buffer;
}

/* ---- operands ---- */

/* `devices` has a bit set where an operand is not on the CPU. */
static wk_status check_operands(const wk_call *call, bool *wants_grad, int *devices) {
    const wk_op_def *op = call->op;
    *wants_grad = false;
    *devices = 0;
    for (int i = 0; i < call->n_in; i++) {
        const wk_tensor *tensor = call->in[i];
        if (!tensor) {
            if (op->n_in != WK_LIST && (op->optional_in >> i & 1)) continue;
            return wk_bad_call(call, WK_INVALID, "input %d is NULL", i);
        }
        if (WK_UNLIKELY(tensor->life != WK__ALIVE))
            return wk_bad_call(call, WK_DEAD_TENSOR, "input %d is used after its scope ended", i);
        *devices |= tensor->device;
        *wants_grad = *wants_grad || wk__wants_grad(tensor);
    }
    if (op->n_in != WK_LIST && call->n_in != op->n_in)
        return wk_bad_call(call, WK_INVALID, "%d inputs given, expected %d", call->n_in, op->n_in);
    return WK_OK;
}

/* ---- attributes and dtypes ---- */

/* Attributes that no row could take: a number that is no choice or no dtype, more axes than tensors have.  Zeros, which
 * is what most are, are not looked at further. */
static wk_status check_attr(const wk_call *call, const wk_attr_def *attr) {
    const char *at = (const char *)call->attrs + attr->offset;
    int value;
    memcpy(&value, at, sizeof value); /* wk_dims begins with its rank */
    if (WK_LIKELY(value == 0)) return WK_OK;
    int most = WK_MAX_RANK;
    if (attr->type == WK_ATTR_DTYPE) most = WK_DTYPE_COUNT - 1;
    if (attr->type == WK_ATTR_ENUM) {
        most = 0;
        for (const char *letter = attr->choices; *letter; letter++) most += *letter == '|';
    }
    if (WK_LIKELY(value > 0 && value <= most)) return WK_OK;
    if (attr->type == WK_ATTR_DTYPE) return wk_bad_call(call, WK_DTYPE, "%d is no dtype", value);
    if (attr->type == WK_ATTR_DIMS)
        return wk_bad_call(call, WK_INVALID, "%s has %d numbers, expected at most %d", attr->name, value, most);
    return wk_bad_call(call, WK_INVALID, "%s is %d, expected one of 0 to %d: %s", attr->name, value, most,
                       attr->choices);
}

static wk_status check_attrs(const wk_call *call) {
    for (int i = 0; i < call->op->n_attrs; i++) {
        wk_attr_type type = call->op->attrs[i].type;
        if (type == WK_ATTR_DIMS || type == WK_ATTR_ENUM || type == WK_ATTR_DTYPE)
            WK_TRY(check_attr(call, &call->op->attrs[i]));
    }
    return WK_OK;
}

static wk_dtype promote(wk_dtype a, wk_dtype b) {
    if (a == b) return a;
    bool a_float = wk_dtype_is_float(a), b_float = wk_dtype_is_float(b);
    if (a_float && b_float) return a == WK_F64 || b == WK_F64 ? WK_F64 : WK_F32;
    if (a_float || b_float) return a_float ? a : b;
    if (a == WK_BOOL) return b;
    if (b == WK_BOOL) return a;
    if (wk_dtype_size(a) == wk_dtype_size(b)) return WK_I16; /* i8 with u8 */
    return wk_dtype_size(a) > wk_dtype_size(b) ? a : b;
}

static void list_dtypes(wk_dtype_set set, char *buffer, size_t size) {
    size_t used = 0;
    for (int dtype = 0; dtype < WK_DTYPE_COUNT && used < size; dtype++)
        if (set >> dtype & 1)
            used +=
                (size_t)snprintf(buffer + used, size - used, "%s%s", used ? ", " : "", wk_dtype_name((wk_dtype)dtype));
}

static wk_status check_dtypes(const wk_call *call) {
    const wk_dtype_rule *rule = &call->op->dtype;
    int first = -1;
    for (int i = 0; i < call->n_in; i++) {
        const wk_tensor *tensor = call->in[i];
        if (!tensor) continue;
        int slot = call->op->n_in == WK_LIST ? 0 : i;
        if (rule->allowed[slot] && !(rule->allowed[slot] >> tensor->dtype & 1)) {
            char allowed[120];
            list_dtypes(rule->allowed[slot], allowed, sizeof allowed);
            return wk_bad_call(call, WK_DTYPE, "input %d is %s, expected %s", i, wk_dtype_name((wk_dtype)tensor->dtype),
                               allowed);
        }
        if (!(rule->same >> slot & 1)) continue;
        if (first < 0)
            first = i;
        else if (call->in[first]->dtype != tensor->dtype)
            return wk_bad_call(call, WK_DTYPE, "input %d is %s and input %d is %s; convert one with wk_cast", first,
                               wk_dtype_name((wk_dtype)call->in[first]->dtype), i,
                               wk_dtype_name((wk_dtype)tensor->dtype));
    }
    return WK_OK;
}

/* bool, integers, floats */
static int category(wk_dtype dtype) {
    return dtype == WK_BOOL ? 0 : wk_dtype_is_float(dtype) ? 2 : 1;
}

/* The common dtype of the inputs named by the rule; -1 if there is none.  Tensors without axes do not raise the dtype
 * of those with axes, unless they are of a higher category. */
static int common_dtype(const wk_call *call, bool *differ) {
    int common[2] = { -1, -1 }, first = -1; /* of tensors without and with axes */
    for (int i = 0; i < call->n_in; i++) {
        const wk_tensor *in = call->in[i];
        if (!(call->op->dtype.same >> i & 1) || !in) continue;
        int *of = &common[in->rank > 0];
        *of = *of < 0 ? in->dtype : (int)promote((wk_dtype)*of, (wk_dtype)in->dtype);
        if (first < 0) first = in->dtype;
        *differ = *differ || first != in->dtype;
    }
    if (common[0] < 0 || common[1] < 0) return common[0] < 0 ? common[1] : common[0];
    bool higher = category((wk_dtype)common[0]) > category((wk_dtype)common[1]);
    return higher ? common[0] : common[1];
}

/* Convert operands of a promoting row to their common dtype, into `converted`. */
static wk_status promote_operands(wk_call *call, wk_tensor *converted[WK_MAX_IN]) {
    const wk_dtype_rule *rule = &call->op->dtype;
    bool differ = false;
    int common = common_dtype(call, &differ);
    if (!differ) return WK_OK;
    for (int i = 0; i < call->n_in; i++) {
        converted[i] = call->in[i];
        if (!(rule->same >> i & 1) || !call->in[i] || call->in[i]->dtype == common) continue;
        converted[i] = (wk_cast)(call->in[i], (wk_dtype)common);
        if (!converted[i]) return wk_error_code();
    }
    call->in = converted;
    return WK_OK;
}

/* ---- outputs ---- */

static bool fits(const wk_tensor *target, const wk_desc *desc, int device) {
    if (target->device != device || target->dtype != desc->dtype || target->rank != desc->rank) return false;
    for (int axis = 0; axis < desc->rank; axis++)
        if (target->shape[axis] != desc->shape[axis]) return false;
    return !desc->strided && (target->flags & WK_TENSOR_CONTIGUOUS);
}

static wk_tensor *make_output(wk_context *context, const wk_call *call, const wk_desc *desc, wk_tensor *target) {
    if (desc->reuse_of) return call->in[desc->reuse_of - 1];
    wk_tensor *out = wk__header_create(context);
    if (!out
        || !wk__header_shape(out, desc->dtype, desc->rank, desc->shape,
                             context->composite ? context->composite : call->op->name))
        return NULL;
    size_t size = wk_dtype_size(desc->dtype);
    if (desc->view_of) {
        const wk_tensor *in = call->in[desc->view_of - 1];
        memcpy(out->stride, desc->stride, sizeof out->stride);
        out->device = in->device;
        out->storage = wk__storage_hold(in->storage);
        out->data = (char *)in->data + desc->offset * (int64_t)size;
        wk__header_flags(out);
        return out;
    }
    out->device = (uint8_t)(desc->place ? desc->place - 1 : call->device);
    if (target && fits(target, desc, out->device)) {
        out->storage = wk__storage_hold(target->storage);
        out->data = target->data;
        wk__storage_changed(target->storage, context->call_site);
        return out;
    }
    if (desc->strided) {
        memcpy(out->stride, desc->stride, sizeof out->stride);
        wk__header_flags(out);
    }
    out->storage = wk__storage_create(context, out->device, (size_t)out->count * size);
    if (!out->storage) return NULL;
    out->data = out->storage->data;
    return out;
}

static wk_status check_mutation(const wk_context *context, const wk_call *call) {
    for (int i = 0; i < call->n_in; i++) {
        if (!wk__writes(call, i)) continue;
        const wk_tensor *tensor = call->in[i];
        if (tensor->node || (wk__wants_grad(tensor) && !(context->mode & WK__MODE_NO_GRAD)))
            return wk_bad_call(
                call, WK_INVALID,
                "input %d is written in place but a gradient depends on it; use wk_no_grad_begin, or a copy", i);
        char why[300];
        if (wk__not_writable(tensor, why, sizeof why))
            return wk_bad_call(call, WK_INVALID, "input %d is written in place but %s", i, why);
        wk__storage_changed(tensor->storage, context->call_site);
    }
    return WK_OK;
}

/* ---- the kernel ---- */

static wk_status unsupported(const wk_call *call, wk_dtype dtype) {
    char inputs[400];
    return wk_bad_call(call, WK_UNSUPPORTED, "%s is not supported on %s (inputs %s)", wk_dtype_name(dtype),
                       wk_device_name(call->device), describe_inputs(call, inputs, sizeof inputs));
}

static bool nothing_to_do(const wk_call *call) {
    if (call->op->zero_sized_runs || call->n_out == 0) return false;
    for (int i = 0; i < call->n_out; i++)
        if (call->out[i]->count != 0) return false;
    return true;
}

wk_dtype wk__key_dtype(const wk_call *call) {
    const wk_op_def *op = call->op;
    return (wk_dtype)(op->keyed_by_output || call->n_in == 0 ? call->out[0] : call->in[op->key])->dtype;
}

/* WK_UNSUPPORTED with no error pending: there is no kernel, or it does not take this call. */
static wk_status try_kernel(wk_context *context, const wk_call *call) {
    wk_kernel kernel = wk__kernel_for(call->op, call->device, wk__key_dtype(call));
    if (!kernel) return WK_UNSUPPORTED;
    wk_kernel_ctx ctx = { .threads = context->threads };
    if (WK_UNLIKELY(call->device)) {
        WK_TRY(wk__step_flush(context));
        ctx.stream = wk__backend_of(call->device)->stream(wk__ordinal(call->device));
        if (!ctx.stream) return wk_error_code();
        ctx.noted = context->noted;
    }
    const bool observed = WK_UNLIKELY(context->mode & WK__MODE_OBSERVED);
    double start = observed ? wk_now() : 0;
    wk_status status = kernel(&ctx, call);
    if (observed) context->observer->ran(context->observer, context, call, start, wk_now());
    if (status != WK_OK && wk_failed()) add_place(context);
    if (status != WK_OK && status != WK_UNSUPPORTED && !wk_failed())
        return wk_bad_call(call, status, "the kernel failed: %s", wk_status_text(status));
    return status;
}

wk_status wk__run_kernel(wk_context *context, const wk_call *call) {
    wk_status status = try_kernel(context, call);
    return status == WK_UNSUPPORTED && !wk_failed() ? unsupported(call, wk__key_dtype(call)) : status;
}

/* A row without a kernel for this dtype runs as its parts. */
static bool runs_as_parts(const wk_call *call) {
    const wk_op_def *op = call->op;
    if (!op->decompose || op->keyed_by_output || call->n_in == 0) return false;
    const wk_tensor *key = call->in[op->key];
    return !wk__kernel_for(op, call->device, (wk_dtype)key->dtype);
}

static void count_cost(wk_context *context, const wk_call *call) {
    wk_cost cost = call->op->cost(call);
    context->cost.operations += cost.operations;
    context->cost.bytes += cost.bytes;
}

void wk_cost_begin(void) {
    wk_context *context = wk__context();
    if (!context) return;
    context->cost = (wk_cost){ 0 };
    context->mode |= WK__MODE_COST;
}

wk_cost wk_cost_so_far(void) {
    wk_context *context = wk__context();
    return context ? context->cost : (wk_cost){ 0 };
}

wk_cost wk_cost_end(void) {
    wk_context *context = wk__context();
    if (context) context->mode &= ~(uint32_t)WK__MODE_COST;
    return wk_cost_so_far();
}

/* In a scope of its own, so that what the parts made besides the results dies at once. */
static wk_status run_parts(wk_context *context, const wk_call *call) {
    if (!context->scope) return wk__header_create(context) ? WK_OK : wk_error_code(); /* which says what is missing */
    const char *outer = context->composite;
    if (!outer) context->composite = call->op->name;
    const int device = wk__device_enter(context, call->device);
    wk_scope scope = wk_scope_begin();
    wk_status status = call->op->decompose(call, call->out);
    (void)wk__device_enter(context, device);
    if (status == WK_OK && wk_failed()) status = wk_error_code();
    for (int i = 0; i < call->n_out; i++) call->out[i] = status == WK_OK ? wk_scope_return(scope, call->out[i]) : NULL;
    wk_scope_end(scope);
    context->composite = outer;
    if (status != WK_OK && !outer) add_op(context, call->op);
    return status;
}

/* A row without a gradient is noted too where its result could have one: a backward that gets there says so, instead of
 * taking the result for a constant. */
static bool is_noted(const wk_call *call) {
    if (call->op->grad) return true;
    return call->n_out > 0 && wk_dtype_is_float((wk_dtype)call->out[0]->dtype);
}

/* ---- the call ---- */

void wk__fail_after_ops(int64_t count) {
    wk_context *context = wk__context();
    context->ops_until_failure = count;
    if (count > 0)
        context->mode |= WK__MODE_FAIL;
    else
        context->mode &= ~(uint32_t)WK__MODE_FAIL;
}

/* What a call needs besides itself; it lies beside the call, whose `in` may point into it. */
typedef struct operands {
    wk_tensor *placed[WK_MAX_IN], *converted[WK_MAX_IN], *lowered[WK_MAX_IN];
    bool want_grad;
    int devices;
} operands;

static wk_status prepare(wk_context *context, wk_call *call, operands *o) {
    if (WK_UNLIKELY(context->mode & WK__MODE_FAIL) && --context->ops_until_failure == 0)
        return wk_bad_call(call, WK_INTERNAL, "was made to fail by a test");
    WK_TRY(check_operands(call, &o->want_grad, &o->devices));
    WK_TRY(check_attrs(call));
    if (WK_UNLIKELY(o->devices | context->device)) WK_TRY(wk__place_operands(context, call, o->placed));
    if (WK_UNLIKELY(context->mode & WK__MODE_AUTOCAST) && call->op->dtype.autocast != WK_CAST_AS_IS)
        WK_TRY(wk__autocast_operands(context, call, o->lowered));
    if (call->op->dtype.promote) WK_TRY(promote_operands(call, o->converted));
    return check_dtypes(call);
}

/* The row's own kernel, or a view. */
static wk_status run_row(wk_context *context, const wk_call *call, wk__ran *how, bool wants_grad) {
    const wk_op_def *op = call->op;
    how->mutates = op->mutates && (!op->mutates_now || op->mutates_now(call));
    if (how->mutates) WK_TRY(check_mutation(context, call));
    for (int i = 0; i < op->n_out; i++) {
        call->out[i] = make_output(context, call, &how->descs[i], how->targets ? how->targets[i] : NULL);
        if (!call->out[i]) return wk_error_code();
    }
    how->ran = !(op->n_out && how->descs[0].view_of) && !nothing_to_do(call);
    if (how->ran) {
        wk_status status = try_kernel(context, call);
        if (status == WK_UNSUPPORTED && !wk_failed() && !op->decompose) return unsupported(call, wk__key_dtype(call));
        WK_TRY(status);
    }
    if (WK_UNLIKELY(context->mode & WK__MODE_COST)) count_cost(context, call);
    if (WK_UNLIKELY(context->mode & WK__MODE_CHECK_RESULTS)) WK_TRY(wk__check_results(call));
    how->taped = wants_grad && !(context->mode & WK__MODE_NO_GRAD) && is_noted(call) && !how->targets;
    if (how->taped) WK_TRY(wk__tape_record(context, call));
    if (WK_UNLIKELY(context->mode & WK__MODE_CAPTURE)) wk__capture_ran(context, call, how);
    return WK_OK;
}

static wk_status run(wk_context *context, wk_call *call, operands *o, wk_tensor *const *targets) {
    const wk_op_def *op = call->op;
    WK_TRY(prepare(context, call, o));
    if (op->composite) {
        if (op->n_out == WK_LIST && (call->n_out = op->outputs(call)) < 0) return wk_error_code();
        return run_parts(context, call);
    }
    wk_desc descs[WK_MAX_OUT];
    for (int i = 0; i < op->n_out; i++) {
        descs[i].strided = false;
        descs[i].view_of = descs[i].reuse_of = descs[i].place = 0;
    }
    WK_TRY(op->shape(call, descs));
    if (runs_as_parts(call)) {
        (void)atomic_fetch_add(&decompositions, 1);
        return run_parts(context, call);
    }
    wk__ran how = { .descs = descs, .targets = targets };
    wk_status status = run_row(context, call, &how, o->want_grad);
    if (WK_LIKELY(status == WK_OK)) return WK_OK;
    if (status == WK_UNSUPPORTED && !wk_failed()) { /* a kernel that does not take this call */
        (void)atomic_fetch_add(&decompositions, 1);
        return run_parts(context, call);
    }
    add_op(context, op);
    for (int i = 0; i < op->n_out; i++) call->out[i] = NULL;
    return wk_error_code();
}

/* A call of a step that is captured or replayed. */
static wk_status run_in_step(wk_context *context, wk_call *call, operands *o, wk_tensor *const *targets) {
    const wk_call asked = *call; /* casts take other operands' place */
    wk_status status;
    if ((context->mode & WK__MODE_REPLAY) && wk__replay_call(context, call, targets, &status)) return status;
    if (!(context->mode & WK__MODE_CAPTURE)) return run(context, call, o, targets);
    wk__capture_enter(context, &asked, targets);
    status = run(context, call, o, targets);
    wk__capture_leave(context, call->out, call->n_out, status);
    return status;
}

wk_status wk_op_run_into(const wk_op_def *op, wk_tensor *const *in, int n_in, wk_tensor **out, const void *attrs,
                         wk_tensor *const *targets) {
    if (!attrs) attrs = defaults;
    bool any = false;
    for (int i = 0; i < op->n_out && op->n_out != WK_LIST; i++) {
        out[i] = NULL;
        any = any || (targets && targets[i]);
    }
    if (!any) targets = NULL;
    wk_context *context = wk__context();
    if (WK_UNLIKELY(!context)) return WK_NO_MEMORY;
    if (WK_UNLIKELY(context->pending->code != WK_OK)) return WK_PENDING;
    wk_call call = { .op = op, .in = in, .out = out, .attrs = attrs, .n_in = n_in, .n_out = op->n_out };
    operands o;
    o.want_grad = false;
    if (WK_UNLIKELY(context->mode & WK__MODE_STEP)) return run_in_step(context, &call, &o, targets);
    return run(context, &call, &o, targets);
}

int wk_op_outputs(const wk_op_def *op, wk_tensor *const *in, int n_in, const void *attrs) {
    if (op->n_out != WK_LIST) return op->n_out;
    const wk_call call = { .op = op, .in = in, .attrs = attrs ? attrs : defaults, .n_in = n_in };
    bool wants_grad;
    int devices;
    if (wk_failed() || check_operands(&call, &wants_grad, &devices) != WK_OK || check_attrs(&call) != WK_OK) return -1;
    return op->outputs(&call);
}

wk_status wk_op_run(const wk_op_def *op, wk_tensor *const *in, int n_in, wk_tensor **out, const void *attrs) {
    return wk_op_run_into(op, in, n_in, out, attrs, NULL);
}

static wk_tensor *run_first(const wk_op_def *op, const void *attrs, wk_tensor *const *in, int n_in) {
    wk_tensor *out[WK_MAX_OUT];
    return wk_op_run_into(op, in, n_in, out, attrs, NULL) == WK_OK ? out[0] : NULL;
}

wk_tensor *wk_op_run1(const wk_op_def *op, const void *attrs, wk_tensor *a) {
    return run_first(op, attrs, (wk_tensor *const[]){ a }, 1);
}

wk_tensor *wk_op_run2(const wk_op_def *op, const void *attrs, wk_tensor *a, wk_tensor *b) {
    return run_first(op, attrs, (wk_tensor *const[]){ a, b }, 2);
}

wk_tensor *wk_op_run3(const wk_op_def *op, const void *attrs, wk_tensor *a, wk_tensor *b, wk_tensor *c) {
    return run_first(op, attrs, (wk_tensor *const[]){ a, b, c }, 3);
}

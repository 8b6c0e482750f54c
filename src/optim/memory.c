/* memory.c: what a training program's memory holds. */
#include "autograd/tape.h"
#include "optim/optim.h"

static int64_t bytes_of(const wk_tensor *tensor) {
    return tensor ? tensor->count * (int64_t)wk_dtype_size((wk_dtype)tensor->dtype) : 0;
}

static int64_t bytes_of_all(wk_named_tensors list) {
    int64_t bytes = 0;
    for (int i = 0; i < list.count; i++) bytes += bytes_of(list.tensor[i]);
    return bytes;
}

static int64_t gradients_of(wk_named_tensors parameters) {
    int64_t bytes = 0;
    for (int i = 0; i < parameters.count; i++) {
        const struct wk_leaf *leaf = parameters.tensor[i]->leaf;
        if (leaf) bytes += bytes_of(leaf->gradient) + bytes_of(leaf->row_index) + bytes_of(leaf->row_values);
    }
    return bytes;
}

/* State, and the casts of parameters that it keeps. */
static int64_t bytes_of_optimizer(wk_optim *o) {
    int64_t bytes = bytes_of_all(wk_optim_state(o));
    for (int i = 0; i < o->count; i++) {
        const struct wk_leaf *leaf = o->entry[i].parameter->leaf;
        if (leaf) bytes += bytes_of(leaf->half);
    }
    return bytes;
}

static int64_t kept_on(wk_device device) {
    int64_t used = 0, kept = 0;
    (void)wk_device_memory(device, &used, &kept);
    return kept;
}

wk_memory wk_memory_of(wk_module *model, wk_optim *optim) {
    const wk_context *context = wk__context();
    wk_memory m = { 0 };
    wk_device device = WK_CPU;
    if (model) {
        wk_named_tensors parameters = wk_parameters(model);
        m.parameters = bytes_of_all(parameters);
        m.gradients = gradients_of(parameters);
        if (parameters.count) device = wk_device_of(parameters.tensor[0]);
    }
    if (optim) m.optimizer = bytes_of_optimizer(optim);
    if (context) {
        m.steps = (int64_t)wk__step_bytes(context);
        m.cache = (int64_t)context->cached_bytes + kept_on(device);
    }
    return m;
}

int64_t wk_memory_largest_batch(wk_memory memory, int64_t batch, int64_t limit) {
    const int64_t fixed = memory.parameters + memory.gradients + memory.optimizer;
    if (batch < 1 || memory.steps < 1 || limit <= fixed) return 0;
    return (int64_t)((double)(limit - fixed) / (double)memory.steps * (double)batch);
}

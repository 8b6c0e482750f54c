/* graph.c: descriptors of cuDNN's graph API, and the choice among the engines that its heuristics propose. */
#include "cuda/cudnn/graph.h"

/* ---- descriptors ---- */

static void *make(wk_cudnn_graph *g, int kind) {
    void *descriptor = NULL;
    if (g->status) return NULL;
    if (g->n_made == WK_CUDNN_MOST_MADE) {
        g->status = WK_CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
        return NULL;
    }
    g->status = g->api->create_descriptor(kind, &descriptor);
    if (descriptor) g->made[g->n_made++] = descriptor;
    return descriptor;
}

static void set(wk_cudnn_graph *g, void *descriptor, int name, int type, int64_t count, const void *values) {
    if (!g->status) g->status = g->api->set_attribute(descriptor, name, type, count, values);
}

static void set_descriptor(wk_cudnn_graph *g, void *descriptor, int name, void *value) {
    set(g, descriptor, name, WK_CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void *finish(wk_cudnn_graph *g, void *descriptor) {
    if (!g->status) g->status = g->api->finalize(descriptor);
    return g->status ? NULL : descriptor;
}

/* Gives back what was made since there were `kept`. */
static void forget(wk_cudnn_graph *g, int kept) {
    while (g->n_made > kept) (void)g->api->destroy_descriptor(g->made[--g->n_made]);
}

void wk__cudnn_graph_free(wk_cudnn_graph *graph) {
    forget(graph, 0);
    graph->n_operations = 0;
}

/* ---- operations ---- */

void *wk__cudnn_tensor_of(wk_cudnn_graph *g, const wk_cudnn_tensor *t) {
    void *d = make(g, WK_CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    set(g, d, WK_CUDNN_ATTR_TENSOR_UNIQUE_ID, WK_CUDNN_TYPE_INT64, 1, &t->id);
    set(g, d, WK_CUDNN_ATTR_TENSOR_DATA_TYPE, WK_CUDNN_TYPE_DATA_TYPE, 1, &t->type);
    set(g, d, WK_CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, WK_CUDNN_TYPE_INT64, 1, &t->alignment);
    set(g, d, WK_CUDNN_ATTR_TENSOR_DIMENSIONS, WK_CUDNN_TYPE_INT64, t->rank, t->size);
    set(g, d, WK_CUDNN_ATTR_TENSOR_STRIDES, WK_CUDNN_TYPE_INT64, t->rank, t->stride);
    if (t->passing) set(g, d, WK_CUDNN_ATTR_TENSOR_IS_VIRTUAL, WK_CUDNN_TYPE_BOOLEAN, 1, &t->passing);
    return finish(g, d);
}

static void *window_of(wk_cudnn_graph *g, const wk_cudnn_window *w) {
    const int sums = WK_CUDNN_DATA_FLOAT, mode = WK_CUDNN_CROSS_CORRELATION;
    const int64_t axes = w->axes;
    void *d = make(g, WK_CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    set(g, d, WK_CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, WK_CUDNN_TYPE_INT64, 1, &axes);
    set(g, d, WK_CUDNN_ATTR_CONVOLUTION_COMP_TYPE, WK_CUDNN_TYPE_DATA_TYPE, 1, &sums);
    set(g, d, WK_CUDNN_ATTR_CONVOLUTION_CONV_MODE, WK_CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set(g, d, WK_CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, WK_CUDNN_TYPE_INT64, axes, w->before);
    set(g, d, WK_CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, WK_CUDNN_TYPE_INT64, axes, w->after);
    set(g, d, WK_CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, WK_CUDNN_TYPE_INT64, axes, w->stride);
    set(g, d, WK_CUDNN_ATTR_CONVOLUTION_DILATIONS, WK_CUDNN_TYPE_INT64, axes, w->dilation);
    return finish(g, d);
}

static void add_operation(wk_cudnn_graph *g, void *operation) {
    if (!finish(g, operation)) return;
    if (g->n_operations == WK_CUDNN_MOST_OPERATIONS)
        g->status = WK_CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    else
        g->operations[g->n_operations++] = operation;
}

void wk__cudnn_convolve(wk_cudnn_graph *g, int kind, void *image, void *weight, void *result,
                        const wk_cudnn_window *window) {
    static const struct {
        int image, weight, result, window, alpha, beta;
    } names[] = {
        [WK_CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR] = { WK_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                                                                        WK_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                                                                        WK_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                                                                        WK_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                                                                        WK_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                                                                        WK_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA },
        [WK_CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR] = { WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                                                              WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                                                              WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                                                                              WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                                                              WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                                                                              WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA },
        [WK_CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR] = { WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                                                                WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                                                                WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                                                                                WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                                                                WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                                                                WK_CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA },
    };
    const float one = 1, zero = 0;
    void *geometry = window_of(g, window), *d = make(g, kind);
    set_descriptor(g, d, names[kind].image, image);
    set_descriptor(g, d, names[kind].weight, weight);
    set_descriptor(g, d, names[kind].result, result);
    set_descriptor(g, d, names[kind].window, geometry);
    set(g, d, names[kind].alpha, WK_CUDNN_TYPE_FLOAT, 1, &one);
    set(g, d, names[kind].beta, WK_CUDNN_TYPE_FLOAT, 1, &zero);
    add_operation(g, d);
}

void wk__cudnn_pointwise(wk_cudnn_graph *g, int mode, void *x, void *other, void *y) {
    const int precision = WK_CUDNN_DATA_FLOAT, propagate = WK_CUDNN_PROPAGATE_NAN;
    void *kind = make(g, WK_CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    set(g, kind, WK_CUDNN_ATTR_POINTWISE_MODE, WK_CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set(g, kind, WK_CUDNN_ATTR_POINTWISE_MATH_PREC, WK_CUDNN_TYPE_DATA_TYPE, 1, &precision);
    set(g, kind, WK_CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, WK_CUDNN_TYPE_NAN_PROPOGATION, 1, &propagate);
    kind = finish(g, kind);
    void *d = make(g, WK_CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_descriptor(g, d, WK_CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, kind);
    set_descriptor(g, d, WK_CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (other) set_descriptor(g, d, WK_CUDNN_ATTR_OPERATION_POINTWISE_BDESC, other);
    set_descriptor(g, d, WK_CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    add_operation(g, d);
}

/* ---- plans ---- */

enum { MOST_PROPOSALS = 16, MOST_NOTES = 32 };

/* Notes that cuDNN of later versions may add are not known here, and not refused. */
static bool is_welcome(wk_cudnn_graph *g, void *proposal, bool exact) {
    int notes[MOST_NOTES];
    int64_t found = 0, n = 0;
    void *engine = make(g, WK_CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    if (!g->status)
        g->status = g->api->get_attribute(proposal, WK_CUDNN_ATTR_ENGINECFG_ENGINE, WK_CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                          &found, &engine);
    if (!g->status)
        g->status = g->api->get_attribute(engine, WK_CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, WK_CUDNN_TYPE_NUMERICAL_NOTE,
                                          MOST_NOTES, &n, notes);
    for (int64_t i = 0; i < n && i < MOST_NOTES && !g->status; i++) switch (notes[i]) {
        case WK_CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
        case WK_CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION: return false;
        case WK_CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        case WK_CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
        case WK_CUDNN_NUMERICAL_NOTE_FFT:
        case WK_CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
        case WK_CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
            if (exact) return false;
            break;
        default: break;
        }
    return !g->status;
}

static bool plan_of(wk_cudnn_graph *g, const wk_cudnn_device *device, void *proposal, int64_t most,
                    wk_cudnn_plan *plan) {
    int64_t count = 0, workspace = 0;
    void *d = make(g, WK_CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    set_descriptor(g, d, WK_CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, proposal);
    if (device->handle)
        set(g, d, WK_CUDNN_ATTR_EXECUTION_PLAN_HANDLE, WK_CUDNN_TYPE_HANDLE, 1, &device->handle);
    else
        set_descriptor(g, d, WK_CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device->properties);
    (void)finish(g, d);
    if (!g->status)
        g->status = g->api->get_attribute(d, WK_CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, WK_CUDNN_TYPE_INT64, 1,
                                          &count, &workspace);
    *plan = (wk_cudnn_plan){ d, workspace };
    return !g->status && workspace <= most;
}

/* Tries the proposals of one kind of heuristics; true: *plan is made.  An engine that is refused in the end is passed
 * over. */
static bool try_proposals(wk_cudnn_graph *g, void *graph, int mode, const wk_cudnn_device *device, bool exact,
                          int64_t workspace, wk_cudnn_plan *plan) {
    const int before = g->n_made;
    void *proposals[MOST_PROPOSALS];
    int64_t n = 0;
    void *heuristics = make(g, WK_CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    set_descriptor(g, heuristics, WK_CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    set(g, heuristics, WK_CUDNN_ATTR_ENGINEHEUR_MODE, WK_CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (!device->handle) set_descriptor(g, heuristics, WK_CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device->properties);
    (void)finish(g, heuristics);
    for (int i = 0; i < MOST_PROPOSALS; i++) proposals[i] = make(g, WK_CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    if (!g->status)
        g->status = g->api->get_attribute(heuristics, WK_CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                          WK_CUDNN_TYPE_BACKEND_DESCRIPTOR, MOST_PROPOSALS, &n, proposals);
    const bool proposed = !g->status;
    const int after = g->n_made;
    for (int64_t i = 0; i < n && i < MOST_PROPOSALS && proposed; i++) {
        if (is_welcome(g, proposals[i], exact) && plan_of(g, device, proposals[i], workspace, plan)) return true;
        forget(g, after);
        g->status = WK_CUDNN_STATUS_SUCCESS;
    }
    forget(g, before);
    g->status = WK_CUDNN_STATUS_SUCCESS;
    return false;
}

int wk__cudnn_choose(wk_cudnn_graph *g, const wk_cudnn_device *device, bool exact, int64_t workspace,
                     wk_cudnn_plan *plan) {
    void *graph = make(g, WK_CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (device->handle) set(g, graph, WK_CUDNN_ATTR_OPERATIONGRAPH_HANDLE, WK_CUDNN_TYPE_HANDLE, 1, &device->handle);
    set(g, graph, WK_CUDNN_ATTR_OPERATIONGRAPH_OPS, WK_CUDNN_TYPE_BACKEND_DESCRIPTOR, g->n_operations, g->operations);
    if (!finish(g, graph)) return g->status;
    if (!try_proposals(g, graph, WK_CUDNN_HEUR_MODE_A, device, exact, workspace, plan)
        && !try_proposals(g, graph, WK_CUDNN_HEUR_MODE_FALLBACK, device, exact, workspace, plan))
        g->status = WK_CUDNN_STATUS_NOT_SUPPORTED;
    return g->status;
}

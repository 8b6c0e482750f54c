/* run.c: cuDNN's handle of each device, and the plans of convolutions, which are made once and run with the addresses
 * of each call.
 */
#include "cuda/cudnn/convolution.h"
#include "cuda/plans.h"

#include <pthread.h>
#include <string.h>

typedef struct plan {
    wk_cudnn_key key;
    wk_cudnn_graph graph;
    wk_cudnn_plan chosen;
    bool usable;
} plan;

static wk_cuda_plans plans;
static void *handles[WK_CUDA_DEVICES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* What a plan may use beside its operands: engines that add up parts in a fixed order need room for these. */
static const int64_t workspace_limit = (int64_t)256 << 20;

static wk_status failed(const wk_cudnn *api, const wk_call *call, int status) {
    char more[200] = "";
    if (status == WK_CUDNN_STATUS_SUCCESS) return WK_OK;
    if (status == WK_CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED)
        return wk_fail(WK_NO_MEMORY, "%s: cuDNN: no memory on the host", call->op->name);
    api->last_error(more, sizeof more);
    return wk_fail(WK_DEVICE, "%s: cuDNN: %s %s", call->op->name, api->error_string(status), more);
}

/* With the lock. */
static wk_status make(const wk_cudnn *api, const wk_call *call, plan *p) {
    void **handle = &handles[p->key.device];
    if (!*handle) WK_TRY(failed(api, call, api->create(handle)));
    p->graph.api = api;
    if (!wk__cudnn_describe(&p->graph, &p->key)) return WK_OK;
    const wk_cudnn_device device = { .handle = *handle };
    const bool exact = p->key.dtype == WK_F32;
    const int status = wk__cudnn_choose(&p->graph, &device, exact, workspace_limit, &p->chosen);
    p->usable = status == WK_CUDNN_STATUS_SUCCESS;
    if (p->usable) return WK_OK;
    wk__cudnn_graph_free(&p->graph);
    if (status == WK_CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED) return failed(api, call, status);
    char operands[2][160], why[200] = "";
    api->last_error(why, sizeof why);
    wk_log_write(WK_LOG_INFO, "%s: cuDNN has no plan for %s and %s (%s %s): Wick's own kernel serves", call->op->name,
                 wk_describe(call->in[0], operands[0], sizeof operands[0]),
                 wk_describe(call->in[1], operands[1], sizeof operands[1]), api->error_string(status), why);
    return WK_OK;
}

/* The plan of a key, or none where *status says why: WK_UNSUPPORTED, or what made the attempt fail. */
static const plan *find_or_make(const wk_cudnn *api, const wk_call *call, const wk_cudnn_key *key, wk_status *status) {
    void **place = wk__cuda_plan_place(&plans, key, sizeof *key);
    *status = WK_UNSUPPORTED;
    if (!place) return NULL;
    if (!*place) {
        plan *fresh = wk_alloc(sizeof *fresh);
        if (!fresh) return *status = wk_error_code(), NULL;
        fresh->key = *key;
        const wk_status made = make(api, call, fresh);
        if (made != WK_OK) {
            wk__cudnn_graph_free(&fresh->graph);
            wk_free(fresh);
            return *status = made, NULL;
        }
        *place = fresh;
    }
    const plan *known = *place;
    return known->usable ? known : NULL;
}

static int32_t alignment_of(const wk_cudnn_operands *o) {
    const uint64_t bits = (uint64_t)(uintptr_t)o->image | (uint64_t)(uintptr_t)o->weight
                          | (uint64_t)(uintptr_t)o->result | (uint64_t)(uintptr_t)o->bias | 16;
    return (int32_t)(bits & -bits);
}

/* With the lock: the handle has one stream at a time. */
static int execute(const wk_cudnn *api, const plan *p, const wk_cudnn_operands *o, void *workspace, void *stream) {
    const int64_t ids[] = { WK_CUDNN_IMAGE, WK_CUDNN_WEIGHT, WK_CUDNN_RESULT, WK_CUDNN_BIAS };
    void *const addresses[] = { o->image, o->weight, o->result, o->bias };
    const int64_t n = o->bias ? 4 : 3;
    void *pack = NULL, *handle = handles[p->key.device];
    int status = api->set_stream(handle, stream);
    if (!status) status = api->create_descriptor(WK_CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);
    if (!status) status = api->set_attribute(pack, WK_CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, WK_CUDNN_TYPE_INT64, n, ids);
    if (!status)
        status =
            api->set_attribute(pack, WK_CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, WK_CUDNN_TYPE_VOID_PTR, n, addresses);
    if (!status)
        status = api->set_attribute(pack, WK_CUDNN_ATTR_VARIANT_PACK_WORKSPACE, WK_CUDNN_TYPE_VOID_PTR, 1, &workspace);
    if (!status) status = api->finalize(pack);
    if (!status) status = api->execute(handle, p->chosen.descriptor, pack);
    if (pack) (void)api->destroy_descriptor(pack);
    return status;
}

wk_status wk__cudnn_convolution(wk_kernel_ctx *ctx, const wk_call *call, wk_cudnn_key *key,
                                const wk_cudnn_operands *operands) {
    const wk_cudnn *api = wk__cudnn();
    wk_status status;
    if (!api) return WK_UNSUPPORTED;
    key->device = wk__cuda_entered(), key->alignment = alignment_of(operands);
    (void)pthread_mutex_lock(&lock);
    const plan *p = find_or_make(api, call, key, &status);
    (void)pthread_mutex_unlock(&lock);
    if (!p) return status;
    const size_t bytes = (size_t)p->chosen.workspace;
    void *workspace = bytes ? wk__cuda_scratch_take(ctx, bytes) : NULL;
    if (bytes && !workspace) return wk_error_code();
    (void)pthread_mutex_lock(&lock);
    status = failed(api, call, execute(api, p, operands, workspace, ctx->stream));
    (void)pthread_mutex_unlock(&lock);
    if (workspace) wk__cuda_scratch_give(ctx, workspace, bytes);
    return status;
}

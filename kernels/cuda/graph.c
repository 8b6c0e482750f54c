/* graph.c: what a thread's launches are, noted once and launched whole.
 *
 * Noting goes on a stream of its own, so that other threads may launch meanwhile; memory that a kernel's host side
 * takes and gives back (cudaMallocAsync) becomes the graph's own.  The host then makes one call for all of them; what
 * that is worth has not been measured yet (tools/gpu-check does, with WICK_GRAPHS=0 beside it).
 */
#include "cuda/cuda.h"

#include <string.h>

static _Thread_local struct {
    cudaStream_t stream;
    int device;
} noting;

cudaStream_t wk__cuda_noting(int device) {
    return noting.device == device ? noting.stream : NULL;
}

static void end_noting(void) {
    (void)cudaStreamDestroy(noting.stream);
    noting.stream = NULL;
}

wk_status wk__cuda_graph_begin(int device) {
    if (noting.stream) return wk_fail(WK_STATE, WK_CUDA_NAME ": a graph is noted already");
    WK_TRY(wk__cuda_enter(device));
    WK_TRY(wk__cuda_status((int)cudaStreamCreateWithFlags(&noting.stream, cudaStreamNonBlocking),
                           "cudaStreamCreateWithFlags"));
    noting.device = device;
    wk_status status = wk__cuda_status((int)cudaStreamBeginCapture(noting.stream, cudaStreamCaptureModeThreadLocal),
                                       "cudaStreamBeginCapture");
    if (status != WK_OK) end_noting();
    return status;
}

/* Memory that is taken and given within the graph is no operation. */
static int count_operations(cudaGraph_t graph) {
    cudaGraphNode_t *nodes = NULL;
    size_t count = 0;
    int operations = 0;
    if (cudaGraphGetNodes(graph, NULL, &count) == cudaSuccess && count) nodes = wk_alloc(count * sizeof(*nodes));
    if (nodes && cudaGraphGetNodes(graph, nodes, &count) != cudaSuccess) count = 0;
    for (size_t i = 0; nodes && i < count; i++) {
        enum cudaGraphNodeType type;
        if (cudaGraphNodeGetType(nodes[i], &type) == cudaSuccess)
            operations += type != cudaGraphNodeTypeMemAlloc && type != cudaGraphNodeTypeMemFree;
    }
    wk_free(nodes);
    return operations;
}

wk_status wk__cuda_graph_end(int device, wk_device_graph **graph, int *operations) {
    cudaGraph_t noted = NULL;
    cudaGraphExec_t executable = NULL;
    if (!wk__cuda_noting(device)) return wk_fail(WK_STATE, WK_CUDA_NAME ": no graph is noted");
    const cudaError_t error = cudaStreamEndCapture(noting.stream, &noted);
    end_noting();
    wk_status status = WK_OK;
    if (graph) status = wk__cuda_status((int)error, "cudaStreamEndCapture");
    if (graph && status == WK_OK)
        status = wk__cuda_status((int)cudaGraphInstantiate(&executable, noted, 0), "cudaGraphInstantiate");
    if (graph && status == WK_OK) *operations = count_operations(noted);
    if (noted) (void)cudaGraphDestroy(noted);
    (void)cudaGetLastError();
    if (graph) *graph = (wk_device_graph *)executable;
    return status;
}

wk_status wk__cuda_graph_launch(wk_device_graph *graph, wk_stream *stream) {
    return wk__cuda_status((int)cudaGraphLaunch((cudaGraphExec_t)graph, (cudaStream_t)stream), "cudaGraphLaunch");
}

void wk__cuda_graph_destroy(wk_device_graph *graph) {
    if (graph) (void)cudaGraphExecDestroy((cudaGraphExec_t)graph);
}

wk_status wk__cuda_note(wk_kernel_ctx *ctx, const void *numbers, size_t bytes, const void **at) {
    wk_noted_numbers *n = ctx->noted;
    *at = NULL;
    if (!n || n->phase == WK_NOTED_COUNTS) return WK_OK;
    const size_t begin = (n->used + 15) / 16 * 16;
    if (begin + bytes > n->room)
        return wk_fail(WK_NO_MEMORY, WK_CUDA_NAME ": a graph has room for %zu bytes of the host's numbers", n->room);
    memcpy(n->host + begin, numbers, bytes);
    n->used = begin + bytes;
    *at = n->device + begin;
    return WK_OK;
}

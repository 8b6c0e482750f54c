/* runtime.c: the rules of the runtime API that the emulated device keeps. */
#include <criterion/criterion.h>
#include <cuda_runtime_api.h>

#include <stdlib.h>
#include <string.h>

Test(runtime, copies_go_where_they_say_or_are_refused) {
    char host[64] = "wick", back[64];
    void *device;
    cr_assert_eq(cudaMalloc(&device, sizeof host), cudaSuccess);
    cr_expect_eq(cudaMemcpy(device, host, sizeof host, cudaMemcpyHostToDevice), cudaSuccess);
    cr_expect_eq(cudaMemcpy(back, device, sizeof host, cudaMemcpyDeviceToHost), cudaSuccess);
    cr_expect_str_eq(back, "wick");
    cr_expect_eq(cudaMemcpy(host, back, sizeof host, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    cr_expect_eq(cudaMemcpy(device, host, sizeof host, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    cr_expect_eq(cudaMemcpy((char *)device + 1, host, sizeof host, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    cr_expect_eq(cudaMemset(host, 0, sizeof host), cudaErrorInvalidValue);
    cr_expect_eq(cudaGetLastError(), cudaErrorInvalidValue);
    cr_expect_eq(cudaGetLastError(), cudaSuccess);
    cr_expect_eq(cudaFree(device), cudaSuccess);
    cr_expect_eq(cudaFree(device), cudaErrorInvalidValue);
}

Test(runtime, fresh_memory_is_not_a_number) {
    float value;
    void *device;
    cr_assert_eq(cudaMalloc(&device, sizeof value), cudaSuccess);
    cr_assert_eq(cudaMemcpy(&value, device, sizeof value, cudaMemcpyDeviceToHost), cudaSuccess);
    cr_expect(value != value);
    cr_expect_eq(cudaFree(device), cudaSuccess);
}

Test(runtime, memory_runs_out_where_it_is_told_to) {
    void *first, *second;
    (void)setenv("WICK_CUDAEMU_MEMORY", "1048576", 1);
    cr_assert_eq(cudaMalloc(&first, 786432), cudaSuccess);
    cr_expect_eq(cudaMalloc(&second, 786432), cudaErrorMemoryAllocation);
    cr_expect_null(second);
    cr_assert_eq(cudaFree(first), cudaSuccess);
    cr_assert_eq(cudaMalloc(&second, 786432), cudaSuccess);
    (void)setenv("WICK_CUDAEMU_FAIL", "2", 1);
    cr_expect_eq(cudaMallocAsync(&first, 64, NULL), cudaSuccess);
    cr_expect_eq(cudaFreeAsync(first, NULL), cudaSuccess);
    cr_expect_eq(cudaMalloc(&first, 64), cudaErrorMemoryAllocation);
    cr_expect_eq(cudaFree(second), cudaSuccess);
}

Test(runtime, devices_are_as_many_as_asked_for) {
    int count, device;
    (void)setenv("WICK_CUDAEMU_DEVICES", "2", 1);
    cr_assert_eq(cudaGetDeviceCount(&count), cudaSuccess);
    cr_expect_eq(count, 2);
    cr_expect_eq(cudaSetDevice(1), cudaSuccess);
    cr_expect_eq(cudaGetDevice(&device), cudaSuccess);
    cr_expect_eq(device, 1);
    cr_expect_eq(cudaSetDevice(2), cudaErrorInvalidDevice);
}

Test(runtime, a_captured_graph_does_its_work_at_each_launch) {
    cudaStream_t stream, other;
    cudaEvent_t fork, join;
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    unsigned char *memory, back[2];
    cr_assert_eq(cudaMalloc((void **)&memory, 2), cudaSuccess);
    cr_assert_eq(cudaStreamCreate(&stream), cudaSuccess);
    cr_assert_eq(cudaStreamCreate(&other), cudaSuccess);
    cr_assert_eq(cudaEventCreate(&fork), cudaSuccess);
    cr_assert_eq(cudaEventCreate(&join), cudaSuccess);
    cr_assert_eq(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
    cr_expect_eq(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
    cr_assert_eq(cudaMemsetAsync(memory, 7, 1, stream), cudaSuccess);
    cr_assert_eq(cudaEventRecord(fork, stream), cudaSuccess);
    cr_assert_eq(cudaStreamWaitEvent(other, fork, 0), cudaSuccess);
    cr_assert_eq(cudaMemsetAsync(memory + 1, 8, 1, other), cudaSuccess);
    cr_assert_eq(cudaEventRecord(join, other), cudaSuccess);
    cr_assert_eq(cudaStreamWaitEvent(stream, join, 0), cudaSuccess);
    cr_assert_eq(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    cr_assert_eq(cudaMemcpy(back, memory, 2, cudaMemcpyDeviceToHost), cudaSuccess);
    cr_expect(back[0] == 255 && back[1] == 255, "nothing runs while it is captured");
    cr_assert_eq(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(cudaMemset(memory, 0, 2), cudaSuccess);
        cr_assert_eq(cudaGraphLaunch(executable, stream), cudaSuccess);
        cr_assert_eq(cudaMemcpy(back, memory, 2, cudaMemcpyDeviceToHost), cudaSuccess);
        cr_expect(back[0] == 7 && back[1] == 8);
    }
    cr_expect_eq(cudaGraphExecDestroy(executable), cudaSuccess);
    cr_expect_eq(cudaGraphDestroy(graph), cudaSuccess);
    cr_expect_eq(cudaEventDestroy(fork), cudaSuccess);
    cr_expect_eq(cudaEventDestroy(join), cudaSuccess);
    cr_expect_eq(cudaStreamDestroy(other), cudaSuccess);
    cr_expect_eq(cudaStreamDestroy(stream), cudaSuccess);
    cr_expect_eq(cudaFree(memory), cudaSuccess);
}

/* It has the same address at each launch, and nothing in it; it ends with the graph. */
Test(runtime, memory_of_a_graph) {
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    unsigned char *within, *outside, *target, back[2];
    size_t before, after, total;
    cr_assert_eq(cudaMalloc((void **)&target, 2), cudaSuccess);
    cr_assert_eq(cudaMalloc((void **)&outside, 2), cudaSuccess);
    cr_assert_eq(cudaStreamCreate(&stream), cudaSuccess);
    cr_assert_eq(cudaMemGetInfo(&before, &total), cudaSuccess);
    cr_assert_eq(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    cr_assert_eq(cudaMallocAsync((void **)&within, 2, stream), cudaSuccess);
    cr_assert_eq(cudaMemcpyAsync(target, within, 1, cudaMemcpyDeviceToDevice, stream), cudaSuccess);
    cr_assert_eq(cudaMemsetAsync(within, 5, 2, stream), cudaSuccess);
    cr_assert_eq(cudaMemcpyAsync(target + 1, within, 1, cudaMemcpyDeviceToDevice, stream), cudaSuccess);
    cr_expect_eq(cudaFreeAsync(outside, stream), cudaErrorInvalidValue, "memory of no graph");
    cr_assert_eq(cudaFreeAsync(within, stream), cudaSuccess);
    cr_assert_eq(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    cr_assert_eq(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    cr_expect_eq(cudaGraphDestroy(graph), cudaSuccess);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(cudaGraphLaunch(executable, stream), cudaSuccess);
        cr_assert_eq(cudaMemcpy(back, target, 2, cudaMemcpyDeviceToHost), cudaSuccess);
        cr_expect(back[0] == 0xFF && back[1] == 5, "launch %d: %d, %d", i, back[0], back[1]);
    }
    cr_expect_eq(cudaGraphExecDestroy(executable), cudaSuccess);
    cr_assert_eq(cudaMemGetInfo(&after, &total), cudaSuccess);
    cr_expect_eq(after, before);
    cr_expect_eq(cudaStreamDestroy(stream), cudaSuccess);
    cr_expect_eq(cudaFree(target), cudaSuccess);
    cr_expect_eq(cudaFree(outside), cudaSuccess);
}

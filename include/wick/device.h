/* wick/device.h: where tensors lie and operations run.
 *
 * "cpu" is always there.  "cuda" (graphics processors) and "cudaemu" (the same kernels on an emulated one, on any
 * machine) come from plugins, wick_cuda.so and wick_cudaemu.so, which are opened when one of their devices is first
 * named.  An operation runs where its operands lie, and so do its results; operands on several devices are an error,
 * except that a CPU tensor without axes counts as a number.
 *
 *     wk_device gpu;
 *     if (wk_device_parse("cuda:0", &gpu) != WK_OK) …            wk_message() says why there is none
 *     wk_module_to_device(net, gpu);
 *     wk_tensor *logits = wk_forward(net, wk_to_device(batch, gpu));
 *     printf("%g\n", wk_item(loss));                             waits for the device
 */
#ifndef WICK_DEVICE_H
#define WICK_DEVICE_H

#include "wick/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A device, by value.  Numbers are those of this process: what is written down is the name. */
typedef int wk_device;
#define WK_CPU 0

typedef struct wk_device_info {
    char name[96];            /* of the processor or card */
    char instruction_set[16]; /* of the kernels chosen: "generic", "v3", "v4"; of a card its capability, "9.0" */
    int threads;              /* cores that this process may use; multiprocessors of a card */
    int64_t memory;           /* bytes */
} wk_device_info;

/* "cpu", "cuda", "cuda:1", "cudaemu", "cudaemu:0": without a number the first.  Opens the plugin.
 * Errors: WK_CONFIG (no such name, with the nearest), WK_DEVICE (no plugin, driver or device, with the reason). */
WK_API wk_status wk_device_parse(const char *name, wk_device *device);
/* "cpu", "cuda:0"; text that stays. */
WK_API const char *wk_device_name(wk_device device);
/* How many devices a backend ("cpu", "cuda", "cudaemu") has; 0, with no error pending, where it cannot be used: then
 * the reason stands in `why` (may be NULL). */
WK_API int wk_device_count(const char *backend, char *why, size_t size);
WK_API wk_status wk_device_describe(wk_device device, wk_device_info *info);
/* Bytes of a device's memory that Wick's tensors use, and that it keeps for the next ones; on the CPU
 * only the latter are known, those of large blocks. */
WK_API wk_status wk_device_memory(wk_device device, int64_t *used, int64_t *kept);
/* Wait until all that was begun on the device is done.  Errors: what went wrong there since the last wait. */
WK_API wk_status wk_device_synchronise(wk_device device);

/* Where the context makes tensors that no operand places (wk_zeros, wk_full, wk_arange, wk_from_array, wk_uniform, …);
 * gives the former.  The CPU at first.  Kept tensors (wk_kept_zeros), and with them a module's parameters, are made on
 * the CPU, so that equal seeds give equal weights everywhere, and moved. */
WK_API wk_device wk_device_use(wk_device device);
WK_API wk_device wk_device_of(const wk_tensor *tensor);
/* The tensor on a device, in its layout where that has no gaps; itself if it lies there.  Gradients flow back through
 * the copy.  From memory of wk_pinned_zeros the copy goes on while the host does: do not write there before
 * wk_device_synchronise. */
WK_API wk_tensor *wk_to_device(wk_tensor *tensor, wk_device device);
/* A kept tensor in memory of the host that `device` reads while the host goes on; release with wk_release. */
WK_API wk_tensor *wk_pinned_zeros(wk_device device, wk_dtype dtype, wk_dims dims);

#ifdef __cplusplus
}
#endif
#endif

/* grid_sample.h: launchers of grid_sample.cu. */
#ifndef WICK_KERNELS_CUDA_GRID_SAMPLE_H
#define WICK_KERNELS_CUDA_GRID_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Images x (N, C, [D,] H, W) at the places of a grid (N, [D',] H', W', axes).  Arrays of three go from the image's
 * first axis to its last; with two axes the last entry is not used. */
typedef struct wk_cuda_grid {
    int mode, padding; /* wk_grid_mode, wk_grid_padding */
    bool align_corners;
    int axes;
    int64_t n, c, places;                         /* of one image */
    int64_t size[3], out[3];                      /* pixels, places */
    int64_t x_n, x_c, x_by[3], y_n, y_c, y_by[3]; /* strides */
    int64_t grid_n, grid_by[3], grid_step;
    const void *x, *grid;
    void *y; /* backward: dy, which is only read */
} wk_cuda_grid;

/* All: dtype is a wk_dtype; they return a cudaError_t. */
int wk__cuda_grid_sample(const wk_cuda_grid *g, int dtype, void *stream);
/* dgrid (N, places, axes). */
int wk__cuda_grid_backward_grid(const wk_cuda_grid *g, void *dgrid, int dtype, void *stream);
/* dx (N, C, pixels), added up in sums (the same in f32; of f32 and f64: dx itself), which is zero. */
int wk__cuda_grid_backward_image(const wk_cuda_grid *g, void *sums, void *dx, int dtype, void *stream);
/* index (N, places, taps), row-major in the image; inside (the same); slope and start (N, places, axes). */
int wk__cuda_grid_taps(const wk_cuda_grid *g, int64_t *index, void *inside, void *slope, void *start, int dtype,
                       void *stream);

#ifdef __cplusplus
}
#endif
#endif

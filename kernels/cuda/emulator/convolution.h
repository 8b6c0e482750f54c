// convolution.h: the convolution that cudnn.cpp runs, on dense f32 operands of three axes.
//
// Each kind walks over rows of pixels of the result: a tap of the weight moves along one, so the inner loop is one
// multiply-add a pixel with the steps of the window.
#ifndef WICK_CUDAEMU_CONVOLUTION_H
#define WICK_CUDAEMU_CONVOLUTION_H

#include <algorithm>
#include <cstdint>
#include <omp.h>

namespace cudaemu {

// Operands lie as (n, c, size), (k, c / groups, kernel) and (n, k, out).
struct Window {
    int64_t n, c, k, groups;
    int64_t size[3], kernel[3], out[3], before[3], step[3], dilation[3];

    int64_t pixels(const int64_t *of) const { return of[0] * of[1] * of[2]; }
    int64_t in_group() const { return c / groups; }
    // Calls row(tap, image offset, result offset, pixels) for each row of the result that the tap reaches, from the
    // first pixel that lies in the image on.
    template <class F> void rows(F row) const {
        int64_t tap = 0;
        for (int64_t a = 0; a < kernel[0]; a++)
            for (int64_t b = 0; b < kernel[1]; b++)
                for (int64_t d = 0; d < kernel[2]; d++, tap++) rows_of_tap(tap, a, b, d, row);
    }

  private:
    int64_t place(int axis, int64_t at, int64_t tap) const {
        return at * step[axis] - before[axis] + tap * dilation[axis];
    }
    template <class F> void rows_of_tap(int64_t tap, int64_t a, int64_t b, int64_t d, F row) const {
        const int64_t offset = d * dilation[2] - before[2];
        const int64_t first = offset < 0 ? (-offset + step[2] - 1) / step[2] : 0;
        const int64_t past = size[2] - offset <= 0 ? 0 : std::min(out[2], (size[2] - offset - 1) / step[2] + 1);
        if (first >= past) return;
        for (int64_t i = 0; i < out[0]; i++) {
            const int64_t z = place(0, i, a);
            if (z < 0 || z >= size[0]) continue;
            for (int64_t j = 0; j < out[1]; j++) {
                const int64_t y = place(1, j, b);
                if (y < 0 || y >= size[1]) continue;
                row(tap, (z * size[1] + y) * size[2] + first * step[2] + offset, (i * out[1] + j) * out[2] + first,
                    past - first);
            }
        }
    }
};

inline void convolve_forward(const Window &w, const float *x, const float *weight, float *y) {
    const int64_t pixels = w.pixels(w.out), image = w.pixels(w.size), taps = w.pixels(w.kernel),
                  filters = w.k / w.groups;
#pragma omp parallel for schedule(static)
    for (int64_t nk = 0; nk < w.n * w.k; nk++) {
        const int64_t n = nk / w.k, k = nk % w.k;
        float *to = y + nk * pixels;
        std::fill(to, to + pixels, 0.0f);
        for (int64_t c = 0; c < w.in_group(); c++) {
            const float *from = x + (n * w.c + k / filters * w.in_group() + c) * image;
            const float *by = weight + (k * w.in_group() + c) * taps;
            w.rows([&](int64_t tap, int64_t at, int64_t result, int64_t count) {
                for (int64_t i = 0; i < count; i++) to[result + i] += by[tap] * from[at + i * w.step[2]];
            });
        }
    }
}

inline void convolve_backward_data(const Window &w, const float *dy, const float *weight, float *dx) {
    const int64_t pixels = w.pixels(w.out), image = w.pixels(w.size), taps = w.pixels(w.kernel),
                  filters = w.k / w.groups;
#pragma omp parallel for schedule(static)
    for (int64_t nc = 0; nc < w.n * w.c; nc++) {
        const int64_t n = nc / w.c, c = nc % w.c, group = c / w.in_group();
        float *to = dx + nc * image;
        std::fill(to, to + image, 0.0f);
        for (int64_t k = group * filters; k < (group + 1) * filters; k++) {
            const float *from = dy + (n * w.k + k) * pixels;
            const float *by = weight + (k * w.in_group() + c % w.in_group()) * taps;
            w.rows([&](int64_t tap, int64_t at, int64_t result, int64_t count) {
                for (int64_t i = 0; i < count; i++) to[at + i * w.step[2]] += by[tap] * from[result + i];
            });
        }
    }
}

inline void convolve_backward_filter(const Window &w, const float *x, const float *dy, float *dweight) {
    const int64_t pixels = w.pixels(w.out), image = w.pixels(w.size), taps = w.pixels(w.kernel),
                  filters = w.k / w.groups;
#pragma omp parallel for schedule(static)
    for (int64_t kc = 0; kc < w.k * w.in_group(); kc++) {
        const int64_t k = kc / w.in_group(), c = kc % w.in_group();
        float *to = dweight + kc * taps;
        std::fill(to, to + taps, 0.0f);
        for (int64_t n = 0; n < w.n; n++) {
            const float *from = x + (n * w.c + k / filters * w.in_group() + c) * image,
                        *by = dy + (n * w.k + k) * pixels;
            w.rows([&](int64_t tap, int64_t at, int64_t result, int64_t count) {
                float sum = 0;
                for (int64_t i = 0; i < count; i++) sum += by[result + i] * from[at + i * w.step[2]];
                to[tap] += sum;
            });
        }
    }
}

} // namespace cudaemu

#endif

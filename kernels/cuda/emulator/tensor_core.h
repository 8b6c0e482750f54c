// tensor_core.h: what cuda/tensor_core.h declares, lane by lane.
//
// A product is made by the lane that comes last, for all of them.  Fragments are read by each lane itself, so that the
// detectors see whose reads they are.  A copy in the background happens as late as it may: at the wait.  Until then its
// place holds NaN, and both a reader that did not wait and one that is still reading what was there before are found.
#ifndef WICK_CUDAEMU_TENSOR_CORE_H
#define WICK_CUDAEMU_TENSOR_CORE_H

#include "execution.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace cudaemu {

template <class T> float half_of(uint32_t two, int which) {
    const uint16_t bits = (uint16_t)(two >> 16 * which);
    T half;
    std::memcpy(&half, &bits, sizeof half);
    return wk_get(half);
}

struct Product {
    float *d;
    const uint32_t *a;
    uint32_t b[2];
};
template <class T> void multiply_add(void *const parts[32]) {
    const auto part = [parts](int lane) { return static_cast<const Product *>(parts[lane]); };
    float a[16][16], b[16][8];
    for (int lane = 0; lane < 32; lane++) {
        const int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 4; i++)
            for (int c = 0; c < 2; c++) a[g + i % 2 * 8][i / 2 * 8 + 2 * t + c] = half_of<T>(part(lane)->a[i], c);
        for (int i = 0; i < 2; i++)
            for (int c = 0; c < 2; c++) b[i * 8 + 2 * t + c][g] = half_of<T>(part(lane)->b[i], c);
    }
    for (int row = 0; row < 16; row++) {
        float sums[8] = {};
        for (int k = 0; k < 16; k++)
            for (int column = 0; column < 8; column++) sums[column] += a[row][k] * b[k][column];
        for (int column = 0; column < 8; column++)
            part(row % 8 * 4 + column / 2)->d[row / 8 * 2 + column % 2] += sums[column];
    }
}

// Of each matrix, the rows that a lane reads from.
struct Rows {
    const unsigned char *own, *wanted[4][2];
};
template <bool TRANSPOSED> void exchange_rows(void *const parts[32]) {
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 4; i++)
            for (int c = 0; c < 2; c++)
                static_cast<Rows *>(parts[lane])->wanted[i][c] =
                    static_cast<const Rows *>(parts[8 * i + (TRANSPOSED ? 2 * (lane % 4) + c : lane / 4)])->own;
}

} // namespace cudaemu

template <class T> void wk_multiply_add(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    cudaemu::Product own{ d, a, { b0, b1 } };
    cudaemu::meet_for("mma", &own, cudaemu::multiply_add<T>);
}

template <bool TRANSPOSED> void wk_load_matrices(uint32_t (&r)[4], const void *row) {
    cudaemu::Rows rows{ static_cast<const unsigned char *>(row), {} };
    cudaemu::require_aligned(row, 16);
    cudaemu::meet_for("ldmatrix", &rows, cudaemu::exchange_rows<TRANSPOSED>);
    const int g = (int)cudaemu::lane() / 4, t = (int)cudaemu::lane() % 4;
    for (int i = 0; i < 4; i++) {
        if (TRANSPOSED) {
            const uint32_t first = reinterpret_cast<const uint16_t *>(rows.wanted[i][0])[g];
            r[i] = first | (uint32_t) reinterpret_cast<const uint16_t *>(rows.wanted[i][1])[g] << 16;
        } else {
            r[i] = reinterpret_cast<const uint32_t *>(rows.wanted[i][0])[t];
        }
    }
}

static inline void wk_copy_later(void *to, const void *from, bool exists) {
    cudaemu::Copies &own = cudaemu::copies();
    cudaemu::require_aligned(to, 16);
    if (exists) cudaemu::require_aligned(from, 16);
    own.waiting.push_back(cudaemu::Copy{ to, exists ? from : nullptr, own.batch });
#ifndef WICK_CUDAEMU_COUNTING
    const uint32_t nan = 0xFFFFFFFFu;
    wk_store_vector(static_cast<uint32_t *>(to), wk_vector<uint32_t, 4>{ { nan, nan, nan, nan } });
#endif
}
static inline void wk_copies_close() {
    cudaemu::copies().batch++;
}
template <int LEFT> void wk_copies_wait() {
    cudaemu::Copies &own = cudaemu::copies();
    size_t done = 0;
    for (; done < own.waiting.size() && own.waiting[done].batch + LEFT < own.batch; done++) {
        const cudaemu::Copy &copy = own.waiting[done];
        wk_vector<uint32_t, 4> value{};
        if (copy.from) value = wk_load_vector<4>(static_cast<const uint32_t *>(copy.from));
        wk_store_vector(static_cast<uint32_t *>(copy.to), value);
    }
    own.waiting.erase(own.waiting.begin(), own.waiting.begin() + (ptrdiff_t)done);
}

template <class T> uint32_t wk_pack(float first, float second) {
    T halves[2];
    uint32_t both;
    wk_put(&halves[0], first);
    wk_put(&halves[1], second);
    std::memcpy(&both, halves, sizeof both);
    return both;
}

#endif

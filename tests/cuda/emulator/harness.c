/* harness.c: see harness.h. */
#include "cuda/emulator/harness.h"

#include <cuda_runtime_api.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Memory of the device that is released with the case. */
typedef struct memory {
    void *blocks[4];
    int count;
    outcome *result;
} memory;

static void note(outcome *result, int error) {
    if (result->error || !error) return;
    result->error = error;
    (void)snprintf(result->message, sizeof result->message, "%s", cudaGetErrorString((cudaError_t)error));
}

/* A copy of `host` on the device, or fresh memory. */
static void *on_device(memory *all, const void *host, size_t bytes) {
    void *block = NULL;
    note(all->result, (int)cudaMalloc(&block, bytes));
    all->blocks[all->count++] = block;
    if (host) note(all->result, (int)cudaMemcpy(block, host, bytes, cudaMemcpyHostToDevice));
    return block;
}

static void to_host(memory *all, void *host, const void *device, size_t bytes) {
    if (!all->result->error) note(all->result, (int)cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost));
}

/* What is found at the release counts, also after an error; the device is as new then. */
static void release(memory *all) {
    for (int i = 0; i < all->count; i++) note(all->result, (int)cudaFree(all->blocks[i]));
    (void)cudaDeviceReset();
}

static void random_floats(float *x, int n, unsigned seed) {
    for (int i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) / (float)(1 << 23) - 1;
    }
}

static void compare(outcome *result, const float *got, const float *expected, int n) {
    for (int i = 0; i < n; i++) {
        double distance = fabs((double)got[i] - (double)expected[i]);
        if (!(distance <= result->distance)) result->distance = isnan(distance) ? INFINITY : distance;
    }
}

void run_add(int fault, outcome *result) {
    enum { N = 1021 };
    float a[N], b[N], y[N], expected[N];
    random_floats(a, N, 1), random_floats(b, N, 2);
    for (int i = 0; i < N; i++) expected[i] = a[i] + b[i];
    memory all = { .result = result };
    const float *da = on_device(&all, a, sizeof a), *db = on_device(&all, b, sizeof b);
    float *dy = on_device(&all, NULL, sizeof y);
    note(result, launch_add(dy, da, db, N, fault));
    to_host(&all, y, dy, sizeof y);
    compare(result, y, expected, N);
    release(&all);
}

void run_layer_norm(int fault, outcome *result) {
    enum { ROWS = 5, N = 700 };
    static float x[ROWS * N], y[ROWS * N], expected[ROWS * N];
    random_floats(x, ROWS * N, 3);
    for (int row = 0; row < ROWS; row++) {
        double sum = 0, squares = 0;
        for (int i = 0; i < N; i++) sum += (double)x[row * N + i];
        for (int i = 0; i < N; i++) squares += pow((double)x[row * N + i] - sum / N, 2);
        for (int i = 0; i < N; i++)
            expected[row * N + i] = (float)(((double)x[row * N + i] - sum / N) / sqrt(squares / N + 1e-5));
    }
    memory all = { .result = result };
    const float *dx = on_device(&all, x, sizeof x);
    float *dy = on_device(&all, NULL, sizeof y);
    note(result, launch_layer_norm(dy, dx, ROWS, N, fault));
    to_host(&all, y, dy, sizeof y);
    compare(result, y, expected, ROWS * N);
    release(&all);
}

static void cross_entropy_of(float *loss, float *x, int target, int n) {
    double largest = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++) largest = fmax(largest, (double)x[i]);
    for (int i = 0; i < n; i++) sum += exp((double)x[i] - largest);
    *loss = (float)(log(sum) + largest - (double)x[target]);
    for (int i = 0; i < n; i++) x[i] = (float)(exp((double)x[i] - largest) / sum - (i == target));
}

void run_cross_entropy(int fault, outcome *result) {
    enum { ROWS = 10, N = 77 };
    static float x[ROWS * N], dlogits[ROWS * N], loss[ROWS], expected[ROWS];
    int target[ROWS];
    random_floats(x, ROWS * N, 4);
    for (int row = 0; row < ROWS; row++) target[row] = row * 7;
    memory all = { .result = result };
    float *dx = on_device(&all, x, sizeof x), *dloss = on_device(&all, NULL, sizeof loss);
    const int *dtarget = on_device(&all, target, sizeof target);
    note(result, launch_cross_entropy(dloss, dx, dtarget, ROWS, N, fault));
    to_host(&all, loss, dloss, sizeof loss);
    to_host(&all, dlogits, dx, sizeof x);
    for (int row = 0; row < ROWS; row++) cross_entropy_of(&expected[row], x + row * N, target[row], N);
    compare(result, loss, expected, ROWS);
    compare(result, dlogits, x, ROWS * N);
    release(&all);
}

void run_matmul(int fault, outcome *result) {
    enum { N = 48 };
    static float a[N * N], b[N * N], c[N * N], expected[N * N];
    random_floats(a, N * N, 5), random_floats(b, N * N, 6);
    for (int i = 0; i < N * N; i++) {
        double sum = 0;
        for (int k = 0; k < N; k++) sum += (double)a[i / N * N + k] * (double)b[k * N + i % N];
        expected[i] = (float)sum;
    }
    memory all = { .result = result };
    const float *da = on_device(&all, a, sizeof a), *db = on_device(&all, b, sizeof b);
    float *dc = on_device(&all, NULL, sizeof c);
    note(result, launch_matmul(dc, da, db, N, fault));
    to_host(&all, c, dc, sizeof c);
    compare(result, c, expected, N * N);
    release(&all);
}

void run_products(int fault, outcome *result) {
    enum { N = 64 };
    static float a[N * N], b[N * N], c[N * N], expected[N * N];
    static uint16_t halves[2][N * N];
    random_floats(a, N * N, 7), random_floats(b, N * N, 8);
    for (int i = 0; i < N * N; i++) {
        uint32_t bits;
        for (int k = 0; k < 2; k++) {
            float *x = k ? &b[i] : &a[i];
            memcpy(&bits, x, sizeof bits);
            halves[k][i] = (uint16_t)(bits >> 16);
            bits &= 0xFFFF0000u;
            memcpy(x, &bits, sizeof bits);
        }
    }
    for (int i = 0; i < N * N; i++) {
        double sum = 0;
        for (int k = 0; k < N; k++) sum += (double)a[i / N * N + k] * (double)b[k * N + i % N];
        expected[i] = (float)sum;
    }
    memory all = { .result = result };
    const void *da = on_device(&all, halves[0], sizeof halves[0]), *db = on_device(&all, halves[1], sizeof halves[1]);
    float *dc = on_device(&all, NULL, sizeof c);
    note(result, launch_products(dc, da, db, N, fault));
    to_host(&all, c, dc, sizeof c);
    compare(result, c, expected, N * N);
    release(&all);
}

/* The warps' parts may come in any order, so what is compared is how often each number is there. */
void run_compact(int fault, outcome *result) {
    enum { N = 1000 };
    int x[N], y[N], count = 0, seen[N] = { 0 };
    for (int i = 0; i < N; i++) x[i] = i % 3 == 1 ? i : -i;
    memory all = { .result = result };
    const int *dx = on_device(&all, x, sizeof x);
    int *dy = on_device(&all, NULL, sizeof y), *dcount = on_device(&all, &count, sizeof count);
    note(result, launch_compact(dy, dcount, dx, N, fault));
    to_host(&all, y, dy, sizeof y);
    to_host(&all, &count, dcount, sizeof count);
    for (int i = 0; i < count && i < N; i++)
        if (y[i] >= 0 && y[i] < N) seen[y[i]]++;
    for (int i = 0; i < N; i++) result->distance += abs(seen[i] - (i % 3 == 1));
    release(&all);
}

static void expected_shuffles(int *e) {
    for (int lane = 0, sum = 0; lane < 32; lane++) {
        int half = lane / 16, value = lane * 3 + 1, same = 0, half_sum = 0;
        for (int other = 0; other < 32; other++) {
            if (other % 5 == lane % 5) same |= (int)(1u << other);
            if (other / 16 == half) half_sum += other * 3 + 1;
        }
        e[lane] = 16;
        e[32 + lane] = lane < 3 ? value : value - 9;
        e[64 + lane] = lane % 8 > 4 ? value : value + 9;
        e[96 + lane] = (lane ^ 9) * 3 + 1;
        e[128 + lane] = same;
        e[160 + lane] = half_sum;
        e[192 + lane] = half ? 2 : 1;
        e[224 + lane] = sum += value;
    }
}

void run_shuffles(int fault, outcome *result) {
    int got[8 * 32], expected[8 * 32];
    expected_shuffles(expected);
    memory all = { .result = result };
    int *device = on_device(&all, NULL, sizeof got);
    note(result, launch_shuffles(device, fault));
    to_host(&all, got, device, sizeof got);
    for (int i = 0; i < 8 * 32; i++) result->distance += got[i] != expected[i];
    release(&all);
}

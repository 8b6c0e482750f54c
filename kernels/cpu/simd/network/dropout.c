/* dropout.c: zeroes drawn by Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
 *
 * Element i, counted in row-major logical order, takes word i % 4 of the block with counter (i / 4, draw) under the key
 * `seed`.  A mask is therefore a function of seed, draw and logical position: not of the layout, the threads or the
 * vector width, and backward draws it again from dy in whatever layout that has.
 *
 * Row-major tensors draw 32 blocks at a time for 128 consecutive elements.  In a channels-last image neighbours in
 * memory lie a whole image plane apart in logical order.  There the lanes hold neighbouring channels: one block a lane
 * gives the words of four consecutive positions, so no word is thrown away and none has to change lanes.  (The obvious
 * way, one block an element, draws four times as many.  One thread, AVX-512: 0.64 ns an element, 0.53 row major.)  Any
 * other layout goes in logical order with strided reads and writes.
 */
#include "cpu/simd/iterate.h"
#include "cpu/simd/philox.h"

#include <math.h>

enum { WORDS = 128, GROUPS = 2, TOGETHER = GROUPS * WK_WIDE };

typedef struct dropout_plan {
    wk_philox key;
    uint32_t threshold;
    double scale;
    char *out;
    const char *x;
    unsigned dtype;
    int64_t out_step, x_step;
} dropout_plan;

/* n ≤ WORDS elements by their words. */
static inline void apply(const dropout_plan *plan, void *restrict out_, const void *restrict x_,
                         const uint32_t *restrict words, int64_t n) {
    uint32_t threshold = plan->threshold;
    if (plan->dtype == WK_F64) {
        double *restrict out = out_;
        const double *restrict x = x_;
        for (int64_t i = 0; i < n; i++) out[i] = words[i] >= threshold ? x[i] * plan->scale : 0;
    } else {
        float *restrict out = out_, scale = (float)plan->scale;
        const float *restrict x = x_;
        for (int64_t i = 0; i < n; i++) {
            float kept = x[i] * scale;
            out[i] = words[i] >= threshold ? kept : 0;
        }
    }
}

/* The same at any steps and dtype. */
static void apply_staged(const dropout_plan *plan, char *out, const char *x, const uint32_t *words, int64_t n) {
    wk_staging source, result;
    const void *from = wk_stage_in(&source, x, plan->dtype, plan->x_step, n);
    if (plan->out_step == 1 && !wk_is_half(plan->dtype)) {
        apply(plan, out, from, words, n);
    } else {
        apply(plan, &result, from, words, n);
        wk_stage_out(out, &result, plan->dtype, plan->out_step, n);
    }
}

/* Elements first, first + 1, … in logical order; offset[2] is `first`. */
static void run_visit(const void *context, const int64_t offset[], int64_t n) {
    const dropout_plan *plan = context;
    int64_t size = (int64_t)wk_size_of(plan->dtype), first = offset[2], done = 0;
    uint32_t words[WORDS];
    while (done < n) {
        int64_t skip = (first + done) & 3, part = WORDS - skip < n - done ? WORDS - skip : n - done;
        wk_philox_run(&plan->key, (uint64_t)(first + done) >> 2, WORDS / 4, words);
        apply_staged(plan, plan->out + (offset[0] + done * plan->out_step) * size,
                     plan->x + (offset[1] + done * plan->x_step) * size, words + skip, part);
        done += part;
    }
}

/* ---- channels last
 * --------------------------------------------------------------------------------------------------- */

typedef struct image_plan {
    dropout_plan common;
    int64_t images, positions, channels;
    int64_t image[2], position[2]; /* strides of out and x; channels are contiguous in both */
} image_plan;

/* WK_WIDE elements by their words, without leaving the registers. */
typedef float some_floats __attribute__((vector_size(4 * WK_WIDE)));
static inline void apply_lanes(const dropout_plan *plan, char *out, const char *x, const wk_wide *word) {
    wk_narrowed narrowed = __builtin_convertvector(*word & 0xffffffffu, wk_narrowed), bits;
    some_floats value;
    memcpy(&value, x, sizeof value);
    value *= (float)plan->scale;
    memcpy(&bits, &value, sizeof bits);
    bits &= (wk_narrowed)(narrowed >= plan->threshold);
    memcpy(out, &bits, sizeof bits);
}

/* The same for any dtype and fewer lanes. */
static void apply_some(const dropout_plan *plan, char *out, const char *x, const wk_wide *word, int64_t n) {
    uint32_t words[WK_WIDE];
    for (int l = 0; l < WK_WIDE; l++) words[l] = (uint32_t)(*word)[l];
    apply_staged(plan, out, x, words, n);
}

/* TOGETHER channels from `channel` on, of one image.  Two groups at a time, for a round is a chain of 8 cycles. */
static void image_lanes(const image_plan *plan, int64_t image, int64_t channel) {
    const dropout_plan *common = &plan->common;
    int64_t size = (int64_t)wk_size_of(common->dtype), positions = plan->positions;
    int64_t lanes = plan->channels - channel;
    bool whole = common->dtype == WK_F32 && lanes >= TOGETHER;
    uint64_t first = (uint64_t)((image * plan->channels + channel) * positions) / 4;
    wk_wide counter[GROUPS], word[GROUPS][4];
    for (int l = 0; l < TOGETHER; l++) counter[l / WK_WIDE][l % WK_WIDE] = first + (uint64_t)(l * (positions / 4));
    char *out = common->out + (image * plan->image[0] + channel) * size;
    const char *x = common->x + (image * plan->image[1] + channel) * size;
    for (int64_t p = 0; p < positions; p += 4) {
        for (int g = 0; g < GROUPS; g++) wk_philox_blocks(&common->key, &counter[g], word[g]), counter[g] += 1;
        for (int w = 0; w < 4; w++) {
            char *to = out + (p + w) * plan->position[0] * size;
            const char *from = x + (p + w) * plan->position[1] * size;
            for (int g = 0; g < GROUPS; g++) {
                int64_t skip = g * WK_WIDE, left = lanes - skip < WK_WIDE ? lanes - skip : WK_WIDE;
                if (whole)
                    apply_lanes(common, to + skip * size, from + skip * size, &word[g][w]);
                else if (left > 0)
                    apply_some(common, to + skip * size, from + skip * size, &word[g][w], left);
            }
        }
    }
}

/* Is this (N, C, positions…) with C innermost in both tensors and a number of positions that keeps lanes in step? */
static bool is_image(const wk_tensor *out, const wk_tensor *x, image_plan *plan) {
    wk_walk walk = { .operands = 2 };
    if (out->rank < 3 || out->shape[1] < 4 || out->stride[1] != 1 || x->stride[1] != 1) return false;
    for (int i = 2; i < out->rank; i++) {
        walk.shape[walk.rank] = out->shape[i];
        walk.stride[0][walk.rank] = out->stride[i];
        walk.stride[1][walk.rank++] = x->stride[i];
    }
    wk_walk logical = walk;
    wk_walk_simplify(&walk);
    if (walk.rank != 1 || walk.shape[0] % 4 || walk.shape[0] == 1) return false;
    for (int i = 1; i < logical.rank; i++) /* sorted by simplify: the axes must already have been in logical order */
        if (logical.stride[0][i - 1] < logical.stride[0][i] && logical.shape[i - 1] > 1 && logical.shape[i] > 1)
            return false;
    plan->images = out->shape[0];
    plan->channels = out->shape[1];
    plan->positions = walk.shape[0];
    for (int k = 0; k < 2; k++) plan->position[k] = walk.stride[k][0];
    plan->image[0] = out->stride[0];
    plan->image[1] = x->stride[0];
    return true;
}

static void drop_image(const image_plan *plan, int team) {
    int64_t groups = (plan->channels + TOGETHER - 1) / TOGETHER, tasks = plan->images * groups;
    if (team == 1) {
        for (int64_t task = 0; task < tasks; task++) image_lanes(plan, task / groups, task % groups * TOGETHER);
        return;
    }
#pragma omp parallel for schedule(static) num_threads(team)
    for (int64_t task = 0; task < tasks; task++) image_lanes(plan, task / groups, task % groups * TOGETHER);
}

/* A walk in logical order: operands out, x and the logical position itself.  Nothing is sorted: equal layouts that are
 * row major become one row, all others are strided. */
static wk_walk logical_walk(const wk_tensor *out, const wk_tensor *x) {
    wk_walk walk = { .operands = 3, .rank = out->rank };
    int64_t position = 1;
    for (int i = out->rank - 1; i >= 0; i--) {
        walk.shape[i] = out->shape[i];
        walk.stride[0][i] = position; /* first, so that simplify keeps the logical order */
        walk.stride[1][i] = out->stride[i];
        walk.stride[2][i] = x->stride[i];
        position *= out->shape[i];
    }
    wk_walk_simplify(&walk);
    for (int i = 0; i < walk.rank; i++) {
        int64_t logical = walk.stride[0][i];
        walk.stride[0][i] = walk.stride[1][i];
        walk.stride[1][i] = walk.stride[2][i];
        walk.stride[2][i] = logical;
    }
    return walk;
}

static wk_status dropout(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *x = call->in[0], *key = call->in[1], *out = call->out[0];
    const wk_dropout_opts *opts = call->attrs;
    if (!out->count) return WK_OK;
    const int64_t *seed = key->data, *draw = seed + key->stride[0];
    image_plan image = { .common = { .threshold = (uint32_t)(opts->p * 0x1p32),
                                     .scale = 1 / (1 - opts->p),
                                     .out = out->data,
                                     .x = x->data,
                                     .dtype = x->dtype,
                                     .out_step = 1,
                                     .x_step = 1 } };
    image.common.key = (wk_philox){ { (uint32_t)(uint64_t)*seed, (uint32_t)((uint64_t)*seed >> 32) }, (uint64_t)*draw };
    int team = wk_cpu_team(ctx, 2 * out->count); /* an element takes 0.5 ns */
    if (is_image(out, x, &image)) {
        drop_image(&image, team);
        return WK_OK;
    }
    wk_walk walk = logical_walk(out, x);
    if (walk.shape[walk.rank - 1] > 1) {
        image.common.out_step = walk.stride[0][walk.rank - 1];
        image.common.x_step = walk.stride[1][walk.rank - 1];
    }
    wk_walk_team(&walk, team, run_visit, &image.common);
    return WK_OK;
}

WK_CPU_TABLE(dropout) = { { "dropout", WK_FLOATS, dropout }, { 0 } };

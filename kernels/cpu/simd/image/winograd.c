/* winograd.c: Winograd's F(4×4, 3×3) for channels-last f32 images, all three passes (Lavin & Gray 2016, section 4).
 *
 * A tile of 4 × 4 results comes from 6 × 6 pixels.  Both are transformed, so that the sum over taps becomes 36
 * products, and the sums over channels become 36 matrix products:
 *
 *   forward          Y  = Aᵀ [ (G g Gᵀ) · (Bᵀ d B) ] A         [tiles × C] · [C × K] at each of the 36 points
 *   backward input   the same, with filters turned round and dY in place of the image
 *   backward weight  dg = Gᵀ [ (Bᵀ d B)ᵀ · (A dY Aᵀ) ] G       [C × tiles] · [tiles × K]
 *
 * The library that does the direct sum has Winograd only for AVX-512, in blocks of 16 channels.  Here images stay as
 * they are: the 36 numbers of a tile's pixel lie 36 planes apart, a plane's row is a tile and its columns are channels,
 * so that transforms load and store whole vectors, and the products read rows of planes without packing them.  Only
 * filters are packed, into panels as wide as a register tile.  Rows are ROW_GAP longer than needed: with channels that
 * are a power of two, rows would otherwise share a few sets of the first-level cache.
 *
 * Tiles go through in blocks whose planes fit the second-level cache.  Sums do not depend on the number of threads:
 * forward and backward input split blocks, backward weight splits points and columns of the result.
 */
#include "cpu/simd/image/winograd.h"

#include "cpu/scratch.h"
#include "cpu/simd/linalg/registers.h"

#include <omp.h>
#include <string.h>

#define LANES ((int64_t)VECTOR_BYTES / 4)
#define NR    (2 * LANES)
enum {
    TILE = 4,        /* results of a tile, a side */
    PATCH = 6,       /* pixels that they see */
    POINTS = 36,     /* products of a tile */
    ROW_GAP = 16,    /* floats */
    DEPTH = 256,     /* channels summed in registers at a time: a panel of filters stays in the first-level cache */
    LEAST_BLOCK = 48 /* tiles, against reading the filters too often */
};

typedef float vector __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
#define INLINE static inline __attribute__((always_inline))

/* ---- transforms of one line ----
 *
 * A filter is a polynomial of degree 2 and a result one of degree 3; they are multiplied at the points 0, ±P, ±Q and
 * infinity (Toom & Cook).  The points decide how much is rounded away: largest error of y over the largest y, among the
 * shapes of tests/tensor/winograd.c,
 *
 *   P, Q    1, 2       1/2, 1     1/2, 3/2   5/8, 3/2   3/4, 3/2
 *           1.8e-5     2.3e-5     1.4e-5     6.7e-6     6.9e-6     (dx: 1.4e-5, 1.3e-5, 6.1e-6, 3.6e-6, 2.8e-6)
 */

#define P      0.75f
#define Q      1.5f
#define OVER_0 (1 / (P * P * Q * Q)) /* a product's share in the result: the inverse of what the points differ by */
#define OVER_P (1 / (2 * P * P * (P * P - Q * Q)))
#define OVER_Q (1 / (2 * Q * Q * (Q * Q - P * P)))

/* Bᵀ of 6 pixels. */
INLINE void transform_pixels(vector to[PATCH], const vector d[PATCH]) {
    const vector even_p = d[4] - Q * Q * d[2], odd_p = P * d[3] - P * Q * Q * d[1];
    const vector even_q = d[4] - P * P * d[2], odd_q = Q * d[3] - P * P * Q * d[1];
    to[0] = P * P * Q * Q * d[0] - (P * P + Q * Q) * d[2] + d[4];
    to[1] = even_p + odd_p, to[2] = even_p - odd_p;
    to[3] = even_q + odd_q, to[4] = even_q - odd_q;
    to[5] = P * P * Q * Q * d[1] - (P * P + Q * Q) * d[3] + d[5];
}

/* A of 4 gradients of results. */
INLINE void transform_gradients(vector to[PATCH], const vector y[TILE]) {
    const vector even_p = y[0] + P * P * y[2], odd_p = P * y[1] + P * P * P * y[3];
    const vector even_q = y[0] + Q * Q * y[2], odd_q = Q * y[1] + Q * Q * Q * y[3];
    to[0] = y[0];
    to[1] = even_p + odd_p, to[2] = even_p - odd_p;
    to[3] = even_q + odd_q, to[4] = even_q - odd_q;
    to[5] = y[3];
}

/* Aᵀ of 6 products. */
INLINE void transform_products(vector to[TILE], const vector m[PATCH]) {
    const vector sum_p = m[1] + m[2], difference_p = m[1] - m[2], sum_q = m[3] + m[4], difference_q = m[3] - m[4];
    to[0] = m[0] + sum_p + sum_q;
    to[1] = P * difference_p + Q * difference_q;
    to[2] = P * P * sum_p + Q * Q * sum_q;
    to[3] = P * P * P * difference_p + Q * Q * Q * difference_q + m[5];
}

/* G of 3 taps. */
INLINE void transform_taps(vector to[PATCH], const vector g[3]) {
    const vector even_p = OVER_P * g[0] + P * P * OVER_P * g[2], odd_p = P * OVER_P * g[1];
    const vector even_q = OVER_Q * g[0] + Q * Q * OVER_Q * g[2], odd_q = Q * OVER_Q * g[1];
    to[0] = OVER_0 * g[0];
    to[1] = even_p + odd_p, to[2] = even_p - odd_p;
    to[3] = even_q + odd_q, to[4] = even_q - odd_q;
    to[5] = g[2];
}

/* Gᵀ of 6 sums of products. */
INLINE void transform_sums(vector to[3], const vector m[PATCH]) {
    const vector sum_p = OVER_P * (m[1] + m[2]), difference_p = P * OVER_P * (m[1] - m[2]);
    const vector sum_q = OVER_Q * (m[3] + m[4]), difference_q = Q * OVER_Q * (m[3] - m[4]);
    to[0] = OVER_0 * m[0] + sum_p + sum_q;
    to[1] = difference_p + difference_q;
    to[2] = P * P * sum_p + Q * Q * sum_q + m[5];
}

/* ---- what is computed ---- */

typedef struct image {
    float *data; /* (N, height, width, channels) */
    int64_t height, width, channels;
    int64_t padding[2]; /* how far a tile's patch begins before it */
} image;

/* 36 matrices of a row per tile. */
typedef struct planes {
    float *data;
    int64_t row, plane; /* floats between tiles, and between points */
} planes;

typedef struct work {
    image in, out;           /* of backward weight: x and dy */
    int64_t tiles[2], count; /* down, across, of all images */
    int64_t block, blocks;   /* tiles of a block */
    int64_t panels;          /* of NR columns */
    int64_t in_row, out_row; /* of planes */
    const float *nothing;    /* as many zeros as `in` has channels: the pixels outside of it */
    const float *bias;       /* or NULL */
    bool relu;
} work;

static int64_t round_up(int64_t value, int64_t unit) {
    return (value + unit - 1) / unit * unit;
}

static work describe(const wk_winograd *w, bool backward) {
    const wk_convolution_shape *s = w->shape;
    image x = { w->x->data, s->size[1], s->size[2], s->c, { s->padding[1], s->padding[2] } };
    image y = { w->y->data, s->out[1], s->out[2], s->k, { 2 - s->padding[1], 2 - s->padding[2] } };
    work v = { .in = backward ? y : x, .out = backward ? x : y, .relu = w->relu };
    v.tiles[0] = (v.out.height + TILE - 1) / TILE, v.tiles[1] = (v.out.width + TILE - 1) / TILE;
    v.count = s->n * v.tiles[0] * v.tiles[1];
    v.panels = (v.out.channels + NR - 1) / NR;
    v.in_row = v.in.channels + ROW_GAP, v.out_row = v.panels * NR + ROW_GAP;
    return v;
}

typedef struct place {
    int64_t image, top, left; /* of a tile's first result */
} place;

static place place_of(const work *v, int64_t tile) {
    int64_t across = tile % v->tiles[1], line = tile / v->tiles[1];
    return (place){ line / v->tiles[0], line % v->tiles[0] * TILE, across * TILE };
}

/* Where the `side` × `side` pixels from (top, left) on lie; outside of the image: at zeros. */
INLINE void find_pixels(const float **pixel, const int side, const image *from, const float *nothing, int64_t index,
                        int64_t top, int64_t left) {
    const float *first = from->data + index * from->height * from->width * from->channels;
    for (int64_t i = 0; i < side; i++)
        for (int64_t j = 0; j < side; j++) {
            int64_t h = top + i, w = left + j;
            bool inside = h >= 0 && h < from->height && w >= 0 && w < from->width;
            pixel[i * side + j] = inside ? first + (h * from->width + w) * from->channels : nothing;
        }
}

/* ---- tiles to points and back ---- */

static void pixels_to_points(const work *v, int64_t tile, const planes *to, int64_t row) {
    place at = place_of(v, tile);
    const float *pixel[POINTS];
    find_pixels(pixel, PATCH, &v->in, v->nothing, at.image, at.top - v->in.padding[0], at.left - v->in.padding[1]);
    float *target = to->data + row * to->row;
    for (int64_t c = 0; c < v->in.channels; c += LANES, target += LANES) {
        vector half[PATCH][PATCH];
        UNROLLED for (int j = 0; j < PATCH; j++) {
            vector line[PATCH];
            UNROLLED for (int i = 0; i < PATCH; i++) line[i] = *(const vector *)(pixel[i * PATCH + j] + c);
            transform_pixels(half[j], line);
        }
        UNROLLED for (int i = 0; i < PATCH; i++) {
            vector line[PATCH], whole[PATCH];
            UNROLLED for (int j = 0; j < PATCH; j++) line[j] = half[j][i];
            transform_pixels(whole, line);
            UNROLLED for (int j = 0; j < PATCH; j++) * (vector *)(target + (i * PATCH + j) * to->plane) = whole[j];
        }
    }
}

static void gradients_to_points(const work *v, int64_t tile, const planes *to, int64_t row) {
    place at = place_of(v, tile);
    const float *pixel[TILE * TILE];
    find_pixels(pixel, TILE, &v->out, v->nothing, at.image, at.top, at.left);
    float *target = to->data + row * to->row;
    for (int64_t k = 0; k < v->out.channels; k += LANES, target += LANES) {
        vector half[TILE][PATCH];
        UNROLLED for (int j = 0; j < TILE; j++) {
            vector line[TILE];
            UNROLLED for (int i = 0; i < TILE; i++) line[i] = *(const vector *)(pixel[i * TILE + j] + k);
            transform_gradients(half[j], line);
        }
        UNROLLED for (int i = 0; i < PATCH; i++) {
            vector line[TILE], whole[PATCH];
            UNROLLED for (int j = 0; j < TILE; j++) line[j] = half[j][i];
            transform_gradients(whole, line);
            UNROLLED for (int j = 0; j < PATCH; j++) * (vector *)(target + (i * PATCH + j) * to->plane) = whole[j];
        }
    }
}

/* Clears negatives only, so NaN stays NaN. */
INLINE vector relu(vector value) {
    typedef int32_t mask __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
    return (vector)((mask)value & ~(mask)(value < 0));
}

static void points_to_results(const work *v, int64_t tile, const planes *from, int64_t row) {
    place at = place_of(v, tile);
    const image *out = &v->out;
    const int64_t rows = out->height - at.top < TILE ? out->height - at.top : TILE,
                  cols = out->width - at.left < TILE ? out->width - at.left : TILE;
    float *corner = out->data + ((at.image * out->height + at.top) * out->width + at.left) * out->channels;
    const float *source = from->data + row * from->row;
    for (int64_t k = 0; k < out->channels; k += LANES, source += LANES) {
        vector half[PATCH][TILE];
        UNROLLED for (int j = 0; j < PATCH; j++) {
            vector line[PATCH];
            UNROLLED for (int i = 0; i < PATCH; i++) line[i] =
                *(const vector *)(source + (i * PATCH + j) * from->plane);
            transform_products(half[j], line);
        }
        vector bias = v->bias ? *(const vector *)(v->bias + k) : (vector){ 0 };
        UNROLLED for (int i = 0; i < TILE; i++) {
            vector line[PATCH], whole[TILE];
            UNROLLED for (int j = 0; j < PATCH; j++) line[j] = half[j][i];
            transform_products(whole, line);
            for (int j = 0; i < rows && j < cols; j++) {
                vector value = whole[j] + bias;
                *(vector *)(corner + (i * out->width + j) * out->channels + k) = v->relu ? relu(value) : value;
            }
        }
    }
}

/* ---- filters ---- */

/* Panels [from, to) of the filters at all points, (POINTS, panels, C, NR).  `backward`: from channels of y to those of
 * x, turned round. */
static void filters_to_points(float *to, const work *v, const wk_tensor *weight, bool backward, int64_t first,
                              int64_t last) {
    const int64_t *stride = weight->stride, over_out = stride[backward], over_in = stride[!backward];
    const int64_t down = backward ? -stride[2] : stride[2], across = backward ? -stride[3] : stride[3];
    const float *start = (const float *)weight->data + (backward ? 2 * (stride[2] + stride[3]) : 0);
    const int64_t channels = v->in.channels, plane = v->panels * channels * NR;
    for (int64_t panel = first; panel < last; panel++)
        for (int64_t c = 0; c < channels; c++) {
            float tap[9][2 * VECTOR_BYTES / 4] __attribute__((aligned(64))) = { { 0 } };
            const int64_t columns = v->out.channels - panel * NR < NR ? v->out.channels - panel * NR : NR;
            for (int64_t k = 0; k < columns; k++) {
                const float *filter = start + (panel * NR + k) * over_out + c * over_in;
                UNROLLED for (int t = 0; t < 9; t++) tap[t][k] = filter[t / 3 * down + t % 3 * across];
            }
            float *target = to + (panel * channels + c) * NR;
            for (int64_t half = 0; half < NR; half += LANES) {
                vector line[3][PATCH];
                UNROLLED for (int j = 0; j < 3; j++) {
                    const vector column[3] = { *(const vector *)(tap[j] + half), *(const vector *)(tap[3 + j] + half),
                                               *(const vector *)(tap[6 + j] + half) };
                    transform_taps(line[j], column);
                }
                UNROLLED for (int i = 0; i < PATCH; i++) {
                    const vector row[3] = { line[0][i], line[1][i], line[2][i] };
                    vector whole[PATCH];
                    transform_taps(whole, row);
                    UNROLLED for (int j = 0; j < PATCH; j++) * (vector *)(target + (i * PATCH + j) * plane + half) =
                        whole[j];
                }
            }
        }
}

/* dweight[:, from … to) of the sums (POINTS, C, columns). */
static void points_to_filters(const wk_tensor *dweight, const float *sums, const work *v, int64_t first, int64_t last) {
    const int64_t *stride = dweight->stride, columns = v->panels * NR, plane = v->in.channels * columns;
    for (int64_t c = first; c < last; c++)
        for (int64_t k = 0; k < v->out.channels; k += LANES) {
            const float *source = sums + c * columns + k;
            vector half[PATCH][3];
            float tap[9][VECTOR_BYTES / 4] __attribute__((aligned(64)));
            UNROLLED for (int j = 0; j < PATCH; j++) {
                vector line[PATCH];
                UNROLLED for (int i = 0; i < PATCH; i++) line[i] = *(const vector *)(source + (i * PATCH + j) * plane);
                transform_sums(half[j], line);
            }
            UNROLLED for (int i = 0; i < 3; i++) {
                vector line[PATCH], whole[3];
                UNROLLED for (int j = 0; j < PATCH; j++) line[j] = half[j][i];
                transform_sums(whole, line);
                UNROLLED for (int j = 0; j < 3; j++) * (vector *)tap[i * 3 + j] = whole[j];
            }
            for (int64_t lane = 0; lane < LANES; lane++) {
                float *filter = (float *)dweight->data + (k + lane) * stride[0] + c * stride[1];
                UNROLLED for (int t = 0; t < 9; t++) filter[t / 3 * stride[2] + t % 3 * stride[3]] = tap[t][lane];
            }
        }
}

/* ---- products ---- */

/* c (rows, NR) = or += the sum over `depth` of a[i · a_row + step · a_step] b[step · b_step + j]. */
typedef struct product {
    int64_t depth;
    const float *a, *b;
    int64_t a_row, a_step, b_step;
    float *c;
    int64_t c_row;
    bool add;
} product;

INLINE void multiply(const int rows, const product *p, const int64_t a_row, const int64_t a_step,
                     const int64_t b_step) {
    vector sum[MR][2];
    const float *a = p->a, *b = p->b;
    UNROLLED for (int i = 0; i < rows; i++) UNROLLED for (int n = 0; n < 2; n++) sum[i][n] =
        p->add ? *(const vector *)(p->c + i * p->c_row + n * LANES) : (vector){ 0 };
    for (int64_t step = 0; step < p->depth; step++, a += a_step, b += b_step) {
        const vector b0 = *(const vector *)b, b1 = *(const vector *)(b + LANES);
        UNROLLED for (int i = 0; i < rows; i++) sum[i][0] += a[i * a_row] * b0, sum[i][1] += a[i * a_row] * b1;
    }
    UNROLLED for (int i = 0; i < rows; i++) UNROLLED for (int n = 0; n < 2; n++)
        * (vector *)(p->c + i * p->c_row + n * LANES) = sum[i][n];
}

/* Rows of tiles with packed filters, and columns of tiles with rows of tiles. */
#define PRODUCTS_OF(thirds)                                                       \
    static __attribute__((noinline)) void by_filters_##thirds(const product *p) { \
        multiply(PART(thirds), p, p->a_row, 1, NR);                               \
    }                                                                             \
    static __attribute__((noinline)) void over_tiles_##thirds(const product *p) { \
        multiply(PART(thirds), p, 1, p->a_step, p->b_step);                       \
    }
PRODUCTS_OF(1)
PRODUCTS_OF(2)
PRODUCTS_OF(3)
static void (*const by_filters[])(const product *) = { by_filters_1, by_filters_2, by_filters_3 };
static void (*const over_tiles[])(const product *) = { over_tiles_1, over_tiles_2, over_tiles_3 };

/* The kernel for what is left of `rows`; it may compute rows beyond them, for which there is room. */
static int64_t kernel_for(int64_t rows) {
    return rows >= MR ? 2 : (rows + PART(1) - 1) / PART(1) - 1;
}

/* products = points · filters, for `tiles` rows. */
static void multiply_by_filters(const work *v, const float *filters, const planes *in, const planes *out,
                                int64_t tiles) {
    const int64_t channels = v->in.channels;
    for (int64_t point = 0; point < POINTS; point++)
        for (int64_t c = 0; c < channels; c += DEPTH)
            for (int64_t panel = 0; panel < v->panels; panel++)
                for (int64_t tile = 0; tile < tiles; tile += MR) {
                    product p = { .depth = channels - c < DEPTH ? channels - c : DEPTH, .add = c > 0 };
                    p.a = in->data + point * in->plane + tile * in->row + c, p.a_row = in->row;
                    p.b = filters + ((point * v->panels + panel) * channels + c) * NR;
                    p.c = out->data + point * out->plane + tile * out->row + panel * NR, p.c_row = out->row;
                    by_filters[kernel_for(tiles - tile)](&p);
                }
}

/* sums (C, columns) of one point and panel of columns = or += pointsᵀ · gradients. */
static void multiply_over_tiles(const work *v, const planes *in, const planes *out, int64_t tiles, float *sums,
                                int64_t point, int64_t panel, bool add) {
    const int64_t columns = v->panels * NR;
    for (int64_t c = 0; c < v->in.channels; c += MR) {
        product p = { .depth = tiles, .add = add };
        p.a = in->data + point * in->plane + c, p.a_step = in->row;
        p.b = out->data + point * out->plane + panel * NR, p.b_step = out->row;
        p.c = sums + (point * v->in.channels + c) * columns + panel * NR, p.c_row = columns;
        over_tiles[kernel_for(v->in.channels - c)](&p);
    }
}

/* ---- passes ---- */

/* As many tiles as `bytes` of planes hold; every thread gets its share of all. */
static void choose_block(work *v, int64_t bytes, int threads) {
    int64_t fit = bytes / (POINTS * 4 * (v->in_row + v->out_row)), share = (v->count + threads - 1) / threads;
    v->block = fit < LEAST_BLOCK ? LEAST_BLOCK : fit;
    int64_t parts = (share + v->block - 1) / v->block;
    v->block = round_up((share + parts - 1) / parts, MR);
    v->blocks = (v->count + v->block - 1) / v->block;
}

wk_status WK_WINOGRAD_IMAGE(const wk_winograd *w, bool backward) {
    work v = describe(w, backward);
    choose_block(&v, 1 << 20, w->threads);
    int64_t zeros = round_up(v.in.channels, 16), filters = POINTS * v.panels * v.in.channels * NR;
    planes in = { .row = v.in_row, .plane = v.block * v.in_row },
           out = { .row = v.out_row, .plane = v.block * v.out_row };
    int64_t each = round_up(POINTS * (in.plane + out.plane), 16);
    float *scratch = wk__cpu_scratch(WK_SCRATCH_KERNEL, (size_t)(zeros + filters + each * w->threads) * sizeof(float));
    if (!scratch) return WK_NO_MEMORY;
    memset(scratch, 0, (size_t)zeros * sizeof(float));
    v.nothing = scratch, v.bias = w->bias ? w->bias->data : NULL;
    float *const packed = scratch + zeros;
#pragma omp parallel num_threads(w->threads) firstprivate(in, out)
    {
        const int64_t rank = omp_get_thread_num(), team = omp_get_num_threads();
        in.data = packed + filters + each * rank, out.data = in.data + POINTS * in.plane;
        filters_to_points(packed, &v, w->weight, backward, v.panels * rank / team, v.panels * (rank + 1) / team);
#pragma omp barrier
        for (int64_t block = v.blocks * rank / team; block < v.blocks * (rank + 1) / team; block++) {
            const int64_t first = block * v.block, left = v.count - first, tiles = left < v.block ? left : v.block;
            for (int64_t tile = 0; tile < tiles; tile++) pixels_to_points(&v, first + tile, &in, tile);
            multiply_by_filters(&v, packed, &in, &out, tiles);
            for (int64_t tile = 0; tile < tiles; tile++) points_to_results(&v, first + tile, &out, tile);
        }
    }
    return WK_OK;
}

/* dbias[first … last) of dy, image by image. */
static void sum_gradients(const wk_tensor *dbias, const image *dy, int64_t images, int64_t first, int64_t last) {
    const int64_t pixels = dy->height * dy->width;
    for (int64_t k = first; k < last; k += LANES) {
        vector total = { 0 };
        for (int64_t n = 0; n < images; n++) {
            vector sum = { 0 };
            const float *at = dy->data + n * pixels * dy->channels + k;
            for (int64_t pixel = 0; pixel < pixels; pixel++, at += dy->channels) sum += *(const vector *)at;
            total += sum;
        }
        for (int64_t lane = 0; lane < LANES; lane++)
            ((float *)dbias->data)[(k + lane) * dbias->stride[0]] = total[lane];
    }
}

wk_status WK_WINOGRAD_WEIGHT(const wk_winograd *w) {
    work v = describe(w, false);
    choose_block(&v, 2 << 20, 1);
    int64_t wider = v.in.channels > v.out.channels ? v.in.channels : v.out.channels;
    int64_t zeros = round_up(wider, 16), results = POINTS * v.in.channels * v.panels * NR;
    planes in = { .row = v.in_row, .plane = v.block * v.in_row },
           out = { .row = v.out_row, .plane = v.block * v.out_row };
    int64_t all = zeros + results + POINTS * (in.plane + out.plane);
    float *scratch = wk__cpu_scratch(WK_SCRATCH_KERNEL, (size_t)all * sizeof(float));
    if (!scratch) return WK_NO_MEMORY;
    memset(scratch, 0, (size_t)zeros * sizeof(float));
    v.nothing = scratch;
    float *const sums = scratch + zeros;
    in.data = sums + results, out.data = in.data + POINTS * in.plane;
#pragma omp parallel num_threads(w->threads)
    {
        const int64_t rank = omp_get_thread_num(), team = omp_get_num_threads();
        for (int64_t block = 0; block < v.blocks; block++) {
            const int64_t first = block * v.block, left = v.count - first, tiles = left < v.block ? left : v.block;
            for (int64_t tile = tiles * rank / team; tile < tiles * (rank + 1) / team; tile++) {
                pixels_to_points(&v, first + tile, &in, tile);
                gradients_to_points(&v, first + tile, &out, tile);
            }
#pragma omp barrier
            const int64_t parts = POINTS * v.panels;
            for (int64_t part = parts * rank / team; part < parts * (rank + 1) / team; part++)
                multiply_over_tiles(&v, &in, &out, tiles, sums, part / v.panels, part % v.panels, block > 0);
#pragma omp barrier
        }
        points_to_filters(w->weight, sums, &v, v.in.channels * rank / team, v.in.channels * (rank + 1) / team);
        const int64_t groups = v.out.channels / LANES;
        sum_gradients(w->bias, &v.out, w->shape->n, groups * rank / team * LANES, groups * (rank + 1) / team * LANES);
    }
    return WK_OK;
}

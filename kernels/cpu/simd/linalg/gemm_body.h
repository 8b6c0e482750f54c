/* gemm_body.h: the packed matrix product for one compute type; included by gemm.c for f32 and for f64.
 *
 * REAL is the compute type, NAME(x) gives x a suffix, LANES is the vector's length.  MR × 2·LANES accumulators stay in
 * registers; panels of A and B are copied so that the inner loop reads both in order:
 *   A panel: k-th step holds `width` rows      a[k * width + i]
 *   B panel: k-th step holds `width` columns   b[k * width + j]
 * The last panel of each is narrower (see panel_width), so that M = 64 or N = 10 waste little.
 */

typedef REAL NAME(vector) __attribute__((vector_size(LANES * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));
typedef WORD NAME(mask) __attribute__((vector_size(LANES * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));

typedef struct NAME(tile) {
    REAL *c;
    int64_t c_row;
    const REAL *bias;   /* of the tile's first column, or NULL */
    const REAL *addend; /* what is there before: the tile itself after the first block of K; NULL: nothing */
    int64_t addend_row;
    bool relu;
} NAME(tile);

/* One tile of `rows` × (`vectors` · LANES); both are constants where this is expanded. */
static inline __attribute__((always_inline)) void NAME(multiply)(const int rows, const int vectors, int64_t k,
                                                                 const REAL *restrict a /* (k, rows) */,
                                                                 const REAL *restrict b /* (k, vectors · LANES) */,
                                                                 const NAME(tile) * tile) {
    NAME(vector) sum[MR][2];
    UNROLLED for (int i = 0; i < rows; i++) UNROLLED for (int v = 0; v < vectors; v++) sum[i][v] = (NAME(vector)){ 0 };
    for (int64_t step = 0; step < k; step++) {
        NAME(vector) column[2];
        UNROLLED for (int v = 0; v < vectors; v++) column[v] = *(const NAME(vector) *)(b + v * LANES);
        UNROLLED for (int i = 0; i < rows; i++) UNROLLED for (int v = 0; v < vectors; v++) sum[i][v] +=
            a[i] * column[v];
        a += rows;
        b += vectors * LANES;
    }
    UNROLLED for (int i = 0; i < rows; i++) UNROLLED for (int v = 0; v < vectors; v++) {
        NAME(vector) *c = (NAME(vector) *)(tile->c + i * tile->c_row + v * LANES);
        NAME(vector) value = sum[i][v];
        if (tile->addend) value += *(const NAME(vector) *)(tile->addend + i * tile->addend_row + v * LANES);
        if (tile->bias) value += *(const NAME(vector) *)(tile->bias + v * LANES);
        /* Clears negatives only, so NaN stays NaN. */
        if (tile->relu) value = (NAME(vector))((NAME(mask))value & ~(NAME(mask))(value < 0));
        *c = value;
    }
}

#define WK_TILE_OF(rows, vectors)                                                                                    \
    static __attribute__((noinline)) void NAME(multiply_##rows##_##vectors)(int64_t k, const REAL *a, const REAL *b, \
                                                                            const NAME(tile) * tile) {               \
        NAME(multiply)(PART(rows), vectors, k, a, b, tile);                                                          \
    }
WK_TILE_OF(1, 1)
WK_TILE_OF(2, 1)
WK_TILE_OF(3, 1)
WK_TILE_OF(1, 2)
WK_TILE_OF(2, 2)
WK_TILE_OF(3, 2)
#undef WK_TILE_OF

typedef void (*NAME(tile_kernel))(int64_t k, const REAL *a, const REAL *b, const NAME(tile) * tile);
static const NAME(tile_kernel) NAME(tile_kernels)[3][2] = {
    { NAME(multiply_1_1), NAME(multiply_1_2) },
    { NAME(multiply_2_1), NAME(multiply_2_2) },
    { NAME(multiply_3_1), NAME(multiply_3_2) },
};

/* A run of k elements of one row (of A) or column (of B), in the compute type. */
static const REAL *NAME(run)(REAL *restrict target /* (k) */, const void *data, wk_dtype dtype, int64_t stride,
                             int64_t k) {
    if (dtype == REAL_DTYPE) {
        const REAL *source = data;
        if (stride == 1) return source;
        for (int64_t i = 0; i < k; i++) target[i] = source[i * stride];
    } else if (dtype == WK_BF16) {
        const uint16_t *source = data;
        if (stride == 1)
            for (int64_t i = 0; i < k; i++) target[i] = (REAL)wk_load_bf16(source[i]);
        else
            for (int64_t i = 0; i < k; i++) target[i] = (REAL)wk_load_bf16(source[i * stride]);
    } else if (dtype == WK_F16) {
        const uint16_t *source = data;
        for (int64_t i = 0; i < k; i++) target[i] = (REAL)wk_load_f16(source[i * stride]);
    } else {
        const float *source = data;
        for (int64_t i = 0; i < k; i++) target[i] = (REAL)source[i * stride];
    }
    return target;
}

/* Panel whose k steps are contiguous in memory (x is "transposed"): four rows at a time through registers.  64·128·784,
 * A·Bᵀ, one thread: 155 µs with the plain double loop, 134 µs so. */
static void NAME(pack_across)(REAL *restrict panel /* (k, width) */, int64_t width, const wk_gemm_operand *x,
                              int64_t along, int64_t across, int64_t from, int64_t count, int64_t k0, int64_t k) {
    size_t element = wk_gemm_size(x->dtype);
    REAL converted[4][KC];
    for (int64_t i = 0; i < width; i += 4) {
        const REAL *row[4];
        int64_t here = count - i < 4 ? count - i : 4;
        for (int64_t r = 0; r < 4; r++) {
            /* Padding rows repeat the last one: finite work, never stored. */
            int64_t index = from + (here > 0 ? i + (r < here ? r : here - 1) : count - 1);
            const char *start = (const char *)x->data + (size_t)(index * across + k0 * along) * element;
            row[r] = NAME(run)(converted[r], start, x->dtype, along, k);
        }
        REAL *target = panel + i;
        int64_t lanes = width - i < 4 ? width - i : 4, step = 0;
#if REAL_IS_F32
        for (; lanes == 4 && step + 4 <= k; step += 4) {
            wk_quad q0 = *(const wk_quad *)(row[0] + step), q1 = *(const wk_quad *)(row[1] + step);
            wk_quad q2 = *(const wk_quad *)(row[2] + step), q3 = *(const wk_quad *)(row[3] + step);
            wk_quad low01 = __builtin_shufflevector(q0, q1, 0, 4, 1, 5),
                    high01 = __builtin_shufflevector(q0, q1, 2, 6, 3, 7);
            wk_quad low23 = __builtin_shufflevector(q2, q3, 0, 4, 1, 5),
                    high23 = __builtin_shufflevector(q2, q3, 2, 6, 3, 7);
            REAL *at = target + step * width;
            *(wk_quad *)(at) = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
            *(wk_quad *)(at + width) = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
            *(wk_quad *)(at + 2 * width) = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
            *(wk_quad *)(at + 3 * width) = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
        }
#endif
        for (; step < k; step++)
            for (int64_t r = 0; r < lanes; r++) target[step * width + r] = row[r][step];
    }
}

/* Panel whose `width` numbers of one step lie together. */
static void NAME(pack_along)(REAL *restrict panel /* (k, width) */, int64_t width, const wk_gemm_operand *x,
                             int64_t along, int64_t from, int64_t count, int64_t k0, int64_t k) {
    size_t element = wk_gemm_size(x->dtype);
    for (int64_t step = 0; step < k; step++) {
        const char *start = (const char *)x->data + (size_t)(from + (k0 + step) * along) * element;
        REAL *target = panel + step * width;
        const REAL *source = NAME(run)(target, start, x->dtype, 1, count);
        if (source != target) memcpy(target, source, (size_t)count * sizeof(REAL));
        for (int64_t i = count; i < width; i++) target[i] = 0;
    }
}

/* `along` is the stride of the summed axis, `across` of the other one. */
static void NAME(pack)(REAL *panel, int64_t width, const wk_gemm_operand *x, int64_t along, int64_t across,
                       int64_t from, int64_t count, int64_t k0, int64_t k) {
    if (across == 1 && count > 1)
        NAME(pack_along)(panel, width, x, along, from, count, k0, k);
    else
        NAME(pack_across)(panel, width, x, along, across, from, count, k0, k);
}

/* `count` whole panels side by side, whose numbers of one step lie together: a line of memory that two panels share is
 * read once, and the copies are of a constant length. */
static inline __attribute__((always_inline)) void NAME(pack_side_by_side)(REAL *restrict panels, const int64_t width,
                                                                          int64_t count, const REAL *restrict x,
                                                                          int64_t along, int64_t k) {
    for (int64_t step = 0; step < k; step++)
        for (int64_t p = 0; p < count; p++)
            memcpy(panels + p * width * k + step * width, x + step * along + p * width, (size_t)width * sizeof(REAL));
}

/* Panels [first, last) of `width`, of which the whole operand has `count` rows or columns, from `from` on. */
static void NAME(pack_panels)(REAL *packed, int64_t width, int64_t unit, const wk_gemm_operand *x, int64_t along,
                              int64_t across, int64_t from, int64_t count, int64_t k0, int64_t k, int64_t first,
                              int64_t last) {
    enum { NR = 2 * LANES, SIDE_BY_SIDE = 8 };
    int64_t p = first;
    if (across == 1 && x->dtype == REAL_DTYPE) {
        const int64_t whole = count / width < last ? count / width : last;
        for (; p < whole; p += SIDE_BY_SIDE) {
            const int64_t here = whole - p < SIDE_BY_SIDE ? whole - p : SIDE_BY_SIDE;
            const REAL *start = (const REAL *)x->data + from + p * width + k0 * along;
            if (width == MR)
                NAME(pack_side_by_side)(packed + p * MR * k, MR, here, start, along, k);
            else
                NAME(pack_side_by_side)(packed + p * NR * k, NR, here, start, along, k);
        }
        p = whole > first ? whole : first;
    }
    for (; p < last; p++) {
        const int64_t here = count - p * width < width ? count - p * width : width;
        NAME(pack)
        (packed + p * width * k, wk_gemm_width(here, unit, width), x, along, across, from + p * width, here, k0, k);
    }
}

/* A tile at the edge of C goes through a small buffer. */
static void NAME(edge_tile)(NAME(tile_kernel) kernel, int64_t k, const REAL *a, const REAL *b, const NAME(tile) * tile,
                            int64_t rows, int64_t cols) {
    REAL whole[MR * 2 * LANES] __attribute__((aligned(64)));
    NAME(tile) inner = { .c = whole, .c_row = 2 * LANES };
    kernel(k, a, b, &inner);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            REAL *c = tile->c + i * tile->c_row + j;
            REAL value = whole[i * 2 * LANES + j];
            if (tile->addend) value += tile->addend[i * tile->addend_row + j];
            if (tile->bias) value += tile->bias[j];
            *c = tile->relu && value < 0 ? 0 : value;
        }
}

/* All tiles of one range of columns for one block of K. */
static void NAME(tiles)(const wk_gemm *g, REAL *c, int64_t c_row, const REAL *a, const REAL *b, int64_t k,
                        int64_t rows_from, int64_t rows_to, int64_t cols_from, int64_t cols_to, int64_t jc, bool first,
                        bool last) {
    enum { NR = 2 * LANES };
    /* Sixteen panels of B (512 KB) stay in the second-level cache while a panel of A passes through the first. */
    for (int64_t block = cols_from; block < cols_to; block += 16 * NR) {
        int64_t block_end = block + 16 * NR < cols_to ? block + 16 * NR : cols_to;
        for (int64_t i = rows_from; i < rows_to; i += MR) {
            int64_t rows = g->m - i < MR ? g->m - i : MR, height = wk_gemm_width(rows, MR / 3, MR);
            for (int64_t j = block; j < block_end; j += NR) {
                int64_t cols = g->n - (jc + j) < NR ? g->n - (jc + j) : NR, width = wk_gemm_width(cols, LANES, NR);
                NAME(tile) tile = { .c = c + i * c_row + jc + j, .c_row = c_row };
                if (!first) {
                    tile.addend = tile.c, tile.addend_row = c_row;
                } else if (g->addend) {
                    tile.addend = (const REAL *)g->addend + i * g->addend_row + jc + j, tile.addend_row = g->addend_row;
                }
                if (last) {
                    tile.bias = g->bias ? (const REAL *)g->bias + jc + j : NULL;
                    tile.relu = g->relu;
                }
                NAME(tile_kernel) kernel = NAME(tile_kernels)[height / (MR / 3) - 1][width / LANES - 1];
                if (rows == height && cols == width)
                    kernel(k, a + i * k, b + j * k, &tile);
                else
                    NAME(edge_tile)(kernel, k, a + i * k, b + j * k, &tile, rows, cols);
            }
        }
    }
}

/* What one thread of the team does.  Everybody packs a share of A and B, waits, then computes a range of columns (or of
 * rows, where C is taller than wide). */
static void NAME(share)(const wk_gemm *g, REAL *c, int64_t c_row, REAL *packed_a, REAL *packed_b, int64_t rank,
                        int64_t team) {
    enum { NR = 2 * LANES };
    int64_t row_panels = (g->m + MR - 1) / MR;
    for (int64_t jc = 0; jc < g->n; jc += NC) {
        int64_t nc = g->n - jc < NC ? g->n - jc : NC, col_panels = (nc + NR - 1) / NR;
        for (int64_t k0 = 0; k0 < g->k; k0 += KC) {
            int64_t k = g->k - k0 < KC ? g->k - k0 : KC;
            NAME(pack_panels)
            (packed_a, MR, MR / 3, &g->a, g->a.col, g->a.row, 0, g->m, k0, k, row_panels * rank / team,
             row_panels * (rank + 1) / team);
            /* B packed beforehand: its blocks lie one after the other. */
            const REAL *b = g->packed ? (const REAL *)g->packed + jc * g->k + col_panels * NR * k0 : packed_b;
            if (!g->packed) NAME(pack_panels)
            (packed_b, NR, LANES, &g->b, g->b.row, g->b.col, jc, nc, k0, k, col_panels * rank / team,
             col_panels * (rank + 1) / team);
            wk_gemm_wait(team);
            bool by_rows = row_panels * MR > nc;
            int64_t panels = by_rows ? row_panels : col_panels;
            int64_t from = panels * rank / team, to = panels * (rank + 1) / team;
            NAME(tiles)
            (g, c, c_row, packed_a, b, k, by_rows ? from * MR : 0, by_rows ? to * MR : g->m, by_rows ? 0 : from * NR,
             by_rows ? nc : (to * NR < nc ? to * NR : nc), jc, k0 == 0, k0 + k == g->k);
            wk_gemm_wait(team);
        }
    }
}

/* All blocks of B in the order in which share() walks them. */
static void NAME(pack_whole)(const wk_gemm *g, REAL *target) {
    enum { NR = 2 * LANES };
    for (int64_t jc = 0; jc < g->n; jc += NC) {
        int64_t nc = g->n - jc < NC ? g->n - jc : NC, col_panels = (nc + NR - 1) / NR;
        for (int64_t k0 = 0; k0 < g->k; k0 += KC) {
            int64_t k = g->k - k0 < KC ? g->k - k0 : KC;
            REAL *block = target + jc * g->k + col_panels * NR * k0;
#pragma omp parallel for num_threads(g->threads) schedule(static) if (g->threads > 1)
            for (int64_t p = 0; p < col_panels; p++) {
                int64_t count = nc - p * NR < NR ? nc - p * NR : NR;
                NAME(pack)
                (block + p * NR * k, wk_gemm_width(count, LANES, NR), &g->b, g->b.row, g->b.col, jc + p * NR, count, k0,
                 k);
            }
        }
    }
}

/* One to three rows: packing B would cost more than the product.  Either B's columns are read once as dot products, or
 * its rows are added up; both run at the speed of the cache that holds B. */
static void NAME(thin)(const wk_gemm *g) {
    const REAL *b = g->b.data, *bias = g->bias;
    for (int64_t i = 0; i < g->m; i++) {
        const REAL *a = (const REAL *)g->a.data + i * g->a.row;
        REAL *restrict c = (REAL *)g->c + i * g->c_row;
        if (g->b.row == 1 && g->a.col == 1) {
            for (int64_t j = 0; j < g->n; j++) {
                const REAL *restrict column = b + j * g->b.col;
                NAME(vector) sum0 = { 0 }, sum1 = { 0 };
                int64_t k = 0;
                for (; k + 2 * LANES <= g->k; k += 2 * LANES) {
                    sum0 += *(const NAME(vector) *)(a + k) * *(const NAME(vector) *)(column + k);
                    sum1 += *(const NAME(vector) *)(a + k + LANES) * *(const NAME(vector) *)(column + k + LANES);
                }
                sum0 += sum1;
                REAL total = 0;
                for (int lane = 0; lane < LANES; lane++) total += sum0[lane];
                for (; k < g->k; k++) total += a[k] * column[k];
                c[j] = g->accumulate ? c[j] + total : total;
            }
        } else {
            if (!g->accumulate) memset(c, 0, (size_t)g->n * sizeof(REAL));
            for (int64_t k = 0; k < g->k; k++) {
                const REAL *restrict row = b + k * g->b.row;
                REAL factor = a[k * g->a.col];
                for (int64_t j = 0; j < g->n; j++) c[j] += factor * row[j];
            }
        }
        if (bias)
            for (int64_t j = 0; j < g->n; j++) c[j] += bias[j];
        if (g->relu)
            for (int64_t j = 0; j < g->n; j++) c[j] = c[j] < 0 ? 0 : c[j];
    }
}

static bool NAME(is_thin)(const wk_gemm *g) {
    if (g->packed || g->m > 3 || g->a.dtype != REAL_DTYPE || g->b.dtype != REAL_DTYPE || g->c_dtype != REAL_DTYPE)
        return false;
    return (g->b.row == 1 && g->a.col == 1) || g->b.col == 1;
}

static int64_t NAME(pack_elements)(const wk_gemm *g, int64_t *a_elements) {
    enum { NR = 2 * LANES };
    int64_t k = g->k < KC ? g->k : KC, nc = g->n < NC ? g->n : NC;
    *a_elements = ((g->m + MR - 1) / MR * MR * k + 15) / 16 * 16;
    return *a_elements + (nc + NR - 1) / NR * NR * k;
}

static void NAME(product)(const wk_gemm *g, REAL *buffer, REAL *c, int64_t c_row) {
    int64_t a_elements;
    (void)NAME(pack_elements)(g, &a_elements);
    REAL *packed_b = buffer + a_elements;
    if (g->threads < 2) {
        NAME(share)(g, c, c_row, buffer, packed_b, 0, 1);
        return;
    }
#pragma omp parallel num_threads(g->threads)
    NAME(share)(g, c, c_row, buffer, packed_b, omp_get_thread_num(), omp_get_num_threads());
}

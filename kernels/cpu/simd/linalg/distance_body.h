/* distance_body.h: distances of all pairs for one type; included by distance.c for f32 and for f64. */

typedef REAL NAME(vector) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
typedef WORD NAME(mask) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
enum { NAME(LANES) = VECTOR_BYTES / (int)sizeof(REAL), NAME(WIDE) = 2 * NAME(LANES) };

/* ---- forward ---- */

/* Sums of |a − b|^p over `features`, of `rows` rows of a and a pack of b; `rows` is a constant where this is expanded.
 */
static inline __attribute__((always_inline)) void NAME(sums)(const int rows, const bool euclidean, int64_t features,
                                                             const REAL *a, int64_t a_row, const REAL *pack,
                                                             REAL *result /* (rows, WIDE) */) {
    const NAME(vector) zero = { 0 };
    NAME(vector) sum[ROWS][2];
    UNROLLED for (int i = 0; i < rows; i++) UNROLLED for (int v = 0; v < 2; v++) sum[i][v] = zero;
    for (int64_t d = 0; d < features; d++) {
        UNROLLED for (int i = 0; i < rows; i++) UNROLLED for (int v = 0; v < 2; v++) {
            const NAME(vector) *column = (const NAME(vector) *)(pack + d * NAME(WIDE) + v * NAME(LANES));
            NAME(vector) t = a[i * a_row + d] - *column;
            if (euclidean)
                sum[i][v] += t * t;
            else
                sum[i][v] += (NAME(vector))((NAME(mask))t & ~(NAME(mask))(-zero));
        }
    }
    UNROLLED for (int i = 0; i < rows; i++) UNROLLED for (int v = 0; v < 2; v++)
        * (NAME(vector) *)(result + i * NAME(WIDE) + v * NAME(LANES)) = sum[i][v];
}
#define SUMS(name, rows, euclidean)                                                                                    \
    static __attribute__((noinline)) void NAME(name)(int64_t features, const REAL *a, int64_t a_row, const REAL *pack, \
                                                     REAL *result) {                                                   \
        NAME(sums)(rows, euclidean, features, a, a_row, pack, result);                                                 \
    }
SUMS(squares, ROWS, true)
SUMS(squares_one, 1, true)
SUMS(sizes, ROWS, false)
SUMS(sizes_one, 1, false)
#undef SUMS

/* Rows of a, at most TALL, and of b, at most WIDE. */
static void NAME(block)(const REAL *a, int64_t rows, const REAL *b, int64_t columns, int64_t features, REAL *y,
                        int64_t y_row, bool euclidean) {
    REAL pack[FEATURES * NAME(WIDE)], result[ROWS * NAME(WIDE)];
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) y[i * y_row + j] = 0;
    for (int64_t at = 0; at < features; at += FEATURES) {
        int64_t part = features - at < FEATURES ? features - at : FEATURES;
        for (int64_t d = 0; d < part; d++)
            for (int64_t j = 0; j < NAME(WIDE); j++)
                pack[d * NAME(WIDE) + j] = j < columns ? b[j * features + at + d] : 0;
        for (int64_t i = 0; i < rows;) {
            bool several = i + ROWS <= rows;
            if (euclidean)
                (several ? NAME(squares) : NAME(squares_one))(part, a + i * features + at, features, pack, result);
            else
                (several ? NAME(sizes) : NAME(sizes_one))(part, a + i * features + at, features, pack, result);
            for (int k = 0; k < (several ? ROWS : 1); k++, i++)
                for (int64_t j = 0; j < columns; j++) y[i * y_row + j] += result[k * NAME(WIDE) + j];
        }
    }
    for (int64_t i = 0; euclidean && i < rows; i++)
        for (int64_t j = 0; j < columns; j++) y[i * y_row + j] = SQUARE_ROOT(y[i * y_row + j]);
}

static void NAME(distances)(const pairing *p, int team) {
    int64_t m = p->m, n = p->n, features = p->features;
    int64_t high = (m + TALL - 1) / TALL, wide = (n + NAME(WIDE) - 1) / NAME(WIDE), blocks = p->batch * high * wide;
#pragma omp parallel for num_threads(team) if (team > 1)
    for (int64_t block = 0; block < blocks; block++) {
        int64_t batch = block / (high * wide), i = block / wide % high * TALL, j = block % wide * NAME(WIDE);
        NAME(block)
        ((const REAL *)p->a + (batch * m + i) * features, m - i < TALL ? m - i : TALL,
         (const REAL *)p->b + (batch * n + j) * features, n - j < NAME(WIDE) ? n - j : NAME(WIDE), features,
         (REAL *)p->y + (batch * m + i) * n + j, n, p->euclidean);
    }
}

/* ---- backward ---- */

/* out += Σ weight · (own − other), or its sign, over `near` other rows, for `vectors` vectors of features. */
static inline __attribute__((always_inline)) void NAME(pull)(const int vectors, const bool euclidean, REAL *out,
                                                             const REAL *own, const REAL *other, int64_t features,
                                                             const REAL *weight, int64_t near) {
    NAME(vector) sum[4], mine[4];
    UNROLLED for (int v = 0; v < vectors; v++) {
        sum[v] = *(const NAME(vector) *)(out + v * NAME(LANES));
        mine[v] = *(const NAME(vector) *)(own + v * NAME(LANES));
    }
    for (int64_t j = 0; j < near; j++) {
        const NAME(vector) w = weight[j] - (NAME(vector)){ 0 };
        UNROLLED for (int v = 0; v < vectors; v++) {
            NAME(vector) t = mine[v] - *(const NAME(vector) *)(other + j * features + v * NAME(LANES));
            if (euclidean)
                sum[v] += w * t;
            else
                sum[v] += (NAME(vector))((NAME(mask))w & (t > 0)) - (NAME(vector))((NAME(mask))w & (t < 0));
        }
    }
    UNROLLED for (int v = 0; v < vectors; v++) * (NAME(vector) *)(out + v * NAME(LANES)) = sum[v];
}

static inline __attribute__((always_inline)) void NAME(pull_row)(const bool euclidean, REAL *out, const REAL *own,
                                                                 const REAL *other, int64_t features,
                                                                 const REAL *weight, int64_t near) {
    int64_t d = 0;
    for (; d + 4 * NAME(LANES) <= features; d += 4 * NAME(LANES))
        NAME(pull)(4, euclidean, out + d, own + d, other + d, features, weight, near);
    for (; d + NAME(LANES) <= features; d += NAME(LANES))
        NAME(pull)(1, euclidean, out + d, own + d, other + d, features, weight, near);
    for (; d < features; d++)
        for (int64_t j = 0; j < near; j++) {
            REAL t = own[d] - other[j * features + d];
            out[d] += weight[j] * (euclidean ? t : (REAL)((t > 0) - (t < 0)));
        }
}

static void NAME(pull_all)(const pulls *p, int team) {
    int64_t pairs = p->rows * p->others;
#pragma omp parallel for num_threads(team) if (team > 1)
    for (int64_t i = 0; i < p->batch * p->rows; i++) {
        int64_t batch = i / p->rows, row = batch * pairs + i % p->rows * p->row;
        REAL *out = (REAL *)p->out + i * p->features, weight[NEAR];
        const REAL *own = (const REAL *)p->own + i * p->features;
        for (int64_t d = 0; d < p->features; d++) out[d] = 0;
        for (int64_t j = 0; j < p->others; j += NEAR) {
            int64_t near = p->others - j < NEAR ? p->others - j : NEAR;
            const REAL *dy = (const REAL *)p->dy + row + j * p->step, *y = (const REAL *)p->y + row + j * p->step;
            const REAL *other = (const REAL *)p->other + (batch * p->others + j) * p->features;
            for (int64_t k = 0; k < near; k++) {
                REAL g = dy[k * p->step], distance = p->euclidean ? y[k * p->step] : 1;
                weight[k] = distance == 0 ? 0 : g / distance;
            }
            if (p->euclidean)
                NAME(pull_row)(true, out, own, other, p->features, weight, near);
            else
                NAME(pull_row)(false, out, own, other, p->features, weight, near);
        }
    }
}

/* lapack_body.h: the factorisations for one type.  REAL, NAME(x), LAPACK(x) and TRSM are defined by lapack.c.
 *
 * LAPACK counts columns first: a matrix is copied in and out transposed.  Each function does one matrix of a batch in
 * `work`, and gives LAPACK's info: 0, or the place where it failed.
 */

/* Matrix `index` of a tensor, its batch axes broadcast to the plan's, columns first. */
static void NAME(load)(const plan *p, const wk_tensor *t, int64_t index, REAL *to /* (columns, rows) */) {
    int64_t rows = t->shape[t->rank - 2], columns = t->shape[t->rank - 1], offset = batch_offset(p, t, index);
    int64_t row = t->stride[t->rank - 2], column = t->stride[t->rank - 1];
    const REAL *from = (const REAL *)t->data + offset;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) to[j * rows + i] = from[i * row + j * column];
}

/* LAPACK's iterations may never end on infinities and NaN. */
static bool NAME(is_finite)(const REAL *a, int64_t count) {
    REAL zero = 0;
    for (int64_t i = 0; i < count; i++) zero += a[i] * 0;
    return zero == 0;
}

/* Back into a row-major output. */
static void NAME(store)(const wk_tensor *t, int64_t index, const REAL *from /* (columns, ld) */, int64_t ld) {
    int64_t rows = t->shape[t->rank - 2], columns = t->shape[t->rank - 1];
    REAL *to = (REAL *)t->data + index * rows * columns;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) to[i * columns + j] = from[j * ld + i];
}

static int NAME(cholesky)(const plan *p, int64_t index, void *work) {
    REAL *a = work;
    int n = p->n, info;
    NAME(load)(p, p->call->in[0], index, a);
    LAPACK(potrf)("L", &n, a, &n, &info);
    for (int j = 0; j < n; j++)
        for (int i = 0; i < j; i++) a[j * n + i] = 0;
    NAME(store)(p->call->out[0], index, a, n);
    return info;
}

static int NAME(solve)(const plan *p, int64_t index, void *work) {
    REAL *a = work, *b = a + (int64_t)p->n * p->n;
    int n = p->n, columns = p->m, info, *pivots = (int *)(void *)(b + (int64_t)p->n * p->m);
    NAME(load)(p, p->call->in[0], index, a);
    NAME(load)(p, p->call->in[1], index, b);
    LAPACK(gesv)(&n, &columns, a, &n, pivots, b, &n, &info);
    NAME(store)(p->call->out[0], index, b, n);
    return info;
}

static int NAME(triangular)(const plan *p, int64_t index, void *work) {
    const wk_solve_triangular_opts *opts = p->call->attrs;
    REAL *a = work, *b = a + (int64_t)p->n * p->n;
    int n = p->n, columns = p->m;
    NAME(load)(p, p->call->in[0], index, a);
    NAME(load)(p, p->call->in[1], index, b);
    TRSM(CblasColMajor, CblasLeft, opts->upper ? CblasUpper : CblasLower, CblasNoTrans,
         opts->unit_diagonal ? CblasUnit : CblasNonUnit, n, columns, 1, a, n, b, n);
    NAME(store)(p->call->out[0], index, b, n);
    return 0;
}

/* The sign of the permutation and of the diagonal, and the logarithm of its size. */
static int NAME(slogdet)(const plan *p, int64_t index, void *work) {
    REAL *a = work, sign = 1, size = 0;
    int n = p->n, info = 0, *pivots = (int *)(void *)(a + (int64_t)p->n * p->n);
    NAME(load)(p, p->call->in[0], index, a);
    if (n > 0) LAPACK(getrf)(&n, &n, a, &n, pivots, &info);
    for (int i = 0; i < n; i++) {
        REAL d = a[i * n + i];
        if ((d < 0) != (pivots[i] != i + 1)) sign = -sign;
        if (d == 0) sign = 0;
        size += (REAL)log(fabs((double)d));
    }
    ((REAL *)p->call->out[0]->data)[index] = sign;
    ((REAL *)p->call->out[1]->data)[index] = size;
    return info < 0 ? info : 0; /* a singular matrix has a determinant */
}

/* R's diagonal is made not negative: then the factors are unique, whatever library made them. */
static int NAME(qr)(const plan *p, int64_t index, void *work) {
    int m = p->m, n = p->n, k = m < n ? m : n, size = p->work_elements, info;
    REAL *a = work, *r = a + (int64_t)m * n, *tau = r + (int64_t)k * n, *space = tau + k;
    NAME(load)(p, p->call->in[0], index, a);
    LAPACK(geqrf)(&m, &n, a, &m, tau, space, &size, &info);
    if (info) return info;
    for (int j = 0; j < n; j++)
        for (int i = 0; i < k; i++) r[j * k + i] = i <= j ? a[j * m + i] : 0;
    LAPACK(orgqr)(&m, &k, &k, a, &m, tau, space, &size, &info);
    for (int i = 0; i < k; i++) {
        if (!(r[i * k + i] < 0)) continue;
        for (int j = 0; j < n; j++) r[j * k + i] = -r[j * k + i];
        for (int j = 0; j < m; j++) a[i * m + j] = -a[i * m + j];
    }
    NAME(store)(p->call->out[0], index, a, m);
    NAME(store)(p->call->out[1], index, r, k);
    return info;
}

/* The largest element of a vector, the first among equals, is made positive; gives the factor. */
static REAL NAME(turn)(REAL *v, int count) {
    REAL most = 0;
    for (int i = 0; i < count; i++)
        if ((v[i] < 0 ? -v[i] : v[i]) > (most < 0 ? -most : most)) most = v[i];
    if (!(most < 0)) return 1;
    for (int i = 0; i < count; i++) v[i] = -v[i];
    return -1;
}

static int NAME(eigh)(const plan *p, int64_t index, void *work) {
    int n = p->n, size = p->work_elements, whole = p->whole_elements, info;
    REAL *a = work, *w = a + (int64_t)n * n, *space = w + n;
    int *integers = (int *)(void *)(space + size);
    NAME(load)(p, p->call->in[0], index, a);
    if (!NAME(is_finite)(a, (int64_t)n * n)) return 1;
    LAPACK(syevd)("V", "L", &n, a, &n, w, space, &size, integers, &whole, &info);
    for (int j = 0; j < n && info == 0; j++) {
        (void)NAME(turn)(a + (int64_t)j * n, n);
        ((REAL *)p->call->out[0]->data)[index * n + j] = w[j];
    }
    NAME(store)(p->call->out[1], index, a, n);
    return info;
}

static int NAME(svd)(const plan *p, int64_t index, void *work) {
    int m = p->m, n = p->n, k = m < n ? m : n, size = p->work_elements, info;
    REAL *a = work, *u = a + (int64_t)m * n, *s = u + (int64_t)m * k, *vt = s + k, *space = vt + (int64_t)k * n;
    int *integers = (int *)(void *)(space + size);
    NAME(load)(p, p->call->in[0], index, a);
    if (!NAME(is_finite)(a, (int64_t)m * n)) return 1;
    LAPACK(gesdd)("S", &m, &n, a, &m, s, u, &m, vt, &k, space, &size, integers, &info);
    for (int i = 0; i < k && info == 0; i++) {
        if (NAME(turn)(u + (int64_t)i * m, m) < 0)
            for (int j = 0; j < n; j++) vt[j * k + i] = -vt[j * k + i];
        ((REAL *)p->call->out[1]->data)[index * k + i] = s[i];
    }
    NAME(store)(p->call->out[0], index, u, m);
    NAME(store)(p->call->out[2], index, vt, k);
    return info;
}

/* ---- how much working memory LAPACK wants ---- */

static int NAME(query)(plan *p, const char *what) {
    int m = p->m, n = p->n, k = m < n ? m : n, ask = -1, info = 0, whole = 1;
    REAL nothing[1] = { 0 }, wanted = 0, more = 0;
    int64_t least = 1;
    if (strcmp(what, "qr") == 0) {
        LAPACK(geqrf)(&m, &n, nothing, &m, nothing, &wanted, &ask, &info);
        if (info == 0) LAPACK(orgqr)(&m, &k, &k, nothing, &m, nothing, &more, &ask, &info);
    } else if (strcmp(what, "eigh") == 0) {
        LAPACK(syevd)("V", "L", &n, nothing, &n, nothing, &wanted, &ask, &whole, &ask, &info);
    } else if (strcmp(what, "svd") == 0) {
        LAPACK(gesdd)("S", &m, &n, nothing, &m, nothing, nothing, &m, nothing, &k, &wanted, &ask, &whole, &info);
        whole = 8 * k;
    }
    if (more > wanted) wanted = more;
    p->work_elements = (int)((double)wanted > (double)least ? (double)wanted + 1 : (double)least);
    p->whole_elements = whole;
    return info;
}

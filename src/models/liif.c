/* liif.c: a picture as a function of continuous coordinates.  Chen, Liu & Wang 2021, "Learning continuous image
 * representation with local implicit image function".
 *
 * An encoder gives a picture's features; a perceptron tells the colour at a place from the feature that is nearest to
 * it and the way from there.  So colours jump where the nearest feature changes, unless the four nearest are asked
 * and averaged (local ensemble), each weighted by the area of the rectangle between the place and the feature
 * opposite.
 */
#include "models/models.h"

enum { NEIGHBOURS = 4 };

typedef struct liif {
    wk_module base;
    wk_module *encoder, *imnet;
    bool unfolds, ensembles, decodes_cells;
} liif;

/* a · t + b of the last axis' pair, (y, x). */
typedef struct pair {
    double y, x;
} pair;
static wk_tensor *affine_pair(wk_tensor *t, pair a, pair b) {
    const int last = wk_rank(t) - 1;
    wk_tensor *both[] = { wk_affine(wk_slice(t, last, 0, 1, 1), (wk_affine_opts){ a.y, b.y }),
                          wk_affine(wk_slice(t, last, 1, 2, 1), (wk_affine_opts){ a.x, b.x }) };
    return wk_concat(both, 2, last);
}

/* The centres of `count` pixels of [-1, 1]. */
static wk_tensor *centres(int64_t count, wk_dtype dtype) {
    const wk_affine_opts place = { 2 / (double)count, -1 + 1 / (double)count };
    return wk_affine(wk_cast(wk_arange(count), dtype), place);
}

/* Where each feature lies: (N, 2, H, W). */
static wk_tensor *places_of(wk_tensor *feature) {
    const int64_t n = wk_size(feature, 0), h = wk_size(feature, 2), w = wk_size(feature, 3);
    const wk_dtype dtype = wk_dtype_get(feature);
    wk_tensor *both[] = { wk_expand(wk_reshape(centres(h, dtype), WK_DIMS(1, 1, h, 1)), WK_DIMS(n, 1, h, w)),
                          wk_expand(wk_reshape(centres(w, dtype), WK_DIMS(1, 1, 1, w)), WK_DIMS(n, 1, h, w)) };
    return wk_concat(both, 2, 1);
}

/* What lies nearest to each place: (N, C, H, W) at coord (N, Q, 2) → (N, Q, C). */
static wk_tensor *nearest(wk_tensor *x, wk_tensor *coord) {
    wk_tensor *grid = wk_unsqueeze(wk_flip(coord, (wk_flip_opts){ .axes = WK_DIMS(2) }), 1);
    wk_tensor *found = wk_grid_sample(x, grid, (wk_grid_sample_opts){ .mode = WK_GRID_NEAREST });
    return wk_transpose(wk_select(found, 2, 0), 1, 2);
}

/* A query as one of its neighbours answers it. */
typedef struct answer {
    wk_tensor *colour, *area; /* (N, Q, colours), (N, Q, 1) */
} answer;

typedef struct query {
    wk_tensor *feature, *places, *coord, *cell; /* cell in units of features, or NULL */
    pair size;                                  /* of the features: H, W */
} query;

/* Half a feature's width away the nearest one is the neighbour on that side.  The small shift decides ties. */
static answer ask(const liif *m, const query *q, pair side) {
    const double shift = m->ensembles ? 1e-6 : 0, most = 1 - 1e-6;
    wk_tensor *at =
        affine_pair(q->coord, (pair){ 1, 1 }, (pair){ side.y / q->size.y + shift, side.x / q->size.x + shift });
    at = wk_clamp(at, (wk_clamp_opts){ WK_SET(-most), WK_SET(most) });
    wk_tensor *way = affine_pair(wk_sub(q->coord, nearest(q->places, at)), q->size, (pair){ 0, 0 });
    wk_tensor *in[] = { nearest(q->feature, at), way, q->cell };
    wk_tensor *x = wk_concat(in, q->cell ? 3 : 2, 2);
    if (!x) return (answer){ NULL, NULL };
    wk_tensor *colour = wk_forward(m->imnet, wk_reshape(x, WK_DIMS(-1, wk_size(x, 2))));
    wk_tensor *area = wk_abs(wk_mul(wk_slice(way, 2, 0, 1, 1), wk_slice(way, 2, 1, 2, 1)));
    return (answer){ wk_reshape(colour, WK_DIMS(wk_size(x, 0), wk_size(x, 1), -1)),
                     wk_affine(area, (wk_affine_opts){ 1, 1e-9 }) };
}

static bool pairs_fit(const liif *m, const char *what, const wk_tensor *t, int64_t n, int64_t queries) {
    char text[160] = "nothing";
    if (t && wk_rank(t) == 3 && wk_size(t, 0) == n && wk_size(t, 2) == 2 && (queries < 0 || wk_size(t, 1) == queries))
        return true;
    if (t) (void)wk_describe(t, text, sizeof text);
    if (!wk_failed())
        (void)wk_fail(WK_SHAPE, "LIIF (layer \"%s\"): %s is %s, expected (%lld, Q, 2)%s", m->base.path, what, text,
                      (long long)n, queries < 0 ? "" : " with as many queries as coord has");
    return false;
}

static wk_tensor *query_all(const liif *m, wk_tensor *feature, wk_tensor *coord, wk_tensor *cell) {
    if (wk_failed() || !pairs_fit(m, "coord", coord, wk_size(feature, 0), -1)) return NULL;
    if (m->decodes_cells && !pairs_fit(m, "cell", cell, wk_size(feature, 0), wk_size(coord, 1))) return NULL;
    const int64_t n = wk_size(feature, 0), c = wk_size(feature, 1), h = wk_size(feature, 2), w = wk_size(feature, 3);
    const wk_dtype dtype = wk_dtype_get(feature);
    query q = { .size = { (double)h, (double)w }, .coord = wk_cast(coord, dtype), .places = places_of(feature) };
    const wk_unfold_opts around = { .kernel = { 3, 3 }, .padding = { 1, 1 } };
    q.feature = m->unfolds ? wk_reshape(wk_unfold(feature, around), WK_DIMS(n, 9 * c, h, w)) : feature;
    q.cell = m->decodes_cells ? affine_pair(wk_cast(cell, dtype), q.size, (pair){ 0, 0 }) : NULL;
    if (!m->ensembles) return ask(m, &q, (pair){ 0, 0 }).colour;
    answer of[NEIGHBOURS];
    for (int i = 0; i < NEIGHBOURS; i++) of[i] = ask(m, &q, (pair){ i < 2 ? -1 : 1, i % 2 ? 1 : -1 });
    wk_tensor *all = of[0].area, *sum = NULL;
    for (int i = 1; i < NEIGHBOURS; i++) all = wk_add(all, of[i].area);
    for (int i = 0; i < NEIGHBOURS; i++) {
        wk_tensor *part = wk_mul(of[i].colour, wk_div(of[NEIGHBOURS - 1 - i].area, all));
        sum = sum ? wk_add(sum, part) : part;
    }
    return sum;
}

static wk_status liif_forward(wk_module *self, const wk_args *in, wk_args *out) {
    static const char *const names[] = { "coord", "cell" };
    const liif *m = (const liif *)self;
    wk_tensor *more[2];
    if (!wk__slots(self, in, names, 2, more)) return wk_error_code();
    wk_tensor *colours = query_all(m, wk_forward(m->encoder, in->slot[0].tensor), more[0], more[1]);
    *out = (wk_args){ .count = 1, .slot = { { NULL, colours } } };
    return colours ? WK_OK : wk_error_code();
}
static const wk_module_class liif_class = { .name = "LIIF", .size = sizeof(liif), .forward_args = liif_forward };

static const liif *liif_of(const char *who, const wk_module *model) {
    if (wk_failed()) return NULL;
    if (model->class_ == &liif_class) return (const liif *)model;
    return wk_fail_null(WK_INVALID, "%s: the model is a %s, expected a LIIF", who, model->class_->name);
}

wk_tensor *wk_liif_forward(wk_module *model, wk_tensor *x, wk_tensor *coord, wk_tensor *cell) {
    wk_args in = { .count = cell ? 3 : 2, .slot = { { NULL, x }, { "coord", coord }, { "cell", cell } } }, out;
    return wk_forward_args(model, &in, &out) == WK_OK ? out.slot[0].tensor : NULL;
}

wk_tensor *wk_liif_encode(wk_module *model, wk_tensor *x) {
    const liif *m = liif_of("wk_liif_encode", model);
    return m ? wk_forward(m->encoder, x) : NULL;
}

wk_tensor *wk_liif_query(wk_module *model, wk_tensor *feature, wk_tensor *coord, wk_tensor *cell) {
    const liif *m = liif_of("wk_liif_query", model);
    return m && feature ? query_all(m, feature, coord, cell) : NULL;
}

int64_t wk_liif_width(int64_t features, wk_liif_opts opts) {
    return features * (opts.no_feat_unfold ? 1 : 9) + 2 + (opts.no_cell_decode ? 0 : 2);
}

wk_module *wk_liif(wk_module *encoder, wk_module *imnet, wk_liif_opts opts) {
    liif *m = encoder && imnet ? (liif *)wk_module_create(&liif_class) : NULL;
    if (!m) {
        wk_module_destroy(encoder);
        wk_module_destroy(imnet);
        return wk_failed() ? NULL : wk_fail_null(WK_INVALID, "wk_liif: encoder or imnet is NULL");
    }
    m->unfolds = !opts.no_feat_unfold, m->ensembles = !opts.no_local_ensemble;
    m->decodes_cells = !opts.no_cell_decode;
    m->encoder = wk_module_add(&m->base, "encoder", encoder);
    m->imnet = wk_module_add(&m->base, "imnet", imnet);
    return wk__finished(&m->base);
}

/* ---- coordinates ---- */

wk_tensor *wk_liif_coordinates(int64_t batch, int64_t height, int64_t width) {
    if (wk_failed() || !wk__size_fits("wk_liif_coordinates", "batch", batch, 1)
        || !wk__size_fits("wk_liif_coordinates", "height", height, 1)
        || !wk__size_fits("wk_liif_coordinates", "width", width, 1))
        return NULL;
    wk_tensor *both[] = {
        wk_expand(wk_reshape(centres(height, WK_F32), WK_DIMS(1, height, 1, 1)), WK_DIMS(batch, height, width, 1)),
        wk_expand(wk_reshape(centres(width, WK_F32), WK_DIMS(1, 1, width, 1)), WK_DIMS(batch, height, width, 1))
    };
    return wk_reshape(wk_concat(both, 2, 3), WK_DIMS(batch, height * width, 2));
}

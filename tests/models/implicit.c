/* implicit.c: EDSR and LIIF against their formulas in PyTorch (tests/golden/models/implicit.py). */
#define WK_NO_CALL_SITES
#include "models/check.h"
#include "support/refused.h"

#include <math.h>
#include <string.h>

#define GOLDEN "models/implicit.safetensors"
#define MAKE(id, call)           \
    static wk_module *id(void) { \
        return call;             \
    }
#define INPUT(id, ...)                            \
    static wk_tensor *id(void) {                  \
        return model_noise(WK_DIMS(__VA_ARGS__)); \
    }

static wk_module *liif_of(const int64_t *hidden, int count, wk_liif_opts opts) {
    int64_t widths[4] = { wk_liif_width(4, opts) };
    for (int i = 0; i < count; i++) widths[1 + i] = hidden[i];
    widths[1 + count] = 3;
    wk_module *encoder = wk_edsr((wk_edsr_opts){ .blocks = 2, .width = 4, .no_upsampling = true });
    return wk_liif(encoder, wk_mlp_of(widths, count + 2), opts);
}
static const int64_t eights[] = { 8, 8 };
MAKE(edsr_features, wk_edsr((wk_edsr_opts){ .blocks = 2, .width = 6, .res_scale = WK_SET(0.5), .no_upsampling = true }))
MAKE(edsr_2, wk_edsr((wk_edsr_opts){ .blocks = 1, .width = 4 }))
MAKE(edsr_3, wk_edsr((wk_edsr_opts){ .blocks = 1, .width = 4, .channels = 1, .scale = 3 }))
MAKE(edsr_4, wk_edsr((wk_edsr_opts){ .blocks = 1, .width = 4, .scale = 4 }))
MAKE(liif, liif_of(eights, 2, (wk_liif_opts){ .no_cell_decode = false }))
MAKE(liif_alone,
     liif_of(eights, 1, (wk_liif_opts){ .no_feat_unfold = true, .no_local_ensemble = true, .no_cell_decode = true }))
MAKE(liif_no_cell, liif_of(eights, 1, (wk_liif_opts){ .no_cell_decode = true }))
INPUT(odd, 2, 3, 7, 9)
INPUT(small, 2, 3, 5, 6)
INPUT(gray, 2, 1, 5, 6)
INPUT(six, 2, 3, 6, 5)
INPUT(six_of_four, 2, 4, 6, 5)

/* Those of implicit.py. */
static wk_tensor *places(int64_t n, int64_t q) {
    wk_tensor *t = wk_empty(WK_F32, WK_DIMS(n, q, 2));
    for (int64_t i = 0; i < wk_count(t); i++) ((float *)wk_data(t))[i] = (float)(0.99 * sin((double)i * 1.7 + 0.3));
    return t;
}
static wk_tensor *cells(int64_t n, int64_t q) {
    return wk_full(WK_F32, WK_DIMS(n, q, 2), 0.125);
}
static wk_tensor *ask(wk_module *model, wk_tensor *x) {
    return wk_liif_forward(model, x, places(2, 7), cells(2, 7));
}

#define CASE(id, input, run)                                              \
    Test(implicit, id##_as_pytorch) {                                     \
        const model_case c = { #id, id, input, run, MODEL_REFILL, 5e-6 }; \
        model_check_exact(GOLDEN, &c, 1);                                 \
    }
CASE(edsr_features, odd, NULL)
CASE(edsr_2, small, NULL)
CASE(edsr_3, gray, NULL)
CASE(edsr_4, small, NULL)
CASE(liif, six, ask)
CASE(liif_alone, six, ask)
CASE(liif_no_cell, six, ask)

Test(implicit, replayed_steps) {
    const model_case cases[] = { { "liif", liif, six, ask, 0, 0 }, { "edsr_4", edsr_4, small, NULL, 0, 0 } };
    model_check_replay(cases, 2);
}

/* Features once and queries in two parts are what a forward gives. */
Test(implicit, queries_in_parts) {
    wk_scope scope = wk_scope_begin();
    wk_manual_seed(3);
    wk_module *model = liif();
    wk_tensor *x = six(), *coord = places(2, 7), *cell = cells(2, 7), *whole = wk_liif_forward(model, x, coord, cell);
    wk_tensor *feature = wk_liif_encode(model, x);
    wk_tensor *parts[] = { wk_liif_query(model, feature, wk_slice(coord, 1, 0, 3, 1), wk_slice(cell, 1, 0, 3, 1)),
                           wk_liif_query(model, feature, wk_slice(coord, 1, 3, 7, 1), wk_slice(cell, 1, 3, 7, 1)) };
    wk_tensor *joined = wk_concat(parts, 2, 1);
    cr_assert(whole && joined, "%s", wk_message());
    golden_expect_close(wk_detach(joined), wk_detach(whole), 1e-6, "parts");
    wk_module_destroy(model);
    wk_scope_end(scope);
}

/* Row by row, and by their centres. */
Test(implicit, coordinates_are_centres) {
    static const double wanted[] = { -0.5, -2.0 / 3, -0.5, 0, -0.5, 2.0 / 3, 0.5, -2.0 / 3, 0.5, 0, 0.5, 2.0 / 3 };
    wk_scope scope = wk_scope_begin();
    wk_tensor *at = wk_liif_coordinates(2, 2, 3);
    cr_assert(at && wk_count(at) == 24 && wk_size(at, 1) == 6, "%s", wk_message());
    for (int i = 0; i < 24; i++) cr_expect_float_eq(wk_at(at, i), wanted[i % 12], 1e-6, "%d: %g", i, wk_at(at, i));
    wk_scope_end(scope);
}

Test(implicit, what_is_refused) {
    const int64_t one[] = { 4 }, none[] = { 4, 0, 3 };
    REFUSED_PLAINLY(wk_edsr((wk_edsr_opts){ .scale = 5 }), WK_INVALID, "wk_edsr: scale is 5, expected 2, 3 or 4");
    REFUSED_PLAINLY(wk_edsr((wk_edsr_opts){ .width = -1 }), WK_INVALID, "wk_edsr: width is -1, expected 1 to 16777216");
    REFUSED_PLAINLY(wk_mlp_of(one, 1), WK_INVALID, "wk_mlp_of: 1 widths, expected at least 2");
    REFUSED_PLAINLY(wk_mlp_of(none, 3), WK_INVALID, "wk_mlp_of: a width is 0, expected 1 to 16777216");
    REFUSED_PLAINLY(wk_liif(edsr_2(), NULL, (wk_liif_opts){ .no_cell_decode = true }), WK_INVALID,
                    "wk_liif: encoder or imnet is NULL");
    wk_scope scope = wk_scope_begin();
    wk_module *model = liif(), *other = edsr_2();
    REFUSED_PLAINLY(wk_liif_forward(model, six(), places(1, 7), cells(2, 7)), WK_SHAPE,
                    "LIIF (layer \"\"): coord is (1, 7, 2) f32, expected (2, Q, 2)");
    REFUSED_PLAINLY(wk_liif_forward(model, six(), places(2, 7), cells(2, 5)), WK_SHAPE,
                    "LIIF (layer \"\"): cell is (2, 5, 2) f32, expected (2, Q, 2) with as many queries as coord has");
    REFUSED_PLAINLY(wk_liif_forward(model, six(), places(2, 7), NULL), WK_SHAPE,
                    "LIIF (layer \"\"): cell is nothing, expected (2, Q, 2) with as many queries as coord has");
    REFUSED_PLAINLY(wk_liif_encode(other, six()), WK_INVALID, "wk_liif_encode: the model is a EDSR, expected a LIIF");
    REFUSED_PLAINLY(wk_forward(other, six_of_four()), WK_SHAPE,
                    "EDSR (layer \"\"): x (2, 4, 6, 5) f32, expected (N, 3, H, W)");
    wk_module_destroy(model);
    wk_module_destroy(other);
    wk_scope_end(scope);
}

/* tuning.h: which of several implementations computes a product or a convolution, as the CPU's choice and those that
 * measure it (`wick bench ops --peer onednn`, `wick bench tune`) speak of it.
 *
 * A choice is made by bucket: the operation, the dtype, a form (transposes of a product, kind of a convolution's
 * filter) and each size to the nearest step of its scale.  Tuning tables (docs/tuning.md) say something of some
 * buckets; of the others the rules of kernels/cpu/choice.c do.
 */
#ifndef WICK_SRC_TENSOR_TUNING_H
#define WICK_SRC_TENSOR_TUNING_H

#include "wick/op.h"

/* ---- implementations ---- */

/* Every implementation once: "onednn" and "openblas" of products, "direct" and "winograd" (oneDNN's) and "own-winograd"
 * of convolutions. */
/* clang-format off */
#define WK_BY_MAP(X)                                                                                  \
    X(OWN, "own") X(OPENBLAS, "openblas") X(ONEDNN, "onednn") X(DIRECT, "direct")                     \
    X(WINOGRAD, "winograd") X(OWN_WINOGRAD, "own-winograd")
/* clang-format on */
typedef enum wk_by {
    WK_BY_CHOICE, /* nobody has said; as is thought best */
#define WK_BY_ENUM(name, text) WK_BY_##name,
    WK_BY_MAP(WK_BY_ENUM)
#undef WK_BY_ENUM
        WK_BY_COUNT
} wk_by;
WK_API const char *wk__by_name(wk_by by);

/* What a thread wants to see used, for measuring. */
typedef struct wk__forced {
    wk_by product, convolution; /* WK_BY_CHOICE: as it would be chosen without a table of the user's own */
    bool team;                  /* OpenBLAS may use the team for large products too; else it stays on one thread */
    int64_t asked, declined;    /* counted: calls for which one is forced, and those that it did not take */
    wk_by last;                 /* set: what was taken for the last product or convolution */
} wk__forced;
/* On the calling thread, until this is called with NULL. */
WK_API void wk__cpu_force(wk__forced *forced);

/* ---- buckets ---- */

typedef enum wk__tuned_op {
    WK__TUNED_PRODUCT,
    WK__TUNED_CONV,
    WK__TUNED_CONV_INPUT,
    WK__TUNED_CONV_WEIGHT,
    WK__TUNED_OPS
} wk__tuned_op;
enum { WK__TUNED_DTYPES = 2, WK__TUNED_FORMS = 4, WK__TUNED_SIZES = 5, WK__TUNED_STEPS = 13 };

typedef struct wk__bucket {
    wk__tuned_op op;
    int dtype;                 /* f32, bf16 */
    int form;                  /* nn, nt, tn, tt; 1x1, 3x3, depthwise, other */
    int step[WK__TUNED_SIZES]; /* of products: batch, m, n, k; of convolutions: n, c, k, side;
                                  of the weights' gradient the threads too */
} wk__bucket;

WK_API extern const char *const wk__tuned_op_names[WK__TUNED_OPS];
WK_API wk_dtype wk__tuned_dtype(int dtype);
WK_API const char *wk__tuned_form_name(wk__tuned_op op, int form);
/* Sizes of an operation, their names, and the steps that each has: from `least` to `most` (INT64_MAX: there is no end),
 * measured at `middle`. */
WK_API int wk__tuned_sizes(wk__tuned_op op);
WK_API const char *wk__tuned_size_name(wk__tuned_op op, int size);
WK_API int wk__tuned_steps(wk__tuned_op op, int size);
typedef struct wk__tuned_step {
    int64_t least, most, middle;
} wk__tuned_step;
WK_API wk__tuned_step wk__tuned_step_get(wk__tuned_op op, int size, int step);
/* "m=46-90", "m=2897-", "batch=1" */
WK_API void wk__tuned_step_text(wk__tuned_op op, int size, int step, char *text, size_t length);
/* Which step a size falls into; sizes below 1 count as 1. */
WK_API int wk__tuned_step_of(wk__tuned_op op, int size, int64_t value);

/* ---- tables ---- */

#define WK__TUNING_FIRST_LINE "wick tuning 1"
/* What the loaded tables say of a bucket (`own`: the user's, then the shipped one; else that alone); WK_BY_CHOICE:
 * nothing. */
WK_API wk_by wk__tuning_of(const wk__bucket *bucket, bool own);
/* Where the tables lie that were looked for, "" if none was; and whether they were loaded. */
typedef struct wk__tuning_state {
    char shipped[512], own[512];
    bool shipped_loaded, own_loaded;
    char family[40]; /* of this processor */
} wk__tuning_state;
WK_API const wk__tuning_state *wk__tuning(void);
/* Whether a process would use the file as a table; if not, `problem` says where and why. */
WK_API bool wk__tuning_check(const char *path, char *problem, size_t size);
/* "oneDNN 2.6.3", "OpenBLAS 0.3.21"; "" in a build without libraries. */
WK_API const char *wk__onednn_version(void);
WK_API const char *wk__openblas_version(void);

#endif

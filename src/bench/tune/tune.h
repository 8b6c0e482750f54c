/* tune.h: what the files of `wick bench tune` share. */
#ifndef WICK_SRC_BENCH_TUNE_H
#define WICK_SRC_BENCH_TUNE_H

#include "base/base.h"
#include "bench/bench.h"
#include "tensor/op_attrs.h"

/* ---- operands.c ---- */

/* A bucket, and operands of its middle (or of the shape that was asked for) made ready to run. */
typedef struct wk__tune_case {
    wk__bucket bucket;
    int64_t size[WK__TUNED_SIZES]; /* as the bucket's steps */
    int threads;                   /* it is measured on; a product on one thread too */
    wk__subject subject;
    wk_conv_grad_attrs attrs; /* begins with the forward row's */
} wk__tune_case;

/* Multiplications of one call. */
double wk__tune_work(const wk__tune_case *c);
/* Whether there are such shapes; whether one is measured where no shape was asked for. */
bool wk__tune_exists(const wk__tune_case *c);
bool wk__tune_is_worth(const wk__tune_case *c);
/* Draw the operands.  On failure the case needs no end. */
wk_status wk__tune_case_begin(wk__tune_case *c);
void wk__tune_case_end(wk__tune_case *c);

/* ---- contest.c ---- */

/* Time what can compute the case against what would be chosen.  `line` receives the table's line if another one is
 * faster, else "". */
wk_status wk__tune_contest(const wk__tune_case *c, double seconds, char *line, size_t size);
/* "product f32 nt batch=1 m=46-90 n=6-11 k=91-181" */
void wk__tune_bucket_text(const wk__bucket *bucket, char *text, size_t size);

/* ---- table.c ---- */

/* Errors: WK_FORMAT, there is a file that is no table for this processor. */
wk_status wk__tune_check_file(const char *path);
/* Write the lines found to `path`, together with those of a table that is there already but for the buckets that were
 * measured now.  Both texts have one bucket a line. */
wk_status wk__tune_write(const char *path, const char *found, const char *measured, int threads, int *kept);

#endif

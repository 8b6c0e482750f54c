/* tuning.h: what the files of kernels/cpu/tuning share. */
#ifndef WICK_KERNELS_CPU_TUNING_H
#define WICK_KERNELS_CPU_TUNING_H

#include "tensor/tuning.h"

enum { WK_TUNING_CELLS = 2 * WK__TUNED_STEPS * WK__TUNED_STEPS * WK__TUNED_STEPS }; /* of a form, at most */

/* A table: for each bucket what is to compute it (wk_by), 0 where the table says nothing of it. */
typedef struct wk_tuning_table {
    bool any;
    uint8_t by[WK__TUNED_OPS][WK__TUNED_DTYPES][WK__TUNED_FORMS][WK_TUNING_CELLS];
} wk_tuning_table;

/* Which of a form's cells. */
int wk_tuning_cell(const wk__bucket *bucket);

/* Read a file into `table`, for a processor of `family`.  False if it cannot be opened, and if it is not to be used:
 * then `problem` says where and why, and the table says nothing. */
bool wk_tuning_read(const char *path, const char *family, wk_tuning_table *table, char *problem, size_t size);

#endif

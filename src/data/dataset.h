/* dataset.h: what datasets share. */
#ifndef WICK_SRC_DATA_DATASET_H
#define WICK_SRC_DATA_DATASET_H

#include "base/base.h"
#include "wick/data.h"

/* Of one item. */
size_t wk__item_bytes(wk_dtype dtype, wk_dims dims);
/* Copies of (dataset->classes) names, or nothing for NULL; to be freed by the dataset's destroy. */
wk_status wk__class_names_keep(wk_dataset *dataset, const char *const *names);
void wk__class_names_free(wk_dataset *dataset);
/* What wk_dataset_balance made. */
void wk__dataset_forget_weights(wk_dataset *dataset);

#endif

/* datasets.h: what a run's file says of items, whatever data they are of. */
#ifndef WICK_SRC_TRAIN_DATASETS_H
#define WICK_SRC_TRAIN_DATASETS_H

#include "wick/train/registry.h"

/* Of all data: the trainer reads them. */
#define WK__DATA_ARGS                                                          \
    { "batch_size", WK_ARG_INT, "64", "items a rank takes at a time" },        \
        { "workers", WK_ARG_INT, "1", "threads that fetch batches" }, {        \
        "shuffle", WK_ARG_BOOL, "true", "train in another order in each epoch" \
    }
/* What wk__prepare_items and wk__weigh_items read. */
#define WK__ITEM_ARGS                                                                                                \
    { "labels", WK_ARG_MAP, "", "a class's name to its new one; null leaves its items out" },                        \
        { "val_part", WK_ARG_NUMBER, "0", "of the items to train on, to evaluate on instead" },                      \
        { "stratify", WK_ARG_BOOL, "true", "of each class alike" }, { "split_seed", WK_ARG_INT, "0", "draws them" }, \
        { "oversample", WK_ARG_BOOL, "false", "draw items so that classes come equally often" }, {                   \
        "class_weights", WK_ARG_MAP, "", "a class's name to how often its items are drawn (1)"                       \
    }
/* What wk__prepare_pictures reads besides. */
#define WK__PICTURE_ARGS                                                                        \
    { "transforms", WK_ARG_LIST, "", "what is done to pictures to train on: specs, in order" }, \
        { "val_transforms", WK_ARG_LIST, "", "and to those to evaluate on" },                   \
        { "mixup", WK_ARG_NUMBER, "0", "mix the pictures of a batch: alpha" }, {                \
        "cutmix", WK_ARG_NUMBER, "0", "put a part of one into another: alpha"                   \
    }

/* `class_names`: as many as there are classes, or none at all (*found is NULL).  They live as long as the file's text.
 */
enum { WK__MOST_CLASS_NAMES = 256 };
wk_status wk__read_class_names(const wk_config *args, int classes, const char **names /* (WK__MOST_CLASS_NAMES) */,
                               const char *const **found);
/* Classes renamed, items split. */
wk_status wk__prepare_items(const wk_config *args, wk_dataset **train, wk_dataset **evaluation);
wk_status wk__weigh_items(const wk_config *args, wk_dataset *train);
/* Both, and transforms and mixing in their places.  `normalise` (or NULL): what is done to values where a list of
 * transforms does not say. */
wk_status wk__prepare_pictures(const wk_config *args, const wk_normalise_opts *normalise, wk_dataset **train,
                               wk_dataset **evaluation);

#endif

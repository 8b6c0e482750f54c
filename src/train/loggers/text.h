/* text.h: where a logger's files lie, and how Python writes a number. */
#ifndef WICK_SRC_TRAIN_LOGGERS_TEXT_H
#define WICK_SRC_TRAIN_LOGGERS_TEXT_H

#include "wick/train.h"

/* FOLDER/NAME/version_N, made: N one more than the largest there is; on a resume the largest.  NULL with an error
 * pending. */
char *wk__version_folder(const char *folder, const char *name, int64_t resumed_step);
/* repr(float) in Python: the shortest digits that read back equal, "1e-05", "0.1", "16.0", "nan", "inf". */
WK_API const char *wk__python_float(double value, char text[40]);

#define WK__LOGGER(name)                     \
    extern const wk_arg wk__##name##_args[]; \
    wk_logger *wk__##name##_build(const wk_config *args);
WK__LOGGER(csv)
WK__LOGGER(jsonl)
WK__LOGGER(tensorboard)
#undef WK__LOGGER

#endif

/* models.h: what the files of this folder share. */
#ifndef WICK_MODELS_SUPPORT_H
#define WICK_MODELS_SUPPORT_H

#include "base/base.h"
#include "wick/models.h"

/* An option whose zero means a default. */
static inline int64_t wk__or(int64_t given, int64_t otherwise) {
    return given ? given : otherwise;
}

#endif

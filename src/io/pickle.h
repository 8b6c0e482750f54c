/* pickle.h: the part of Python's pickles that tensors and plain values need.  Nothing of it is ever run. */
#ifndef WICK_SRC_IO_PICKLE_H
#define WICK_SRC_IO_PICKLE_H

#include "base/base.h"
#include "wick/tensor.h"

typedef enum wk__pickled_kind {
    WK__PICKLED_NONE,
    WK__PICKLED_BOOL,
    WK__PICKLED_INTEGER,
    WK__PICKLED_FLOAT,
    WK__PICKLED_TEXT,
    WK__PICKLED_TUPLE,
    WK__PICKLED_LIST,
    WK__PICKLED_DICT,    /* keys and values take turns */
    WK__PICKLED_GLOBAL,  /* a class or function, by its name; only those that pickle.c lists */
    WK__PICKLED_STORAGE, /* numbers in an entry of the archive */
    WK__PICKLED_TENSOR
} wk__pickled_kind;

typedef struct wk__pickled wk__pickled;
struct wk__pickled {
    wk__pickled_kind kind;
    int64_t integer; /* truth value, integer; elements of a storage (-1: bytes); where a tensor starts in its storage */
    double number;
    const char *text;    /* with a NUL behind it; a storage's key; a global's "module name" */
    wk__pickled **items; /* (count) of tuples, lists and dicts */
    int64_t count, capacity;
    wk_dtype dtype;          /* of a storage that has one, and of a tensor */
    bool untyped;            /* a storage of bytes */
    const wk__pickled *base; /* a tensor's storage */
    wk_dims dims, strides;   /* a tensor's, in elements */
    wk__pickled *next;       /* of storages: the one that was mentioned before */
};

/* What a pickle leaves besides its value. */
typedef struct wk__pickle_rest {
    size_t used;           /* bytes */
    wk__pickled *storages; /* all that it mentions, the last first; some of them more than once */
} wk__pickle_rest;

/* The value that the first of `size` bytes describe, in `arena`.  Errors: WK_FORMAT with `name` and the place in the
 * bytes: damaged, of a protocol above 5, or asking for a class or function that is none of those PyTorch makes
 * state_dicts and TensorDatasets of. */
WK_API wk__pickled *wk__pickle_read(const void *bytes, size_t size, const char *name, wk__arena *arena,
                                    wk__pickle_rest *rest);

#endif

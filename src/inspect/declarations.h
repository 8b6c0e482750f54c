/* declarations.h: functions of the public headers with what is said about them. */
#ifndef WICK_SRC_INSPECT_DECLARATIONS_H
#define WICK_SRC_INSPECT_DECLARATIONS_H

#include "base/base.h"

typedef struct wk__declaration {
    char *name;      /* "wk_softmax" */
    char *signature; /* "wk_tensor *wk_softmax(wk_tensor *x, wk_axis_opts opts);" */
    char *doc;       /* the comment above or beside it, without its stars; "" if there is none */
} wk__declaration;
typedef struct wk__declarations {
    wk__declaration *all;
    int count, capacity;
} wk__declarations;

/* All functions declared in the *.h of a folder.  Errors: WK_IO, WK_NO_MEMORY; what was read is to be freed anyway. */
wk_status wk__declarations_read(const char *folder, wk__declarations *into);
void wk__declarations_free(wk__declarations *declarations);
/* NULL if there is none of this name. */
const wk__declaration *wk__declaration_of(const wk__declarations *declarations, const char *name);

#endif

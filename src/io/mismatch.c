/* mismatch.c: lists of names that stay readable where all of a model's are in them. */
#include "io/mismatch.h"

#include <string.h>

enum { MOST_TEXT = 300 };

void wk__mismatch_note(wk__mismatch *m, wk__mismatch_kind kind, const char *name, const char *more) {
    wk_text *text = &m->names[kind];
    if (text->size < MOST_TEXT)
        wk_text_printf(text, "%s%s%s", m->count[kind] ? ", " : "", name, more);
    else if (!strstr(wk_text_get(text), ", …"))
        wk_text_puts(text, ", …");
    m->count[kind]++;
}

char *wk__mismatch_told(const wk__mismatch *m) {
    static const char *const words[] = { "missing", "unexpected", "of another shape" };
    wk_text all = { 0 };
    for (size_t i = 0; i < WK_COUNT(words); i++)
        if (m->count[i])
            wk_text_printf(&all, "%s%d %s: %s", all.size ? "; " : "", m->count[i], words[i], wk_text_get(&m->names[i]));
    return all.data;
}

void wk__mismatch_free(wk__mismatch *m) {
    for (size_t i = 0; i < WK_COUNT(m->names); i++) wk_text_free(&m->names[i]);
}

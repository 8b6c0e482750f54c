/* app.h: what the files of libwickapp share: JSON as Python writes it, and reading files. */
#ifndef WICK_SRC_APP_H
#define WICK_SRC_APP_H

#include "wick/app.h"
#include "base/base.h"

/* `text` in quotes, ASCII only, as json.dumps does. */
void wk__json_put_text(wk_text *out, const char *text);
/* As Python's repr(float). */
void wk__json_put_number(wk_text *out, double number);
/* {"name": value, …}; indent 0: on one line.  Refuses an empty or missing name. */
wk_status wk__json_put_fields(wk_text *out, const wk_field *fields, size_t count, int indent);
/* The fields of a JSON object at KEY of the top (key NULL: the top itself), after those that `out` has; a name that is
 * there already takes the new value. */
wk_status wk__json_read_fields(const char *text, const char *path, const char *key, wk_fields *out);
wk_fields *wk__fields_new(void);

/* The text of a file; free with wk_free. */
char *wk__app_read(const char *url);

#endif

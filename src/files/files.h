/* files.h: what the files of this floor share. */
#ifndef WICK_SRC_FILES_H
#define WICK_SRC_FILES_H

#include "wick/files.h"
#include "base/base.h"

/* Letters of "SCHEME" in "SCHEME://…"; 0: there is none.  "file:/path" counts too. */
size_t wk__url_scheme(const char *url);
/* Where the path begins: behind "SCHEME://", and behind the host if URLs of that system have one. */
const char *wk__url_root(const char *url, bool has_host);
/* Where query or fragment begin, else the end. */
const char *wk__url_path_end(const char *path);
/* WK_INVALID for control characters and for a path that leads out of its root. */
wk_status wk__url_fits(const char *url, const wk_file_system *system);
/* The last part of the path, decoded; free with wk_free.  NULL with an error if it has no name. */
char *wk__url_name(const char *url, const wk_file_system *system);

/* The system of a URL, opened if it is a plug-in; NULL with an error that names those there are. */
WK_API const wk_file_system *wk__file_system(const char *url);

/* What go_on of the copy under way in this thread says; true if there is none. */
WK_API bool wk__copy_goes_on(void);

extern const wk_file_system wk__local_files;
extern const wk_file_system wk__memory_files;

#endif

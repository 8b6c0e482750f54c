/* wick/files.h: files by URL: on this machine, in memory, on a server, or where a plug-in keeps them.
 *
 *   /data/set.bin, set.bin, file:///data/set.bin    a file of this machine; what has no SCHEME:// is one
 *   memory://models/a                               a tree within this process, for tests and for passing things on
 *   https://user:password@host/path?query           a server; GET, HEAD, PUT, DELETE (the plug-in wick_http.so)
 *
 * A program needs libwick, libwicklaunch or libwickapp for this; libcurl is loaded when the first http URL is met.
 *
 * What every system promises.  A file that is written appears whole or not at all.  Paths stay below their root: `..`
 * that leads out of it, and control characters, are refused; a URL of the scheme file is taken letter by letter, the
 * path of an http URL is percent-encoded.  Messages name the URL, a password and the query in it as ***.  Functions
 * may be called from several threads; one wk_file belongs to one thread at a time.
 *
 * http(s).  At most 5 redirects, never from https to http.  429, 5xx, a connection that breaks and silence (30 s,
 * WICK_HTTP_TIMEOUT) are tried again, as the server asks (Retry-After) and for a minute at most; a broken download goes
 * on where it stopped if the server names versions (ETag, Last-Modified) and ranges, so what is read is of one version.
 * Certificates are checked against the system's authorities, or those of the PEM file WICK_CA_FILE.  Proxies are those
 * of http_proxy, https_proxy and no_proxy.  Folders and lists of files are unknown there.
 */
#ifndef WICK_FILES_H
#define WICK_FILES_H

#include "wick/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum wk_file_kind { WK_FILE_PLAIN, WK_FILE_FOLDER } wk_file_kind;

typedef struct wk_file_info {
    wk_file_kind kind;
    int64_t size;    /* bytes; -1: not known */
    double modified; /* seconds since 1970; 0: not known */
} wk_file_info;

/* ---- streams ----------------------------------------------------------------------------------------------------- */

typedef struct wk_file wk_file;

/* To read from the first byte.  NULL with WK_NOT_FOUND or WK_IO pending. */
WK_API wk_file *wk_file_open(const char *url);
/* To read the bytes [begin, end); end -1: to the last.  What lies behind the file's end is not there, and no error. */
WK_API wk_file *wk_file_open_range(const char *url, int64_t begin, int64_t end);
/* Up to `size` bytes; *got is less only at the end. */
WK_API wk_status wk_file_read(wk_file *file, void *bytes /* (size) */, size_t size, size_t *got);
/* To write anew.  Nothing changes under this name until wk_file_commit.  The folder must be there. */
WK_API wk_file *wk_file_create(const char *url);
WK_API wk_status wk_file_write(wk_file *file, const void *bytes /* (size) */, size_t size);
/* What was written takes the place of what was there.  Close it afterwards as well. */
WK_API wk_status wk_file_commit(wk_file *file);
/* NULL is fine.  What was written and not committed is gone. */
WK_API void wk_file_close(wk_file *file);

/* ---- whole files ------------------------------------------------------------------------------------------------- */

/* All bytes, and a NUL behind them that *size (may be NULL) does not count.  WK_FORMAT if there are more than `most`.
 * Free with wk_free. */
WK_API char *wk_file_load(const char *url, size_t most, size_t *size);
WK_API wk_status wk_file_save(const char *url, const void *bytes /* (size) */, size_t size);

/* ---- what there is ----------------------------------------------------------------------------------------------- */

/* WK_NOT_FOUND if there is nothing. */
WK_API wk_status wk_file_stat(const char *url, wk_file_info *info);
/* *exists is false, without an error, if there is nothing of this name; an error: it cannot be known. */
WK_API wk_status wk_file_exists(const char *url, bool *exists);

typedef struct wk_file_list {
    struct wk_file_item {
        const char *name; /* of the entry alone */
        wk_file_info info;
    } * items; /* by name */
    size_t count;
    void *owner;
} wk_file_list;
/* The entries of a folder; free with wk_file_list_free.  WK_UNSUPPORTED where folders cannot be listed. */
WK_API wk_file_list *wk_folder_list(const char *url);
WK_API void wk_file_list_free(wk_file_list *list);
/* Make the folder and those above it; it may be there already.  Where there are no folders nothing is to be done. */
WK_API wk_status wk_folder_make(const char *url);
/* A file, or a folder that is empty. */
WK_API wk_status wk_file_remove(const char *url);

/* ---- copies ------------------------------------------------------------------------------------------------------ */

typedef struct wk_copy_opts {
    bool recursive; /* a folder: what lies in it comes to lie in `to`, which is made */
    /* Called now and then; false ends the copy with WK_CANCELLED. */
    bool (*go_on)(void *context);
    void *context;
} wk_copy_opts;
typedef struct wk_copied {
    int64_t files, bytes;
} wk_copied;
/* From one URL to another.  If `to` is a folder, or ends in "/", the file keeps its name in it.  *copied (may be NULL)
 * is what was copied, also when it failed half-way. */
WK_API wk_status wk_file_copy(const char *from, const char *to, wk_copy_opts opts, wk_copied *copied);

/* ---- URLs as text ------------------------------------------------------------------------------------------------ */

/* WK_OK for a URL whose scheme is known, that is well formed, and that stays below its root; nobody is asked. */
WK_API wk_status wk_url_check(const char *url);
/* The path, if it is one of this machine (no scheme, or file:), within `url`; NULL if it is elsewhere. */
WK_API const char *wk_url_path(const char *url);
/* FOLDER/NAME, the name percent-encoded where URLs are; the query stays at the end.  Free with wk_free. */
WK_API char *wk_url_join(const char *folder, const char *name);
/* NAME, put as it stands into the folder that `url` lies in; a path from the root and a URL stay what they are.  Free
 * with wk_free. */
WK_API char *wk_url_beside(const char *url, const char *name);
/* For messages: passwords and queries as ***.  Free with wk_free. */
WK_API char *wk_url_mask(const char *url);

/* ---- a file system of one's own ---------------------------------------------------------------------------------- */

#define WK_FILES_API 1u

/* The URL has a host before the path, and the path is percent-encoded. */
#define WK_FILES_HOST 1u

/* For `list`: tell of one entry.  Give on what it returns. */
typedef wk_status (*wk_file_give)(void *context, const char *name, const wk_file_info *info);

/* Functions may be NULL where the system cannot do such a thing, which is then said by name.  A status other than
 * WK_OK comes with a message, given to `fail`, that need not name the URL.  `url` is whole, as the user wrote it; it
 * has been checked as said above. */
typedef struct wk_file_system {
    uint32_t api_version, size; /* WK_FILES_API; size of the struct, as it was known */
    const char *const *schemes; /* "s3", …, NULL; lower case */
    uint32_t flags;
    wk_status (*open)(const char *url, int64_t begin, int64_t end /* -1: the last */, void **file);
    wk_status (*read)(void *file, void *bytes, size_t size, size_t *got); /* 0 bytes: the end */
    wk_status (*create)(const char *url, void **file);
    wk_status (*write)(void *file, const void *bytes, size_t size);
    wk_status (*commit)(void *file);
    void (*close)(void *file);
    wk_status (*stat)(const char *url, wk_file_info *info);
    wk_status (*list)(const char *url, wk_file_give give, void *context);
    wk_status (*remove)(const char *url);
    wk_status (*make_folder)(const char *url);
} wk_file_system;

/* Add one (static storage).  WK_INVALID for another api_version; it goes before those there are. */
WK_API wk_status wk_file_system_register(const wk_file_system *system);

/* What a plug-in gets, so that it need not be linked with any library of Wick. */
typedef struct wk_files_host {
    uint32_t api_version, size;
    wk_status (*fail)(wk_status code, const char *message); /* gives the code */
    /* False: what is under way in this thread is not wanted any more; who waits asks now and then, and fails with
     * WK_CANCELLED. */
    bool (*go_on)(void);
} wk_files_host;
/* What a plug-in exports under the name wk_files_plugin.  WICK_PLUGINS names shared libraries, parted by colons; those
 * with this function are asked for schemes that are not known.  examples/own_files is one. */
typedef const wk_file_system *(*wk_files_plugin_function)(const wk_files_host *host);

#ifdef __cplusplus
}
#endif
#endif

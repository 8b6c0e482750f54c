/* http.h: the plug-in wick_http.so: one request (request.c), and a file system made of them (http.c).
 *
 * It is linked with no library of Wick's: errors go through the host that wk_files_plugin was given, memory is the C
 * library's.  So one plug-in serves programs of libwick, libwicklaunch and libwickapp alike.
 */
#ifndef WICK_SRC_FILES_HTTP_H
#define WICK_SRC_FILES_HTTP_H

#include "files/http/curl.h"
#include "wick/files.h"

#include <stdio.h>

/* "MESSAGE" through the host; gives the code. */
wk_status wk__http_fail(wk_status code, const char *format, ...) WK_PRINTF(2, 3);

/* False: somebody gave up the copy that this is a part of. */
bool wk__http_goes_on(void);

typedef struct wk__transfer {
    const wk__curl *curl;
    CURL *easy;
    CURLM *multi;
    struct curl_slist *headers;
    const char *method;
    char *url, *user, *password;
    FILE *sent; /* body of a PUT */
    int64_t sent_size;
    int64_t from, to; /* asked range [from, to); to -1: the end; from 0 and to -1: the whole */
    char *version;    /* that the answer must be of: an ETag, a date; NULL: any */
    /* what came */
    bool has_head, ended;
    CURLcode result;
    char why[CURL_ERROR_SIZE];
    char *etag, *date;
    int64_t range_begin, range_total; /* of Content-Range; -1: not said */
    char *bytes;
    size_t size, taken, room;
} wk__transfer;

/* A request that is not sent yet; NULL with an error. */
wk__transfer *wk__transfer_new(const char *method, const char *url);
void wk__transfer_free(wk__transfer *t);
/* Send it, again and again while the server puts it off, until the head of an answer is there that is not that. */
wk_status wk__transfer_send(wk__transfer *t);
/* Wait for bytes of the body: WK_OK with bytes in t, or at its end.  WK_IO with `broken` set, and no error given yet:
 * the connection broke. */
wk_status wk__transfer_more(wk__transfer *t, bool *broken);
long wk__transfer_status(const wk__transfer *t);
/* The status as an error: "the server answered 404 (not found)". */
wk_status wk__transfer_refused(const wk__transfer *t);
/* Bytes of the body, by the head; -1: not said. */
int64_t wk__transfer_length(const wk__transfer *t);

#endif

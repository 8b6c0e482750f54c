/* url.c: URLs as text.
 *
 * Two kinds.  Those with a host are RFC 3986: percent-encoded, with a query.  All others are a scheme before a path
 * that is taken letter by letter, as people write them by hand.
 */
#include "files/files.h"

#include <ctype.h>
#include <string.h>

size_t wk__url_scheme(const char *url) {
    size_t size = 0;
    if (!isalpha((unsigned char)*url)) return 0;
    while (isalnum((unsigned char)url[size]) || (url[size] && strchr("+-.", url[size]))) size++;
    if (strncmp(url + size, "://", 3) == 0) return size;
    return strncmp(url, "file:/", 6) == 0 ? size : 0;
}

static bool is_file_scheme(const char *url, size_t size) {
    return size == 4 && strncasecmp(url, "file", 4) == 0;
}

const char *wk_url_path(const char *url) {
    size_t size = wk__url_scheme(url);
    if (size == 0) return url;
    if (!is_file_scheme(url, size)) return NULL;
    if (strncmp(url + size, "://", 3) != 0) return url + size + 1;
    const char *path = url + size + 3;
    return strncasecmp(path, "localhost/", 10) == 0 ? path + 9 : path;
}

const char *wk__url_path_end(const char *path) {
    return path + strcspn(path, "?#");
}

const char *wk__url_root(const char *url, bool has_host) {
    const char *rest = url + wk__url_scheme(url);
    rest += strncmp(rest, "://", 3) == 0 ? 3 : 1; /* "file:/path" */
    return has_host ? rest + strcspn(rest, "/?#") : rest;
}

/* ---- checks ---- */

static int hex(char letter) {
    if (letter >= '0' && letter <= '9') return letter - '0';
    letter = (char)tolower((unsigned char)letter);
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* The next letter, and how many stand for it; -1: a % that begins no code. */
static int next_letter(const char *at, bool encoded, size_t *size) {
    *size = 1;
    if (!encoded || *at != '%') return (unsigned char)*at;
    const int high = hex(at[1]);
    const int low = high < 0 ? -1 : hex(at[2]);
    *size = 3;
    return low < 0 ? -1 : high * 16 + low;
}

static wk_status check_letter(int letter) {
    if (letter < 0) return wk_fail(WK_INVALID, "expected two digits of base 16 behind each %% of a URL");
    if (letter < 0x20 || letter == 0x7f)
        return wk_fail(WK_INVALID, "a URL with a control character (%d) in it; write it without", letter);
    return WK_OK;
}

wk_status wk__url_fits(const char *url, const wk_file_system *system) {
    const bool encoded = (system->flags & WK_FILES_HOST) != 0;
    const char *root = wk__url_root(url, encoded);
    const char *end = encoded ? wk__url_path_end(root) : root + strlen(root);
    size_t size = 0;
    if (encoded && root == url + wk__url_scheme(url) + 3) return wk_fail(WK_INVALID, "a URL without a host");
    for (const char *at = url; *at; at++) WK_TRY(check_letter((unsigned char)*at));
    for (const char *at = url; encoded && *at; at += size) WK_TRY(check_letter(next_letter(at, true, &size)));
    int depth = 0;
    for (const char *at = root; at < end;) {
        int dots = 0;
        int letters = 0;
        for (; at < end && *at != '/'; at += size) {
            dots += next_letter(at, encoded, &size) == '.';
            letters++;
        }
        if (at < end) at++;
        if (letters == 2 && dots == 2) depth--;
        if (letters && letters != dots) depth++;
        if (letters > 2 && letters == dots) depth++;
        if (depth < 0) return wk_fail(WK_INVALID, "\"..\" leads out of the root; name a path below it");
    }
    return WK_OK;
}

/* ---- parts ---- */

char *wk__url_name(const char *url, const wk_file_system *system) {
    const bool encoded = (system->flags & WK_FILES_HOST) != 0;
    const char *path = wk_url_path(url);
    const char *begin = path ? path : wk__url_root(url, encoded);
    const char *end = encoded ? wk__url_path_end(begin) : begin + strlen(begin);
    wk_text text = { 0 };
    size_t size = 0;
    while (end > begin && end[-1] == '/') end--;
    const char *at = end;
    while (at > begin && at[-1] != '/') at--;
    wk_text_puts(&text, "");
    for (; at < end; at += size) {
        char letter = (char)next_letter(at, encoded, &size);
        wk_text_add(&text, &letter, 1);
    }
    if (!text.failed && *text.data && strcmp(text.data, ".") != 0 && strcmp(text.data, "..") != 0
        && !strchr(text.data, '/'))
        return text.data;
    wk_text_free(&text);
    return wk_failed() ? NULL : wk_fail_null(WK_INVALID, "names no file; say the whole name to copy to");
}

char *wk_url_join(const char *folder, const char *name) {
    static const char plain[] = "-_.~!$&'()*+,;=:@";
    const wk_file_system *system = wk__file_system(folder);
    if (!system) return NULL;
    const bool encoded = (system->flags & WK_FILES_HOST) != 0;
    const char *path = wk_url_path(folder);
    const char *root = path ? path : wk__url_root(folder, encoded);
    const char *end = encoded ? wk__url_path_end(root) : root + strlen(root);
    wk_text text = { 0 };
    wk_text_add(&text, folder, (size_t)(end - folder));
    if (end == folder || end[-1] != '/') wk_text_puts(&text, end == root && !encoded ? "" : "/");
    for (const char *at = name; *at; at++) {
        if (!encoded || isalnum((unsigned char)*at) || strchr(plain, *at))
            wk_text_add(&text, at, 1);
        else
            wk_text_printf(&text, "%%%02X", (unsigned char)*at);
    }
    wk_text_puts(&text, end);
    if (text.failed) wk_text_free(&text);
    return text.data;
}

char *wk_url_beside(const char *url, const char *name) {
    if (*name == '/' || wk__url_scheme(name)) return wk_strdup(name);
    const bool here = wk_url_path(url) != NULL;
    const char *begin = here ? wk_url_path(url) : url + wk__url_scheme(url) + 3;
    const char *end = here ? begin + strlen(begin) : wk__url_path_end(begin);
    const char *cut = end;
    while (cut > begin && cut[-1] != '/') cut--;
    /* "http://host": the name comes behind the host. */
    if (cut == begin && !here) return wk_format("%.*s/%s%s", (int)(end - url), url, name, end);
    return wk_format("%.*s%s%s", (int)(cut - url), url, name, end);
}

char *wk_url_mask(const char *url) {
    if (wk_url_path(url)) return wk_strdup(url);
    const char *host = url + wk__url_scheme(url) + 3;
    const char *path = host + strcspn(host, "/?#");
    const char *at = path; /* the last @, since a password may hold one */
    while (at > host && at[-1] != '@') at--;
    const char *end = wk__url_path_end(path);
    wk_text text = { 0 };
    wk_text_add(&text, url, (size_t)(host - url));
    if (at > host) {
        const char *colon = memchr(host, ':', (size_t)(at - host));
        if (colon) wk_text_add(&text, host, (size_t)(colon - host + 1));
        wk_text_puts(&text, "***@");
    }
    wk_text_add(&text, at, (size_t)(end - at));
    if (*end) wk_text_puts(&text, *end == '?' ? "?***" : "#***");
    if (text.failed) wk_text_free(&text);
    return text.data;
}

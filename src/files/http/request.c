/* request.c: one request, with patience.
 *
 * A transfer is driven by its reader: bytes are taken off the connection when somebody wants them, so memory stays
 * small and a slow reader slows the server, not us.  For that reason silence is counted here, while we wait, and not by
 * libcurl, which would also count the reader's own pauses.
 */
#include "files/http/http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static const double PATIENCE = 60, ABSENT_PATIENCE = 3; /* seconds; of a server that nobody answers for */

static double now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void pause_for(double seconds) {
    for (const double end = now() + seconds; now() < end && wk__http_goes_on();) {
        const double left = end - now();
        const struct timespec t = { 0, (long)(1e9 * (left < 0.1 ? left > 0 ? left : 0 : 0.1)) };
        (void)nanosleep(&t, NULL);
    }
}

/* Seconds of silence after which a connection counts as broken. */
static double longest_silence(void) {
    const char *text = getenv("WICK_HTTP_TIMEOUT");
    char *end = NULL;
    const double seconds = text && *text ? strtod(text, &end) : 30;
    return text && *text && (end == text || *end || !(seconds > 0 && seconds <= 3600)) ? -1 : seconds;
}

/* ---- what comes in ---- */

static size_t take_body(char *bytes, size_t one, size_t count, void *to) {
    wk__transfer *t = to;
    const size_t more = one * count;
    t->has_head = true;
    if (t->size + more > t->room) {
        const size_t room = 2 * (t->size + more);
        char *grown = realloc(t->bytes, room);
        if (!grown) return 0;
        t->bytes = grown;
        t->room = room;
    }
    memcpy(t->bytes + t->size, bytes, more);
    t->size += more;
    return more;
}

/* The value behind "name:", without blanks; NULL: another header.  Free it. */
static char *value_of(const char *line, size_t size, const char *name) {
    const size_t skip = strlen(name);
    if (size <= skip || strncasecmp(line, name, skip) != 0 || line[skip] != ':') return NULL;
    const char *begin = line + skip + 1, *end = line + size;
    while (begin < end && (*begin == ' ' || *begin == '\t')) begin++;
    while (end > begin && strchr(" \t\r\n", end[-1])) end--;
    return strndup(begin, (size_t)(end - begin));
}

static void forget_head(wk__transfer *t) {
    free(t->etag);
    free(t->date);
    t->etag = t->date = NULL;
    t->range_begin = t->range_total = -1;
}

/* Of every answer on the way: a redirect's head comes before the one that counts. */
static size_t take_header(char *line, size_t one, size_t count, void *to) {
    wk__transfer *t = to;
    const size_t size = one * count;
    char *value = NULL;
    if (size >= 5 && strncmp(line, "HTTP/", 5) == 0) forget_head(t);
    if ((value = value_of(line, size, "etag"))) {
        free(t->etag);
        t->etag = value;
    } else if ((value = value_of(line, size, "last-modified"))) {
        free(t->date);
        t->date = value;
    } else if ((value = value_of(line, size, "content-range"))) {
        long long first = 0, total = 0;
        if (sscanf(value, "bytes %lld-%*[0-9]/%lld", &first, &total) == 2) t->range_total = total;
        if (sscanf(value, "bytes */%lld", &total) == 1) t->range_total = total;
        if (sscanf(value, "bytes %lld-", &first) == 1) t->range_begin = first;
        free(value);
    }
    return size;
}

static size_t give_body(char *bytes, size_t one, size_t count, void *from) {
    wk__transfer *t = from;
    const size_t got = fread(bytes, 1, one * count, t->sent);
    return got == 0 && ferror(t->sent) ? CURL_READFUNC_ABORT : got;
}

/* A redirect, or a log-in, has the body sent again. */
static int seek_body(void *from, curl_off_t offset, int origin) {
    wk__transfer *t = from;
    return fseeko(t->sent, (off_t)offset, origin) == 0 ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

/* ---- making one ---- */

static int hex(char letter) {
    const char *digits = "0123456789abcdef0123456789ABCDEF";
    const char *at = letter ? strchr(digits, letter) : NULL;
    return at ? (int)(at - digits) % 16 : -1;
}

static char *decode(const char *begin, size_t size) {
    char *text = malloc(size + 1), *to = text;
    for (size_t i = 0; text && i < size; i++) {
        const bool code = begin[i] == '%' && i + 2 < size && hex(begin[i + 1]) >= 0 && hex(begin[i + 2]) >= 0;
        *to++ = code ? (char)(hex(begin[i + 1]) * 16 + hex(begin[i + 2])) : begin[i];
        if (code) i += 2;
    }
    if (text) *to = '\0';
    return text;
}

/* User and password are taken out of the URL, so that libcurl's messages cannot have them and no redirect takes them
 * along to another host.  What stands behind # is for browsers. */
static bool split(wk__transfer *t, const char *url) {
    const char *host = strstr(url, "://") + 3;
    const char *path = host + strcspn(host, "/?#"), *at = path, *end = url + strcspn(url, "#");
    while (at > host && at[-1] != '@') at--;
    if (at > host) {
        const char *colon = memchr(host, ':', (size_t)(at - host));
        const char *user_end = colon ? colon : at - 1;
        t->user = decode(host, (size_t)(user_end - host));
        t->password = colon ? decode(colon + 1, (size_t)(at - colon - 2)) : NULL;
        if (!t->user || (colon && !t->password)) return false;
    }
    t->url = malloc(strlen(url) + 1);
    if (!t->url) return false;
    memcpy(t->url, url, (size_t)(host - url));
    memcpy(t->url + (host - url), at, (size_t)(end - at));
    t->url[(host - url) + (end - at)] = '\0';
    return true;
}

wk__transfer *wk__transfer_new(const char *method, const char *url) {
    const wk__curl *c = wk__curl_open();
    if (!c) return (void)wk__http_fail(WK_NOT_FOUND, "%s", WK__CURL_MISSING), NULL;
    if (longest_silence() < 0)
        return (void)wk__http_fail(WK_CONFIG, "WICK_HTTP_TIMEOUT: expected seconds from 0.001 to 3600"), NULL;
    wk__transfer *t = calloc(1, sizeof *t);
    if (t) {
        *t = (wk__transfer){ .curl = c, .method = method, .to = -1, .range_begin = -1, .range_total = -1 };
        t->easy = c->easy_init();
        t->multi = c->multi_init();
    }
    if (t && t->easy && t->multi && split(t, url)) return t;
    wk__transfer_free(t);
    return (void)wk__http_fail(WK_NO_MEMORY, "out of memory"), NULL;
}

static void stop(wk__transfer *t) {
    (void)t->curl->multi_remove_handle(t->multi, t->easy);
    t->curl->slist_free_all(t->headers);
    t->headers = NULL;
}

void wk__transfer_free(wk__transfer *t) {
    if (!t) return;
    if (t->easy && t->multi) stop(t);
    if (t->easy) t->curl->easy_cleanup(t->easy);
    if (t->multi) (void)t->curl->multi_cleanup(t->multi);
    forget_head(t);
    free(t->version);
    free(t->url);
    free(t->user);
    free(t->password);
    free(t->bytes);
    free(t);
}

/* ---- sending ---- */

static bool add_header(wk__transfer *t, const char *name, const char *value) {
    char *line = NULL;
    if (asprintf(&line, "%s: %s", name, value) < 0) return false;
    struct curl_slist *longer = t->curl->slist_append(t->headers, line);
    free(line);
    if (longer) t->headers = longer;
    return longer != NULL;
}

static bool set_range(wk__transfer *t) {
    char range[64];
    if (t->from == 0 && t->to < 0) return true;
    if (t->to < 0)
        (void)snprintf(range, sizeof range, "%lld-", (long long)t->from);
    else
        (void)snprintf(range, sizeof range, "%lld-%lld", (long long)t->from, (long long)t->to - 1);
    if (t->curl->easy_setopt(t->easy, CURLOPT_RANGE, range) != CURLE_OK) return false;
    return !t->version || add_header(t, "If-Range", t->version);
}

static bool set_up(wk__transfer *t) {
    const wk__curl *c = t->curl;
    const char *authority = getenv("WICK_CA_FILE");
    const bool secure = strncasecmp(t->url, "https", 5) == 0;
    bool good = true;
#define SET(option, value) good = good && c->easy_setopt(t->easy, option, value) == CURLE_OK
    SET(CURLOPT_URL, t->url);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_USERAGENT, "wick");
    SET(CURLOPT_ERRORBUFFER, t->why);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 1L);
    SET(CURLOPT_MAXREDIRS, 5L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(1000 * (longest_silence() < 10 ? longest_silence() : 10)));
    SET(CURLOPT_FILETIME, 1L);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, t);
    if (authority && *authority) SET(CURLOPT_CAINFO, authority);
    if (t->user) SET(CURLOPT_USERNAME, t->user);
    if (t->password) SET(CURLOPT_PASSWORD, t->password);
    if (strcmp(t->method, "HEAD") == 0) SET(CURLOPT_NOBODY, 1L);
    if (strcmp(t->method, "DELETE") == 0) SET(CURLOPT_CUSTOMREQUEST, "DELETE");
    if (t->sent) {
        SET(CURLOPT_UPLOAD, 1L);
        SET(CURLOPT_READFUNCTION, give_body);
        SET(CURLOPT_READDATA, t);
        SET(CURLOPT_SEEKFUNCTION, seek_body);
        SET(CURLOPT_SEEKDATA, t);
        SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)t->sent_size);
        rewind(t->sent);
        good = good && add_header(t, "Expect", "");
    }
    good = good && set_range(t);
    SET(CURLOPT_HTTPHEADER, t->headers);
#undef SET
    return good;
}

static wk_status begin(wk__transfer *t) {
    stop(t);
    forget_head(t);
    t->has_head = t->ended = false;
    t->result = CURLE_OK;
    t->size = t->taken = 0;
    t->why[0] = '\0';
    if (set_up(t) && t->curl->multi_add_handle(t->multi, t->easy) == CURLM_OK) return WK_OK;
    return wk__http_fail(WK_UNSUPPORTED, "libcurl does not take the request; 7.85 or later is needed");
}

static void end(wk__transfer *t, CURLcode result, const char *why) {
    t->ended = true;
    t->result = result;
    if (why) (void)snprintf(t->why, sizeof t->why, "%s", why);
}

/* Until bytes are there, or (heads) the head, or all is over, or nothing has come for too long. */
static void await(wk__transfer *t, bool head) {
    const double silence = longest_silence();
    double last = now();
    curl_off_t moved = -1;
    while (!t->ended && t->taken == t->size && !(head && t->has_head)) {
        int running = 0, left = 0;
        if (t->curl->multi_perform(t->multi, &running) != CURLM_OK) end(t, CURLE_RECV_ERROR, "libcurl failed");
        for (const CURLMsg *m; (m = t->curl->multi_info_read(t->multi, &left)) != NULL;)
            if (m->msg == CURLMSG_DONE) end(t, m->data.result, NULL);
        if (t->ended || t->taken != t->size) break;
        curl_off_t up = 0, down = 0;
        (void)t->curl->easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &up);
        (void)t->curl->easy_getinfo(t->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
        if (up + down != moved) last = now();
        moved = up + down;
        if (!wk__http_goes_on()) end(t, CURLE_ABORTED_BY_CALLBACK, NULL);
        if (now() - last > silence) end(t, CURLE_OPERATION_TIMEDOUT, "nothing came for longer than WICK_HTTP_TIMEOUT");
        (void)t->curl->multi_poll(t->multi, NULL, 0, 100, NULL);
    }
    if (t->ended) t->has_head = true;
}

long wk__transfer_status(const wk__transfer *t) {
    long status = 0;
    (void)t->curl->easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static bool is_broken(const wk__transfer *t) {
    switch (t->result) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_OPERATION_TIMEDOUT: return true;
    default: return false;
    }
}

/* An answer that came although the connection broke (a PUT refused half-way) is an answer; so is a beginning of the
 * file, which the reader goes on from. */
static bool is_put_off(const wk__transfer *t) {
    const long status = wk__transfer_status(t);
    if (status == 429 || status == 500 || (status >= 502 && status <= 504)) return true;
    return t->ended && is_broken(t) && status < 400 && t->size == 0;
}

static wk_status give_up(const wk__transfer *t) {
    if (t->result == CURLE_OK) return WK_OK;
    const char *reason = *t->why ? t->why : t->curl->easy_strerror(t->result);
    const char *hint = "";
    if (t->result == CURLE_PEER_FAILED_VERIFICATION) hint = " (WICK_CA_FILE=FILE.pem names an authority to believe)";
    if (t->result == CURLE_UNSUPPORTED_PROTOCOL) hint = " (a redirect from https to http is not followed)";
    if (t->result == CURLE_ABORTED_BY_CALLBACK) return wk__http_fail(WK_CANCELLED, "the copy was ended");
    if (t->result == CURLE_WRITE_ERROR) return wk__http_fail(WK_NO_MEMORY, "out of memory");
    return wk__http_fail(WK_IO, "%s%s", reason, hint);
}

wk_status wk__transfer_send(wk__transfer *t) {
    const double first = now();
    double next = 0.1;
    for (;;) {
        const wk_status status = begin(t);
        if (status != WK_OK) return status;
        await(t, true);
        if (!is_put_off(t)) break;
        curl_off_t wished = 0;
        (void)t->curl->easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &wished);
        const double wait = wished > 0 ? (double)wished : next;
        const bool absent = t->result == CURLE_COULDNT_CONNECT || t->result == CURLE_COULDNT_RESOLVE_HOST;
        if (now() + wait - first > (absent ? ABSENT_PATIENCE : PATIENCE)) break;
        pause_for(wait);
        next *= 2;
    }
    if (t->ended && t->result != CURLE_OK && t->size == 0 && wk__transfer_status(t) < 400) return give_up(t);
    return WK_OK;
}

wk_status wk__transfer_more(wk__transfer *t, bool *broken) {
    *broken = false;
    if (t->taken == t->size) {
        t->taken = t->size = 0;
        await(t, false);
    }
    if (t->taken < t->size || t->result == CURLE_OK) return WK_OK;
    *broken = is_broken(t);
    return *broken ? WK_IO : give_up(t);
}

wk_status wk__transfer_refused(const wk__transfer *t) {
    static const struct {
        long status;
        const char *words;
    } known[] = { { 401, "it wants a log-in: https://USER:PASSWORD@HOST" },
                  { 403, "not allowed" },
                  { 404, "not found" },
                  { 405, "it does not let files be changed" },
                  { 409, "a folder on the way is missing there" },
                  { 410, "not there any more" },
                  { 413, "too large for it" },
                  { 429, "busy, for more than a minute" },
                  { 501, "it does not let files be changed" },
                  { 503, "busy, for more than a minute" },
                  { 507, "its disk is full" } };
    const long status = wk__transfer_status(t);
    const char *words = status >= 500 ? "an error of its own" : status >= 400 ? "refused" : "unexpected here";
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].status == status) words = known[i].words;
    const bool absent = status == 404 || status == 410;
    return wk__http_fail(absent ? WK_NOT_FOUND : WK_IO, "the server answered %ld (%s)", status, words);
}

int64_t wk__transfer_length(const wk__transfer *t) {
    curl_off_t length = -1;
    (void)t->curl->easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    return (int64_t)length;
}

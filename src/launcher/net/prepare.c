/* prepare.c: what every request to a cluster has in common. */
#include "launcher/net/curl.h"

#include <string.h>

const wk__curl *wk__curl_need(void) {
    const wk__curl *c = wk__curl_open();
    return c ? c : wk_fail_null(WK_NOT_FOUND, WK__CURL_MISSING);
}

static bool set_blob(const wk__curl *c, CURL *handle, CURLoption option, const char *pem) {
    struct curl_blob blob = { .data = (void *)(uintptr_t)pem, .len = strlen(pem), .flags = CURL_BLOB_COPY };
    return c->easy_setopt(handle, option, &blob) == CURLE_OK;
}

/* False if this libcurl lacks an option (PEM from memory came with 7.77). */
static bool set_identity(const wk__curl *c, CURL *handle, const wk__http_server *s) {
    bool good = true;
    if (s->authority) good = set_blob(c, handle, CURLOPT_CAINFO_BLOB, s->authority) && good;
    if (s->certificate) good = set_blob(c, handle, CURLOPT_SSLCERT_BLOB, s->certificate) && good;
    if (s->key) good = set_blob(c, handle, CURLOPT_SSLKEY_BLOB, s->key) && good;
    if (s->insecure) good = c->easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, 0L) == CURLE_OK && good;
    if (s->insecure) good = c->easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, 0L) == CURLE_OK && good;
    if (s->user) good = c->easy_setopt(handle, CURLOPT_USERNAME, s->user) == CURLE_OK && good;
    if (s->password) good = c->easy_setopt(handle, CURLOPT_PASSWORD, s->password) == CURLE_OK && good;
    if (s->proxy) good = c->easy_setopt(handle, CURLOPT_PROXY, s->proxy) == CURLE_OK && good;
    return good;
}

static bool add_header(const wk__curl *c, struct curl_slist **headers, const char *name, const char *value) {
    char *line = wk_format("%s: %s", name, value);
    struct curl_slist *longer = line ? c->slist_append(*headers, line) : NULL;
    wk_free(line);
    if (longer) *headers = longer;
    return longer != NULL;
}

/* The name in the certificate is asked for in place of the address: both then lead to the same socket. */
static bool set_name(const wk__curl *c, CURL *handle, const wk__http_server *s, const char *path) {
    const char *scheme_end = strstr(s->base, "://");
    const char *host = scheme_end ? scheme_end + 3 : s->base;
    const char *rest = host + strcspn(host, ":/");
    char *url = s->server_name && scheme_end
                    ? wk_format("%.*s%s%s%s", (int)(host - s->base), s->base, s->server_name, rest, path)
                    : wk_format("%s%s", s->base, path);
    bool good = url && c->easy_setopt(handle, CURLOPT_URL, url) == CURLE_OK;
    if (good && s->server_name && scheme_end) {
        char *to = wk_format("::%.*s:", (int)(rest - host), host);
        struct curl_slist *list = to ? c->slist_append(NULL, to) : NULL;
        good = list && c->easy_setopt(handle, CURLOPT_CONNECT_TO, list) == CURLE_OK;
        if (good) (void)c->easy_setopt(handle, CURLOPT_PRIVATE, list); /* freed with the handle's other lists */
        wk_free(to);
    }
    wk_free(url);
    return good;
}

CURL *wk__curl_prepare(const wk__curl *c, const wk__http_server *s, const char *path, const char *content_type,
                       struct curl_slist **headers) {
    CURL *handle = c->easy_init();
    *headers = NULL;
    bool good = handle && set_name(c, handle, s, path) && set_identity(c, handle, s);
    good = good && add_header(c, headers, "Accept", "application/json, */*");
    if (content_type) good = good && add_header(c, headers, "Content-Type", content_type);
    if (content_type) good = good && add_header(c, headers, "Expect", "");
    if (s->token) {
        char *bearer = wk_format("Bearer %s", s->token);
        good = good && bearer && add_header(c, headers, "Authorization", bearer);
        wk_free(bearer);
    }
    good = good && c->easy_setopt(handle, CURLOPT_HTTPHEADER, *headers) == CURLE_OK
           && c->easy_setopt(handle, CURLOPT_NOSIGNAL, 1L) == CURLE_OK
           && c->easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, 10L) == CURLE_OK
           && c->easy_setopt(handle, CURLOPT_USERAGENT, "wick") == CURLE_OK;
    if (good) return handle;
    if (handle) c->easy_cleanup(handle);
    c->slist_free_all(*headers);
    *headers = NULL;
    return wk_fail_null(WK_UNSUPPORTED, "%s: libcurl refuses the request (7.77 or later is needed)", s->base);
}

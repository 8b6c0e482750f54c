/* handle.c: states by name, handles, and ids that nobody else has.
 *
 * An id goes into host names, Kubernetes objects and file names, so its letters are those that all of them accept; it
 * has no vowels, so it spells no words; and its bits come from /dev/urandom, so a seeded generator cannot collide.
 */
#include "launcher/launcher.h"

#include <errno.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

const char *wk_app_state_name(wk_app_state state) {
    switch (state) {
#define NAME(name, number) \
    case WK_APP_##name: return #name;
        WK_APP_STATE_MAP(NAME)
#undef NAME
    }
    return "UNKNOWN";
}

bool wk_app_state_is_terminal(wk_app_state state) {
    return state == WK_APP_SUCCEEDED || state == WK_APP_FAILED || state == WK_APP_CANCELLED;
}

static bool fits(char *to, size_t room, const char *from, size_t size) {
    if (size >= room) return false;
    memcpy(to, from, size);
    to[size] = '\0';
    return true;
}

wk_status wk_handle_parse(const char *text, wk_handle *handle) {
    const char *colon = strstr(text, "://");
    const char *slash = colon ? strchr(colon + 3, '/') : NULL;
    if (!slash || colon == text || slash[1] == '\0' || strchr(slash + 1, '/')
        || !fits(handle->scheduler, sizeof handle->scheduler, text, (size_t)(colon - text))
        || !fits(handle->session, sizeof handle->session, colon + 3, (size_t)(slash - colon - 3))
        || !fits(handle->app_id, sizeof handle->app_id, slash + 1, strlen(slash + 1)) || slash[1] == '.')
        return wk_fail(WK_CONFIG,
                       "\"%.100s\" is no app handle; expected scheduler://session/app_id, as in "
                       "local://wick/echo-x7k2qv9wz4cd (`wick list` shows them)",
                       text);
    return WK_OK;
}

char *wk_handle_format(const wk_handle *handle) {
    return wk_format("%s://%s/%s", handle->scheduler, handle->session, handle->app_id);
}

wk_status wk_make_unique(const char *name, char *id, size_t size) {
    static const char letters[] = "bcdfghjklmnpqrstvwxz012345679";
    enum { CONSONANTS = 20, BASE = sizeof letters - 1, MOST_NAME = 63 };
    uint64_t bits = 0;
    FILE *random = fopen("/dev/urandom", "rbe");
    bool got = random && fread(&bits, sizeof bits, 1, random) == 1;
    if (random) (void)fclose(random);
    if (!got) return wk_fail(WK_IO, "/dev/urandom: %s", strerror(errno));
    char base[MOST_NAME + 1];
    size_t count = 0;
    for (const char *at = name; *at && count < MOST_NAME; at++) {
        char letter = *at == '_' || *at == '.' || *at == ' ' ? '-' : (char)tolower((unsigned char)*at);
        bool kept = (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '-';
        if (kept && !(letter == '-' && count == 0)) base[count++] = letter;
    }
    base[count] = '\0';
    char tail[16];
    size_t used = 0;
    tail[used++] = letters[bits % CONSONANTS];
    for (bits /= CONSONANTS; bits && used < sizeof tail - 1; bits /= BASE) tail[used++] = letters[bits % BASE];
    tail[used] = '\0';
    int written = snprintf(id, size, "%s-%s", count ? base : "app", tail);
    if (written < 0 || (size_t)written >= size) return wk_fail(WK_INVALID, "no room for an id of %d bytes", written);
    return WK_OK;
}

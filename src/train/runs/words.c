/* words.c: numbers and times for people, and for JSON; settings as words. */
#include "train/runs/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *wk__words_time(double seconds, char text[32]) {
    time_t whole = (time_t)(isnan(seconds) ? 0 : seconds);
    struct tm parts;
    if (isnan(seconds) || !gmtime_r(&whole, &parts) || !strftime(text, 32, "%Y-%m-%d %H:%M", &parts)) return "-";
    return text;
}

const char *wk__words_duration(double seconds, char text[32]) {
    if (isnan(seconds)) return "-";
    long long s = (long long)(seconds + 0.5);
    if (s >= 3600)
        (void)snprintf(text, 32, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    else
        (void)snprintf(text, 32, "%lld:%02lld", s / 60, s % 60);
    return text;
}

const char *wk__words_number(double value, char text[32]) {
    if (isnan(value)) return "-";
    bool fixed = value == 0 || (fabs(value) >= 1e-3 && fabs(value) < 1e5);
    (void)snprintf(text, 32, fixed ? "%.4f" : "%.4g", value);
    return text;
}

bool wk__same_value(const char *a, const char *b) {
    char *end_a, *end_b;
    if (!a || !b) return a == b;
    double x = strtod(a, &end_a), y = strtod(b, &end_b);
    return strcmp(a, b) == 0 || (*a && *b && !*end_a && !*end_b && x == y);
}

json_t *wk__json_number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *wk__json_text(const char *text) {
    json_t *whole = text ? json_string(text) : json_null();
    if (whole) return whole;
    wk_text clean = { 0 };
    for (const char *c = text; *c; c++)
        wk_text_puts(&clean, (unsigned char)*c < 0x80 ? (char[]){ *c, '\0' } : "\xef\xbf\xbd");
    whole = json_string(wk_text_get(&clean));
    wk_text_free(&clean);
    return whole ? whole : json_null();
}

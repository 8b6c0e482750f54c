/* names.c: names of checkpoints, with the metrics in them. */
#include "train/callbacks/names.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Python's str of a float: the shortest digits that read back as it. */
static void shortest(wk_text *out, double value) {
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    wk_text_puts(out, text);
    if (isfinite(value) && !strpbrk(text, ".e")) wk_text_puts(out, ".0");
}

bool wk__format_number(wk_text *out, const char *format, size_t size, double value, bool is_whole) {
    char spec[16];
    if (size == 0) {
        if (is_whole)
            wk_text_printf(out, "%.0f", value);
        else
            shortest(out, value);
        return true;
    }
    const char kind = strchr("dfeg", format[size - 1]) ? format[size - 1] : '\0';
    size_t body = kind ? size - 1 : size;
    if (body >= sizeof spec - 6 || strspn(format, "0123456789.") < body) return false;
    if (kind == 'd' && !is_whole) return false;
    (void)snprintf(spec, sizeof spec, "%.*s", (int)body, format);
    int width = 0, precision = kind == 'g' || !kind ? 6 : kind == 'd' ? 0 : 6;
    const char *point = strchr(spec, '.');
    bool zeros = spec[0] == '0';
    (void)sscanf(spec, "%d", &width);
    if (spec[0] == '.') width = 0;
    if (point && sscanf(point + 1, "%d", &precision) != 1) return false;
    if (width > 60 || precision > 60) return false;
    char text[400];
    switch (kind) {
    case 'd': (void)snprintf(text, sizeof text, zeros ? "%0*.*f" : "%*.*f", width, 0, value); break;
    case 'f': (void)snprintf(text, sizeof text, zeros ? "%0*.*f" : "%*.*f", width, precision, value); break;
    case 'e': (void)snprintf(text, sizeof text, zeros ? "%0*.*e" : "%*.*e", width, precision, value); break;
    default: (void)snprintf(text, sizeof text, zeros ? "%0*.*g" : "%*.*g", width, precision, value); break;
    }
    wk_text_puts(out, text);
    return true;
}

/* One "{name:format}"; gives what is behind it, or NULL. */
static const char *field(wk_text *out, const char *at, bool named, const wk_trainer *t) {
    const char *end = strchr(at, '}');
    if (!end) return NULL;
    size_t size = (size_t)(end - at), name_size = strcspn(at, ":}");
    char name[80];
    (void)snprintf(name, sizeof name, "%.*s", (int)name_size, at);
    bool is_epoch = strcmp(name, "epoch") == 0, is_whole = is_epoch || strcmp(name, "step") == 0;
    double value = 0;
    if (is_whole)
        value = (double)(is_epoch ? wk_trainer_epoch(t) : wk_trainer_step(t));
    else
        (void)wk_trainer_metric(t, name, &value);
    if (named) wk_text_printf(out, "%s=", name);
    const char *format = at + name_size + (name_size < size);
    return wk__format_number(out, format, (size_t)(end - format), value, is_whole) ? end + 1 : NULL;
}

char *wk__checkpoint_name(const char *format, bool named, const wk_trainer *t) {
    wk_text out = { 0 };
    const char *at = format;
    while (at && *at)
        if (*at == '{')
            at = field(&out, at + 1, named, t);
        else
            wk_text_add(&out, at++, 1);
    if (at && !out.failed && out.size > 0) return out.data;
    wk_text_free(&out);
    return wk_fail_null(WK_CONFIG, "filename \"%s\": expected text with {metric} or {metric:.2f} in it", format);
}

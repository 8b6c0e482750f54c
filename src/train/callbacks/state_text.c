/* state_text.c: numbers in a checkpoint's text, so exact that a resumed run decides as the other would have. */
#include "train/callbacks/callbacks.h"

#include "base/base.h"

#include <stdlib.h>
#include <string.h>

char *wk__numbers_write(const char *const *names, const double *values, int count) {
    wk_text text = { 0 };
    for (int i = 0; i < count; i++) wk_text_printf(&text, "%s%s=%.17g", i ? " " : "", names[i], values[i]);
    if (!text.failed) return text.data;
    wk_text_free(&text);
    return NULL;
}

wk_status wk__numbers_read(const char *text, const char *const *names, double *values, int count) {
    for (int i = 0; i < count; i++) {
        size_t size = strlen(names[i]);
        const char *at = text;
        while (at && !(strncmp(at, names[i], size) == 0 && at[size] == '='))
            at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL;
        char *end = NULL;
        double value = at ? strtod(at + size + 1, &end) : 0;
        if (!at || end == at + size + 1) return wk_fail(WK_FORMAT, "state \"%s\" has no number \"%s\"", text, names[i]);
        values[i] = value;
    }
    return WK_OK;
}

double wk__config_seconds(const wk_config *config, const char *key) {
    const char *text = wk_config_string(config, key, NULL);
    unsigned part[4];
    int used = 0;
    if (!text) return 0;
    if (sscanf(text, "%u:%u:%u:%u%n", &part[0], &part[1], &part[2], &part[3], &used) == 4 && !text[used])
        return ((part[0] * 24.0 + part[1]) * 60 + part[2]) * 60 + part[3];
    (void)wk_config_fail(config, key, "%s is \"%s\", expected DD:HH:MM:SS, as in 00:12:00:00 for twelve hours", key,
                         text);
    return 0;
}

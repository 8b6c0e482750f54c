/* jsonl.c: a line of JSON a row: {"step": 50, "epoch": 1, "train_loss": 0.25, …}; NaN and infinities are null, which
 * JSON has in their place. */
#include "train/loggers/text.h"

#include "base/base.h"
#include "io/file.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const wk_arg wk__jsonl_args[] = {
    { "file", WK_ARG_TEXT, "metrics.jsonl", "below the run's folder" },
    { NULL, WK_ARG_INT, NULL, NULL },
};

typedef struct jsonl {
    wk_logger base;
    const char *name;
    char *path;
    FILE *file;
} jsonl;

/* Lines of later steps belong to a future that did not happen. */
static wk_status cut(const char *path, int64_t last_step) {
    size_t size;
    char *old = wk__read_file(path, (size_t)1 << 30, &size);
    if (!old) {
        wk_clear_error();
        return WK_OK;
    }
    wk_text kept = { 0 };
    for (char *line = old, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
        if (strncmp(line, "{\"step\": ", 9) == 0 && strtoll(line + 9, NULL, 10) <= last_step)
            wk_text_add(&kept, line, (size_t)(end - line + 1));
    wk_status status = kept.failed ? WK_NO_MEMORY : wk__write_file(path, wk_text_get(&kept), kept.size);
    wk_text_free(&kept);
    wk_free(old);
    return status;
}

static wk_status start(wk_logger *self, const char *folder, const char *config, int64_t resumed_step) {
    jsonl *j = (jsonl *)self;
    (void)config;
    j->path = wk_format("%s/%s", folder, j->name);
    if (!j->path) return WK_NO_MEMORY;
    if (resumed_step >= 0) WK_TRY(cut(j->path, resumed_step));
    j->file = fopen(j->path, resumed_step >= 0 ? "ae" : "we");
    return j->file ? WK_OK : wk_fail(WK_IO, "%s: cannot open: %s", j->path, strerror(errno));
}

static wk_status add(wk_logger *self, int64_t step, int64_t epoch, const wk_logged *values, int count) {
    const jsonl *j = (const jsonl *)self;
    wk_text line = { 0 };
    wk_text_printf(&line, "{\"step\": %lld, \"epoch\": %lld", (long long)step, (long long)epoch);
    for (int i = 0; i < count; i++) { /* names have neither quotes nor line ends: wk_trainer_log refuses those */
        char text[40];
        wk_text_puts(&line, ", \"");
        for (const char *part = values[i].name; *part;) {
            const size_t size = strcspn(part, "\\");
            wk_text_add(&line, part, size);
            part += size;
            if (*part) wk_text_puts(&line, "\\\\");
            part += *part != '\0';
        }
        wk_text_puts(&line, "\": ");
        wk_text_puts(&line, isfinite(values[i].value) ? wk__python_float(values[i].value, text) : "null");
    }
    wk_text_puts(&line, "}\n");
    bool written = !line.failed && fputs(wk_text_get(&line), j->file) >= 0 && fflush(j->file) == 0;
    wk_text_free(&line);
    return written ? WK_OK : wk_fail(WK_IO, "%s: cannot write: %s", j->path, strerror(errno));
}

static void destroy(wk_logger *self) {
    const jsonl *j = (const jsonl *)self;
    if (j->file) (void)fclose(j->file);
    wk_free(j->path);
}

static const wk_logger_class class_ = { "jsonl", sizeof(jsonl), start, add, NULL, destroy };

wk_logger *wk__jsonl_build(const wk_config *args) {
    jsonl *j = (jsonl *)wk_logger_create(&class_);
    if (j) j->name = wk_config_string(args, "file", "metrics.jsonl");
    return (wk_logger *)j;
}

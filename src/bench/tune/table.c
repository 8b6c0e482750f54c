/* table.c: the file that `wick bench tune` leaves: what was found now, and what a table that is there already says of
 * other buckets.
 */
#include "bench/tune/tune.h"

#include "io/file.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_BYTES = 1 << 24 };

wk_status wk__tune_check_file(const char *path) {
    char problem[900];
    if (access(path, F_OK) != 0 || wk__tuning_check(path, problem, sizeof problem)) return WK_OK;
    return wk_fail(WK_FORMAT, "%s; it is left as it is: -o names another file", problem);
}

/* A line of a bucket has its sizes, "NAME=…". */
static bool is_bucket(const char *line, size_t length) {
    const char *equals = memchr(line, '=', length), *hash = memchr(line, '#', length);
    return equals && (!hash || equals < hash);
}

/* Whether the bucket of this line stands in `measured`, a line each. */
static bool is_among(const char *line, size_t length, const char *measured) {
    const char *colon = memchr(line, ':', length);
    char bucket[240];
    int used = snprintf(bucket, sizeof bucket, "%.*s\n", (int)(colon ? colon - line : 0), line);
    if (!colon || used < 0 || (size_t)used >= sizeof bucket) return false;
    for (const char *at = measured; (at = strstr(at, bucket)); at++)
        if (at == measured || at[-1] == '\n') return true;
    return false;
}

static void keep_others(wk_text *text, const char *former, const char *measured, int *kept) {
    for (const char *line = former; *line;) {
        size_t length = strcspn(line, "\n");
        if (is_bucket(line, length) && !is_among(line, length, measured)) {
            wk_text_add(text, line, length);
            wk_text_puts(text, "\n");
            ++*kept;
        }
        line += length + (line[length] == '\n');
    }
}

static void write_head(wk_text *text, int threads) {
    wk__bench_machine machine;
    char date[20] = "";
    time_t now = time(NULL);
    struct tm parts;
    wk__machine_describe(&machine);
    if (gmtime_r(&now, &parts)) (void)strftime(date, sizeof date, "%Y-%m-%d", &parts);
    wk_text_printf(text,
                   WK__TUNING_FIRST_LINE "\n"
                                         "# What computes products and convolutions where it is faster than what would "
                                         "be chosen; see docs/tuning.md.\n"
                                         "family: %s\nprocessor: %s\nlibraries: %s, %s\nwick: %s\ndate: %s\n"
                                         "threads: %d\n",
                   wk__tuning()->family, machine.processor, wk__onednn_version(), wk__openblas_version(), wk_version(),
                   date, threads);
}

/* mkdir -p of what the file lies in. */
static wk_status make_folder_of(const char *path) {
    char *folder = wk_strdup(path), *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash) *slash = '\0';
    wk_status status = slash && slash != folder ? wk__make_folder(folder) : WK_OK;
    wk_free(folder);
    return wk_failed() ? wk_error_code() : status;
}

wk_status wk__tune_write(const char *path, const char *found, const char *measured, int threads, int *kept) {
    wk_text text = { 0 };
    size_t size;
    *kept = 0;
    WK_TRY(wk__tune_check_file(path));
    char *former = access(path, F_OK) == 0 ? wk__read_file(path, MOST_BYTES, &size) : NULL;
    if (wk_failed()) return wk_error_code();
    write_head(&text, threads);
    if (former) keep_others(&text, former, measured, kept);
    wk_text_puts(&text, found);
    wk_text_puts(&text, "end\n");
    wk_status status = text.failed ? wk_fail(WK_NO_MEMORY, "no memory for the table") : make_folder_of(path);
    if (status == WK_OK) status = wk__write_file(path, wk_text_get(&text), text.size);
    wk_free(former);
    wk_text_free(&text);
    return status;
}

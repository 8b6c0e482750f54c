/* folder.c: a run's directory.
 *
 *   config.yaml   the configuration as run, overrides included     build.txt   what ran it
 *   log.txt       what was said                                     metrics.csv, events.out.tfevents.*
 *   run.json      how it stands, on what (record.c)                 evaluation.json, report.html
 *   src/          what it was started from, if asked for (sources.c)
 *   checkpoints/last.safetensors, best.safetensors
 */
#include "train/folder.h"

#include "io/file.h"
#include "tensor/backend.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

/* What every run has; what else is logged gets columns behind these as it comes. */
static const char csv_header[] = "step,epoch,lr,train_loss,images_per_second,val_loss,val_accuracy\n";

char *wk__checkpoint_path(const char *folder, const char *name) {
    return wk_format("%s/checkpoints/%s.safetensors", folder, name);
}

static wk_status write_text(const char *folder, const char *name, const char *text) {
    char *path = wk_format("%s/%s", folder, name);
    wk_status status = path ? wk__write_file(path, text, strlen(text)) : WK_NO_MEMORY;
    wk_free(path);
    return status;
}

wk_status wk__folder_json(const wk__folder *f, const char *name, const json_t *value) {
    char *text = value ? json_dumps(value, JSON_INDENT(2)) : NULL;
    wk_status status = text ? write_text(f->path, name, text) : wk_fail(WK_NO_MEMORY, "no memory for %s", name);
    free(text);
    return status;
}

static wk_status write_build(const char *folder) {
    wk_device_info info;
    WK_TRY(wk__cpu_device_info(&info));
    char text[400];
    (void)snprintf(text, sizeof text, "wick %s\ncompiler %s\nprocessor %s\ninstruction set %s\nthreads %d\n",
                   wk_version(), WK_COMPILER, info.name, info.instruction_set, wk_threads());
    return write_text(folder, "build.txt", text);
}

/* Rows up to a step: what came after belongs to a future that did not happen. */
static wk_status cut_csv(const char *path, int64_t last_step) {
    size_t size;
    char *old = wk__read_file(path, (size_t)1 << 30, &size);
    if (!old) {
        if (access(path, F_OK) == 0) return wk_error_code();
        wk_clear_error(); /* somebody took it away */
        return wk__write_file(path, csv_header, sizeof csv_header - 1);
    }
    wk_text kept = { 0 };
    const char *first_end = strchr(old, '\n');
    bool is_ours = first_end && strncmp(old, csv_header, sizeof csv_header - 2) == 0;
    if (is_ours)
        wk_text_add(&kept, old, (size_t)(first_end - old + 1));
    else
        wk_text_puts(&kept, csv_header);
    for (char *line = strchr(old, '\n'); line && line[1]; line = strchr(line, '\n')) {
        line++;
        char *end = strchr(line, '\n');
        if (end && strtoll(line, NULL, 10) <= last_step) wk_text_add(&kept, line, (size_t)(end - line + 1));
    }
    wk_status status = kept.failed ? WK_NO_MEMORY : wk__write_file(path, kept.data, kept.size);
    wk_text_free(&kept);
    wk_free(old);
    return status;
}

wk_status wk__folder_lock(wk__folder *f, const char *path) {
    f->path = wk_strdup(path);
    if (!f->path) return WK_NO_MEMORY;
    WK_TRY(wk__make_folder(path));
    f->lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->lock < 0) return wk_fail(WK_IO, "%s: cannot open the folder: %s", path, strerror(errno));
    f->is_locked = true;
    f->early = open_memstream(&f->early_text, &f->early_size);
    /* Not every file system can lock a folder (NFS cannot): then nobody is kept out.  `wick runs` holds a lock for the
     * moment that it takes to ask for one. */
    for (int tries = 0; tries < 10; tries++) {
        if (flock(f->lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return WK_OK;
        (void)nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
    }
    return wk_fail(WK_EXISTS,
                   "%s: another process is training in this directory: wait for its end, or pass -o output=DIRECTORY",
                   path);
}

/* What of a folder of the run, which is no link, has such a name; folders with what they hold. */
static wk_status remove_all(const char *run, const char *name, const char *pattern) {
    char *path = wk_format("%s/%s", run, name);
    const int at = path ? open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    DIR *folder = at >= 0 ? fdopendir(at) : NULL;
    const struct dirent *entry;
    while (folder && (entry = readdir(folder)) != NULL) {
        if (fnmatch(pattern, entry->d_name, 0) != 0) continue;
        if (unlinkat(at, entry->d_name, 0) == 0 || errno == ENOENT) continue;
        char *inner = wk_format("%s/%s", path, entry->d_name);
        if (inner) wk__remove_folder(inner);
        if (inner && access(inner, F_OK) == 0)
            (void)wk_fail(WK_IO, "%s: cannot be removed, as --overwrite asks: look at who owns it and its folder",
                          inner);
        wk_free(inner);
    }
    if (folder) (void)closedir(folder);
    wk_free(path);
    return wk_failed() ? wk_error_code() : WK_OK;
}

wk_status wk__folder_clear(const wk__folder *f) {
    static const char *const left[][2] = {
        { "checkpoints", "last.safetensors" }, { "checkpoints", "best.safetensors" },
        { "predictions", "step-*" },           { "img", "*-[0-9]*.png" },
        { ".", "events.out.tfevents.*" }, /* TensorBoard would draw both runs as one */
    };
    for (size_t i = 0; i < WK_COUNT(left); i++) WK_TRY(remove_all(f->path, left[i][0], left[i][1]));
    return WK_OK;
}

/* What a writer that was killed has left, in a folder of the run. */
static void remove_temporaries(const char *run, const char *name) {
    static const char *const kinds[] = { ".safetensors.tmp.", ".ckpt.tmp.", ".pth.tmp.", ".yaml.tmp." };
    char *path = wk_format("%s/%s", run, name);
    DIR *folder = path ? opendir(path) : NULL;
    const struct dirent *entry;
    while (folder && (entry = readdir(folder)) != NULL)
        for (size_t i = 0; i < WK_COUNT(kinds); i++)
            if (strstr(entry->d_name, kinds[i])) (void)unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder) (void)closedir(folder);
    wk_free(path);
}

static FILE *open_in(const char *folder, const char *name, const char *mode) {
    char *path = wk_format("%s/%s", folder, name);
    FILE *file = path ? fopen(path, mode) : NULL;
    if (path && !file) (void)wk_fail(WK_IO, "%s: cannot open: %s", path, strerror(errno));
    wk_free(path);
    return file;
}

/* The names in the first line of metrics.csv, behind step and epoch. */
static wk_status read_columns(wk__folder *f, const char *path) {
    size_t size;
    char *text = wk__read_file(path, (size_t)1 << 30, &size), *at = text ? text : NULL;
    if (!text) return wk_error_code();
    at[strcspn(at, "\n")] = '\0';
    f->columns = 0;
    for (int skipped = 0; at; skipped++) {
        char *comma = strchr(at, ',');
        if (comma) *comma++ = '\0';
        if (skipped >= 2 && f->columns < WK__MOST_COLUMNS && !(f->column[f->columns++] = wk_strdup(at))) break;
        at = comma;
    }
    wk_free(text);
    return wk_failed() ? wk_error_code() : WK_OK;
}

wk_status wk__folder_open(wk__folder *f, const wk__run_config *config, int64_t resumed_step) {
    char *checkpoints = wk_format("%s/checkpoints", f->path), *csv = wk_format("%s/metrics.csv", f->path);
    wk_status status = checkpoints && csv ? wk__make_folder(checkpoints) : WK_NO_MEMORY;
    if (status == WK_OK) {
        remove_temporaries(f->path, "checkpoints");
        remove_temporaries(f->path, "ckpt"); /* ModelCheckpoint's */
        status = write_text(f->path, "config.yaml", config->text);
    }
    if (status == WK_OK) status = write_build(f->path);
    if (status == WK_OK)
        status =
            resumed_step >= 0 ? cut_csv(csv, resumed_step) : wk__write_file(csv, csv_header, sizeof csv_header - 1);
    if (status == WK_OK) status = read_columns(f, csv);
    if (status == WK_OK) {
        f->log = open_in(f->path, "log.txt", resumed_step >= 0 ? "ae" : "we");
        f->csv = f->log ? open_in(f->path, "metrics.csv", "ae") : NULL;
        f->events = f->csv ? wk__event_file_open(f->path) : NULL;
        if (!f->events) status = wk_error_code();
    }
    if (status == WK_OK && f->early_size) wk__folder_say(f, "%.*s", (int)f->early_size - 1, f->early_text);
    /* Later steps in older event files did not happen; in a new run none did. */
    if (status == WK_OK) status = wk__event_file_restart(f->events, wk_wall_time(), resumed_step + 1);
    wk_free(csv);
    wk_free(checkpoints);
    return status;
}

void wk__folder_close(wk__folder *f) {
    if (f->log) (void)fclose(f->log);
    if (f->csv) (void)fclose(f->csv);
    wk__event_file_close(f->events);
    if (f->is_locked) (void)close(f->lock);
    for (int i = 0; i < f->columns; i++) wk_free(f->column[i]);
    if (f->early) (void)fclose(f->early);
    free(f->early_text);
    wk_free(f->path);
    *f = (wk__folder){ 0 };
}

void wk__folder_say(wk__folder *f, const char *format, ...) {
    FILE *to = f->log ? f->log : f->early;
    if (!to) return;
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    if (f->log) {
        (void)vfprintf(stderr, format, list);
        (void)fputc('\n', stderr);
    }
    (void)vfprintf(to, format, again);
    (void)fputc('\n', to);
    (void)fflush(to);
    va_end(again);
    va_end(list);
}

void wk__folder_note(wk__folder *f, const char *line) {
    if (!f->log) return;
    (void)fprintf(f->log, "%s\n", line);
    (void)fflush(f->log);
}

/* A new column: the file is written anew, each row with one more empty cell. */
static wk_status add_column(wk__folder *f, const char *name) {
    if (f->columns == WK__MOST_COLUMNS)
        return wk_fail(WK_INVALID, "metrics.csv: more than %d columns, with \"%s\"", WK__MOST_COLUMNS, name);
    if (!(f->column[f->columns] = wk_strdup(name))) return WK_NO_MEMORY;
    f->columns++;
    char *path = wk_format("%s/metrics.csv", f->path);
    size_t size;
    char *old = path ? wk__read_file(path, (size_t)1 << 30, &size) : NULL;
    wk_text all = { 0 };
    for (const char *line = old; line && *line;) {
        const char *end = strchr(line, '\n');
        size_t length = end ? (size_t)(end - line) : strlen(line);
        wk_text_add(&all, line, length);
        wk_text_printf(&all, ",%s\n", line == old ? name : "");
        line += length + (end != NULL);
    }
    wk_status status = !old ? wk_error_code() : all.failed ? WK_NO_MEMORY : wk__write_file(path, all.data, all.size);
    if (status == WK_OK) { /* the old descriptor is that of the file before */
        (void)fclose(f->csv);
        f->csv = open_in(f->path, "metrics.csv", "ae");
        if (!f->csv) status = wk_error_code();
    }
    wk_text_free(&all);
    wk_free(old);
    wk_free(path);
    return status;
}

/* "val_loss" is the scalar "val/loss": TensorBoard groups by what is before the slash. */
void wk__metric_tag(const char *name, char *tag, size_t size) {
    static const char *const groups[] = { "train", "val", "test" };
    (void)snprintf(tag, size, "%s%s", strcmp(name, "images_per_second") == 0 ? "train/" : "", name);
    for (size_t i = 0; i < WK_COUNT(groups); i++) {
        size_t length = strlen(groups[i]);
        if (strncmp(tag, groups[i], length) == 0 && tag[length] == '_') tag[length] = '/';
    }
}

int wk__name_index(char *const *names, int count, const char *name, int likely) {
    for (int i = 0, at = likely; i < count; i++, at++) {
        if (at >= count) at = 0;
        if (strcmp(names[at], name) == 0) return at;
    }
    return -1;
}

static wk_status write_row(wk__folder *f, int64_t step, int64_t epoch, const double *const *cell) {
    wk_text row = { 0 };
    wk_text_printf(&row, "%lld,%lld", (long long)step, (long long)epoch);
    for (int c = 0; c < f->columns; c++) {
        wk_text_puts(&row, ",");
        if (cell[c]) wk_text_printf(&row, "%.9g", *cell[c]);
    }
    wk_text_puts(&row, "\n");
    bool written = !row.failed && fputs(wk_text_get(&row), f->csv) >= 0 && fflush(f->csv) == 0;
    wk_text_free(&row);
    return written ? WK_OK : wk_fail(WK_IO, "%s/metrics.csv: cannot write: %s", f->path, strerror(errno));
}

wk_status wk__folder_metrics(wk__folder *f, int64_t step, int64_t epoch, const wk_logged *values, int count) {
    if (!f->csv) return WK_OK;
    const double *cell[WK__MOST_COLUMNS] = { 0 };
    for (int i = 0, c = -1; i < count; i++) {
        c = wk__name_index(f->column, f->columns, values[i].name, c + 1);
        if (c < 0) {
            WK_TRY(add_column(f, values[i].name));
            c = f->columns - 1;
        }
        cell[c] = &values[i].value;
    }
    WK_TRY(write_row(f, step, epoch, cell));
    double now = wk_wall_time();
    for (int i = 0; i < count; i++) {
        char tag[100];
        wk__metric_tag(values[i].name, tag, sizeof tag);
        WK_TRY(wk__event_file_scalar(f->events, now, step, tag, (float)values[i].value));
    }
    return wk__event_file_flush(f->events);
}

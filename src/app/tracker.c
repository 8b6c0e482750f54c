/* tracker.c: runs on disk, as TorchX's FsspecTracker lays them out.
 *
 * Every call adds a file whose name is the time in nanoseconds: writers on many hosts need no lock, and a run is what
 * its files say together, read in the order of their names.  Ids are handles with slashes, so folders are named by
 * their base 32.
 */
#include "app/app.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct wk_tracker {
    char *root;
};

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/* RFC 4648, with its padding.  Free with wk_free. */
static char *encode(const char *id) {
    wk_text text = { 0 };
    size_t size = strlen(id);
    wk_text_puts(&text, "");
    for (size_t i = 0; i < size; i += 5) {
        uint64_t bits = 0;
        size_t here = size - i < 5 ? size - i : 5;
        for (size_t k = 0; k < 5; k++) bits = bits << 8 | (k < here ? (unsigned char)id[i + k] : 0u);
        for (size_t k = 0; k < 8; k++)
            wk_text_add(&text, k * 5 < here * 8 ? &alphabet[bits >> (35 - 5 * k) & 31] : "=", 1);
    }
    if (text.failed) wk_text_free(&text);
    return text.data;
}

/* NULL without an error if it is not such a name. */
static char *decode(const char *name) {
    wk_text text = { 0 };
    uint32_t bits = 0;
    int count = 0;
    wk_text_puts(&text, "");
    for (; *name && *name != '='; name++) {
        const char *found = strchr(alphabet, *name);
        if (!found) {
            wk_text_free(&text);
            return NULL;
        }
        bits = bits << 5 | (uint32_t)(found - alphabet);
        if ((count += 5) >= 8) {
            char byte = (char)(bits >> (count -= 8));
            wk_text_add(&text, &byte, 1);
        }
    }
    return text.data;
}

wk_tracker *wk_tracker_open(const char *root) {
    struct stat info;
    if (strncmp(root, "file:", 5) == 0) root += strncmp(root, "file://", 7) == 0 ? 7 : 5;
    if (stat(root, &info) != 0 || !S_ISDIR(info.st_mode))
        return wk_fail_null(WK_NOT_FOUND, "tracker: the folder \"%s\" does not exist; make it first", root);
    wk_tracker *tracker = wk_alloc(sizeof *tracker);
    if (tracker && !(tracker->root = wk_strdup(root))) {
        wk_free(tracker);
        return NULL;
    }
    return tracker;
}

static char *trim(char *text) {
    text += strspn(text, " \t\r");
    for (size_t size = strlen(text); size && strchr(" \t\r", text[size - 1]);) text[--size] = '\0';
    return text;
}

wk_tracker *wk_tracker_configure(const char *file) {
    const char *protocol = NULL;
    const char *root = NULL;
    wk_tracker *tracker = NULL;
    char *text = wk__app_read(strncmp(file, "file://", 7) == 0 ? file + 7 : file);
    if (!text) return NULL;
    for (char *line = text, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end) *end++ = '\0';
        char *equals = *line == '#' ? NULL : strchr(line, '=');
        if (!equals) continue;
        *equals = '\0';
        if (strcmp(trim(line), "protocol") == 0) protocol = trim(equals + 1);
        if (strcmp(trim(line), "root_path") == 0) root = trim(equals + 1);
    }
    if (!protocol || !root)
        (void)wk_fail(WK_CONFIG, "%s: please say protocol=file and root_path=FOLDER", file);
    else if (strcmp(protocol, "file") != 0 && strcmp(protocol, "local") != 0)
        (void)wk_fail(WK_CONFIG, "%s: protocol %s is not known here; known: file", file, protocol);
    else
        tracker = wk_tracker_open(root);
    wk_free(text);
    return tracker;
}

void wk_tracker_close(wk_tracker *tracker) {
    if (!tracker) return;
    wk_free(tracker->root);
    wk_free(tracker);
}

/* ROOT/BASE32(run)/CATEGORY; free with wk_free. */
static char *folder_of(const wk_tracker *tracker, const char *run, const char *category) {
    if (!run || !*run) return wk_fail_null(WK_INVALID, "tracker: a run needs an id");
    char *name = encode(run);
    char *path = name ? wk_format("%s/%s/%s", tracker->root, name, category) : NULL;
    wk_free(name);
    return path;
}

/* ---- write ---- */

static wk_status put_line(const char *path, const char *text, int flags) {
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);
    if (fd < 0) return wk_fail(WK_IO, "%s: %s", path, strerror(errno));
    size_t size = strlen(text);
    bool good = write(fd, text, size) == (ssize_t)size;
    if (close(fd) != 0) good = false;
    return good ? WK_OK : wk_fail(WK_IO, "%s: %s", path, strerror(errno));
}

/* A new file of this moment; a moment that is taken is left to who has it. */
static wk_status persist(wk_tracker *tracker, const char *run, const char *category, const char *text) {
    char *folder = folder_of(tracker, run, category);
    wk_status status = folder ? wk__app_folders(folder) : wk_error_code();
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    int64_t time = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    for (bool taken = true; status == WK_OK && taken; time++) {
        char *path = wk_format("%s/%lld", folder, (long long)time);
        taken = path && access(path, F_OK) == 0;
        if (!path)
            status = wk_error_code();
        else if (!taken)
            status = put_line(path, text, O_EXCL);
        wk_free(path);
    }
    wk_free(folder);
    return status;
}

wk_status wk_tracker_add_metadata(wk_tracker *tracker, const char *run, const wk_field *fields, size_t count) {
    wk_text text = { 0 };
    wk_text_puts(&text, "{\"metadata\": ");
    wk_status status = wk__json_put_fields(&text, fields, count, 0);
    wk_text_puts(&text, "}");
    if (status == WK_OK && text.failed) status = wk_error_code();
    if (status == WK_OK) status = persist(tracker, run, "metadata", text.data);
    wk_text_free(&text);
    return status;
}

wk_status wk_tracker_add_artifact(wk_tracker *tracker, const char *run, const char *name, const char *path,
                                  const wk_field *fields, size_t count) {
    wk_text text = { 0 };
    wk_status status = WK_OK;
    wk_text_puts(&text, "{\"name\": ");
    wk__json_put_text(&text, name);
    wk_text_puts(&text, ", \"path\": ");
    wk__json_put_text(&text, path);
    wk_text_puts(&text, ", \"metadata\": ");
    if (fields)
        status = wk__json_put_fields(&text, fields, count, 0);
    else
        wk_text_puts(&text, "null");
    wk_text_puts(&text, "}");
    if (status == WK_OK && text.failed) status = wk_error_code();
    if (status == WK_OK) status = persist(tracker, run, "artifacts", text.data);
    wk_text_free(&text);
    return status;
}

/* A link's file, FOLDER/BASE32(other), with one more line or that line alone. */
static wk_status put_link(const char *folder, const char *other, const char *artifact, int flags) {
    char *name = encode(other);
    char *path = name ? wk_format("%s/%s", folder, name) : NULL;
    char *line = path ? wk_format("%s\n", artifact ? artifact : "") : NULL;
    wk_status status = line ? put_line(path, line, flags) : wk_error_code();
    wk_free(line);
    wk_free(path);
    wk_free(name);
    return status;
}

/* The source learns of it only if it keeps descendants, which is what TorchX does. */
wk_status wk_tracker_add_source(wk_tracker *tracker, const char *run, const char *source, const char *artifact) {
    char *sources = folder_of(tracker, run, "sources");
    char *descendants = sources ? folder_of(tracker, source, "descendants") : NULL;
    wk_status status = descendants ? wk__app_folders(sources) : wk_error_code();
    if (status == WK_OK) status = put_link(sources, source, artifact, O_TRUNC);
    if (status == WK_OK && access(descendants, F_OK) == 0) status = put_link(descendants, run, artifact, O_APPEND);
    wk_free(sources);
    wk_free(descendants);
    return status;
}

/* ---- read ---- */

static int is_entry(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

/* Names of a folder's entries in order, none if there is no folder; free each and the array with free. */
static int list(const char *folder, struct dirent ***names) {
    int count = scandir(folder, names, is_entry, alphasort);
    if (count >= 0) return count;
    *names = NULL;
    if (errno != ENOENT) (void)wk_fail(WK_IO, "%s: %s", folder, strerror(errno));
    return 0;
}

static void forget(struct dirent **names, int count) {
    for (int i = 0; i < count; i++) free(names[i]);
    free(names);
}

wk_fields *wk_tracker_metadata(wk_tracker *tracker, const char *run) {
    char *folder = folder_of(tracker, run, "metadata");
    wk_fields *fields = folder ? wk__fields_new() : NULL;
    struct dirent **names = NULL;
    int count = fields ? list(folder, &names) : 0;
    for (int i = 0; i < count && !wk_failed(); i++) {
        char *path = wk_format("%s/%s", folder, names[i]->d_name);
        char *text = path ? wk__app_read(path) : NULL;
        if (text) (void)wk__json_read_fields(text, path, "metadata", fields);
        wk_free(text);
        wk_free(path);
    }
    forget(names, count);
    wk_free(folder);
    if (!wk_failed()) return fields;
    wk_fields_free(fields);
    return NULL;
}

typedef struct found { /* wk_tracked, its memory, and room for one more */
    wk_tracked *tracked;
    size_t room;
} found;

static found found_new(void) {
    wk_tracked *tracked = wk_alloc(sizeof *tracked);
    if (tracked && !(tracked->owner = wk_alloc(sizeof(wk__arena)))) {
        wk_free(tracked);
        tracked = NULL;
    }
    return (found){ tracked, 0 };
}

void wk_tracked_free(wk_tracked *tracked) {
    if (!tracked) return;
    wk__arena_destroy(tracked->owner);
    wk_free(tracked->owner);
    wk_free(tracked->items);
    wk_free(tracked);
}

static const char *keep(found *f, const char *text) {
    if (!text) return NULL;
    size_t size = strlen(text) + 1;
    char *copy = wk__arena_take(f->tracked->owner, size);
    if (copy) memcpy(copy, text, size);
    return copy;
}

static void add(found *f, struct wk_tracked_item item) {
    wk_tracked *t = f->tracked;
    if (t->count == f->room) {
        size_t room = f->room ? 2 * f->room : 16;
        struct wk_tracked_item *items = wk_realloc(t->items, room * sizeof *items);
        if (!items) return;
        t->items = items;
        f->room = room;
    }
    t->items[t->count++] = (struct wk_tracked_item){ keep(f, item.run), keep(f, item.artifact), keep(f, item.path),
                                                     keep(f, item.metadata) };
}

static wk_tracked *give(found *f) {
    if (!wk_failed()) return f->tracked;
    wk_tracked_free(f->tracked);
    return NULL;
}

static void read_artifact(found *f, const char *path) {
    json_error_t error;
    char *text = wk__app_read(path);
    json_t *top = text ? json_loads(text, 0, &error) : NULL;
    const char *name = json_string_value(json_object_get(top, "name"));
    const char *where = json_string_value(json_object_get(top, "path"));
    char *metadata = top ? json_dumps(json_object_get(top, "metadata"), JSON_ENCODE_ANY) : NULL;
    if (text && (!name || !where))
        (void)wk_fail(WK_FORMAT, "%s: expected {\"name\": …, \"path\": …, \"metadata\": …}", path);
    else if (text) {
        struct wk_tracked_item item = { .artifact = name, .path = where, .metadata = metadata ? metadata : "null" };
        wk_tracked *t = f->tracked;
        size_t same = 0;
        while (same < t->count && strcmp(t->items[same].artifact, name) != 0) same++;
        if (same < t->count)
            t->items[same] =
                (struct wk_tracked_item){ NULL, t->items[same].artifact, keep(f, where), keep(f, item.metadata) };
        else
            add(f, item);
    }
    free(metadata);
    json_decref(top);
    wk_free(text);
}

wk_tracked *wk_tracker_artifacts(wk_tracker *tracker, const char *run) {
    found f = found_new();
    char *folder = f.tracked ? folder_of(tracker, run, "artifacts") : NULL;
    struct dirent **names = NULL;
    int count = folder ? list(folder, &names) : 0;
    for (int i = 0; i < count && !wk_failed(); i++) {
        char *path = wk_format("%s/%s", folder, names[i]->d_name);
        if (path) read_artifact(&f, path);
        wk_free(path);
    }
    forget(names, count);
    wk_free(folder);
    return give(&f);
}

/* A line an artifact; a file without any stands for the run as a whole. */
static void read_source(found *f, const char *path, const char *run, const char *wanted) {
    bool named = false;
    char *text = wk__app_read(path);
    for (char *line = text, *end; line && *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end) *end++ = '\0';
        if (!*line) continue;
        named = true;
        if (!wanted || strcmp(wanted, line) == 0) add(f, (struct wk_tracked_item){ .run = run, .artifact = line });
    }
    if (text && !named && !wanted) add(f, (struct wk_tracked_item){ .run = run });
    wk_free(text);
}

wk_tracked *wk_tracker_sources(wk_tracker *tracker, const char *run, const char *artifact) {
    found f = found_new();
    char *folder = f.tracked ? folder_of(tracker, run, "sources") : NULL;
    struct dirent **names = NULL;
    int count = folder ? list(folder, &names) : 0;
    for (int i = 0; i < count && !wk_failed(); i++) {
        char *path = wk_format("%s/%s", folder, names[i]->d_name);
        char *source = path ? decode(names[i]->d_name) : NULL;
        if (source) read_source(&f, path, source, artifact);
        wk_free(source);
        wk_free(path);
    }
    forget(names, count);
    wk_free(folder);
    return give(&f);
}

wk_tracked *wk_tracker_runs(wk_tracker *tracker, const char *parent) {
    found f = found_new();
    char *under = parent ? encode(parent) : NULL;
    struct dirent **names = NULL;
    int count = f.tracked && (under || !parent) ? list(tracker->root, &names) : 0;
    for (int i = 0; i < count && !wk_failed(); i++) {
        char *path =
            wk_format("%s/%s%s%s", tracker->root, names[i]->d_name, under ? "/sources/" : "/", under ? under : ".");
        char *run = path && access(path, F_OK) == 0 ? decode(names[i]->d_name) : NULL;
        if (run) add(&f, (struct wk_tracked_item){ .run = run });
        wk_free(run);
        wk_free(path);
    }
    forget(names, count);
    wk_free(under);
    return give(&f);
}

/* tracker.c: runs on disk or at a URL, as TorchX's FsspecTracker lays them out.
 *
 * Every call adds a file whose name is the time in nanoseconds: writers on many hosts need no lock, and a run is what
 * its files say together, read in the order of their names.  Ids are handles with slashes, so folders are named by
 * their base 32.
 */
#include "app/app.h"
#include "wick/files.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
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

/* A server has no folders that could be looked at: its files are put where they belong. */
static wk_status check_root(const char *root) {
    wk_file_info info;
    if (wk_url_check(root) != WK_OK) wk_error_prefix("tracker");
    if (wk_failed() || !wk_url_path(root)) return wk_error_code();
    if (wk_file_stat(root, &info) == WK_OK && info.kind == WK_FILE_FOLDER) return WK_OK;
    wk_clear_error();
    return wk_fail(WK_NOT_FOUND, "tracker: the folder \"%s\" does not exist; make it first", root);
}

wk_tracker *wk_tracker_open(const char *root) {
    if (check_root(root) != WK_OK) return NULL;
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
    char *text = wk__app_read(file);
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
        (void)wk_fail(WK_CONFIG, "please say protocol=file and root_path=FOLDER");
    else if (strcmp(protocol, "file") == 0 || strcmp(protocol, "local") == 0 || !wk_url_path(root))
        tracker = wk_tracker_open(root);
    else { /* fsspec's way: protocol=https, root_path=host/runs */
        char *url = wk_format("%s://%s", protocol, root);
        tracker = url ? wk_tracker_open(url) : NULL;
        wk_free(url);
    }
    char *name = tracker ? NULL : wk_url_mask(file);
    if (name) wk_error_prefix("%s", name);
    wk_free(name);
    wk_free(text);
    return tracker;
}

void wk_tracker_close(wk_tracker *tracker) {
    if (!tracker) return;
    wk_free(tracker->root);
    wk_free(tracker);
}

/* FOLDER/NAME of a folder that is given up. */
static char *into(char *folder, const char *name) {
    char *url = folder ? wk_url_join(folder, name) : NULL;
    wk_free(folder);
    return url;
}

/* ROOT/BASE32(run)/CATEGORY; free with wk_free. */
static char *folder_of(const wk_tracker *tracker, const char *run, const char *category) {
    if (!run || !*run) return wk_fail_null(WK_INVALID, "tracker: a run needs an id");
    char *name = encode(run);
    char *url = name ? into(wk_url_join(tracker->root, name), category) : NULL;
    wk_free(name);
    return url;
}

/* ---- write ---- */

typedef enum how { NEW, REPLACE, APPEND } how_put;

static wk_status put_local(const char *path, const char *text, how_put how) {
    static const int flags[] = { [NEW] = O_EXCL, [REPLACE] = O_TRUNC, [APPEND] = O_APPEND };
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags[how], 0666);
    if (fd < 0) return wk_fail(errno == EEXIST ? WK_EXISTS : WK_IO, "%s: %s", path, strerror(errno));
    size_t size = strlen(text);
    bool good = write(fd, text, size) == (ssize_t)size;
    if (close(fd) != 0) good = false;
    return good ? WK_OK : wk_fail(WK_IO, "%s: %s", path, strerror(errno));
}

/* Elsewhere a file is written as a whole: to append is to read and to write. */
static wk_status put_line(const char *url, const char *text, how_put how) {
    if (wk_url_path(url)) return put_local(wk_url_path(url), text, how);
    char *former = how == APPEND ? wk__app_read(url) : NULL;
    if (!former && wk_error_code() == WK_NOT_FOUND) wk_clear_error();
    char *whole = wk_failed() ? NULL : wk_format("%s%s", former ? former : "", text);
    wk_status status = whole ? wk_file_save(url, whole, strlen(whole)) : wk_error_code();
    wk_free(whole);
    wk_free(former);
    return status;
}

/* A new file of this moment; a moment that is taken is left to who has it. */
static wk_status persist(wk_tracker *tracker, const char *run, const char *category, const char *text) {
    char *folder = folder_of(tracker, run, category);
    wk_status status = folder ? wk_folder_make(folder) : wk_error_code();
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    int64_t time = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    for (bool taken = true; status == WK_OK && taken; time++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%lld", (long long)time);
        char *url = wk_url_join(folder, name);
        status = url ? put_line(url, text, NEW) : wk_error_code();
        taken = status == WK_EXISTS;
        if (taken) {
            wk_clear_error();
            status = WK_OK;
        }
        wk_free(url);
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
static wk_status put_link(const char *folder, const char *other, const char *artifact, how_put how) {
    char *name = encode(other);
    char *url = name ? wk_url_join(folder, name) : NULL;
    char *line = url ? wk_format("%s\n", artifact ? artifact : "") : NULL;
    wk_status status = line ? put_line(url, line, how) : wk_error_code();
    wk_free(line);
    wk_free(url);
    wk_free(name);
    return status;
}

/* The source learns of it only if it keeps descendants, which is what TorchX does. */
wk_status wk_tracker_add_source(wk_tracker *tracker, const char *run, const char *source, const char *artifact) {
    char *sources = folder_of(tracker, run, "sources");
    char *descendants = sources ? folder_of(tracker, source, "descendants") : NULL;
    wk_status status = descendants ? wk_folder_make(sources) : wk_error_code();
    bool kept = false;
    if (status == WK_OK) status = put_link(sources, source, artifact, REPLACE);
    if (status == WK_OK) status = wk_file_exists(descendants, &kept);
    if (kept) status = put_link(descendants, run, artifact, APPEND);
    wk_free(sources);
    wk_free(descendants);
    return status;
}

/* ---- read ---- */

/* The entries of a folder by name, none if there is no such folder; NULL with an error. */
static wk_file_list *list(const char *folder) {
    wk_file_list *entries = wk_folder_list(folder);
    if (entries || wk_error_code() != WK_NOT_FOUND) return entries;
    wk_clear_error();
    return wk_alloc(sizeof *entries);
}

/* The next entry, and its URL, to be freed with wk_free; false: no more, or an error. */
static bool next(const wk_file_list *entries, const char *folder, size_t *at, const char **name, char **url) {
    while (entries && *at < entries->count && entries->items[*at].name[0] == '.') (*at)++;
    if (!entries || *at == entries->count || wk_failed()) return false;
    *name = entries->items[(*at)++].name;
    return (*url = wk_url_join(folder, *name)) != NULL;
}

wk_fields *wk_tracker_metadata(wk_tracker *tracker, const char *run) {
    char *folder = folder_of(tracker, run, "metadata"), *url = NULL;
    const char *name = NULL;
    wk_fields *fields = folder ? wk__fields_new() : NULL;
    wk_file_list *entries = fields ? list(folder) : NULL;
    for (size_t at = 0; next(entries, folder, &at, &name, &url); wk_free(url)) {
        char *text = wk__app_read(url);
        if (text) (void)wk__json_read_fields(text, url, "metadata", fields);
        wk_free(text);
    }
    wk_file_list_free(entries);
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
    const char *name = NULL;
    char *folder = f.tracked ? folder_of(tracker, run, "artifacts") : NULL, *url = NULL;
    wk_file_list *entries = folder ? list(folder) : NULL;
    for (size_t at = 0; next(entries, folder, &at, &name, &url); wk_free(url)) read_artifact(&f, url);
    wk_file_list_free(entries);
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
    const char *name = NULL;
    char *folder = f.tracked ? folder_of(tracker, run, "sources") : NULL, *url = NULL;
    wk_file_list *entries = folder ? list(folder) : NULL;
    for (size_t at = 0; next(entries, folder, &at, &name, &url); wk_free(url)) {
        char *source = decode(name);
        if (source) read_source(&f, url, source, artifact);
        wk_free(source);
    }
    wk_file_list_free(entries);
    wk_free(folder);
    return give(&f);
}

wk_tracked *wk_tracker_runs(wk_tracker *tracker, const char *parent) {
    found f = found_new();
    const char *name = NULL;
    char *under = parent ? encode(parent) : NULL, *url = NULL;
    wk_file_list *entries = f.tracked && (under || !parent) ? list(tracker->root) : NULL;
    for (size_t at = 0; next(entries, tracker->root, &at, &name, &url); wk_free(url)) {
        bool wanted = !parent;
        char *link = parent ? into(wk_url_join(url, "sources"), under) : NULL;
        if (link) (void)wk_file_exists(link, &wanted);
        char *run = wanted ? decode(name) : NULL;
        if (run) add(&f, (struct wk_tracked_item){ .run = run });
        wk_free(run);
        wk_free(link);
    }
    wk_file_list_free(entries);
    wk_free(under);
    return give(&f);
}

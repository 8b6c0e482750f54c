/* event.c: what the runner did, as one line of JSON for each call: TorchX's TorchxEvent.
 *
 * WICK_EVENTS says where to: nowhere (unset, "null"), standard error ("console"), or a file that lines are put to the
 * end of.  Telling must never fail what is told about, so an unwritable file is ignored.
 */
#include "launcher/launcher.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int64_t cpu_time(void) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
    return (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec
           + usage.ru_stime.tv_usec;
}

static const char *destination(void) {
    const char *named = getenv("WICK_EVENTS");
    return named && *named && strcmp(named, "null") != 0 ? named : NULL;
}

wk__event wk__event_begin(const char *api) {
    if (!destination()) return (wk__event){ 0 };
    return (wk__event){ .api = api, .start = wk_wall_time(), .clock = wk_now(), .cpu = cpu_time() };
}

static void set(json_t *object, const char *key, const char *value) {
    (void)json_object_set_new(object, key, value && *value ? json_string(value) : json_null());
}

static json_t *make(const wk__event *e, const char *scheduler, const char *app_id, const wk_appdef *app) {
    const wk__error *error = wk__error_slot();
    json_t *root = json_object();
    set(root, "session", getenv("TORCHX_INTERNAL_SESSION_ID"));
    set(root, "scheduler", scheduler);
    set(root, "api", e->api);
    set(root, "app_id", app_id);
    set(root, "app_image", app ? app->roles[0].image : NULL);
    (void)json_object_set_new(root, "app_metadata", app && app->metadata ? wk__json_of(app->metadata) : json_object());
    set(root, "source", "wick");
    (void)json_object_set_new(root, "cpu_time_usec", json_integer(cpu_time() - e->cpu));
    (void)json_object_set_new(root, "wall_time_usec", json_integer((json_int_t)((wk_now() - e->clock) * 1e6)));
    (void)json_object_set_new(root, "start_epoch_time_usec", json_integer((json_int_t)(e->start * 1e6)));
    set(root, "workspace", app && app->roles[0].workspace_count ? app->roles[0].workspace[0].key : NULL);
    set(root, "exception_type", wk_failed() ? wk_status_name(wk_error_code()) : NULL);
    set(root, "exception_message", wk_message());
    set(root, "raw_exception", wk_message());
    json_t *place = wk_failed() ? json_object() : json_null();
    if (wk_failed()) {
        set(place, "filename", error->file);
        (void)json_object_set_new(place, "lineno", json_integer(error->line));
    }
    (void)json_object_set_new(root, "exception_source_location", place);
    return root;
}

void wk__event_end(const wk__event *e, const char *scheduler, const char *app_id, const wk_appdef *app) {
    const char *where = e->api ? destination() : NULL;
    if (!where) return;
    json_t *root = make(e, scheduler, app_id, app);
    char *line = json_dumps(root, JSON_COMPACT);
    bool console = strcmp(where, "console") == 0;
    int fd = console ? STDERR_FILENO : open(where, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (line && fd >= 0) (void)dprintf(fd, "%s\n", line);
    if (fd >= 0 && !console) (void)close(fd);
    free(line);
    json_decref(root);
}

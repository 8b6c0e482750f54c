/* watch.c: what looks on while a run trains: the profiler, and the search for a NaN among gradients.
 *
 * Both belong to this thread's context, so that they see every kernel of the steps, of validation and of callbacks.
 */
#include "train/run.h"

#include <stdlib.h>

enum { LINES = 20 };

wk_status wk__watch_begin(wk_trainer *t, wk__watch *watch) {
    *watch = (wk__watch){ 0 };
    if (t->params->profiler && t->rank == 0 && !(watch->profile = wk_profile_begin())) {
        wk_error_prefix("trainer.profiler");
        return wk_error_code();
    }
    if (t->params->detect_anomaly) watch->anomaly = wk_anomaly_begin((wk_anomaly_opts){ 0 });
    return WK_OK;
}

/* The operations that took longest, where the run tells of itself. */
static wk_status say_table(wk_trainer *t, const wk_profile *profile) {
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    wk_status status = memory ? wk_profile_print(profile, WK_PROFILE_BY_OPERATION, LINES, memory) : WK_NO_MEMORY;
    if (memory && fclose(memory) != 0 && status == WK_OK) status = WK_NO_MEMORY;
    if (status == WK_OK && size) wk__folder_say(&t->folder, "where the time went:\n%.*s", (int)(size - 1), text);
    free(text);
    return status == WK_NO_MEMORY && !wk_failed() ? wk_fail(status, "no memory for the profile's table") : status;
}

static wk_status write_files(const wk_trainer *t, const wk_profile *profile) {
    char *table = wk_format("%s/profile.txt", t->config->output),
         *trace = wk_format("%s/profile.trace.json", t->config->output),
         *flames = wk_format("%s/profile.flames.svg", t->config->output);
    const bool all = t->params->profiler == WK__PROFILER_ADVANCED;
    wk_status status = table && trace && flames ? wk_profile_save_tables(profile, table) : WK_NO_MEMORY;
    if (status == WK_OK && all) status = wk_profile_save_trace(profile, trace);
    if (status == WK_OK && all) status = wk_profile_save_flames(profile, flames);
    wk_free(flames);
    wk_free(trace);
    wk_free(table);
    return status;
}

wk_status wk__watch_end(wk_trainer *t, const wk__watch *watch) {
    if (t->params->detect_anomaly) wk_anomaly_end(watch->anomaly);
    if (!watch->profile) return WK_OK;
    wk_profile_end(watch->profile);
    wk_status status = say_table(t, watch->profile);
    if (status == WK_OK) status = write_files(t, watch->profile);
    wk_profile_destroy(watch->profile);
    return status;
}

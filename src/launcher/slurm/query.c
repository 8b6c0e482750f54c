/* query.c: the state of a job, out of what squeue, sacct and scontrol print.
 *
 * The JSON differs from version to version: `job_state` is a word (21.08 to 23.02) or a list of words (23.11 on), sacct
 * has `state.current` as either; a number may be an object with "set" and "number".  Where --json is missing
 * (before 21.08) or refused, `scontrol show job -o` and sacct's lines say the same.
 */
#include "launcher/slurm/slurm.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

wk_app_state wk__slurm_state(const char *word) {
    static const struct {
        const char *word;
        wk_app_state state;
    } table[] = {
        { "COMPLETED", WK_APP_SUCCEEDED },  { "COMPLETING", WK_APP_RUNNING }, { "CONFIGURING", WK_APP_PENDING },
        { "PENDING", WK_APP_PENDING },      { "REQUEUED", WK_APP_PENDING },   { "REQUEUE_FED", WK_APP_PENDING },
        { "REQUEUE_HOLD", WK_APP_PENDING }, { "RESIZING", WK_APP_PENDING },   { "RESV_DEL_HOLD", WK_APP_PENDING },
        { "SPECIAL_EXIT", WK_APP_PENDING }, { "SUSPENDED", WK_APP_PENDING },  { "STOPPED", WK_APP_PENDING },
        { "RUNNING", WK_APP_RUNNING },      { "SIGNALING", WK_APP_RUNNING },  { "STAGE_OUT", WK_APP_RUNNING },
        { "CANCELLED", WK_APP_CANCELLED },  { "BOOT_FAIL", WK_APP_FAILED },   { "DEADLINE", WK_APP_FAILED },
        { "FAILED", WK_APP_FAILED },        { "NODE_FAIL", WK_APP_FAILED },   { "OUT_OF_MEMORY", WK_APP_FAILED },
        { "PREEMPTED", WK_APP_FAILED },     { "REVOKED", WK_APP_FAILED },     { "TIMEOUT", WK_APP_FAILED },
        { "LAUNCH_FAILED", WK_APP_FAILED }, { "EXPEDITING", WK_APP_PENDING }, { "POWER_UP_NODE", WK_APP_PENDING },
    };
    size_t size = strcspn(word, " +|,");
    for (size_t i = 0; i < WK_COUNT(table); i++)
        if (strlen(table[i].word) == size && strncmp(table[i].word, word, size) == 0) return table[i].state;
    return WK_APP_UNKNOWN;
}

/* Of the groups of a het job the liveliest tells: while one runs the app does; when all ended, a failure counts. */
static int weight(wk_app_state state) {
    static const wk_app_state order[] = { WK_APP_UNKNOWN, WK_APP_SUCCEEDED, WK_APP_CANCELLED,
                                          WK_APP_FAILED,  WK_APP_PENDING,   WK_APP_RUNNING };
    int place = 0;
    for (int i = 0; i < (int)WK_COUNT(order); i++)
        if (order[i] == state) place = i;
    return place;
}

static void take(wk__slurm_answer *out, const char *word, const char *reason, long long restarts, long long job) {
    wk_app_state state = wk__slurm_state(word);
    if (out->job && weight(state) <= weight(out->state)) return;
    out->state = state;
    out->restarts = (int)restarts;
    if (!out->job || job < out->job) out->job = job;
    (void)snprintf(out->word, sizeof out->word, "%.*s", (int)strcspn(word, " +|,"), word);
    (void)snprintf(out->reason, sizeof out->reason, "%s", reason && strcmp(reason, "None") != 0 ? reason : "");
}

/* ---- JSON ---- */

static long long number_of(const json_t *value) {
    if (json_is_object(value)) value = json_object_get(value, "number");
    if (json_is_string(value)) return strtoll(json_string_value(value), NULL, 10);
    return json_is_integer(value) ? (long long)json_integer_value(value) : 0;
}

/* A word, a list whose first is the base state and whose others are flags, or an object with `current`. */
static const char *word_of(const json_t *value) {
    if (json_is_object(value)) value = json_object_get(value, "current");
    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            const char *word = json_string_value(json_array_get(value, i));
            if (word
                && (strcmp(word, "COMPLETING") == 0 || strcmp(word, "CONFIGURING") == 0
                    || strcmp(word, "REQUEUED") == 0))
                return word;
        }
        value = json_array_get(value, 0);
    }
    return json_string_value(value);
}

static const char *reason_of(const json_t *entry) {
    const json_t *state = json_object_get(entry, "state");
    const char *reason = json_string_value(json_object_get(entry, "state_reason"));
    return reason || !json_is_object(state) ? reason : json_string_value(json_object_get(state, "reason"));
}

/* The id of the whole: of the leader in a het job (sacct: het.job_id). */
static long long leader_of(const json_t *entry) {
    const json_t *het = json_object_get(entry, "het");
    long long leader = number_of(json_object_get(entry, "het_job_id"));
    if (!leader && json_is_object(het)) leader = number_of(json_object_get(het, "job_id"));
    return leader ? leader : number_of(json_object_get(entry, "job_id"));
}

bool wk__slurm_read_json(const char *text, long long job, const char *name, wk__slurm_answer *out) {
    *out = (wk__slurm_answer){ .state = WK_APP_UNKNOWN };
    const char *brace = strchr(text, '{'); /* warnings may stand before it */
    json_t *root = brace ? json_loads(brace, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
    const json_t *jobs = json_object_get(root, "jobs");
    for (size_t i = 0; i < json_array_size(jobs); i++) {
        const json_t *entry = json_array_get(jobs, i);
        const json_t *state = json_object_get(entry, "job_state");
        const char *word = word_of(state ? state : json_object_get(entry, "state"));
        const char *called = json_string_value(json_object_get(entry, "name"));
        long long leader = leader_of(entry);
        bool ours = job ? leader == job : name && called && strcmp(called, name) == 0;
        if (!ours || !word) continue;
        const json_t *restarts = json_object_get(entry, "restart_cnt");
        take(out, word, reason_of(entry), number_of(restarts ? restarts : json_object_get(entry, "restart_count")),
             leader);
    }
    json_decref(root);
    return out->job != 0;
}

/* ---- lines ---- */

/* "Key=value" in a line of scontrol; false if it has none. */
static bool field(const char *line, size_t size, const char *key, char *value, size_t room) {
    size_t length = strlen(key);
    for (const char *at = line; at + length + 1 < line + size; at++) {
        if ((at != line && at[-1] != ' ') || strncmp(at, key, length) != 0 || at[length] != '=') continue;
        size_t end = strcspn(at + length + 1, " \n");
        (void)snprintf(value, room, "%.*s", (int)end, at + length + 1);
        return true;
    }
    return false;
}

bool wk__slurm_read_scontrol(const char *text, long long job, const char *name, wk__slurm_answer *out) {
    *out = (wk__slurm_answer){ .state = WK_APP_UNKNOWN };
    for (const char *line = text; *line;) {
        size_t size = strcspn(line, "\n");
        char id[32] = "";
        char state[64] = "";
        char called[256] = "";
        char reason[80] = "";
        char restarts[16] = "0";
        bool has = field(line, size, "JobState", state, sizeof state);
        if (!field(line, size, "HetJobId", id, sizeof id)) (void)field(line, size, "JobId", id, sizeof id);
        (void)field(line, size, "JobName", called, sizeof called);
        (void)field(line, size, "Reason", reason, sizeof reason);
        (void)field(line, size, "Restarts", restarts, sizeof restarts);
        long long leader = strtoll(id, NULL, 10);
        if (has && leader && (job ? leader == job : name && strcmp(called, name) == 0))
            take(out, state, reason, strtoll(restarts, NULL, 10), leader);
        line += size + (line[size] == '\n');
    }
    return out->job != 0;
}

/* "123+1|name|COMPLETED"; steps ("123.0", "123.batch") are parts of what is counted already. */
bool wk__slurm_read_sacct(const char *text, long long job, const char *name, wk__slurm_answer *out) {
    *out = (wk__slurm_answer){ .state = WK_APP_UNKNOWN };
    for (const char *line = text; *line;) {
        size_t size = strcspn(line, "\n");
        char id[64] = "";
        char called[256] = "";
        char state[64] = "";
        if (size < 500 && sscanf(line, "%63[^|\n]|%255[^|\n]|%63[^|\n]", id, called, state) == 3 && !strchr(id, '.')) {
            long long leader = strtoll(id, NULL, 10);
            if (leader && (job ? leader == job : name && strcmp(called, name) == 0)) take(out, state, NULL, 0, leader);
        }
        line += size + (line[size] == '\n');
    }
    return out->job != 0;
}

bool wk__slurm_read_version(const char *text, int *major, int *minor) {
    return sscanf(text, "slurm%*[^0-9]%d.%d", major, minor) == 2;
}

/* job.c: what became of a job, and scancel.
 *
 * What the script itself wrote (`result`) is believed first: it costs nothing and outlives Slurm's memory, so clusters
 * without accounting lose no outcome.  Otherwise one query answers for all apps of the user: its text is kept in
 * <state>/slurm.jobs and asked anew after POLL seconds, however many watch.  A job that the query does not hold is
 * looked for in sacct, where there is one.
 */
#include "launcher/slurm/slurm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const double POLL = 1.5;
enum { SECONDS = WK__SLURM_SECONDS, SETTLE = 10 /* until a new job must show */ };

/* ---- ask ---- */

static char *read_in(const char *app_id, const char *name) {
    char *path = wk__app_path(app_id, name);
    char *text = path ? wk__read_file(path, 4096, NULL) : NULL;
    wk_free(path);
    return text;
}

static long long job_of(const char *app_id) {
    char *text = read_in(app_id, "job");
    long long job = text ? strtoll(text, NULL, 10) : 0;
    wk_free(text);
    return job;
}

/* All jobs of the user as squeue or scontrol print them; NULL if neither answers. */
static char *ask_jobs(void) {
    char user[32];
    (void)snprintf(user, sizeof user, "--user=%lu", (unsigned long)getuid());
    const char *const commands[2][8] = { { "squeue", "--json", "-a", "-t", "all", user, NULL },
                                         { "scontrol", "show", "job", "-o", "-a", NULL } };
    for (size_t i = 0; i < WK_COUNT(commands); i++) {
        wk__command c;
        wk_status status = wk__command_run(commands[i], SECONDS, &c);
        bool good = status == WK_OK && c.code == 0 && (i == 1 || strchr(c.out.data, '{'));
        char *text = good ? wk_strdup(c.out.data) : NULL;
        wk__command_free(&c);
        if (text) return text;
        if (status == WK_NOT_FOUND) {
            (void)wk__slurm_missing(commands[i][0]);
            return NULL;
        }
        wk_clear_error();
    }
    return wk_fail_null(WK_STATE, "slurm: neither squeue nor scontrol answers");
}

static double age_of(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) return 1e9;
    return wk_wall_time() - ((double)info.st_mtim.tv_sec + (double)info.st_mtim.tv_nsec * 1e-9);
}

/* The kept answer if it is young enough, else a new one.  Who asks holds a lock: the others wait and read what it got.
 */
static char *jobs_text(double most_age) {
    char *path = wk_format("%s/slurm.jobs", wk__state_dir());
    char *lock_path = wk_format("%s/slurm.lock", wk__state_dir());
    double since = wk_wall_time();
    char *text = NULL;
    int lock = path && lock_path ? open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (lock >= 0) (void)flock(lock, LOCK_EX);
    /* an answer that came while we waited for the lock is young, whatever was wished */
    double age = path ? age_of(path) : 1e9;
    double waited = wk_wall_time() - since;
    if (path && age >= 0 && age < (most_age > waited ? most_age : waited)) text = wk__read_file(path, 64 << 20, NULL);
    if (path && !text && (text = ask_jobs())) (void)wk__write_file(path, text, strlen(text));
    if (lock >= 0) (void)close(lock);
    wk_free(lock_path);
    wk_free(path);
    return text;
}

static bool read_jobs(const char *text, long long job, const char *name, wk__slurm_answer *out) {
    return strchr(text, '{') ? wk__slurm_read_json(text, job, name, out)
                             : wk__slurm_read_scontrol(text, job, name, out);
}

/* Clusters without accounting refuse; that is no error of ours. */
static bool ask_sacct(long long job, const char *name, wk__slurm_answer *out) {
    char text[32];
    (void)snprintf(text, sizeof text, "--jobs=%lld", job);
    char *named = wk_format("--name=%s", name);
    const char *const argv[] = { "sacct",
                                 "--noheader",
                                 "--parsable2",
                                 "--format=JobID,JobName%200,State",
                                 job ? text : named,
                                 "--starttime=now-30days",
                                 NULL };
    wk__error aside = { 0 };
    wk__error *former = wk__error_bind(&aside);
    wk__command c;
    bool found = named && wk__command_run(argv, SECONDS, &c) == WK_OK;
    if (found) {
        found = c.code == 0 && wk__slurm_read_sacct(c.out.data, job, name, out);
        wk__command_free(&c);
    }
    (void)wk__error_bind(former);
    wk_free(named);
    return found;
}

/* WK_NOT_FOUND if nobody knows it. */
static wk_status ask(const char *app_id, long long job, wk__slurm_answer *out) {
    for (int turn = 0; turn < 2; turn++) { /* a kept answer may be older than the job */
        char *text = jobs_text(turn ? 0 : POLL);
        if (!text) return wk_error_code();
        bool found = read_jobs(text, job, app_id, out);
        wk_free(text);
        if (found) return WK_OK;
    }
    if (ask_sacct(job, app_id, out)) return WK_OK;
    return wk_fail(WK_NOT_FOUND, "Slurm does not know %s", app_id);
}

/* ---- judge ---- */

/* "trainer/1 was killed by …" of the first that failed in the last attempt; "" if none wrote itself down. */
static void culprit(const char *app_id, int attempt, char *text, size_t room) {
    char name[32];
    char role[128] = "";
    char place[256];
    int k = 0;
    wk__replica status;
    *text = '\0';
    (void)snprintf(name, sizeof name, "failed.%d", attempt);
    char *first = read_in(app_id, name);
    if (first && sscanf(first, "%127s %d", role, &k) == 2) {
        (void)snprintf(place, sizeof place, "%s/%d", role, k);
        char *folder = wk__app_path(app_id, place);
        bool there = folder && wk__replica_read(folder, &status);
        char *sentence = there ? wk__replica_sentence(role, k, &status, folder) : NULL;
        if (sentence) (void)snprintf(text, room, "%s", sentence);
        wk_free(sentence);
        wk_free(folder);
    }
    wk_free(first);
}

static void judge(wk__record *record, wk_app_state state, int attempt, const char *word) {
    char sentence[1500];
    bool cancelled = false;
    char *path = wk__app_path(record->app_id, "cancel");
    if (path) cancelled = wk__exists(path);
    wk_free(path);
    if (state == WK_APP_FAILED && cancelled) state = WK_APP_CANCELLED;
    record->state = state;
    record->restarts = attempt;
    if (state == WK_APP_CANCELLED) (void)snprintf(record->message, sizeof record->message, "cancelled");
    if (state != WK_APP_FAILED) return;
    culprit(record->app_id, attempt, sentence, sizeof sentence);
    (void)snprintf(record->message, sizeof record->message, "%s%s%s%s", sentence,
                   *sentence && *word ? " (Slurm: "
                   : *word            ? "Slurm says "
                                      : "",
                   word, *sentence && *word ? ")" : "");
    if (!*record->message) (void)snprintf(record->message, sizeof record->message, "the job failed");
}

/* "RESTARTS CODE", written by the script as its last deed. */
static bool judge_by_result(wk__record *record) {
    int attempt = 0;
    int code = 0;
    char *text = read_in(record->app_id, "result");
    bool there = text && sscanf(text, "%d %d", &attempt, &code) == 2;
    wk_free(text);
    if (there) judge(record, code == 0 ? WK_APP_SUCCEEDED : WK_APP_FAILED, attempt, "");
    return there;
}

static void judge_by_slurm(wk__record *record) {
    wk__slurm_answer answer = { .state = WK_APP_UNKNOWN };
    long long job = job_of(record->app_id);
    wk_status status = ask(record->app_id, job, &answer);
    if (status == WK_OK) {
        if (!job) { /* the client died between sbatch and its note */
            char text[32];
            char *path = wk__app_path(record->app_id, "job");
            (void)snprintf(text, sizeof text, "%lld\n", answer.job);
            if (path) (void)wk__write_file(path, text, strlen(text));
            wk_free(path);
        }
        if (answer.state == WK_APP_PENDING)
            (void)snprintf(record->message, sizeof record->message, "%s", answer.reason);
        judge(record, answer.state, answer.restarts, strcmp(answer.word, "FAILED") == 0 ? "" : answer.word);
        return;
    }
    if (status != WK_NOT_FOUND) {
        wk_log_write(WK_LOG_WARNING, "%s; the state is the last one known", wk_message());
        wk_clear_error();
        return;
    }
    wk_clear_error();
    if (wk_wall_time() - record->created_at < SETTLE || judge_by_result(record)) return;
    record->state = WK_APP_FAILED;
    (void)snprintf(record->message, sizeof record->message, "%s",
                   job ? "Slurm has forgotten the job, and it left no result"
                       : "never submitted: the client ended before sbatch did");
}

static wk_status refresh(wk__store *store, wk__record *record) {
    if (wk_app_state_is_terminal(record->state)) return WK_OK;
    if (!judge_by_result(record)) judge_by_slurm(record);
    return wk__store_update(store, record->app_id, record->state, record->restarts, record->message);
}

wk_app_status *wk__slurm_describe(const char *app_id) {
    wk__record record;
    wk__store *store = wk__store_open();
    if (!store) return NULL;
    wk_status status = wk__store_get(store, app_id, &record);
    if (status == WK_OK) status = refresh(store, &record);
    wk__store_close(store);
    return status == WK_OK ? wk__status_of(&record) : NULL;
}

wk_status wk__slurm_list(wk_app_entry **entries, size_t *count) {
    wk__record *records = NULL;
    wk__store *store = wk__store_open();
    *entries = NULL;
    if (!store) return wk_error_code();
    wk_status status = wk__store_list(store, "slurm", &records, count);
    if (status == WK_OK && !(*entries = wk_alloc((*count + 1) * sizeof **entries))) status = wk_error_code();
    for (size_t i = 0; i < *count && status == WK_OK; i++) {
        status = refresh(store, &records[i]);
        wk__entry_of(&records[i], &(*entries)[i]);
    }
    wk_free(records);
    wk__store_close(store);
    return status;
}

wk_status wk__slurm_cancel(const char *app_id) {
    wk_app_status *status = wk__slurm_describe(app_id);
    if (!status) return wk_error_code();
    bool over = wk_app_state_is_terminal(status->state);
    wk_app_status_free(status);
    if (over) return WK_OK;
    char *path = wk__app_path(app_id, "cancel");
    char job[32];
    char *name = wk_format("--name=%s", app_id);
    (void)snprintf(job, sizeof job, "%lld", job_of(app_id));
    const char *const argv[] = { "scancel", strcmp(job, "0") != 0 ? job : name, NULL };
    wk__command c;
    wk_status done = path && name ? wk__write_file(path, "cancel\n", 7) : wk_error_code();
    if (done == WK_OK) {
        done = wk__command_run(argv, SECONDS, &c);
        if (done != WK_OK)
            done = wk__slurm_missing("scancel");
        else if (c.code != 0)
            done = wk_fail(WK_STATE, "slurm: %.*s", (int)strcspn(c.err.data, "\n"), c.err.data);
        wk__command_free(&c);
    }
    wk_free(path);
    wk_free(name);
    return done;
}

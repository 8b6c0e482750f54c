/* writer.c: checkpoints written behind training's back.
 *
 * The state is packed into memory while training stands still, which costs one pass over it; the memory is kept, for
 * memory from the system takes three times as long.  The thread then writes the file as everybody does: under another
 * name, to the disk, and renamed.  So a process that dies at any moment leaves the file from before or the new one.
 * What depends on a file being there (removing the one that it replaces, a link, the list of the best) is a job behind
 * it.
 */
#include "train/writer.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

typedef enum kind { WRITE, REMOVE, LINK } kind;
typedef struct job {
    kind kind;
    int64_t step, chain;
    char *path, *text; /* of a note, and of a link: its target */
    wk__pages pages;   /* of a checkpoint */
    struct job *next;
} job;

struct wk__saver {
    bool background, stopping;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    job *first, *last;    /* the first may be under way */
    int64_t step, chain;  /* of the last checkpoint; chains count from 1 */
    int64_t failed_chain; /* whose later jobs are left out; 0: none */
    wk__pages spare;      /* of a checkpoint that was written */
    wk__error error;      /* the first since somebody was told; code WK_OK: none */
};

static void job_free(job *j) {
    if (!j) return;
    wk_free(j->path);
    wk_free(j->text);
    wk__pages_free(&j->pages);
    wk_free(j);
}

static wk_status make_link(const job *j) {
    if (unlink(j->path) != 0 && errno != ENOENT)
        return wk_fail(WK_IO, "%s: cannot replace: %s", j->path, strerror(errno));
    return symlink(j->text, j->path) == 0 ? WK_OK
                                          : wk_fail(WK_IO, "%s: cannot make the link: %s", j->path, strerror(errno));
}

static wk_status run(const job *j) {
    switch (j->kind) {
    case WRITE:
        return j->text ? wk__write_file(j->path, j->text, strlen(j->text))
                       : wk__write_file(j->path, j->pages.bytes, j->pages.size);
    case LINK: return make_link(j);
    default:
        if (unlink(j->path) == 0 || errno == ENOENT) return WK_OK;
        return wk_fail(WK_IO, "%s: cannot remove: %s", j->path, strerror(errno));
    }
}

/* The error of a job is kept for whoever asks; this thread has none afterwards. */
static void note_failure(wk__saver *s, int64_t chain) {
    s->failed_chain = chain;
    if (s->error.code == WK_OK) s->error = *wk__error_slot();
    wk_clear_error();
}

/* Under the lock. */
static void keep_pages(wk__saver *s, job *j) {
    if (j->pages.room <= s->spare.room) return;
    const wk__pages before = s->spare;
    s->spare = j->pages;
    j->pages = before;
}

wk__pages wk__saver_pages(wk__saver *s) {
    (void)pthread_mutex_lock(&s->lock);
    const wk__pages pages = s->spare;
    s->spare = (wk__pages){ 0 };
    (void)pthread_mutex_unlock(&s->lock);
    return pages;
}

/* ---- the thread ---- */

static void *thread_main(void *argument) {
    wk__saver *s = argument;
    (void)pthread_mutex_lock(&s->lock);
    while (!s->stopping || s->first) {
        if (!s->first) {
            (void)pthread_cond_wait(&s->work, &s->lock);
            continue;
        }
        job *j = s->first;
        const bool runs = j->chain != s->failed_chain;
        (void)pthread_mutex_unlock(&s->lock);
        wk_status status = runs ? run(j) : WK_OK;
        (void)pthread_mutex_lock(&s->lock);
        if (status != WK_OK) note_failure(s, j->chain);
        s->first = j->next;
        if (!s->first) s->last = NULL;
        keep_pages(s, j);
        job_free(j);
        (void)pthread_cond_broadcast(&s->done);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return NULL;
}

wk__saver *wk__saver_create(bool background) {
    wk__saver *s = wk_alloc(sizeof *s);
    if (!s) return NULL;
    s->background = background;
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->work, NULL);
    (void)pthread_cond_init(&s->done, NULL);
    int code = background ? pthread_create(&s->thread, NULL, thread_main, s) : 0;
    if (code == 0) return s;
    s->background = false;
    wk__saver_destroy(s);
    return wk_fail_null(WK_NO_MEMORY, "checkpoint.async: no thread can be started: %s", strerror(code));
}

void wk__saver_destroy(wk__saver *s) {
    if (!s) return;
    if (s->background) {
        (void)pthread_mutex_lock(&s->lock);
        s->stopping = true;
        (void)pthread_cond_signal(&s->work);
        (void)pthread_mutex_unlock(&s->lock);
        (void)pthread_join(s->thread, NULL);
    }
    (void)pthread_cond_destroy(&s->done);
    (void)pthread_cond_destroy(&s->work);
    (void)pthread_mutex_destroy(&s->lock);
    wk__pages_free(&s->spare);
    wk_free(s);
}

/* ---- what has become of them ---- */

static wk_status look(wk__saver *s) {
    (void)pthread_mutex_lock(&s->lock);
    const wk__error error = s->error;
    s->error.code = WK_OK;
    (void)pthread_mutex_unlock(&s->lock);
    return error.code == WK_OK ? WK_OK : wk_fail(error.code, "%s", error.message);
}

wk_status wk__saver_wait(wk__saver *s) {
    (void)pthread_mutex_lock(&s->lock);
    while (s->first) (void)pthread_cond_wait(&s->done, &s->lock);
    (void)pthread_mutex_unlock(&s->lock);
    return look(s);
}

bool wk__saver_failed(wk__saver *s) {
    (void)pthread_mutex_lock(&s->lock);
    const bool failed = s->chain > 0 && s->failed_chain == s->chain;
    (void)pthread_mutex_unlock(&s->lock);
    return failed;
}

bool wk__saver_has(wk__saver *s, const char *path) {
    (void)pthread_mutex_lock(&s->lock);
    bool found = false;
    for (const job *j = s->first; j && !found; j = j->next) found = j->kind != REMOVE && strcmp(j->path, path) == 0;
    (void)pthread_mutex_unlock(&s->lock);
    return found || access(path, F_OK) == 0;
}

/* ---- jobs ---- */

static wk_status run_now(wk__saver *s, job *j) {
    if (j->chain != s->failed_chain && run(j) != WK_OK) note_failure(s, j->chain);
    job_free(j);
    return look(s);
}

/* Takes the job over; it joins the last chain. */
static wk_status add(wk__saver *s, job *j) {
    if (!j->path || (!j->text && !j->pages.block)) {
        job_free(j);
        return WK_NO_MEMORY;
    }
    j->step = s->step;
    j->chain = s->chain;
    if (!s->background) return run_now(s, j);
    (void)pthread_mutex_lock(&s->lock);
    while (s->first && s->first->step != j->step) (void)pthread_cond_wait(&s->done, &s->lock);
    if (s->last)
        s->last->next = j;
    else
        s->first = j;
    s->last = j;
    (void)pthread_cond_signal(&s->work);
    (void)pthread_mutex_unlock(&s->lock);
    return look(s);
}

static wk_status add_text(wk__saver *s, kind what, const char *path, const char *text) {
    job *j = wk_alloc(sizeof *j);
    if (!j) return WK_NO_MEMORY;
    *j = (job){ .kind = what, .path = wk_strdup(path), .text = wk_strdup(text) };
    return add(s, j);
}

wk_status wk__saver_write(wk__saver *s, int64_t step, char *path, wk__pages bytes) {
    job *j = wk_alloc(sizeof *j);
    if (j) {
        *j = (job){ .kind = WRITE, .path = path, .pages = bytes };
        s->chain++;
        s->step = step;
        return add(s, j);
    }
    wk_free(path);
    wk__pages_free(&bytes);
    return WK_NO_MEMORY;
}

wk_status wk__saver_written(wk__saver *s, wk_status status) {
    s->chain++;
    if (status != WK_IO) return status;
    (void)pthread_mutex_lock(&s->lock);
    note_failure(s, s->chain);
    (void)pthread_mutex_unlock(&s->lock);
    return look(s);
}

wk_status wk__saver_note(wk__saver *s, const char *path, const char *text) {
    return add_text(s, WRITE, path, text);
}

wk_status wk__saver_remove(wk__saver *s, const char *path) {
    return add_text(s, REMOVE, path, "");
}

wk_status wk__saver_link(wk__saver *s, const char *path, const char *target) {
    return add_text(s, LINK, path, target);
}

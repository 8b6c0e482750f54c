/* copy.c: from one URL to another, file by file. */
#include "files/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 20, MOST_DEPTH = 64 };

typedef struct copier {
    wk_copied done;
    char *chunk;
} copier;

static _Thread_local const wk_copy_opts *current;

bool wk__copy_goes_on(void) {
    return !current || !current->go_on || current->go_on(current->context);
}

static wk_status copy_file(copier *c, const char *from, const char *to) {
    wk_file *in = wk_file_open(from);
    wk_file *out = in ? wk_file_create(to) : NULL;
    wk_status status = out ? WK_OK : wk_error_code();
    int64_t bytes = 0;
    for (size_t got = CHUNK; status == WK_OK && got == CHUNK; bytes += (int64_t)got) {
        status = wk_file_read(in, c->chunk, CHUNK, &got);
        if (status == WK_OK) status = wk_file_write(out, c->chunk, got);
        if (status == WK_OK && !wk__copy_goes_on()) status = wk_fail(WK_CANCELLED, "the copy was ended");
        if (status != WK_OK) break;
    }
    if (status == WK_OK) status = wk_file_commit(out);
    wk_file_close(in);
    wk_file_close(out);
    if (status != WK_OK) return status;
    c->done.files++;
    c->done.bytes += bytes;
    return WK_OK;
}

/* Would a copy of this folder find itself? */
static wk_status check_apart(const char *from, const char *to) {
    const char *here = wk_url_path(from), *there = wk_url_path(to);
    char *a = here ? realpath(here, NULL) : NULL, *b = there ? realpath(there, NULL) : NULL;
    const char *x = a ? a : from, *y = b ? b : to;
    size_t size = strlen(x);
    while (size > 1 && x[size - 1] == '/') size--;
    const bool within = !here == !there && strncmp(x, y, size) == 0 && (y[size] == '/' || y[size] == '\0');
    free(a);
    free(b);
    return within ? wk_fail(WK_INVALID, "\"%s\" lies in \"%s\", so the copy would have no end; copy to elsewhere", to,
                            from)
                  : WK_OK;
}

static wk_status copy_folder(copier *c, const char *from, const char *to, int depth) {
    if (depth > MOST_DEPTH)
        return wk_fail(WK_IO, "folders more than %d deep: does a link lead back to a folder above?", MOST_DEPTH);
    bool there = true;
    wk_file_list *list = wk_folder_list(from);
    wk_status status = list ? WK_OK : wk_error_code();
    if (status == WK_OK && depth == 0 && wk_url_path(to)) status = wk_file_exists(to, &there);
    if (status == WK_OK) status = wk_folder_make(to);
    if (status == WK_OK && depth == 0 && (status = check_apart(from, to)) != WK_OK && !there)
        (void)remove(wk_url_path(to)); /* it was made to be looked at */
    for (size_t i = 0; status == WK_OK && i < list->count; i++) {
        char *a = wk_url_join(from, list->items[i].name);
        char *b = a ? wk_url_join(to, list->items[i].name) : NULL;
        if (!b)
            status = wk_error_code();
        else if (list->items[i].info.kind == WK_FILE_FOLDER)
            status = copy_folder(c, a, b, depth + 1);
        else
            status = copy_file(c, a, b);
        wk_free(a);
        wk_free(b);
    }
    wk_file_list_free(list);
    return status;
}

/* Into a folder the file goes under its own name. */
static wk_status copy_one(copier *c, const char *from, const char *to) {
    WK_TRY(wk_url_check(from));
    WK_TRY(wk_url_check(to));
    const wk_file_system *source = wk__file_system(from), *target = wk__file_system(to);
    wk_file_info info;
    const size_t size = strlen(to);
    bool into = to[size - 1] == '/';
    if (!(source->flags & WK_FILES_HOST) && source->stat) {
        WK_TRY(wk_file_stat(from, &info));
        if (info.kind == WK_FILE_FOLDER)
            return wk_fail(WK_INVALID, "%s: is a folder; a recursive copy takes what lies in it", from);
    }
    if (!into && target->stat && !(target->flags & WK_FILES_HOST) && wk_file_stat(to, &info) == WK_OK)
        into = info.kind == WK_FILE_FOLDER;
    if (wk_error_code() == WK_NOT_FOUND) wk_clear_error();
    if (wk_failed()) return wk_error_code();
    if (!into) return copy_file(c, from, to);
    char *name = wk__url_name(from, source);
    char *whole = name ? wk_url_join(to, name) : NULL;
    wk_status status = whole ? copy_file(c, from, whole) : wk_error_code();
    wk_free(whole);
    wk_free(name);
    return status;
}

wk_status wk_file_copy(const char *from, const char *to, wk_copy_opts opts, wk_copied *copied) {
    copier c = { 0 };
    wk_file_info info = { 0 };
    if (wk_failed()) return wk_error_code();
    const wk_copy_opts *outer = current;
    current = &opts;
    c.chunk = wk_alloc_data(CHUNK);
    wk_status status = c.chunk ? WK_OK : wk_error_code();
    if (status == WK_OK && opts.recursive) status = wk_file_stat(from, &info);
    if (status == WK_OK) status = info.kind == WK_FILE_FOLDER ? copy_folder(&c, from, to, 0) : copy_one(&c, from, to);
    current = outer;
    wk_free(c.chunk);
    if (copied) *copied = c.done;
    return status;
}

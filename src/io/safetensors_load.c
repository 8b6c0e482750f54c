/* safetensors_load.c: tensors of a file into a module's own memory. */
#define WK_NO_CALL_SITES
#include "io/mismatch.h"
#include "io/safetensors_file.h"
#include "tensor/tensor.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what fits ---- */

/* How the file's tensor differs from the one it is for, if it does. */
static void compare(const wk__stored_tensor *e, const char *name, const wk_tensor *target, wk__mismatch *differ) {
    if (!e) {
        wk__mismatch_note(differ, WK__MISSING, name, "");
        return;
    }
    bool fits = e->dtype == target->dtype && e->dims.rank == target->rank;
    for (int i = 0; fits && i < target->rank; i++) fits = e->dims.size[i] == target->shape[i];
    if (fits) return;
    wk_tensor stored = { .rank = (uint8_t)e->dims.rank, .dtype = (uint8_t)e->dtype };
    memcpy(stored.shape, e->dims.size, sizeof stored.shape);
    char one[160], other[160], more[400];
    (void)snprintf(more, sizeof more, " (%s in the file, %s in the model)", wk_describe(&stored, one, sizeof one),
                   wk_describe(target, other, sizeof other));
    wk__mismatch_note(differ, WK__OTHER_SHAPE, name, more);
}

static wk_status check_targets(wk_safetensors *file, const char *prefix, wk_named_tensors targets, const char *what,
                               wk__mismatch *differ) {
    char full[512];
    for (int i = 0; i < targets.count; i++) {
        (void)snprintf(full, sizeof full, "%s%s", prefix, targets.name[i]);
        if (!wk_is_contiguous(targets.tensor[i]))
            return wk_fail(WK_INVALID, "loading %s: \"%s\" is not row major", what, full);
        compare(wk__stored_find(file, full), targets.name[i], targets.tensor[i], differ);
    }
    return WK_OK;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static wk_status find_unexpected(const wk_safetensors *file, const char *prefix, wk_named_tensors targets,
                                 wk__mismatch *differ) {
    size_t prefix_size = strlen(prefix);
    const char **wanted = wk_alloc(((size_t)targets.count + 1) * sizeof *wanted);
    if (!wanted) return WK_NO_MEMORY;
    for (int i = 0; i < targets.count; i++) wanted[i] = targets.name[i];
    qsort(wanted, (size_t)targets.count, sizeof *wanted, by_text);
    for (int i = 0; i < file->count; i++) {
        const char *name = file->entries[i].name, *own = name + prefix_size;
        if (strncmp(name, prefix, prefix_size) != 0) continue;
        if (targets.count == 0 || !bsearch(&own, wanted, (size_t)targets.count, sizeof *wanted, by_text))
            wk__mismatch_note(differ, WK__UNEXPECTED, own, "");
    }
    wk_free(wanted);
    return WK_OK;
}

static wk_status check(wk_safetensors *file, const char *prefix, wk_named_tensors targets, const char *what,
                       bool may_have_more) {
    wk__mismatch differ = { 0 };
    if (wk_failed()) return WK_PENDING;
    wk_status status = check_targets(file, prefix, targets, what, &differ);
    if (status == WK_OK && !may_have_more) status = find_unexpected(file, prefix, targets, &differ);
    char *words = status == WK_OK ? wk__mismatch_told(&differ) : NULL;
    if (words)
        status =
            wk_fail(WK_FORMAT, "%s: not the tensors of %s: %s: it belongs to another model", file->path, what, words);
    wk_free(words);
    wk__mismatch_free(&differ);
    return status;
}

wk_status wk_check_named(wk_safetensors *file, const char *prefix, wk_named_tensors targets, const char *what) {
    return check(file, prefix, targets, what, false);
}

wk_status wk_check_matching(wk_safetensors *file, const char *prefix, wk_named_tensors targets, const char *what) {
    return check(file, prefix, targets, what, true);
}

/* ---- reading ---- */

enum { PIECE = 4 << 20, MOST_READERS = 4 };

typedef struct piece {
    int descriptor;
    off_t at;
    char *to;
    size_t size;
} piece;
typedef struct reading {
    piece *pieces;
    int count, room;
    size_t bytes;
    atomic_int next, error; /* errno; -1: the file has become shorter */
} reading;

static wk_status add_pieces(reading *r, const wk__stored_tensor *e, char *to) {
    const wk_safetensors *file = e->file;
    off_t at = file->data - (const char *)file->mapping.data + (off_t)e->begin;
    for (size_t left = (size_t)(e->end - e->begin), size; left > 0; left -= size, at += (off_t)size, to += size) {
        size = left < PIECE ? left : PIECE;
        if (r->count == r->room) {
            const int room = r->room ? 2 * r->room : 64;
            piece *more = wk_realloc(r->pieces, (size_t)room * sizeof *more);
            if (!more) return wk_error_code();
            r->pieces = more;
            r->room = room;
        }
        r->bytes += size;
        r->pieces[r->count++] = (piece){ file->descriptor, at, to, size };
    }
    return WK_OK;
}

static void *read_pieces(void *context) {
    reading *r = context;
    for (int i; (i = atomic_fetch_add(&r->next, 1)) < r->count;) {
        const piece *p = &r->pieces[i];
        for (size_t done = 0; done < p->size;) {
            const ssize_t got = pread(p->descriptor, p->to + done, p->size - done, p->at + (off_t)done);
            if (got < 0 && errno == EINTR) continue;
            if (got <= 0) {
                atomic_store(&r->error, got < 0 ? errno : -1);
                return NULL;
            }
            done += (size_t)got;
        }
    }
    return NULL;
}

/* Several readers: one that fills memory is slower than what memory and disks give. */
static wk_status read_all(reading *r, const char *path) {
    pthread_t reader[MOST_READERS];
    const int most = r->bytes <= PIECE ? 1 : wk_threads() < MOST_READERS ? wk_threads() : MOST_READERS;
    int readers = 0;
    while (readers + 1 < most && pthread_create(&reader[readers], NULL, read_pieces, r) == 0) readers++;
    (void)read_pieces(r);
    for (int i = 0; i < readers; i++) (void)pthread_join(reader[i], NULL);
    const int error = atomic_load(&r->error);
    if (!error) return WK_OK;
    return wk_fail(WK_IO, "%s: cannot read: %s", path, error > 0 ? strerror(error) : "it has become shorter");
}

/* ---- loading ---- */

/* Read, and not copied from the mapping: a file that somebody shortens is an error then, and no signal. */
static wk_status load_all(wk_safetensors *file, const char *prefix, wk_named_tensors targets) {
    reading all = { 0 };
    char full[512];
    wk_status status = WK_OK;
    for (int i = 0; i < targets.count && status == WK_OK; i++) {
        (void)snprintf(full, sizeof full, "%s%s", prefix, targets.name[i]);
        const wk__stored_tensor *e = wk__stored_find(file, full);
        const wk_tensor *target = targets.tensor[i];
        status =
            target->device || e->file->descriptor < 0
                ? wk__copy_bytes(target->data, target->device, e->file->data + e->begin, 0, (size_t)(e->end - e->begin))
                : add_pieces(&all, e, target->data);
        wk__storage_changed(target->storage, "wk_load_named");
    }
    if (status == WK_OK) status = read_all(&all, file->path);
    wk_free(all.pieces);
    return status;
}

wk_status wk_load_named(wk_safetensors *file, const char *prefix, wk_named_tensors targets, const char *what) {
    WK_TRY(wk_check_named(file, prefix, targets, what));
    return load_all(file, prefix, targets);
}

wk_status wk_load_matching(wk_safetensors *file, const char *prefix, wk_named_tensors targets, const char *what) {
    WK_TRY(wk_check_matching(file, prefix, targets, what));
    return load_all(file, prefix, targets);
}

wk_status wk_module_load(wk_module *module, const char *path) {
    if (wk_failed()) return WK_PENDING;
    wk_safetensors *file = wk_safetensors_open(path);
    if (!file) return wk_error_code();
    wk_status status = wk_load_named(file, "", wk_state(module), "the model");
    wk_safetensors_close(file);
    return status;
}

wk_status wk_module_save(wk_module *module, const char *path) {
    const wk_metadata format = { "format", "pt" };
    return wk_safetensors_save(path, wk_state(module), &format, 1);
}

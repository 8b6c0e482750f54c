/* media.c: sound, meshes and graphs that a run shows in TensorBoard. */
#include "train/events.h"

#include "base/base.h"

#include <string.h>

/* ---- sound ---- */

wk_status wk_trainer_log_audio(wk_trainer *t, const char *tag, wk_tensor *samples, int rate) {
    enum { MOST_CHANNELS = 65535, MOST_SAMPLES = 1 << 30 }; /* WAV's numbers have 16 and 32 bits */
    wk_text records = { 0 };
    if (!t->folder.events) return WK_OK;
    if (!samples && wk_failed()) return wk_error_code();
    const int rank = samples ? wk_rank(samples) : 0;
    const int64_t channels = rank == 2 ? wk_size(samples, 0) : 1;
    if (rank < 1 || rank > 2 || channels < 1 || channels > MOST_CHANNELS)
        return wk_fail(WK_SHAPE, "wk_trainer_log_audio: expected samples (frames) or (channels, frames)");
    if (wk_count(samples) > MOST_SAMPLES)
        return wk_fail(WK_INVALID, "wk_trainer_log_audio: %lld samples, expected at most %d",
                       (long long)wk_count(samples), MOST_SAMPLES);
    if (rate < 1) return wk_fail(WK_INVALID, "wk_trainer_log_audio: rate is %d, expected samples a second", rate);
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    const float *data = wk__as_floats(rank == 2 ? wk_transpose(samples, 0, 1) : samples);
    if (data)
        wk__event_audio(&records, wk_wall_time(), t->standing.step, tag, data, wk_size(samples, -1), (int)channels,
                        rate);
    wk_no_grad_end(was);
    wk_scope_end(scope);
    return data ? wk__put_events(t, &records) : wk_error_code();
}

/* ---- meshes ---- */

/* (batch, n, 3), like the points where those are given. */
static wk_status check_rows(wk_tensor *rows, const wk_tensor *points, bool one_each, const char *what) {
    char text[160];
    bool fits = wk_rank(rows) == 3 && wk_size(rows, 2) == 3 && wk_size(rows, 0) == wk_size(points, 0);
    if (fits && (!one_each || wk_size(rows, 1) == wk_size(points, 1))) return WK_OK;
    return wk_fail(WK_SHAPE, "wk_trainer_log_mesh: %s are %s, expected (batch, %s, 3)%s", what,
                   wk_describe(rows, text, sizeof text), one_each ? "N" : "M",
                   rows == points ? "" : " beside points (batch, N, 3)");
}

wk_status wk_trainer_log_mesh(wk_trainer *t, const char *tag, wk_board_mesh m) {
    wk_text records = { 0 };
    if (!t->folder.events) return WK_OK;
    if (!m.points)
        return wk_failed() ? wk_error_code() : wk_fail(WK_INVALID, "wk_trainer_log_mesh: there are no points");
    WK_TRY(check_rows(m.points, m.points, true, "points"));
    if (m.colours) WK_TRY(check_rows(m.colours, m.points, true, "colours"));
    if (m.faces) WK_TRY(check_rows(m.faces, m.points, false, "faces"));
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    const wk__mesh mesh = { .points = wk__as_floats(m.points),
                            .colours = m.colours ? wk__as_floats(m.colours) : NULL,
                            .faces = m.faces ? wk__as_floats(m.faces) : NULL,
                            .batch = wk_size(m.points, 0),
                            .n_points = wk_size(m.points, 1),
                            .n_faces = m.faces ? wk_size(m.faces, 1) : 0,
                            .config = m.config };
    if (!wk_failed()) wk__event_mesh(&records, wk_wall_time(), t->standing.step, tag, &mesh);
    wk_no_grad_end(was);
    wk_scope_end(scope);
    return wk_failed() ? wk_error_code() : wk__put_events(t, &records);
}

/* ---- graphs ---- */

/* Parts as the walk gives them; names are made when all are known. */
typedef struct found {
    uint64_t number;
    const char *op, *given; /* given: of a leaf */
    wk_dims *shape;
    uint64_t *from;
    int shapes, sources;
    char *name;
} found;
typedef struct drawing {
    found *part;
    int parts, room;
} drawing;

static wk_status note(void *context, const wk_graph_part *part) {
    drawing *d = context;
    if (d->parts == d->room) {
        const int room = d->room ? 2 * d->room : 64;
        found *more = wk_realloc(d->part, (size_t)room * sizeof *more);
        if (!more) return wk_error_code();
        d->part = more;
        d->room = room;
    }
    found *f = &d->part[d->parts++];
    *f = (found){ part->number, part->op, part->name, NULL, NULL, part->count, part->sources, NULL };
    f->shape = wk_alloc((size_t)(part->count + 1) * sizeof *f->shape);
    f->from = f->shape ? wk_alloc((size_t)(part->sources + 1) * sizeof *f->from) : NULL;
    if (!f->from) return wk_error_code();
    for (int i = 0; i < part->count; i++) f->shape[i] = wk_dims_get(part->of[i]);
    if (part->sources) memcpy(f->from, part->from, (size_t)part->sources * sizeof *f->from);
    return WK_OK;
}

static void let_go(drawing *d) {
    for (int i = 0; i < d->parts; i++) {
        wk_free(d->part[i].shape);
        wk_free(d->part[i].from);
        wk_free(d->part[i].name);
    }
    wk_free(d->part);
}

static const found *part_of(const drawing *d, uint64_t number) {
    for (int i = 0; i < d->parts; i++)
        if (d->part[i].number == number) return &d->part[i];
    return NULL;
}

/* "layers/0/weight"; an operation stands in the module whose parameters it takes: "layers/0/linear_12". */
static char *name_of(const drawing *d, const found *part, int serial) {
    const char *module = "";
    for (int i = 0; i < part->sources && !*module; i++) {
        const found *source = part_of(d, part->from[i]);
        if (source && source->given) module = source->given;
    }
    const char *dot = strrchr(module, '.');
    char *name = part->given ? wk_format("%s", part->given)
                             : wk_format("%.*s%s_%d", dot ? (int)(dot + 1 - module) : 0, module,
                                         part->op ? part->op : "leaf", serial);
    for (char *c = name; c && *c; c++)
        if (*c == '.') *c = '/';
    return name;
}

static wk_status encode(drawing *d, wk_text *records) {
    int sources = 0;
    for (int i = 0; i < d->parts; i++) {
        d->part[i].name = name_of(d, &d->part[i], d->parts - i);
        sources += d->part[i].sources;
    }
    wk__graph_part *all = wk_alloc((size_t)d->parts * sizeof *all);
    const char **input = wk_alloc((size_t)(sources + 1) * sizeof *input), **next = input;
    /* TensorBoard draws in the order of the file: from the first operation on. */
    for (int i = 0; i < d->parts && !wk_failed(); i++) {
        const found *f = &d->part[d->parts - 1 - i];
        all[i] = (wk__graph_part){ f->name, f->op ? f->op : "parameter", next, f->sources, f->shape, f->shapes };
        for (int k = 0; k < f->sources; k++) *next++ = part_of(d, f->from[k])->name;
    }
    if (!wk_failed()) wk__event_graph(records, wk_wall_time(), all, d->parts);
    wk_free((void *)input);
    wk_free(all);
    return wk_failed() ? wk_error_code() : WK_OK;
}

wk_status wk_trainer_log_graph(wk_trainer *t, wk_tensor *of) {
    wk_text records = { 0 };
    drawing d = { 0 };
    if (!t->folder.events) return WK_OK;
    const wk_named_tensors named = wk_parameters(t->wrapper->module);
    const wk_graph_opts opts = { .leaf = named.tensor, .name = named.name, .count = named.count };
    wk_status status = wk_graph_walk(&of, 1, opts, note, &d);
    if (status == WK_OK) status = encode(&d, &records);
    let_go(&d);
    return status == WK_OK ? wk__put_events(t, &records) : status;
}

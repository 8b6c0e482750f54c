/* embedding.c: points for TensorBoard's page "projector": files beside the event file, as torch.utils.tensorboard
 * (_embedding.py) writes them: STEP/TAG/tensors.tsv, metadata.tsv, sprite.png, and projector_config.pbtxt that names
 * them. */
#include "train/events.h"

#include "base/base.h"
#include "io/file.h"
#include "io/png.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

typedef struct placed {
    const wk_trainer *trainer;
    char *folder; /* below the run's: STEP/TAG */
} placed;

char *wk__tag_file_name(const char *tag) {
    wk_text name = { 0 };
    for (; *tag; tag++) {
        const bool plain = (unsigned char)*tag >= ' ' && !strchr("%/\\\"", *tag);
        if (plain)
            wk_text_add(&name, tag, 1);
        else
            wk_text_printf(&name, "%%%02x", (unsigned char)*tag);
    }
    if (name.failed) wk_text_free(&name);
    return name.data;
}

static wk_status write_text(const placed *p, const char *name, wk_text *text) {
    char *path = text->failed ? NULL : wk_format("%s/%s/%s", p->trainer->folder.path, p->folder, name);
    wk_status status = path ? wk__write_file(path, wk_text_get(text), text->size) : WK_NO_MEMORY;
    wk_free(path);
    wk_text_free(text);
    return status;
}

static wk_status write_points(const placed *p, wk_tensor *points) {
    wk_text rows = { 0 };
    const float *data = wk__as_floats(points);
    const int64_t n = wk_size(points, 0), dimensions = wk_size(points, 1);
    if (!data) return wk_error_code();
    for (int64_t i = 0; i < n * dimensions; i++)
        wk_text_printf(&rows, "%.9g%s", (double)data[i], (i + 1) % dimensions ? "\t" : "\n");
    return write_text(p, "tensors.tsv", &rows);
}

static wk_status write_labels(const placed *p, const char *const *labels, int64_t count) {
    wk_text rows = { 0 };
    for (int64_t i = 0; i < count; i++) {
        for (const char *c = labels[i]; *c; c++) wk_text_add(&rows, strchr("\t\r\n", *c) ? " " : c, 1);
        wk_text_puts(&rows, "\n");
    }
    return write_text(p, "metadata.tsv", &rows);
}

/* All pictures in one, as many a row as there are rows. */
static wk_status write_pictures(const placed *p, wk_tensor *pictures) {
    enum { MOST_SIDE = 8192 }; /* TensorBoard's */
    const int64_t n = wk_size(pictures, 0), channels = wk_size(pictures, 1), height = wk_size(pictures, 2),
                  width = wk_size(pictures, 3);
    const int64_t side = (int64_t)ceil(sqrt((double)n));
    wk_text png = { 0 };
    if (side * height > MOST_SIDE || side * width > MOST_SIDE)
        return wk_fail(WK_INVALID,
                       "wk_trainer_log_embedding: %lld pictures of %lld x %lld take %lld x %lld pixels together, "
                       "TensorBoard shows %d x %d",
                       (long long)n, (long long)height, (long long)width, (long long)(side * height),
                       (long long)(side * width), MOST_SIDE, MOST_SIDE);
    const float *data = wk__as_floats(pictures);
    unsigned char *all = data ? wk_alloc((size_t)(side * side * height * width * channels)) : NULL;
    if (!all) return wk_error_code();
    for (int64_t i = 0; i < n * channels * height * width; i++) {
        const int64_t x = i % width, y = i / width % height, c = i / (width * height) % channels,
                      picture = i / (width * height * channels);
        const int64_t row = picture / side * height + y, column = picture % side * width + x;
        const float value = data[i];
        all[(row * side * width + column) * channels + c] =
            (unsigned char)(value > 0 ? value < 1 ? value * 255 + 0.5F : 255 : 0);
    }
    wk_status status = wk__png_encode(&png, all, (int)(side * height), (int)(side * width), (int)channels);
    wk_free(all);
    return status == WK_OK ? write_text(p, "sprite.png", &png) : status;
}

/* One entry more, unless a resumed run comes by the same step again. */
static wk_status name_files(const placed *p, const char *tag, const wk_board_points *points) {
    enum { MOST_CONFIG = 16 << 20 };
    wk_text all = { 0 };
    char *path = wk_format("%s/projector_config.pbtxt", p->trainer->folder.path);
    char *entry = wk_format("tensor_path: \"%s/tensors.tsv\"\n", p->folder);
    size_t size = 0;
    struct stat is_there;
    char *before = path && stat(path, &is_there) == 0 ? wk__read_file(path, MOST_CONFIG, &size) : NULL;
    if (wk_failed() || (before && strstr(before, entry))) goto end;
    if (before) wk_text_add(&all, before, size);
    wk_text_puts(&all, "embeddings {\ntensor_name: \"");
    for (const char *c = tag; *c; c++)
        wk_text_printf(&all, strchr("\"\\", *c) ? "\\%c" : (unsigned char)*c < ' ' ? " " : "%c", *c);
    wk_text_printf(&all, ":%05lld\"\n%s", (long long)p->trainer->standing.step, entry);
    if (points->labels) wk_text_printf(&all, "metadata_path: \"%s/metadata.tsv\"\n", p->folder);
    if (points->pictures)
        wk_text_printf(&all,
                       "sprite {\nimage_path: \"%s/sprite.png\"\nsingle_image_dim: %lld\nsingle_image_dim: %lld\n}\n",
                       p->folder, (long long)wk_size(points->pictures, 3), (long long)wk_size(points->pictures, 2));
    wk_text_puts(&all, "}\n");
    if (!all.failed) (void)wk__write_file(path, all.data, all.size);
end:
    wk_text_free(&all);
    wk_free(before);
    wk_free(entry);
    wk_free(path);
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status check(const char *tag, const wk_board_points *p) {
    if (!p->points) return wk_failed() ? wk_error_code() : wk_fail(WK_INVALID, "wk_trainer_log_embedding: no points");
    if (!*tag || *tag == '.')
        return wk_fail(WK_INVALID, "wk_trainer_log_embedding: \"%s\" cannot be the name of a folder", tag);
    if (wk_rank(p->points) != 2 || wk_count(p->points) == 0)
        return wk_fail(WK_SHAPE, "wk_trainer_log_embedding: expected points (N, dimensions)");
    if (!p->pictures) return WK_OK;
    const int64_t channels = wk_rank(p->pictures) == 4 ? wk_size(p->pictures, 1) : 0;
    if ((channels == 1 || channels == 3 || channels == 4) && wk_size(p->pictures, 0) == wk_size(p->points, 0))
        return WK_OK;
    return wk_fail(WK_SHAPE, "wk_trainer_log_embedding: expected pictures (N, C, H, W) of 1, 3 or 4 channels");
}

static wk_status make_folder(placed *p, const char *tag) {
    char *name = wk__tag_file_name(tag);
    p->folder = name ? wk_format("%05lld/%s", (long long)p->trainer->standing.step, name) : NULL;
    char *path = p->folder ? wk_format("%s/%s", p->trainer->folder.path, p->folder) : NULL;
    wk_status status = path ? wk__make_folder(path) : WK_NO_MEMORY;
    wk_free(path);
    wk_free(name);
    return status;
}

wk_status wk_trainer_log_embedding(wk_trainer *t, const char *tag, wk_board_points points) {
    placed p = { .trainer = t };
    if (!t->folder.events) return WK_OK;
    WK_TRY(check(tag, &points));
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    wk_status status = make_folder(&p, tag);
    if (status == WK_OK) status = write_points(&p, points.points);
    if (status == WK_OK && points.labels) status = write_labels(&p, points.labels, wk_size(points.points, 0));
    if (status == WK_OK && points.pictures) status = write_pictures(&p, points.pictures);
    if (status == WK_OK) status = name_files(&p, tag, &points);
    wk_no_grad_end(was);
    wk_scope_end(scope);
    wk_free(p.folder);
    return status;
}

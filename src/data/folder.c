/* folder.c: pictures in folders, a folder a class, as torchvision's ImageFolder finds them. */
#include "data/dataset.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MOST_DEPTH = 64, MOST_CLASSES = 1 << 20 };

typedef struct picture {
    const char *folder, *name; /* FOLDER/NAME */
    int64_t label;
} picture;

typedef struct folder_dataset {
    wk_dataset base;
    wk__arena arena;
    picture *of;
    int64_t room;
    int channels;
} folder_dataset;

/* ---- what is in a folder ---- */

typedef struct names {
    char **of;
    size_t count, room;
} names;

static void names_free(names *n) {
    for (size_t i = 0; i < n->count; i++) wk_free(n->of[i]);
    wk_free(n->of);
    *n = (names){ 0 };
}

static wk_status names_add(names *n, const char *name) {
    if (n->count == n->room) {
        const size_t room = 2 * n->room + 16;
        char **of = wk_realloc(n->of, room * sizeof *of);
        if (!of) return wk_error_code();
        n->of = of;
        n->room = room;
    }
    char *copy = wk_strdup(name);
    if (!copy) return wk_error_code();
    n->of[n->count++] = copy;
    return WK_OK;
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_folder(const char *folder, const char *name, unsigned char type) {
    if (type != DT_LNK && type != DT_UNKNOWN) return type == DT_DIR;
    char *path = wk_format("%s/%s", folder, name);
    struct stat info;
    const bool is = path && stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    wk_free(path);
    return is;
}

/* Its folders, and its other entries where they are asked for, each sorted. */
static wk_status list(const char *path, names *folders, names *files) {
    DIR *open = opendir(path);
    if (!open) return wk_fail(WK_IO, "%s: this folder cannot be read: %s", path, strerror(errno));
    wk_status status = WK_OK;
    for (const struct dirent *entry = readdir(open); entry && status == WK_OK; entry = readdir(open)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        const bool deeper = is_folder(path, entry->d_name, entry->d_type);
        if (deeper || files) status = names_add(deeper ? folders : files, entry->d_name);
    }
    (void)closedir(open);
    if (folders->count) qsort(folders->of, folders->count, sizeof *folders->of, by_bytes);
    return status == WK_OK && wk_failed() ? wk_error_code() : status;
}

/* ---- pictures ---- */

static bool ends_with(const char *name, const char *const *endings) {
    const char *dot = strrchr(name, '.');
    for (int i = 0; dot && endings[i]; i++)
        if (strcasecmp(dot, endings[i]) == 0) return true;
    return false;
}

static const char *keep(folder_dataset *d, const char *text) {
    const size_t size = strlen(text) + 1;
    char *copy = wk__arena_take(&d->arena, size);
    return copy ? memcpy(copy, text, size) : NULL;
}

static wk_status add_picture(folder_dataset *d, const char *folder, const char *name, int64_t label) {
    static const char *const read[] = { ".png", ".jpg", ".jpeg", NULL }, *const others[] = { ".ppm", ".pgm",  ".bmp",
                                                                                             ".tif", ".tiff", ".webp",
                                                                                             ".gif", NULL };
    if (ends_with(name, others))
        return wk_fail(WK_FORMAT, "%s/%s: PNG and JPEG are read, this is another format: convert or remove it", folder,
                       name);
    if (!ends_with(name, read)) return WK_OK;
    if (d->base.count == d->room) {
        const int64_t room = 2 * d->room + 256;
        picture *of = wk_realloc(d->of, (size_t)room * sizeof *of);
        if (!of) return wk_error_code();
        d->of = of;
        d->room = room;
    }
    const char *kept = keep(d, name);
    if (!kept) return wk_error_code();
    d->of[d->base.count++] = (picture){ folder, kept, label };
    return WK_OK;
}

/* All below a folder, in no order yet. */
static wk_status walk(folder_dataset *d, const char *path, int64_t label, int depth) {
    if (depth > MOST_DEPTH)
        return wk_fail(WK_FORMAT, "%s: folders nested deeper than %d (a link to a folder above?)", path, MOST_DEPTH);
    names folders = { 0 }, files = { 0 };
    wk_status status = list(path, &folders, &files);
    const char *kept = status == WK_OK ? keep(d, path) : NULL;
    if (status == WK_OK && !kept) status = wk_error_code();
    for (size_t i = 0; i < files.count && status == WK_OK; i++) status = add_picture(d, kept, files.of[i], label);
    for (size_t i = 0; i < folders.count && status == WK_OK; i++) {
        char *deeper = wk_format("%s/%s", path, folders.of[i]);
        status = deeper ? walk(d, deeper, label, depth + 1) : wk_error_code();
        wk_free(deeper);
    }
    names_free(&folders);
    names_free(&files);
    return status;
}

static int by_folder_and_name(const void *a, const void *b) {
    const picture *x = a, *y = b;
    const int folders = x->folder == y->folder ? 0 : strcmp(x->folder, y->folder);
    return folders ? folders : strcmp(x->name, y->name);
}

static wk_status add_class(folder_dataset *d, const char *root, const char *name, int64_t label, bool may_be_empty) {
    const int64_t first = d->base.count;
    char *path = wk_format("%s/%s", root, name);
    wk_status status = path ? walk(d, path, label, 0) : wk_error_code();
    if (status == WK_OK && d->base.count == first && !may_be_empty)
        status = wk_fail(WK_FORMAT, "%s: no picture (.png, .jpg, .jpeg) of the class \"%s\"", path, name);
    if (status == WK_OK && d->base.count > first)
        qsort(d->of + first, (size_t)(d->base.count - first), sizeof *d->of, by_folder_and_name);
    wk_free(path);
    return status;
}

/* ---- the dataset ---- */

static wk_status fetch_image(const wk_dataset *self, int64_t index, wk_image *image) {
    const folder_dataset *d = (const folder_dataset *)self;
    char *path = wk_format("%s/%s", d->of[index].folder, d->of[index].name);
    wk_status status = path ? wk_image_read(image, path, d->channels) : wk_error_code();
    image->name = d->of[index].name;
    wk_free(path);
    return status;
}

static int64_t label_of(const wk_dataset *self, int64_t index) {
    return ((const folder_dataset *)self)->of[index].label;
}

static wk_status fetch(const wk_dataset *self, const int64_t *indices, int64_t n, void *input, void *target) {
    const int64_t *size = self->input_dims.size, values = size[0] * size[1] * size[2];
    wk_image image = { 0 };
    wk_status status = WK_OK;
    for (int64_t i = 0; i < n && status == WK_OK; i++) {
        wk_draws draws = { { 0 }, { 0 }, { 0 }, 0 };
        status = fetch_image(self, indices[i], &image);
        if (status != WK_OK) break;
        status = wk_transforms_apply((wk_transforms){ NULL, 0 }, &image, &draws, (wk_image_size){ size[1], size[2] },
                                     (float *)input + i * values);
        if (status != WK_OK) wk_error_prefix("%s", image.name);
        ((int64_t *)target)[i] = label_of(self, indices[i]);
    }
    wk_image_free(&image);
    return status;
}

static void destroy(wk_dataset *self) {
    folder_dataset *d = (folder_dataset *)self;
    wk__class_names_free(self);
    wk_free(d->of);
    wk__arena_destroy(&d->arena);
}

static const wk_dataset_class folder_class = { .name = "image_folder",
                                               .size = sizeof(folder_dataset),
                                               .fetch = fetch,
                                               .destroy = destroy,
                                               .image = fetch_image,
                                               .label = label_of };

static wk_status check_names(const char *root, const names *folders, const wk_image_folder_opts *opts) {
    for (size_t i = 0; i < folders->count; i++) {
        int c = 0;
        while (c < opts->classes && strcmp(opts->class_names[c], folders->of[i]) != 0) c++;
        if (c < opts->classes) continue;
        const char *near = wk__nearest(folders->of[i], opts->class_names, (size_t)opts->classes);
        return wk_fail(WK_FORMAT, "%s/%s: a folder of a class that is not among the %d known ones%s%s%s", root,
                       folders->of[i], opts->classes, near ? "; did you mean \"" : "", near ? near : "",
                       near ? "\"?" : "");
    }
    return WK_OK;
}

static wk_status find_classes(folder_dataset *d, const wk_image_folder_opts *opts, const names *folders) {
    const bool given = opts->class_names != NULL;
    const char *const *class_names = given ? opts->class_names : (const char *const *)folders->of;
    if (given) WK_TRY(check_names(opts->root, folders, opts));
    if (folders->count == 0) return wk_fail(WK_FORMAT, "%s: no folders in it; expected one for each class", opts->root);
    if (folders->count > MOST_CLASSES)
        return wk_fail(WK_FORMAT, "%s: %zu folders, at most %d classes are read", opts->root, folders->count,
                       MOST_CLASSES);
    d->base.classes = given ? opts->classes : (int)folders->count;
    WK_TRY(wk__class_names_keep(&d->base, class_names));
    for (size_t i = 0; i < folders->count; i++) {
        int label = 0;
        while (strcmp(class_names[label], folders->of[i]) != 0) label++;
        WK_TRY(add_class(d, opts->root, folders->of[i], label, given));
    }
    return d->base.count > 0 ? WK_OK : wk_fail(WK_FORMAT, "%s: no picture in its folders", opts->root);
}

wk_dataset *wk_image_folder(wk_image_folder_opts opts) {
    if (wk_failed()) return NULL;
    const int channels = opts.channels ? opts.channels : 3;
    if (!opts.root || (channels != 1 && channels != 3) || (opts.class_names && opts.classes < 1))
        return wk_fail_null(WK_INVALID, "image folder: root \"%s\", %d channels: expected a folder, and 1 or 3",
                            opts.root ? opts.root : "", channels);
    folder_dataset *d = (folder_dataset *)wk_dataset_create(&folder_class);
    if (!d) return NULL;
    names folders = { 0 };
    wk_image first = { 0 };
    d->channels = channels;
    wk_status status = list(opts.root, &folders, NULL);
    if (status == WK_OK) status = find_classes(d, &opts, &folders);
    if (status == WK_OK) status = fetch_image(&d->base, 0, &first);
    d->base.input_dims = WK_DIMS(channels, first.height, first.width);
    d->base.input_dtype = WK_F32;
    d->base.target_dtype = WK_I64;
    wk_image_free(&first);
    names_free(&folders);
    if (status == WK_OK) return &d->base;
    wk_dataset_destroy(&d->base);
    return NULL;
}

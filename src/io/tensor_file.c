/* tensor_file.c: one door to the formats that hold named tensors. */
#include "io/tensor_file.h"

#include "base/base.h"
#include "wick/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef enum format { UNKNOWN, SAFETENSORS, NPZ, TORCH } format;

static format by_ending(const char *path) {
    static const struct {
        const char *ending;
        format is;
    } endings[] = { { ".safetensors", SAFETENSORS },
                    { ".npz", NPZ },
                    { ".pt", TORCH },
                    { ".pth", TORCH },
                    { ".bin", TORCH },
                    { ".ckpt", TORCH } };
    const size_t length = strlen(path);
    for (size_t i = 0; i < WK_COUNT(endings); i++) {
        const size_t own = strlen(endings[i].ending);
        if (length > own && strcmp(path + length - own, endings[i].ending) == 0) return endings[i].is;
    }
    return UNKNOWN;
}

/* Zip archives begin with "PK"; what cannot be opened is left to the reader, which says why. */
static format by_first_bytes(const char *path) {
    char first[2] = "";
    FILE *file = fopen(path, "rb");
    const size_t got = file ? fread(first, 1, 2, file) : 0;
    if (file) (void)fclose(file);
    return got == 2 && memcmp(first, "PK", 2) == 0 ? TORCH : SAFETENSORS;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static wk_status open_path(wk__tensor_file *file, const char *path) {
    format is = by_ending(path);
    if (is == UNKNOWN) is = by_first_bytes(path);
    if (is == SAFETENSORS) file->safetensors = wk_safetensors_open(path);
    if (is == NPZ) file->npz = wk_npz_open(path);
    if (is == TORCH) file->torch = wk_torch_open(path);
    if (wk_failed()) return wk_error_code();
    const size_t count = (size_t)wk__tensor_file_count(file);
    file->sorted = wk_alloc((count + 1) * sizeof *file->sorted);
    if (!file->sorted) return WK_NO_MEMORY;
    for (size_t i = 0; i < count; i++) file->sorted[i] = wk__tensor_file_name(file, (int)i);
    qsort(file->sorted, count, sizeof *file->sorted, by_text);
    return WK_OK;
}

/* The one file of that folder. */
static wk_status open_only(wk__tensor_file *file, const char *folder) {
    wk_file_list *list = wk_folder_list(folder);
    char *path = list && list->count == 1 ? wk_url_join(folder, list->items[0].name) : NULL;
    wk_status status = path ? open_path(file, path) : wk_error_code();
    if (path) (void)unlink(path); /* what is open stays */
    wk_free(path);
    wk_file_list_free(list);
    return status;
}

/* What lies elsewhere is copied into a folder of its own first, under its name, which may tell its format. */
static wk_status open_fetched(wk__tensor_file *file, const char *url) {
    const char *temporary = getenv("TMPDIR");
    char *folder = wk_format("%s/wick-XXXXXX", temporary && *temporary ? temporary : P_tmpdir);
    if (!folder || !mkdtemp(folder)) {
        wk_free(folder);
        return wk_fail(WK_IO, "%s: no folder for a copy of it: %s (TMPDIR says where)", url, strerror(errno));
    }
    char *into = wk_format("%s/", folder);
    wk_status status = into ? wk_file_copy(url, into, (wk_copy_opts){ 0 }, NULL) : WK_NO_MEMORY;
    if (status == WK_OK) status = open_only(file, folder);
    (void)rmdir(folder);
    wk_free(into);
    wk_free(folder);
    return status;
}

wk_status wk__tensor_file_open(wk__tensor_file *file, const char *url) {
    const char *path = wk_url_path(url);
    return path ? open_path(file, path) : open_fetched(file, url);
}

void wk__tensor_file_close(wk__tensor_file *file) {
    wk_safetensors_close(file->safetensors);
    wk_npz_close(file->npz);
    wk_torch_close(file->torch);
    wk_free((void *)(uintptr_t)file->sorted);
    *file = (wk__tensor_file){ 0 };
}

int wk__tensor_file_count(const wk__tensor_file *file) {
    if (file->npz) return wk_npz_count(file->npz);
    return file->torch ? wk_torch_count(file->torch) : wk_safetensors_count(file->safetensors);
}

const char *wk__tensor_file_name(const wk__tensor_file *file, int i) {
    if (file->npz) return wk_npz_name(file->npz, i);
    return file->torch ? wk_torch_name(file->torch, i) : wk_safetensors_name(file->safetensors, i);
}

bool wk__tensor_file_has(const wk__tensor_file *file, const char *name) {
    const size_t count = (size_t)wk__tensor_file_count(file);
    return count > 0 && bsearch(&name, file->sorted, count, sizeof *file->sorted, by_text) != NULL;
}

wk_tensor *wk__tensor_file_get(wk__tensor_file *file, const char *name) {
    if (file->npz) return wk_npz_get(file->npz, name);
    return file->torch ? wk_torch_get(file->torch, name) : wk_safetensors_get(file->safetensors, name);
}

wk_status wk__tensor_file_save(const char *path, wk_named_tensors tensors) {
    switch (by_ending(path)) {
    case SAFETENSORS: return wk_safetensors_save(path, tensors, NULL, 0);
    case NPZ: return wk_npz_save(path, tensors, (wk_npz_opts){ .compress = false });
    case TORCH: return wk_torch_save(path, tensors);
    default:
        return wk_fail(WK_INVALID, "%s: expected a name that ends with .safetensors, .npz, .pt, .pth, .bin or .ckpt",
                       path);
    }
}

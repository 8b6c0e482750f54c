/* tensor_file.h: files of named tensors, whichever format: safetensors, npz or PyTorch's. */
#ifndef WICK_SRC_IO_TENSOR_FILE_H
#define WICK_SRC_IO_TENSOR_FILE_H

#include "wick/io.h"

/* One of the three is open.  Zero-initialised means none. */
typedef struct wk__tensor_file {
    wk_safetensors *safetensors;
    wk_npz *npz;
    wk_torch_file *torch;
    const char **sorted; /* its names, to look for one */
} wk__tensor_file;

/* A file of this machine, or of any file system (wick/files.h), which is copied first.  By the name's ending
 * (.safetensors; .npz; .pt, .pth, .bin, .ckpt), where that says nothing by the first bytes.  Errors: those of the
 * format and of the copy. */
wk_status wk__tensor_file_open(wk__tensor_file *file, const char *url);
void wk__tensor_file_close(wk__tensor_file *file);
int wk__tensor_file_count(const wk__tensor_file *file);
const char *wk__tensor_file_name(const wk__tensor_file *file, int i);
bool wk__tensor_file_has(const wk__tensor_file *file, const char *name);
/* Scoped. */
wk_tensor *wk__tensor_file_get(wk__tensor_file *file, const char *name);
/* In the format that the name's ending says.  Errors: WK_INVALID with the endings there are; those of the format. */
wk_status wk__tensor_file_save(const char *path, wk_named_tensors tensors);

#endif

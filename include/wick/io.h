/* wick/io.h: tensors in files: safetensors, NumPy's npy and npz, PyTorch's pt. */
#ifndef WICK_IO_H
#define WICK_IO_H

#include "wick/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An open safetensors file, or several behind one index, mapped read-only. */
typedef struct wk_safetensors wk_safetensors;

/* A path that ends with ".index.json" is an index as Hugging Face writes it (model.safetensors.index.json): the files
 * that it names, beside it, are opened, and their tensors are as those of one file.  Errors: WK_IO (missing,
 * unreadable), WK_FORMAT (truncated, malformed; the message names the file and what is wrong). */
WK_API wk_safetensors *wk_safetensors_open(const char *path);
/* Tensors taken from it stay valid: they hold the mapping. */
WK_API void wk_safetensors_close(wk_safetensors *file);
WK_API int wk_safetensors_count(const wk_safetensors *file);
WK_API const char *wk_safetensors_name(const wk_safetensors *file, int i);
/* A scoped tensor on the mapping (do not write to it), NULL with WK_NOT_FOUND pending and the nearest name in the
 * message. */
WK_API wk_tensor *wk_safetensors_get(wk_safetensors *file, const char *name);
WK_API bool wk_safetensors_has(const wk_safetensors *file, const char *name);
/* A value of __metadata__, or NULL. */
WK_API const char *wk_safetensors_metadata(const wk_safetensors *file, const char *key);

typedef struct wk_metadata {
    const char *key, *value;
} wk_metadata;
/* Write all tensors (row major copies are made where needed) and metadata, atomically: the file at `path` is either the
 * old one or complete and on disk.  Byte for byte what the safetensors library writes for the same tensors and metadata
 * order. */
WK_API wk_status wk_safetensors_save(const char *path, wk_named_tensors tensors, const wk_metadata *metadata,
                                     int n_metadata);

/* The same in files of at most `most_bytes` of tensors each (a larger tensor has a file to itself), in the order given:
 * for DIR/model.safetensors these are DIR/model-00001-of-00003.safetensors, …, and last, when all are there,
 * DIR/model.safetensors.index.json; a file DIR/model.safetensors from before goes.  Where one file is enough it is that
 * one, without an index. */
WK_API wk_status wk_safetensors_save_sharded(const char *path, wk_named_tensors tensors, const wk_metadata *metadata,
                                             int n_metadata, int64_t most_bytes);

/* Copy tensors of a file into a module's parameters and buffers.  Every one must be there with the same shape and
 * dtype; nothing is changed otherwise.  Errors name what is missing, unexpected, or of another shape or dtype. */
WK_API wk_status wk_module_load(wk_module *module, const char *path);
WK_API wk_status wk_module_save(wk_module *module, const char *path);
/* Only the checks of wk_load_named. */
WK_API wk_status wk_check_named(wk_safetensors *file, const char *prefix, wk_named_tensors targets, const char *what);
/* The same from an open file, for names that begin with `prefix` (which is taken off); names without it are ignored. */
WK_API wk_status wk_load_named(wk_safetensors *file, const char *prefix, wk_named_tensors targets, const char *what);
/* The same, but tensors of the file that no target asks for are left aside: a part of a model, a file with more. */
WK_API wk_status wk_load_matching(wk_safetensors *file, const char *prefix, wk_named_tensors targets, const char *what);

/* Only the checks of wk_load_matching. */
WK_API wk_status wk_check_matching(wk_safetensors *file, const char *prefix, wk_named_tensors targets,
                                   const char *what);

/* ---- NumPy's files -------------------------------------------------------------------------------------------------
 */

/* A scoped tensor from an npy file (versions 1.0 to 3.0, either byte order, either order of axes).  Errors: WK_IO;
 * WK_FORMAT and WK_SHAPE for damaged or impossible files; WK_DTYPE for elements that no dtype here is (records, complex
 * numbers, unsigned integers of more than eight bits). */
WK_API wk_tensor *wk_npy_load(const char *path);
/* Byte for byte what numpy.save writes, atomically.  Errors: bf16, which npy has not. */
WK_API wk_status wk_npy_save(const char *path, wk_tensor *tensor);

/* An open npz file: npy files by name, stored or deflated.  One thread at a time. */
typedef struct wk_npz wk_npz;
/* Errors: WK_IO, WK_FORMAT (no archive, damaged, encrypted, a name twice or one that leads out of its folder). */
WK_API wk_npz *wk_npz_open(const char *path);
WK_API void wk_npz_close(wk_npz *file);
WK_API int wk_npz_count(const wk_npz *file);
WK_API const char *wk_npz_name(const wk_npz *file, int i); /* without ".npy"; NULL beyond the last */
/* A scoped tensor with memory of its own.  Errors: WK_NOT_FOUND, and those of wk_npy_load. */
WK_API wk_tensor *wk_npz_get(wk_npz *file, const char *name);
typedef struct wk_npz_opts {
    bool compress; /* deflate, as numpy.savez_compressed; else stored */
} wk_npz_opts;
/* Atomically.  Equal tensors give equal files. */
WK_API wk_status wk_npz_save(const char *path, wk_named_tensors tensors, wk_npz_opts opts);

/* ---- PyTorch's files -----------------------------------------------------------------------------------------------
 */

/* An open file of torch.save: tensors and plain values in dicts, lists, tuples, OrderedDicts and TensorDatasets, by
 * their path ("model.layer1.0.weight", "tensors.0").  Its pickle is read and never run; what asks for any other class,
 * such as a whole module, is refused by the class's name.  One thread at a time. */
typedef struct wk_torch_file wk_torch_file;
/* Errors: WK_IO; WK_FORMAT (damaged, of PyTorch before 1.6, with classes that are not read, two values of one path,
 * more than a million values, nested deeper than 64). */
WK_API wk_torch_file *wk_torch_open(const char *path);
WK_API void wk_torch_close(wk_torch_file *file);
/* Its tensors, in the file's order.  The name is NULL beyond the last. */
WK_API int wk_torch_count(const wk_torch_file *file);
WK_API const char *wk_torch_name(const wk_torch_file *file, int i);
WK_API wk_dtype wk_torch_dtype(const wk_torch_file *file, int i);
WK_API wk_dims wk_torch_dims(const wk_torch_file *file, int i);
/* A scoped row-major tensor with memory of its own; tensors that shared memory do not any more.  Errors: WK_NOT_FOUND
 * with the nearest name, WK_FORMAT (its bytes are not there, or damaged). */
WK_API wk_tensor *wk_torch_get(wk_torch_file *file, const char *name);
/* A plain value (number, truth value, text, None) as Python writes it, or NULL. */
WK_API const char *wk_torch_value(const wk_torch_file *file, const char *name);
/* A state_dict that torch.load(path, weights_only=True) gives back as an OrderedDict in this order; atomically.  Equal
 * tensors give equal files.  Errors: WK_INVALID (a name twice, not UTF-8 or with a NUL), WK_IO. */
WK_API wk_status wk_torch_save(const char *path, wk_named_tensors tensors);

#ifdef __cplusplus
}
#endif
#endif

/* arrays.c: data "arrays": tensors of files, an item a row of their first axis: npz, safetensors, PyTorch's, or npy.
 *
 * What the file holds in the dtype that a run wants stays where it is: tensors of a safetensors file are mapped, and an
 * npz file's are read once.  Others are converted as a whole before the first step, so that fetching is a copy.
 */
#include "tasks/tasks.h"

#include "io/tensor_file.h"
#include "train/datasets.h"

#include <float.h>
#include <string.h>

typedef struct arrays {
    const wk_config *args;
    const char *path; /* of `file`; "": none */
    wk__tensor_file file;
} arrays;

static wk_status open_file(arrays *a, const wk_config *args, const char *key) {
    *a = (arrays){ .args = args, .path = wk_config_string(args, key, "") };
    if (wk_failed()) return wk_error_code();
    return *a->path ? wk__tensor_file_open(&a->file, a->path) : WK_OK;
}

static bool is_npy(const char *name) {
    const size_t size = strlen(name);
    return size > 4 && strcmp(name + size - 4, ".npy") == 0;
}

static wk_tensor *named(arrays *a, const char *key, const char *name) {
    if (is_npy(name)) return wk_npy_load(name);
    if (*a->path) return wk__tensor_file_get(&a->file, name);
    (void)wk_config_fail(a->args, key, "%s: \"%s\" is no .npy file, and no file is given to look for it in", key, name);
    return NULL;
}

/* ---- inputs ---- */

/* Pixels and truth values are numbers to compute with; wider integers are numbers of something (tokens). */
static wk_tensor *as_input(const wk_config *args, wk_tensor *x) {
    static const char *const words[] = { "auto", "f32", "i64", NULL };
    const double mean = wk_config_double(args, "mean", -DBL_MAX, DBL_MAX, 0),
                 deviation = wk_config_double(args, "std", DBL_MIN, DBL_MAX, 1);
    const int wish = wk_config_choice(args, "dtype", words, 0);
    if (wk_failed()) return NULL;
    const wk_dtype is = wk_dtype_get(x);
    const bool whole = wish ? wish == 2 : !wk_dtype_is_float(is) && is != WK_U8 && is != WK_BOOL;
    x = wk_contiguous(wk_cast(x, whole ? WK_I64 : WK_F32));
    if (mean == 0 && deviation == 1) return x;
    if (!whole) return wk_affine(x, (wk_affine_opts){ 1 / deviation, -mean / deviation });
    (void)wk_config_fail(
        args, mean == 0 ? "std" : "mean",
        "the inputs are %s and stay whole numbers: dtype: f32 makes them numbers that mean and std fit",
        wk_dtype_name(is));
    return NULL;
}

/* ---- targets ---- */

/* A column where they are one number an item, as a network's outputs are. */
static wk_tensor *as_target(wk_tensor *y) {
    if (!wk_dtype_is_float(wk_dtype_get(y))) return wk_contiguous(wk_cast(y, WK_I64));
    y = wk_contiguous(wk_cast(y, WK_F32));
    return wk_rank(y) == 1 ? wk_reshape(y, WK_DIMS(-1, 1)) : y;
}

/* The greatest class of whole numbers; an error for one that is below 0 or above `most`. */
static int64_t greatest(const char *name, wk_tensor *y, int64_t most) {
    const int64_t *values = wk_data(y), count = wk_count(y), each = count / wk_size(y, 0);
    int64_t found = 0;
    for (int64_t i = 0; i < count; i++) {
        if (values[i] < 0 || values[i] > most) {
            (void)wk_fail(WK_FORMAT, "\"%s\": item %lld has the target %lld, expected 0 to %lld", name,
                          (long long)(i / each), (long long)values[i], (long long)most);
            return -1;
        }
        found = values[i] > found ? values[i] : found;
    }
    return found;
}

/* ---- both ---- */

static wk_dataset *items_of(arrays *a, const char *inputs, const char *targets, int64_t classes) {
    wk_tensor *x = named(a, "inputs", inputs), *y = x ? named(a, "targets", targets) : NULL;
    if (!y) return NULL;
    if (wk_rank(x) < 1 || wk_rank(y) < 1 || wk_count(x) < 1 || wk_count(y) < 1)
        return wk_fail_null(WK_SHAPE, "\"%s\" or \"%s\" has no items: expected (items, …)", inputs, targets);
    x = as_input(a->args, x);
    y = x ? as_target(y) : NULL;
    wk_dataset *data = y ? wk_tensor_dataset(x, y) : NULL;
    if (!data || data->target_dtype != WK_I64) return data;
    const int64_t last = greatest(targets, y, (classes ? classes : INT32_MAX) - 1);
    data->classes = (int)(classes ? classes : last + 1);
    if (last >= 0) return data;
    wk_dataset_destroy(data);
    return NULL;
}

static wk_status name_classes(wk_dataset **place, const char *const *names) {
    const int classes = (*place)->classes;
    int64_t *same = wk_alloc((size_t)classes * sizeof *same);
    for (int c = 0; same && c < classes; c++) same[c] = c;
    wk_dataset *made = same ? wk_relabelled_dataset(*place, same, classes, names) : NULL;
    wk_free(same);
    if (!made) return wk_error_code();
    wk_dataset_destroy(*place);
    *place = made;
    return WK_OK;
}

/* Without `classes` there are as many as that of the two has which has more. */
static wk_status agree_on_classes(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    const char *given[WK__MOST_CLASS_NAMES];
    const char *const *names = NULL;
    wk_dataset *t = *train, *e = *evaluation;
    if (e && e->classes > t->classes) t->classes = e->classes;
    if (e && e->target_dtype == WK_I64) e->classes = t->classes;
    WK_TRY(wk__read_class_names(args, t->classes, given, &names));
    if (!names) return WK_OK;
    WK_TRY(name_classes(train, names));
    return e ? name_classes(evaluation, names) : WK_OK;
}

static wk_status open_both(const wk_config *args, arrays *a, arrays *val, wk_dataset **train, wk_dataset **evaluation) {
    const char *inputs = wk_config_string(args, "inputs", ""), *targets = wk_config_string(args, "targets", "");
    const char *val_inputs = wk_config_string(args, "val_inputs", inputs),
               *val_targets = wk_config_string(args, "val_targets", targets);
    const int64_t classes = wk_config_int(args, "classes", 0, INT32_MAX, 0);
    WK_TRY(open_file(a, args, "file"));
    *train = items_of(a, inputs, targets, classes);
    if (!*train) return wk_error_code();
    const bool other = wk_config_has(args, "val_file");
    if (other) WK_TRY(open_file(val, args, "val_file"));
    if (other || wk_config_has(args, "val_inputs"))
        *evaluation = items_of(other ? val : a, val_inputs, val_targets, classes);
    return wk_failed() ? wk_error_code() : agree_on_classes(args, train, evaluation);
}

static wk_status build(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    arrays a = { 0 }, val = { 0 };
    wk_scope scope = wk_scope_begin();
    wk_status status = open_both(args, &a, &val, train, evaluation);
    wk_scope_end(scope);
    wk__tensor_file_close(&a.file);
    wk__tensor_file_close(&val.file);
    if (status != WK_OK && status != WK_CONFIG) wk_error_prefix("data \"arrays\"");
    if (status != WK_OK) return status;
    WK_TRY(wk__prepare_items(args, train, evaluation));
    return wk__weigh_items(args, *train);
}

static const wk_arg args[] = {
    { "file", WK_ARG_TEXT, "", "of named tensors: .npz, .safetensors, .pt" },
    { "inputs", WK_ARG_TEXT, NULL, "a name in it, or the path of a .npy file: (items, …)" },
    { "targets", WK_ARG_TEXT, NULL, "the same: whole numbers are classes" },
    { "val_file", WK_ARG_TEXT, "", "another file to evaluate on" },
    { "val_inputs", WK_ARG_TEXT, "", "other names to evaluate on, in val_file or file" },
    { "val_targets", WK_ARG_TEXT, "", NULL },
    { "dtype", WK_ARG_TEXT, "auto", "of the inputs: f32, i64; auto: f32 of floats, bytes and truth values" },
    { "mean", WK_ARG_NUMBER, "0", "inputs are (value - mean) / std" },
    { "std", WK_ARG_NUMBER, "1", NULL },
    { "classes", WK_ARG_INT, "", "one more than the greatest target" },
    { "class_names", WK_ARG_LIST, "", "what reports call them" },
    WK__ITEM_ARGS,
    WK__DATA_ARGS,
    { NULL, WK_ARG_INT, NULL, NULL },
};
const wk_data_entry wk__arrays_data = { { "arrays", "tensors of NumPy's, safetensors and PyTorch's files", args },
                                        build };

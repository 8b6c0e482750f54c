/* torch_write.c: state_dicts as torch.save writes them: the pickle of an OrderedDict of tensors (protocol 2, as
 * torch/serialization.py), and each tensor's bytes as an entry of the archive. */
#define WK_NO_CALL_SITES
#include "io/archive.h"
#include "tensor/tensor.h"
#include "wick/io.h"

#include <jansson.h>
#include <string.h>

static const char *const storage_of[WK_DTYPE_COUNT] = {
    [WK_F32] = "FloatStorage", [WK_F64] = "DoubleStorage", [WK_F16] = "HalfStorage",  [WK_BF16] = "BFloat16Storage",
    [WK_I64] = "LongStorage",  [WK_I32] = "IntStorage",    [WK_I16] = "ShortStorage", [WK_I8] = "CharStorage",
    [WK_U8] = "ByteStorage",   [WK_BOOL] = "BoolStorage",
};

/* ---- opcodes ---- */

static void add_code(wk_text *p, const char *codes) {
    wk_text_add(p, codes, strlen(codes));
}

static void add_little(wk_text *p, uint64_t value, int size) {
    char bytes[8];
    for (int i = 0; i < size; i++) bytes[i] = (char)(value >> 8 * i);
    wk_text_add(p, bytes, (size_t)size);
}

static void add_integer(wk_text *p, int64_t value) {
    if (value < 1 << 8) {
        add_code(p, "K");
        add_little(p, (uint64_t)value, 1);
    } else if (value <= INT32_MAX) {
        add_code(p, "J");
        add_little(p, (uint64_t)value, 4);
    } else {
        add_code(p, "\x8a\x08");
        add_little(p, (uint64_t)value, 8);
    }
}

static void add_string(wk_text *p, const char *text) {
    add_code(p, "X");
    add_little(p, strlen(text), 4);
    add_code(p, text);
}

static void add_tuple(wk_text *p, const int64_t *values, int count) {
    add_code(p, "(");
    for (int i = 0; i < count; i++) add_integer(p, values[i]);
    add_code(p, "t");
}

/* _rebuild_tensor_v2(storage, 0, sizes, strides, False, OrderedDict()) */
static void add_tensor(wk_text *p, const wk_tensor *t, int key) {
    char text[32];
    int64_t stride[WK_MAX_RANK], step = 1;
    for (int i = t->rank - 1; i >= 0; i--) stride[i] = step, step *= t->shape[i] ? t->shape[i] : 1;
    add_code(p, "ctorch._utils\n_rebuild_tensor_v2\n((");
    add_string(p, "storage");
    add_code(p, "ctorch\n");
    add_code(p, storage_of[t->dtype]);
    add_code(p, "\n");
    (void)snprintf(text, sizeof text, "%d", key);
    add_string(p, text);
    add_string(p, "cpu");
    add_integer(p, t->count);
    add_code(p, "tQK");
    add_little(p, 0, 1);
    add_tuple(p, t->shape, t->rank);
    add_tuple(p, stride, t->rank);
    add_code(p, "\x89"
                "ccollections\nOrderedDict\n)RtR");
}

static void add_state_dict(wk_text *p, wk_named_tensors tensors) {
    add_code(p, "\x80\x02"
                "ccollections\nOrderedDict\n)R(");
    for (int i = 0; i < tensors.count; i++) {
        add_string(p, tensors.name[i]);
        add_tensor(p, tensors.tensor[i], i);
    }
    add_code(p, "u.");
}

/* ---- the archive ---- */

static wk_status write_bytes(wk__archive_writer *w, const char *name, const void *bytes, uint64_t size) {
    WK_TRY(wk__archive_begin(w, name, size, false));
    WK_TRY(wk__archive_add(w, bytes, size));
    return wk__archive_end(w);
}

static wk_status write_pickle(wk__archive_writer *w, wk_named_tensors tensors) {
    wk_text pickle = { 0 };
    add_state_dict(&pickle, tensors);
    wk_status status = pickle.failed ? WK_NO_MEMORY : write_bytes(w, "archive/data.pkl", pickle.data, pickle.size);
    wk_text_free(&pickle);
    return status;
}

static wk_status write_storage(wk__archive_writer *w, wk_tensor *tensor, int key) {
    char name[64];
    (void)snprintf(name, sizeof name, "archive/data/%d", key);
    wk_tensor *whole = wk_contiguous(wk__on_host(tensor));
    if (!whole) return wk_error_code();
    return write_bytes(w, name, whole->data, (uint64_t)whole->count * wk_dtype_size((wk_dtype)whole->dtype));
}

static wk_status write_all(wk__archive_writer *w, wk_named_tensors tensors) {
    WK_TRY(write_pickle(w, tensors));
    WK_TRY(write_bytes(w, "archive/byteorder", "little", 6));
    for (int i = 0; i < tensors.count; i++) {
        wk_scope scope = wk_scope_begin();
        wk_status status = write_storage(w, tensors.tensor[i], i);
        wk_scope_end(scope);
        WK_TRY(status);
    }
    return write_bytes(w, "archive/version", "3\n", 2);
}

/* As PyTorch's reader will. */
static bool is_utf8(const char *text) {
    json_t *checked = json_string(text);
    json_decref(checked);
    return checked != NULL;
}

static wk_status check(const char *path, wk_named_tensors tensors) {
    for (int i = 0; i < tensors.count; i++) {
        const char *name = tensors.name[i];
        if (!name || !is_utf8(name))
            return wk_fail(WK_INVALID, "%s: the name of tensor number %d is %s", path, i, name ? "not UTF-8" : "NULL");
        if (!tensors.tensor[i] || tensors.tensor[i]->life != WK__ALIVE)
            return wk_fail(WK_INVALID, "%s: tensor \"%s\" is %s", path, name,
                           tensors.tensor[i] ? "used after its scope ended" : "NULL");
        for (int k = 0; k < i; k++)
            if (strcmp(name, tensors.name[k]) == 0)
                return wk_fail(WK_INVALID, "%s: two tensors are called \"%s\"", path, name);
    }
    return WK_OK;
}

wk_status wk_torch_save(const char *path, wk_named_tensors tensors) {
    if (wk_failed()) return WK_PENDING;
    WK_TRY(check(path, tensors));
    wk__archive_writer writer = { 0 };
    wk_status status = wk__archive_create(&writer, path);
    if (status == WK_OK) status = write_all(&writer, tensors);
    return wk__archive_finish(&writer, status);
}

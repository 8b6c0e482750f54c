/* npy.c: NumPy's npy files, versions 1.0, 2.0 and 3.0.
 *
 * "\x93NUMPY", two bytes of version, the header's length (u16, u32 from 2.0 on), a Python dict literal with the keys
 * descr, fortran_order and shape, padded with spaces and ended by a newline; then the elements without gaps.  Only such
 * a dict is read, not Python.  Format: numpy/lib/_format_impl.py (NEP 1).
 */
#define WK_NO_CALL_SITES
#include "io/npy.h"
#include "io/file.h"
#include "tensor/tensor.h"

#include <string.h>

enum { LARGEST_HEADER = 1 << 16 };

/* ---- the header ---- */

typedef struct reader {
    const char *at, *end, *name;
} reader;

static wk_status bad(const char *name, const char *what) {
    return wk_fail(WK_FORMAT, "%s: not a npy file that can be read: %s", name, what);
}

static void skip_spaces(reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t')) r->at++;
}

static bool take(reader *r, char wanted) {
    skip_spaces(r);
    if (r->at == r->end || *r->at != wanted) return false;
    r->at++;
    return true;
}

static bool take_word(reader *r, const char *word) {
    size_t size = strlen(word);
    skip_spaces(r);
    if ((size_t)(r->end - r->at) < size || memcmp(r->at, word, size) != 0) return false;
    r->at += size;
    return true;
}

static wk_status take_string(reader *r, char *text, size_t size) {
    skip_spaces(r);
    if (r->at == r->end || (*r->at != '\'' && *r->at != '"')) return bad(r->name, "a quoted word is missing");
    char quote = *r->at++;
    size_t used = 0;
    while (r->at < r->end && *r->at != quote) {
        if (used + 1 == size || *r->at == '\\' || (unsigned char)*r->at < ' ')
            return bad(r->name, "a word in the header");
        text[used++] = *r->at++;
    }
    if (r->at == r->end) return bad(r->name, "a quoted word without end");
    r->at++;
    text[used] = '\0';
    return WK_OK;
}

static wk_status take_shape(reader *r, wk_dims *dims) {
    if (!take(r, '(')) return bad(r->name, "the shape is no tuple");
    while (!take(r, ')')) {
        int64_t size = 0;
        skip_spaces(r);
        if (r->at == r->end || *r->at < '0' || *r->at > '9') return bad(r->name, "a size in the shape");
        for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++)
            if (__builtin_mul_overflow(size, INT64_C(10), &size)
                || __builtin_add_overflow(size, (int64_t)(*r->at - '0'), &size))
                return bad(r->name, "a size that no number holds");
        if (dims->rank == WK_MAX_RANK) return wk_fail(WK_SHAPE, "%s: more than %d axes", r->name, WK_MAX_RANK);
        dims->size[dims->rank++] = size;
        (void)take(r, 'L'); /* of Python 2 */
        bool more = take(r, ',');
        if (!more && (dims->rank == 1 || !(r->at < r->end && *r->at == ')'))) return bad(r->name, "the shape's commas");
    }
    return WK_OK;
}

static wk_status take_descr(reader *r, wk__npy_header *header) {
    static const char *const codes[WK_DTYPE_COUNT] = {
        [WK_F32] = "f4", [WK_F64] = "f8", [WK_F16] = "f2", [WK_I64] = "i8", [WK_I32] = "i4",
        [WK_I16] = "i2", [WK_I8] = "i1",  [WK_U8] = "u1",  [WK_BOOL] = "b1"
    };
    char descr[40] = "";
    skip_spaces(r);
    if (r->at < r->end && *r->at == '[')
        return wk_fail(WK_DTYPE, "%s: its elements are records, which no dtype here is", r->name);
    WK_TRY(take_string(r, descr, sizeof descr));
    for (int d = 0; d < WK_DTYPE_COUNT; d++)
        if (codes[d] && descr[0] && strchr("<>|=", descr[0]) && strcmp(descr + 1, codes[d]) == 0) {
            header->dtype = (wk_dtype)d;
            header->swapped = descr[0] == '>';
            return WK_OK;
        }
    return wk_fail(WK_DTYPE, "%s: its elements are '%s', which no dtype here is", r->name, descr);
}

static wk_status take_entry(reader *r, wk__npy_header *header, unsigned *seen) {
    static const char *const keys[] = { "descr", "fortran_order", "shape" };
    char key[24];
    WK_TRY(take_string(r, key, sizeof key));
    if (!take(r, ':')) return bad(r->name, "a colon is missing");
    unsigned which = 0;
    while (which < 3 && strcmp(keys[which], key) != 0) which++;
    if (which == 3 || (*seen >> which & 1)) return bad(r->name, "a key that is unknown, or there twice");
    *seen |= 1u << which;
    if (which == 0) return take_descr(r, header);
    if (which == 2) return take_shape(r, &header->dims);
    header->fortran_order = take_word(r, "True");
    return header->fortran_order || take_word(r, "False") ? WK_OK : bad(r->name, "fortran_order is no truth value");
}

static wk_status take_dict(reader *r, wk__npy_header *header) {
    unsigned seen = 0;
    if (!take(r, '{')) return bad(r->name, "the header is no dict");
    while (!take(r, '}')) {
        WK_TRY(take_entry(r, header, &seen));
        if (take(r, ',')) continue;
        if (!take(r, '}')) return bad(r->name, "the header's commas");
        break;
    }
    skip_spaces(r);
    if (seen != 7) return bad(r->name, "descr, fortran_order or shape is missing");
    return r->at == r->end ? WK_OK : bad(r->name, "something stands behind the header's dict");
}

/* Bytes of the elements; false where the sizes multiply to more than there can be. */
static bool data_bytes(const wk__npy_header *header, uint64_t *bytes) {
    uint64_t count = wk_dtype_size(header->dtype);
    bool empty = false;
    for (int axis = 0; axis < header->dims.rank; axis++) {
        empty = empty || header->dims.size[axis] == 0;
        uint64_t factor = header->dims.size[axis] ? (uint64_t)header->dims.size[axis] : 1;
        if (__builtin_mul_overflow(count, factor, &count) || count > (UINT64_C(1) << 46)) return false;
    }
    *bytes = empty ? 0 : count;
    return true;
}

wk_status wk__npy_parse(const void *bytes, size_t size, uint64_t whole, const char *name, wk__npy_header *header) {
    const unsigned char *b = bytes;
    *header = (wk__npy_header){ .dims = { .rank = 0 } };
    if (size < 10 || memcmp(b, "\x93NUMPY", 6) != 0) return bad(name, "it does not begin with \\x93NUMPY");
    unsigned major = b[6];
    if (major < 1 || major > 3 || b[7] != 0)
        return wk_fail(WK_FORMAT, "%s: version %u.%u of the npy format, expected 1.0, 2.0 or 3.0", name, major, b[7]);
    size_t before = major == 1 ? 10 : 12, length = (size_t)b[8] | (size_t)b[9] << 8;
    if (size < before) return bad(name, "it ends inside its header");
    if (major > 1) length |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    if (length > LARGEST_HEADER) return bad(name, "a header of more than 64 KB");
    if (size - before < length) return bad(name, "it ends inside its header");
    reader r = { (const char *)b + before, (const char *)b + before + length, name };
    WK_TRY(take_dict(&r, header));
    header->data = before + length;
    uint64_t wanted;
    if (!data_bytes(header, &wanted)) return wk_fail(WK_SHAPE, "%s: a shape larger than any memory", name);
    if (whole - header->data != wanted)
        return wk_fail(WK_FORMAT, "%s: %llu bytes of elements, its shape and dtype make %llu", name,
                       (unsigned long long)(whole - header->data), (unsigned long long)wanted);
    return WK_OK;
}

/* ---- elements ---- */

wk_tensor *wk__npy_place(const wk__npy_header *header) {
    wk_dims dims = { .rank = header->dims.rank };
    for (int axis = 0; axis < dims.rank; axis++)
        dims.size[axis] = header->dims.size[header->fortran_order ? dims.rank - 1 - axis : axis];
    return wk_empty(header->dtype, dims);
}

wk_tensor *wk__npy_finish(wk_tensor *stored, const wk__npy_header *header) {
    if (!stored) return NULL;
    size_t width = wk_dtype_size(header->dtype), bytes = (size_t)stored->count * width;
    unsigned char *data = stored->data;
    for (size_t i = 0; header->swapped && i < bytes; i += width)
        for (size_t k = 0; k < width / 2; k++) {
            unsigned char other = data[i + k];
            data[i + k] = data[i + width - 1 - k];
            data[i + width - 1 - k] = other;
        }
    for (size_t i = 0; header->dtype == WK_BOOL && i < bytes; i++) data[i] = data[i] != 0;
    if (!header->fortran_order || stored->rank < 2) return stored;
    wk_dims axes = { .rank = stored->rank };
    for (int axis = 0; axis < axes.rank; axis++) axes.size[axis] = axes.rank - 1 - axis;
    return wk_contiguous(wk_permute(stored, axes));
}

wk_tensor *wk__npy_read(const void *bytes, size_t size, const char *name) {
    wk__npy_header header;
    if (wk__npy_parse(bytes, size, size, name, &header) != WK_OK) return NULL;
    wk_tensor *stored = wk__npy_place(&header);
    if (stored && size > header.data) memcpy(stored->data, (const char *)bytes + header.data, size - header.data);
    return wk__npy_finish(stored, &header);
}

wk_tensor *wk_npy_load(const char *path) {
    wk__mapping mapping;
    if (wk_failed() || wk__map(path, &mapping) != WK_OK) return NULL;
    wk_tensor *tensor = wk__npy_read(mapping.data ? mapping.data : "", mapping.size, path);
    wk__unmap(&mapping);
    return tensor;
}

/* ---- writing ---- */

size_t wk__npy_header_text(const wk_tensor *tensor, const char *name, char *text, size_t size) {
    static const char *const descr[WK_DTYPE_COUNT] = {
        [WK_F32] = "<f4", [WK_F64] = "<f8", [WK_F16] = "<f2", [WK_I64] = "<i8", [WK_I32] = "<i4",
        [WK_I16] = "<i2", [WK_I8] = "|i1",  [WK_U8] = "|u1",  [WK_BOOL] = "|b1"
    };
    if (!descr[tensor->dtype]) {
        (void)wk_fail(WK_DTYPE, "%s: npy has no type for %s; use wk_cast", name,
                      wk_dtype_name((wk_dtype)tensor->dtype));
        return 0;
    }
    wk_text dict = { 0 };
    wk_text_printf(&dict, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr[tensor->dtype]);
    char first[24] = "";
    for (int axis = 0; axis < tensor->rank; axis++)
        wk_text_printf(&dict, axis ? ", %lld" : "%lld", (long long)tensor->shape[axis]);
    wk_text_puts(&dict, tensor->rank == 1 ? ",), }" : "), }");
    /* Room for the first size to grow in place, as NumPy leaves it; then to a multiple of 64. */
    if (tensor->rank)
        wk_text_printf(&dict, "%*s", 21 - snprintf(first, sizeof first, "%lld", (long long)tensor->shape[0]), "");
    size_t length = 10 + dict.size + 1, padded = (length + 63) / 64 * 64, header = padded - 10;
    if (!dict.failed && padded <= size) {
        memcpy(text, "\x93NUMPY\x01\x00", 8);
        text[8] = (char)(header & 255);
        text[9] = (char)(header >> 8);
        memcpy(text + 10, dict.data, dict.size);
        memset(text + 10 + dict.size, ' ', padded - 10 - dict.size);
        text[padded - 1] = '\n';
    }
    bool done = !dict.failed;
    wk_text_free(&dict);
    return done ? padded : 0;
}

wk_status wk_npy_save(const char *path, wk_tensor *tensor) {
    char header[512];
    wk__writer writer = { 0 };
    if (wk_failed()) return WK_PENDING;
    if (!tensor) return wk_fail(WK_INVALID, "%s: the tensor to save is NULL", path);
    if (tensor->life != WK__ALIVE)
        return wk_fail(WK_DEAD_TENSOR, "%s: the scope of the tensor to save has ended", path);
    size_t size = wk__npy_header_text(tensor, path, header, sizeof header);
    if (!size) return wk_error_code();
    wk_scope scope = wk_scope_begin();
    wk_status status = WK_OK;
    wk_tensor *whole = wk_contiguous(wk__on_host(tensor));
    if (!whole) {
        status = wk_error_code();
        goto done;
    }
    WK_TRY_DONE(wk__writer_open(&writer, path));
    WK_TRY_DONE(wk__writer_add(&writer, header, size));
    WK_TRY_DONE(wk__writer_add(&writer, whole->data, (size_t)whole->count * wk_dtype_size((wk_dtype)whole->dtype)));
    status = wk__writer_commit(&writer);
done:
    wk__writer_abort(&writer);
    wk_scope_end(scope);
    return status;
}

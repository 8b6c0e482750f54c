/* idx.c: IDX files.
 *
 * 00 00 type rank | rank × u32 big endian | data.  A size in the header is compared with the bytes that are there
 * before anything is believed; gzip is unpacked to the end and its own checksum is checked by zlib.
 */
#include "data/idx.h"

#include "data/dataset.h"

#include <string.h>
#include <zlib.h>

static const size_t MOST_UNPACKED = (size_t)1 << 32;

wk_status wk__idx_parse(const unsigned char *bytes, size_t size, const char *name, wk__idx *idx) {
    if (size < 4) return wk_fail(WK_FORMAT, "%s: not an IDX file: %zu bytes, too short for its header", name, size);
    if (bytes[0] != 0 || bytes[1] != 0)
        return wk_fail(WK_FORMAT, "%s: not an IDX file: it begins with %02x %02x %02x %02x, expected 00 00", name,
                       bytes[0], bytes[1], bytes[2], bytes[3]);
    if (bytes[2] != 8)
        return wk_fail(WK_FORMAT, "%s: IDX of type 0x%02x, only unsigned bytes (0x08) are read", name, bytes[2]);
    int rank = bytes[3];
    if (rank < 1 || rank > 4) return wk_fail(WK_FORMAT, "%s: IDX of rank %d, expected 1 to 4", name, rank);
    size_t header = 4 + 4 * (size_t)rank;
    if (size < header) return wk_fail(WK_FORMAT, "%s: truncated in the IDX header", name);
    uint64_t count = 1;
    for (int i = 0; i < rank; i++) {
        const unsigned char *at = bytes + 4 + 4 * i;
        uint32_t dim = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
        if (__builtin_mul_overflow(count, (uint64_t)dim, &count) || count > MOST_UNPACKED)
            return wk_fail(WK_FORMAT, "%s: the IDX header claims more than 4 GiB", name);
        idx->dims[i] = dim;
    }
    if (count != size - header)
        return wk_fail(WK_FORMAT, "%s: the IDX header promises %llu bytes of data, there are %zu%s", name,
                       (unsigned long long)count, size - header, count > size - header ? " (truncated)" : "");
    idx->rank = rank;
    idx->data = bytes + header;
    return WK_OK;
}

/* All of a gzip stream in memory, growing as it comes: the size at its end is not trusted. */
static wk_status unpack(const wk__mapping *packed, const char *path, unsigned char **out, size_t *out_size) {
    z_stream stream = { .next_in = packed->data, .avail_in = (uInt)packed->size };
    if (packed->size > UINT32_MAX) return wk_fail(WK_FORMAT, "%s: more than 4 GiB packed", path);
    if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) return wk_fail(WK_NO_MEMORY, "%s: zlib could not start", path);
    size_t capacity = packed->size * 4 + 4096, size = 0;
    unsigned char *bytes = NULL;
    int result = Z_OK;
    while (result == Z_OK) {
        unsigned char *grown = wk_realloc(bytes, capacity);
        if (!grown) break;
        bytes = grown;
        size_t room = capacity - size;
        stream.next_out = bytes + size;
        stream.avail_out = room > UINT32_MAX ? UINT32_MAX : (uInt)room;
        uInt before = stream.avail_out;
        result = inflate(&stream, Z_NO_FLUSH);
        size += before - stream.avail_out;
        if (result == Z_OK && stream.avail_out != 0 && stream.avail_in == 0) result = Z_BUF_ERROR;
        if (capacity > MOST_UNPACKED) break;
        if (size == capacity) capacity *= 2;
    }
    (void)inflateEnd(&stream);
    if (result == Z_STREAM_END) {
        *out = bytes;
        *out_size = size;
        return WK_OK;
    }
    wk_free(bytes);
    if (wk_failed()) return wk_error_code();
    if (result == Z_OK) return wk_fail(WK_FORMAT, "%s: unpacks to more than 4 GiB", path);
    return wk_fail(WK_FORMAT, "%s: the gzip stream is %s", path, result == Z_BUF_ERROR ? "truncated" : "damaged");
}

wk_status wk__idx_open(const char *path, wk__idx *idx) {
    *idx = (wk__idx){ 0 };
    WK_TRY(wk__map(path, &idx->mapping));
    const unsigned char *bytes = idx->mapping.data;
    size_t size = idx->mapping.size;
    wk_status status = WK_OK;
    if (size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b) {
        status = unpack(&idx->mapping, path, &idx->unpacked, &size);
        wk__unmap(&idx->mapping);
        bytes = idx->unpacked;
    }
    if (status == WK_OK) status = wk__idx_parse(bytes, size, path, idx);
    if (status != WK_OK) wk__idx_close(idx);
    return status;
}

void wk__idx_close(wk__idx *idx) {
    wk__unmap(&idx->mapping);
    wk_free(idx->unpacked);
    *idx = (wk__idx){ 0 };
}

/* ---- the dataset ---- */

typedef struct idx_dataset {
    wk_dataset base;
    wk__idx images, labels;
    float value[256]; /* of each byte, normalised */
} idx_dataset;

static wk_status fetch(const wk_dataset *self, const int64_t *indices, int64_t n, void *input, void *target) {
    const idx_dataset *d = (const idx_dataset *)self;
    int64_t pixels = d->images.dims[1] * d->images.dims[2];
    float *out = input;
    int64_t *labels = target;
    for (int64_t i = 0; i < n; i++) {
        const unsigned char *image = d->images.data + indices[i] * pixels;
        for (int64_t p = 0; p < pixels; p++) out[i * pixels + p] = d->value[image[p]];
        labels[i] = d->labels.data[indices[i]];
    }
    return WK_OK;
}

static void destroy(wk_dataset *self) {
    wk__idx_close(&((idx_dataset *)self)->images);
    wk__idx_close(&((idx_dataset *)self)->labels);
    wk__class_names_free(self);
}

static wk_status fetch_image(const wk_dataset *self, int64_t index, wk_image *image) {
    const idx_dataset *d = (const idx_dataset *)self;
    WK_TRY(wk_image_turn(image, d->images.dims[1], d->images.dims[2], 1));
    const int64_t pixels = d->images.dims[1] * d->images.dims[2];
    memcpy(image->pixels, d->images.data + index * pixels, (size_t)pixels);
    return WK_OK;
}

static int64_t label_of(const wk_dataset *self, int64_t index) {
    return ((const idx_dataset *)self)->labels.data[index];
}

static const wk_dataset_class idx_class = { .name = "idx",
                                            .size = sizeof(idx_dataset),
                                            .fetch = fetch,
                                            .destroy = destroy,
                                            .image = fetch_image,
                                            .label = label_of };

static wk_status check(const idx_dataset *d, const wk_idx_opts *opts, int classes) {
    if (d->images.rank != 3)
        return wk_fail(WK_FORMAT, "%s: IDX of rank %d, expected images of rank 3", opts->images, d->images.rank);
    if (d->labels.rank != 1)
        return wk_fail(WK_FORMAT, "%s: IDX of rank %d, expected labels of rank 1", opts->labels, d->labels.rank);
    if (d->images.dims[0] != d->labels.dims[0])
        return wk_fail(WK_FORMAT, "%s has %lld images, %s %lld labels: they do not belong together", opts->images,
                       (long long)d->images.dims[0], opts->labels, (long long)d->labels.dims[0]);
    if (d->images.dims[0] == 0) return wk_fail(WK_FORMAT, "%s: no images", opts->images);
    for (int64_t i = 0; i < d->labels.dims[0]; i++)
        if (d->labels.data[i] >= classes)
            return wk_fail(WK_FORMAT, "%s: label %lld is %d, expected 0 to %d", opts->labels, (long long)i,
                           d->labels.data[i], classes - 1);
    return WK_OK;
}

wk_dataset *wk_idx_dataset(wk_idx_opts opts) {
    if (wk_failed()) return NULL;
    if (!opts.images || !opts.labels)
        return wk_fail_null(WK_INVALID, "idx dataset: paths of images and labels are needed");
    if (opts.limit < 0 || opts.classes < 0 || opts.classes > 256 || opts.deviation < 0)
        return wk_fail_null(
            WK_INVALID, "idx dataset: limit %lld, classes %d, deviation %g: expected at least 0, classes at most 256",
            (long long)opts.limit, opts.classes, opts.deviation);
    idx_dataset *d = (idx_dataset *)wk_dataset_create(&idx_class);
    if (!d) return NULL;
    int classes = opts.classes ? opts.classes : 10;
    double deviation = opts.deviation > 0 ? opts.deviation : 1;
    if (wk__idx_open(opts.images, &d->images) != WK_OK || wk__idx_open(opts.labels, &d->labels) != WK_OK
        || check(d, &opts, classes) != WK_OK) {
        wk_dataset_destroy(&d->base);
        return NULL;
    }
    /* torchvision's ToTensor and Normalize round twice in f32; so does this. */
    for (int i = 0; i < 256; i++) d->value[i] = ((float)i / 255.0F - (float)opts.mean) / (float)deviation;
    d->base.count = opts.limit && opts.limit < d->images.dims[0] ? opts.limit : d->images.dims[0];
    d->base.input_dims = WK_DIMS(1, d->images.dims[1], d->images.dims[2]);
    d->base.input_dtype = WK_F32;
    d->base.target_dtype = WK_I64;
    d->base.classes = classes;
    if (wk__class_names_keep(&d->base, opts.class_names) == WK_OK) return &d->base;
    wk_dataset_destroy(&d->base);
    return NULL;
}

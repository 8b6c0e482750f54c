/* event_file.c: TensorBoard event files, written by hand: a handful of protobuf fields (proto.h) do not need a protobuf
 * library.
 *
 * Record: u64 length | masked crc32c of the length | data | masked crc32c of the data, little endian.  Event: 1
 * wall_time (double), 2 step (varint), 3 file_version, 5 summary { 1 value { 1 tag, 2 simple_value, 8 tensor { 1 dtype,
 * 2 shape { 2 dim { 1 size } }, 5 packed float_val }, 9 metadata { 1 plugin_data { 1 plugin_name, 2 content } } } }, 7
 * session_log { 1 status }. Format: tensorflow/core/util/event.proto, tensorflow/core/lib/io/record_writer.
 */
#include "io/event_file.h"

#include "io/proto.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct wk__event_file {
    FILE *stream;
    char *path;
};

uint32_t wk__crc32c(const void *bytes, size_t size) {
    static const uint32_t of_nibble[16] = { /* x⁴ times it, modulo the polynomial 0x82f63b78 (reflected) */
                                            0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
                                            0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                            0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75
    };
    const unsigned char *at = bytes;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc ^= at[i];
        crc = crc >> 4 ^ of_nibble[crc & 15];
        crc = crc >> 4 ^ of_nibble[crc & 15];
    }
    return ~crc;
}

static uint32_t mask(uint32_t crc) {
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

/* The length, and its checksum. */
static void record_begin(wk_text *out, size_t size) {
    const size_t at = out->size;
    wk__proto_little(out, size, 8);
    if (!out->failed) wk__proto_little(out, mask(wk__crc32c(out->data + at, 8)), 4);
}

/* The checksum of the data, which are the last bytes of the text. */
static void record_end(wk_text *out, size_t size) {
    if (!out->failed) wk__proto_little(out, mask(wk__crc32c(out->data + out->size - size, size)), 4);
}

void wk__event_record(wk_text *out, const wk_text *data) {
    record_begin(out, data->size);
    wk_text_add(out, wk_text_get(data), data->size);
    record_end(out, data->size);
    out->failed = out->failed || data->failed;
}

static void step_field(wk_text *event, int64_t step) {
    if (step != 0) wk__proto_number(event, 2, (uint64_t)step);
}

void wk__event_version(wk_text *out, double wall_time) {
    wk_text event = { 0 };
    wk__proto_double(&event, 1, wall_time);
    wk__proto_text(&event, 3, "brain.Event:2");
    wk__event_record(out, &event);
    wk_text_free(&event);
}

void wk__event_summary(wk_text *out, double wall_time, int64_t step, wk_text *value) {
    /* Scalars come by the thousand: sizes are added up before, and each byte is written to its place. */
    const size_t item = 1 + wk__proto_varint_size(value->size) + value->size;
    const size_t size =
        9 + (step != 0 ? 1 + wk__proto_varint_size((uint64_t)step) : 0) + 1 + wk__proto_varint_size(item) + item;
    record_begin(out, size);
    wk__proto_double(out, 1, wall_time);
    step_field(out, step);
    wk__proto_begin(out, 5, item);
    wk__proto_message(out, 1, value);
    record_end(out, size);
}

void wk__event_metadata(wk_text *value, const char *plugin, wk_text *content) {
    wk_text data = { 0 }, meta = { 0 };
    wk__proto_text(&data, 1, plugin);
    if (content && content->size > 0) wk__proto_message(&data, 2, content);
    wk__proto_message(&meta, 1, &data);
    wk__proto_message(value, 9, &meta);
}

void wk__event_shape(wk_text *out, int field, wk_dims sizes) {
    wk_text shape = { 0 };
    for (int axis = 0; axis < sizes.rank; axis++) {
        wk_text dim = { 0 };
        wk__proto_number(&dim, 1, (uint64_t)sizes.size[axis]);
        wk__proto_message(&shape, 2, &dim);
    }
    wk__proto_message(out, field, &shape);
}

void wk__event_floats(wk_text *value, const float *numbers, wk_dims sizes) {
    enum { DT_FLOAT = 1 };
    wk_text tensor = { 0 };
    int64_t count = 1;
    for (int axis = 0; axis < sizes.rank; axis++) count *= sizes.size[axis];
    wk__proto_number(&tensor, 1, DT_FLOAT);
    wk__event_shape(&tensor, 2, sizes);
    wk__proto_floats(&tensor, 5, numbers, count);
    wk__proto_message(value, 8, &tensor);
}

void wk__event_scalar(wk_text *out, double wall_time, int64_t step, const char *tag, float value) {
    wk_text item = { 0 };
    wk__proto_text(&item, 1, tag);
    wk__proto_float(&item, 2, value);
    wk__event_summary(out, wall_time, step, &item);
}

static void event_restart(wk_text *out, double wall_time, int64_t step) {
    enum { START = 1 };
    wk_text event = { 0 }, log = { 0 };
    wk__proto_double(&event, 1, wall_time);
    step_field(&event, step);
    wk__proto_number(&log, 1, START);
    wk__proto_message(&event, 7, &log);
    wk__event_record(out, &event);
    wk_text_free(&event);
}

wk_status wk__event_file_put(wk__event_file *file, wk_text *text) {
    wk_status status = WK_OK;
    if (text->failed)
        status = WK_NO_MEMORY;
    else if (fwrite(text->data, 1, text->size, file->stream) != text->size)
        status = wk_fail(WK_IO, "%s: cannot write: %s", file->path, strerror(errno));
    wk_text_free(text);
    return status;
}

wk__event_file *wk__event_file_open(const char *folder) {
    static int serial;
    char host[128] = "localhost";
    (void)gethostname(host, sizeof host - 1);
    wk__event_file *file = wk_alloc(sizeof *file);
    if (!file) return NULL;
    double now = wk_wall_time();
    file->path =
        wk_format("%s/events.out.tfevents.%010lld.%s.%ld.%d", folder, (long long)now, host, (long)getpid(), serial++);
    file->stream = file->path ? fopen(file->path, "wbe") : NULL;
    wk_text text = { 0 };
    wk__event_version(&text, now);
    if (!file->stream) {
        if (file->path) (void)wk_fail(WK_IO, "%s: cannot create: %s", file->path, strerror(errno));
        wk_text_free(&text);
        wk__event_file_close(file);
        return NULL;
    }
    if (wk__event_file_put(file, &text) != WK_OK) {
        wk__event_file_close(file);
        return NULL;
    }
    return file;
}

wk_status wk__event_file_scalar(wk__event_file *file, double wall_time, int64_t step, const char *tag, float value) {
    wk_text text = { 0 };
    wk__event_scalar(&text, wall_time, step, tag, value);
    return wk__event_file_put(file, &text);
}

wk_status wk__event_file_restart(wk__event_file *file, double wall_time, int64_t step) {
    wk_text text = { 0 };
    event_restart(&text, wall_time, step);
    return wk__event_file_put(file, &text);
}

wk_status wk__event_file_flush(wk__event_file *file) {
    if (fflush(file->stream) != 0) return wk_fail(WK_IO, "%s: cannot write: %s", file->path, strerror(errno));
    return WK_OK;
}

void wk__event_file_close(wk__event_file *file) {
    if (!file) return;
    if (file->stream) (void)fclose(file->stream);
    wk_free(file->path);
    wk_free(file);
}

/* event_file.c: TensorBoard event files, written by hand: a handful of protobuf fields do not need a protobuf library.
 *
 * Record: u64 length | masked crc32c of the length | data | masked crc32c of the data, little endian.  Event: 1
 * wall_time (double), 2 step (varint), 3 file_version, 5 summary { 1 value { 1 tag, 2 simple_value } }, 7 session_log {
 * 1 status }. Format: tensorflow/core/util/event.proto, tensorflow/core/lib/io/record_writer.
 */
#include "io/event_file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct wk__event_file {
    FILE *stream;
    char *path;
};

uint32_t wk__crc32c(const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0);
    }
    return ~crc;
}

void wk__proto_little(wk_text *out, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        char byte = (char)(value >> (8 * i) & 255);
        wk_text_add(out, &byte, 1);
    }
}

void wk__proto_varint(wk_text *out, uint64_t value) {
    for (; value >= 128; value >>= 7) wk__proto_little(out, (value & 127) | 128, 1);
    wk__proto_little(out, value, 1);
}

void wk__proto_bytes(wk_text *out, int field, const char *bytes, size_t size) {
    wk__proto_varint(out, (uint64_t)field << 3 | 2);
    wk__proto_varint(out, size);
    wk_text_add(out, bytes, size);
}

void wk__proto_double(wk_text *out, int field, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    wk__proto_varint(out, (uint64_t)field << 3 | 1);
    wk__proto_little(out, bits, 8);
}

void wk__proto_float(wk_text *out, int field, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    wk__proto_varint(out, (uint64_t)field << 3 | 5);
    wk__proto_little(out, bits, 4);
}

static uint32_t mask(uint32_t crc) {
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

void wk__event_record(wk_text *out, const wk_text *data) {
    wk_text length = { 0 };
    wk__proto_little(&length, data->size, 8);
    wk_text_add(out, wk_text_get(&length), length.size);
    wk__proto_little(out, mask(wk__crc32c(wk_text_get(&length), length.size)), 4);
    wk_text_add(out, wk_text_get(data), data->size);
    wk__proto_little(out, mask(wk__crc32c(wk_text_get(data), data->size)), 4);
    out->failed = out->failed || length.failed || data->failed;
    wk_text_free(&length);
}

static void step_field(wk_text *event, int64_t step) {
    if (step == 0) return;
    wk__proto_varint(event, 2 << 3);
    wk__proto_varint(event, (uint64_t)step);
}

void wk__event_version(wk_text *out, double wall_time) {
    wk_text event = { 0 };
    wk__proto_double(&event, 1, wall_time);
    wk__proto_bytes(&event, 3, "brain.Event:2", 13);
    wk__event_record(out, &event);
    wk_text_free(&event);
}

void wk__event_summary(wk_text *out, double wall_time, int64_t step, const wk_text *value) {
    wk_text summary = { 0 }, event = { 0 };
    wk__proto_bytes(&summary, 1, wk_text_get(value), value->size);
    wk__proto_double(&event, 1, wall_time);
    step_field(&event, step);
    wk__proto_bytes(&event, 5, wk_text_get(&summary), summary.size);
    event.failed = event.failed || summary.failed || value->failed;
    wk__event_record(out, &event);
    wk_text_free(&summary);
    wk_text_free(&event);
}

void wk__event_scalar(wk_text *out, double wall_time, int64_t step, const char *tag, float value) {
    wk_text item = { 0 };
    wk__proto_bytes(&item, 1, tag, strlen(tag));
    wk__proto_float(&item, 2, value);
    wk__event_summary(out, wall_time, step, &item);
    wk_text_free(&item);
}

static void event_restart(wk_text *out, double wall_time, int64_t step) {
    static const char start[] = { 1 << 3, 1 }; /* SessionLog.START */
    wk_text event = { 0 };
    wk__proto_double(&event, 1, wall_time);
    step_field(&event, step);
    wk__proto_bytes(&event, 7, start, sizeof start);
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

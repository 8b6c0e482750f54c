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

static void little(wk_text *out, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        char byte = (char)(value >> (8 * i) & 255);
        wk_text_add(out, &byte, 1);
    }
}

static void varint(wk_text *out, uint64_t value) {
    for (; value >= 128; value >>= 7) little(out, (value & 127) | 128, 1);
    little(out, value, 1);
}

static void bytes_field(wk_text *out, int field, const char *bytes, size_t size) {
    varint(out, (uint64_t)field << 3 | 2);
    varint(out, size);
    wk_text_add(out, bytes, size);
}

static void double_field(wk_text *out, int field, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    varint(out, (uint64_t)field << 3 | 1);
    little(out, bits, 8);
}

static void float_field(wk_text *out, int field, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    varint(out, (uint64_t)field << 3 | 5);
    little(out, bits, 4);
}

static uint32_t mask(uint32_t crc) {
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

static void record(wk_text *out, const wk_text *data) {
    wk_text length = { 0 };
    little(&length, data->size, 8);
    wk_text_add(out, wk_text_get(&length), length.size);
    little(out, mask(wk__crc32c(wk_text_get(&length), length.size)), 4);
    wk_text_add(out, wk_text_get(data), data->size);
    little(out, mask(wk__crc32c(wk_text_get(data), data->size)), 4);
    out->failed = out->failed || length.failed || data->failed;
    wk_text_free(&length);
}

static void step_field(wk_text *event, int64_t step) {
    if (step == 0) return;
    varint(event, 2 << 3);
    varint(event, (uint64_t)step);
}

void wk__event_version(wk_text *out, double wall_time) {
    wk_text event = { 0 };
    double_field(&event, 1, wall_time);
    bytes_field(&event, 3, "brain.Event:2", 13);
    record(out, &event);
    wk_text_free(&event);
}

void wk__event_scalar(wk_text *out, double wall_time, int64_t step, const char *tag, float value) {
    wk_text item = { 0 }, summary = { 0 }, event = { 0 };
    bytes_field(&item, 1, tag, strlen(tag));
    float_field(&item, 2, value);
    bytes_field(&summary, 1, wk_text_get(&item), item.size);
    double_field(&event, 1, wall_time);
    step_field(&event, step);
    bytes_field(&event, 5, wk_text_get(&summary), summary.size);
    record(out, &event);
    wk_text_free(&item);
    wk_text_free(&summary);
    wk_text_free(&event);
}

static void event_restart(wk_text *out, double wall_time, int64_t step) {
    static const char start[] = { 1 << 3, 1 }; /* SessionLog.START */
    wk_text event = { 0 };
    double_field(&event, 1, wall_time);
    step_field(&event, step);
    bytes_field(&event, 7, start, sizeof start);
    record(out, &event);
    wk_text_free(&event);
}

static wk_status put(wk__event_file *file, wk_text *text) {
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
    if (put(file, &text) != WK_OK) {
        wk__event_file_close(file);
        return NULL;
    }
    return file;
}

wk_status wk__event_file_scalar(wk__event_file *file, double wall_time, int64_t step, const char *tag, float value) {
    wk_text text = { 0 };
    wk__event_scalar(&text, wall_time, step, tag, value);
    return put(file, &text);
}

wk_status wk__event_file_restart(wk__event_file *file, double wall_time, int64_t step) {
    wk_text text = { 0 };
    event_restart(&text, wall_time, step);
    return put(file, &text);
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

/* proto.c: the wire format of protobuf: https://protobuf.dev/programming-guides/encoding/ */
#include "io/proto.h"

#include <string.h>

enum { VARINT = 0, I64 = 1, LEN = 2, I32 = 5 };

static void key(wk_text *out, int field, int wire) {
    wk__proto_varint(out, (uint64_t)field << 3 | (uint64_t)wire);
}

void wk__proto_little(wk_text *out, uint64_t value, int bytes) {
    char byte[8];
    for (int i = 0; i < bytes; i++) byte[i] = (char)(value >> (8 * i) & 255);
    wk_text_add(out, byte, (size_t)bytes);
}

void wk__proto_varint(wk_text *out, uint64_t value) {
    for (; value >= 128; value >>= 7) wk__proto_little(out, (value & 127) | 128, 1);
    wk__proto_little(out, value, 1);
}

size_t wk__proto_varint_size(uint64_t value) {
    size_t size = 1;
    for (; value >= 128; value >>= 7) size++;
    return size;
}

void wk__proto_begin(wk_text *out, int field, size_t size) {
    key(out, field, LEN);
    wk__proto_varint(out, size);
}

void wk__proto_bytes(wk_text *out, int field, const char *bytes, size_t size) {
    wk__proto_begin(out, field, size);
    wk_text_add(out, bytes, size);
}

void wk__proto_text(wk_text *out, int field, const char *text) {
    wk__proto_bytes(out, field, text, strlen(text));
}

void wk__proto_number(wk_text *out, int field, uint64_t value) {
    key(out, field, VARINT);
    wk__proto_varint(out, value);
}

static void little_double(wk_text *out, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    wk__proto_little(out, bits, 8);
}

static void little_float(wk_text *out, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    wk__proto_little(out, bits, 4);
}

void wk__proto_double(wk_text *out, int field, double value) {
    key(out, field, I64);
    little_double(out, value);
}

void wk__proto_float(wk_text *out, int field, float value) {
    key(out, field, I32);
    little_float(out, value);
}

void wk__proto_message(wk_text *out, int field, wk_text *message) {
    wk__proto_bytes(out, field, wk_text_get(message), message->size);
    out->failed = out->failed || message->failed;
    wk_text_free(message);
}

void wk__proto_doubles(wk_text *out, int field, const double *values, int64_t count) {
    wk__proto_begin(out, field, (size_t)count * sizeof *values);
    for (int64_t i = 0; i < count; i++) little_double(out, values[i]);
}

void wk__proto_floats(wk_text *out, int field, const float *values, int64_t count) {
    wk__proto_begin(out, field, (size_t)count * sizeof *values);
    for (int64_t i = 0; i < count; i++) little_float(out, values[i]);
}

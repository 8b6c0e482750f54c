/* proto.h: protobuf messages, field by field. */
#ifndef WICK_SRC_IO_PROTO_H
#define WICK_SRC_IO_PROTO_H

#include "base/base.h"

void wk__proto_little(wk_text *out, uint64_t value, int bytes);
void wk__proto_varint(wk_text *out, uint64_t value);
size_t wk__proto_varint_size(uint64_t value);
/* What stands before the bytes of a field that has a length. */
void wk__proto_begin(wk_text *out, int field, size_t size);
/* Fields: length-delimited, text, an integer, a double, a float. */
void wk__proto_bytes(wk_text *out, int field, const char *bytes, size_t size);
void wk__proto_text(wk_text *out, int field, const char *text);
void wk__proto_number(wk_text *out, int field, uint64_t value);
void wk__proto_double(wk_text *out, int field, double value);
void wk__proto_float(wk_text *out, int field, float value);
/* A message as a field of another; it is freed. */
void wk__proto_message(wk_text *out, int field, wk_text *message);
/* Packed numbers. */
void wk__proto_doubles(wk_text *out, int field, const double *values, int64_t count);
void wk__proto_floats(wk_text *out, int field, const float *values, int64_t count);

#endif

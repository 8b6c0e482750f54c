/* attrs.c: attributes of operations as text, for command lines, files and documents. */
#include "tensor/registry.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const wk_attr_def *find(const wk_op_def *op, const char *name) {
    for (int i = 0; i < op->n_attrs; i++)
        if (strcmp(op->attrs[i].name, name) == 0) return &op->attrs[i];
    return NULL;
}

static wk_status unknown(const wk_op_def *op, const char *name) {
    char names[400] = "";
    size_t used = 0;
    for (int i = 0; i < op->n_attrs && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", op->attrs[i].name);
    return wk_fail(WK_CONFIG, "%s: no attribute \"%s\"; expected %s", op->name, name, *names ? names : "none at all");
}

static wk_status refuse(const wk_op_def *op, const wk_attr_def *attr, const char *value, const char *expected) {
    return wk_fail(WK_CONFIG, "%s: %s is \"%s\", expected %s", op->name, attr->name, value, expected);
}

/* ---- reading ---- */

static bool read_int(const char *text, int64_t *value) {
    char *end;
    errno = 0;
    long long parsed = strtoll(text, &end, 10);
    *value = parsed;
    return end != text && *end == '\0' && errno == 0;
}

static bool read_float(const char *text, double *value) {
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0';
}

/* "2,3" to at most `most` numbers; how many, or -1. */
static int read_ints(const char *text, int64_t *values, int most) {
    int count = 0;
    for (const char *at = text; *at; count++) {
        char *end;
        errno = 0;
        long long parsed = strtoll(at, &end, 10);
        if (end == at || errno || count == most || (*end && *end != ',')) return -1;
        values[count] = parsed;
        at = *end ? end + 1 : end;
    }
    return count;
}

static int read_choice(const char *choices, const char *value) {
    size_t length = strlen(value);
    for (int i = 0;; i++) {
        size_t size = strcspn(choices, "|");
        if (size == length && strncmp(choices, value, size) == 0) return i;
        if (!choices[size]) return -1;
        choices += size + 1;
    }
}

static wk_status set_list(const wk_op_def *op, const wk_attr_def *attr, char *at, const char *value) {
    int64_t numbers[16];
    if (attr->type == WK_ATTR_DIMS) {
        wk_dims *dims = (wk_dims *)(void *)at;
        int count = read_ints(value, numbers, WK_MAX_RANK);
        if (count < 0) return refuse(op, attr, value, "up to eight whole numbers such as 2,3");
        *dims = (wk_dims){ .rank = count };
        memcpy(dims->size, numbers, (size_t)count * sizeof *numbers);
        return WK_OK;
    }
    int count = attr->length <= 16 ? read_ints(value, numbers, attr->length) : -1;
    if (count != attr->length && count != 1) {
        char expected[80];
        (void)snprintf(expected, sizeof expected, "one whole number or %d of them such as 2,3", attr->length);
        return refuse(op, attr, value, expected);
    }
    for (int i = 0; i < attr->length; i++) ((int64_t *)(void *)at)[i] = numbers[count == 1 ? 0 : i];
    return WK_OK;
}

static wk_status set_scalar(const wk_op_def *op, const wk_attr_def *attr, char *at, const char *value) {
    int64_t whole;
    double number;
    switch (attr->type) {
    case WK_ATTR_INT:
        if (!read_int(value, &whole)) return refuse(op, attr, value, "a whole number");
        memcpy(at, &whole, sizeof whole);
        return WK_OK;
    case WK_ATTR_FLOAT:
        if (!read_float(value, &number)) return refuse(op, attr, value, "a number");
        memcpy(at, &number, sizeof number);
        return WK_OK;
    case WK_ATTR_OPTIONAL:
        if (!*value) return WK_OK;
        if (!read_float(value, &number)) return refuse(op, attr, value, "a number");
        *(wk_optional *)(void *)at = WK_SET(number);
        return WK_OK;
    case WK_ATTR_BOOL:
        if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0) return refuse(op, attr, value, "true or false");
        *(bool *)at = *value == 't';
        return WK_OK;
    case WK_ATTR_ENUM: {
        int choice = read_choice(attr->choices, value);
        if (choice < 0) return refuse(op, attr, value, attr->choices);
        memcpy(at, &choice, sizeof choice);
        return WK_OK;
    }
    case WK_ATTR_DTYPE: {
        for (int dtype = 0; dtype < WK_DTYPE_COUNT; dtype++) {
            if (strcmp(wk_dtype_name((wk_dtype)dtype), value) != 0) continue;
            *(wk_dtype *)(void *)at = (wk_dtype)dtype;
            return WK_OK;
        }
        return refuse(op, attr, value, "the name of a dtype such as f32");
    }
    default: break;
    }
    if (strlen(value) >= (size_t)attr->length) return refuse(op, attr, value, "a shorter text");
    memcpy(at, value, strlen(value) + 1);
    return WK_OK;
}

wk_status wk_op_set_attr(const wk_op_def *op, void *attrs, const char *name, const char *value) {
    const wk_attr_def *attr = find(op, name);
    if (!attr) return unknown(op, name);
    char *at = (char *)attrs + attr->offset;
    bool is_list = attr->type == WK_ATTR_DIMS || attr->type == WK_ATTR_INTS;
    return is_list ? set_list(op, attr, at, value) : set_scalar(op, attr, at, value);
}

/* ---- writing ---- */

static void write_ints(const int64_t *values, int count, char *text, size_t size) {
    size_t used = 0;
    *text = '\0';
    for (int i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i ? "," : "", (long long)values[i]);
}

static void write_choice(const char *choices, int choice, char *text, size_t size) {
    for (; choice > 0; choice--) choices += strcspn(choices, "|") + 1;
    (void)snprintf(text, size, "%.*s", (int)strcspn(choices, "|"), choices);
}

wk_status wk_op_get_attr(const wk_op_def *op, const void *attrs, int index, char *text, size_t size) {
    if (index < 0 || index >= op->n_attrs)
        return wk_fail(WK_INVALID, "%s has %d attributes, there is no number %d", op->name, op->n_attrs, index);
    const wk_attr_def *attr = &op->attrs[index];
    const void *at = (const char *)attrs + attr->offset;
    const wk_optional *optional = at;
    const wk_dims *dims = at;
    switch (attr->type) {
    case WK_ATTR_INT: (void)snprintf(text, size, "%lld", (long long)*(const int64_t *)at); break;
    case WK_ATTR_FLOAT: (void)snprintf(text, size, "%.17g", *(const double *)at); break;
    case WK_ATTR_BOOL: (void)snprintf(text, size, "%s", *(const bool *)at ? "true" : "false"); break;
    case WK_ATTR_ENUM: write_choice(attr->choices, *(const int *)at, text, size); break;
    case WK_ATTR_DTYPE: (void)snprintf(text, size, "%s", wk_dtype_name(*(const wk_dtype *)at)); break;
    case WK_ATTR_INTS: write_ints(at, attr->length, text, size); break;
    case WK_ATTR_DIMS: write_ints(dims->size, dims->rank, text, size); break;
    case WK_ATTR_OPTIONAL:
        *text = '\0';
        if (optional->is_set) (void)snprintf(text, size, "%.17g", optional->value);
        break;
    case WK_ATTR_TEXT: (void)snprintf(text, size, "%s", (const char *)at); break;
    }
    return WK_OK;
}

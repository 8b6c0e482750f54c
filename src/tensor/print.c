/* print.c: tensors as text, character for character what NumPy 2 prints.
 *
 * Numbers have the fewest digits that tell them from their neighbours of the same dtype, at most `precision` behind the
 * point; one column fits all, and exponents appear when any number is large, small, or far from the others.  Beyond
 * `threshold` elements only the edges of each axis are shown, and looked at.  (numpy/_core/arrayprint.py, whose rules
 * these are; bf16, which NumPy lacks, is shown as the f32 that it is.)
 */
#include "tensor/tensor.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 400 }; /* a double in positional form */

typedef struct style {
    const wk_tensor *tensor;
    wk_format_opts opts;
    int precision;
    bool summarised, exponents;
    int pad_left, pad_right; /* before and behind the point; pad_left is the whole width of integers */
    int mantissa_digits, exponent_digits;
    double largest, smallest; /* of the finite ones but 0, without sign */
    bool any_finite, any_nan, any_infinite, any_negative_infinite;
} style;

/* ---- one number ---- */

static double nearest(double value, wk_dtype dtype) {
    uint16_t bits;
    if (dtype == WK_F64) return value;
    if (dtype != WK_F16) return (double)(float)value;
    wk__element_set(&bits, WK_F16, 0, value);
    return wk__element_get(&bits, WK_F16, 0);
}

static double read_back(const char *text, wk_dtype dtype) {
    return dtype == WK_F32 || dtype == WK_BF16 ? (double)strtof(text, NULL) : nearest(strtod(text, NULL), dtype);
}

/* A power of two is nearer to the number below it than to the one above: where the nearest decimal of so many digits
 * falls out on the near side, the next one up may still be meant by it. */
static bool next_up_reads_back(double value, wk_dtype dtype, char *text, size_t size) {
    int exponent;
    if (frexp(value, &exponent) != 0.5) return false;
    char digits[24], *e = strchr(text, 'e');
    int kept = 0, power = (int)strtol(e + 1, NULL, 10);
    for (const char *at = text; at < e; at++)
        if (*at >= '0' && *at <= '9') digits[kept++] = *at;
    digits[kept] = '\0';
    char up[48];
    (void)snprintf(up, sizeof up, "%llue%d", strtoull(digits, NULL, 10) + 1, power - kept + 1);
    if (read_back(up, dtype) != value) return false;
    (void)snprintf(digits, sizeof digits, "%llu", strtoull(up, NULL, 10));
    (void)snprintf(text, size, "%c.%se%d", digits[0], digits + 1, power + (int)strlen(digits) - kept);
    return true;
}

/* The fewest digits, without point, and the exponent of the first. */
static int shortest(double value, wk_dtype dtype, char *digits, int *exponent) {
    char text[40];
    value = fabs(value);
    for (int count = 1; count <= 17; count++) {
        (void)snprintf(text, sizeof text, "%.*e", count - 1, value);
        if (read_back(text, dtype) == value || next_up_reads_back(value, dtype, text, sizeof text)) break;
    }
    char *e = strchr(text, 'e');
    *exponent = (int)strtol(e + 1, NULL, 10);
    int kept = 0;
    for (const char *at = text; at < e; at++)
        if (*at >= '0' && *at <= '9') digits[kept++] = *at;
    while (kept > 1 && digits[kept - 1] == '0') kept--;
    digits[kept] = '\0';
    return kept;
}

static void strip_zeros(char *text) {
    size_t size = strlen(text);
    while (size && text[size - 1] == '0') text[--size] = '\0';
}

/* "-12.5", "3."; precision < 0: all digits. */
static void positional(double value, wk_dtype dtype, int precision, char *text) {
    char digits[24];
    int exponent, count = shortest(value, dtype, digits, &exponent), behind = count - 1 - exponent;
    if (precision >= 0 && behind > precision) {
        (void)snprintf(text, LONGEST, precision ? "%.*f" : "%.*f.", precision, value);
        strip_zeros(text);
        return;
    }
    char *at = text;
    if (signbit(value)) *at++ = '-';
    if (exponent < 0) *at++ = '0';
    for (int i = 0; i <= exponent; i++) *at++ = i < count ? digits[i] : '0';
    *at++ = '.';
    for (int i = exponent + 1; i < count; i++) *at++ = i < 0 ? '0' : digits[i];
    *at = '\0';
    if (value == 0) (void)snprintf(text, LONGEST, signbit(value) ? "-0." : "0.");
}

/* "-1.25" and the exponent; precision < 0: all digits. */
static int scientific(double value, wk_dtype dtype, int precision, char *mantissa) {
    char digits[24];
    int exponent, count = shortest(value, dtype, digits, &exponent);
    if (precision >= 0 && count - 1 > precision) {
        (void)snprintf(mantissa, LONGEST, precision ? "%.*e" : "%#.*e", precision, value);
        char *e = strchr(mantissa, 'e');
        exponent = (int)strtol(e + 1, NULL, 10);
        *e = '\0';
        strip_zeros(mantissa);
        return exponent;
    }
    (void)snprintf(mantissa, LONGEST, "%s%c.%s", signbit(value) ? "-" : "", digits[0], digits + 1);
    if (value == 0) (void)snprintf(mantissa, LONGEST, signbit(value) ? "-0." : "0.");
    return value == 0 ? 0 : exponent;
}

/* From where on numbers have exponents. */
static double large(wk_dtype dtype) {
    return dtype == WK_F64 ? 1e8 : dtype == WK_F16 ? 1e3 : 1e6;
}

/* What stands alone: all digits, "1.0", "1e+16". */
static void alone(double value, wk_dtype dtype, char *text) {
    if (isnan(value)) {
        (void)snprintf(text, LONGEST, "nan");
    } else if (isinf(value)) {
        (void)snprintf(text, LONGEST, value < 0 ? "-inf" : "inf");
    } else if (value == 0 || (fabs(value) >= 1e-4 && fabs(value) < (dtype == WK_F64 ? 1e16 : large(dtype)))) {
        positional(value, dtype, -1, text);
        if (text[strlen(text) - 1] == '.') (void)strncat(text, "0", 2);
    } else {
        int exponent = scientific(value, dtype, -1, text);
        size_t size = strlen(text);
        if (text[size - 1] == '.') size--;
        (void)snprintf(text + size, LONGEST - size, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    }
}

static int digits_of(int exponent) {
    int count = 2;
    for (int rest = abs(exponent) / 100; rest; rest /= 10) count++;
    return count;
}

/* ---- every element that is shown ---- */

typedef void (*visitor)(style *s, int64_t offset);

static bool is_cut(const style *s, int axis) {
    return s->summarised && s->tensor->shape[axis] > 2 * s->opts.edge_items;
}

static void visit(style *s, int axis, int64_t offset, visitor look) {
    const wk_tensor *t = s->tensor;
    if (axis == t->rank) {
        look(s, offset);
        return;
    }
    for (int64_t i = 0; i < t->shape[axis]; i++) {
        if (is_cut(s, axis) && i == s->opts.edge_items) i = t->shape[axis] - s->opts.edge_items;
        visit(s, axis + 1, offset + i * t->stride[axis], look);
    }
}

static double value_at(const style *s, int64_t offset) {
    return wk__element_get(s->tensor->data, (wk_dtype)s->tensor->dtype, offset);
}

static int64_t integer_at(const style *s, int64_t offset) {
    return s->tensor->dtype == WK_I64 ? ((const int64_t *)s->tensor->data)[offset] : (int64_t)value_at(s, offset);
}

static void look_at_size(style *s, int64_t offset) {
    double value = value_at(s, offset);
    s->any_nan = s->any_nan || isnan(value);
    s->any_infinite = s->any_infinite || isinf(value);
    s->any_negative_infinite = s->any_negative_infinite || (isinf(value) && value < 0);
    if (!isfinite(value)) return;
    s->any_finite = true;
    if (value == 0) return;
    s->largest = fmax(s->largest, fabs(value));
    s->smallest = s->smallest == 0 ? fabs(value) : fmin(s->smallest, fabs(value));
}

static void widen(int *width, size_t to) {
    if ((int)to > *width) *width = (int)to;
}

static void look_at_width(style *s, int64_t offset) {
    char text[LONGEST];
    double value = value_at(s, offset);
    if (!isfinite(value)) return;
    if (s->exponents) {
        int exponent = scientific(value, (wk_dtype)s->tensor->dtype, s->precision, text);
        widen(&s->exponent_digits, (size_t)digits_of(exponent));
    } else {
        positional(value, (wk_dtype)s->tensor->dtype, s->precision, text);
    }
    const char *point = strchr(text, '.');
    widen(&s->pad_left, (size_t)(point - text));
    widen(s->exponents ? &s->mantissa_digits : &s->pad_right, strlen(point + 1));
}

static void look_at_integer(style *s, int64_t offset) {
    char text[LONGEST];
    widen(&s->pad_left, (size_t)snprintf(text, sizeof text, "%" PRId64, integer_at(s, offset)));
}

static void choose(style *s) {
    wk_dtype dtype = (wk_dtype)s->tensor->dtype;
    if (!wk_dtype_is_float(dtype)) {
        if (dtype != WK_BOOL) visit(s, 0, 0, look_at_integer);
        return;
    }
    visit(s, 0, 0, look_at_size);
    /* Compared as numbers of the dtype, as NumPy does. */
    if (s->largest > 0)
        s->exponents = s->largest >= large(dtype) || s->smallest < nearest(1e-4, dtype)
                       || nearest(s->largest / s->smallest, dtype) > 1000;
    visit(s, 0, 0, look_at_width);
    if (s->exponents) s->pad_right = s->exponent_digits + 2 + s->mantissa_digits;
    if (s->any_nan) widen(&s->pad_left, (size_t)(3 > s->pad_right + 1 ? 3 - s->pad_right - 1 : 0));
    int infinity = s->any_negative_infinite ? 4 : 3;
    if (s->any_infinite || s->any_nan)
        widen(&s->pad_left, (size_t)(infinity > s->pad_right + 1 ? infinity - s->pad_right - 1 : 0));
}

/* Append `count` times the same. */
static void pad(char *text, char with, int count) {
    size_t size = strlen(text);
    for (; count > 0 && size + 1 < LONGEST; count--) text[size++] = with;
    text[size] = '\0';
}

/* A number with its point in the column's. */
static void in_column(const style *s, double value, char *text) {
    wk_dtype dtype = (wk_dtype)s->tensor->dtype;
    char body[LONGEST], tail[24];
    int exponent = 0;
    if (s->exponents) { /* all with as many digits as the longest needs, true ones, not zeros */
        (void)snprintf(body, sizeof body, "%#.*e", s->mantissa_digits, value);
        char *e = strchr(body, 'e');
        exponent = (int)strtol(e + 1, NULL, 10);
        *e = '\0';
    } else {
        positional(value, dtype, s->precision, body);
    }
    const char *point = strchr(body, '.');
    text[0] = '\0';
    pad(text, ' ', s->pad_left - (int)(point - body));
    (void)strncat(text, body, LONGEST - strlen(text) - 1);
    if (!s->exponents) {
        pad(text, ' ', s->pad_right - (int)strlen(point + 1));
        return;
    }
    (void)snprintf(tail, sizeof tail, "e%c%0*d", exponent < 0 ? '-' : '+', s->exponent_digits, abs(exponent));
    (void)strncat(text, tail, LONGEST - strlen(text) - 1);
}

/* One element in its column. */
static void element(const style *s, int64_t offset, char *text) {
    wk_dtype dtype = (wk_dtype)s->tensor->dtype;
    if (dtype == WK_BOOL) {
        bool is_true = ((const uint8_t *)s->tensor->data)[offset] != 0;
        (void)snprintf(text, LONGEST, "%s", is_true ? (s->tensor->rank ? " True" : "True") : "False");
    } else if (!wk_dtype_is_float(dtype)) {
        (void)snprintf(text, LONGEST, "%*" PRId64, s->pad_left, integer_at(s, offset));
    } else {
        double value = value_at(s, offset);
        if (isfinite(value))
            in_column(s, value, text);
        else
            (void)snprintf(text, LONGEST, "%*s", s->pad_left + s->pad_right + 1,
                           isnan(value) ? "nan"
                           : value < 0  ? "-inf"
                                        : "inf");
    }
}

/* ---- rows, and rows of rows ---- */

static void add_spaces(wk_text *text, int count) {
    wk_text_printf(text, "%*s", count, "");
}

static void strip_spaces(wk_text *text) {
    while (text->size && text->data[text->size - 1] == ' ') text->data[--text->size] = '\0';
}

/* One more word of a row, on a new line where it does not fit. */
static void add_word(wk_text *text, size_t *line, const char *word, int width, int indent) {
    size_t length = text->size - *line;
    if (length + strlen(word) > (size_t)(width > 0 ? width : 0) && length > (size_t)indent) {
        strip_spaces(text);
        wk_text_puts(text, "\n");
        *line = text->size;
        add_spaces(text, indent);
    }
    wk_text_puts(text, word);
}

/* The innermost axis.  The indent of its first line is there already, without the bracket. */
static void row(const style *s, wk_text *text, int axis, int64_t offset, int indent, int width) {
    const wk_tensor *t = s->tensor;
    char word[LONGEST];
    size_t line = text->size - (size_t)indent;
    for (int64_t i = 0; i < t->shape[axis] && !text->failed; i++) {
        if (is_cut(s, axis) && i == s->opts.edge_items) {
            add_word(text, &line, "...", width - 1, indent);
            wk_text_puts(text, s->opts.repr ? ", " : " ");
            i = t->shape[axis] - s->opts.edge_items;
        }
        element(s, offset + i * t->stride[axis], word);
        add_word(text, &line, word, width - 1, indent);
        if (i + 1 < t->shape[axis]) wk_text_puts(text, s->opts.repr ? ", " : " ");
    }
}

static void nested(const style *s, wk_text *text, int axis, int64_t offset, int indent, int width) {
    const wk_tensor *t = s->tensor;
    char word[LONGEST];
    if (axis == t->rank) {
        element(s, offset, word);
        wk_text_puts(text, word);
        return;
    }
    wk_text_puts(text, "[");
    if (axis + 1 == t->rank) {
        row(s, text, axis, offset, indent, width);
    } else {
        for (int64_t i = 0; i < t->shape[axis] && !text->failed; i++) {
            if (i) {
                if (s->opts.repr) wk_text_puts(text, ",");
                for (int k = axis + 1; k < t->rank; k++) wk_text_puts(text, "\n");
                add_spaces(text, indent);
            }
            if (is_cut(s, axis) && i == s->opts.edge_items) {
                wk_text_puts(text, s->opts.repr ? "...," : "...");
                for (int k = axis + 1; k < t->rank; k++) wk_text_puts(text, "\n");
                add_spaces(text, indent);
                i = t->shape[axis] - s->opts.edge_items;
            }
            nested(s, text, axis + 1, offset + i * t->stride[axis], indent + 1, width - 1);
        }
    }
    wk_text_puts(text, "]");
}

/* ---- what repr adds ---- */

static const char *numpy_name(wk_dtype dtype) {
    static const char *const names[WK_DTYPE_COUNT] = {
        [WK_F32] = "float32", [WK_F64] = "float64", [WK_BF16] = "bfloat16", [WK_F16] = "float16", [WK_I64] = "int64",
        [WK_I32] = "int32",   [WK_I16] = "int16",   [WK_I8] = "int8",       [WK_U8] = "uint8",    [WK_BOOL] = "bool"
    };
    return names[dtype];
}

static void add_extras(const style *s, wk_text *text) {
    const wk_tensor *t = s->tensor;
    wk_text extras = { 0 };
    bool is_flat_empty = t->rank == 1 && t->count == 0;
    if ((t->count == 0 && !is_flat_empty) || s->summarised) {
        wk_text_puts(&extras, "shape=(");
        for (int i = 0; i < t->rank; i++) wk_text_printf(&extras, i ? ", %lld" : "%lld", (long long)t->shape[i]);
        wk_text_puts(&extras, t->rank == 1 ? ",)" : ")");
    }
    bool is_implied = t->dtype == WK_F64 || t->dtype == WK_I64 || t->dtype == WK_BOOL;
    if (!is_implied || t->count == 0)
        wk_text_printf(&extras, "%sdtype=%s", extras.size ? ", " : "", numpy_name((wk_dtype)t->dtype));
    if (extras.size == 0 && !extras.failed) {
        wk_text_puts(text, ")");
        return;
    }
    wk_text_puts(text, ",");
    const char *last = text->data ? strrchr(text->data, '\n') : NULL;
    size_t length = text->size - (last ? (size_t)(last - text->data) + 1 : 0);
    wk_text_puts(text, length + extras.size + 2 > (size_t)s->opts.line_width ? "\n      " : " ");
    wk_text_printf(text, "%s)", wk_text_get(&extras));
    text->failed = text->failed || extras.failed;
    wk_text_free(&extras);
}

static char *format(const wk_tensor *tensor, wk_format_opts opts) {
    if (!tensor) return wk_failed() ? NULL : wk_fail_null(WK_INVALID, "wk_tensor_format: the tensor is NULL");
    if (tensor->life != WK__ALIVE)
        return wk_fail_null(WK_DEAD_TENSOR, "wk_tensor_format: the tensor's scope has ended");
    if (opts.threshold <= 0) opts.threshold = 1000;
    if (opts.edge_items <= 0) opts.edge_items = 3;
    if (opts.line_width <= 0) opts.line_width = 75;
    style s = { .tensor = tensor, .opts = opts, .precision = (int)wk_optional_or(opts.precision, 8) };
    if (s.precision < 0 || s.precision > 20)
        return wk_fail_null(WK_INVALID, "wk_tensor_format: precision %d, expected 0 to 20", s.precision);
    s.summarised = tensor->count > opts.threshold;
    wk_text text = { 0 };
    char word[LONGEST];
    if (opts.repr) wk_text_puts(&text, "array(");
    if (tensor->rank == 0 && !opts.repr && wk_dtype_is_float((wk_dtype)tensor->dtype)) {
        alone(value_at(&s, 0), (wk_dtype)tensor->dtype, word);
        wk_text_puts(&text, word);
    } else if (tensor->count == 0) {
        wk_text_puts(&text, "[]");
    } else {
        choose(&s);
        nested(&s, &text, 0, 0, opts.repr ? 7 : 1, (int)opts.line_width - (opts.repr ? 1 : 0));
    }
    if (opts.repr) add_extras(&s, &text);
    if (text.failed) wk_text_free(&text);
    return text.data;
}

/* One on another device is copied first. */
char *wk_tensor_format(const wk_tensor *tensor, wk_format_opts opts) {
    if (!tensor || tensor->life != WK__ALIVE || !tensor->device) return format(tensor, opts);
    wk_scope scope = wk_scope_begin();
    wk_tensor *host = wk__on_host((wk_tensor *)(uintptr_t)tensor);
    char *text = host ? format(host, opts) : NULL;
    wk_scope_end(scope);
    return text;
}

wk_status wk_tensor_print(const wk_tensor *tensor, FILE *stream) {
    char *text = wk_tensor_format(tensor, (wk_format_opts){ .repr = false });
    if (!text) return wk_error_code();
    bool written = fprintf(stream, "%s\n", text) >= 0;
    wk_free(text);
    return written ? WK_OK : wk_fail(WK_IO, "wk_tensor_print: cannot write to the stream");
}

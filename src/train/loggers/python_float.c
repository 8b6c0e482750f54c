/* python_float.c: numbers as Python writes them: the fewest digits that give the same number again.
 *
 * A run may log a hundred thousand, so the digits are printed once, all 17, and fewer are tried by rounding those.
 */
#include "train/loggers/text.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALL = 17 }; /* digits tell every double from every other */

/* d.ddd… × 10^exponent */
typedef struct decimal {
    char digits[ALL + 1];
    int count, exponent;
} decimal;

static decimal print(double magnitude, int count) {
    char text[40];
    decimal d = { .count = count };
    (void)snprintf(text, sizeof text, "%.*e", count - 1, magnitude);
    d.digits[0] = text[0];
    if (count > 1) memcpy(d.digits + 1, text + 2, (size_t)count - 1);
    d.exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    return d;
}

/* The number rounded to `count` digits.  Where the digits behind are a half, of what lies behind those it depends which
 * way to go, and it is printed anew. */
static decimal rounded(double magnitude, const decimal *all, int count) {
    const char *rest = all->digits + count;
    if (*rest == '5' && strspn(rest + 1, "0") == strlen(rest + 1)) return print(magnitude, count);
    decimal d = { .count = count, .exponent = all->exponent };
    memcpy(d.digits, all->digits, (size_t)count);
    if (*rest < '5') return d;
    int i = count - 1;
    while (i >= 0 && d.digits[i] == '9') d.digits[i--] = '0';
    if (i >= 0) {
        d.digits[i]++;
        return d;
    }
    d.digits[0] = '1'; /* 9.99 became 10.0 */
    d.exponent++;
    return d;
}

static double value_of(const decimal *d) {
    char text[40];
    const int exponent = d->exponent - d->count + 1, size = abs(exponent);
    char *at = text + d->count;
    memcpy(text, d->digits, (size_t)d->count);
    *at++ = 'e';
    *at++ = exponent < 0 ? '-' : '+';
    *at++ = (char)('0' + size / 100);
    *at++ = (char)('0' + size / 10 % 10);
    *at++ = (char)('0' + size % 10);
    *at = '\0';
    return strtod(text, NULL);
}

/* Any number of up to 15 digits comes back whole when its double is written with 15, so fewer are those without their
 * zeros; but not below DBL_MIN, where a double itself holds fewer. */
static decimal shortest(double magnitude) {
    const decimal all = print(magnitude, ALL);
    decimal d = all;
    for (int count = magnitude < DBL_MIN ? 1 : 15; count < ALL; count++) {
        d = rounded(magnitude, &all, count);
        if (value_of(&d) == magnitude) break;
        d = all;
    }
    while (d.count > 1 && d.digits[d.count - 1] == '0') d.count--;
    return d;
}

static char *put(char *to, const char *bytes, int size) {
    memcpy(to, bytes, (size_t)size);
    return to + size;
}

static char *put_zeros(char *to, int count) {
    memset(to, '0', (size_t)count);
    return to + count;
}

const char *wk__python_float(double value, char text[40]) {
    enum { LEAST = -4, MOST = 16 }; /* repr's bounds for writing without an exponent */
    if (!isfinite(value)) return isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
    const decimal d = shortest(fabs(value));
    const int whole = d.exponent + 1; /* digits before the point */
    char *at = text;
    if (signbit(value)) *at++ = '-';
    if (d.exponent < LEAST || d.exponent >= MOST) {
        at = put(at, d.digits, 1);
        if (d.count > 1) at = put(put(at, ".", 1), d.digits + 1, d.count - 1);
        (void)snprintf(at, 8, "e%c%02d", d.exponent < 0 ? '-' : '+', abs(d.exponent) % 1000);
        return text;
    }
    if (whole <= 0)
        at = put(put_zeros(put(at, "0.", 2), -whole), d.digits, d.count);
    else if (whole < d.count)
        at = put(put(put(at, d.digits, whole), ".", 1), d.digits + whole, d.count - whole);
    else
        at = put(put_zeros(put(at, d.digits, d.count), whole - d.count), ".0", 2);
    *at = '\0';
    return text;
}

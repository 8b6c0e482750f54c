/* python_float.c: numbers as Python writes them: the fewest digits that give the same number again.
 *
 * A run may log a hundred thousand: those of a usual size are found in whole numbers of 128 bits, four times as fast as
 * by printing all 17 digits and trying fewer by rounding those, which is how the others are.
 */
#include "train/loggers/text.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALL = 17 }; /* digits tell every double from every other */

__extension__ typedef unsigned __int128 wide;

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
static decimal by_printing(double magnitude) {
    const decimal all = print(magnitude, ALL);
    for (int count = magnitude < DBL_MIN ? 1 : 15; count < ALL; count++) {
        const decimal d = rounded(magnitude, &all, count);
        if (value_of(&d) == magnitude) return d;
    }
    return all;
}

static wide power_of_ten(int exponent) {
    wide power = 1;
    while (exponent-- > 0) power *= 10;
    return power;
}

/* The same in whole numbers, for those of a usual size: the magnitude is mantissa / 2^shift, and 17 digits of it are
 * those of mantissa · 10^places / 2^shift.  What reads back as the same double lies within half a step of the mantissa
 * (a whole half may go either way: to the even one). */
static bool by_whole_numbers(double magnitude, decimal *d) {
    int binary;
    if (!(magnitude >= 1e-5 && magnitude < 0x1p53)) return false;
    const uint64_t mantissa = (uint64_t)ldexp(frexp(magnitude, &binary), DBL_MANT_DIG);
    const int shift = DBL_MANT_DIG - binary;
    if (mantissa == (uint64_t)1 << (DBL_MANT_DIG - 1)) return false; /* a smaller step below than above */
    d->exponent = (int)floor(log10(magnitude));
    wide step = power_of_ten(ALL - 1 - d->exponent);
    if (mantissa * step >> shift >= power_of_ten(ALL)) d->exponent++, step /= 10;
    if (mantissa * step >> shift < power_of_ten(ALL - 1)) d->exponent--, step *= 10;
    const wide exact = mantissa * step;
    uint64_t number = 0;
    for (d->count = 15; d->count <= ALL; d->count++) {
        const wide unit = power_of_ten(ALL - d->count) << shift, rest = exact % unit;
        number = (uint64_t)(exact / unit);
        if (rest > unit - rest || (rest == unit - rest && number % 2)) number++;
        const wide back = number * unit, apart = back > exact ? back - exact : exact - back;
        if (2 * apart < step || (2 * apart == step && mantissa % 2 == 0)) break;
    }
    if (number == power_of_ten(d->count)) number /= 10, d->exponent++; /* 9.99 became 10.0 */
    for (int i = d->count - 1; i >= 0; i--, number /= 10) d->digits[i] = (char)('0' + number % 10);
    return true;
}

static decimal shortest(double magnitude) {
    decimal d = { .count = 0 };
    if (!by_whole_numbers(magnitude, &d)) d = by_printing(magnitude);
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

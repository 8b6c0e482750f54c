/* losses.c: pytorch-quik's table of losses: a row an epoch, as pandas prints it. */
#include "wick/train/metrics.h"

#include "base/base.h"

#include <math.h>
#include <string.h>

void wk_loss_table_add(wk_loss_table *t, double loss) {
    if (t->started == 0) t->started = wk_now();
    t->train_loss = wk_smoothed_add(&t->smoothed, loss);
}

void wk_loss_table_add_valid(wk_loss_table *t, const double *losses, const int64_t *sizes, int64_t count) {
    double sum = 0, items = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += losses[i] * (double)sizes[i];
        items += (double)sizes[i];
    }
    t->valid_loss = items > 0 ? sum / items : NAN;
}

wk_status wk_loss_table_put(wk_loss_table *t, wk_loss_row row) {
    if (t->count == t->capacity) {
        int64_t capacity = t->capacity ? 2 * t->capacity : 16;
        wk_loss_row *rows = wk_realloc(t->row, (size_t)capacity * sizeof *rows);
        if (!rows) return WK_NO_MEMORY;
        t->row = rows;
        t->capacity = capacity;
    }
    t->row[t->count++] = row;
    return WK_OK;
}

wk_status wk_loss_table_write(wk_loss_table *t) {
    double seconds = t->started > 0 ? wk_now() - t->started : 0;
    return wk_loss_table_put(t, (wk_loss_row){ t->count, t->train_loss, t->valid_loss, seconds });
}

void wk_loss_table_free(wk_loss_table *t) {
    wk_free(t->row);
    *t = (wk_loss_table){ 0 };
}

/* ---- as text ---- */

typedef struct column {
    bool scientific;
    int decimals;
} column;

static double value_of(const wk_loss_row *row, bool valid) {
    return valid ? row->valid_loss : row->train_loss;
}

static int decimals_of(const char *text) {
    const char *point = strchr(text, '.');
    return point ? (int)strlen(point + 1) : 0;
}

/* pandas: six decimals, without zeros that all values of the column end with; with exponents where one of them is tiny
 * or large. */
static column column_of(const wk_loss_table *t, bool valid) {
    column c = { .decimals = 1 };
    for (int64_t i = 0; i < t->count; i++) {
        double value = fabs(value_of(&t->row[i], valid));
        if (isfinite(value) && ((value > 0 && value < 1e-6) || value > 1e6)) c.scientific = true;
    }
    for (int64_t i = 0; i < t->count && !c.scientific; i++) {
        char text[400];
        if (!isfinite(value_of(&t->row[i], valid))) continue;
        (void)snprintf(text, sizeof text, "%.6f", value_of(&t->row[i], valid));
        for (size_t size = strlen(text); text[size - 1] == '0';) text[--size] = '\0';
        if (decimals_of(text) > c.decimals) c.decimals = decimals_of(text);
    }
    return c;
}

static void write_value(const column *c, double value, char text[40]) {
    if (isnan(value))
        (void)snprintf(text, 40, "NaN");
    else if (isinf(value))
        (void)snprintf(text, 40, value > 0 ? "inf" : "-inf");
    else if (c->scientific)
        (void)snprintf(text, 40, "%.6e", value);
    else
        (void)snprintf(text, 40, "%.*f", c->decimals, value);
}

static void write_time(double seconds, char text[16]) {
    long long s = (long long)seconds;
    (void)snprintf(text, 16, "%02lld:%02lld", s / 60 % 60, s % 60);
}

char *wk_loss_table_text(const wk_loss_table *t) {
    wk_text out = { 0 };
    const column columns[] = { column_of(t, false), column_of(t, true) };
    int index = 1, wide[2] = { 10, 10 }; /* of the names */
    for (int64_t i = 0; i < t->count; i++)
        for (int c = 0; c < 2; c++) {
            char text[40];
            write_value(&columns[c], value_of(&t->row[i], c), text);
            if ((int)strlen(text) > wide[c]) wide[c] = (int)strlen(text);
        }
    for (int64_t n = t->count - 1; n >= 10; n /= 10) index++;
    wk_text_printf(&out, "%*s  epoch  %*s  %*s   time\n", index, "", wide[0], "train_loss", wide[1], "valid_loss");
    for (int64_t i = 0; i < t->count; i++) {
        char train[40], valid[40], time[16];
        write_value(&columns[0], t->row[i].train_loss, train);
        write_value(&columns[1], t->row[i].valid_loss, valid);
        write_time(t->row[i].seconds, time);
        wk_text_printf(&out, "%-*lld  %5lld  %*s  %*s  %s\n", index, (long long)i, (long long)t->row[i].epoch, wide[0],
                       train, wide[1], valid, time);
    }
    if (!out.failed) return out.data;
    wk_text_free(&out);
    return wk_fail_null(WK_NO_MEMORY, "no memory for a table");
}

/* log_state.c: a run's numbers by their names, in a checkpoint: the last values, which callbacks ask for, and the sums
 * of the epoch under way.
 *
 * A line each, exact, and at most WK__MOST_METRICS of both kinds.  What tells of the machine and the moment (a rate) is
 * there by its name alone, for its place in rows: a checkpoint's bytes depend on nothing but the run.
 */
#include "train/run.h"

#include "base/base.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* "sum WEIGHT SUM NAME", "value KIND VALUE NAME"; KIND is letters: f(resh), b(ar), p(assing), or - */
char *wk__log_write(const wk_trainer *t) {
    wk_text text = { 0 };
    for (int i = 0; i < t->values; i++) {
        const wk__value *v = &t->value[i];
        wk_text_printf(&text, "value %s%s%s- %.17g %s\n", v->is_fresh ? "f" : "", v->in_bar ? "b" : "",
                       v->is_passing ? "p" : "", v->is_passing ? NAN : v->value, v->name);
    }
    for (int i = 0; i < t->train_sums.count; i++) {
        const wk__sum *s = &t->train_sums.item[i];
        wk_text_printf(&text, "sum %.17g %.17g %s\n", s->weight, s->sum, s->name);
    }
    if (text.failed) {
        wk_text_free(&text);
        return NULL;
    }
    return text.data ? text.data : wk_strdup("");
}

static wk_status damaged(const char *line) {
    return wk_fail(WK_FORMAT, "the checkpoint's metrics: \"%.80s\" is no line of them", line);
}

/* The name behind two words, of which `second` (and `first`, unless NULL) is a number. */
static const char *take(const char *words, double *first, double *second) {
    char *end = NULL;
    if (first)
        *first = strtod(words, &end);
    else
        end = strchr(words, ' ');
    if (!end || end == words || *end != ' ') return NULL;
    words = end + 1;
    *second = strtod(words, &end);
    const size_t size = end != words && *end == ' ' ? strlen(end + 1) : 0;
    return size > 0 && size < WK__NAME ? end + 1 : NULL;
}

static wk_status read_line(wk_trainer *t, const char *line) {
    double first = 0, second = 0;
    if (strncmp(line, "value ", 6) == 0 && t->values < WK__MOST_METRICS) {
        const char *kind = line + 6, *name = take(kind, NULL, &second), *end = strchr(kind, ' ');
        if (!name) return damaged(line);
        wk__value *v = &t->value[t->values++];
        *v = (wk__value){ .value = second };
        (void)snprintf(v->name, sizeof v->name, "%s", name);
        for (; kind < end; kind++) {
            v->is_fresh = v->is_fresh || *kind == 'f';
            v->in_bar = v->in_bar || *kind == 'b';
            v->is_passing = v->is_passing || *kind == 'p';
        }
        return WK_OK;
    }
    if (strncmp(line, "sum ", 4) == 0 && t->train_sums.count < WK__MOST_METRICS) {
        const char *name = take(line + 4, &first, &second);
        if (!name || !(first >= 0)) return damaged(line);
        wk__sum *s = &t->train_sums.item[t->train_sums.count++];
        *s = (wk__sum){ .sum = t->rank == 0 ? second : 0, .weight = t->rank == 0 ? first : 0 };
        (void)snprintf(s->name, sizeof s->name, "%s", name);
        return WK_OK;
    }
    return damaged(line);
}

wk_status wk__log_read(wk_trainer *t, const char *text) {
    char *copy = wk_strdup(text), *rest = NULL;
    if (!copy) return WK_NO_MEMORY;
    wk_status status = WK_OK;
    t->values = t->train_sums.count = 0;
    for (char *line = strtok_r(copy, "\n", &rest); line && status == WK_OK; line = strtok_r(NULL, "\n", &rest))
        status = read_line(t, line);
    wk_free(copy);
    return status;
}

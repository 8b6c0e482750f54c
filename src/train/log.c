/* log.c: numbers of a run by their names: the last value of each, means over epochs and validations, rows. */
#include "train/run.h"

#include "base/base.h"
#include "train/agree.h"

#include <math.h>
#include <string.h>

static wk_status check_name(const char *name) {
    if (!*name || strlen(name) >= WK__NAME || strpbrk(name, ",\n\r\""))
        return wk_fail(WK_INVALID,
                       "wk_trainer_log: the name \"%s\" is empty, longer than %d bytes, or has a comma, quote or line "
                       "end in it",
                       name, WK__NAME - 1);
    return WK_OK;
}

/* From behind the last one on: names come in one order, step by step. */
static wk__value *find(wk_trainer *t, const char *name) {
    for (int i = 0; i < t->values; i++) {
        if (++t->last_value >= t->values) t->last_value = 0;
        if (strcmp(t->value[t->last_value].name, name) == 0) return &t->value[t->last_value];
    }
    return NULL;
}

wk_status wk__metric_set(wk_trainer *t, const char *name, double value, bool in_bar) {
    wk__value *v = find(t, name);
    if (!v) {
        WK_TRY(check_name(name));
        if (t->values == WK__MOST_METRICS)
            return wk_fail(WK_INVALID, "wk_trainer_log: \"%s\" would be name number %d, more than there may be", name,
                           WK__MOST_METRICS + 1);
        v = &t->value[t->values++];
        (void)snprintf(v->name, sizeof v->name, "%s", name);
    }
    v->value = value;
    v->is_fresh = true;
    v->in_bar = in_bar;
    return WK_OK;
}

wk_status wk__metric_note(wk_trainer *t, const char *name, double value) {
    WK_TRY(wk__metric_set(t, name, value, false));
    find(t, name)->is_fresh = false;
    return WK_OK;
}

wk_status wk__metric_passing(wk_trainer *t, const char *name, double value) {
    WK_TRY(wk__metric_set(t, name, value, false));
    find(t, name)->is_passing = true;
    return WK_OK;
}

bool wk_trainer_metric(const wk_trainer *t, const char *name, double *value) {
    for (int i = 0; i < t->values; i++)
        if (strcmp(t->value[i].name, name) == 0) {
            *value = t->value[i].value;
            return true;
        }
    return false;
}

wk_status wk__sums_add(wk__sums *sums, const char *name, double value, double weight) {
    int i = 0;
    while (i < sums->count && strcmp(sums->item[i].name, name) != 0) i++;
    if (i == sums->count) {
        WK_TRY(check_name(name));
        if (i == WK__MOST_METRICS)
            return wk_fail(WK_INVALID, "wk_trainer_log: more than %d names are averaged, \"%s\" among them",
                           WK__MOST_METRICS, name);
        sums->item[sums->count++] = (wk__sum){ .sum = 0 };
        (void)snprintf(sums->item[i].name, sizeof sums->item[i].name, "%s", name);
    }
    sums->item[i].sum += value * weight;
    sums->item[i].weight += weight;
    return WK_OK;
}

static wk_status reduce(wk_trainer *t, wk__sums *sums) {
    uint64_t names = 0;
    for (int i = 0; i < sums->count; i++) names = wk__hash(names, sums->item[i].name);
    WK_TRY(
        wk__same(t->group, names, "the list of logged metrics", ": every rank logs the same names in the same order"));
    double all[2 * WK__MOST_METRICS];
    for (int i = 0; i < sums->count; i++) {
        all[2 * i] = sums->item[i].sum;
        all[2 * i + 1] = sums->item[i].weight;
    }
    wk_scope scope = wk_scope_begin();
    wk_tensor *total = wk_from_array(WK_F64, WK_DIMS(2 * sums->count), all);
    wk_status status = total ? wk_all_reduce(t->group, total, WK_REDUCE_SUM, NULL) : wk_error_code();
    const double *sum = status == WK_OK ? wk_data(total) : NULL;
    for (int i = 0; sum && i < sums->count; i++) {
        sums->item[i].sum = sum[2 * i];
        sums->item[i].weight = sum[2 * i + 1];
    }
    wk_scope_end(scope);
    return status;
}

wk_status wk__sums_gather(wk_trainer *t, wk__sums *sums) {
    if (sums->count == 0 || t->ranks < 2) return WK_OK;
    WK_TRY(reduce(t, sums));
    for (int i = 0; i < sums->count && t->rank != 0; i++) sums->item[i].sum = sums->item[i].weight = 0;
    return WK_OK;
}

wk_status wk__sums_reduce(wk_trainer *t, wk__sums *sums) {
    if (sums->count > 0 && t->ranks > 1) WK_TRY(reduce(t, sums));
    for (int i = 0; i < sums->count; i++)
        WK_TRY(wk__metric_set(t, sums->item[i].name,
                              sums->item[i].weight > 0 ? sums->item[i].sum / sums->item[i].weight : NAN, false));
    sums->count = 0;
    return WK_OK;
}

static wk_status log_training(wk_trainer *t, const char *name, double value, wk_log_opts opts, double weight) {
    char long_name[WK__NAME + 8];
    bool both = opts.on_epoch && !opts.no_step;
    if (!opts.no_step) {
        (void)snprintf(long_name, sizeof long_name, "%s%s", name, both ? "_step" : "");
        WK_TRY(wk__metric_set(t, long_name, value, opts.prog_bar));
    }
    if (!opts.on_epoch) return WK_OK;
    (void)snprintf(long_name, sizeof long_name, "%s%s", name, both ? "_epoch" : "");
    return wk__sums_add(&t->train_sums, long_name, value, weight);
}

wk_status wk_trainer_log(wk_trainer *t, const char *name, double value, wk_log_opts opts) {
    WK_TRY(check_name(name));
    if (opts.is_passing) return wk__metric_passing(t, name, value);
    if (!t->in_step) return wk__metric_set(t, name, value, opts.prog_bar);
    double weight = opts.weight > 0 ? (double)opts.weight : t->batch ? (double)t->batch->size : 1;
    return t->stage == WK_STAGE_FIT ? log_training(t, name, value, opts, weight)
                                    : wk__sums_add(&t->val_sums, name, value, weight);
}

wk_status wk__row(wk_trainer *t) {
    wk_logged row[WK__MOST_METRICS];
    int count = 0;
    for (int i = 0; i < t->values; i++)
        if (t->value[i].is_fresh) {
            t->value[i].is_fresh = false;
            row[count++] = (wk_logged){ t->value[i].name, t->value[i].value };
        }
    if (t->rank != 0 || count == 0) return WK_OK;
    WK_TRY(wk__saved(t, wk__folder_metrics(&t->folder, t->standing.step, t->epoch + 1, row, count)));
    for (int i = 0; i < t->loggers; i++)
        WK_TRY(wk__saved(t, t->logger[i]->class_->row(t->logger[i], t->standing.step, t->epoch + 1, row, count)));
    return WK_OK;
}

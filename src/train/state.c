/* state.c: what a checkpoint holds besides the model: optimizers, loss scale, schedules that look at metrics,
 * callbacks.
 *
 *   optimizer.NAME   the first optimizer's   optimizer1.NAME   the next one's
 *   scaler.NAME      scheduleN.NAME          callback.CLASS.N.NAME, and "callback.CLASS.N" as text
 *   "metrics" as text: numbers by their names (log_state.c)
 */
#include "train/run.h"

#include "base/base.h"

#include <stdlib.h>
#include <string.h>

/* "callback.EarlyStopping.0": the class and a number among its own kind, so other callbacks may come and go. */
static void callback_key(const wk_trainer *t, int i, char *key, size_t size) {
    const char *name = t->callback[i]->class_->name;
    int number = 0;
    for (int k = 0; k < i; k++) number += strcmp(t->callback[k]->class_->name, name) == 0;
    (void)snprintf(key, size, "callback.%.40s.%d", name, number);
}

int wk__state_sections(wk_trainer *t, wk__section section[WK__MOST_SECTIONS]) {
    int count = 0;
    for (int i = 0; i < t->optimizers; i++) {
        wk__section *s = &section[count++];
        *s = (wk__section){ .prefix = "optimizer.",
                            .tensors = wk_optim_state(t->driven[i].optimizer),
                            .partial = wk__is_shared_out(t),
                            .part = WK__PART_OPTIMIZER };
        if (i > 0) (void)snprintf(s->prefix, sizeof s->prefix, "optimizer%d.", i);
    }
    for (int i = 0; i < t->optimizers; i++) {
        if (!t->driven[i].schedule.lr || !t->driven[i].schedule.wants_metric) continue;
        section[count] = (wk__section){ .tensors = wk_lr_state(t->driven[i].schedule.lr),
                                        .optional = true,
                                        .part = WK__PART_STANDING };
        (void)snprintf(section[count++].prefix, sizeof section[0].prefix, "schedule%d.", i);
    }
    if (t->scaler)
        section[count++] = (wk__section){ .prefix = "scaler.",
                                          .tensors = wk_grad_scaler_state(t->scaler),
                                          .optional = true,
                                          .part = WK__PART_OPTIMIZER };
    for (int i = 0; i < t->callbacks; i++) {
        if (!t->callback[i]->class_->tensors) continue;
        section[count] = (wk__section){ .tensors = t->callback[i]->class_->tensors(t->callback[i]),
                                        .optional = true,
                                        .part = WK__PART_STANDING };
        char key[72];
        callback_key(t, i, key, sizeof key);
        if (section[count].tensors.count > 0)
            (void)snprintf(section[count++].prefix, sizeof section[0].prefix, "%s.", key);
    }
    return count;
}

wk_status wk__state_notes(wk_trainer *t, wk__note note[WK__MOST_SECTIONS], int *count) {
    *count = 0;
    char *log = wk__log_write(t);
    if (!log) return wk_error_code();
    (void)snprintf(note[0].key, sizeof note[0].key, "metrics");
    note[(*count)++].text = log;
    for (int i = 0; i < t->callbacks; i++) {
        wk_callback *callback = t->callback[i];
        char *text = callback->class_->state ? callback->class_->state(callback) : NULL;
        if (wk_failed()) return wk_error_code();
        if (!text) continue;
        callback_key(t, i, note[*count].key, sizeof note[0].key);
        note[(*count)++].text = text;
    }
    return WK_OK;
}

static wk_status callbacks_loaded(wk_trainer *t, const char *(*get)(void *file, const char *key), void *file) {
    for (int i = 0; i < t->callbacks; i++) {
        wk_callback *callback = t->callback[i];
        char key[72];
        callback_key(t, i, key, sizeof key);
        const char *text = callback->class_->load_state ? get(file, key) : NULL;
        if (text && callback->class_->load_state(callback, text) != WK_OK) {
            wk_error_prefix("the checkpoint's %s", key);
            return wk_error_code();
        }
        if (callback->class_->tensors_loaded) WK_TRY(callback->class_->tensors_loaded(callback));
    }
    return WK_OK;
}

wk_status wk__state_loaded(wk_trainer *t, unsigned parts, const char *(*get)(void *file, const char *key), void *file) {
    for (int i = 0; i < t->optimizers && (parts & WK__PART_OPTIMIZER); i++)
        WK_TRY(wk_optim_state_changed(t->driven[i].optimizer));
    if (t->scaler && (parts & WK__PART_OPTIMIZER)) WK_TRY(wk_grad_scaler_state_changed(t->scaler));
    if (!(parts & WK__PART_STANDING)) return WK_OK;
    for (int i = 0; i < t->optimizers; i++)
        if (t->driven[i].schedule.lr && t->driven[i].schedule.wants_metric)
            WK_TRY(wk_lr_state_changed(t->driven[i].schedule.lr));
    const char *log = get(file, "metrics");
    if (log) WK_TRY(wk__log_read(t, log)); /* older checkpoints have none */
    return callbacks_loaded(t, get, file);
}

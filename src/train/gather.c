/* gather.c: an optimizer that is shared out among the ranks, and checkpoints of it.
 *
 * Rank 0 alone decides when it saves, and a checkpoint needs the state of all.  So wherever rank 0 may have saved, the
 * others wait for its word: gather, or go on.
 */
#include "train/run.h"

enum { GO_ON, GATHER };

static wk_status word(const wk_trainer *t, int64_t *value) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *one = wk_from_array(WK_I64, WK_DIMS(1), value);
    wk_status status = one ? wk_broadcast(t->group, one, 0, NULL) : wk_error_code();
    if (status == WK_OK) *value = *(const int64_t *)wk_data(one);
    wk_scope_end(scope);
    return status;
}

static wk_status gather_all(const wk_trainer *t) {
    for (int i = 0; i < t->optimizers; i++) WK_TRY(wk_zero_gather(t->driven[i].zero, 0));
    return WK_OK;
}

bool wk__is_shared_out(const wk_trainer *t) {
    return t->params->shard_optimizer && t->ranks > 1;
}

wk_status wk__share_out(wk_trainer *t) {
    for (int i = 0; i < t->optimizers && wk__is_shared_out(t); i++) {
        t->driven[i].zero = wk_zero_create(t->group, t->driven[i].optimizer);
        if (!t->driven[i].zero) {
            wk_error_prefix("trainer.strategy: shard_optimizer");
            return wk_error_code();
        }
    }
    return WK_OK;
}

wk_status wk__gather(wk_trainer *t) {
    int64_t value = GATHER;
    if (!wk__is_shared_out(t)) return WK_OK;
    WK_TRY(word(t, &value));
    return gather_all(t);
}

void wk__gathered(const wk_trainer *t) {
    for (int i = 0; i < t->optimizers; i++) wk_zero_gathered_release(t->driven[i].zero);
}

wk_status wk__saves_end(wk_trainer *t) {
    int64_t value = GO_ON;
    if (!wk__is_shared_out(t)) return WK_OK;
    do {
        WK_TRY(word(t, &value));
        if (value == GATHER) WK_TRY(gather_all(t));
    } while (value == GATHER);
    return WK_OK;
}

wk_status wk__say_shares(wk_trainer *t) {
    if (!wk__is_shared_out(t)) return WK_OK;
    double mine = 0;
    for (int i = 0; i < t->optimizers; i++) mine += (double)wk_memory_of(NULL, t->driven[i].optimizer).optimizer;
    wk_scope scope = wk_scope_begin();
    wk_tensor *one = wk_from_array(WK_F64, WK_DIMS(1), &mine), *all = wk_zeros(WK_F64, WK_DIMS(t->ranks));
    wk_status status = one && all ? wk_all_gather(t->group, one, all, NULL) : wk_error_code();
    wk_text text = { 0 };
    for (int i = 0; i < t->ranks && status == WK_OK; i++)
        wk_text_printf(&text, "%s%.3f", i ? ", " : "", ((const double *)wk_data(all))[i] / 1048576);
    if (status == WK_OK) wk__folder_say(&t->folder, "optimizer state of each rank in MiB: %s", wk_text_get(&text));
    wk_text_free(&text);
    wk_scope_end(scope);
    return status;
}

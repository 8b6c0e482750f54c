/* shard.c: an optimizer of which a part of the parameters is stepped by others, who have their state.
 *
 * Groups, options, clipping and loss scaling see all parameters as before: whoever shares an optimizer out has the same
 * gradients everywhere.  Which parts there are, and how the parameters come back, is the business of src/dist/zero.c.
 */
#include "optim/shard.h"

#include "tensor/tensor.h"

int wk__optim_count(const wk_optim *o) {
    return o->count;
}

wk_tensor *wk__optim_parameter(const wk_optim *o, int i) {
    return o->entry[i].parameter;
}

static void drop_state(wk__entry *e) {
    wk_tensor **each[] = { &e->master, &e->step };
    for (size_t i = 0; i < WK_COUNT(each); i++) {
        wk_release(*each[i]);
        *each[i] = NULL;
    }
    for (int i = 0; i < WK_STEP_NUMBERS; i++) {
        wk_release(e->number[i]);
        e->number[i] = NULL;
    }
    for (int i = 0; i < WK_STEP_STATES; i++) {
        wk_release(e->state[i]);
        e->state[i] = NULL;
    }
}

wk_status wk__optim_shard(wk_optim *o, const bool *elsewhere, wk__optim_stepped stepped, void *context) {
    if (o->lbfgs) return wk_fail(WK_UNSUPPORTED, "%s cannot be shared out: its state is one vector", o->plan.name);
    if (wk_optim_steps(o) > 0)
        return wk_fail(WK_UNSUPPORTED, "%s has stepped already: share it out before, and load its state after that",
                       o->plan.name);
    for (int i = 0; i < o->count; i++) {
        o->entry[i].elsewhere = elsewhere[i];
        if (elsewhere[i]) drop_state(&o->entry[i]);
    }
    o->stepped = stepped;
    o->stepped_context = context;
    return wk__optim_name_state(o);
}

void wk__optim_unshard(wk_optim *o) {
    o->stepped = NULL;
}

wk_status wk__optim_complete(wk_optim *o) {
    for (int i = 0; i < o->count; i++)
        if (o->entry[i].elsewhere && !o->entry[i].step) WK_TRY(wk__entry_state(o, &o->entry[i]));
    return wk__optim_name_state(o);
}

void wk__optim_thin(wk_optim *o) {
    for (int i = 0; i < o->count; i++)
        if (o->entry[i].elsewhere) drop_state(&o->entry[i]);
    (void)wk__optim_name_state(o);
}

wk_status wk__optim_each_state(wk_optim *o, int i, wk__optim_visit visit, void *context) {
    wk__entry *e = &o->entry[i], like = *e;
    if (e->elsewhere && !e->step) { /* of the shapes that its owner has */
        wk_status made = wk__entry_state(o, &like);
        if (made != WK_OK) {
            drop_state(&like);
            return made;
        }
    }
    wk_tensor *all[2 + WK_STEP_NUMBERS + WK_STEP_STATES] = { like.step, like.master };
    int count = 2;
    for (int k = 0; k < WK_STEP_NUMBERS; k++) all[count++] = like.number[k];
    for (int k = 0; k < WK_STEP_STATES; k++) all[count++] = like.state[k];
    wk_status status = WK_OK;
    for (int k = 0; k < count && status == WK_OK; k++)
        if (all[k]) status = visit(context, all[k]);
    if (like.step != e->step) drop_state(&like);
    return status;
}

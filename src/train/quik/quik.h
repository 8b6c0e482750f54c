/* quik.h: the inside of treks and travelers. */
#ifndef WICK_SRC_TRAIN_QUIK_H
#define WICK_SRC_TRAIN_QUIK_H

#include "wick/quik.h"

struct wk_quik_trek {
    wk_quik_args args;
    wk_quik_world world;
    wk_group *group;
    wk_loss_table metrics;
};

struct wk_quik_traveler {
    wk_quik_trek *trek;
    bool trains;
    wk_module *model;
    wk_ddp *ddp;
    const wk_dataset *dataset;
    wk_loader *loader;
    wk_quik_criterion criterion;
    wk_optim *optimizer;
    wk_built_schedule schedule;
    wk_grad_scaler *scaler;
    wk_metric *confusion;
};

/* Start this program `count` times as ranks, with its own arguments, and wait for them. */
wk_status wk__quik_spawn(int count);

#endif

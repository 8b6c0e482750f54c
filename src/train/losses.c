/* losses.c: the losses that come with Wick: functions of a prediction and the batch's target. */
#include "train/builtin.h"

#include "base/base.h"

typedef struct plain_loss {
    wk_loss base;
    double option;
} plain_loss;

#define LOSS(lower, expression)                                                                            \
    static wk_tensor *lower##_compute(wk_loss *self, wk_trainer *t, wk_tensor *x, const wk_batch *batch) { \
        const double option = ((const plain_loss *)self)->option;                                          \
        (void)t, (void)option;                                                                             \
        wk_tensor *target = batch->target;                                                                 \
        return expression;                                                                                 \
    }                                                                                                      \
    static const wk_loss_class lower##_class = { #lower, sizeof(plain_loss), lower##_compute, NULL };

/* Batches that were mixed have shares of the classes in place of their numbers. */
LOSS(cross_entropy,
     wk_dtype_get(target) == WK_I64
         ? wk_cross_entropy(x, target, (wk_cross_entropy_opts){ .label_smoothing = option })
         : wk_cross_entropy_probabilities(x, target, NULL, (wk_cross_entropy_opts){ .label_smoothing = option }))
LOSS(nll, wk_nll_loss(x, target, NULL, (wk_nll_loss_opts){ 0 }))
LOSS(mse, wk_mse_loss(x, target, (wk_loss_opts){ 0 }))
LOSS(l1, wk_l1_loss(x, target, (wk_loss_opts){ 0 }))
LOSS(huber, wk_huber_loss(x, target, (wk_huber_opts){ .delta = WK_SET(option) }))
LOSS(bce_with_logits, wk_bce_with_logits(x, target, NULL, NULL, (wk_loss_opts){ 0 }))

static wk_loss *create(const wk_loss_class *class_, double option) {
    wk_loss *loss = wk_failed() ? NULL : wk_loss_create(class_);
    if (loss) ((plain_loss *)loss)->option = option;
    return loss;
}
static wk_loss *build_cross_entropy(const wk_config *args) {
    return create(&cross_entropy_class, wk_config_double(args, "label_smoothing", 0, 0.999, 0));
}
static wk_loss *build_nll(const wk_config *args) {
    (void)args;
    return create(&nll_class, 0);
}
static wk_loss *build_mse(const wk_config *args) {
    (void)args;
    return create(&mse_class, 0);
}
static wk_loss *build_l1(const wk_config *args) {
    (void)args;
    return create(&l1_class, 0);
}
static wk_loss *build_huber(const wk_config *args) {
    return create(&huber_class, wk_config_double(args, "delta", 1e-300, 1e300, 1));
}
static wk_loss *build_bce_with_logits(const wk_config *args) {
    (void)args;
    return create(&bce_with_logits_class, 0);
}

static const wk_arg cross_entropy_args[] = { { "label_smoothing", WK_ARG_NUMBER, "0", NULL },
                                             { NULL, WK_ARG_INT, NULL, NULL } };
static const wk_arg huber_args[] = { { "delta", WK_ARG_NUMBER, "1", NULL }, { NULL, WK_ARG_INT, NULL, NULL } };
const wk_loss_entry wk__builtin_losses[] = {
    { { "cross_entropy", "of scores and class numbers", cross_entropy_args }, build_cross_entropy },
    { { "mnist_ce", "the same, under the name of the LIIF-style trainers", cross_entropy_args }, build_cross_entropy },
    { { "nll", "of logarithms of probabilities and class numbers", NULL }, build_nll },
    { { "mse", "mean squared error", NULL }, build_mse },
    { { "l1", "mean absolute error", NULL }, build_l1 },
    { { "huber", "squared below delta, linear above", huber_args }, build_huber },
    { { "bce_with_logits", "of scores and probabilities", NULL }, build_bce_with_logits },
    { { NULL, NULL, NULL }, NULL },
};

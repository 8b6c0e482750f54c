/* language.c: wrapper "language_model": each position of the model tells the next token.
 *
 * Models are those that give (N, T, vocabulary) for tokens (N, T).  GPT-2's loss is taken by chunks of the vocabulary,
 * so that its scores never exist whole.
 */
#include "tasks/tasks.h"

#include "wick/models.h"

#include <math.h>
#include <string.h>

static wk_tensor *loss_of(wk_module *model, const wk_batch *batch) {
    if (strcmp(model->class_->name, "GPT2LMHeadModel") == 0)
        return wk_gpt2_loss(model, batch->input, batch->target, (wk_linear_cross_entropy_opts){ .chunk = 0 });
    wk_tensor *scores = wk_forward(model, batch->input);
    if (!scores) return NULL;
    return wk_cross_entropy(wk_reshape(scores, WK_DIMS(-1, wk_size(scores, -1))),
                            wk_reshape(batch->target, WK_DIMS(-1)), (wk_cross_entropy_opts){ .reduction = 0 });
}

/* What the model makes of one item, before hours are spent. */
static wk_status check_scores(wk_module *model, wk_tensor *scores, const wk_dataset *data) {
    char text[160];
    if (!scores) return wk_error_code();
    if (wk_rank(scores) != 3 || wk_size(scores, 1) != data->input_dims.size[0])
        return wk_fail(WK_CONFIG, "language_model: model %s gives %s for %lld tokens, expected (1, %lld, vocabulary)",
                       model->class_->name, wk_describe(scores, text, sizeof text), (long long)data->input_dims.size[0],
                       (long long)data->input_dims.size[0]);
    if (wk_size(scores, 2) >= data->classes) return WK_OK;
    return wk_fail(WK_CONFIG,
                   "language_model: the data has %d tokens, the model's vocabulary %lld: model.args.vocabulary=%d",
                   data->classes, (long long)wk_size(scores, 2), data->classes);
}

static wk_status setup(wk_wrapper *self, wk_trainer *t) {
    const wk_dataset *data = wk_trainer_data(t);
    if (data->input_dims.rank != 1 || data->input_dtype != WK_I64 || data->classes < 1)
        return wk_fail(WK_CONFIG, "wrapper \"language_model\" needs items of tokens, as data \"text\" has");
    const int64_t length = data->input_dims.size[0];
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    wk_module_train(self->module, false);
    wk_tensor *tokens = wk_to_device(wk_zeros(WK_I64, WK_DIMS(1, length)), wk_trainer_device(t));
    wk_status status = check_scores(self->module, wk_forward(self->module, tokens), data);
    wk_module_train(self->module, true);
    wk_no_grad_end(was);
    wk_scope_end(scope);
    return status;
}

/* What `wick generate` needs beside a checkpoint and the configuration. */
static wk_status files(wk_wrapper *self, wk_trainer *t) {
    const wk_tokenizer *tokenizer = wk__text_data_tokenizer(wk_trainer_data(t));
    char *path = tokenizer ? wk_format("%s/tokenizer.json", wk_trainer_folder(t)) : NULL;
    (void)self;
    if (!path) return wk_failed() ? wk_error_code() : WK_OK;
    wk_status status = wk_tokenizer_save(tokenizer, path);
    wk_free(path);
    return status;
}

static wk_tensor *training_step(wk_wrapper *self, wk_trainer *t, const wk_batch *batch) {
    (void)t;
    return loss_of(self->module, batch);
}

static wk_status validation_step(wk_wrapper *self, wk_trainer *t, const wk_batch *batch) {
    wk_tensor *loss = loss_of(self->module, batch);
    return loss ? wk_trainer_log(t, "val_loss", wk_item(loss), (wk_log_opts){ 0 }) : wk_error_code();
}

/* Of all ranks, which have met by then. */
static wk_status validation_end(wk_wrapper *self, wk_trainer *t) {
    double loss = 0;
    (void)self;
    if (!wk_trainer_metric(t, "val_loss", &loss)) return WK_OK;
    return wk_trainer_log(t, "val_perplexity", exp(loss), (wk_log_opts){ 0 });
}

static const wk_wrapper_class language_class = { .name = "language_model",
                                                 .size = sizeof(wk_wrapper),
                                                 .setup = setup,
                                                 .training_step = training_step,
                                                 .validation_step = validation_step,
                                                 .validation_end = validation_end,
                                                 .files = files };

static wk_wrapper *build(const wk_config *args, const wk_config *run) {
    wk_wrapper *self = wk_wrapper_create(&language_class);
    (void)args;
    if (self) self->module = wk_make_model(run, "model");
    return self;
}
const wk_wrapper_entry wk__language_model = {
    { "language_model", "the section model tells each next token; validation logs val_loss and val_perplexity", NULL },
    build
};

/* text_classifier.c: wrapper "text_classifier": scores of classes for texts, by BERT or RoBERTa. */
#include "tasks/tasks.h"

#include "wick/models.h"

/* (N, 3, T) → (N, classes) */
static wk_tensor *scores_of(wk_module *model, wk_tensor *input) {
    wk_tensor *tokens = wk_select(input, 1, 0);
    const wk_bert_inputs more = { .token_type_ids = wk_select(input, 1, 1), .attention_mask = wk_select(input, 1, 2) };
    return wk_bert_run(model, tokens, more, NULL);
}

/* What the model makes of one item, before hours are spent. */
static wk_status setup(wk_wrapper *self, wk_trainer *t) {
    const wk_dataset *data = wk_trainer_data(t);
    char text[160];
    if (!wk__labelled_texts_tokenizer(data))
        return wk_fail(WK_CONFIG, "wrapper \"text_classifier\" needs data \"labelled_texts\"");
    const int32_t tokens = wk_tokenizer_size(wk__labelled_texts_tokenizer(data));
    const wk_bert_opts sizes = wk_bert_options(self->module);
    if (wk_failed()) return wk_error_code();
    if (sizes.vocabulary < tokens)
        return wk_fail(WK_CONFIG, "text_classifier: the tokenizer has %d tokens, the model's vocabulary %lld", tokens,
                       (long long)sizes.vocabulary);
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    wk_module_train(self->module, false);
    wk_tensor *scores = scores_of(
        self->module, wk_to_device(wk_zeros(WK_I64, WK_DIMS(1, 3, data->input_dims.size[1])), wk_trainer_device(t)));
    wk_module_train(self->module, true);
    wk_no_grad_end(was);
    wk_status status = scores ? WK_OK : wk_error_code();
    if (scores && (wk_rank(scores) != 2 || wk_size(scores, 1) != data->classes))
        status = wk_fail(
            WK_CONFIG, "text_classifier: the model gives %s for a text, the data has %d classes: model.args.labels=%d",
            wk_describe(scores, text, sizeof text), data->classes, data->classes);
    wk_scope_end(scope);
    return status;
}

static wk_tensor *loss_of(wk_tensor *scores, const wk_batch *batch) {
    return wk_cross_entropy(scores, batch->target, (wk_cross_entropy_opts){ .reduction = 0 });
}

static wk_tensor *training_step(wk_wrapper *self, wk_trainer *t, const wk_batch *batch) {
    (void)t;
    return loss_of(scores_of(self->module, batch->input), batch);
}

static wk_status validation_step(wk_wrapper *self, wk_trainer *t, const wk_batch *batch) {
    wk_tensor *scores = scores_of(self->module, batch->input), *loss = loss_of(scores, batch);
    wk_tensor *hits = wk_sum(wk_eq(wk_argmax(scores, (wk_axis_opts){ { 0 } }), batch->target), (wk_reduce_opts){ 0 });
    if (!loss || !hits) return wk_error_code();
    WK_TRY(wk_trainer_log(t, "val_loss", wk_item(loss), (wk_log_opts){ 0 }));
    return wk_trainer_log(t, "val_accuracy", wk_item(hits) / (double)batch->size, (wk_log_opts){ 0 });
}

static const wk_wrapper_class classifier_class = { .name = "text_classifier",
                                                   .size = sizeof(wk_wrapper),
                                                   .setup = setup,
                                                   .training_step = training_step,
                                                   .validation_step = validation_step };

static wk_wrapper *build(const wk_config *args, const wk_config *run) {
    wk_wrapper *self = wk_wrapper_create(&classifier_class);
    (void)args;
    if (self) self->module = wk_make_model(run, "model");
    return self;
}
const wk_wrapper_entry wk__text_classifier = {
    { "text_classifier", "the section model (bert, pretrained) tells the class of a text", NULL }, build
};

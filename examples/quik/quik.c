/* quik.c: a training loop of one's own, in pytorch-quik's words.
 *
 *   quik [-e EPOCHS] [-lr RATE] [-bs SIZE] …      on Fashion-MNIST, or the IDX files below WICK_QUIK_DATA
 *
 * Each epoch leaves data/state_dict_eN_DATE.pt, the end data/confusion_DATE.png and the table of losses.
 */
#include <wick/quik.h>
#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>

enum { MOST_BATCHES = 10000 };

static wk_dataset *open_data(const char *split) {
    char images[500], labels[500];
    const char *root = getenv("WICK_QUIK_DATA"), *end = root ? "" : ".gz";
    if (!root) root = "/usr/share/datasets/fashion-mnist";
    (void)snprintf(images, sizeof images, "%s/%s-images-idx3-ubyte%s", root, split, end);
    (void)snprintf(labels, sizeof labels, "%s/%s-labels-idx1-ubyte%s", root, split, end);
    return wk_idx_dataset((wk_idx_opts){ .images = images, .labels = labels });
}

static wk_status train_epoch(wk_quik_traveler *tr, int64_t epoch) {
    wk_batch batch;
    WK_TRY(wk_quik_start(tr, epoch));
    for (bool more = true; more;) {
        wk_scope scope = wk_scope_begin();
        if ((more = wk_quik_next(tr, &batch))) {
            wk_tensor *loss = wk_quik_loss(tr, wk_quik_forward(tr, batch.input), batch.target);
            (void)wk_quik_backward(tr, loss, true);
            (void)wk_quik_scheduler_step(tr);
            (void)wk_quik_add_loss(tr, loss);
        }
        wk_scope_end(scope);
        more = more && !wk_failed();
    }
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status validate(wk_quik_traveler *va, int64_t epoch, bool records) {
    static double losses[MOST_BATCHES];
    static int64_t sizes[MOST_BATCHES];
    int64_t count = 0;
    wk_batch batch;
    WK_TRY(wk_quik_start(va, epoch));
    bool was = wk_no_grad_begin();
    for (bool more = true; more && count < MOST_BATCHES;) {
        wk_scope scope = wk_scope_begin();
        if ((more = wk_quik_next(va, &batch))) {
            wk_tensor *outputs = wk_quik_forward(va, batch.input);
            losses[count] = wk_item(wk_quik_loss(va, outputs, batch.target));
            sizes[count++] = batch.size;
            if (records) (void)wk_quik_add_results(va, outputs, batch.target);
        }
        wk_scope_end(scope);
        more = more && !wk_failed();
    }
    wk_no_grad_end(was);
    return wk_failed() ? wk_error_code() : wk_quik_add_vloss(va, losses, sizes, count);
}

static wk_status go(wk_quik_trek *trek, wk_quik_traveler *tr, wk_quik_traveler *va) {
    const int64_t epochs = wk_quik_args_of(trek)->epochs;
    WK_TRY(wk_quik_save_state_dict(tr, "orig"));
    for (int64_t epoch = 0; epoch < epochs; epoch++) {
        char name[24];
        (void)snprintf(name, sizeof name, "%lld", (long long)epoch);
        WK_TRY(train_epoch(tr, epoch));
        WK_TRY(validate(va, epoch, epoch == epochs - 1));
        WK_TRY(wk_loss_table_write(wk_quik_metrics(trek)));
        WK_TRY(wk_quik_save_state_dict(tr, name));
    }
    char *report = wk_quik_record_results(va, NULL), *table = wk_loss_table_text(wk_quik_metrics(trek));
    if (report && table && wk_quik_world_of(trek)->is_logger) (void)printf("%s\n%s", table, report);
    wk_free(report);
    wk_free(table);
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status train(wk_quik_args *args, int gpu) {
    wk_quik_trek *trek = wk_quik_trek_create(args, gpu);
    if (!trek) return wk_error_code();
    wk_dataset *data = open_data("train"), *held = open_data("t10k");
    wk_module *model = wk_nn_sequential(wk_nn_flatten(), wk_nn_linear(784, 64, (wk_layer_opts){ 0 }), wk_nn_relu(),
                                        wk_nn_linear(64, 10, (wk_layer_opts){ 0 }));
    wk_quik_traveler *tr = wk_quik_traveler_create(trek, "train"), *va = wk_quik_traveler_create(trek, "valid");
    wk_status status = tr && va && model ? WK_OK : wk_error_code();
    if (status == WK_OK) status = wk_quik_add_model(tr, model, NULL);
    if (status == WK_OK) status = wk_quik_add_model(va, model, NULL);
    if (status == WK_OK) status = wk_quik_add_data(tr, data);
    if (status == WK_OK) status = wk_quik_add_data(va, held);
    if (status == WK_OK) status = wk_quik_set_criterion(tr, wk_quik_cross_entropy_loss);
    if (status == WK_OK) status = wk_quik_set_criterion(va, wk_quik_cross_entropy_loss);
    if (status == WK_OK) status = wk_quik_set_optimizer(tr, "Adam", NULL);
    if (status == WK_OK) status = wk_quik_set_scheduler(tr, "OneCycleLR", "{ max_lr: 0.01 }");
    if (status == WK_OK) status = go(trek, tr, va);
    wk_quik_traveler_destroy(va);
    wk_quik_traveler_destroy(tr);
    wk_module_destroy(model);
    wk_dataset_destroy(held);
    wk_dataset_destroy(data);
    wk_quik_trek_destroy(trek);
    return status;
}

int main(int argc, char **argv) {
    wk_quik_args args = wk_quik_defaults();
    args.lr = 1e-3;
    args.bs = 256;
    args.epochs = 2;
    args.data_date = "20210101";
    if (wk_quik_parse(&args, argc, argv) == WK_OK) (void)wk_quik_traverse(train, &args);
    return wk_report(stderr) == WK_OK ? 0 : 1;
}

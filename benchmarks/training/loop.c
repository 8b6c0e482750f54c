/* loop.c: training on Fashion-MNIST as a bare loop in C: what the trainer is measured against.
 *
 *   loop mlp|cnn STEPS TIMES      writes when each step ended, in seconds, a line a step
 */
#define _POSIX_C_SOURCE 200809L
#include <wick/data.h>
#include <wick/step.h>
#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROOT "/usr/share/datasets/fashion-mnist/train-"

static double seconds(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static wk_status step(wk_module *model, wk_optim *optim, const wk_batch *batch, double *loss) {
    wk_scope scope = wk_scope_begin();
    wk_status status = wk_step_begin("train");
    wk_zero_grad(optim);
    wk_tensor *scores = wk_forward(model, batch->input);
    wk_tensor *mean = wk_cross_entropy(scores, batch->target, (wk_cross_entropy_opts){ .reduction = 0 });
    if (mean) *loss = wk_item(mean);
    if (status == WK_OK) status = wk_backward(mean);
    if (status == WK_OK) status = wk_optim_step(optim);
    if (status == WK_OK) status = wk_step_end();
    wk_scope_end(scope);
    return status;
}

static wk_status train(wk_module *model, wk_optim *optim, wk_loader *loader, long steps, double *time) {
    wk_batch batch;
    double loss = 0;
    long done = 0;
    for (int64_t epoch = 0; done < steps; epoch++) {
        WK_TRY(wk_loader_start(loader, epoch, 0));
        for (; done < steps && wk_loader_next(loader, &batch); time[done++] = seconds())
            WK_TRY(step(model, optim, &batch, &loss));
        if (wk_failed()) return wk_error_code();
    }
    return WK_OK;
}

static wk_module *build_cnn(void) { /* as the trainer's "cnn" */
    const wk_nn_conv2d_opts conv = { 0 };
    const wk_layer_opts plain = { 0 };
    const wk_pool_opts two = { .kernel = { 2, 2 } };
    return wk_nn_sequential(wk_nn_conv2d(1, 32, 3, conv), wk_nn_relu(), wk_nn_conv2d(32, 64, 3, conv), wk_nn_relu(),
                            wk_nn_max_pool2d(two), wk_nn_dropout(0.25), wk_nn_flatten(), wk_nn_linear(9216, 128, plain),
                            wk_nn_relu(), wk_nn_dropout(0.5), wk_nn_linear(128, 10, plain));
}

int main(int argc, char **argv) {
    const long steps = argc == 4 ? strtol(argv[2], NULL, 10) : 0;
    double *time = steps > 0 ? malloc((size_t)steps * sizeof *time) : NULL;
    FILE *file = time ? fopen(argv[3], "we") : NULL;
    if (!file) return (void)fprintf(stderr, "usage: loop mlp|cnn STEPS TIMES\n"), 2;
    wk_manual_seed(1);
    wk_module *model = strcmp(argv[1], "mlp") == 0
                           ? wk_mlp((wk_mlp_opts){ .in_features = 784, .hidden = 128, .classes = 10 })
                           : build_cnn();
    wk_optim *optim = model ? wk_adamw(wk_parameters(model), (wk_adamw_opts){ .lr = 1e-3 }) : NULL;
    wk_dataset *data = wk_idx_dataset((wk_idx_opts){ .images = ROOT "images-idx3-ubyte.gz",
                                                     .labels = ROOT "labels-idx1-ubyte.gz",
                                                     .mean = 0.2860,
                                                     .deviation = 0.3530 });
    wk_loader *loader =
        data ? wk_loader_create(data, (wk_loader_opts){ .batch_size = 64, .sampler = { .shuffle = true, .seed = 1 } })
             : NULL;
    wk_status status = optim && loader ? train(model, optim, loader, steps, time) : wk_error_code();
    for (long i = 0; status == WK_OK && i < steps; i++) (void)fprintf(file, "%.9f\n", time[i]);
    wk_loader_destroy(loader);
    wk_dataset_destroy(data);
    wk_optim_destroy(optim);
    wk_module_destroy(model);
    free(time);
    if (fclose(file) != 0) return 1;
    return status == WK_OK ? 0 : (int)wk_report(stderr);
}

/* embed.c: a trained model inside a C program: build the net, load its weights, ask it.
 *
 *   embed CHECKPOINT IMAGES_IDX [COUNT]
 *
 * CHECKPOINT is what `wick train` wrote (runs/NAME/checkpoints/best.safetensors, model "cnn"); IMAGES_IDX an unpacked
 * IDX file of 28×28 images.  Prints the class of the first COUNT images, one a line.
 */
#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>

static wk_module *make_cnn(void) {
    return wk_nn_sequential(wk_nn_conv2d(1, 32, 3, (wk_nn_conv2d_opts){ .no_bias = false }), wk_nn_relu(),
                            wk_nn_conv2d(32, 64, 3, (wk_nn_conv2d_opts){ .no_bias = false }), wk_nn_relu(),
                            wk_nn_max_pool2d((wk_pool_opts){ .kernel = { 2, 2 } }), wk_nn_dropout(0.25),
                            wk_nn_flatten(), wk_nn_linear(9216, 128, (wk_layer_opts){ .no_bias = false }), wk_nn_relu(),
                            wk_nn_dropout(0.5), wk_nn_linear(128, 10, (wk_layer_opts){ .no_bias = false }));
}

/* Class of one image (28 × 28). */
static int classify(wk_module *net, const unsigned char *image) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *pixels = wk_cast(wk_from_array(WK_U8, WK_DIMS(1, 1, 28, 28), image), WK_F32);
    wk_tensor *x = wk_affine(pixels, (wk_affine_opts){ .scale = 1 / (255 * 0.3530), .shift = -0.2860 / 0.3530 });
    wk_tensor *best = wk_argmax(wk_forward(net, x), (wk_axis_opts){ .axis = WK_SET(1) });
    int label = best ? (int)wk_at(best, 0) : -1;
    wk_scope_end(scope);
    return label;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        (void)fprintf(stderr, "usage: embed CHECKPOINT IMAGES_IDX [COUNT]\n");
        return 2;
    }
    wk_module *net = make_cnn();
    wk_safetensors *file = wk_safetensors_open(argv[1]);
    if (net && file) (void)wk_load_named(file, "model.", wk_state(net), "the network");
    wk_safetensors_close(file);
    if (wk_failed()) return (int)wk_report(stderr);
    wk_module_train(net, false);

    FILE *images = fopen(argv[2], "rb");
    unsigned char image[28 * 28];
    if (!images || fseek(images, 16, SEEK_SET) != 0) {
        (void)fprintf(stderr, "embed: cannot read %s\n", argv[2]);
        return 1;
    }
    bool was = wk_no_grad_begin();
    for (long left = argc > 3 ? strtol(argv[3], NULL, 10) : 10; left > 0 && fread(image, sizeof image, 1, images) == 1;
         left--)
        (void)printf("%d\n", classify(net, image));
    wk_no_grad_end(was);
    (void)fclose(images);
    wk_module_destroy(net);
    return wk_failed() ? (int)wk_report(stderr) : 0;
}

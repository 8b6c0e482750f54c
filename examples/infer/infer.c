/* infer.c: a program that answers requests with a network frozen for inference.
 *
 *   infer WEIGHTS [REQUESTS]
 *
 * WEIGHTS is a safetensors file of a ResNet-18 for 32 × 32 images and ten classes (wk_module_save; torchvision's
 * names); REQUESTS a file, or standard input, of images of 3 × 32 × 32 bytes, red, green, blue.  Each is answered when
 * it has come: its class, the score, and the microseconds it took.  At the end: how long requests take.
 */
#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>

enum { IMAGE = 3 * 32 * 32, MOST_TIMED = 100000 };

/* A network ready to answer: weights loaded, normalisations folded, weights packed, memory planned. */
static wk_module *open_network(const char *weights) {
    wk_module *net = wk_resnet((wk_resnet_opts){ .depth = 18, .classes = 10, .small_images = true });
    if (wk_module_load(net, weights) == WK_OK) (void)wk_module_freeze(net, (wk_freeze_opts){ 0 });
    /* The first forwards pack weights and make the plan: before anybody waits for an answer. */
    for (int i = 0; i < 3 && !wk_failed(); i++) {
        wk_scope scope = wk_scope_begin();
        (void)wk_forward(net, wk_zeros(WK_F32, WK_DIMS(1, 3, 32, 32)));
        wk_scope_end(scope);
    }
    if (!wk_failed()) return net;
    wk_module_destroy(net);
    return NULL;
}

/* The class of one image; -1 with an error pending. */
static int classify(wk_module *net, const unsigned char *pixels, double *score) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_cast(wk_from_array(WK_U8, WK_DIMS(1, 3, 32, 32), pixels), WK_F32);
    wk_tensor *scores = wk_forward(net, wk_affine(x, (wk_affine_opts){ .scale = 1 / 127.5, .shift = -1 }));
    wk_tensor *best = wk_argmax(scores, (wk_axis_opts){ .axis = WK_SET(1) });
    int label = best ? (int)wk_at(best, 0) : -1;
    *score = label >= 0 ? wk_at(scores, label) : 0;
    wk_scope_end(scope);
    return label;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void answer(wk_module *net, FILE *requests) {
    static double took[MOST_TIMED]; /* microseconds */
    unsigned char pixels[IMAGE];
    long count = 0;
    while (fread(pixels, sizeof pixels, 1, requests) == 1) {
        double start = wk_now(), score;
        int label = classify(net, pixels, &score);
        if (label < 0) return;
        double microseconds = 1e6 * (wk_now() - start);
        (void)printf("%d %.3f %.0f us\n", label, score, microseconds);
        (void)fflush(stdout);
        if (count < MOST_TIMED) took[count++] = microseconds;
    }
    if (count == 0) return;
    qsort(took, (size_t)count, sizeof *took, by_value);
    (void)printf("%ld requests, median %.0f us, 99 of 100 below %.0f us\n", count, took[count / 2],
                 took[count * 99 / 100]);
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 3) {
        (void)fprintf(stderr, "usage: infer WEIGHTS [REQUESTS]\n");
        return 2;
    }
    FILE *requests = argc > 2 ? fopen(argv[2], "rb") : stdin;
    if (!requests) {
        (void)fprintf(stderr, "infer: cannot read %s\n", argv[2]);
        return 1;
    }
    wk_module *net = open_network(argv[1]);
    if (net) answer(net, requests);
    (void)fclose(requests);
    wk_module_destroy(net);
    return wk_failed() ? (int)wk_report(stderr) : 0;
}

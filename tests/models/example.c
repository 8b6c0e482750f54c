/* example.c: examples/char_lstm learns, from a text of this tree; examples/infer answers. */
#define WK_NO_CALL_SITES
#include "support/brief.h"
#include "support/program.h"
#include "wick/io.h"
#include "wick/models.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(example, char_lstm_learns_a_text, .timeout = 320) {
    if (tests_are_brief()) cr_skip_test("trains");
    char folder[512];
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("char_lstm"));
    program p = start(folder,
                      (char *[]){ (char *)WICK_CHAR_LSTM, (char *)WICK_SOURCE_DIR "/docs/architecture.md", (char *)"60",
                                  (char *)"40", NULL },
                      (char *[]){ (char *)"OMP_NUM_THREADS=1", NULL });
    cr_assert_eq(finish(&p, 300), 0);
    char *said = read_bytes(p.out, NULL);
    cr_assert_not_null(said);
    double losses[3];
    const char *at = said;
    for (int i = 0; i < 3; i++) {
        at = strstr(at, " loss ");
        cr_assert_not_null(at, "%s", said);
        losses[i] = strtod(at += 6, NULL);
    }
    cr_expect(losses[0] > 5 && losses[2] < 3.5, "%s", said);
    const char *last_line = strchr(at, '\n');
    cr_expect(last_line && strlen(last_line + 1) > 1, "%s", said);
    free(said);
    remove_folder(folder);
}

/* What the program prints for its requests is what the network gives here, and a line about the time they took. */
Test(example, infer_answers_requests) {
    enum { IMAGE = 3 * 32 * 32, REQUESTS = 4 };
    char folder[512], weights[600], requests[600], label[REQUESTS];
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("infer"));
    (void)snprintf(weights, sizeof weights, "%s/weights.safetensors", folder);
    (void)snprintf(requests, sizeof requests, "%s/requests", folder);
    static char pixels[REQUESTS * IMAGE];
    for (int i = 0; i < REQUESTS * IMAGE; i++) pixels[i] = (char)(i * 37 % 251 + i / IMAGE * i % 13);
    write_bytes(requests, pixels, sizeof pixels);
    wk_scope scope = wk_scope_begin();
    wk_manual_seed(3);
    wk_module *net = wk_resnet((wk_resnet_opts){ .depth = 18, .classes = 10, .small_images = true });
    cr_assert_eq(wk_module_save(net, weights), WK_OK, "%s", wk_message());
    wk_module_train(net, false);
    for (int i = 0; i < REQUESTS; i++) {
        wk_tensor *x = wk_cast(wk_from_array(WK_U8, WK_DIMS(1, 3, 32, 32), pixels + i * IMAGE), WK_F32);
        wk_tensor *y = wk_forward(net, wk_affine(x, (wk_affine_opts){ .scale = 1 / 127.5, .shift = -1 }));
        label[i] = (char)('0' + (int)wk_at(wk_argmax(y, (wk_axis_opts){ .axis = WK_SET(1) }), 0));
    }
    wk_module_destroy(net);
    wk_scope_end(scope);
    program p = start(folder, (char *[]){ (char *)WICK_INFER, weights, requests, NULL },
                      (char *[]){ (char *)"OMP_NUM_THREADS=1", NULL });
    cr_assert_eq(finish(&p, 300), 0);
    char *said = read_bytes(p.out, NULL), *at = said;
    cr_assert_not_null(said);
    for (int i = 0; i < REQUESTS; i++) {
        cr_expect_eq(*at, label[i], "request %d: %s", i, said);
        at = strchr(at, '\n');
        cr_assert_not_null(at, "%s", said);
        at++;
    }
    cr_expect(strncmp(at, "4 requests, median ", 19) == 0, "%s", said);
    free(said);
    remove_folder(folder);
}

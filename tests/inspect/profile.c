/* Profiles: what is noted of a step, the files, and `wick profile` around a program. */
#include "support/program.h"
#include "support/refused.h"
#include "wick/autograd.h"
#include "wick/nn.h"
#include "wick/ops.h"
#include "wick/optim.h"
#include "wick/profile.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static char folder[400];
static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("profile"));
}
static void tear_down(void) {
    remove_folder(folder);
}
TestSuite(profile, .init = set_up, .fini = tear_down);

/* Two linear layers, ReLU between; steps of SGD. */
static void train(wk_module *net, wk_optim *optim, int steps) {
    for (int i = 0; i < steps; i++) {
        wk_scope scope = wk_scope_begin();
        wk_zero_grad(optim);
        wk_tensor *x = wk_full(WK_F32, WK_DIMS(16, 32), 0.5), *y = wk_forward(net, x);
        cr_assert_eq(wk_backward(wk_mean(wk_square(y), (wk_reduce_opts){ 0 })), WK_OK, "%s", wk_message());
        cr_assert_eq(wk_optim_step(optim), WK_OK, "%s", wk_message());
        wk_scope_end(scope);
    }
}
static wk_module *make_net(wk_optim **optim) {
    wk_module *net = wk_nn_sequential(wk_nn_linear(32, 64, (wk_layer_opts){ 0 }), wk_nn_relu(),
                                      wk_nn_linear(64, 8, (wk_layer_opts){ 0 }));
    *optim = wk_sgd(wk_parameters(net), (wk_sgd_opts){ .lr = 0.01 });
    cr_assert_not_null(*optim, "%s", wk_message());
    return net;
}

static const wk_profile_row *find(const wk_profile_row *rows, int count, const char *operation, const char *module,
                                  wk_profile_phase phase) {
    for (int i = 0; i < count; i++)
        if (strcmp(rows[i].operation, operation) == 0 && strcmp(rows[i].module, module) == 0 && rows[i].phase == phase)
            return &rows[i];
    return NULL;
}

Test(profile, counts_calls_by_operation_module_and_phase) {
    wk_optim *optim;
    wk_module *net = make_net(&optim);
    train(net, optim, 1);
    wk_profile *profile = wk_profile_begin();
    cr_assert_not_null(profile, "%s", wk_message());
    cr_expect_null(wk_profile_begin());
    cr_expect_not_null(strstr(wk_message(), "wk_profile_begin: a profile of this context is under way"));
    wk_clear_error();
    train(net, optim, 3);
    wk_profile_end(profile);
    double seconds = wk_profile_seconds(profile);
    train(net, optim, 2);
    cr_expect_eq(wk_profile_seconds(profile), seconds, "it has ended");
    wk_profile_row rows[100];
    int count = wk_profile_rows(profile, rows, 100);
    cr_assert(count > 5 && count < 100, "%d", count);
    const wk_profile_row *linear = find(rows, count, "linear", "0", WK_PROFILE_FORWARD);
    cr_assert_not_null(linear);
    cr_expect_eq(linear->calls, 3);
    cr_expect_eq(linear->bytes, 3.0 * 4 * (16 * 32 + 64 * 32 + 64 + 16 * 64));
    cr_expect_geq(linear->operations, 3.0 * 2 * 16 * 32 * 64);
    double total = 0;
    bool in_backward = false, in_optimizer = false;
    for (int i = 0; i < count; i++) {
        total += rows[i].seconds;
        in_backward = in_backward || (rows[i].phase == WK_PROFILE_BACKWARD && strcmp(rows[i].module, "2") == 0);
        in_optimizer = in_optimizer || rows[i].phase == WK_PROFILE_OPTIMIZER;
        if (i) cr_expect_leq(rows[i].seconds, rows[i - 1].seconds, "the longest first");
    }
    cr_expect(in_backward, "the backward of a layer is that layer's");
    cr_expect(in_optimizer);
    cr_expect_leq(total, seconds);
    wk_profile_row one;
    cr_expect_eq(wk_profile_rows(profile, &one, 1), count);
    cr_expect_eq(one.seconds, rows[0].seconds);
    wk_profile_destroy(profile);
    wk_optim_destroy(optim);
    wk_module_destroy(net);
}

Test(profile, saves_a_trace_and_a_flame_graph) {
    wk_optim *optim;
    wk_module *net = make_net(&optim);
    wk_profile *profile = wk_profile_begin();
    train(net, optim, 2);
    char path[500], *text;
    (void)snprintf(path, sizeof path, "%s/trace.json", folder);
    cr_assert_eq(wk_profile_save_trace(profile, path), WK_OK, "%s", wk_message());
    json_t *trace = json_load_file(path, 0, NULL), *events = json_object_get(trace, "traceEvents"), *event;
    cr_assert_gt(json_array_size(events), 10);
    size_t i;
    double last = 0;
    int64_t calls = 0;
    json_array_foreach(events, i, event) {
        double start = json_number_value(json_object_get(event, "ts"));
        cr_expect_geq(start, last, "in order");
        last = start;
        cr_expect_str_eq(json_string_value(json_object_get(event, "ph")), "X");
    }
    json_decref(trace);
    wk_profile_row rows[100];
    for (int k = wk_profile_rows(profile, rows, 100) - 1; k >= 0; k--) calls += rows[k].calls;
    cr_expect_eq((int64_t)i, calls, "every call once");
    (void)snprintf(path, sizeof path, "%s/flames.svg", folder);
    cr_assert_eq(wk_profile_save_flames(profile, path), WK_OK, "%s", wk_message());
    text = read_bytes(path, NULL);
    cr_assert_not_null(text);
    cr_expect_eq(strncmp(text, "<svg ", 5), 0);
    cr_expect_not_null(strstr(text, "<title>0: "));
    cr_expect_not_null(strstr(text, "<title>backward: "));
    free(text);
    cr_expect_eq(wk_profile_save_trace(profile, "/nowhere/at/all"), WK_IO);
    cr_expect_str_eq(wk_message(), "/nowhere/at/all: cannot be written");
    wk_clear_error();
    wk_profile_destroy(profile);
    wk_optim_destroy(optim);
    wk_module_destroy(net);
}

/* A context that ends takes its profile's eyes, not its pages. */
Test(profile, outlives_its_context) {
    wk_context *own = wk_context_create();
    wk_context *before = wk_context_bind(own);
    wk_profile *profile = wk_profile_begin();
    wk_scope scope = wk_scope_begin();
    cr_assert_not_null(wk_exp(wk_zeros(WK_F32, WK_DIMS(3))));
    wk_scope_end(scope);
    (void)wk_context_bind(before);
    wk_context_destroy(own);
    wk_profile_row row;
    cr_assert_eq(wk_profile_rows(profile, &row, 1), 1);
    cr_expect_str_eq(row.operation, "exp");
    wk_profile_destroy(profile);
    wk_profile_destroy(NULL);
}

Test(profile, of_any_program) {
    char out[500];
    char *err = NULL;
    (void)snprintf(out, sizeof out, "%s/seen", folder);
    char *const argv[] = { WICK_PROGRAM, "profile", "-o",         out,     "--",     WICK_PROGRAM, "bench",
                           "ops",        "softmax", "--min-time", "0.001", "--mode", "forward",    NULL };
    program p = start(folder, argv, NULL);
    cr_assert_eq(finish(&p, 120), 0);
    char *text = read_bytes(p.out, NULL);
    cr_assert_not_null(text);
    cr_expect_not_null(strstr(text, "softmax                      forward"), "%s", text);
    cr_expect_not_null(strstr(text, "(outside of modules)"));
    cr_expect_not_null(strstr(text, "between them"));
    free(text);
    static const struct {
        char *words[8];
        int code;
        const char *message;
    } cases[] = {
        { { "--", "true" }, 1, "\"true\" (exit code 0) ran no operation of Wick" },
        { { "--", "sh", "-c", "exit 3" }, 3, "(exit code 3) ran no operation of Wick, or ended before it could write" },
        { { "--", "no-such-program" }, 1, "cannot run no-such-program: No such file or directory" },
        { { NULL }, 2, "wick: profile: expected a program to run" },
        { { "--loud", "true" }, 2, "wick: profile: unknown option --loud" },
        { { "-o" }, 2, "wick: profile: nothing stands behind -o" },
        { { "-o", "/proc/none", "true" }, 1, "the folder \"/proc/none\" cannot be made" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *words[12] = { WICK_PROGRAM, "profile" };
        for (int k = 0; cases[i].words[k]; k++) words[2 + k] = cases[i].words[k];
        cr_expect_eq(run_program(folder, words, NULL, 200, &err), cases[i].code, "%s", cases[i].message);
        cr_expect_not_null(strstr(err, cases[i].message), "%s", err);
        free(err);
    }
}

/* overhead.c: what the host costs: x + y of one element, without and with a tape entry, and a forward of a 64-64-64-10
 * network frozen for inference, at batch 1.
 *
 * Of each the least of fifty rounds, so that what else runs does not count; PyTorch's side, from Python and from C++,
 * measures so too (benchmarks/peers/torch_overhead.*), one after the other.
 */
#define WK_NO_CALL_SITES
#include "bench/steps/steps.h"

#include "base/base.h"
#include "wick/autograd.h"
#include "wick/ops.h"

#include <string.h>
#include <unistd.h>

#define SCRIPT "benchmarks/peers/torch_overhead.py"

typedef struct figures {
    double add, add_noted, mlp; /* ns */
} figures;

static double add_nanoseconds(bool wants_grad) {
    wk_tensor *x = wk_kept_zeros(WK_F32, WK_DIMS(1)), *y = wk_kept_zeros(WK_F32, WK_DIMS(1));
    (void)wk_require_grad(x, wants_grad);
    double least = 1;
    for (int round = 0; round < 50; round++) {
        double start = wk_now();
        for (int step_number = 0; step_number < 100; step_number++) {
            wk_scope scope = wk_scope_begin();
            for (int i = 0; i < 100; i++) (void)wk_add(x, y);
            wk_scope_end(scope);
        }
        double each = (wk_now() - start) / 1e4;
        if (each < least) least = each;
    }
    wk_release(x);
    wk_release(y);
    return 1e9 * least;
}

/* A scope and a forward for each row, as a server has them. */
static double mlp_nanoseconds(void) {
    enum { ROWS = 2000 };
    const wk_layer_opts plain = { 0 };
    wk_module *net = wk_nn_sequential(wk_nn_linear(64, 64, plain), wk_nn_relu(), wk_nn_linear(64, 64, plain),
                                      wk_nn_relu(), wk_nn_linear(64, 10, plain));
    wk_tensor *x = wk_kept_zeros(WK_F32, WK_DIMS(1, 64));
    (void)wk_module_freeze(net, (wk_freeze_opts){ 0 });
    double least = 1;
    for (int round = 0; round < 50 && !wk_failed(); round++) {
        double start = wk_now();
        for (int i = 0; i < ROWS; i++) {
            wk_scope scope = wk_scope_begin();
            (void)wk_forward(net, x);
            wk_scope_end(scope);
        }
        double each = (wk_now() - start) / ROWS;
        if (each < least) least = each;
    }
    wk_release(x);
    wk_module_destroy(net);
    return 1e9 * least;
}

/* ---- the peers ---- */

/* The program beside the Python; false where it was not built. */
static bool find_program(const char *python, char *path, size_t size) {
    const char *slash = strrchr(python, '/');
    int folder = slash ? (int)(slash - python) : 0;
    (void)snprintf(path, size, "%.*s%storch_overhead", folder, python, slash ? "/" : "");
    return slash && access(path, X_OK) == 0;
}

static wk_status run_peer(char *const argv[], const figures *own) {
    double began;
    json_t *line = wk__child_run(argv, "overhead, the peer", 600, &began);
    if (!line) return wk_error_code();
    const char *name = json_string_value(json_object_get(line, "peer"));
    const double add = json_number_value(json_object_get(line, "add_nograd_ns")),
                 noted = json_number_value(json_object_get(line, "add_grad_ns")),
                 mlp = json_number_value(json_object_get(line, "mlp_b1_ns"));
    (void)json_dumpf(line, stdout, JSON_PRESERVE_ORDER);
    (void)printf("\n%s, by Wick's time: x + y %.1f, with gradient %.1f, forward at batch 1 %.1f\n", name ? name : "",
                 add / own->add, noted / own->add_noted, mlp / own->mlp);
    json_decref(line);
    return WK_OK;
}

static wk_status run_peers(const figures *own) {
    char program[4096];
    const char *python = wk__peer_python(SCRIPT);
    if (!python) return wk_error_code();
    WK_TRY(run_peer((char *[]){ (char *)(uintptr_t)python, (char *)(uintptr_t)SCRIPT, NULL }, own));
    if (find_program(python, program, sizeof program)) return run_peer((char *[]){ program, NULL }, own);
    (void)printf("libtorch is not measured: there is no %s (benchmarks/peers/install builds it where it can)\n",
                 program);
    return WK_OK;
}

wk_status wk__bench_overhead(bool peer) {
    wk_set_threads(1);
    const figures own = { add_nanoseconds(false), add_nanoseconds(true), mlp_nanoseconds() };
    if (wk_failed()) return wk_error_code();
    (void)printf("{\"workload\": \"overhead\", \"peer\": \"wick %s\", \"add_nograd_ns\": %.1f, \"add_grad_ns\": %.1f, "
                 "\"mlp_b1_ns\": %.1f}\n",
                 wk_version(), own.add, own.add_noted, own.mlp);
    (void)fflush(stdout);
    return peer ? run_peers(&own) : WK_OK;
}

/* anomaly.c: where a NaN came from. */
#define WK_NO_CALL_SITES
#include "autograd/tape.h"

#include <math.h>

int wk_anomaly_begin(wk_anomaly_opts opts) {
    wk_context *context = wk__context();
    if (!context) return 0;
    const uint32_t both = WK__MODE_ANOMALY | WK__MODE_CHECK_RESULTS;
    int was = (int)(context->mode & both);
    context->mode |= WK__MODE_ANOMALY;
    if (opts.check_forward) context->mode |= WK__MODE_CHECK_RESULTS;
    return was;
}

void wk_anomaly_end(int was) {
    wk_context *context = wk__context();
    const uint32_t both = WK__MODE_ANOMALY | WK__MODE_CHECK_RESULTS;
    if (context) context->mode = (context->mode & ~both) | ((uint32_t)was & both);
}

wk_status wk__anomaly_check(const struct wk_node *node, int input, const wk_tensor *gradient) {
    if (!wk__has_nan(gradient)) return WK_OK;
    char text[160];
    const char *layer = node->layer ? node->layer : "";
    return wk_fail(WK_INVALID, "backward of \"%s\"%s%s%s [%s]: the gradient of its input %d, %s, has a NaN",
                   node->op->name, *layer ? " in module \"" : "", layer, *layer ? "\"" : "", wk__place(node->call_site),
                   input, wk_describe(gradient, text, sizeof text));
}

/* limit.c: the time that no step with plain arithmetic stays below.
 *
 * For each phase (forward, backward, optimizer), which cannot overlap, the larger of its operations over the measured
 * peak of the dtype and its bytes over the measured bandwidth; the sum of the three.
 *
 * Operations and bytes of forward and backward are those of weight layers and attention, added up from the cost rules
 * of the rows that a step ran: what lies between them (activations, norms, losses, dropout) could be fused into them,
 * and counts nothing.  So the first layer, whose input needs no gradient, has two products and not three because it ran
 * no third.  The optimizer has no operations to speak of; it moves 28 bytes a parameter with AdamW (f32: the gradient
 * is read, parameter and two moments are read and written), 20 with SGD and momentum, 12 with plain SGD.
 *
 * Bandwidth is what the roofs found where so many bytes are touched: that of memory for all but small networks, whose
 * weights stay in a cache.  Convolution by Winograd's algorithm does fewer operations than are counted, and may go
 * below.
 */
#include "bench/steps/steps.h"

#include "base/base.h"
#include "wick/profile.h"

#include <string.h>

/* Rows of weight layers and attention, and of their gradients, begin with one of these. */
static bool is_counted(const char *operation) {
    static const char *const counted[] = { "linear", "matmul", "conv",      "rnn",
                                           "lstm",   "gru",    "recurrent", "scaled_dot_product_attention" };
    for (size_t i = 0; i < WK_COUNT(counted); i++)
        if (strncmp(operation, counted[i], strlen(counted[i])) == 0) return true;
    return false;
}

wk__step_cost wk__step_cost_of(const wk_profile *profile, const wk__workload *of, int64_t parameters) {
    enum { MOST_SITES = 4000 };
    static wk_profile_row site[MOST_SITES];
    wk__step_cost cost = { .optimizer = { 0, (double)of->bytes->moved * (double)parameters } };
    int count = wk_profile_rows(profile, site, MOST_SITES);
    for (int i = 0; i < count && i < MOST_SITES; i++) {
        wk_cost *phase = site[i].phase == WK_PROFILE_BACKWARD ? &cost.backward : &cost.forward;
        if (!is_counted(site[i].operation)) continue;
        phase->operations += site[i].operations;
        phase->bytes += site[i].bytes;
    }
    return cost;
}

double wk__step_limit(const wk__step_cost *cost, const wk__roofs *roofs, wk_dtype dtype) {
    return wk__roofs_limit(roofs, dtype, cost->forward, false) + wk__roofs_limit(roofs, dtype, cost->backward, false)
           + wk__roofs_limit(roofs, dtype, cost->optimizer, false);
}

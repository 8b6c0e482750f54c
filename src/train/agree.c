/* agree.c: decisions that all ranks must share.
 *
 * A rank that stops where the others go on leaves them waiting in their next collective until the watchdog ends the
 * job.  So before anything is written, and wherever one rank may fail alone, the ranks tell each other how they stand.
 */
#include "train/agree.h"

#include "base/base.h"

#include <unistd.h>

/* The first rank whose number is not `expected`, and whether that of an earlier rank equals `mine`; first is -1 if
 * there is none. */
static wk_status compare(wk_group *group, uint64_t mine, const uint64_t *expected, int *first, bool *is_known) {
    int64_t number = (int64_t)mine;
    wk_scope scope = wk_scope_begin();
    wk_tensor *in = wk_from_array(WK_I64, WK_DIMS(1), &number), *out = wk_zeros(WK_I64, WK_DIMS(wk_group_size(group)));
    wk_status status = in && out ? wk_all_gather(group, in, out, NULL) : wk_error_code();
    const int64_t *all = status == WK_OK ? wk_data(out) : NULL;
    int64_t wanted = expected ? (int64_t)*expected : all ? all[0] : 0;
    *first = -1;
    *is_known = false;
    for (int i = 0; all && i < wk_group_size(group); i++) {
        if (all[i] != wanted && *first < 0) *first = i;
        if (all[i] == number && i < wk_group_rank(group)) *is_known = true;
    }
    wk_scope_end(scope);
    return status;
}

wk_status wk__agree(wk_group *group, wk_status mine) {
    if (wk_group_size(group) < 2) return mine;
    wk__error *slot = wk__error_slot(), kept = *slot;
    wk_clear_error();
    const uint64_t fine = 0;
    int first;
    bool is_known;
    WK_TRY(compare(group, mine == WK_OK ? fine : wk__hash(0, kept.message), &fine, &first, &is_known));
    if (first < 0) return WK_OK;
    if (mine == WK_OK || is_known) return wk_fail(WK_RANK_FAILED, "rank %d cannot go on; its message says why", first);
    *slot = kept;
    return mine;
}

wk_status wk__same(wk_group *group, uint64_t number, const char *what, const char *hint) {
    if (wk_group_size(group) < 2) return WK_OK;
    int first;
    bool is_known;
    WK_TRY(compare(group, number, NULL, &first, &is_known));
    if (first < 0) return WK_OK;
    return wk__agree(group, wk_fail(WK_CONFIG, "%s of rank %d differs from that of rank 0%s", what, first, hint));
}

wk_status wk__hosts(wk_group *group, int *count) {
    char name[256] = "";
    (void)gethostname(name, sizeof name - 1);
    int64_t own = (int64_t)wk__hash(0, name);
    wk_scope scope = wk_scope_begin();
    wk_tensor *in = wk_from_array(WK_I64, WK_DIMS(1), &own), *out = wk_zeros(WK_I64, WK_DIMS(wk_group_size(group)));
    wk_status status = in && out ? wk_all_gather(group, in, out, NULL) : wk_error_code();
    const int64_t *all = status == WK_OK ? wk_data(out) : NULL;
    *count = 0;
    for (int i = 0; all && i < wk_group_size(group); i++) {
        bool is_new = true;
        for (int k = 0; k < i; k++) is_new = is_new && all[k] != all[i];
        *count += is_new;
    }
    wk_scope_end(scope);
    return status;
}

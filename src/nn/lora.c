/* lora.c: fine-tuning of Linear layers: another head, and low-rank adapters. */
#define WK_NO_CALL_SITES
#include "nn/freeze.h"
#include "nn/linear.h"
#include "nn/nn.h"
#include "nn/parametrise.h"
#include "tensor/tensor.h"
#include "wick/nn/tune.h"

#include <regex.h>
#include <string.h>

static wk__linear *linear_or_fail(wk_module *module, const char *who) {
    if (wk_failed()) return NULL;
    wk__linear *m = module ? wk__linear_of(module) : NULL;
    if (!m)
        (void)wk_fail(WK_INVALID, "%s: \"%s\" is %s, expected a Linear", who, module ? module->path : "",
                      module ? module->class_->name : "NULL");
    else if (module->frozen)
        (void)wk_fail(WK_STATE, "%s: module \"%s\" is frozen for inference", who, module->path);
    else if (*wk__module_parametrised(module))
        (void)wk_fail(WK_INVALID, "%s: a parameter of \"%s\" is computed from others", who, module->path);
    return wk_failed() ? NULL : m;
}

static wk_status put(wk_module *module, const char *name, wk_tensor **field, wk_tensor *kept) {
    if (!kept) return wk_error_code();
    if (wk__module_put(module, name, wk_require_grad(kept, true)) != WK_OK) {
        wk_release(kept);
        return wk_error_code();
    }
    *field = kept;
    return WK_OK;
}

wk_status wk_linear_resize(wk_module *module, int64_t out_features) {
    wk__linear *m = linear_or_fail(module, "wk_linear_resize");
    if (!m) return wk_error_code();
    if (out_features < 1)
        return wk_fail(WK_INVALID, "wk_linear_resize: %lld results, expected at least 1", (long long)out_features);
    if (m->lora_a) return wk_fail(WK_STATE, "wk_linear_resize: \"%s\" has an adapter", module->path);
    const double in = (double)m->weight->shape[1];
    const int64_t columns = m->weight->shape[1];
    WK_TRY(put(module, "weight", &m->weight, wk__linear_draw(WK_DIMS(out_features, columns), in, false)));
    return m->bias ? put(module, "bias", &m->bias, wk__linear_draw(WK_DIMS(out_features), in, true)) : WK_OK;
}

/* ---- adapters ---- */

typedef struct adding {
    regex_t pattern;
    wk_lora_opts opts;
    int count;
} adding;

static void add_adapter(adding *a, wk_module *module) {
    wk__linear *m = linear_or_fail(module, "wk_lora_add");
    if (!m) return;
    if (m->lora_a) {
        (void)wk_fail(WK_EXISTS, "wk_lora_add: \"%s\" has an adapter already", module->path);
        return;
    }
    const int64_t rank = a->opts.rank, out = m->weight->shape[0], in = m->weight->shape[1];
    wk_tensor *first = NULL, *second = NULL;
    if (put(module, "lora_A.weight", &first, wk__linear_draw(WK_DIMS(rank, in), (double)in, false)) != WK_OK) return;
    if (put(module, "lora_B.weight", &second, wk_kept_zeros(WK_F32, WK_DIMS(out, rank))) != WK_OK) return;
    m->lora_a = first;
    m->lora_b = second;
    m->lora_scale = (a->opts.alpha > 0 ? a->opts.alpha : (double)rank) / (double)rank;
    (void)wk_require_grad(m->weight, false);
    if (m->bias) (void)wk_require_grad(m->bias, false);
    a->count++;
}

static void visit_add(void *context, wk_module *module) {
    adding *a = context;
    if (!wk_failed() && wk__linear_of(module) && regexec(&a->pattern, module->path, 0, NULL, 0) == 0)
        add_adapter(a, module);
}

int wk_lora_add(wk_module *root, wk_lora_opts opts) {
    adding a = { .opts = opts };
    if (wk_failed()) return 0;
    if (!root || opts.rank < 1 || opts.alpha < 0) {
        (void)wk_fail(WK_INVALID,
                      "wk_lora_add: rank %lld, alpha %g: expected a rank of at least 1 and an alpha of at least 0",
                      (long long)opts.rank, opts.alpha);
        return 0;
    }
    int code = regcomp(&a.pattern, opts.modules ? opts.modules : "", REG_EXTENDED | REG_NOSUB);
    if (code != 0) {
        char text[200];
        (void)regerror(code, &a.pattern, text, sizeof text);
        (void)wk_fail(WK_INVALID, "wk_lora_add: \"%s\": %s", opts.modules, text);
        return 0;
    }
    wk__module_visit(root, visit_add, &a);
    regfree(&a.pattern);
    if (a.count == 0 && !wk_failed())
        (void)wk_fail(WK_NOT_FOUND, "wk_lora_add: no Linear has a path that \"%s\" matches",
                      opts.modules ? opts.modules : "");
    return wk_failed() ? 0 : a.count;
}

static wk_status merge(wk__linear *m) {
    const bool was = wk_no_grad_begin();
    wk_scope scope = wk_scope_begin();
    wk_tensor *update = wk_scale(wk_matmul(m->lora_b, m->lora_a), m->lora_scale);
    wk_tensor *sum = wk_add(m->weight, wk_cast(update, (wk_dtype)m->weight->dtype));
    wk_status status = sum ? wk_copy_into(m->weight, sum) : wk_error_code();
    wk_scope_end(scope);
    wk_no_grad_end(was);
    if (status != WK_OK) return status;
    wk_release(wk__module_take(&m->base, "lora_A.weight"));
    wk_release(wk__module_take(&m->base, "lora_B.weight"));
    m->lora_a = m->lora_b = NULL;
    (void)wk_require_grad(m->weight, true);
    if (m->bias) (void)wk_require_grad(m->bias, true);
    return WK_OK;
}

static void visit_merge(void *context, wk_module *module) {
    wk__linear *m = wk__linear_of(module);
    if (!m || !m->lora_a || wk_failed()) return;
    if (merge(m) == WK_OK) ++*(int *)context;
}

int wk_lora_merge(wk_module *root) {
    int count = 0;
    if (root && !wk_failed()) wk__module_visit(root, visit_merge, &count);
    return wk_failed() ? 0 : count;
}

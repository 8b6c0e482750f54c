/* vae.c: the variational autoencoder of fully connected layers.  Kingma & Welling 2013, "Auto-encoding variational
 * Bayes"; as the example `vae` of PyTorch.
 */
#include "models/models.h"

typedef struct vae {
    wk_module base;
    wk_module *fc1, *fc21, *fc22, *fc3, *fc4;
} vae;

static wk_status vae_forward(wk_module *self, const wk_args *in, wk_args *out);
static const wk_module_class vae_class = { .name = "VAE", .size = sizeof(vae), .forward_args = vae_forward };

static bool is_vae(const char *who, const wk_module *module) {
    if (module && module->class_ == &vae_class) return true;
    if (!wk_failed())
        (void)wk_fail(WK_INVALID, "%s: the module is %s, expected a VAE", who, module ? module->class_->name : "NULL");
    return false;
}

wk_status wk_vae_encode(wk_module *module, wk_tensor *x, wk_tensor **mu, wk_tensor **logvar) {
    *mu = *logvar = NULL;
    if (!is_vae("wk_vae_encode", module)) return wk_error_code();
    const vae *m = (const vae *)module;
    wk_tensor *h = wk_relu(wk_forward(m->fc1, wk_flatten(x, 1)));
    *mu = wk_forward(m->fc21, h);
    *logvar = wk_forward(m->fc22, h);
    return wk_failed() ? wk_error_code() : WK_OK;
}

wk_tensor *wk_vae_decode(wk_module *module, wk_tensor *z) {
    if (!is_vae("wk_vae_decode", module)) return NULL;
    const vae *m = (const vae *)module;
    return wk_sigmoid(wk_forward(m->fc4, wk_relu(wk_forward(m->fc3, z))));
}

/* z = mu + noise · exp(logvar / 2): normal with mean mu and variance exp(logvar), and differentiable in both. */
static wk_tensor *reparameterise(wk_tensor *mu, wk_tensor *logvar, wk_tensor *noise) {
    if (!mu || !logvar) return NULL;
    if (!noise)
        noise = wk_normal(wk_random_key(), (wk_normal_opts){ .dims = wk_dims_get(mu), .dtype = wk_dtype_get(mu) });
    return wk_add(mu, wk_mul(noise, wk_exp(wk_scale(logvar, 0.5))));
}

static wk_status vae_forward(wk_module *self, const wk_args *in, wk_args *out) {
    static const char *const names[] = { "noise" };
    wk_tensor *mu, *logvar, *noise;
    if (!wk__slots(self, in, names, 1, &noise)) return wk_error_code();
    WK_TRY(wk_vae_encode(self, in->slot[0].tensor, &mu, &logvar));
    wk_tensor *y = wk_vae_decode(self, reparameterise(mu, logvar, noise));
    *out = (wk_args){ .count = 3, .slot = { { "reconstruction", y }, { "mu", mu }, { "logvar", logvar } } };
    return wk_failed() ? wk_error_code() : WK_OK;
}

wk_vae_result wk_vae_forward(wk_module *module, wk_tensor *x, wk_tensor *noise) {
    const wk_args in = { .count = noise ? 2 : 1, .slot = { { "x", x }, { "noise", noise } } };
    wk_args out = { 0 };
    if (!is_vae("wk_vae_forward", module) || wk_forward_args(module, &in, &out) != WK_OK) return (wk_vae_result){ 0 };
    return (wk_vae_result){ out.slot[0].tensor, out.slot[1].tensor, out.slot[2].tensor };
}

wk_tensor *wk_vae_loss(wk_vae_result result, wk_tensor *x) {
    wk_tensor *mu = result.mu, *logvar = result.logvar;
    wk_tensor *bce =
        wk_binary_cross_entropy(result.reconstruction, wk_flatten(x, 1), NULL, (wk_loss_opts){ WK_REDUCTION_SUM });
    wk_tensor *inner = wk_sub(wk_sub(wk_affine(logvar, (wk_affine_opts){ 1, 1 }), wk_square(mu)), wk_exp(logvar));
    return wk_add(bce, wk_scale(wk_sum(inner, (wk_reduce_opts){ 0 }), -0.5));
}

wk_module *wk_vae(wk_vae_opts opts) {
    const int64_t features = wk__or(opts.features, 784), hidden = wk__or(opts.hidden, 400),
                  latent = wk__or(opts.latent, 20);
    const char *who = "wk_vae";
    if (wk_failed() || !wk__size_fits(who, "features", features, 1) || !wk__size_fits(who, "hidden", hidden, 1)
        || !wk__size_fits(who, "latent", latent, 1))
        return NULL;
    vae *m = (vae *)wk_module_create(&vae_class);
    if (!m) return NULL;
    const wk_layer_opts plain = { 0 };
    m->fc1 = wk_module_add(&m->base, "fc1", wk_nn_linear(features, hidden, plain));
    m->fc21 = wk_module_add(&m->base, "fc21", wk_nn_linear(hidden, latent, plain));
    m->fc22 = wk_module_add(&m->base, "fc22", wk_nn_linear(hidden, latent, plain));
    m->fc3 = wk_module_add(&m->base, "fc3", wk_nn_linear(latent, hidden, plain));
    m->fc4 = wk_module_add(&m->base, "fc4", wk_nn_linear(hidden, features, plain));
    return wk__finished(&m->base);
}

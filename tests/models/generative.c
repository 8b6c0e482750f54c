/* generative.c: models that draw against PyTorch's examples (tests/golden/models/generative.py). */
#define WK_NO_CALL_SITES
#include "models/check.h"
#include "support/refused.h"

#include "wick/optim.h"

#include <string.h>

#define GOLDEN "models/generative.safetensors"

/* ---- the variational autoencoder ---- */

static wk_module *vae(void) {
    return wk_vae((wk_vae_opts){ .features = 48, .hidden = 16, .latent = 4 });
}
static wk_tensor *flat(wk_tensor *x) {
    return wk_reshape(x, WK_DIMS(-1));
}
/* All three results and the loss in a row; images in [0, 1]. */
static wk_tensor *vae_results(wk_module *m, wk_tensor *x) {
    x = wk_scale(wk_affine(x, (wk_affine_opts){ 1, 1 }), 0.5);
    wk_tensor *noise = wk_cast(model_wave(WK_DIMS(wk_size(x, 0), 4)), wk_dtype_get(x));
    wk_vae_result r = wk_vae_forward(m, x, noise);
    wk_tensor *loss = wk_vae_loss(r, x);
    return wk_concat((wk_tensor *[]){ flat(r.reconstruction), flat(r.mu), flat(r.logvar), flat(loss) }, 4, 0);
}
static wk_tensor *small_images(void) {
    return model_noise(WK_DIMS(5, 1, 6, 8));
}

/* ---- DCGAN ---- */

static wk_module *generator(void) {
    return wk_dcgan_generator((wk_dcgan_opts){ .latent = 64, .width = 8 });
}
static wk_module *discriminator(void) {
    return wk_dcgan_discriminator((wk_dcgan_opts){ .width = 8 });
}
static wk_tensor *latents(void) {
    return model_noise(WK_DIMS(4, 64, 1, 1));
}
static wk_tensor *images(void) {
    return model_noise(WK_DIMS(4, 3, 64, 64));
}

static const model_case cases[] = {
    { "vae", vae, small_images, vae_results, MODEL_REFILL, 1e-6 },
    { "generator", generator, latents, NULL, MODEL_REFILL, 5e-6 },
    { "discriminator", discriminator, images, NULL, MODEL_REFILL, 1e-6 },
};
enum { CASES = sizeof cases / sizeof cases[0] };

Test(generative, models_as_pytorch) {
    model_check_exact(GOLDEN, cases, CASES);
}
Test(generative, any_number_of_threads) {
    model_check_threads(cases, CASES);
}

Test(generative, replayed_steps) {
    model_check_replay(cases, CASES);
}

Test(generative, frozen_for_inference) {
    model_check_frozen(cases, CASES);
}

/* The noise is the context's: drawn anew each time, the same again from the same seed. */
Test(generative, vae_draws_its_noise) {
    wk_scope scope = wk_scope_begin();
    wk_module *m = vae();
    wk_tensor *x = wk_full(WK_F32, WK_DIMS(2, 48), 0.5);
    wk_manual_seed(7);
    wk_tensor *one = wk_vae_forward(m, x, NULL).reconstruction, *two = wk_vae_forward(m, x, NULL).reconstruction;
    wk_manual_seed(7);
    wk_tensor *again = wk_vae_forward(m, x, NULL).reconstruction;
    cr_assert_not_null(again, "%s", wk_message());
    golden_expect_equal(wk_detach(one), wk_detach(again), "the same seed");
    cr_expect(wk_at(one, 0) != wk_at(two, 0));
    wk_module_destroy(m);
    wk_scope_end(scope);
}

/* encode and decode are the halves of forward. */
Test(generative, vae_in_halves) {
    wk_scope scope = wk_scope_begin();
    wk_module *m = vae();
    wk_tensor *x = wk_full(WK_F32, WK_DIMS(2, 48), 0.5), *mu, *logvar, *none = wk_zeros(WK_F32, WK_DIMS(2, 4));
    wk_vae_result whole = wk_vae_forward(m, x, none);
    cr_assert_eq(wk_vae_encode(m, x, &mu, &logvar), WK_OK, "%s", wk_message());
    golden_expect_equal(wk_detach(mu), wk_detach(whole.mu), "mu");
    golden_expect_equal(wk_detach(logvar), wk_detach(whole.logvar), "logvar");
    golden_expect_equal(wk_detach(wk_vae_decode(m, mu)), wk_detach(whole.reconstruction), "reconstruction");
    wk_module_destroy(m);
    wk_scope_end(scope);
}

/* A few steps of each: the loss falls. */
Test(generative, vae_learns) {
    wk_manual_seed(3);
    wk_module *m = vae();
    wk_optim *optim = wk_adam(wk_parameters(m), (wk_adam_opts){ .lr = 0.01 });
    double first = 0, last = 0;
    for (int step = 0; step < 200; step++) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *x = wk_affine(wk_sign(model_wave(WK_DIMS(8, 48))), (wk_affine_opts){ 0.5, 0.5 });
        wk_tensor *loss = wk_vae_loss(wk_vae_forward(m, x, NULL), x);
        wk_zero_grad(optim);
        cr_assert_eq(wk_backward(loss), WK_OK, "%s", wk_message());
        cr_assert_eq(wk_optim_step(optim), WK_OK, "%s", wk_message());
        last = wk_item(loss);
        if (step == 0) first = last;
        wk_scope_end(scope);
    }
    cr_expect(last < first / 2, "%g, at first %g", last, first);
    wk_optim_destroy(optim);
    wk_module_destroy(m);
}

Test(generative, refusals) {
    wk_scope scope = wk_scope_begin();
    wk_module *m = vae(), *other = discriminator();
    wk_tensor *mu, *logvar, *x = wk_zeros(WK_F32, WK_DIMS(2, 1, 6, 7));
    cr_expect_eq(wk_vae_encode(other, x, &mu, &logvar), WK_INVALID);
    expect_refused(WK_INVALID, "wk_vae_encode: the module is Discriminator, expected a VAE", NULL);
    REFUSED_PLAINLY(wk_vae_decode(NULL, x), WK_INVALID, "wk_vae_decode: the module is NULL, expected a VAE");
    REFUSED_PLAINLY(wk_vae_forward(other, x, NULL).mu, WK_INVALID,
                    "wk_vae_forward: the module is Discriminator, expected a VAE");
    cr_expect_null(wk_vae_forward(m, x, NULL).reconstruction);
    cr_expect(strstr(wk_message(), "fc1"), "%s", wk_message());
    wk_clear_error();
    const wk_args misnamed = { .count = 2, .slot = { { "x", x }, { "nose", x } } };
    wk_args out;
    cr_expect_eq(wk_forward_args(m, &misnamed, &out), WK_INVALID);
    expect_refused(WK_INVALID, "VAE (layer \"\"): no input \"nose\"; did you mean \"noise\"?", NULL);
    wk_module_destroy(m);
    wk_module_destroy(other);
    wk_scope_end(scope);
}

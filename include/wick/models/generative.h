/* wick/models/generative.h: networks that draw. */
#ifndef WICK_MODELS_GENERATIVE_H
#define WICK_MODELS_GENERATIVE_H

#include "wick/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- variational autoencoder ---- */

typedef struct wk_vae_opts {
    int64_t features, hidden, latent; /* 784, 400, 20 */
} wk_vae_opts;
/* Kingma & Welling 2013, fully connected, for data in [0, 1].  Parameters as in PyTorch's example: fc1, fc21 (mean),
 * fc22 (logarithm of the variance), fc3, fc4.
 *
 * Takes named slots: x (N, …), flattened to (N, features), and, if it is not to be drawn, noise (N, latent); gives
 * "reconstruction" (N, features), "mu" and "logvar" (N, latent). */
WK_API wk_module *wk_vae(wk_vae_opts opts);

typedef struct wk_vae_result {
    wk_tensor *reconstruction, *mu, *logvar; /* all NULL with an error pending */
} wk_vae_result;
/* The same, typed.  noise: NULL draws standard normal numbers by wk_random_key, in evaluation mode too. */
WK_API wk_vae_result wk_vae_forward(wk_module *vae, wk_tensor *x, wk_tensor *noise);
/* The two halves: mean and logarithm of the variance of z (N, latent) for x, and the reconstruction for a z, which may
 * be drawn from a standard normal distribution.  Errors: a module that is no VAE. */
WK_API wk_status wk_vae_encode(wk_module *vae, wk_tensor *x, wk_tensor **mu, wk_tensor **logvar);
WK_API wk_tensor *wk_vae_decode(wk_module *vae, wk_tensor *z);
/* The negative of the paper's lower bound (its equation 10), summed over the batch: binary cross-entropy of the
 * reconstruction, and the divergence of N(mu, exp(logvar)) from N(0, 1).  x as it was given to wk_vae_forward. */
WK_API wk_tensor *wk_vae_loss(wk_vae_result result, wk_tensor *x);

/* ---- DCGAN ---- */

typedef struct wk_dcgan_opts {
    int64_t latent;   /* numbers an image is drawn from, 100 */
    int64_t width;    /* channels of the layer next to the image, 64; 8 times as many farthest from it */
    int64_t channels; /* of images, 3 */
} wk_dcgan_opts;
/* Radford et al. 2015.  Parameters and initial values (its weights_init) as in PyTorch's example: main.N.
 *   generator       z (N, latent, 1, 1)          ->  images (N, channels, 64, 64) in (-1, 1)
 *   discriminator   images (N, channels, 64, 64)  ->  probabilities (N) of being real; latent has no part */
WK_API wk_module *wk_dcgan_generator(wk_dcgan_opts opts);
WK_API wk_module *wk_dcgan_discriminator(wk_dcgan_opts opts);

#ifdef __cplusplus
}
#endif
#endif

/* wick/ops/activation.h: activations.  Floats.  Names, defaults and gradients at the kinks are those of
 * torch.nn.functional.  See wick/ops.h.
 */
#ifndef WICK_OPS_ACTIVATION_H
#define WICK_OPS_ACTIVATION_H

#include "wick/ops/call_site.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- of straight pieces ---- */

WK_API wk_tensor *wk_relu(wk_tensor *x);  /* NaN stays NaN */
WK_API wk_tensor *wk_relu6(wk_tensor *x); /* x brought into [0, 6] */
typedef struct wk_leaky_relu_opts {
    wk_optional slope; /* below 0; default 0.01 */
} wk_leaky_relu_opts;
WK_API wk_tensor *wk_leaky_relu(wk_tensor *x, wk_leaky_relu_opts opts);
/* x where it is above 0, else weight · x.  weight (1) or (C), the size of x's axis 1.  He et al. 2015 */
WK_API wk_tensor *wk_prelu(wk_tensor *x, wk_tensor *weight);
typedef struct wk_hardtanh_opts {
    wk_optional min, max; /* default -1 and 1 */
} wk_hardtanh_opts;
WK_API wk_tensor *wk_hardtanh(wk_tensor *x, wk_hardtanh_opts opts);
WK_API wk_tensor *wk_hardsigmoid(wk_tensor *x); /* (x + 3) / 6 brought into [0, 1] */
WK_API wk_tensor *wk_hardswish(wk_tensor *x);   /* x hardsigmoid(x).  Howard et al. 2019 */
typedef struct wk_shrink_opts {
    wk_optional lambda; /* default 0.5 */
} wk_shrink_opts;
WK_API wk_tensor *wk_hardshrink(wk_tensor *x, wk_shrink_opts opts); /* 0 where |x| ≤ lambda */
WK_API wk_tensor *wk_softshrink(wk_tensor *x, wk_shrink_opts opts); /* and nearer to 0 by lambda elsewhere */
typedef struct wk_threshold_opts {
    double threshold, value;
} wk_threshold_opts;
WK_API wk_tensor *wk_threshold(wk_tensor *x, wk_threshold_opts opts); /* value where x ≤ threshold */

/* ---- curves ---- */

WK_API wk_tensor *wk_sigmoid(wk_tensor *x);
WK_API wk_tensor *wk_logsigmoid(wk_tensor *x);
typedef enum wk_gelu_form { WK_GELU_ERF, WK_GELU_TANH } wk_gelu_form;
typedef struct wk_gelu_opts {
    int approximate; /* wk_gelu_form */
} wk_gelu_opts;
WK_API wk_tensor *wk_gelu(wk_tensor *x);      /* x Φ(x), by erf.  Hendrycks & Gimpel 2016 */
WK_API wk_tensor *wk_gelu_tanh(wk_tensor *x); /* its approximation by tanh: the row gelu with approximate = tanh */
WK_API wk_tensor *wk_silu(wk_tensor *x);      /* x sigmoid(x) */
WK_API wk_tensor *wk_mish(wk_tensor *x);      /* x tanh(softplus(x)).  Misra 2019 */
typedef struct wk_softplus_opts {
    wk_optional beta, threshold; /* default 1 and 20 */
} wk_softplus_opts;
/* log(1 + e^(beta x)) / beta; x itself where beta x is above the threshold. */
WK_API wk_tensor *wk_softplus(wk_tensor *x, wk_softplus_opts opts);
WK_API wk_tensor *wk_softsign(wk_tensor *x); /* x / (1 + |x|) */
typedef struct wk_elu_opts {
    wk_optional alpha; /* default 1 */
} wk_elu_opts;
WK_API wk_tensor *wk_elu(wk_tensor *x, wk_elu_opts opts);  /* x > 0 ? x : alpha (e^x − 1).  Clevert et al. 2015 */
WK_API wk_tensor *wk_selu(wk_tensor *x);                   /* Klambauer et al. 2017 */
WK_API wk_tensor *wk_celu(wk_tensor *x, wk_elu_opts opts); /* x > 0 ? x : alpha (e^(x / alpha) − 1) */
WK_API wk_tensor *wk_tanhshrink(wk_tensor *x);             /* x − tanh(x) */
typedef struct wk_glu_opts {
    wk_optional axis; /* default: the last */
} wk_glu_opts;
/* The first half of an axis times the sigmoid of the second.  Dauphin et al. 2016.  Errors: an axis of odd size. */
WK_API wk_tensor *wk_glu(wk_tensor *x, wk_glu_opts opts);

#ifndef WK_NO_CALL_SITES
#    define wk_relu(...)        (WK_HERE, wk_relu(__VA_ARGS__))
#    define wk_relu6(...)       (WK_HERE, wk_relu6(__VA_ARGS__))
#    define wk_leaky_relu(...)  (WK_HERE, wk_leaky_relu(__VA_ARGS__))
#    define wk_prelu(...)       (WK_HERE, wk_prelu(__VA_ARGS__))
#    define wk_hardtanh(...)    (WK_HERE, wk_hardtanh(__VA_ARGS__))
#    define wk_hardsigmoid(...) (WK_HERE, wk_hardsigmoid(__VA_ARGS__))
#    define wk_hardswish(...)   (WK_HERE, wk_hardswish(__VA_ARGS__))
#    define wk_hardshrink(...)  (WK_HERE, wk_hardshrink(__VA_ARGS__))
#    define wk_softshrink(...)  (WK_HERE, wk_softshrink(__VA_ARGS__))
#    define wk_threshold(...)   (WK_HERE, wk_threshold(__VA_ARGS__))
#    define wk_sigmoid(...)     (WK_HERE, wk_sigmoid(__VA_ARGS__))
#    define wk_logsigmoid(...)  (WK_HERE, wk_logsigmoid(__VA_ARGS__))
#    define wk_gelu(...)        (WK_HERE, wk_gelu(__VA_ARGS__))
#    define wk_gelu_tanh(...)   (WK_HERE, wk_gelu_tanh(__VA_ARGS__))
#    define wk_silu(...)        (WK_HERE, wk_silu(__VA_ARGS__))
#    define wk_mish(...)        (WK_HERE, wk_mish(__VA_ARGS__))
#    define wk_softplus(...)    (WK_HERE, wk_softplus(__VA_ARGS__))
#    define wk_softsign(...)    (WK_HERE, wk_softsign(__VA_ARGS__))
#    define wk_elu(...)         (WK_HERE, wk_elu(__VA_ARGS__))
#    define wk_selu(...)        (WK_HERE, wk_selu(__VA_ARGS__))
#    define wk_celu(...)        (WK_HERE, wk_celu(__VA_ARGS__))
#    define wk_tanhshrink(...)  (WK_HERE, wk_tanhshrink(__VA_ARGS__))
#    define wk_glu(...)         (WK_HERE, wk_glu(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif

/* names.c: the operations that were promised, by subject, one by one, each with the row that does it.
 *
 * A row that is renamed or dropped is noticed here; what is added belongs at the end of its subject.
 */
#include "wick/op.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct {
    const char *operation, *row;
} names[] = {
    /* clang-format off */
    /* pointwise */
    { "addition", "add" }, { "subtraction", "sub" }, { "multiplication", "mul" }, { "division", "div" },
    { "integer division", "trunc_divide" }, { "floor division", "floor_divide" }, { "remainder", "remainder" },
    { "fmod", "fmod" }, { "powers", "pow" }, { "powers of a number", "pow_scalar" }, { "square", "square" },
    { "sqrt", "sqrt" }, { "rsqrt", "rsqrt" }, { "reciprocal", "reciprocal" }, { "negation", "neg" },
    { "scale and shift", "affine" }, { "exp", "exp" }, { "exp2", "exp2" }, { "log", "log" }, { "log2", "log2" },
    { "log10", "log10" }, { "log1p", "log1p" }, { "expm1", "expm1" }, { "sin", "sin" }, { "cos", "cos" },
    { "tan", "tan" }, { "asin", "asin" }, { "acos", "acos" }, { "atan", "atan" }, { "sinh", "sinh" },
    { "cosh", "cosh" }, { "asinh", "asinh" }, { "acosh", "acosh" }, { "atanh", "atanh" }, { "erf", "erf" },
    { "erfc", "erfc" }, { "lgamma", "lgamma" }, { "sigmoid", "sigmoid" }, { "tanh", "tanh" }, { "relu", "relu" },
    { "relu6", "relu6" }, { "leaky_relu", "leaky_relu" }, { "prelu", "prelu" }, { "elu", "elu" }, { "selu", "selu" },
    { "celu", "celu" }, { "gelu (both forms)", "gelu" }, { "silu", "silu" }, { "mish", "mish" },
    { "softplus", "softplus" }, { "softsign", "softsign" }, { "hardtanh", "hardtanh" },
    { "hardsigmoid", "hardsigmoid" }, { "hardswish", "hardswish" }, { "hardshrink", "hardshrink" }, { "glu", "glu" },
    { "abs", "abs" }, { "sign", "sign" }, { "floor", "floor" }, { "ceil", "ceil" }, { "round", "round" },
    { "trunc", "trunc" }, { "frac", "frac" }, { "clamp", "clamp" }, { "clamp by tensors", "clamp_tensor" },
    { "minimum", "minimum" }, { "maximum", "maximum" }, { "eq", "eq" }, { "ne", "ne" }, { "lt", "lt" },
    { "le", "le" }, { "gt", "gt" }, { "ge", "ge" }, { "logical_and", "logical_and" }, { "logical_or", "logical_or" },
    { "logical_xor", "logical_xor" }, { "logical_not", "logical_not" }, { "bitwise_and", "bitwise_and" },
    { "bitwise_or", "bitwise_or" }, { "bitwise_xor", "bitwise_xor" }, { "bitwise_not", "bitwise_not" },
    { "left_shift", "left_shift" }, { "right_shift", "right_shift" }, { "isnan", "isnan" }, { "isinf", "isinf" },
    { "nan_to_num", "nan_to_num" }, { "where", "where" }, { "lerp", "lerp" }, { "addcmul", "addcmul" },
    { "addcdiv", "addcdiv" }, { "atan2", "atan2" }, { "hypot", "hypot" }, { "casts", "cast" },
    /* reductions */
    { "sum", "sum" }, { "mean", "mean" }, { "prod", "prod" }, { "min", "amin" }, { "max", "amax" },
    { "argmin", "argmin" }, { "argmax", "argmax" }, { "any", "any" }, { "all", "all" }, { "variance", "var" },
    { "standard deviation", "std" }, { "logsumexp", "logsumexp" }, { "norms", "norm" }, { "median", "median" },
    { "quantile", "quantile" }, { "cumsum", "cumsum" }, { "cumprod", "cumprod" }, { "cummax", "cummax" },
    { "cummin", "cummin" }, { "softmax", "softmax" }, { "log_softmax", "log_softmax" }, { "topk", "topk" },
    { "sort", "sort" }, { "argsort", "argsort" }, { "unique", "unique" },
    { "unique of a bounded size", "unique_padded" }, { "bincount", "bincount" }, { "histogram", "histc" },
    { "searchsorted", "searchsorted" },
    /* layout */
    { "windows as views", "windows" }, { "reshape", "reshape" }, { "flatten", "flatten" }, { "permute", "permute" },
    { "transpose", "transpose" }, { "expand", "expand" }, { "slice with step", "slice" }, { "select", "select" },
    { "squeeze", "squeeze" }, { "unsqueeze", "unsqueeze" }, { "concat", "concat" }, { "stack", "stack" },
    { "split", "split" }, { "split by sizes", "split_sizes" }, { "chunk", "chunk" },
    { "pad (constant, reflect, replicate, circular)", "pad" }, { "flip", "flip" }, { "roll", "roll" },
    { "repeat", "repeat" }, { "repeat_interleave", "repeat_interleave" }, { "unfold", "unfold" }, { "fold", "fold" },
    { "pixel_shuffle", "pixel_shuffle" }, { "pixel_unshuffle", "pixel_unshuffle" }, { "tril", "tril" },
    { "triu", "triu" }, { "diagonal", "diagonal" }, { "gather", "gather" }, { "scatter", "scatter" },
    { "scatter_add", "scatter_add" }, { "scatter_reduce", "scatter_reduce" }, { "index_select", "index_select" },
    { "index_put", "index_put" }, { "index_add", "index_add" }, { "masked_fill", "masked_fill" },
    { "masked_select", "masked_select" }, { "take_along_axis", "take_along_axis" }, { "one_hot", "one_hot" },
    { "embedding", "embedding" }, { "meshgrid", "meshgrid" }, { "nonzero", "nonzero" },
    /* linear algebra */
    { "matmul", "matmul" }, { "einsum", "einsum" }, { "linear", "linear" }, { "outer", "outer" }, { "dot", "dot" },
    { "addmm", "addmm" }, { "baddbmm", "baddbmm" }, { "bilinear", "bilinear" }, { "cdist", "cdist" },
    { "solve", "solve" }, { "triangular solve", "solve_triangular" }, { "Cholesky", "cholesky" }, { "QR", "qr" },
    { "SVD", "svd" }, { "eigh", "eigh" }, { "inverse", "inverse" }, { "determinant", "det" },
    { "logarithm of the determinant", "slogdet" },
    /* convolution and pooling */
    { "convolution 1-D", "conv1d" }, { "convolution 2-D", "conv2d" }, { "convolution 3-D", "conv3d" },
    { "transposed 1-D", "conv_transpose1d" }, { "transposed 2-D", "conv_transpose2d" },
    { "transposed 3-D", "conv_transpose3d" }, { "max pooling 1-D", "max_pool1d" }, { "max pooling 2-D", "max_pool2d" },
    { "max pooling 3-D", "max_pool3d" }, { "max pooling with indices 1-D", "max_pool1d_with_indices" },
    { "max pooling with indices 2-D", "max_pool2d_with_indices" },
    { "max pooling with indices 3-D", "max_pool3d_with_indices" }, { "unpooling 1-D", "max_unpool1d" },
    { "unpooling 2-D", "max_unpool2d" }, { "unpooling 3-D", "max_unpool3d" }, { "average pooling 1-D", "avg_pool1d" },
    { "average pooling 2-D", "avg_pool2d" }, { "average pooling 3-D", "avg_pool3d" },
    { "adaptive average pooling 1-D", "adaptive_avg_pool1d" }, { "adaptive average pooling 2-D", "adaptive_avg_pool2d" },
    { "adaptive average pooling 3-D", "adaptive_avg_pool3d" }, { "adaptive max pooling 1-D", "adaptive_max_pool1d" },
    { "adaptive max pooling 2-D", "adaptive_max_pool2d" }, { "adaptive max pooling 3-D", "adaptive_max_pool3d" },
    { "Lp pooling 1-D", "lp_pool1d" }, { "Lp pooling 2-D", "lp_pool2d" }, { "Lp pooling 3-D", "lp_pool3d" },
    { "interpolate", "interpolate" }, { "grid_sample", "grid_sample" }, { "affine_grid", "affine_grid" },
    /* normalisation */
    { "batch norm", "batch_norm" }, { "layer norm", "layer_norm" }, { "group norm", "group_norm" },
    { "instance norm", "instance_norm" }, { "RMS norm", "rms_norm" },
    { "local response norm", "local_response_norm" }, { "dropout", "dropout" },
    { "dropout of channels", "feature_dropout" }, { "alpha dropout", "alpha_dropout" },
    /* attention, recurrent */
    { "scaled dot product", "scaled_dot_product_attention" }, { "rotary embedding", "rotary" }, { "RNN", "rnn" },
    { "LSTM", "lstm" }, { "LSTM with projection", "lstm_projected" }, { "GRU", "gru" },
    /* losses */
    { "cross_entropy", "cross_entropy" }, { "cross entropy with weights", "cross_entropy_weighted" },
    { "cross entropy of class probabilities", "cross_entropy_probabilities" }, { "nll", "nll_loss" },
    { "bce", "binary_cross_entropy" }, { "bce_with_logits", "bce_with_logits" }, { "mse", "mse_loss" },
    { "l1", "l1_loss" }, { "huber", "huber_loss" }, { "smooth l1", "smooth_l1_loss" }, { "kl", "kl_div" },
    { "hinge", "hinge_embedding_loss" }, { "margin", "margin_ranking_loss" }, { "soft margin", "soft_margin_loss" },
    { "multi margin", "multi_margin_loss" }, { "multi label margin", "multilabel_margin_loss" },
    { "multi label soft margin", "multilabel_soft_margin_loss" }, { "triplet", "triplet_margin_loss" },
    { "cosine", "cosine_embedding_loss" }, { "ctc", "ctc_loss" }, { "poisson nll", "poisson_nll_loss" },
    { "gaussian nll", "gaussian_nll_loss" }, { "focal", "focal_loss" }, { "dice", "dice_loss" },
    /* random */
    { "uniform", "uniform" }, { "normal", "normal" }, { "bernoulli", "bernoulli" }, { "permutation", "permutation" },
    { "randint", "randint" }, { "exponential", "exponential" }, { "multinomial", "multinomial" },
    { "truncated normal", "truncated_normal" },
    /* spectral */
    { "fft", "fft" }, { "inverse fft", "ifft" }, { "real fft", "rfft" }, { "inverse real fft", "irfft" },
    /* clang-format on */
};
enum { NAMES = sizeof names / sizeof names[0] };

Test(names, every_operation_has_its_row) {
    for (int i = 0; i < NAMES; i++) {
        const wk_op_def *row = wk_op_find(names[i].row);
        cr_expect(row, "%s: there is no row \"%s\"", names[i].operation, names[i].row);
        cr_expect(!row || !row->internal, "%s: \"%s\" is for gradients and optimizers", names[i].operation,
                  names[i].row);
    }
}

Test(names, none_stands_twice) {
    for (int i = 0; i < NAMES; i++)
        for (int before = 0; before < i; before++)
            cr_expect(strcmp(names[i].row, names[before].row) != 0, "%s and %s are both \"%s\"", names[i].operation,
                      names[before].operation, names[i].row);
}

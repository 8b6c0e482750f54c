/* conv_body.h: the three passes for one compute type; included by conv.c for f32 and for f64.
 *
 * `columns` is the matrix (pixels of a tile, T · R · S · C/groups) of what each output pixel sees; `weights` is the
 * filter in the same order, (K, T · R · S · C/groups), f32 or f64.  Images are channels last in the compute type.
 */

/* Element [n][...] of any tensor as a channels-last image of the compute type: its own memory where it is one already.
 */
static const REAL *NAME(image)(REAL *copy /* (D, H, W, C) */, const wk_tensor *x, int64_t n) {
    int64_t channels = x->shape[1], height = x->shape[x->rank - 2], width = x->shape[x->rank - 1];
    int64_t depth = x->rank == 5 ? x->shape[2] : 1, deep = x->rank == 5 ? x->stride[2] : 0;
    if (x->dtype == REAL_DTYPE && wk__is_channels_last(x))
        return (const REAL *)x->data + n * depth * height * width * channels;
    /* One pass over the source's fastest axis would be best; this order is right for the target and good enough for
     * both. */
    for (int64_t line = 0; line < depth * height; line++)
        for (int64_t w = 0; w < width; w++) {
            int64_t from = n * x->stride[0] + line / height * deep + line % height * x->stride[x->rank - 2]
                           + w * x->stride[x->rank - 1];
            REAL *to = copy + (line * width + w) * channels;
            if (x->dtype == REAL_DTYPE)
                for (int64_t c = 0; c < channels; c++) to[c] = ((const REAL *)x->data)[from + c * x->stride[1]];
            else
                for (int64_t c = 0; c < channels; c++) to[c] = (REAL)load_narrow(x, from + c * x->stride[1]);
        }
    return copy;
}

/* (K, C/groups, T, R, S) of any layout to (K, T, R, S, C/groups). */
static void NAME(filters)(REAL *to /* (K, T, R, S, C/groups) */, const wk_tensor *weight,
                          const wk_convolution_shape *s) {
    const int64_t *shape = weight->shape, *stride = weight->stride, *last = &weight->stride[weight->rank - 2];
    int64_t deep = weight->rank == 5 ? stride[2] : 0;
    for (int64_t k = 0; k < shape[0]; k++)
        for (int64_t line = 0; line < s->kernel[0] * s->kernel[1]; line++)
            for (int64_t t = 0; t < s->kernel[2]; t++)
                for (int64_t c = 0; c < shape[1]; c++) {
                    int64_t from = k * stride[0] + c * stride[1] + line / s->kernel[1] * deep
                                   + line % s->kernel[1] * last[0] + t * last[1];
                    *to++ = weight->dtype == REAL_DTYPE ? ((const REAL *)weight->data)[from]
                                                        : (REAL)load_narrow(weight, from);
                }
}

/* Columns of one output pixel and one line of the kernel's: to or from the image. */
static inline void NAME(line_of_taps)(REAL *restrict columns /* (S, C/groups) */, REAL *restrict x /* (D, H, W, C) */,
                                      const wk_convolution_shape *s, int64_t group, int64_t row, int64_t left,
                                      bool add) {
    int64_t channels = s->c / s->groups;
    for (int64_t t = 0; t < s->kernel[2]; t++, columns += channels) {
        int64_t w = left + t * s->dilation[2];
        bool inside = row >= 0 && w >= 0 && w < s->size[2];
        REAL *at = inside ? x + (row * s->size[2] + w) * s->c + group * channels : x;
        if (add && inside)
            for (int64_t c = 0; c < channels; c++) at[c] += columns[c];
        else if (!add && inside)
            memcpy(columns, at, (size_t)channels * sizeof(REAL));
        else if (!add)
            memset(columns, 0, (size_t)channels * sizeof(REAL));
    }
}

/* What the pixels [first, first + pixels) of y see of x, or (add) the reverse: columns added where they came from. */
static inline void NAME(unroll)(REAL *restrict columns /* (pixels, T · R · S · C/groups) */,
                                REAL *restrict x /* (D, H, W, C) */, const wk_convolution_shape *s, int64_t group,
                                int64_t first, int64_t pixels, bool add) {
    int64_t width = s->kernel[2] * (s->c / s->groups);
    for (int64_t pixel = first; pixel < first + pixels; pixel++) {
        int64_t line = pixel / s->out[2], left = pixel % s->out[2] * s->stride[2] - s->padding[2];
        int64_t front = line / s->out[1] * s->stride[0] - s->padding[0];
        int64_t top = line % s->out[1] * s->stride[1] - s->padding[1];
        for (int64_t t = 0; t < s->kernel[0]; t++) {
            int64_t d = front + t * s->dilation[0];
            for (int64_t r = 0; r < s->kernel[1]; r++, columns += width) {
                int64_t h = top + r * s->dilation[1];
                bool inside = d >= 0 && d < s->size[0] && h >= 0 && h < s->size[1];
                NAME(line_of_taps)(columns, x, s, group, inside ? d * s->size[1] + h : -1, left, add);
            }
        }
    }
}
static void NAME(gather)(REAL *columns, const REAL *x, const wk_convolution_shape *s, int64_t group, int64_t first,
                         int64_t pixels) {
    NAME(unroll)(columns, (REAL *)(uintptr_t)x, s, group, first, pixels, false);
}
static void NAME(scatter_add)(REAL *dx, REAL *columns, const wk_convolution_shape *s, int64_t group, int64_t first,
                              int64_t pixels) {
    NAME(unroll)(columns, dx, s, group, first, pixels, true);
}

/* y of images [from, to), one tile of pixels after the other. */
static void NAME(forward)(const convolution *v, const REAL *weights, const void *bias, char *scratch, int64_t from,
                          int64_t to) {
    const wk_convolution_shape *s = &v->shape;
    int64_t depth = s->c / s->groups * taps_of(s), out = s->k / s->groups, area = area_of(s->out);
    size_t element = dtype_size((wk_dtype)v->y->dtype);
    for (int64_t n = from; n < to; n++) {
        const REAL *x = NAME(image)((REAL *)(void *)(scratch + v->image_at), v->x, n);
        for (int64_t first = 0; first < area; first += v->tile)
            for (int64_t group = 0; group < s->groups; group++) {
                int64_t pixels = area - first < v->tile ? area - first : v->tile;
                const REAL *columns = x + first * s->c;
                if (!v->pointwise) {
                    NAME(gather)((REAL *)(void *)(scratch + v->columns_at), x, s, group, first, pixels);
                    columns = (REAL *)(void *)(scratch + v->columns_at);
                }
                wk_gemm g = { .m = pixels, .n = out, .k = depth, .c_row = s->k, .c_dtype = (wk_dtype)v->y->dtype };
                g.a = (wk_gemm_operand){ columns, depth, 1, REAL_DTYPE };
                g.b = (wk_gemm_operand){ weights + group * out * depth, 1, depth, REAL_DTYPE };
                g.c = (char *)v->y->data + (size_t)((n * area + first) * s->k + group * out) * element;
                g.bias = bias ? (const char *)bias + (size_t)(group * out) * element : NULL;
                g.relu = v->relu, g.threads = 1, g.buffer = scratch;
                (void)WK_GEMM(&g);
            }
    }
}

/* dx of images [from, to): the columns' gradients are added where the columns came from. */
static void NAME(backward_input)(const convolution *v, const REAL *weights, char *scratch, int64_t from, int64_t to) {
    const wk_convolution_shape *s = &v->shape;
    int64_t depth = s->c / s->groups * taps_of(s), out = s->k / s->groups, area = area_of(s->out);
    int64_t elements = area_of(s->size) * s->c;
    for (int64_t n = from; n < to; n++) {
        const REAL *dy = NAME(image)((REAL *)(void *)(scratch + v->image_at), v->y, n);
        bool direct = v->x->dtype == REAL_DTYPE;
        REAL *dx = direct ? (REAL *)v->x->data + n * elements : (REAL *)(void *)(scratch + v->sums_at);
        REAL *columns = (REAL *)(void *)(scratch + v->columns_at);
        memset(dx, 0, (size_t)elements * sizeof(REAL));
        for (int64_t first = 0; first < area; first += v->tile)
            for (int64_t group = 0; group < s->groups; group++) {
                int64_t pixels = area - first < v->tile ? area - first : v->tile;
                wk_gemm g = { .m = pixels, .n = depth, .k = out, .c = columns, .c_row = depth, .c_dtype = REAL_DTYPE };
                g.a = (wk_gemm_operand){ dy + first * s->k + group * out, s->k, 1, REAL_DTYPE };
                g.b = (wk_gemm_operand){ weights + group * out * depth, depth, 1, REAL_DTYPE };
                g.threads = 1, g.buffer = scratch;
                (void)WK_GEMM(&g);
                NAME(scatter_add)(dx, columns, s, group, first, pixels);
            }
        if (!direct)
            for (int64_t i = 0; i < elements; i++) store_narrow(v->x, n * elements + i, (float)dx[i]);
    }
}

/* Sums of images [from, to) into this share's own dweight (K, T · R · S · C/groups) and dbias (K). */
static void NAME(backward_weight)(const convolution *v, REAL *dweight, REAL *dbias, char *scratch, int64_t from,
                                  int64_t to) {
    const wk_convolution_shape *s = &v->shape;
    int64_t depth = s->c / s->groups * taps_of(s), out = s->k / s->groups, area = area_of(s->out);
    memset(dweight, 0, (size_t)(s->k * depth) * sizeof(REAL));
    memset(dbias, 0, (size_t)s->k * sizeof(REAL));
    for (int64_t n = from; n < to; n++) {
        const REAL *x = NAME(image)((REAL *)(void *)(scratch + v->image_at), v->x, n);
        const REAL *dy = NAME(image)((REAL *)(void *)(scratch + v->sums_at), v->y, n);
        for (int64_t pixel = 0; pixel < area; pixel++)
            for (int64_t k = 0; k < s->k; k++) dbias[k] += dy[pixel * s->k + k];
        for (int64_t first = 0; first < area; first += v->tile)
            for (int64_t group = 0; group < s->groups; group++) {
                int64_t pixels = area - first < v->tile ? area - first : v->tile;
                REAL *columns = (REAL *)(void *)(scratch + v->columns_at);
                NAME(gather)(columns, x, s, group, first, pixels);
                wk_gemm g = {
                    .m = out, .n = depth, .k = pixels, .c_row = depth, .c_dtype = REAL_DTYPE, .accumulate = true
                };
                g.c = dweight + group * out * depth;
                g.a = (wk_gemm_operand){ dy + first * s->k + group * out, 1, s->k, REAL_DTYPE };
                g.b = (wk_gemm_operand){ columns, depth, 1, REAL_DTYPE };
                g.threads = 1, g.buffer = scratch;
                (void)WK_GEMM(&g);
            }
    }
}

/* Adds the shares in their order and writes dweight and dbias in their own layout and type. */
static void NAME(finish_weight)(const convolution *v, const REAL *parts, int64_t part, int shares) {
    const wk_convolution_shape *s = &v->shape;
    int64_t channels = s->c / s->groups, area = taps_of(s), depth = channels * area;
    for (int64_t k = 0; k < s->k; k++) {
        for (int64_t i = 0; i < depth; i++) {
            REAL sum = 0;
            for (int share = 0; share < shares; share++) sum += parts[share * part + k * depth + i];
            int64_t c = i % channels, at = (k * channels + c) * area + i / channels;
            if (v->weight->dtype == REAL_DTYPE)
                ((REAL *)v->weight->data)[at] = sum;
            else
                store_narrow(v->weight, at, (float)sum);
        }
        REAL sum = 0;
        for (int share = 0; share < shares; share++) sum += parts[share * part + s->k * depth + k];
        if (v->bias->dtype == REAL_DTYPE)
            ((REAL *)v->bias->data)[k] = sum;
        else
            store_narrow(v->bias, k, (float)sum);
    }
}

/* Everything of one call: scratch is laid out, images are split over the team, weight gradients are joined. */
static wk_status NAME(run)(convolution *v, wk_convolution_pass pass, int threads) {
    const wk_convolution_shape *s = &v->shape;
    int64_t depth = s->c / s->groups * taps_of(s), filters = s->k * depth;
    int64_t x_image = area_of(s->size) * s->c, y_image = area_of(s->out) * s->k, area = area_of(s->out);
    /* A tile's columns stay in the second-level cache. */
    v->tile = depth ? (int64_t)(512 * 1024 / sizeof(REAL)) / depth : area;
    v->tile = v->tile < 64 ? 64 : v->tile;
    v->tile = v->tile > area ? area : v->tile;
    int64_t tall = v->tile > s->k ? v->tile : s->k, deep = depth > v->tile ? depth : v->tile,
            wide = depth > s->k ? depth : s->k;
    deep = deep > s->k ? deep : s->k;
    wk_gemm largest = {
        .m = tall, .n = wide, .k = deep, .c_dtype = pass == WK_FORWARD ? (wk_dtype)v->y->dtype : REAL_DTYPE
    };
    size_t each = round_up(WK_GEMM_BUFFER(&largest));
    v->columns_at = each, each += round_up((size_t)(v->tile * depth) * sizeof(REAL));
    v->image_at = each, each += round_up((size_t)(pass == WK_BACKWARD_INPUT ? y_image : x_image) * sizeof(REAL));
    v->sums_at = each;
    if (pass != WK_FORWARD) each += round_up((size_t)(pass == WK_BACKWARD_INPUT ? x_image : y_image) * sizeof(REAL));
    int shares = threads < s->n ? threads : (int)s->n;
    if (shares < 1) shares = 1;
    int64_t part = filters + s->k;
    size_t common = round_up((size_t)(pass == WK_BACKWARD_WEIGHT ? part * shares : filters) * sizeof(REAL));
    char *scratch = wk__cpu_scratch(WK_SCRATCH_KERNEL, common + each * (size_t)shares);
    if (!scratch) return WK_NO_MEMORY;
    REAL *weights = (REAL *)(void *)scratch;
    if (pass != WK_BACKWARD_WEIGHT) NAME(filters)(weights, v->weight, s);
#pragma omp parallel for num_threads(shares) schedule(static) if (shares > 1)
    for (int share = 0; share < shares; share++) {
        char *mine = scratch + common + each * (size_t)share;
        int64_t from = s->n * share / shares, to = s->n * (share + 1) / shares;
        if (pass == WK_FORWARD)
            NAME(forward)(v, weights, v->bias ? v->bias->data : NULL, mine, from, to);
        else if (pass == WK_BACKWARD_INPUT)
            NAME(backward_input)(v, weights, mine, from, to);
        else
            NAME(backward_weight)(v, weights + share * part, weights + share * part + filters, mine, from, to);
    }
    if (pass == WK_BACKWARD_WEIGHT) NAME(finish_weight)(v, weights, part, shares);
    return WK_OK;
}

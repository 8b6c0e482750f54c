/* optimizer_body.h: what each optimizer does to one element, for the element type T (float, then double), on the CPU
 * and in CUDA kernels (PART and ALWAYS_INLINE say how a function is declared).
 *
 * A rule gets the parameter p, its gradient g, the states s[] (NULL where the optimizer was made without one) and the
 * numbers that optimizer_steps.c prepared.  Operations happen in the order of torch.optim's loop over tensors, so f32
 * results follow it to the last bits.
 */

/* Every rule's gradient: scaled, with the weight decay that is no decoupled one. */
#define GRADIENT     (g[i] * factor + decay * p[i])
#define LARGER(a, b) ((a) > (b) || (a) != (a) ? (a) : (b)) /* NaN wins */
#define SIGN_OF(a)   ((a) != (a) ? (a) : (T)((a) > 0) - (T)((a) < 0))

/* torch.optim.SGD:  m = momentum · m + (1 − dampening) · d, at the first step d;  d = nesterov ? d + momentum · m : m;
 * p −= lr · d.  At the first step m is not read: its memory may hold anything. */
PART void NAME(sgd)(T *restrict p, const T *restrict g, T *const s[], int64_t n, const step_numbers *k) {
    const T factor = (T)k->factor, decay = (T)k->decay, lr = (T)k->lr;
    const T momentum = (T)k->beta1, fresh = (T)k->fresh;
    const T kept = k->nesterov ? momentum : 1, direct = k->nesterov ? 1 : 0, both = k->nesterov ? 1 + momentum : 1;
    T *restrict m = s[0];
    if (!m) {
        for (int64_t i = 0; i < n; i++) p[i] -= lr * GRADIENT;
    } else if (k->first) {
        for (int64_t i = 0; i < n; i++) {
            T d = GRADIENT;
            m[i] = d;
            p[i] -= lr * (both * d);
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            T d = GRADIENT, next = momentum * m[i] + fresh * d;
            m[i] = next;
            p[i] -= lr * (direct * d + kept * next);
        }
    }
}

/* torch.optim.Adam, AdamW (Kingma & Ba 2015; Loshchilov & Hutter 2019):  m += (g − m)(1 − beta1);
 * v = beta2 · v + (1 − beta2) · g²;  amsgrad: v = largest v so far;
 * p −= lr / (1 − beta1^t) · m / (sqrt(v) / sqrt(1 − beta2^t) + eps) */
ALWAYS_INLINE void NAME(adam_form)(T *restrict p, const T *restrict g, T *restrict m, T *restrict v, T *restrict most,
                                   int64_t n, const step_numbers *k) {
    const T factor = (T)k->factor, decay = (T)k->decay, shrink = (T)k->shrink, eps = (T)k->eps;
    const T beta2 = (T)k->beta2, weight1 = (T)k->one_less_beta1, weight2 = (T)k->one_less_beta2;
    const T step_size = (T)-k->step_size, correction = (T)k->correction;
    for (int64_t i = 0; i < n; i++) {
        T parameter = p[i] * shrink, gradient = g[i] * factor + decay * parameter;
        T first = m[i] + weight1 * (gradient - m[i]);
        T second = v[i] * beta2 + weight2 * gradient * gradient;
        m[i] = first;
        v[i] = second;
        if (most) most[i] = second = LARGER(most[i], second);
        p[i] = parameter + step_size * first / (ROOT(second) / correction + eps);
    }
}
PART void NAME(adam)(T *restrict p, const T *restrict g, T *const s[], int64_t n, const step_numbers *k) {
    if (s[2])
        NAME(adam_form)(p, g, s[0], s[1], s[2], n, k);
    else
        NAME(adam_form)(p, g, s[0], s[1], NULL, n, k);
}

/* torch.optim.Adamax (Kingma & Ba 2015):  u = max(beta2 · u, |g| + eps);  p −= lr / (1 − beta1^t) · m / u */
PART void NAME(adamax)(T *restrict p, const T *restrict g, T *const s[], int64_t n, const step_numbers *k) {
    const T factor = (T)k->factor, decay = (T)k->decay, beta2 = (T)k->beta2, eps = (T)k->eps;
    const T weight1 = (T)k->one_less_beta1, step_size = (T)-k->step_size;
    T *restrict m = s[0], *restrict u = s[1];
    for (int64_t i = 0; i < n; i++) {
        T gradient = GRADIENT, first = m[i] + weight1 * (gradient - m[i]);
        T faded = u[i] * beta2, size = ABS(gradient) + eps, norm = LARGER(faded, size);
        m[i] = first;
        u[i] = norm;
        p[i] += step_size * first / norm;
    }
}

/* torch.optim.NAdam (Dozat 2016):  p −= (fresh · g + step_size · m) / (sqrt(v / (1 − beta2^t)) + eps) */
PART void NAME(nadam)(T *restrict p, const T *restrict g, T *const s[], int64_t n, const step_numbers *k) {
    const T factor = (T)k->factor, decay = (T)k->decay, shrink = (T)k->shrink, eps = (T)k->eps;
    const T beta2 = (T)k->beta2, weight1 = (T)k->one_less_beta1, weight2 = (T)k->one_less_beta2;
    const T direct = (T)-k->fresh, step_size = (T)-k->step_size, correction = (T)k->correction;
    T *restrict m = s[0], *restrict v = s[1];
    for (int64_t i = 0; i < n; i++) {
        T parameter = p[i] * shrink, gradient = g[i] * factor + decay * parameter;
        T first = m[i] + weight1 * (gradient - m[i]);
        T second = v[i] * beta2 + weight2 * gradient * gradient, root = ROOT(second / correction) + eps;
        m[i] = first;
        v[i] = second;
        p[i] = parameter + direct * gradient / root + step_size * first / root;
    }
}

/* torch.optim.RAdam (Liu et al. 2020):  p −= lr · m / (1 − beta1^t) · r · sqrt(1 − beta2^t) / (sqrt(v) + eps), without
 * the part from r on while the variance is not tractable */
PART void NAME(radam)(T *restrict p, const T *restrict g, T *const s[], int64_t n, const step_numbers *k) {
    const T factor = (T)k->factor, decay = (T)k->decay, shrink = (T)k->shrink, eps = (T)k->eps;
    const T beta2 = (T)k->beta2, weight1 = (T)k->one_less_beta1, weight2 = (T)k->one_less_beta2;
    const T step_size = (T)k->step_size, correction = (T)k->correction;
    const bool rectify = k->rectify;
    T *restrict m = s[0], *restrict v = s[1];
    for (int64_t i = 0; i < n; i++) {
        T parameter = p[i] * shrink, gradient = g[i] * factor + decay * parameter;
        T first = m[i] + weight1 * (gradient - m[i]);
        T second = v[i] * beta2 + weight2 * gradient * gradient;
        m[i] = first;
        v[i] = second;
        T adapted = correction / (ROOT(second) + eps);
        p[i] = parameter - first * step_size * (rectify ? adapted : 1);
    }
}

/* torch.optim.Adagrad (Duchi et al. 2011):  sum += g²;  p −= lr / (1 + (t − 1) · lr_decay) · g / (sqrt(sum) + eps) */
PART void NAME(adagrad)(T *restrict p, const T *restrict g, T *const s[], int64_t n, const step_numbers *k) {
    const T factor = (T)k->factor, decay = (T)k->decay, eps = (T)k->eps, step_size = (T)-k->step_size;
    T *restrict sum = s[0];
    for (int64_t i = 0; i < n; i++) {
        T gradient = GRADIENT, total = sum[i] + gradient * gradient;
        sum[i] = total;
        p[i] += step_size * gradient / (ROOT(total) + eps);
    }
}

/* torch.optim.Adadelta (Zeiler 2012):  v = rho · v + (1 − rho) · g²;  δ = sqrt(a + eps) / sqrt(v + eps) · g;
 * a = rho · a + (1 − rho) · δ²;  p −= lr · δ */
PART void NAME(adadelta)(T *restrict p, const T *restrict g, T *const s[], int64_t n, const step_numbers *k) {
    const T factor = (T)k->factor, decay = (T)k->decay, lr = (T)k->lr, eps = (T)k->eps;
    const T rho = (T)k->beta2, weight = (T)k->one_less_beta2;
    T *restrict v = s[0], *restrict a = s[1];
    for (int64_t i = 0; i < n; i++) {
        T gradient = GRADIENT, second = v[i] * rho + weight * gradient * gradient;
        T delta = ROOT(a[i] + eps) / ROOT(second + eps) * gradient;
        v[i] = second;
        a[i] = a[i] * rho + weight * delta * delta;
        p[i] -= lr * delta;
    }
}

/* torch.optim.RMSprop (Hinton 2012):  v = alpha · v + (1 − alpha) · g²;  centered: c += (g − c)(1 − alpha), the root is
 * that of v − c²;  b = momentum · b + g / (root + eps);  p −= lr · b */
ALWAYS_INLINE void NAME(rmsprop_form)(T *restrict p, const T *restrict g, T *restrict v, T *restrict b, T *restrict c,
                                      int64_t n, const step_numbers *k) {
    const T factor = (T)k->factor, decay = (T)k->decay, lr = (T)k->lr, eps = (T)k->eps;
    const T alpha = (T)k->beta2, weight = (T)k->one_less_beta2, momentum = (T)k->beta1;
    for (int64_t i = 0; i < n; i++) {
        T gradient = GRADIENT, second = v[i] * alpha + weight * gradient * gradient, spread = second;
        v[i] = second;
        if (c) {
            T mean = c[i] + weight * (gradient - c[i]);
            c[i] = mean;
            spread = second - mean * mean;
        }
        T root = ROOT(spread) + eps;
        if (b) {
            T next = b[i] * momentum + gradient / root;
            b[i] = next;
            p[i] -= lr * next;
        } else {
            p[i] += -lr * gradient / root;
        }
    }
}
PART void NAME(rmsprop)(T *restrict p, const T *restrict g, T *const s[], int64_t n, const step_numbers *k) {
    if (s[1] && s[2])
        NAME(rmsprop_form)(p, g, s[0], s[1], s[2], n, k);
    else if (s[1])
        NAME(rmsprop_form)(p, g, s[0], s[1], NULL, n, k);
    else if (s[2])
        NAME(rmsprop_form)(p, g, s[0], NULL, s[2], n, k);
    else
        NAME(rmsprop_form)(p, g, s[0], NULL, NULL, n, k);
}

/* torch.optim.Rprop (Riedmiller & Braun 1993): an element's step grows while its gradient keeps its sign, and shrinks,
 * the gradient forgotten, where it changes.  The first steps are of size lr. */
PART void NAME(rprop)(T *restrict p, const T *restrict g, T *const s[], int64_t n, const step_numbers *k) {
    const T factor = (T)k->factor, lr = (T)k->lr, shrink = (T)k->beta1, grow = (T)k->beta2;
    const T least = (T)k->eps, most = (T)k->correction;
    const bool is_first = k->first;
    T *restrict previous = s[0], *restrict size = s[1];
    for (int64_t i = 0; i < n; i++) {
        T gradient = g[i] * factor, product = gradient * previous[i];
        T step = (is_first ? lr : size[i]) * (product > 0 ? grow : product < 0 ? shrink : 1);
        step = step < least ? least : step > most ? most : step;
        gradient = product < 0 ? 0 : gradient;
        size[i] = step;
        previous[i] = gradient;
        p[i] -= SIGN_OF(gradient) * step;
    }
}

/* torch.optim.ASGD (Polyak & Juditsky 1992):  p = (1 − lambd · eta) · p − eta · g;  average += (p − average) · mu */
PART void NAME(asgd)(T *restrict p, const T *restrict g, T *const s[], int64_t n, const step_numbers *k) {
    const T factor = (T)k->factor, decay = (T)k->decay, shrink = (T)k->shrink, eta = (T)k->step_size, mu = (T)k->fresh;
    const bool is_copy = k->fresh == 1;
    T *restrict average = s[0];
    for (int64_t i = 0; i < n; i++) {
        T next = p[i] * shrink - eta * GRADIENT;
        p[i] = next;
        average[i] = is_copy ? next : average[i] + (next - average[i]) * mu;
    }
}

/* Lion (Chen et al. 2023, algorithm 2):  p −= lr · (sign(beta1 · m + (1 − beta1) · g) + weight_decay · p);
 * m = beta2 · m + (1 − beta2) · g */
PART void NAME(lion)(T *restrict p, const T *restrict g, T *const s[], int64_t n, const step_numbers *k) {
    const T factor = (T)k->factor, shrink = (T)k->shrink, lr = (T)k->lr, beta1 = (T)k->beta1, beta2 = (T)k->beta2;
    const T weight1 = (T)k->one_less_beta1, weight2 = (T)k->one_less_beta2;
    T *restrict m = s[0];
    for (int64_t i = 0; i < n; i++) {
        T gradient = g[i] * factor, direction = beta1 * m[i] + weight1 * gradient;
        m[i] = beta2 * m[i] + weight2 * gradient;
        p[i] = p[i] * shrink - lr * SIGN_OF(direction);
    }
}

#undef GRADIENT
#undef LARGER
#undef SIGN_OF

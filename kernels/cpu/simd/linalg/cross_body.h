/* cross_body.h: vector products for one type; included by cross.c once a type.
 *
 * Products are stored before they are subtracted: a fused multiply-add would round only one of the two, and a × a would
 * not be 0.
 */
static void NAME(vectors)(const void *context, const int64_t offset[], int64_t n) {
    const crossing *c = context;
    const int64_t a_axis = c->axis[1], b_axis = c->axis[2], y_axis = c->axis[0];
    for (int64_t at = 0; at < n; at += BLOCK) {
        int64_t part = n - at < BLOCK ? n - at : BLOCK;
        const T *a = (const T *)c->data[1] + offset[1] + at * c->step[1];
        const T *b = (const T *)c->data[2] + offset[2] + at * c->step[2];
        T *y = (T *)c->data[0] + offset[0] + at * c->step[0];
        REAL plus[BLOCK][3], minus[BLOCK][3];
        for (int64_t i = 0; i < part; i++, a += c->step[1], b += c->step[2]) {
            REAL a0 = LOAD(a[0]), a1 = LOAD(a[a_axis]), a2 = LOAD(a[2 * a_axis]);
            REAL b0 = LOAD(b[0]), b1 = LOAD(b[b_axis]), b2 = LOAD(b[2 * b_axis]);
            plus[i][0] = a1 * b2, plus[i][1] = a2 * b0, plus[i][2] = a0 * b1;
            minus[i][0] = a2 * b1, minus[i][1] = a0 * b2, minus[i][2] = a1 * b0;
        }
        for (int64_t i = 0; i < part; i++, y += c->step[0]) {
            y[0] = STORE(plus[i][0] - minus[i][0]);
            y[y_axis] = STORE(plus[i][1] - minus[i][1]);
            y[2 * y_axis] = STORE(plus[i][2] - minus[i][2]);
        }
    }
}

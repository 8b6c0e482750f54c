/* reference.h: every row once more, slowly and obviously, in double. */
#ifndef WICK_TESTS_REFERENCE_H
#define WICK_TESTS_REFERENCE_H

#include "wick/op.h"

enum { REFERENCE_MOST_IN = 16 };

/* Dense, row major. */
typedef struct ref_tensor {
    int rank;
    int64_t shape[WK_MAX_RANK], count;
    double *v;
    /* Of outputs, filled with -1 where the reference leaves it: the sum of the absolute terms that the element is made
     * of, by which rounding is measured; |v| if left. */
    double *size;
    bool known; /* the reference filled v */
} ref_tensor;

typedef struct ref_call {
    ref_tensor *in[REFERENCE_MOST_IN]; /* NULL: absent; rows that write in place change them */
    int n_in, n_out;
    ref_tensor out[WK_MAX_OUT];
    const void *attrs;
    int64_t terms; /* how many are added up for one element */
} ref_call;

typedef struct ref_row {
    const char *name;
    void (*run)(ref_call *call);
    double steps; /* roundings of the working precision allowed for one element; 0: correctly rounded */
} ref_row;

/* NULL if the row has no reference. */
const ref_row *reference_of(const char *name);
extern const ref_row reference_networks[], reference_optimizers[]; /* ended by a NULL name */

/* Where element `o` of an output of shape `out` comes from in an operand that broadcasts to it. */
int64_t ref_broadcast(const ref_tensor *operand, const ref_tensor *out, int64_t o);
void ref_index(const ref_tensor *t, int64_t flat, int64_t index[WK_MAX_RANK]);
int64_t ref_flat(const ref_tensor *t, const int64_t index[WK_MAX_RANK]);

#endif

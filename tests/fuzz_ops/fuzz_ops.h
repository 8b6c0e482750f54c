/* fuzz_ops.h: random programs of operations.  Everything that a program does follows from (seed, number). */
#ifndef WICK_TESTS_FUZZ_OPS_H
#define WICK_TESTS_FUZZ_OPS_H

#include "wick/op.h"

enum { MOST_OPERANDS = 40, MOST_ATTR_BYTES = 512 };

/* ---- chance.c ---- */

typedef struct chance {
    uint64_t state;
} chance;
chance chance_of(uint64_t seed, uint64_t number);
uint64_t draw_bits(chance *c);
int64_t draw_below(chance *c, int64_t count); /* 0 … count - 1 */
double draw_unit(chance *c);                  /* [0, 1) */
bool happens(chance *c, int percent);

/* ---- shot.c: one call before its operands are made ---- */

typedef struct shot {
    const wk_op_def *row;
    wk_sample_in in[MOST_OPERANDS];
    int n_in;
    wk_dtype dtype;
    bool as_meant; /* attributes and shapes are of the kind that samples have: the reference understands them */
    union {
        char bytes[MOST_ATTR_BYTES];
        double align;
    } attrs;
} shot;
/* A row and one of its samples, often with other sizes and now and then with an attribute that makes no sense. */
shot draw_shot(chance *c);

/* ---- operands.c ---- */

/* A scoped tensor as the sample says, in a random layout; some hold what the sample does not allow. */
wk_tensor *draw_operand(chance *c, const wk_sample_in *in, wk_dtype dtype);
/* Any dtype, rank and values. */
wk_tensor *draw_any(chance *c);

/* ---- program.c ---- */

enum { MOST_STEPS = 12 };
typedef struct outcome {
    uint64_t bits[2 * MOST_STEPS]; /* of what each step gave */
    const char *row[2 * MOST_STEPS];
    int steps;
    int calls, refused, compared, backward; /* counts */
    char wrong[1000];                       /* "" or what went wrong */
} outcome;
/* `on_step(row's name)` is called before each. */
void run_program_of_ops(uint64_t seed, uint64_t number, bool loud, void (*on_step)(const char *row), outcome *result);

#endif

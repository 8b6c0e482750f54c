/* support.h: what tests of runs share: a folder with made images, a file, the program. */
#ifndef WICK_TESTS_TRAIN_SUPPORT_H
#define WICK_TESTS_TRAIN_SUPPORT_H

#include "support/program.h"

#include <stdbool.h>

/* A fresh folder `run_folder` with IDX files of `items` images, and the places of the run's file and directory. */
extern char run_folder[400], run_output[500], run_file[500];
void run_set_up(const char *name, int items);
void run_tear_down(void);
/* The run's file: "data" and "output" are written, what else it holds is given. */
void run_write(const char *rest);
/* Two pieces of the rest: one of those below, and what a test adds. */
void run_write_with(const char *usual, const char *more);
/* A small perceptron that learns by momentum. */
#define RUN_USUAL                                           \
    "seed: 7\nmodel: { name: mlp, args: { hidden: 16 } }\n" \
    "optimizer: { name: SGD, args: { lr: 0.05, momentum: 0.9 } }\n"
/* "layers.0", "layers.2" and "layers.4", each with weight and bias; without an optimizer. */
#define RUN_LAYERS                                                                               \
    "seed: 5\nmodel: { name: mlp, args: { in_dim: 784, hidden_list: [24, 16], out_dim: 10 } }\n" \
    "trainer: { max_epochs: 1, log_every_n_steps: 1, limit_val_batches: 1 }\n"
/* The same without any section of the harness. */
void run_write_all(const char *text);
/* `wick train -c FILE WORDS…`; the exit code, stderr in *err (free it) unless NULL. */
int run_train(char **err, char *const words[]);
/* It ends with 0; stderr, to be freed. */
char *run_succeeds(char *const words[]);
/* It ends with 1 and says exactly one thing that holds `expected`. */
void run_refused(const char *expected, char *const words[]);
/* mpirun -n 2. */
int run_ranks(char **err, char *const words[]);
/* A path below the run's directory; its text (to be freed). */
const char *run_path(const char *name);
bool run_has(const char *name);
char *run_text(const char *name);
/* Move the run's directory aside under a name, and compare a checkpoint with the one there. */
void run_set_aside(const char *name);
void run_same_checkpoint(const char *aside, const char *name);
#define WORDS(...) ((char *[]){ __VA_ARGS__, NULL })

#endif

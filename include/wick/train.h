/* wick/train.h: runs described in YAML: configuration, names to register, the trainer, the commands.
 *
 *   seed: 42
 *   data:      { name: idx, args: { root: …, batch_size: 64 } }
 *   model:     { name: cnn, args: { classes: 10 } }
 *   loss:      { name: cross_entropy }
 *   optimizer: { name: AdamW, args: { lr: 1e-3 } }
 *   schedule:  { name: cosine, args: { warmup_steps: 100 } }
 *   trainer:   { max_epochs: 3, recompute: false }  -- true: blocks are run again in backward (wk_module_recompute)
 *   checkpoint: { every_n_epochs: 1 }
 *   output: runs/fashion_mnist
 */
#ifndef WICK_TRAIN_H
#define WICK_TRAIN_H

#include "wick/data.h"
#include "wick/dist.h"
#include "wick/io.h"
#include "wick/nn.h"
#include "wick/optim.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- configuration: one mapping of a file, typed look-ups that record an error with line and column
 * --------------------- */

typedef struct wk_config wk_config;
/* The member's value, or `otherwise` where it is missing; a member of another type or out of range is a pending error.
 */
WK_API int64_t wk_config_int(const wk_config *config, const char *key, int64_t least, int64_t most, int64_t otherwise);
WK_API double wk_config_double(const wk_config *config, const char *key, double least, double most, double otherwise);
WK_API bool wk_config_bool(const wk_config *config, const char *key, bool otherwise);
WK_API const char *wk_config_string(const wk_config *config, const char *key, const char *otherwise);
WK_API bool wk_config_has(const wk_config *config, const char *key);

/* ---- names
 * -------------------------------------------------------------------------------------------------------------- */

/* `args` lists every key that the builder reads, ended by NULL: others are refused. */
typedef struct wk_model_entry {
    const char *name, *const *args;
    wk_module *(*build)(const wk_config *args);
} wk_model_entry;
typedef struct wk_data_entry {
    const char *name, *const *args;
    /* Datasets to train on and to evaluate on. */
    wk_status (*build)(const wk_config *args, wk_dataset **train, wk_dataset **evaluation);
} wk_data_entry;
/* The entry must stay valid.  Errors: WK_EXISTS. */
WK_API wk_status wk_register_model(const wk_model_entry *entry);
WK_API wk_status wk_register_data(const wk_data_entry *entry);

/* ---- commands: what `wick train` and `wick eval` run; give the process's exit code
 * ----------------------------------------- */

/* train -c FILE [-o key=value …] [--resume | --overwrite].  0; 1: an error, which was reported; 2: usage.  The first
 * SIGTERM, SIGINT or SIGHUP lets the step under way end, saves the last checkpoint, and ends the process by that
 * signal. */
WK_API int wk_train_main(int argc, char **argv);
/* eval RUN_DIRECTORY [--checkpoint last|best|FILE] [-o key=value …]: prints loss and accuracy. */
WK_API int wk_eval_main(int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif

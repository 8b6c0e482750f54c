/* wick/train.h: runs described in YAML: configuration, names to register, the trainer, the commands.
 *
 *   seed: 42
 *   data:      { name: idx, args: { root: …, batch_size: 64 } }
 *   model:     { name: cnn, args: { classes: 10 } }
 *   loss:      { name: cross_entropy }
 *   optimizer: { name: AdamW, args: { lr: 1e-3 } }
 *   schedule:  { name: cosine, args: { warmup_steps: 100 } }
 *   trainer:   { max_epochs: 3 }
 *   checkpoint: { every_n_epochs: 1 }
 *   callbacks: [ { name: EarlyStopping, args: { monitor: val_loss } } ]
 *   output: runs/fashion_mnist
 *
 * docs/train.md tells every key; `wick train --schema` every name and arg.
 */
#ifndef WICK_TRAIN_H
#define WICK_TRAIN_H

#include "wick/data.h"
#include "wick/dist.h"
#include "wick/io.h"
#include "wick/nn.h"
#include "wick/optim.h"
#include "wick/train/callback.h"
#include "wick/train/config.h"
#include "wick/train/metrics.h"
#include "wick/train/registry.h"
#include "wick/train/trainer.h"
#include "wick/train/wrapper.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- commands: each gives the process's exit code: 0; 1: an error, which was reported; 2: usage ---- */

/* train -c FILE [-o key=value …] [--resume [CKPT] | --overwrite | --find-batch-size], train --schema [KIND [NAME]]. The
 * first SIGTERM, SIGINT, SIGHUP lets the step under way end, saves the last checkpoint, and ends the process by that
 * signal.
 */
WK_API int wk_train_main(int argc, char **argv);
/* eval RUN_DIRECTORY [--checkpoint last|best|FILE] [-o key=value …]: prints what validation logs. */
WK_API int wk_eval_main(int argc, char **argv);
/* config dump|explain -c FILE [KEY] [-o key=value …]: the file as a run would take it, and where each value is from. */
WK_API int wk_config_main(int argc, char **argv);
/* runs ls|show|compare|plot|report: what the directories of runs hold (docs/runs.md). */
WK_API int wk_runs_main(int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif

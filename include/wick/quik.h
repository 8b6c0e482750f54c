/* wick/quik.h: training loops of one's own in the words of pytorch-quik: a trek holds what all share, a traveler goes
 * through a model for training, validation or a test.
 *
 *     wk_quik_args args = wk_quik_defaults();          a default of the library
 *     args.lr = 1e-3;                                   of this program
 *     wk_quik_parse(&args, argc, argv);                 the command line
 *     args.data_date = "20210101";                      and what is set afterwards
 *     wk_quik_traverse(train, &args);                   train(&args, gpu)
 *
 * docs/quik.md has the whole loop, and says where this differs from pytorch-quik's README and its source, which do not
 * always agree with each other.  It is in libwickrun.
 */
#ifndef WICK_QUIK_H
#define WICK_QUIK_H

#include "wick/train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- arguments; texts are borrowed ---- */

typedef struct wk_quik_args {
    int nr, nodes, gpus;         /* this node's number, how many there are, cards of each */
    int ranks;                   /* processes that wk_quik_traverse starts here; 0: one a card, or this one alone */
    int num_workers;             /* threads that fetch batches; 0 means 1 */
    bool find_unused_parameters; /* parameters that a loss does not reach are found anyway */
    int64_t epochs, bs;          /* the batch of one rank */
    bool mixed_precision;        /* on cards: f16 with a loss scale */
    double lr, weight_decay, beta1, beta2, eps;
    /* Of names of files, see wk_quik_id_str; NULL: none. */
    const char *base_dir;  /* NULL: the working directory */
    const char *data_date; /* NULL: today */
    const char *bert_type, *source;
    const int64_t *labels;
    int n_labels;
} wk_quik_args;
/* pytorch-quik's: 5 epochs, batches of 50,000, lr 1e-5, betas 0.9 and 0.99, eps 1e-8, mixed precision, all cards. */
WK_API wk_quik_args wk_quik_defaults(void);
/* -nr -n/--nodes -g/--gpus -r/--ranks -nw/--num_workers -e/--epochs -bs/--bs -lr/--learning_rate -wd/--weight_decay
 * --betas A,B -eps -amp/--mixed_precision --no_mixed_precision --find_unused_parameters; argv[0] is the program.
 * Errors: WK_CONFIG, naming the word. */
WK_API wk_status wk_quik_parse(wk_quik_args *args, int argc, char **argv);

/* BASE/data/[BERT_TYPE/][SOURCE/]TYPE[_LABELS][_eEPOCH]_DATE[_GPU].SUFFIX, its folders made; free with wk_free.
 *
 *   state_dict   TYPE_eEPOCH, .pt; epoch is "0", "orig", …      preds .csv   confusion .png   test_array .npy
 *   model        as it is, .pt                                  any other word: TYPE_tensor, .pt
 *
 * epoch, gpu and suffix may be NULL.  Errors: a state_dict without an epoch; WK_IO. */
WK_API char *wk_quik_id_str(const wk_quik_args *args, const char *type, const char *epoch, const char *gpu,
                            const char *suffix);

/* ---- the world, and going there ---- */

typedef struct wk_quik_world {
    wk_device device;
    int node_id, total_nodes, gpu_id /* -1: the CPU */, total_gpus;
    int rank_id, world_size;
    bool is_ddp;    /* there are other ranks */
    bool is_logger; /* rank 0 of all: it writes files and talks */
} wk_quik_world;

typedef wk_status (*wk_quik_function)(wk_quik_args *args, int gpu);
/* fn(args, gpu) on this rank's card, or fn(args, -1) on the CPU where there is none.
 *
 * Where several ranks are asked for (several cards, or args->ranks) and no launcher (mpirun, wick run, wick agent) has
 * started any, this program is started that often by mpirun, with its own command line; fn is then called in those
 * processes, and here the call returns when all have ended.  So what main does before the call each rank does too, and
 * what it does after it each rank and this process.  If this process dies its ranks are ended.
 *
 * Errors: those of fn; WK_RANK_FAILED where ranks that were started here did not all end with exit code 0;
 * WK_NOT_FOUND without mpirun; WK_CONFIG (several nodes are asked of one process). */
WK_API wk_status wk_quik_traverse(wk_quik_function fn, wk_quik_args *args);

typedef struct wk_quik_trek wk_quik_trek;
/* Joins the other ranks, and seeds weights and masks with 42.  The arguments are copied. */
WK_API wk_quik_trek *wk_quik_trek_create(const wk_quik_args *args, int gpu);
WK_API void wk_quik_trek_destroy(wk_quik_trek *trek);
WK_API const wk_quik_world *wk_quik_world_of(const wk_quik_trek *trek);
WK_API const wk_quik_args *wk_quik_args_of(const wk_quik_trek *trek);
/* Shared by the trek's travelers (LossMetrics with 0.99). */
WK_API wk_loss_table *wk_quik_metrics(wk_quik_trek *trek);

/* ---- travelers ---- */

typedef struct wk_quik_traveler wk_quik_traveler;
/* type: "train", "valid" or "test".  It must go before its trek. */
WK_API wk_quik_traveler *wk_quik_traveler_create(wk_quik_trek *trek, const char *type);
WK_API void wk_quik_traveler_destroy(wk_quik_traveler *traveler);

/* The model, which stays the caller's and must outlive the traveler, goes to the world's device, with the weights of a
 * state_dict (.pt or .safetensors; a prefix "module." is taken off) unless that is NULL.  With other ranks a traveler
 * of type "train" averages its gradients. */
WK_API wk_status wk_quik_add_model(wk_quik_traveler *traveler, wk_module *model, const char *state_dict);
/* Stays the caller's.  Items come in order; over ranks, dealt out by torch's DistributedSampler. */
WK_API wk_status wk_quik_add_data(wk_quik_traveler *traveler, const wk_dataset *dataset);
/* Batches of an epoch, and of all epochs. */
WK_API int64_t wk_quik_steps(const wk_quik_traveler *traveler);
WK_API int64_t wk_quik_total_steps(const wk_quik_traveler *traveler);

/* A scalar of the outputs and the targets of a batch. */
typedef wk_tensor *(*wk_quik_criterion)(wk_tensor *outputs, wk_tensor *targets);
WK_API wk_tensor *wk_quik_mse_loss(wk_tensor *outputs, wk_tensor *targets);
WK_API wk_tensor *wk_quik_cross_entropy_loss(wk_tensor *outputs, wk_tensor *targets);
WK_API wk_status wk_quik_set_criterion(wk_quik_traveler *traveler, wk_quik_criterion criterion);
/* By the names and args of a run's file (wick train --schema): "Adam", "{ amsgrad: true }" or NULL.  Of lr,
 * weight_decay, eps and betas the optimizer gets those that it has, unless args say otherwise. */
WK_API wk_status wk_quik_set_optimizer(wk_quik_traveler *traveler, const char *name, const char *args);
/* Needs the optimizer, and the data for its length. */
WK_API wk_status wk_quik_set_scheduler(wk_quik_traveler *traveler, const char *name, const char *args);

/* ---- the loop ---- */

/* Begin an epoch (from 0): the model is in training mode for "train", in evaluation mode for the others. */
WK_API wk_status wk_quik_start(wk_quik_traveler *traveler, int64_t epoch);
/* The next batch, on the world's device, in the current scope; false at the end of the epoch or with an error pending.
 */
WK_API bool wk_quik_next(wk_quik_traveler *traveler, wk_batch *batch);
/* amp.caster around both: the model's outputs, the criterion's loss. */
WK_API wk_tensor *wk_quik_forward(wk_quik_traveler *traveler, wk_tensor *input);
WK_API wk_tensor *wk_quik_loss(wk_quik_traveler *traveler, wk_tensor *outputs, wk_tensor *targets);
/* Backward, gradients clipped to the norm 1 with `clip`, a step of the optimizer, and gradients are empty again. */
WK_API wk_status wk_quik_backward(wk_quik_traveler *traveler, wk_tensor *loss, bool clip);
WK_API wk_status wk_quik_scheduler_step(wk_quik_traveler *traveler);

/* ---- results ---- */

/* Into the trek's table: a batch's loss of this rank; losses of validation batches with their sizes, over all ranks. */
WK_API wk_status wk_quik_add_loss(wk_quik_traveler *traveler, wk_tensor *loss);
WK_API wk_status wk_quik_add_vloss(wk_quik_traveler *traveler, const double *losses, const int64_t *sizes,
                                   int64_t count);
/* At wk_quik_id_str("state_dict", epoch), what torch.load reads; on the logger alone. */
WK_API wk_status wk_quik_save_state_dict(wk_quik_traveler *traveler, const char *epoch);
/* Scores (N, C) or classes (N), and targets (N), of one batch after the other. */
WK_API wk_status wk_quik_add_results(wk_quik_traveler *traveler, wk_tensor *predictions, wk_tensor *targets);
/* Over all ranks, of what was added: the confusion matrix as a picture at wk_quik_id_str("confusion"), on the logger
 * alone (it needs the plug-in wick_cairo.so), and scikit-learn's report as text; free with wk_free.  `names` (classes)
 * or NULL.  NULL with an error pending: nothing was added. */
WK_API char *wk_quik_record_results(wk_quik_traveler *traveler, const char *const *names);

#ifdef __cplusplus
}
#endif
#endif

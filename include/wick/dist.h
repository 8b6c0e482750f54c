/* wick/dist.h: process groups and data-parallel training.
 *
 * A group is one communicator of ranks.  Collectives are queued and run in order while the caller goes on; a work
 * handle tells when one is done.  The group's own thread sees to that; a caller that waits does the work itself, and so
 * does one that computes on a single thread (wk_set_threads) as it queues the next.  Every rank must call the same
 * collectives in the same order.
 *
 * Failure: a rank whose step fails aborts the group, naming itself and what failed; a rank that hangs is named by the
 * others' watchdogs after the timeout (WICK_DIST_TIMEOUT seconds, default 60), and the job ends.
 */
#ifndef WICK_DIST_H
#define WICK_DIST_H

#include "wick/nn.h"
#include "wick/optim.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_group wk_group;
typedef struct wk_work wk_work;
typedef enum wk_reduce { WK_REDUCE_SUM, WK_REDUCE_MEAN, WK_REDUCE_MAX, WK_REDUCE_MIN } wk_reduce;

/* transport: "self" (one rank), "mpi" (wick_mpi.so, opened now), "tcp" (between ranks that their environment alone
 * connects), or NULL: what WICK_TRANSPORT names; else mpi when mpirun or srun started this process as one of several
 * ranks; else tcp when RANK, MASTER_ADDR and MASTER_PORT are set and WORLD_SIZE is above 1 (as `wick agent`, torchrun
 * and `wick run` set them); else self.  Returns when every rank has joined: with tcp rank 0 listens at MASTER_PORT and
 * the others come to it, whoever is first, within WICK_MEET_TIMEOUT seconds (300).  Errors: WK_NOT_FOUND with what to
 * install; WK_UNSUPPORTED when WORLD_SIZE promises other ranks but nothing says how to reach them; WK_TIMEOUT naming
 * the ranks that did not come; WK_RANK_FAILED when rank 0 sends this rank away (another run, another attempt, another
 * build). */
WK_API wk_group *wk_group_create(const char *transport);
WK_API void wk_group_destroy(wk_group *group);
WK_API int wk_group_rank(const wk_group *group);
WK_API int wk_group_size(const wk_group *group);
WK_API const char *wk_group_transport(const wk_group *group);
/* How wk_all_reduce goes between the ranks, chosen when the group is made:
 *
 *   "shared"        through memory that the ranks of one host have mapped
 *   "hierarchical"  so within each host, with messages between the hosts: where each has as many ranks, two at least
 *   "ring"          by messages: where neither can be
 *   "mpi"           Open MPI's own MPI_Allreduce, never chosen: for comparison (transport mpi)
 *   "none"          there is one rank
 *
 * All ranks get the same bits.  With "shared" these are the sums in order of rank; otherwise they depend on how many
 * ranks and hosts there are.  WICK_COMM forces one of the first four (an error where it cannot be); WICK_COMM_HOSTS=N
 * takes the ranks of each host for those of N hosts.  Of both rank 0's counts.  WICK_LOG=info prints the choice. */
WK_API const char *wk_group_algorithm(const wk_group *group);
/* End every rank of the group now, with a message that names this rank.  Does not return when there are other ranks. */
WK_API void wk_group_abort(wk_group *group, const char *reason);

/* Contiguous tensors, the same shape and dtype on every rank (f16 and bf16 are summed by wk_all_reduce, each sum
 * rounded; everything else of them is carried only), on the CPU or on each rank's own device (NCCL carries
 * those; its id goes through the transport); they must stay alive until the work is done.  With work == NULL the call
 * waits. What is computed on a device before the call is waited for there; after the end of the work all see the
 * result. */
WK_API wk_status wk_all_reduce(wk_group *group, wk_tensor *tensor, wk_reduce op, wk_work **work);
WK_API wk_status wk_broadcast(wk_group *group, wk_tensor *tensor, int root, wk_work **work);
/* out (ranks · count) receives every rank's in (count), in order of rank. */
WK_API wk_status wk_all_gather(wk_group *group, wk_tensor *in, wk_tensor *out, wk_work **work);
/* out (count) receives this rank's part of the sum of every rank's in (ranks · count).  f32, f64 and integers. */
WK_API wk_status wk_reduce_scatter(wk_group *group, wk_tensor *in, wk_tensor *out, wk_reduce op, wk_work **work);
WK_API wk_status wk_barrier(wk_group *group);

/* Wait for the end, give the handle back, and tell how it went. */
WK_API wk_status wk_work_wait(wk_work *work);
WK_API bool wk_work_done(const wk_work *work);
/* Seconds that it took on the wire; 0 before the end. */
WK_API double wk_work_seconds(const wk_work *work);

/* ---- data-parallel training
 * ------------------------------------------------------------------------------------------ */

typedef struct wk_ddp wk_ddp;
/* What gradients are while they travel.  The half types halve the bytes: each rank divides its gradients by the number
 * of ranks, rounds, and the sum is made in the half type (PyTorch's fp16_compress_hook and bf16_compress_hook). */
typedef enum wk_ddp_compression { WK_DDP_PLAIN, WK_DDP_FP16, WK_DDP_BF16, WK_DDP_POWER_SGD } wk_ddp_compression;
/* PowerSGD (Vogels et al. 2019, arXiv 1905.13727), with the names, defaults and steps of PyTorch's powerSGD_hook: from
 * the backward `start_iter` on (counted from 0) a gradient (n, m) travels as (n + m) · rank numbers, where that is less
 * by min_compression_rate.  What is lost is each rank's own to add to its next gradient, so a resumed run goes on
 * without it. */
typedef struct wk_power_sgd_opts {
    int rank;                         /* matrix_approximation_rank; 0 means 1 */
    int64_t start_iter;               /* start_powerSGD_iter; 0 means 1000 */
    double min_compression_rate;      /* 0 means 2 */
    bool no_error_feedback;           /* what is left out is forgotten */
    bool no_warm_start;               /* each round begins with noise, not with the last round's matrices */
    double orthogonalization_epsilon; /* added to norms of columns; a column of zeros stays one even with 0 */
    uint64_t random_seed;             /* of the noise */
} wk_power_sgd_opts;
typedef struct wk_ddp_opts {
    int64_t first_bucket_bytes; /* of the first bucket, and of what a larger last one keeps; 0 means 1 MiB */
    int64_t bucket_bytes;       /* 0 means 25 MiB */
    bool keep_order;            /* buckets stay in the reverse order of the parameters; false: the first backward with
                                   exchange notes in which order gradients come, and before they are sent buckets are cut
                                   anew in that of rank 0, once (PyTorch's rebuilt buckets) */
    int compress;               /* wk_ddp_compression */
    wk_power_sgd_opts power_sgd;
    int64_t local_after;  /* post-local SGD (Lin et al. 2018, arXiv 1808.07217): after so many backwards with exchange
                             gradients are each rank's own, and wk_ddp_stepped averages parameters; 0: never */
    int64_t local_period; /* it does so after each so many steps; 0 means 4 */
    const char *ignored;  /* a POSIX extended regular expression: parameters and buffers whose name it matches are
                             each rank's own, not copied and not averaged; NULL: none */
} wk_ddp_opts;
/* Make a module's replicas one model: checks that every rank has the same parameters, copies rank 0's parameters and
 * buffers to all, and from then on averages gradients over the ranks while backward runs.  After wk_backward returns
 * they are complete and equal everywhere; that of a parameter which no rank used is empty.  Gradients become views of
 * buckets.  Both the group and the module must outlive it, and no parameter may be added meanwhile.  Errors: NULL;
 * WK_INVALID where models differ (on every rank), or where all is ignored; WK_DTYPE for parameters other than f32 and
 * f64. */
WK_API wk_ddp *wk_ddp_create(wk_group *group, wk_module *module, wk_ddp_opts opts);
WK_API void wk_ddp_destroy(wk_ddp *ddp);
/* Copy rank 0's buffers to all ranks.  While training each rank gathers running statistics of its own; before an
 * evaluation that the ranks share, call this.  PyTorch copies them before every forward: for batch normalisation the
 * outcome is the same. */
WK_API wk_status wk_ddp_broadcast_buffers(wk_ddp *ddp);
/* Without exchange until set back: gradients accumulate locally; the next backward with exchange sends the sum. */
WK_API void wk_ddp_no_sync(wk_ddp *ddp, bool no_sync);
/* After each step of the optimizer, on every rank: averages parameters over the ranks when that is due (local_after);
 * nothing otherwise.  Between two averages the ranks have weights of their own: what rank 0 saves is its own. */
WK_API wk_status wk_ddp_stepped(wk_ddp *ddp);
/* For ranks with unlike numbers of batches: every rank calls it before each step, saying whether it has a batch for it.
 * While another rank has one *goes_on is true, and a rank without one takes part in the exchange from inside of this
 * call: after it, it has the same gradients as the others (their mean over all ranks, its own counting as 0) and steps
 * its optimizer as they do, so that all weights stay equal.  WK_UNSUPPORTED, on every rank, with wk_sync_batch_norm. */
WK_API wk_status wk_ddp_join(wk_ddp *ddp, bool has_batch, bool *goes_on);
/* In which bucket a parameter's gradient travels: the number of those that are sent before it; -1: in none. */
WK_API int wk_ddp_bucket(const wk_ddp *ddp, const wk_tensor *parameter);
/* Seconds of the last backward that its end waited for the exchange: what was not hidden. */
WK_API double wk_ddp_exposed_seconds(const wk_ddp *ddp);

/* From now on the BatchNorm modules of the tree normalise, while they train, with mean and variance over the batches of
 * all ranks, which may differ in size (torch.nn.SyncBatchNorm.convert_sync_batchnorm); in evaluation nothing changes.
 * Every rank must call it, run the same modules in the same order, and run backward through them.  Steps of such a
 * model are not replayed, and there are no gradients of gradients.  Gives how many there are.  `group` NULL: each rank
 * its own again. */
WK_API int wk_sync_batch_norm(wk_module *module, wk_group *group);

/* ---- ZeRO, stage 1 (Rajbhandari et al. 2020): the optimizer's state shared out among the ranks ---- */

typedef struct wk_zero wk_zero;
/* Each parameter belongs to one rank, largest first to the rank that has least (as torch's ZeroRedundancyOptimizer
 * does); only there does it have state.  From now on wk_optim_step updates what belongs to this rank, and sends and
 * receives parameters until all ranks have all: every rank must call it.  Gradients must be equal on all ranks
 * (wk_ddp); the outcome then has the bits of the optimizer as it was.  wk_optim_state is what this rank has.  Both must
 * outlive it, and no group may be added to the optimizer.  Errors: NULL; WK_UNSUPPORTED (L-BFGS, whose state is one
 * vector; an optimizer that has stepped already). */
WK_API wk_zero *wk_zero_create(wk_group *group, wk_optim *optim);
/* The optimizer steps alone from then on: destroy it first. */
WK_API void wk_zero_destroy(wk_zero *zero);
/* All ranks call it: on rank `root` wk_optim_state is whole then, as if nothing were shared out, until
 * wk_zero_gathered_release there; for checkpoints, from which any number of ranks can go on. */
WK_API wk_status wk_zero_gather(wk_zero *zero, int root);
WK_API void wk_zero_gathered_release(wk_zero *zero);

#ifdef __cplusplus
}
#endif
#endif

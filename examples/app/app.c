/* app.c: a program that is launched and says what it does: ranks, errors, results, tracking.  Needs libwickapp alone.
 *
 *   gcc app.c -lwickapp -o app
 *   wick run utils.binary --entrypoint ./app --num_replicas 2 --wait --log -- results
 *
 * With a tracker in .torchxconfig, `wick tracker list metadata HANDLE` shows what it noted.  A second argument makes it
 * fail: "error" by a message, "crash" by a signal; `wick status` shows which.
 */
#include <wick/app.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* A training run stands here: the mean of the ranks' losses. */
static wk_status train(double *loss) {
    double sum = 0;
    WK_TRY(wk_job_sum(1.0 / (1 + wk_job_rank()), 60, &sum));
    *loss = sum / wk_job_world_size();
    return WK_OK;
}

static wk_status note(const char *results, double loss) {
    wk_field settings[] = { wk_field_float("lr", 0.1), wk_field_int("epochs", 3), wk_field_text("data", "fashion") };
    wk_field shape[] = { wk_field_int("parameters", 7850) };
    wk_field outcome[] = { wk_field_float("loss/mean", loss) };
    WK_TRY(wk_job_add_metadata(settings, 3));
    WK_TRY(wk_job_add_artifact("model", "/models/fashion.safetensors", shape, 1));
    return wk_results_put(results, "trial_0", outcome, 1);
}

static int run(int argc, char **argv) {
    double loss = 0;
    const char *wish = argc > 2 ? argv[2] : "";
    if (argc < 2) {
        (void)fprintf(stderr, "usage: app FOLDER [error|crash]\n");
        return 2;
    }
    if (strcmp(wish, "crash") == 0) (void)raise(SIGSEGV);
    if (strcmp(wish, "error") == 0) return wk_fail(WK_FORMAT, "images: expected 28x28, got 32x32"), 1;
    if (wk_job_rank0_first_begin(60) != WK_OK) return 1;
    (void)printf("rank %d looks for the data\n", wk_job_rank()); /* rank 0 fetched it before the others came here */
    if (wk_job_rank0_first_end(60) != WK_OK) return 1;
    if (train(&loss) != WK_OK) return 1;
    if (wk_job_is_rank0() && note(argv[1], loss) != WK_OK) return 1;
    (void)printf("rank %d of %d: loss %g\n", wk_job_rank(), wk_job_world_size(), loss);
    return 0;
}

int main(int argc, char **argv) {
    return wk_record(run, argc, argv);
}

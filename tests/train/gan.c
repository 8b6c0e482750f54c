/* gan.c: two optimizers in a step: the example of a DCGAN, small. */
#include "train/support.h"
#include "wick/io.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_up(void) {
    run_set_up("train_gan", 48);
    char text[900];
    (void)snprintf(text, sizeof text,
                   "plugins: [ %s ]\nseed: 999\nwrapper: { name: dcgan, args: { latent: 8, width: 4 } }\n"
                   "optimizer: { name: Adam, args: { lr: 2e-4, betas: [0.5, 0.999] } }\n"
                   "trainer: { log_every_n_steps: 1, max_epochs: 2 }\n",
                   WICK_DCGAN);
    run_write(text);
}
TestSuite(gan, .init = set_up, .fini = run_tear_down);

static double norm_of_change(const char *prefix) {
    wk_scope scope = wk_scope_begin();
    wk_safetensors *file = wk_safetensors_open(run_path("checkpoints/last.safetensors"));
    cr_assert_not_null(file);
    double sum = 0;
    for (int i = 0; i < wk_safetensors_count(file); i++) {
        const char *name = wk_safetensors_name(file, i);
        if (strncmp(name, prefix, strlen(prefix)) != 0 || !strstr(name, "exp_avg.")) continue;
        wk_tensor *t = wk_safetensors_get(file, name);
        for (int64_t k = 0; k < wk_count(t); k++) sum += wk_at(t, k) * wk_at(t, k);
    }
    wk_safetensors_close(file);
    wk_scope_end(scope);
    return sum;
}

Test(gan, both_sides_learn_and_resume_with_the_same_bytes) {
    free(run_succeeds(NULL));
    char *csv = run_text("metrics.csv");
    static const char *const names[] = { ",critic_loss", ",generator_loss", ",val_real", ",val_drawn", ",val_gap" };
    for (int i = 0; i < 5; i++) cr_expect_not_null(strstr(csv, names[i]), "%s", csv);
    free(csv);
    cr_expect_gt(norm_of_change("optimizer."), 0, "the critic's optimizer");
    cr_expect_gt(norm_of_change("optimizer1."), 0, "the generator's optimizer");
    run_set_aside("whole");
    free(run_succeeds(WORDS("-o", "trainer.max_epochs=1")));
    free(run_succeeds(WORDS("--resume")));
    run_same_checkpoint("whole", "checkpoints/last.safetensors");
}

Test(gan, on_two_ranks) {
    char *err = NULL;
    cr_assert_eq(run_ranks(&err, WORDS("-o", "trainer.max_epochs=1")), 0, "%s", err);
    free(err);
    cr_expect_gt(norm_of_change("optimizer1."), 0);
}

Test(gan, what_a_wrapper_that_steps_cannot_have) {
    run_refused("wrapper \"dcgan\" steps by itself: trainer.accumulate_grad_batches is not possible with it",
                WORDS("-o", "trainer.accumulate_grad_batches=2"));
    run_refused("trainer.nan: skip is not possible with it", WORDS("-o", "trainer.nan=skip"));
}

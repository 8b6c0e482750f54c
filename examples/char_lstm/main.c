/* main.c: a character LSTM learns a text and writes on.
 *
 *   char_lstm TEXT [STEPS [CHARACTERS]]
 *
 * Bytes are the vocabulary.  The text is read by 16 readers at once, each from a place of its own, 32 characters a
 * step; their states are carried from step to step, gradients are not.
 */
#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>

enum { READERS = 16, LENGTH = 32, VOCABULARY = 256 };

/* The bytes of a file; NULL if it cannot be read or is too short. */
static unsigned char *read_text(const char *path, long *size) {
    unsigned char *text = NULL;
    FILE *file = fopen(path, "rb");
    if (file && fseek(file, 0, SEEK_END) == 0 && (*size = ftell(file)) > READERS * (LENGTH + 1)) {
        rewind(file);
        text = malloc((size_t)*size);
        if (text && fread(text, 1, (size_t)*size, file) != (size_t)*size) free(text), text = NULL;
    }
    if (file) (void)fclose(file);
    if (!text) (void)fprintf(stderr, "char_lstm: cannot read %s, or it is too short\n", path);
    return text;
}

/* (READERS, LENGTH) characters: reader r's begin at r · stride + at. */
static wk_tensor *characters(const unsigned char *text, long stride, long at) {
    int64_t tokens[READERS * LENGTH];
    for (int i = 0; i < READERS * LENGTH; i++) tokens[i] = text[i / LENGTH * stride + at + i % LENGTH];
    return wk_from_array(WK_I64, WK_DIMS(READERS, LENGTH), tokens);
}

/* New states take the place of the old ones, outside of all scopes and graphs. */
static void carry(wk_nn_states *kept, wk_nn_states fresh) {
    wk_release(kept->h), wk_release(kept->c);
    *kept = (wk_nn_states){ wk_keep(fresh.h), wk_keep(fresh.c) };
}

/* One step on the characters from `at` on: each is to tell the next.  Gives the loss. */
static double train(wk_module *model, wk_optim *optim, const unsigned char *text, long stride, long at,
                    wk_nn_states *state) {
    wk_scope scope = wk_scope_begin();
    wk_nn_states last;
    wk_tensor *logits = wk_char_lstm_run(model, characters(text, stride, at), *state, &last);
    wk_tensor *next = wk_reshape(characters(text, stride, at + 1), WK_DIMS(-1));
    wk_tensor *loss =
        wk_cross_entropy(wk_reshape(logits, WK_DIMS(-1, VOCABULARY)), next, (wk_cross_entropy_opts){ .reduction = 0 });
    wk_zero_grad(optim);
    (void)wk_backward(loss);
    (void)wk_clip_grad_norm(optim, 1, NULL);
    (void)wk_optim_step(optim);
    carry(state, last);
    double value = wk_failed() ? 0 : wk_item(loss);
    wk_scope_end(scope);
    return value;
}

/* Draw a character by its probability. */
static int64_t draw(wk_tensor *logits /* (1, 1, VOCABULARY) */) {
    float p[VOCABULARY], u = 0, sum = 0;
    if (wk_copy_out(wk_softmax(logits, (wk_axis_opts){ { 0 } }), p, sizeof p) != WK_OK) return 0;
    wk_random_uniform_f32(wk_default_generator(), &u, 1, 0, 1);
    for (int i = 0; i < VOCABULARY; i++)
        if ((sum += p[i]) > u) return i;
    return VOCABULARY - 1;
}

static void write_on(wk_module *model, int64_t character, long count) {
    wk_nn_states state = { 0 };
    bool was = wk_no_grad_begin();
    for (; count > 0 && !wk_failed(); count--) {
        wk_scope scope = wk_scope_begin();
        wk_nn_states last;
        (void)putchar((int)character);
        character = draw(wk_char_lstm_run(model, wk_from_array(WK_I64, WK_DIMS(1, 1), &character), state, &last));
        carry(&state, last);
        wk_scope_end(scope);
    }
    (void)putchar('\n');
    carry(&state, (wk_nn_states){ 0 });
    wk_no_grad_end(was);
}

int main(int argc, char **argv) {
    long size = 0, steps = argc > 2 ? strtol(argv[2], NULL, 10) : 1000,
         count = argc > 3 ? strtol(argv[3], NULL, 10) : 500;
    if (argc < 2) return (void)fprintf(stderr, "usage: char_lstm TEXT [STEPS [CHARACTERS]]\n"), 2;
    unsigned char *text = read_text(argv[1], &size);
    if (!text) return 1;
    wk_manual_seed(0);
    wk_module *model = wk_char_lstm((wk_char_lstm_opts){ .vocabulary = VOCABULARY });
    wk_optim *optim = wk_adam(wk_parameters(model), (wk_adam_opts){ .lr = 3e-3 });
    wk_nn_states state = { 0 };
    const long stride = size / READERS, pieces = (stride - 1) / LENGTH;
    for (long step = 0; step < steps && !wk_failed(); step++) {
        if (step % pieces == 0) carry(&state, (wk_nn_states){ 0 });
        double loss = train(model, optim, text, stride, step % pieces * LENGTH, &state);
        if (step % 50 == 0 || step == steps - 1) (void)printf("step %ld loss %.4f\n", step, loss);
    }
    write_on(model, text[0], count);
    carry(&state, (wk_nn_states){ 0 });
    wk_optim_destroy(optim);
    wk_module_destroy(model);
    free(text);
    return wk_failed() ? (int)wk_report(stderr) : 0;
}

/* sequence.c: models over features and tokens against PyTorch (tests/golden/models/sequence.py). */
#define WK_NO_CALL_SITES
#include "models/check.h"

static wk_module *mlp(void) {
    return wk_mlp((wk_mlp_opts){ .in_features = 12, .hidden = 8, .classes = 4, .layers = 2 });
}
static wk_tensor *mlp_input(void) {
    return model_wave(WK_DIMS(5, 3, 4));
}

static const model_case cases[] = {
    { "mlp", mlp, mlp_input, NULL, false, 0 },
};

Test(sequence, models_as_pytorch) {
    model_check("models/sequence.safetensors", cases, (int)(sizeof cases / sizeof cases[0]));
}

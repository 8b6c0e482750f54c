/* wick/tasks.h: what networks of the literature are trained for: folders of published networks, and the commands.  The
 * names that a run's file may use (data "text", wrapper "language_model", …) are printed by `wick train --schema`;
 * docs/tasks.md shows a run of each.
 */
#ifndef WICK_TASKS_H
#define WICK_TASKS_H

#include "wick/nn.h"
#include "wick/text.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- folders in Hugging Face's layout ---- */

typedef struct wk_pretrained_opts {
    int64_t labels; /* more than 0: with a classifier of so many classes on top (bert, roberta) */
} wk_pretrained_opts;
/* The network of a folder with config.json and model.safetensors, of "model_type" gpt2 (wk_gpt2), bert or roberta
 * (wk_bert, wk_roberta, or theirs for sequence classification), in training mode; the caller destroys it.  Tensors are
 * found by the names that transformers gives them with or without a head; f16 and bf16 become f32.  Those of a
 * classifier or pooler that the file has not begin as drawn, which is told in the log.  Its tokenizer is opened by
 * wk_tokenizer_open(folder).  Errors: WK_NOT_FOUND (a file, a tensor), WK_FORMAT, WK_SHAPE, WK_UNSUPPORTED (another
 * kind of network, activation or place). */
WK_API wk_module *wk_pretrained_open(const char *folder, wk_pretrained_opts opts);
/* The reverse: config.json, model.safetensors and, unless it is NULL, tokenizer.json with tokenizer_config.json, so
 * that transformers' AutoModel… and AutoTokenizer open the folder, which is made.  labels: the classes' names, ended by
 * NULL; or NULL.  Errors: WK_UNSUPPORTED (a network that transformers has not), WK_IO. */
WK_API wk_status wk_pretrained_save(wk_module *model, const wk_tokenizer *tokenizer, const char *const *labels,
                                    const char *folder);

/* ---- commands ---- */

/* generate MODEL [--prompt TEXT] [--tokens N] …: see --help.  The exit code: 0; 1: an error, which was reported; 2:
 * usage. */
WK_API int wk_generate_main(int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif

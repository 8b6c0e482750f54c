/* tasks.h: what networks of the literature are trained for: data, wrappers and models by name, beside those that every
 * run needs (src/train).  This floor registers them as a plug-in would. */
#ifndef WICK_SRC_TASKS_H
#define WICK_SRC_TASKS_H

#include "base/base.h"
#include "wick/text.h"
#include "wick/train.h"

/* ---- what is registered (list.c), each list ended by an entry without a name ---- */

extern const wk_model_entry wk__task_models[];          /* models.c */
extern const wk_data_entry wk__text_data;               /* text_data.c */
extern const wk_data_entry wk__tokens_data;             /* tokens.c */
extern const wk_data_entry wk__labelled_texts;          /* labelled_texts.c */
extern const wk_data_entry wk__csv_data;                /* csv_data.c */
extern const wk_data_entry wk__arrays_data;             /* arrays.c */
extern const wk_data_entry wk__shapes_data;             /* shapes.c */
extern const wk_data_entry wk__pictures_data;           /* pictures.c */
extern const wk_data_entry wk__implicit_downsampled;    /* implicit_data.c */
extern const wk_data_entry wk__implicit_paired;         /* implicit_data.c */
extern const wk_wrapper_entry wk__implicit;             /* implicit.c */
extern const wk_wrapper_entry wk__segmentation;         /* segmentation.c */
extern const wk_wrapper_entry wk__text_classifier;      /* text_classifier.c */
extern const wk_callback_entry wk__pretrained_callback; /* save_pretrained.c */
extern const wk_wrapper_entry wk__language_model;       /* language.c */

/* ---- text_data.c: windows of a text's tokens ---- */

/* The tokenizer of such data, which owns it; NULL without an error for other data. */
const wk_tokenizer *wk__text_data_tokenizer(const wk_dataset *data);

/* ---- labelled_texts.c: texts and their classes ---- */

/* NULL without an error for other data; labels are ended by NULL.  Both belong to the data. */
const wk_tokenizer *wk__labelled_texts_tokenizer(const wk_dataset *data);
const char *const *wk__labelled_texts_labels(const wk_dataset *data);

/* ---- shrink.c: pictures ---- */

/* (channels, from[0], from[1]) → (channels, to[0], to[1]), of values from 0 to 1.  Errors: WK_NO_MEMORY. */
WK_API wk_status wk__shrink(const float *picture, int64_t channels, const int64_t from[2], const int64_t to[2],
                            float *out);

/* ---- lm.c: a language model that goes on with a text, token by token ---- */

typedef struct wk__lm wk__lm;
/* `model` is a wk_gpt2 or a wk_char_lstm in evaluation mode, and must outlive it; `recompute`: nothing is kept from
 * token to token, for comparison.  NULL with an error pending: another model. */
wk__lm *wk__lm_create(wk_module *model, bool recompute);
void wk__lm_destroy(wk__lm *lm);
/* Take up `count` tokens; scores (vocabulary) of the next, which belong to it and stay until the next call.  Where a
 * context is full it goes on from the last half of what it has seen. */
const float *wk__lm_take(wk__lm *lm, const int32_t *tokens, int64_t count);
int64_t wk__lm_vocabulary(const wk__lm *lm);

/* ---- open.c: a trained language model ---- */

typedef struct wk__language {
    wk_module *model; /* in evaluation mode */
    wk_tokenizer *tokenizer;
    int32_t end; /* the token that ends a text; -1: none */
} wk__language;
/* `path`: a run's directory, a checkpoint in one, or a folder in Hugging Face's layout. */
wk_status wk__language_open(wk__language *l, const char *path);
void wk__language_close(wk__language *l);

/* ---- sample.c: choosing a token ---- */

typedef struct wk__sample_opts {
    double temperature; /* 0: the likeliest */
    int64_t top_k;      /* of so many likeliest; 0: of all */
    double top_p;       /* of the likeliest whose probabilities add up to this; 1: of all */
} wk__sample_opts;
/* One of `count` scores; u is uniform in [0, 1).  -1 with an error pending: no memory, a score that is no number. */
WK_API int32_t wk__sample(const float *scores, int64_t count, wk__sample_opts opts, double u);

#endif

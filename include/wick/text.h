/* wick/text.h: tokenizers: text to numbers and back, by the files of Hugging Face's `tokenizers`.
 *
 * A tokenizer does not change once it is open, and any number of threads may use it.  Texts are UTF-8 of any bytes but
 * malformed ones; positions are counted in bytes.
 */
#ifndef WICK_TEXT_H
#define WICK_TEXT_H

#include "wick/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_tokenizer wk_tokenizer;

/* `path`: a tokenizer.json, a vocab.txt (BERT), or a folder with tokenizer.json, else vocab.txt, vocab.json and
 * merges.txt (GPT-2, RoBERTa), or encoder.json and vocab.bpe (GPT-2 as first published).  In a folder, the
 * tokenizer_config.json beside older files says what they cannot (do_lower_case, the special tokens).  Errors: WK_IO,
 * WK_FORMAT (with the place in the file), WK_UNSUPPORTED (a part this library does not have, by name). */
WK_API wk_tokenizer *wk_tokenizer_open(const char *path);
WK_API void wk_tokenizer_destroy(wk_tokenizer *tokenizer);
/* As tokenizer.json, atomically. */
WK_API wk_status wk_tokenizer_save(const wk_tokenizer *tokenizer, const char *path);

/* Tokens with the added ones: ids are below this. */
WK_API int32_t wk_tokenizer_size(const wk_tokenizer *tokenizer);
/* -1 if there is no such token (no error). */
WK_API int32_t wk_tokenizer_id(const wk_tokenizer *tokenizer, const char *token);
/* As the file spells it ("##ing", "Ġthe"); NULL if there is no such id (no error). */
WK_API const char *wk_tokenizer_token(const wk_tokenizer *tokenizer, int32_t id);

/* ---- encoding ---- */

typedef struct wk_span {
    uint32_t begin, end; /* bytes of the text */
} wk_span;

/* One text, or a pair, as tokens.  All arrays (count). */
typedef struct wk_encoding {
    int32_t count;
    int32_t *ids, *type_ids;
    int32_t *words;     /* the word of its text that a token is part of; -1 for what was put in */
    int8_t *sequences;  /* 0: of the text, 1: of the pair, -1: put in */
    uint8_t *special;   /* 1: put in by the template, or padding */
    uint8_t *attention; /* 0: padding */
    wk_span *offsets;   /* where in its text a token comes from; {0, 0} for what was put in */
} wk_encoding;

typedef enum wk_truncation {
    WK_TRUNCATE_FILE,          /* as the file says */
    WK_TRUNCATE_LONGEST_FIRST, /* cut the longer one of a pair */
    WK_TRUNCATE_ONLY_FIRST,
    WK_TRUNCATE_ONLY_SECOND,
    WK_TRUNCATE_NEVER
} wk_truncation;
typedef enum wk_padding {
    WK_PAD_FILE,    /* as the file says */
    WK_PAD_LONGEST, /* of the batch */
    WK_PAD_MAX,     /* to max_length */
    WK_PAD_NEVER
} wk_padding;
typedef struct wk_encode_opts {
    bool plain; /* nothing is put in: no [CLS], no [SEP] */
    wk_truncation truncation;
    wk_padding padding;
    int32_t max_length;  /* tokens, with what is put in; 0: the file's, or no limit */
    int32_t multiple_of; /* padded lengths are multiples of this; 0: the file's, or 1 */
} wk_encode_opts;

/* `pair` may be NULL.  Free with wk_encoding_free.  Errors: WK_FORMAT (malformed UTF-8, with its place), WK_INVALID (a
 * max_length without room for what is put in). */
WK_API wk_encoding *wk_tokenizer_encode(const wk_tokenizer *tokenizer, const char *text, const char *pair,
                                        wk_encode_opts opts);
/* The same of texts with a length, which may hold NULs. */
WK_API wk_encoding *wk_tokenizer_encode_bytes(const wk_tokenizer *tokenizer, const char *text, size_t size,
                                              const char *pair, size_t pair_size, wk_encode_opts opts);
WK_API void wk_encoding_free(wk_encoding *encoding);

/* Texts as scoped tensors of i64 (n, length): numbers, 1 where there is a token, types.  Without padding in opts or in
 * the file, to the longest.  mask and types may be NULL. */
WK_API wk_status wk_tokenizer_batch(const wk_tokenizer *tokenizer, const char *const *texts, const char *const *pairs,
                                    int64_t n, wk_encode_opts opts, wk_tensor **ids, wk_tensor **mask,
                                    wk_tensor **types);

/* The text of tokens, with a NUL behind it; free with wk_free.  Numbers without a token are left out.  size: its bytes,
 * NULL if it is not asked for. */
WK_API char *wk_tokenizer_decode(const wk_tokenizer *tokenizer, const int32_t *ids, int64_t count, bool skip_special,
                                 size_t *size);

/* ---- training ---- */

typedef enum wk_tokenizer_kind { WK_TOKENIZER_BPE, WK_TOKENIZER_WORDPIECE, WK_TOKENIZER_UNIGRAM } wk_tokenizer_kind;
typedef struct wk_tokenizer_train_opts {
    wk_tokenizer_kind kind;     /* BPE: on bytes, as GPT-2; WORDPIECE: as BERT; UNIGRAM: as SentencePiece */
    int32_t size;               /* of the vocabulary; 0: 30000, UNIGRAM: 8000 */
    int32_t least;              /* pairs that are rarer are not merged; 0: 0 */
    bool keep_case;             /* WORDPIECE: do not lower-case and strip accents */
    const char *const *special; /* tokens to begin with, ended by NULL; NULL: [PAD] [UNK] [CLS] [SEP] [MASK] for
                                   WORDPIECE, none for BPE */
    /* Of UNIGRAM, as those of `tokenizers`' UnigramTrainer. */
    const char *unknown;     /* the token of what is in no piece: put before the special ones unless it is one of them;
                                NULL: <unk> */
    double shrinking_factor; /* of the pieces so many are left by each cut; 0: 0.75 */
    int32_t max_piece_length, n_sub_iterations, seed_size; /* characters of a piece, 0: 16; rounds of estimation between
                                                              two cuts, 0: 2; pieces to begin with, 0: 1000000 */
} wk_tokenizer_train_opts;
/* Give `next` the file's or dataset's texts one after the other: it sets text and size and answers true until there are
 * no more.  Equal texts give equal tokenizers; BPE's merges are those that `tokenizers` learns (of WordPiece it leaves
 * the order of equally frequent pairs to chance, of Unigram that in which it adds).  Errors: NULL; WK_INVALID (options;
 * a Unigram vocabulary smaller than the characters of the texts). */
WK_API wk_tokenizer *wk_tokenizer_train(bool (*next)(void *context, const char **text, size_t *size), void *context,
                                        wk_tokenizer_train_opts opts);

/* A tokenizer whose tokens are the characters of a text, in the order of their code points: for models that spell.
 * Encoding a character that the text has not is WK_NOT_FOUND.  Errors: WK_FORMAT (malformed UTF-8, a NUL),
 * WK_INVALID (no text). */
WK_API wk_tokenizer *wk_tokenizer_characters(const char *text, size_t size);

/* ---- commands ---- */

/* tokenize FILE-OR-FOLDER [TEXT …]: see --help. */
WK_API int wk_tokenize_main(int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif

/* train.h: what the files that learn vocabularies share: counted words (train.c), one way to learn a file. */
#ifndef WICK_SRC_TEXT_TRAIN_H
#define WICK_SRC_TEXT_TRAIN_H

#include "text.h"

enum { WK__LONGEST_PIECE = 255 /* characters */ };

typedef struct wk__met { /* words met, in the order in which they came */
    wk_text bytes;
    uint32_t *begin, *table;
    int64_t *counts;
    uint32_t count, room, slots;
} wk__met;

/* ---- seeds.c ---- */

typedef struct wk__piece_list { /* pieces with their scores; bytes stand one behind the other */
    wk_text bytes;
    uint32_t *begin; /* (count + 1) */
    double *scores;
    uint32_t count, room;
} wk__piece_list;
bool wk__pieces_add(wk__piece_list *pieces, const char *bytes, uint32_t size, double score);
void wk__pieces_free(wk__piece_list *pieces);
/* Characters of the words, and what stands in them more than once: longest and most frequent first, `most` in all, of
 * `longest` characters at most.  Scores are logarithms of shares. */
wk_status wk__seeds(const wk__met *words, uint32_t longest, uint32_t most, wk__piece_list *out);

/* ---- lattice.c: all ways to cut a word into pieces ---- */

typedef struct wk__lattice wk__lattice;
wk__lattice *wk__lattice_make(uint32_t longest_word /* in bytes */, uint32_t longest_piece /* in characters */);
void wk__lattice_free(wk__lattice *lattice);
/* The pieces to cut by, until the next call; piece 0 stands for what is in none.  They must outlive their use. */
wk_status wk__lattice_use(wk__lattice *lattice, const wk__piece_list *pieces);
/* Adds to each piece how often it is met in `count` times this word, over all ways to cut it. */
void wk__lattice_expect(wk__lattice *lattice, const char *word, uint32_t size, double count,
                        double *expected /* (pieces) */);
/* The best way to cut (second: the second best), as pieces from the last to the first; how many, 0: there is none. */
uint32_t wk__lattice_cut(wk__lattice *lattice, const char *word, uint32_t size, bool second, const int32_t **pieces);

/* unigram_train.c: {"type": "Unigram", …}, the vocabulary led by special tokens. */
json_t *wk__unigram_learn(const wk__met *words, wk_tokenizer_train_opts opts);

#endif

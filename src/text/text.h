/* text.h: the parts of a tokenizer.
 *
 * A text runs through them in this order: added tokens are cut out (added.c), what is left is normalised (normal.c),
 * split into words (split.c), each word becomes tokens of the model (model.c and one file a kind), and what the
 * template wants is put around them (finish.c).  Texts are `wk__line`s: bytes that know where they come from.
 */
#ifndef WICK_SRC_TEXT_H
#define WICK_SRC_TEXT_H

#include "base/base.h"
#include "wick/text.h"

#include <jansson.h>
#include <string.h>

/* ---- unicode.c ---- */

/* The code point at `at` (valid UTF-8), whose bytes are *size. */
static inline int32_t wk__utf8(const char *at, uint32_t *size) {
    const unsigned char *b = (const unsigned char *)at;
    if (b[0] < 0x80) return *size = 1, b[0];
    if (b[0] < 0xE0) return *size = 2, (b[0] & 0x1F) << 6 | (b[1] & 0x3F);
    if (b[0] < 0xF0) return *size = 3, (b[0] & 0x0F) << 12 | (b[1] & 0x3F) << 6 | (b[2] & 0x3F);
    return *size = 4, (b[0] & 0x07) << 18 | (b[1] & 0x3F) << 12 | (b[2] & 0x3F) << 6 | (b[3] & 0x3F);
}
/* The bytes of a code point; how many. */
uint32_t wk__utf8_put(int32_t point, char *out /* (4) */);
/* WK_OK, or WK_FORMAT with the place of the first byte that is no UTF-8. */
wk_status wk__utf8_check(const char *text, size_t size);
/* The place of the character before `at`. */
static inline uint32_t wk__utf8_before(const char *bytes, uint32_t at) {
    do at--;
    while (at > 0 && ((unsigned char)bytes[at] & 0xC0) == 0x80);
    return at;
}
bool wk__is_space(int32_t point);       /* White_Space */
bool wk__is_letter(int32_t point);      /* L */
bool wk__is_number(int32_t point);      /* N */
bool wk__is_word(int32_t point);        /* \w: letters, marks, decimal digits, connectors, joiners */
bool wk__is_punctuation(int32_t point); /* P, and what ASCII has of S */
bool wk__is_accent(int32_t point);      /* Mn: what BERT strips */
bool wk__is_mark(int32_t point);        /* M: what StripAccents strips */
bool wk__is_other(int32_t point);       /* C, but unassigned ones */
bool wk__is_chinese(int32_t point);     /* what BERT takes for Chinese */
/* The small letters of a letter; how many. */
int wk__small(int32_t point, int32_t out[2]);

/* ---- lines: texts that know where they come from ---- */

typedef struct wk__line {
    const char *bytes;
    const wk_span *from; /* (size) of each byte; NULL: byte i is byte shift + i of the text */
    uint32_t size, shift;
} wk__line;
/* Where the bytes [begin, end) come from; begin < end. */
wk_span wk__line_from(const wk__line *line, uint32_t begin, uint32_t end);

typedef struct wk__buffer { /* a line being written */
    char *bytes;
    wk_span *from;
    uint32_t size, capacity;
} wk__buffer;
/* False, with WK_NO_MEMORY pending, when there is no room. */
bool wk__buffer_add(wk__buffer *buffer, const char *bytes, uint32_t size, wk_span from);
/* Bytes that come from where the line's do. */
bool wk__buffer_copy(wk__buffer *buffer, const wk__line *line, uint32_t begin, uint32_t end);
bool wk__buffer_point(wk__buffer *buffer, int32_t point, wk_span from);
wk__line wk__buffer_line(const wk__buffer *buffer);
void wk__buffer_free(wk__buffer *buffer);

typedef struct wk__spans { /* a growing list */
    wk_span *at;
    uint32_t count, capacity;
} wk__spans;
bool wk__spans_add(wk__spans *spans, uint32_t begin, uint32_t end);

/* ---- vocabulary.c ---- */

typedef struct wk__vocabulary {
    char *bytes;     /* all tokens, one behind the other, each with a NUL */
    uint32_t *begin; /* (size + 1), of each number; begin[i] == begin[i + 1]: there is no such number */
    uint32_t *table; /* numbers + 1 by hash, 0: free */
    uint32_t size, slots;
} wk__vocabulary;
/* By number, NULL where there is none; none of them twice (else WK_FORMAT). */
wk_status wk__vocabulary_make(wk__vocabulary *v, const char *const *tokens, const uint32_t *sizes, uint32_t count);
void wk__vocabulary_free(wk__vocabulary *v);
/* -1 if it is not there. */
int32_t wk__vocabulary_find(const wk__vocabulary *v, const char *bytes, size_t size);
static inline uint32_t wk__vocabulary_length(const wk__vocabulary *v, int32_t id) {
    return v->begin[id + 1] == v->begin[id] ? 0 : v->begin[id + 1] - v->begin[id] - 1;
}
uint64_t wk__hash_bytes(const char *bytes, size_t size);

/* ---- pattern.c: regular expressions, and fixed texts ---- */

typedef struct wk__pattern wk__pattern;
/* {"String": …} or {"Regex": …}, or a text. */
wk__pattern *wk__pattern_make(const json_t *value, const char *where);
/* The expression that GPT-2 splits by, without a library. */
wk__pattern *wk__pattern_gpt2(void);
void wk__pattern_free(wk__pattern *pattern);
/* The next match at or behind `at`; false: none.  Errors pend. */
bool wk__pattern_next(const wk__pattern *pattern, const char *bytes, uint32_t size, uint32_t at, wk_span *match);

/* ---- the parts ---- */

typedef struct wk__normaliser wk__normaliser;
wk__normaliser *wk__normaliser_make(const json_t *value); /* NULL without an error: nothing to do */
void wk__normaliser_free(wk__normaliser *n);
/* The result lies in one of the buffers, or is the line itself. */
wk_status wk__normalise(const wk__normaliser *n, wk__line in, wk__buffer buffers[2], wk__line *out);

typedef struct wk__splitter wk__splitter;
wk__splitter *wk__splitter_make(const json_t *value);
void wk__splitter_free(wk__splitter *s);
/* Whether words reach the model as bytes, which its tokens spell with the characters of GPT-2's alphabet. */
bool wk__splitter_is_bytes(const wk__splitter *s);
/* `line` comes in and goes out: the words are parts of the one that goes out, which may lie in a buffer.  first: it
 * begins the text. */
wk_status wk__split(const wk__splitter *s, wk__line *line, bool first, wk__buffer buffers[2], wk__spans words[2],
                    const wk__spans **out);

/* ---- model.c: words to tokens ---- */

typedef struct wk__token {
    int32_t id;
    uint32_t end; /* in the word; the first begins at 0, each other where the one before it ends */
} wk__token;
typedef struct wk__tokens { /* a growing list */
    wk__token *at;
    uint32_t count, capacity;
} wk__tokens;
bool wk__tokens_add(wk__tokens *tokens, int32_t id, uint32_t end);

typedef struct wk__work wk__work;
typedef struct wk__model wk__model;
typedef struct wk__model_class {
    const char *name; /* as the files spell it */
    size_t size;
    /* The vocabulary is there. */
    wk_status (*open)(wk__model *model, const json_t *value);
    void (*close)(wk__model *model);
    wk_status (*encode)(const wk__model *model, wk__work *work, const char *word, uint32_t size, wk__tokens *out);
} wk__model_class;
struct wk__model {
    const wk__model_class *class_;
    wk__vocabulary vocabulary; /* as words spell the tokens: bytes where is_bytes */
    char *shown;               /* as the file spells them, if that differs */
    uint32_t *shown_begin;     /* (size + 1) */
    int32_t unknown;           /* -1: none */
    bool is_bytes;
};
extern const wk__model_class wk__wordpiece, wk__bpe, wk__unigram, wk__wordlevel;
wk__model *wk__model_make(const json_t *value, bool is_bytes);
void wk__model_free(wk__model *model);
const char *wk__model_token(const wk__model *model, int32_t id);
/* The number of a token spelled as in the file; -1. */
int32_t wk__model_find(const wk__model *model, const char *token);
/* Bytes spelled with GPT-2's alphabet, and back (false: not of this alphabet). */
void wk__alphabet_spell(const char *bytes, size_t size, wk_text *out);
bool wk__alphabet_read(const char *text, size_t size, wk_text *out);

/* What one thread at a time works in: buffers, lists, and the words met before. */
typedef struct wk__symbol {
    int32_t id;
    uint32_t end, rank; /* of the pair with the next one */
    int32_t merged;
} wk__symbol;
typedef struct wk__cache wk__cache;
struct wk__work {
    wk__buffer buffers[4];
    wk__spans spans[3];
    wk__tokens tokens;
    wk__symbol *symbols; /* of a word, for BPE */
    uint32_t symbol_capacity;
    void *best; /* of a word, for Unigram */
    uint32_t best_capacity;
    wk__cache *cache;
    wk__work *next; /* of the tokenizer's free ones */
};
void wk__work_free(wk__work *work);
/* The tokens of a word, from memory where it was met before; valid until the next call. */
wk_status wk__model_encode(const wk__model *model, wk__work *work, const char *word, uint32_t size,
                           const wk__token **tokens, uint32_t *count);

/* ---- added.c: tokens that are cut out of the text ---- */

typedef struct wk__added {
    char *content;
    uint32_t size;
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
    char *pattern; /* what is looked for: the content, normalised if it is matched so */
    uint32_t pattern_size;
} wk__added;
typedef struct wk__added_list {
    wk__added *at;
    uint32_t count;
    bool ascends;           /* by number, each once: found by halves */
    uint32_t *order[2];     /* by pattern's first byte and falling length: not normalised, normalised */
    uint32_t first[2][257]; /* where in the order those of a first byte begin */
} wk__added_list;
wk_status wk__added_make(wk__added_list *list, const json_t *value, const wk__normaliser *n);
void wk__added_free(wk__added_list *list);
/* The next one at or behind `at`: its bytes with the spaces it takes along; NULL: no more. */
const wk__added *wk__added_next(const wk__added_list *list, bool normalized, const wk__line *line, uint32_t at,
                                wk_span *found);
const wk__added *wk__added_by_id(const wk__added_list *list, int32_t id);

/* ---- finish.c: template, cutting, padding ---- */

typedef struct wk__piece {
    int32_t id; /* of the token put in; -1: a text */
    int8_t sequence;
    uint8_t type;
} wk__piece;
typedef struct wk__finisher {
    wk__piece *single, *pair;
    uint32_t single_count, pair_count;
    bool is_set;       /* there is a template: its types count */
    bool trim, prefix; /* spaces do not count to offsets; the first word was given one */
    wk_truncation truncation;
    int32_t max_length, multiple_of, pad_id, pad_type;
    bool cut_left, pad_left, pads, pad_fixed;
    int32_t pad_length;
} wk__finisher;
wk_status wk__finisher_make(wk__finisher *f, const json_t *root, const wk_tokenizer *tokenizer);
void wk__finisher_free(wk__finisher *f);
/* Tokens of one text on their way to an encoding. */
typedef struct wk__row {
    int32_t *ids, *words;
    wk_span *offsets;
    uint32_t count, capacity;
} wk__row;
bool wk__row_add(wk__row *row, int32_t id, int32_t word, wk_span from);
void wk__row_free(wk__row *row);
wk_encoding *wk__finish(const wk__finisher *f, wk__row *first, wk__row *second, wk_encode_opts opts);
/* Lengthen to `count` tokens. */
wk_status wk__pad(const wk__finisher *f, wk_encoding *e, int32_t count);
/* The length to which the longest of a batch is padded; 0: not at all. */
int32_t wk__pad_length(const wk__finisher *f, wk_encode_opts opts, int32_t longest);

/* ---- decode.c ---- */

typedef struct wk__decoder wk__decoder;
wk__decoder *wk__decoder_make(const json_t *value);
void wk__decoder_free(wk__decoder *d);
/* The tokens, spelled as in the file, joined. */
wk_status wk__decode(const wk__decoder *d, const char *const *tokens, size_t count, wk_text *out);

/* ---- tokenizer.c ---- */

struct wk_tokenizer {
    json_t *root; /* the file */
    wk__normaliser *normaliser;
    wk__splitter *splitter;
    wk__model *model;
    wk__added_list added;
    wk__finisher finisher;
    wk__decoder *decoder;
    struct wk__pool *pool;
    int32_t size;
};
/* Takes the reference. */
wk_tokenizer *wk__tokenizer_make(json_t *root);
/* older.c: what older files say, as a tokenizer.json. */
json_t *wk__older_files(const char *folder);
json_t *wk__older_vocabulary(const char *path, const json_t *config);
/* As BERT's and GPT-2's tokenizers, of a vocabulary (and merges), which they take; config: tokenizer_config.json or
 * NULL. */
json_t *wk__bert_json(json_t *vocab, const json_t *config);
void wk__add_special(json_t *list, const json_t *vocab, const char *content, bool lstrip);
json_t *wk__bytes_json(json_t *vocab, json_t *merges, const json_t *config);

/* ---- reading ---- */

/* Of an object: a text, a truth value; `otherwise` where it is missing or null. */
const char *wk__json_word(const json_t *value, const char *key, const char *otherwise);
bool wk__json_flag(const json_t *value, const char *key, bool otherwise);
/* "type" of a part; WK_FORMAT where it is none. */
const char *wk__json_type(const json_t *value, const char *part);

#endif

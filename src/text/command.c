/* command.c: `wick tokenize`: a text as tokens, for the eye and for scripts. */
#include "text.h"

#include <errno.h>
#include <stdlib.h>

static const char help[] =
    "usage: wick tokenize FILE [TEXT [PAIR]]    the tokens of a text, else of each line of the standard input\n"
    "       wick tokenize FILE --decode ID...   the text of tokens\n"
    "       wick tokenize --train bpe|wordpiece|unigram --size N --save FILE TEXT-FILE...\n"
    "\n"
    "FILE is a tokenizer.json, a vocab.txt, or a folder with one of them or with GPT-2's older files.\n"
    "  --ids       numbers alone, a line for each text\n"
    "  --plain     nothing is put in: no [CLS], no [SEP]\n"
    "  --save F    write the tokenizer as tokenizer.json\n"
    "\n"
    "example: wick tokenize bert-base-uncased/ \"Hello, world!\"\n";

typedef struct options {
    const char *save, *train;
    char **words; /* that are no options */
    int count;
    int32_t size;
    bool ids, plain, decode;
} options;

static int usage(const char *problem, const char *word) {
    (void)fprintf(stderr, "wick tokenize: %s%s%s%s\n%s", problem, *word ? " \"" : "", word, *word ? "\"" : "", help);
    return 2;
}

static bool read_options(int argc, char **argv, options *o) {
    o->words = argv; /* moved together to the front */
    for (int i = 1; i < argc; i++) {
        char *word = argv[i];
        bool more = i + 1 < argc;
        if (strcmp(word, "--ids") == 0)
            o->ids = true;
        else if (strcmp(word, "--plain") == 0)
            o->plain = true;
        else if (strcmp(word, "--decode") == 0)
            o->decode = true;
        else if (strcmp(word, "--save") == 0 && more)
            o->save = argv[++i];
        else if (strcmp(word, "--train") == 0 && more)
            o->train = argv[++i];
        else if (strcmp(word, "--size") == 0 && more && (o->size = (int32_t)strtol(argv[i + 1], NULL, 10)) > 0)
            i++;
        else if (strncmp(word, "--", 2) == 0 && word[2])
            return usage("unknown option, or one without its value", word), false;
        else
            o->words[o->count++] = word;
    }
    if (o->train && strcmp(o->train, "bpe") != 0 && strcmp(o->train, "wordpiece") != 0
        && strcmp(o->train, "unigram") != 0)
        return usage("--train: expected bpe, wordpiece or unigram, got", o->train), false;
    if (o->train && !o->save) return usage("--train: where to? --save FILE", ""), false;
    if (o->count == 0) return usage(o->train ? "which texts?" : "which tokenizer?", ""), false;
    if (!o->train && !o->decode && o->count > 3) return usage("one text too many", o->words[3]), false;
    return true;
}

static void print(const wk_tokenizer *t, const options *o, const wk_encoding *e) {
    for (int32_t i = 0; i < e->count; i++) {
        if (o->ids)
            (void)printf("%s%d", i ? " " : "", e->ids[i]);
        else
            (void)printf("%-7d %-16s %u-%u\n", e->ids[i], wk_tokenizer_token(t, e->ids[i]), e->offsets[i].begin,
                         e->offsets[i].end);
    }
    if (o->ids) (void)printf("\n");
}

static void encode(const wk_tokenizer *t, const options *o, const char *text, size_t size, const char *pair) {
    wk_encoding *e =
        wk_tokenizer_encode_bytes(t, text, size, pair, pair ? strlen(pair) : 0, (wk_encode_opts){ .plain = o->plain });
    if (e) print(t, o, e);
    wk_encoding_free(e);
}

static void encode_lines(const wk_tokenizer *t, const options *o) {
    char *line = NULL;
    size_t room = 0;
    ssize_t size = 0;
    while (!wk_failed() && (size = getline(&line, &room, stdin)) >= 0) {
        if (size > 0 && line[size - 1] == '\n') size--;
        encode(t, o, line, (size_t)size, NULL);
    }
    free(line);
}

static void decode(const wk_tokenizer *t, const options *o) {
    int32_t *ids = wk_alloc((size_t)o->count * sizeof *ids);
    int32_t count = o->count - 1;
    for (int32_t i = 0; ids && i < count; i++) {
        char *end = NULL;
        const char *word = o->words[i + 1];
        long id = strtol(word, &end, 10);
        if (*end || id < 0 || id >= wk_tokenizer_size(t))
            (void)wk_fail(WK_INVALID, "--decode: \"%s\", expected numbers from 0 to %d", word,
                          wk_tokenizer_size(t) - 1);
        ids[i] = (int32_t)id;
    }
    char *text = wk_failed() ? NULL : wk_tokenizer_decode(t, ids, count, o->plain, NULL);
    if (text) (void)printf("%s\n", text);
    wk_free(text);
    wk_free(ids);
}

/* ---- training ---- */

typedef struct lines {
    const options *options;
    int file;
    FILE *open;
    char *line;
    size_t room;
} lines;

/* A line is a text, with its end. */
static bool next_line(void *context, const char **text, size_t *size) {
    lines *l = context;
    for (;;) {
        ssize_t got = l->open ? getline(&l->line, &l->room, l->open) : -1;
        if (got >= 0) {
            *text = l->line;
            *size = (size_t)got;
            return true;
        }
        if (l->open) (void)fclose(l->open);
        l->open = NULL;
        if (l->file == l->options->count) return false;
        const char *path = l->options->words[l->file++];
        l->open = fopen(path, "r");
        if (!l->open) return wk_fail(WK_IO, "%s: %s", path, strerror(errno)), false;
    }
}

static wk_tokenizer *train(const options *o) {
    lines l = { .options = o };
    const wk_tokenizer_kind kind = strcmp(o->train, "bpe") == 0       ? WK_TOKENIZER_BPE
                                   : strcmp(o->train, "unigram") == 0 ? WK_TOKENIZER_UNIGRAM
                                                                      : WK_TOKENIZER_WORDPIECE;
    wk_tokenizer *t = wk_tokenizer_train(next_line, &l, (wk_tokenizer_train_opts){ .kind = kind, .size = o->size });
    if (l.open) (void)fclose(l.open);
    free(l.line);
    return t;
}

int wk_tokenize_main(int argc, char **argv) {
    options o = { 0 };
    if (argc > 1 && strcmp(argv[1], "--help") == 0) return (void)fputs(help, stdout), 0;
    if (!read_options(argc, argv, &o)) return 2;
    wk_tokenizer *t = o.train ? train(&o) : wk_tokenizer_open(o.words[0]);
    if (t && o.save) (void)wk_tokenizer_save(t, o.save);
    if (t && !o.train && !wk_failed()) {
        if (o.decode)
            decode(t, &o);
        else if (o.count > 1)
            encode(t, &o, o.words[1], strlen(o.words[1]), o.count > 2 ? o.words[2] : NULL);
        else if (!o.save)
            encode_lines(t, &o);
    }
    wk_tokenizer_destroy(t);
    return wk_report(stderr) == WK_OK ? 0 : 1;
}

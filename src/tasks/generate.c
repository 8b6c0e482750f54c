/* generate.c: `wick generate`: a trained language model goes on with a text. */
#include "tasks/tasks.h"

#include "wick/tasks.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: wick generate MODEL [--prompt TEXT] [options]\n"
    "\n"
    "MODEL is a run's directory (its best checkpoint, or else its last), a checkpoint in it, or a folder with\n"
    "config.json, model.safetensors and the files of a tokenizer (GPT-2).  The text goes to standard output as it "
    "comes.\n"
    "  --prompt TEXT     what to go on with; a line break\n"
    "  --tokens N        how many to write; 200\n"
    "  --temperature T   0: always the likeliest token; 1\n"
    "  --top-k K         draw from the K likeliest; all\n"
    "  --top-p P         draw from the likeliest whose probabilities add up to P; 1\n"
    "  --seed S          equal seeds, equal texts; 0\n"
    "  --no-cache        compute the whole text again for each token\n"
    "  --json            one line of JSON at the end instead\n"
    "\n"
    "example: wick generate runs/char_gpt --prompt \"ROMEO:\" --tokens 300 --temperature 0.8 --top-k 40\n";

typedef struct options {
    const char *model, *prompt;
    long long tokens, seed;
    wk__sample_opts sample;
    bool recompute, json, wants_help;
} options;

static int usage(const char *problem, const char *word) {
    (void)fprintf(stderr, "wick generate: %s%s%s\n%s", problem, *word ? " " : "", word, help);
    return 2;
}

/* A number of [least, most]; false for anything else. */
static bool number(const char *word, double least, double most, double *value) {
    char *end = NULL;
    errno = 0;
    *value = strtod(word, &end);
    return end != word && !*end && errno == 0 && *value >= least && *value <= most;
}
static bool whole(const char *word, long long most, long long *value) {
    char *end = NULL;
    errno = 0;
    *value = strtoll(word, &end, 10);
    return end != word && !*end && errno == 0 && *value >= 0 && *value <= most;
}

/* 0, or the exit code. */
static int read_value(options *o, const char *option, const char *word) {
    long long k = 0;
    if (strcmp(option, "--prompt") == 0) return o->prompt = word, 0;
    if (strcmp(option, "--tokens") == 0)
        return whole(word, 1 << 24, &o->tokens) ? 0 : usage("--tokens: expected 0 to 16777216, got", word);
    if (strcmp(option, "--seed") == 0)
        return whole(word, INT64_MAX, &o->seed) ? 0 : usage("--seed: expected a number from 0 on, got", word);
    if (strcmp(option, "--top-k") == 0) {
        if (!whole(word, INT32_MAX, &k)) return usage("--top-k: expected a number from 0 (all) on, got", word);
        return o->sample.top_k = k, 0;
    }
    if (strcmp(option, "--top-p") == 0)
        return number(word, 1e-9, 1, &o->sample.top_p) ? 0 : usage("--top-p: expected more than 0 to 1, got", word);
    if (!number(word, 0, 1e6, &o->sample.temperature) || (o->sample.temperature > 0 && o->sample.temperature < 1e-6))
        return usage("--temperature: expected 0, or 1e-6 to 1e6, got", word);
    return 0;
}

static int parse(int argc, char **argv, options *o) {
    static const char *const with_value[] = { "--prompt", "--tokens", "--seed", "--top-k", "--top-p", "--temperature" };
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        bool takes = false;
        for (size_t k = 0; k < WK_COUNT(with_value); k++) takes = takes || strcmp(word, with_value[k]) == 0;
        if (takes && i + 1 == argc) return usage("a value is missing behind", word);
        int code = takes ? read_value(o, word, argv[++i]) : 0;
        if (code) return code;
        if (takes) continue;
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
            return o->wants_help = true, 0;
        else if (strcmp(word, "--no-cache") == 0)
            o->recompute = true;
        else if (strcmp(word, "--json") == 0)
            o->json = true;
        else if (word[0] == '-' || o->model)
            return usage("cannot make sense of", word);
        else
            o->model = word;
    }
    return o->model ? 0 : usage("which MODEL?", "");
}

/* Text as far as it is whole: a character may be several tokens, whose first ones decode as a replacement. */
typedef struct stream {
    const wk_tokenizer *tokenizer;
    int32_t *token;
    int64_t count, from, shown; /* what was shown last began at `from`; [0, shown) is out */
} stream;

static bool is_whole(const char *text, size_t size) {
    return size < 3 || memcmp(text + size - 3, "\xEF\xBF\xBD", 3) != 0;
}

static wk_status show(stream *s, bool last) {
    size_t before = 0, now = 0;
    char *old = wk_tokenizer_decode(s->tokenizer, s->token + s->from, s->shown - s->from, true, &before);
    char *text = wk_tokenizer_decode(s->tokenizer, s->token + s->from, s->count - s->from, true, &now);
    if (old && text && now > before && (last || is_whole(text, now))) {
        (void)fwrite(text + before, 1, now - before, stdout);
        (void)fflush(stdout);
        s->from = s->shown;
        s->shown = s->count;
    }
    wk_free(old);
    wk_free(text);
    if (!wk_failed() && ferror(stdout)) return wk_fail(WK_IO, "standard output: %s", strerror(errno));
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* The tokens behind the prompt's, into s. */
static wk_status write_on(wk__lm *lm, const options *o, stream *s, int32_t end) {
    wk_generator *generator = wk_alloc(sizeof *generator);
    const float *scores = generator ? wk__lm_take(lm, s->token, s->count) : NULL;
    if (scores) wk_generator_seed(generator, (uint64_t)o->seed);
    for (long long i = 0; i < o->tokens && scores; i++) {
        double u = 0;
        wk_random_uniform_f64(generator, &u, 1, 0, 1);
        const int32_t token = wk__sample(scores, wk__lm_vocabulary(lm), o->sample, u);
        if (token < 0 || token == end) break;
        s->token[s->count++] = token;
        if (!o->json && show(s, false) != WK_OK) break;
        scores = i + 1 < o->tokens ? wk__lm_take(lm, &token, 1) : NULL;
    }
    wk_free(generator);
    if (!o->json && !wk_failed()) (void)show(s, true);
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status print_json(const options *o, const stream *s, int64_t given) {
    char *text = wk_tokenizer_decode(s->tokenizer, s->token + given, s->count - given, true, NULL);
    json_t *tokens = json_array();
    for (int64_t i = given; text && tokens && i < s->count; i++)
        (void)json_array_append_new(tokens, json_integer(s->token[i]));
    json_t *all = text && tokens ? json_pack("{s:s, s:s, s:O, s:I}", "prompt", o->prompt, "text", text, "tokens",
                                             tokens, "seed", (json_int_t)o->seed)
                                 : NULL;
    char *line = all ? json_dumps(all, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    if (line)
        (void)printf("%s\n", line);
    else if (!wk_failed())
        (void)wk_fail(WK_FORMAT, "the text is not UTF-8, which JSON needs");
    free(line);
    json_decref(all);
    json_decref(tokens);
    wk_free(text);
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status generate(const wk__language *l, const options *o) {
    const wk_encode_opts plain = { .plain = true, .truncation = WK_TRUNCATE_NEVER, .padding = WK_PAD_NEVER };
    wk_encoding *prompt = wk_tokenizer_encode(l->tokenizer, o->prompt, NULL, plain);
    if (!prompt) {
        wk_error_prefix("--prompt");
        return wk_error_code();
    }
    stream s = { .tokenizer = l->tokenizer, .count = prompt->count };
    wk__lm *lm = prompt->count > 0 ? wk__lm_create(l->model, o->recompute)
                                   : wk_fail_null(WK_INVALID, "--prompt: it is no token, expected at least one");
    s.token = lm ? wk_alloc((size_t)(prompt->count + o->tokens) * sizeof *s.token) : NULL;
    if (s.token) {
        memcpy(s.token, prompt->ids, (size_t)prompt->count * sizeof *s.token);
        if (!o->json) (void)show(&s, true);
        if (!wk_failed() && write_on(lm, o, &s, l->end) == WK_OK) {
            if (o->json)
                (void)print_json(o, &s, prompt->count);
            else
                (void)putchar('\n');
        }
    }
    wk_free(s.token);
    wk__lm_destroy(lm);
    wk_encoding_free(prompt);
    return wk_failed() ? wk_error_code() : WK_OK;
}

int wk_generate_main(int argc, char **argv) {
    options o = { .prompt = "\n", .tokens = 200, .sample = { .temperature = 1, .top_p = 1 } };
    int code = parse(argc, argv, &o);
    if (o.wants_help) (void)fputs(help, stdout);
    if (o.wants_help || code) return code;
    wk__language l = { 0 };
    if (wk__language_open(&l, o.model) == WK_OK) (void)generate(&l, &o);
    wk__language_close(&l);
    return wk_report(stderr) == WK_OK ? 0 : 1;
}

/* older.c: the files of before tokenizer.json, told as one: BERT's vocab.txt; GPT-2's and RoBERTa's vocab.json and
 * merges.txt, or encoder.json and vocab.bpe. */
#include "text.h"

#include "io/file.h"

#include <stdlib.h>
#include <sys/stat.h>

enum { MOST_BYTES = 256 << 20 };

static json_t *read_json(const char *path) {
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    if (!root) (void)wk_fail(error.line > 0 ? WK_FORMAT : WK_IO, "%s: line %d: %s", path, error.line, error.text);
    return root;
}

/* FOLDER/NAME if it is there. */
static char *find(const char *folder, const char *name) {
    struct stat about;
    char *path = wk_format("%s/%s", folder, name);
    if (path && stat(path, &about) == 0) return path;
    wk_free(path);
    return NULL;
}

/* A special token of tokenizer_config.json: a text, or {"content": …}. */
static const char *special_of(const json_t *config, const char *key, const char *otherwise) {
    const json_t *value = json_object_get(config, key);
    const char *text = json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
    return text ? text : otherwise;
}

void wk__add_special(json_t *list, const json_t *vocab, const char *content, bool lstrip) {
    const json_t *id = json_object_get(vocab, content);
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(wk__json_word(json_array_get(list, i), "content", ""), content) == 0) return;
    if (!id) return; /* a model may do without */
    (void)json_array_append_new(list, json_pack("{s:I, s:s, s:b, s:b, s:b, s:b, s:b}", "id", json_integer_value(id),
                                                "content", content, "single_word", 0, "lstrip", (int)lstrip, "rstrip",
                                                0, "normalized", 0, "special", 1));
}

/* One token a line; the number is the line's. */
static json_t *read_lines(const char *path) {
    size_t size = 0;
    char *text = wk__read_file(path, MOST_BYTES, &size);
    json_t *vocab = text ? json_object() : NULL;
    json_int_t id = 0;
    for (char *at = text; vocab && at < text + size; id++) {
        char *end = memchr(at, '\n', (size_t)(text + size - at));
        char *next = end ? end + 1 : text + size;
        if (!end) end = text + size;
        if (end > at && end[-1] == '\r') end--;
        *end = '\0';
        if (json_object_set_new(vocab, at, json_integer(id)) != 0) {
            (void)wk_fail(WK_FORMAT, "%s: line %lld is not UTF-8", path, (long long)id + 1);
            json_decref(vocab);
            vocab = NULL;
        }
        at = next;
    }
    wk_free(text);
    return vocab;
}

static json_t *template_of(const char *cls, const char *sep, json_int_t cls_id, json_int_t sep_id) {
    return json_pack("{s:s, s:[{s:{s:s,s:i}}, {s:{s:s,s:i}}, {s:{s:s,s:i}}],"
                     " s:[{s:{s:s,s:i}}, {s:{s:s,s:i}}, {s:{s:s,s:i}}, {s:{s:s,s:i}}, {s:{s:s,s:i}}],"
                     " s:{s:{s:s,s:[I],s:[s]}, s:{s:s,s:[I],s:[s]}}}",
                     "type", "TemplateProcessing", "single", "SpecialToken", "id", cls, "type_id", 0, "Sequence", "id",
                     "A", "type_id", 0, "SpecialToken", "id", sep, "type_id", 0, "pair", "SpecialToken", "id", cls,
                     "type_id", 0, "Sequence", "id", "A", "type_id", 0, "SpecialToken", "id", sep, "type_id", 0,
                     "Sequence", "id", "B", "type_id", 1, "SpecialToken", "id", sep, "type_id", 1, "special_tokens",
                     cls, "id", cls, "ids", cls_id, "tokens", cls, sep, "id", sep, "ids", sep_id, "tokens", sep);
}

/* Takes the vocabulary. */
json_t *wk__bert_json(json_t *vocab, const json_t *config) {
    static const char *const keys[][2] = { { "pad_token", "[PAD]" },
                                           { "unk_token", "[UNK]" },
                                           { "cls_token", "[CLS]" },
                                           { "sep_token", "[SEP]" },
                                           { "mask_token", "[MASK]" } };
    const json_t *accents = json_object_get(config, "strip_accents");
    const char *unknown = special_of(config, "unk_token", "[UNK]");
    const char *cls = special_of(config, "cls_token", "[CLS]");
    const char *sep = special_of(config, "sep_token", "[SEP]");
    const json_t *cls_id = json_object_get(vocab, cls);
    const json_t *sep_id = json_object_get(vocab, sep);
    json_t *added = json_array();
    for (size_t i = 0; i < WK_COUNT(keys); i++)
        wk__add_special(added, vocab, special_of(config, keys[i][0], keys[i][1]), false);
    json_t *post =
        cls_id && sep_id ? template_of(cls, sep, json_integer_value(cls_id), json_integer_value(sep_id)) : json_null();
    json_t *root = json_pack("{s:s, s:n, s:n, s:o, s:{s:s,s:b,s:b,s:o,s:b}, s:{s:s}, s:o, s:{s:s,s:s,s:b},"
                             " s:{s:s,s:s,s:s,s:i,s:o}}",
                             "version", "1.0", "truncation", "padding", "added_tokens", added, "normalizer", "type",
                             "BertNormalizer", "clean_text", 1, "handle_chinese_chars",
                             (int)wk__json_flag(config, "tokenize_chinese_chars", true), "strip_accents",
                             json_is_boolean(accents) ? json_boolean(json_is_true(accents)) : json_null(), "lowercase",
                             (int)wk__json_flag(config, "do_lower_case", true), "pre_tokenizer", "type",
                             "BertPreTokenizer", "post_processor", post, "decoder", "type", "WordPiece", "prefix", "##",
                             "cleanup", 1, "model", "type", "WordPiece", "unk_token", unknown,
                             "continuing_subword_prefix", "##", "max_input_chars_per_word", 100, "vocab", vocab);
    if (!root) (void)wk_fail(WK_NO_MEMORY, "no memory for a tokenizer");
    return root;
}

json_t *wk__older_vocabulary(const char *path, const json_t *config) {
    json_t *vocab = read_lines(path);
    return vocab ? wk__bert_json(vocab, config) : NULL;
}

/* ---- GPT-2, RoBERTa ---- */

static json_t *read_merges(const char *path) {
    size_t size = 0;
    char *text = wk__read_file(path, MOST_BYTES, &size);
    json_t *merges = text ? json_array() : NULL;
    bool first = true;
    for (char *at = text; merges && at < text + size; first = false) {
        char *end = memchr(at, '\n', (size_t)(text + size - at));
        char *next = end ? end + 1 : text + size;
        if (!end) end = text + size;
        if (end > at && end[-1] == '\r') end--;
        *end = '\0';
        bool skip = end == at || (first && strncmp(at, "#version", 8) == 0);
        if (!skip && json_array_append_new(merges, json_string(at)) != 0) {
            (void)wk_fail(WK_FORMAT, "%s: merge %zu is not UTF-8", path, json_array_size(merges) + 1);
            json_decref(merges);
            merges = NULL;
        }
        at = next;
    }
    wk_free(text);
    return merges;
}

/* Takes both. */
json_t *wk__bytes_json(json_t *vocab, json_t *merges, const json_t *config) {
    const json_t *cls = json_object_get(vocab, "<s>");
    const json_t *sep = json_object_get(vocab, "</s>");
    bool roberta = cls && sep;
    int prefix = (int)wk__json_flag(config, "add_prefix_space", false);
    json_t *added = json_array();
    json_t *post = NULL;
    if (roberta) {
        static const char *const names[] = { "<s>", "<pad>", "</s>", "<unk>" };
        for (size_t i = 0; i < WK_COUNT(names); i++) wk__add_special(added, vocab, names[i], false);
        wk__add_special(added, vocab, "<mask>", true);
        post = json_pack("{s:s, s:[s,I], s:[s,I], s:b, s:b}", "type", "RobertaProcessing", "sep", "</s>",
                         json_integer_value(sep), "cls", "<s>", json_integer_value(cls), "trim_offsets", 1,
                         "add_prefix_space", prefix);
    } else {
        wk__add_special(added, vocab, special_of(config, "eos_token", "<|endoftext|>"), false);
        post = json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", prefix, "trim_offsets", 0,
                         "use_regex", 1);
    }
    json_t *root =
        json_pack("{s:s, s:n, s:n, s:o, s:n, s:{s:s,s:b,s:b,s:b}, s:o, s:{s:s,s:b,s:b,s:b},"
                  " s:{s:s,s:n,s:n,s:s,s:s,s:b,s:b,s:b,s:o,s:o}}",
                  "version", "1.0", "truncation", "padding", "added_tokens", added, "normalizer", "pre_tokenizer",
                  "type", "ByteLevel", "add_prefix_space", prefix, "trim_offsets", 1, "use_regex", 1, "post_processor",
                  post, "decoder", "type", "ByteLevel", "add_prefix_space", 1, "trim_offsets", 1, "use_regex", 1,
                  "model", "type", "BPE", "dropout", "unk_token", "continuing_subword_prefix", "", "end_of_word_suffix",
                  "", "fuse_unk", 0, "byte_fallback", 0, "ignore_merges", 0, "vocab", vocab, "merges", merges);
    if (!root) (void)wk_fail(WK_NO_MEMORY, "no memory for a tokenizer");
    return root;
}

static json_t *read_pair(const char *vocabulary, const char *merges, const json_t *config) {
    json_t *vocab = read_json(vocabulary);
    json_t *list = vocab ? read_merges(merges) : NULL;
    if (list) return wk__bytes_json(vocab, list, config);
    json_decref(vocab);
    return NULL;
}

json_t *wk__older_files(const char *folder) {
    static const char *const pairs[][2] = { { "vocab.json", "merges.txt" }, { "encoder.json", "vocab.bpe" } };
    json_t *root = NULL;
    char *settings = find(folder, "tokenizer_config.json");
    json_t *config = settings ? read_json(settings) : NULL;
    wk_free(settings);
    if (wk_failed()) return NULL;
    char *lines = find(folder, "vocab.txt");
    if (lines) root = wk__older_vocabulary(lines, config);
    bool found = lines != NULL;
    wk_free(lines);
    for (size_t i = 0; i < WK_COUNT(pairs) && !found; i++) {
        char *vocab = find(folder, pairs[i][0]);
        char *merges = find(folder, pairs[i][1]);
        found = vocab && merges;
        if (found) root = read_pair(vocab, merges, config);
        wk_free(vocab);
        wk_free(merges);
    }
    json_decref(config);
    if (!found)
        return wk_fail_null(WK_NOT_FOUND,
                            "holds no tokenizer.json, vocab.txt, vocab.json with merges.txt, or encoder.json "
                            "with vocab.bpe");
    return root;
}

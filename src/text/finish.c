/* finish.c: post-processors: what is put around tokens, cutting to a length, padding; the encoding as it is handed out.
 */
#include "text.h"

/* ---- reading: truncation and padding ---- */

static bool is_left(const json_t *value) {
    const char *direction = wk__json_word(value, "direction", "Right");
    return strcmp(direction, "Left") == 0 || strcmp(direction, "left") == 0;
}

enum { MOST_LENGTH = 1 << 24 };

/* A number of the file from 0 to `most`; `otherwise` where it is missing or null. */
static int32_t whole(const json_t *value, const char *key, int32_t most, int32_t otherwise) {
    const json_t *number = json_object_get(value, key);
    if (!number || json_is_null(number)) return otherwise;
    json_int_t n = json_is_integer(number) ? json_integer_value(number) : -1;
    if (n >= 0 && n <= most) return (int32_t)n;
    (void)wk_fail(WK_FORMAT, "%s: expected a whole number from 0 to %d", key, most);
    return otherwise;
}

static wk_status read_truncation(wk__finisher *f, const json_t *value) {
    const char *strategy = wk__json_word(value, "strategy", "LongestFirst");
    f->truncation = WK_TRUNCATE_NEVER;
    if (!json_is_object(value)) return WK_OK;
    f->truncation = strcmp(strategy, "OnlyFirst") == 0    ? WK_TRUNCATE_ONLY_FIRST
                    : strcmp(strategy, "OnlySecond") == 0 ? WK_TRUNCATE_ONLY_SECOND
                                                          : WK_TRUNCATE_LONGEST_FIRST;
    f->max_length = whole(value, "max_length", MOST_LENGTH, 0);
    f->cut_left = is_left(value);
    return wk_error_code();
}

static wk_status read_padding(wk__finisher *f, const json_t *value) {
    const json_t *strategy = json_object_get(value, "strategy");
    f->pads = json_is_object(value);
    f->pad_fixed = json_object_get(strategy, "Fixed") != NULL;
    f->pad_length = whole(strategy, "Fixed", MOST_LENGTH, 0);
    f->pad_left = is_left(value);
    f->pad_id = whole(value, "pad_id", MOST_LENGTH, 0);
    f->pad_type = whole(value, "pad_type_id", INT8_MAX, 0);
    f->multiple_of = whole(value, "pad_to_multiple_of", MOST_LENGTH, 0);
    return wk_error_code();
}

/* ---- reading: templates ---- */

static wk_status add_piece(wk__piece **list, uint32_t *count, wk__piece piece) {
    wk__piece *grown = wk_realloc(*list, (*count + 1) * sizeof *grown);
    if (!grown) return wk_error_code();
    *list = grown;
    grown[(*count)++] = piece;
    return WK_OK;
}

/* -1 for what is none: no token has it. */
static int32_t number_of(const json_t *value) {
    json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;
    return n < 0 || n > MOST_LENGTH ? -1 : (int32_t)n;
}

/* The tokens that a name of the template stands for. */
static wk_status add_named(wk__piece **list, uint32_t *count, const json_t *root, const char *name, uint8_t type) {
    const json_t *ids = json_object_get(json_object_get(json_object_get(root, "special_tokens"), name), "ids");
    if (json_array_size(ids) == 0)
        return wk_fail(WK_FORMAT, "post_processor TemplateProcessing: \"%s\" is not among its special_tokens", name);
    for (size_t i = 0; i < json_array_size(ids); i++)
        WK_TRY(add_piece(list, count, (wk__piece){ number_of(json_array_get(ids, i)), -1, type }));
    return WK_OK;
}

static wk_status read_template(wk__piece **list, uint32_t *count, const json_t *root, const char *key) {
    const json_t *items = json_object_get(root, key);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const json_t *special = json_object_get(item, "SpecialToken");
        const json_t *part = special ? special : json_object_get(item, "Sequence");
        uint8_t type = (uint8_t)whole(part, "type_id", UINT8_MAX, 0);
        const char *name = wk__json_word(part, "id", NULL);
        if (!name) return wk_fail(WK_FORMAT, "post_processor TemplateProcessing: item %zu of \"%s\" has no id", i, key);
        if (special)
            WK_TRY(add_named(list, count, root, name, type));
        else
            WK_TRY(add_piece(list, count, (wk__piece){ -1, (int8_t)(strcmp(name, "B") == 0), type }));
    }
    return WK_OK;
}

/* ["[SEP]", 102] */
static int32_t token_of(const json_t *value, const char *key) {
    return number_of(json_array_get(json_object_get(value, key), 1));
}

static wk_status read_around(wk__finisher *f, const json_t *value, bool roberta) {
    int32_t sep = token_of(value, "sep");
    int32_t cls = token_of(value, "cls");
    uint8_t second = (uint8_t)!roberta;
    const wk__piece single[] = { { cls, -1, 0 }, { -1, 0, 0 }, { sep, -1, 0 } };
    const wk__piece pair[] = { { sep, -1, 0 }, { -1, 1, second }, { sep, -1, second } };
    for (size_t i = 0; i < WK_COUNT(single); i++) {
        WK_TRY(add_piece(&f->single, &f->single_count, single[i]));
        WK_TRY(add_piece(&f->pair, &f->pair_count, single[i]));
    }
    for (size_t i = roberta ? 0 : 1; i < WK_COUNT(pair); i++) WK_TRY(add_piece(&f->pair, &f->pair_count, pair[i]));
    f->is_set = true;
    return WK_OK;
}

static void read_trim(wk__finisher *f, const json_t *value) {
    f->trim = wk__json_flag(value, "trim_offsets", true);
    f->prefix = wk__json_flag(value, "add_prefix_space", true);
}

static wk_status read_processor(wk__finisher *f, const json_t *value) {
    if (!value || json_is_null(value)) return WK_OK;
    const char *type = wk__json_type(value, "post_processor");
    if (!type) return wk_error_code();
    if (strcmp(type, "TemplateProcessing") == 0) {
        f->is_set = true;
        WK_TRY(read_template(&f->single, &f->single_count, value, "single"));
        return read_template(&f->pair, &f->pair_count, value, "pair");
    }
    if (strcmp(type, "BertProcessing") == 0) return read_around(f, value, false);
    if (strcmp(type, "RobertaProcessing") == 0) return read_trim(f, value), read_around(f, value, true);
    if (strcmp(type, "ByteLevel") == 0) return read_trim(f, value), WK_OK;
    if (strcmp(type, "Sequence") != 0)
        return wk_fail(WK_UNSUPPORTED, "post_processor \"%s\" is none of those that Wick has", type);
    const json_t *list = json_object_get(value, "processors");
    for (size_t i = 0; i < json_array_size(list); i++) WK_TRY(read_processor(f, json_array_get(list, i)));
    return WK_OK;
}

wk_status wk__finisher_make(wk__finisher *f, const json_t *root, const wk_tokenizer *tokenizer) {
    WK_TRY(read_truncation(f, json_object_get(root, "truncation")));
    WK_TRY(read_padding(f, json_object_get(root, "padding")));
    WK_TRY(read_processor(f, json_object_get(root, "post_processor")));
    if (!f->is_set) {
        WK_TRY(add_piece(&f->single, &f->single_count, (wk__piece){ -1, 0, 0 }));
        WK_TRY(add_piece(&f->pair, &f->pair_count, (wk__piece){ -1, 0, 0 }));
        WK_TRY(add_piece(&f->pair, &f->pair_count, (wk__piece){ -1, 1, 1 }));
    }
    for (uint32_t i = 0; i < f->single_count + f->pair_count; i++) {
        const wk__piece *p = i < f->single_count ? &f->single[i] : &f->pair[i - f->single_count];
        if (p->sequence < 0 && !wk_tokenizer_token(tokenizer, p->id))
            return wk_fail(WK_FORMAT, "post_processor: there is no token %d", p->id);
    }
    return WK_OK;
}

void wk__finisher_free(wk__finisher *f) {
    wk_free(f->single);
    wk_free(f->pair);
}

/* ---- rows ---- */

bool wk__row_add(wk__row *row, int32_t id, int32_t word, wk_span from) {
    if (row->count == row->capacity) {
        uint32_t capacity = row->capacity * 2 + 64;
        int32_t *ids = wk_realloc(row->ids, capacity * sizeof *ids);
        if (ids) row->ids = ids;
        int32_t *words = ids ? wk_realloc(row->words, capacity * sizeof *words) : NULL;
        if (words) row->words = words;
        wk_span *offsets = words ? wk_realloc(row->offsets, capacity * sizeof *offsets) : NULL;
        if (!offsets) return false;
        row->offsets = offsets;
        row->capacity = capacity;
    }
    row->ids[row->count] = id;
    row->words[row->count] = word;
    row->offsets[row->count++] = from;
    return true;
}

void wk__row_free(wk__row *row) {
    wk_free(row->ids);
    wk_free(row->words);
    wk_free(row->offsets);
    *row = (wk__row){ 0 };
}

static void cut(wk__row *row, uint32_t count, bool left) {
    if (count >= row->count) return;
    uint32_t gone = left ? row->count - count : 0;
    memmove(row->ids, row->ids + gone, count * sizeof *row->ids);
    memmove(row->words, row->words + gone, count * sizeof *row->words);
    memmove(row->offsets, row->offsets + gone, count * sizeof *row->offsets);
    row->count = count;
}

/* What stays of each, so that both together are `room`: the longer one gives first. */
static void share(uint32_t room, uint32_t *a, uint32_t *b) {
    uint32_t *less = *a <= *b ? a : b;
    uint32_t *more = *a <= *b ? b : a;
    if (*less + *more <= room) return;
    uint32_t rest = room > *less ? room - *less : 0;
    *more = *less > room || rest < *less ? *less : rest;
    if (*less + *more > room) {
        *less = room / 2;
        *more = *less + room % 2;
    }
}

static wk_status truncate(const wk__finisher *f, wk__row *first, wk__row *second, wk_encode_opts opts,
                          uint32_t put_in) {
    wk_truncation how = opts.truncation != WK_TRUNCATE_FILE ? opts.truncation : f->truncation;
    int32_t most = opts.max_length ? opts.max_length : f->max_length;
    if (opts.truncation == WK_TRUNCATE_FILE && how == WK_TRUNCATE_NEVER && opts.max_length)
        how = WK_TRUNCATE_LONGEST_FIRST;
    if (how == WK_TRUNCATE_NEVER || most == 0) return WK_OK;
    if (most < 0 || (uint32_t)most < put_in)
        return wk_fail(WK_INVALID, "max_length is %d, and %u tokens are put in alone", most, put_in);
    uint32_t room = (uint32_t)most - put_in;
    uint32_t a = first->count;
    uint32_t b = second ? second->count : 0;
    if (a + b <= room) return WK_OK;
    uint32_t over = a + b - room;
    wk__row *one = how == WK_TRUNCATE_ONLY_SECOND ? second : first;
    if (how == WK_TRUNCATE_LONGEST_FIRST || room == 0) {
        if (second) share(room, &a, &b);
        cut(first, second ? a : room, f->cut_left);
        if (second) cut(second, b, f->cut_left);
        return WK_OK;
    }
    if (!one || one->count <= over)
        return wk_fail(WK_INVALID, "max_length %d: %u tokens are too many, and the %s text has %u", most, over,
                       how == WK_TRUNCATE_ONLY_SECOND ? "second" : "first", one ? one->count : 0);
    cut(one, one->count - over, f->cut_left);
    return WK_OK;
}

/* ---- the encoding ---- */

static wk_encoding *encoding_new(uint32_t count) {
    wk_encoding *e = wk_alloc(sizeof *e);
    if (!e) return NULL;
    e->ids = wk_alloc(count * sizeof *e->ids);
    e->type_ids = wk_alloc(count * sizeof *e->type_ids);
    e->words = wk_alloc(count * sizeof *e->words);
    e->sequences = wk_alloc(count);
    e->special = wk_alloc(count);
    e->attention = wk_alloc(count);
    e->offsets = wk_alloc(count * sizeof *e->offsets);
    if (!wk_failed()) return e;
    wk_encoding_free(e);
    return NULL;
}

void wk_encoding_free(wk_encoding *e) {
    if (!e) return;
    wk_free(e->ids);
    wk_free(e->type_ids);
    wk_free(e->words);
    wk_free(e->sequences);
    wk_free(e->special);
    wk_free(e->attention);
    wk_free(e->offsets);
    wk_free(e);
}

static void put_special(wk_encoding *e, int32_t id, int32_t type, bool attention) {
    int32_t i = e->count++;
    e->ids[i] = id;
    e->type_ids[i] = type;
    e->words[i] = -1;
    e->sequences[i] = -1;
    e->special[i] = 1;
    e->attention[i] = attention;
    e->offsets[i] = (wk_span){ 0 };
}

static void put_row(wk_encoding *e, const wk__row *row, const wk__piece *piece) {
    for (uint32_t k = 0; k < row->count; k++) {
        int32_t i = e->count++;
        e->ids[i] = row->ids[k];
        e->type_ids[i] = piece->type;
        e->words[i] = row->words[k];
        e->sequences[i] = piece->sequence;
        e->special[i] = 0;
        e->attention[i] = 1;
        e->offsets[i] = row->offsets[k];
    }
}

wk_encoding *wk__finish(const wk__finisher *f, wk__row *first, wk__row *second, wk_encode_opts opts) {
    static const wk__piece plain[] = { { -1, 0, 0 }, { -1, 1, 1 } };
    bool bare = opts.plain || !f->is_set;
    const wk__piece *pieces = bare ? plain : second ? f->pair : f->single;
    uint32_t count = bare ? 1 + (second != NULL) : second ? f->pair_count : f->single_count;
    uint32_t put_in = 0;
    for (uint32_t i = 0; i < count; i++) put_in += pieces[i].sequence < 0;
    if (truncate(f, first, second, opts, put_in) != WK_OK) return NULL;
    uint32_t total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += pieces[i].sequence < 0 ? 1 : pieces[i].sequence == 0 ? first->count : second ? second->count : 0;
    wk_encoding *e = encoding_new(total);
    for (uint32_t i = 0; e && i < count; i++) {
        const wk__row *row = pieces[i].sequence == 0 ? first : second;
        if (pieces[i].sequence < 0)
            put_special(e, pieces[i].id, pieces[i].type, true);
        else if (row)
            put_row(e, row, &pieces[i]);
    }
    return e;
}

/* ---- padding ---- */

int32_t wk__pad_length(const wk__finisher *f, wk_encode_opts opts, int32_t longest) {
    int32_t most = opts.max_length ? opts.max_length : f->max_length;
    int32_t multiple = opts.multiple_of ? opts.multiple_of : f->multiple_of;
    int32_t length = longest;
    if (opts.padding == WK_PAD_NEVER || (opts.padding == WK_PAD_FILE && !f->pads)) return 0;
    if (opts.padding == WK_PAD_FILE && f->pad_fixed) length = f->pad_length;
    if (most > MOST_LENGTH) most = MOST_LENGTH;
    if (opts.padding == WK_PAD_MAX) length = most;
    if (multiple > 1 && multiple <= MOST_LENGTH && length % multiple) length += multiple - length % multiple;
    return length;
}

static bool grow(wk_encoding *e, size_t count) {
    void **const arrays[] = { (void **)&e->ids,     (void **)&e->type_ids,  (void **)&e->words,  (void **)&e->sequences,
                              (void **)&e->special, (void **)&e->attention, (void **)&e->offsets };
    static const size_t sizes[] = {
        sizeof *e->ids, sizeof *e->type_ids, sizeof *e->words, 1, 1, 1, sizeof *e->offsets
    };
    for (size_t i = 0; i < WK_COUNT(arrays); i++) {
        void *grown = wk_realloc(*arrays[i], count * sizes[i]);
        if (!grown) return false;
        *arrays[i] = grown;
    }
    return true;
}

static void shift(wk_encoding *e, int32_t by) {
    size_t count = (size_t)e->count;
    memmove(e->ids + by, e->ids, count * sizeof *e->ids);
    memmove(e->type_ids + by, e->type_ids, count * sizeof *e->type_ids);
    memmove(e->words + by, e->words, count * sizeof *e->words);
    memmove(e->sequences + by, e->sequences, count);
    memmove(e->special + by, e->special, count);
    memmove(e->attention + by, e->attention, count);
    memmove(e->offsets + by, e->offsets, count * sizeof *e->offsets);
}

wk_status wk__pad(const wk__finisher *f, wk_encoding *e, int32_t count) {
    int32_t before = e->count;
    if (count <= before) return WK_OK;
    if (!grow(e, (size_t)count)) return wk_error_code();
    if (f->pad_left) {
        shift(e, count - before);
        e->count = 0;
    }
    for (int32_t i = before; i < count; i++) put_special(e, f->pad_id, f->pad_type, false);
    e->count = count;
    return WK_OK;
}

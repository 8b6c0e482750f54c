/* yaml.c: from libyaml's events to a tree with positions.
 *
 * A configuration is small, so the whole file is read first (16 MiB at most); what is hostile in YAML is not its size
 * but what it can grow to.  Three limits hold that down: depth of nesting, number of nodes after expansion of aliases
 * (each alias is a deep copy, so the "billion laughs" end at the limit), and libyaml's own refusal of bad UTF-8.  An
 * anchor is known only once its node is complete, so no alias can hold itself.
 */
#include "io/yaml.h"
#include "wick/files.h"

#include <string.h>
#include <yaml.h>

enum { MOST_DEPTH = 64, MOST_NODES = 200000, MOST_BYTES = 16 << 20 };

typedef struct anchor {
    const char *name;
    const wk__yaml_node *node;
    struct anchor *next;
} anchor;

typedef struct loader {
    wk__yaml *document;
    yaml_parser_t parser;
    yaml_event_t event;
    const char *text;
    size_t size;
    anchor *anchors;
} loader;

static const char *keep(wk__yaml *document, const char *text, size_t size) {
    char *copy = wk__arena_take(&document->arena, size + 1);
    if (!copy) return NULL;
    memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

static wk_status fail_at(const loader *l, yaml_mark_t mark, const char *message) {
    return wk_fail(WK_CONFIG, "%s:%zu:%zu: %s", l->document->name, mark.line + 1, mark.column + 1, message);
}

/* The reader's errors know a byte offset only; people count lines. */
static wk_status fail_reader(const loader *l) {
    size_t line = 1;
    size_t column = 1;
    size_t end = l->parser.problem_offset < l->size ? l->parser.problem_offset : l->size;
    for (size_t i = 0; i < end; i++) {
        column++;
        if (l->text[i] == '\n') {
            line++;
            column = 1;
        }
    }
    return wk_fail(WK_CONFIG, "%s:%zu:%zu: %s; write the file as UTF-8 text", l->document->name, line, column,
                   l->parser.problem ? l->parser.problem : "unreadable byte");
}

static wk_status fail_parser(const loader *l) {
    const yaml_parser_t *p = &l->parser;
    if (p->error == YAML_MEMORY_ERROR) return wk_fail(WK_NO_MEMORY, "out of memory while reading YAML");
    if (p->error == YAML_READER_ERROR) return fail_reader(l);
    return wk_fail(WK_CONFIG, "%s:%zu:%zu: %s%s%s", l->document->name, p->problem_mark.line + 1,
                   p->problem_mark.column + 1, p->problem ? p->problem : "not YAML", p->context ? ", " : "",
                   p->context ? p->context : "");
}

/* The former event is given back, the next one stands in l->event. */
static wk_status advance(loader *l) {
    yaml_event_delete(&l->event);
    memset(&l->event, 0, sizeof l->event);
    if (!yaml_parser_parse(&l->parser, &l->event)) return fail_parser(l);
    return WK_OK;
}

static wk__yaml_node *new_node(loader *l, wk__yaml_kind kind, yaml_mark_t mark) {
    wk__yaml_node *node = NULL;
    if (l->document->nodes >= MOST_NODES)
        (void)wk_fail(WK_CONFIG, "%s:%zu:%zu: more than %d values after its aliases are expanded", l->document->name,
                      mark.line + 1, mark.column + 1, MOST_NODES);
    else
        node = wk__yaml_new(l->document, kind, NULL);
    if (node) {
        node->line = (int)mark.line + 1;
        node->column = (int)mark.column + 1;
    }
    return node;
}

/* A deep copy for an alias; it stands where the alias stands. */
static wk__yaml_node *expand(loader *l, const wk__yaml_node *from, yaml_mark_t mark) {
    wk__yaml_node *node = new_node(l, from->kind, mark);
    if (!node) return NULL;
    node->text = from->text;
    node->quoted = from->quoted;
    node->literal = from->literal;
    for (const wk__yaml_node *child = from->first; child; child = child->next) {
        wk__yaml_node *copy = expand(l, child, mark);
        if (!copy || wk__yaml_append(l->document, node, NULL, copy) != WK_OK) return NULL;
        copy->key = child->key;
        copy->key_line = child->key_line;
        copy->key_column = child->key_column;
    }
    return node;
}

static wk__yaml_node *read_alias(loader *l) {
    const char *name = (const char *)l->event.data.alias.anchor;
    for (const anchor *a = l->anchors; a; a = a->next)
        if (strcmp(a->name, name) == 0) return expand(l, a->node, l->event.start_mark);
    return wk_fail_null(WK_CONFIG, "%s:%zu:%zu: alias *%s names no anchor that is complete before it",
                        l->document->name, l->event.start_mark.line + 1, l->event.start_mark.column + 1, name);
}

static wk_status remember(loader *l, const char *name, const wk__yaml_node *node) {
    anchor *a = wk__arena_take(&l->document->arena, sizeof *a);
    if (!a) return wk_error_code();
    *a = (anchor){ .name = name, .node = node, .next = l->anchors };
    l->anchors = a;
    return WK_OK;
}

/* Tags would choose types behind the reader's back; of YAML's own, !!str alone says something a plain scalar cannot. */
static wk_status check_tag(const loader *l, const yaml_char_t *tag) {
    static const char own[] = "tag:yaml.org,2002:";
    if (!tag || strcmp((const char *)tag, "!") == 0 || strncmp((const char *)tag, own, sizeof own - 1) == 0)
        return WK_OK;
    return fail_at(l, l->event.start_mark, "tags are not supported; remove the word that begins with !");
}

static wk__yaml_node *read_scalar(loader *l) {
    const char *value = (const char *)l->event.data.scalar.value;
    size_t size = l->event.data.scalar.length;
    if (memchr(value, 0, size)) {
        (void)fail_at(l, l->event.start_mark, "text with a NUL character");
        return NULL;
    }
    wk__yaml_node *node = new_node(l, WK__YAML_SCALAR, l->event.start_mark);
    if (!node) return NULL;
    const char *tag = (const char *)l->event.data.scalar.tag;
    node->quoted = l->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE || memchr(value, '\n', size)
                   || (tag && (strcmp(tag, YAML_STR_TAG) == 0 || strcmp(tag, "!") == 0));
    node->literal = l->event.data.scalar.style == YAML_LITERAL_SCALAR_STYLE;
    node->text = keep(l->document, value, size);
    return node->text ? node : NULL;
}

static wk__yaml_node *read_node(loader *l, int depth);

static wk_status read_items(loader *l, wk__yaml_node *node, int depth) {
    for (;;) {
        WK_TRY(advance(l));
        if (l->event.type == YAML_SEQUENCE_END_EVENT) return WK_OK;
        wk__yaml_node *child = read_node(l, depth);
        if (!child) return wk_error_code();
        WK_TRY(wk__yaml_append(l->document, node, NULL, child));
    }
}

static wk_status read_members(loader *l, wk__yaml_node *node, int depth) {
    for (;;) {
        WK_TRY(advance(l));
        if (l->event.type == YAML_MAPPING_END_EVENT) return WK_OK;
        yaml_mark_t mark = l->event.start_mark;
        wk__yaml_node *key = read_node(l, depth);
        if (!key) return wk_error_code();
        if (key->kind != WK__YAML_SCALAR) return fail_at(l, mark, "a key must be a word, not a list or mapping");
        if (!key->quoted && strcmp(key->text, "<<") == 0)
            return fail_at(l, mark, "merge keys (<<) are not supported; repeat the members or use an alias");
        const wk__yaml_node *former = wk__yaml_find(node, key->text);
        if (former)
            return wk_fail(WK_CONFIG, "%s:%zu:%zu: duplicate key \"%s\"; it stands in line %d already",
                           l->document->name, mark.line + 1, mark.column + 1, key->text, former->key_line);
        WK_TRY(advance(l));
        wk__yaml_node *child = read_node(l, depth);
        if (!child) return wk_error_code();
        WK_TRY(wk__yaml_append(l->document, node, NULL, child));
        child->key = key->text;
        child->key_line = (int)mark.line + 1;
        child->key_column = (int)mark.column + 1;
    }
}

/* The node that begins with the event at hand. */
static wk__yaml_node *read_node(loader *l, int depth) {
    const yaml_char_t *anchored = NULL;
    const yaml_char_t *tag = NULL;
    if (l->event.type == YAML_ALIAS_EVENT) return read_alias(l);
    if (l->event.type == YAML_SCALAR_EVENT) {
        anchored = l->event.data.scalar.anchor;
        tag = l->event.data.scalar.tag;
    } else if (l->event.type == YAML_SEQUENCE_START_EVENT) {
        anchored = l->event.data.sequence_start.anchor;
        tag = l->event.data.sequence_start.tag;
    } else if (l->event.type == YAML_MAPPING_START_EVENT) {
        anchored = l->event.data.mapping_start.anchor;
        tag = l->event.data.mapping_start.tag;
    }
    if (check_tag(l, tag) != WK_OK) return NULL;
    if (depth >= MOST_DEPTH) {
        (void)fail_at(l, l->event.start_mark, "nested deeper than 64 levels");
        return NULL;
    }
    const char *name = NULL;
    if (anchored && !(name = keep(l->document, (const char *)anchored, strlen((const char *)anchored)))) return NULL;
    wk__yaml_node *node = NULL;
    if (l->event.type == YAML_SCALAR_EVENT)
        node = read_scalar(l);
    else {
        bool list = l->event.type == YAML_SEQUENCE_START_EVENT;
        node = new_node(l, list ? WK__YAML_SEQUENCE : WK__YAML_MAPPING, l->event.start_mark);
        if (node && (list ? read_items(l, node, depth + 1) : read_members(l, node, depth + 1)) != WK_OK) node = NULL;
    }
    if (node && name && remember(l, name, node) != WK_OK) return NULL;
    return node;
}

static wk_status read_document(loader *l) {
    WK_TRY(advance(l)); /* stream start */
    WK_TRY(advance(l));
    if (l->event.type == YAML_STREAM_END_EVENT) return WK_OK;
    WK_TRY(advance(l)); /* past document start */
    l->document->root = read_node(l, 0);
    if (!l->document->root) return wk_error_code();
    WK_TRY(advance(l)); /* document end */
    WK_TRY(advance(l));
    if (l->event.type != YAML_STREAM_END_EVENT)
        return fail_at(l, l->event.start_mark, "a second document (---); one file holds one document");
    return WK_OK;
}

wk__yaml *wk__yaml_parse(const char *text, size_t size, const char *name) {
    if (size > MOST_BYTES)
        return wk_fail_null(WK_CONFIG, "%s: %zu bytes; a configuration holds at most 16 MiB", name, size);
    wk__yaml *document = wk_alloc(sizeof *document);
    if (!document) return NULL;
    loader l = { .document = document, .text = text, .size = size };
    bool ready = false;
    document->name = keep(document, name, strlen(name));
    if (!document->name) goto failed;
    ready = yaml_parser_initialize(&l.parser) != 0;
    if (!ready) {
        (void)wk_fail(WK_NO_MEMORY, "out of memory while reading %s", name);
        goto failed;
    }
    yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&l.parser, (const unsigned char *)text, size);
    if (read_document(&l) != WK_OK) goto failed;
    yaml_event_delete(&l.event);
    yaml_parser_delete(&l.parser);
    return document;
failed:
    yaml_event_delete(&l.event);
    if (ready) yaml_parser_delete(&l.parser);
    wk__yaml_free(document);
    return NULL;
}

wk__yaml *wk__yaml_load(const char *path) {
    size_t size = 0;
    char *text = wk_file_load(path, MOST_BYTES, &size);
    char *name = text ? wk_url_mask(path) : NULL;
    wk__yaml *document = name ? wk__yaml_parse(text, size, name) : NULL;
    wk_free(name);
    wk_free(text);
    return document;
}

void wk__yaml_free(wk__yaml *document) {
    if (!document) return;
    wk__arena_destroy(&document->arena);
    wk_free(document);
}
